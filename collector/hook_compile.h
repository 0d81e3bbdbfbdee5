/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From a hook as the policy states it, and what the kernel says of the function (struct hook_target, made by hook_plan.c), to what the BPF programs
 * read: struct hook_config and entries of the shared tables. Pure: no system call, nothing of libbpf; the same input gives the same bytes.
 *
 * Set numbers and bits of processes are counted from 0 here; whoever loads it adds what is free (hooks.c).
 *
 * HC1  matches of a selector stand in the order of their cost: what needs no argument first, then numbers, then sockets, then text
 * HC2  what does not fit is refused with its place in the file, never cut
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/hook_config.h"
#include "collector/policy.h"

#define HOOK_ERROR_MAX 384

/* Why a hook cannot be: where in the file, and one line without the file's name. */
struct hook_error {
    struct policy_place place;
    char text[HOOK_ERROR_MAX];
};

enum hook_attach {
    HOOK_ATTACH_RAW_TP,
    HOOK_ATTACH_TRACEPOINT,
    HOOK_ATTACH_RAW_SYSCALL, /* syscalls/sys_enter_x, sys_exit_x through the raw tracepoint of all system calls */
    HOOK_ATTACH_FENTRY,
    HOOK_ATTACH_FEXIT,
    HOOK_ATTACH_FMOD_RET,
    HOOK_ATTACH_KPROBE,
    HOOK_ATTACH_KRETPROBE,
    HOOK_ATTACH_KPROBE_MULTI,
    HOOK_ATTACH_KRETPROBE_MULTI,
    HOOK_ATTACH_LSM,
    HOOK_ATTACH_UPROBE,
    HOOK_ATTACH_URETPROBE,
    HOOK_ATTACH_COUNT,
};
const char *hook_attach_name(enum hook_attach attach);

#define HOOK_TYPE_NAME_MAX 48

/* An argument as the kernel has it. */
struct hook_source {
    uint8_t word;  /* HOOK_WORD_NONE: the hook does not have it */
    uint8_t field; /* enum hook_field */
    uint16_t field_offset;
    uint8_t field_width;
    bool is_known;   /* the kernel tells the type: the rest is valid */
    bool is_pointer; /* to `pointee`, a struct; "" is anything else */
    bool is_signed;
    uint8_t width; /* of a number */
    char pointee[HOOK_TYPE_NAME_MAX];
};

/* One place where a hook is attached. */
struct hook_target {
    enum hook_attach attach;
    char name[256];      /* function, tracepoint, symbol */
    char subsystem[256]; /* tracepoint's group; path of the binary */
    uint64_t offset;     /* uprobe without a symbol */
    int syscall_number;  /* RAW_SYSCALL */
    bool is_exit;        /* RAW_SYSCALL: sys_exit_x */
    uint8_t word_count;  /* RAW_TP: how many there are */
    bool is_syscall;     /* word 0 is the registers */
    bool from_process;   /* addresses are the process's own: a system call's, a uprobe's */
    struct hook_source args[RECORD_HOOK_ARGS_MAX];
    struct hook_source sizes[RECORD_HOOK_ARGS_MAX]; /* of the arguments that have a size elsewhere */
    struct hook_source result;
};

enum hook_table {
    HOOK_TABLE_NUMBERS,
    HOOK_TABLE_TEXTS,
    HOOK_TABLE_PREFIXES,
    HOOK_TABLE_POSTFIXES,
    HOOK_TABLE_NETWORKS
};

/* An entry of a shared table. */
struct hook_entry {
    enum hook_table table;
    union {
        struct hook_number_key number;
        struct hook_text_key text;
        struct hook_prefix_key prefix;
        struct hook_network_key network;
    } key;
};

/* A bit that processes have or have not. */
struct hook_process_set {
    enum policy_match_kind kind; /* BINARIES or PIDS */
    enum policy_operator op;     /* EQUAL, PREFIX, POSTFIX */
    bool follow, namespace_pid;
    const struct policy_values *values; /* the policy's */
    uint8_t match;                      /* whose `set` is its bit */
};

#define HOOK_PROCESS_SETS_PER_HOOK 16

struct hook_compiled {
    struct hook_config config;
    struct hook_entry *entries;
    size_t entry_count, entry_capacity;
    uint32_t set_count;
    struct hook_process_set process_sets[HOOK_PROCESS_SETS_PER_HOOK];
    size_t process_set_count;
    bool acts; /* kills, signals or overrides */
};

/* What of the machine a policy can refer to. */
struct hook_host {
    uint32_t namespaces[POLICY_NS_COUNT]; /* inode numbers of the host's */
};

/* 0; -EINVAL, -E2BIG: *error says why; -ENOMEM. *ret can be deinit'ed in any case. `hook` must outlive *ret. */
int hook_compile(struct hook_compiled *ret, const struct policy_hook *hook, const struct hook_target *target,
    const struct hook_host *host, struct hook_error *error);
void hook_compiled_deinit(struct hook_compiled *compiled);

/* For hook_plan.c too: fills *error, returns `r`. */
int hook_error_set(struct hook_error *error, struct policy_place place, int r, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
