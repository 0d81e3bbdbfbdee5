/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A policy as its file states it: TracingPolicy and TracingPolicyNamespaced, apiVersion cilium.io/v1alpha1. Types only, and their end; policy_file.c reads
 * them, hook_compile.c turns them into what the BPF programs read. Knows neither libyaml nor libbpf nor this kernel.
 *
 * Whoever writes a policy is root. It is still checked to the last byte: a policy is whole or refused, never half-applied.
 *
 * M1  every value has been checked against its type: what stands here can be compiled, unless this kernel cannot do it
 * M2  each thing that a kernel may refuse keeps its place in the file, so that the refusal can name it
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

#define POLICY_SELECTORS_MAX 5
#define POLICY_TAGS_MAX      16
#define POLICY_PATTERN_MAX   252 /* bytes of a string that is compared */
#define POLICY_NAME_MAX      253
#define POLICY_HOOKS_MAX     128
#define POLICY_FUNCTIONS_MAX 1024 /* of a hook */
#define POLICY_MATCHES_MAX   16   /* of a selector */
#define POLICY_VALUES_MAX    256  /* of a requirement */
#define POLICY_WORD_MAX      255  /* bytes of a label, a tag, a function's name */
#define POLICY_MESSAGE_MAX   1024
#define POLICY_POD_WORDS_MAX 8192 /* bytes of pod_selector */

struct policy_place {
    uint32_t line, column; /* from 1 */
};

struct policy_string {
    char *data;  /* owned; NUL-terminated, may hold NULs before */
    size_t size; /* without the last NUL */
    struct policy_place place;
};

/* Where an argument's raw value comes from. A tracepoint's fields count from the first of its format file, common_type; those of a raw
 * one from its first argument. */
enum policy_arg_from {
    POLICY_FROM_INDEX,  /* the function's argument, or the tracepoint's field, with this number */
    POLICY_FROM_RETURN, /* the return value */
};

struct policy_arg {
    struct policy_place place;
    /* As written. "auto": by the kernel's own type, `type` is RECORD_ARG_NONE until then. "nop": nothing is read, RECORD_ARG_NONE too. */
    char *type_name;
    char *label; /* NULL: none */
    enum record_arg_type type;
    enum policy_arg_from from;
    uint32_t index;
    /* char_buf, char_iovec: number of the function's argument that has the size, or the count of iovecs; -1: none;
     * RECORD_HOOK_RETURN: the return value (char_buf with return_copy). */
    int size_arg_index;
    uint32_t max_bytes;  /* 0: the default; UINT32_MAX (maxData): as much as there is room for */
    bool return_copy;    /* read when the function returns */
    bool is_kernel_text; /* string in kernel memory; filename and char_buf: the process's */
};

enum policy_operator {
    POLICY_IN,
    POLICY_NOT_IN,
    POLICY_EQUAL, /* any of the values */
    POLICY_NOT_EQUAL,
    POLICY_PREFIX,
    POLICY_NOT_PREFIX,
    POLICY_POSTFIX,
    POLICY_NOT_POSTFIX,
    POLICY_GREATER,
    POLICY_LESS,
    POLICY_IN_RANGE,
    POLICY_NOT_IN_RANGE,
    POLICY_MASK,
    POLICY_SADDR,
    POLICY_NOT_SADDR,
    POLICY_DADDR,
    POLICY_NOT_DADDR,
    POLICY_SPORT,
    POLICY_NOT_SPORT,
    POLICY_DPORT,
    POLICY_NOT_DPORT,
    POLICY_PROTOCOL,
    POLICY_FAMILY,
    POLICY_STATE,
    POLICY_OPERATOR_COUNT,
};
/* "In", "NotPostfix" …; "?" for what is none. */
const char *policy_operator_name(enum policy_operator op);
bool policy_operator_is_negative(enum policy_operator op); /* NotIn, NotPrefix … */

/* What is compared with. Text for strings; numbers, ports, protocols, families and states in [low, high], both ends included, 64 bits two's
 * complement (compared signed for signed types); Mask: low; networks: address and prefix. */
struct policy_value {
    struct policy_string text; /* as written */
    uint64_t low, high;
    uint8_t address[16]; /* IPv4: the first four */
    uint8_t family;      /* AF_INET, AF_INET6; 0: no address */
    uint8_t prefix_bits;
};

struct policy_values {
    struct policy_value *items;
    size_t count;
};

enum policy_match_kind {
    POLICY_MATCH_PIDS,
    POLICY_MATCH_BINARIES,
    POLICY_MATCH_ARG, /* and the return value */
    POLICY_MATCH_NAMESPACE,
    POLICY_MATCH_CAPABILITIES,
};

