/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * A policy's hook as the programs read it: a struct hook_config, in a map by its number, and entries of shared maps by set number. Hooks on many
 * functions that differ in nothing but the function share one. An attachment's cookie is the hook id and, in the upper half, the configuration's number.
 * Written by collector/hook_compile.c, read by bpf/hook.bpf.c, changed by nobody while it is in the map but for `suppressed`.
 *
 *   front end (kprobe, tracepoint …) ─► raw words ─► matches, cheap ones first ─► arguments ─► action, record
 *
 * H1  a match reads only what it names; an argument is read at most once, and only when a match or the record needs it
 * H2  selectors are tried in order; of each, all matches must hold; the first that holds decides
 * H3  what a program cannot do (no slot free) is counted as a refused RECORD_HOOK
 */
#include "common/record.h"

#define HOOK_WORDS_MAX        12 /* of a raw tracepoint; a function has 6 */
#define HOOK_WORD_RETURN      HOOK_WORDS_MAX
#define HOOK_WORD_NONE        0xff
#define HOOK_WORD_SYSCALL     6 /* of raw system calls, behind the arguments: the number */
#define HOOK_ARGS             (RECORD_HOOK_ARGS_MAX + 1) /* the last is the return value */
#define HOOK_SELECTORS_MAX    5
#define HOOK_MATCHES_MAX      64 /* of all selectors of a hook */
#define HOOK_RANGES_MAX       64 /* the same; longer lists of single numbers go to hook_numbers */
#define HOOK_PROCESS_SETS_MAX 256
#define HOOK_PATTERN_MAX      252  /* bytes of a text that is compared as a whole */
#define HOOK_PREFIX_MAX       248  /* of its beginning or end */
#define HOOK_BYTES_DEFAULT    4096 /* of a char_buf, unless the policy says */
#define HOOK_VALUE_MAX        8192 /* bytes of one argument */
#define HOOK_SLOTS            4    /* hooks that can be at work on one CPU, one interrupting the other */

/* How an argument is made of its word. */
enum hook_read {
    HOOK_READ_NONE,
    HOOK_READ_INTEGER,  /* width bytes, signed or not */
    HOOK_READ_STRING,   /* address of text */
    HOOK_READ_FILENAME, /* struct filename * */
    HOOK_READ_BYTES,    /* address; as many as size_word says */
    HOOK_READ_IOVEC,    /* struct iovec * of the process; size_word: how many */
    HOOK_READ_IOV_ITER, /* struct iov_iter * */
    HOOK_READ_FILE,     /* struct file * */
    HOOK_READ_PATH,     /* struct path * */
    HOOK_READ_DENTRY,   /* struct dentry * */
    HOOK_READ_FD,       /* number of an open file */
    HOOK_READ_BINPRM,   /* struct linux_binprm * */
    HOOK_READ_SOCK,     /* struct sock * */
    HOOK_READ_SOCKET,   /* struct socket * */
    HOOK_READ_SKB,      /* struct sk_buff * */
    HOOK_READ_SOCKADDR, /* struct sockaddr * */
    HOOK_READ_CRED,     /* struct cred * */
    HOOK_READ_COUNT,
};

/* How a tracepoint's field becomes a word. */
enum hook_field {
    HOOK_FIELD_NONE,     /* not a tracepoint's */
    HOOK_FIELD_VALUE,    /* width bytes at offset */
    HOOK_FIELD_ADDRESS,  /* offset: the field is text or bytes itself */
    HOOK_FIELD_DATA_LOC, /* 32 bits at offset: where the text is, and its size */
    HOOK_FIELD_REL_LOC,  /* the same, counted from behind the field */
};

enum hook_arg_flag {
    HOOK_ARG_FIELD_SIGNED = 1u << 2, /* the field; the value has its own */
    HOOK_ARG_SIGNED = 1u << 0,
    HOOK_ARG_USER = 1u << 1, /* an address that the process chose: nothing of the kernel's is read by it */
};

struct hook_arg {
    __u8 type; /* enum record_arg_type; NONE: there is none */
    __u8 read; /* enum hook_read */
    __u8 word;
    __u8 size_word; /* HOOK_WORD_NONE: bytes_max is all there is */
    __u8 flags;     /* enum hook_arg_flag */
    __u8 field;     /* enum hook_field */
    __u8 width;     /* of the value: 1, 2, 4, 8 */
    __u8 field_width;
    __u16 field_offset;
    __u16 bytes_max;
};

enum hook_match_op {
    HOOK_MATCH_ALWAYS,
    HOOK_MATCH_PROCESS,    /* bit `set` of the process */
    HOOK_MATCH_PID,        /* ranges; arg: 1 inside the process's pid namespace */
    HOOK_MATCH_NAMESPACE,  /* ranges of inode numbers; arg: index in struct record_namespaces */
    HOOK_MATCH_CAPABILITY, /* arg: enum hook_capability_set; any bit of ranges[first].low; .high: only outside the first user namespace */
    HOOK_MATCH_NUMBER,     /* ranges */
    HOOK_MATCH_NUMBER_SET, /* hook_numbers */
    HOOK_MATCH_MASK,       /* any bit of ranges[first].low */
    HOOK_MATCH_TEXT,       /* hook_texts */
    HOOK_MATCH_PREFIX,     /* hook_prefixes */
    HOOK_MATCH_POSTFIX,    /* hook_postfixes */
    HOOK_MATCH_SADDR,      /* hook_networks */
    HOOK_MATCH_DADDR,
    HOOK_MATCH_SPORT, /* ranges */
    HOOK_MATCH_DPORT,
    HOOK_MATCH_PROTOCOL,
    HOOK_MATCH_FAMILY,
    HOOK_MATCH_STATE,
    HOOK_MATCH_OP_COUNT,
};