/* Kinds of namespace, in the order of struct record_namespaces. */
enum policy_namespace {
    POLICY_NS_UTS,
    POLICY_NS_IPC,
    POLICY_NS_MNT,
    POLICY_NS_PID,
    POLICY_NS_PID_FOR_CHILDREN,
    POLICY_NS_NET,
    POLICY_NS_TIME,
    POLICY_NS_TIME_FOR_CHILDREN,
    POLICY_NS_CGROUP,
    POLICY_NS_USER,
    POLICY_NS_COUNT,
};

enum policy_capability_set { POLICY_CAP_EFFECTIVE, POLICY_CAP_INHERITABLE, POLICY_CAP_PERMITTED };

/* One requirement; all of a selector must hold. */
struct policy_match {
    struct policy_place place;
    enum policy_match_kind kind;
    enum policy_operator op;
    struct policy_values values;
    uint8_t arg; /* which of the hook's args, by place in `args`; RECORD_HOOK_RETURN: the return value */
    bool namespace_pid; /* PIDS: numbers inside the process's pid namespace */
    bool follow;        /* PIDS: followForks; BINARIES: followChildren */
    enum policy_namespace name_space;
    bool host_namespace; /* NAMESPACE: "host_ns" is among the values */
    enum policy_capability_set capability_set;
    uint64_t capabilities;     /* bits of CAP_* */
    bool namespace_capability; /* only where the process is not in the initial user namespace */
};

enum policy_action_kind {
    POLICY_ACTION_POST,
    POLICY_ACTION_NO_POST,
    POLICY_ACTION_SIGKILL,
    POLICY_ACTION_SIGNAL,
    POLICY_ACTION_OVERRIDE,
};

/* "Post", "Sigkill" …; "?" for what is none. */
const char *policy_action_name(enum policy_action_kind kind);

enum policy_rate_scope { POLICY_RATE_THREAD, POLICY_RATE_PROCESS, POLICY_RATE_GLOBAL };

struct policy_action {
    struct policy_place place;
    enum policy_action_kind kind;
    int32_t value;          /* SIGNAL: its number; OVERRIDE: what is returned, 0 or negative errno */
    uint64_t rate_limit_ns; /* POST: one event with the same arguments in this time; 0: all */
    enum policy_rate_scope rate_scope;
    bool kernel_stack;
    bool on_return; /* of matchReturnActions */
};

#define POLICY_ACTIONS_MAX 4

struct policy_selector {
    struct policy_place place;
    struct policy_match *matches;
    size_t match_count;
    struct policy_action actions[POLICY_ACTIONS_MAX]; /* none: Post */
    size_t action_count;
};

struct policy_hook {
    struct policy_place place;
    enum record_hook_kind kind;
    struct policy_string
        *functions; /* kprobe: the call, or those of the list; LSM: the hook; uprobe: symbols */
    size_t function_count;
    struct policy_string subsystem, event; /* tracepoint */
    struct policy_string path;             /* uprobe: the binary */
    uint64_t *offsets;                     /* uprobe without symbols */
    size_t offset_count;
    bool is_syscall; /* kprobe: functions are "sys_openat" and the like, without the architecture's prefix */
    bool is_raw;     /* tracepoint: raw arguments */
    bool has_return; /* kprobe: the return value is wanted */
    struct policy_arg args[RECORD_HOOK_ARGS_MAX];
    size_t arg_count;
    struct policy_arg return_arg; /* type RECORD_ARG_NONE: not asked for */
    struct policy_selector selectors[POLICY_SELECTORS_MAX];
    size_t selector_count; /* 0: everything matches */
    char *message;         /* NULL: none */
    char *tags[POLICY_TAGS_MAX];
    size_t tag_count;
};

struct policy {
    char *file; /* as given; for messages */
    struct policy_string name;
    char *name_space;   /* of TracingPolicyNamespaced; NULL otherwise */
    char *pod_selector; /* the words of record_policy.selector (record.h), or NULL: none */
    size_t pod_selector_bytes;
    struct policy_hook *hooks;
    size_t hook_count;
    uint64_t digest; /* of what it says, without layout and comments: the same policy, or a changed one */
    struct policy_place place; /* of the document */
};

struct policy_list {
    struct policy *items;
    size_t count;
};

/* The first action that does more than tell (Sigkill, Signal, Override); NULL: it only watches. */
const struct policy_action *policy_enforces(const struct policy *policy);
/* Events of it go to some Pods or containers only. */
static inline bool policy_is_for_some_pods(const struct policy *policy)
{
    return policy->pod_selector || policy->name_space;
}

/* "kprobe", "tracepoint", "lsm", "uprobe"; "?" for what is none. */
const char *policy_hook_kind_name(enum record_hook_kind kind);

/* Empty again, everything freed; empty ones are fine. */
void policy_match_deinit(struct policy_match *match);
void policy_selector_deinit(struct policy_selector *selector);
void policy_hook_deinit(struct policy_hook *hook);
void policy_deinit(struct policy *policy);
void policy_list_deinit(struct policy_list *list);