enum hook_capability_set { HOOK_CAP_EFFECTIVE, HOOK_CAP_INHERITABLE, HOOK_CAP_PERMITTED };

struct hook_match {
    __u8 op;     /* enum hook_match_op */
    __u8 arg;    /* index of the argument */
    __u8 negate; /* holds when it does not */
    __u8 fail;   /* match to go on with when this one does not hold; HOOK_MATCHES_MAX: none left */
    __u8 last;   /* of its selector: when it holds, the selector does */
    __u8 selector;
    __u8 range_first, range_count;
    __u32 set;
    __u32 is_signed;
};

struct hook_range {
    __u64 low, high; /* both included */
};

enum hook_action_flag {
    HOOK_ACTION_POST = 1u << 0,
    HOOK_ACTION_STACK = 1u << 1,
    HOOK_ACTION_OVERRIDE = 1u << 2,
};

enum hook_rate_scope { HOOK_RATE_THREAD, HOOK_RATE_PROCESS, HOOK_RATE_GLOBAL };

struct hook_action {
    __u64 rate_ns; /* one event with the same arguments in this time; 0: all */
    __s32 override;
    __s32 reported_value;
    __u8 reported; /* enum record_hook_action */
    __u8 flags;    /* enum hook_action_flag */
    __u8 signal;   /* 0: none */
    __u8 rate_scope;
    __u32 reserved;
};

enum hook_config_flag {
    HOOK_SYSCALL = 1u << 0,       /* word 0 is the address of the registers of a system call */
    HOOK_SYSCALL_ENTER = 1u << 1, /* of raw sys_enter: only the system call with this number */
    HOOK_SYSCALL_EXIT = 1u << 2,  /* of raw sys_exit */
};

/* Words of a data_loc field's size stand behind those of the fields. */
#define HOOK_WORD_FIELD_SIZE RECORD_HOOK_ARGS_MAX

struct hook_config {
    __u32 flags; /* enum hook_config_flag */
    __u32 suppressed;
    __u8 word_count;
    __u8 match_count;
    __u8 arg_count;
    __u8 reserved[5];
    __u64 syscall;
    struct hook_arg args[8];       /* HOOK_ARGS are used */
    struct hook_action actions[8]; /* HOOK_SELECTORS_MAX are used */
    struct hook_match matches[HOOK_MATCHES_MAX];
    struct hook_range ranges[HOOK_RANGES_MAX];
};

/* ---- keys of the shared maps --------------------------------------------------------------------------- */

struct hook_number_key {
    __u32 set;
    __u32 reserved;
    __u64 value;
};

struct hook_text_key {
    __u32 set;
    __u32 size;
    __u8 data[HOOK_PATTERN_MAX]; /* zero behind size */
};

/* Longest prefix: set and text. A postfix stands back to front. */
struct hook_prefix_key {
    __u32 bits; /* of what follows */
    __u32 set;
    __u8 data[HOOK_PREFIX_MAX];
};

struct hook_network_key {
    __u32 bits;
    __u32 set;
    __u8 family; /* 4 or 6 */
    __u8 reserved[3];
    __u8 address[16];
};

#define HOOK_SET_WORDS (HOOK_PROCESS_SETS_MAX / 64)

/* Which sets a process is in. */
struct hook_process_bits {
    __u64 words[HOOK_SET_WORDS];
};

/* A binary's path as a whole, its beginning, or its end back to front: the value is the union of the sets that mean it. The layouts of the two
 * keys above; `set` is 0. */

/* Pids that a selector names, and follows. */
struct hook_pid_key {
    __u32 pid;
    __u32 is_inside; /* of its own pid namespace */
};

/* Of all sets of processes together. */
struct hook_sets {
    struct hook_process_bits follow; /* stay over an exec, and go to children that exec */
    struct hook_process_bits clear;  /* no longer in use: the iterator takes them away */
    __u64 changed;                   /* processes that the iterator has changed */
    __u64 failed;                    /* execs that could not be looked at */
};

struct hook_rate_key {
    __u32 hook;
    __u32 reserved;
    __u64 scope; /* thread, process, or 0 */
    __u64 args;  /* what they hash to */
};

/* Words of a call that has not returned yet. */
struct hook_call_key {
    __u64 thread;
    __u32 hook;
    __u32 reserved;
};

struct hook_call {
    __u64 words[HOOK_WORDS_MAX];
};

_Static_assert(sizeof(struct hook_match) == 16, "no padding");
_Static_assert(sizeof(struct hook_arg) == 12, "no padding");
_Static_assert(sizeof(struct hook_action) == 24 + 0, "no padding");
_Static_assert(sizeof(struct hook_config) == 24 + 8 * 12 + 8 * 24 + 64 * 16 + 64 * 16, "no padding");
