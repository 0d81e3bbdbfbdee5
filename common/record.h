/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause OR Apache-2.0 */
#pragma once
/*
 * The one wire format: what the BPF programs write, the queue carries and the enricher reads.
 *
 * A record is a header, a body by type, and a tail. It is natural-aligned, little endian, a multiple of
 * RECORD_ALIGN long and at most RECORD_SIZE_MAX. Nothing in it is a pointer; variable data stands in the tail
 * and is named by a struct record_ref: offset from the start of the record and size in bytes, without a
 * terminating NUL. An absent string is {0, 0}.
 *
 * Who writes: bpf/ (everything but LOST and POLICY), collector/ (LOST, POLICY, SNAPSHOT_CGROUP, SNAPSHOT_END), podkin-load.
 * Who reads: enricher/, which takes every byte as hostile: record_check() first (record_check.h).
 *
 * R1  header.size >= sizeof(header) + body, a multiple of RECORD_ALIGN, <= RECORD_SIZE_MAX
 * R2  a record_ref lies behind the fixed part and within header.size
 * R3  (cpu, seq) names a record for the life of a boot: seq of a CPU only grows. A refused record has used its
 *     number, so that a gap is a loss. Its start value is the boot clock at load, in ns: a collector that
 *     starts again never repeats a number.
 * R4  a process key is (tgid, start_ns): a pid alone is never a key
 * R5  cgroup_id is read from the task that the record is about, in the one hierarchy that the collector chose at
 *     its start: the default one (cgroup v2) or that of a v1 controller. Ids of different hierarchies may be equal
 * R6  size, type, version and cpu stand in the first eight bytes, in every version: what cannot be read can be counted
 */
#include <linux/types.h>

#define RECORD_VERSION  1
#define RECORD_ALIGN    8
#define RECORD_SIZE_MAX 32768

/* What a record may carry at most; longer is cut and marked by a flag. */
#define RECORD_PATH_MAX 4096 /* filename, cwd, cgroup path: bytes without NUL */
#define RECORD_ARGS_MAX 8192 /* argv: bytes with the NUL behind each argument but the last */
#define RECORD_COMM_MAX 16

/* cpu of the records that the collector makes itself; their seq is a count of its own. */
#define RECORD_CPU_COLLECTOR 0xffff

enum record_type {
    RECORD_PAD = 0, /* queue only: skip header.size bytes; only size and type are valid */
    RECORD_FORK,
    RECORD_EXEC,
    RECORD_EXIT,
    RECORD_HOOK,
    RECORD_CGROUP_MKDIR,
    RECORD_CGROUP_RMDIR,
    RECORD_CGROUP_ATTACH,
    RECORD_SNAPSHOT_PROCESS,
    RECORD_SNAPSHOT_CGROUP,
    RECORD_SNAPSHOT_END,
    RECORD_LOST,
    RECORD_POLICY,
    RECORD_TYPE_COUNT,
};
#define RECORD_TYPE_SLOTS 16 /* length of arrays by type on the wire; RECORD_TYPE_COUNT may grow up to it */

struct record_ref {
    __u16 offset;
    __u16 size;
};

struct record_header {
    __u32 size;
    __u8 type;
    __u8 version;
    __u16 cpu;
    __u64 seq;
    __u64 time_ns; /* boot clock */
    __u64 cgroup_id;
    __u64 start_ns; /* of the thread-group leader, boot clock: with tgid the process key */
    __u32 tgid;
    __u32 tid; /* the thread that did it */
};

/* RECORD_FORK: a new thread group. The header speaks of the child. */
struct record_fork {
    struct record_header header;
    __u64 parent_start_ns;  /* key of the process that called fork (whose image the child runs) */
    __u64 parent_cgroup_id; /* its cgroup, at that time */
    __u32 parent_tgid;
    __u32 parent_tid;
    __u32 real_parent_tgid; /* differs from parent_tgid with CLONE_PARENT */
    __u32 ns_pid;           /* the child's pid inside its own pid namespace */
    __u32 uid;              /* real uid, in the initial user namespace */
    __u32 flags;            /* RECORD_PROCESS_IN_INIT_TREE */
    __u8 comm[RECORD_COMM_MAX];
};

enum record_process_flag {
    RECORD_PROCESS_ARGS_TRUNCATED = 1u << 0,
    RECORD_PROCESS_ARGS_ERROR = 1u << 1,
    RECORD_PROCESS_CWD_TRUNCATED = 1u << 2,
    RECORD_PROCESS_CWD_ERROR = 1u << 3,
    RECORD_PROCESS_FILENAME_TRUNCATED = 1u << 4,
    RECORD_PROCESS_FILENAME_ERROR = 1u << 5,
    RECORD_PROCESS_BINARY_HOST_MNT = 1u << 6, /* the binary's mount, or if that has none (memfd) the process,
                                                 is of the host's mount namespace */
    RECORD_PROCESS_BINARY_UNLINKED = 1u << 7, /* deleted or memfd: link count 0 */
    RECORD_PROCESS_IN_INIT_TREE = 1u << 8,    /* pid namespace is not the initial one and the process descends
                                                 from that namespace's pid 1 (not entered from outside) */
    RECORD_PROCESS_KERNEL_THREAD = 1u << 9,   /* snapshot only */
    RECORD_PROCESS_CWD_UNREACHABLE = 1u << 10, /* deleted folder, or outside the process's root */
};

/* Inode numbers of the process's namespaces (as in /proc/PID/ns). */
struct record_namespaces {
    __u32 uts, ipc, mnt, pid, pid_for_children, net, time, time_for_children, cgroup, user;
};

/* RECORD_EXEC and RECORD_SNAPSHOT_PROCESS: a process and the image that it runs. */
struct record_process {
    struct record_header header;
    __u64 image_start_ns; /* boot clock of the exec; start_ns for one never seen to exec */
    __u64 parent_start_ns;
    __u64 cap_permitted, cap_effective, cap_inheritable;
    __u64 binary_ino;
    __u32 parent_tgid; /* real parent at the time */
    __u32 ns_pid;      /* pid inside its own pid namespace */
    __u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
    __u32 auid; /* login uid, 0xffffffff when unset */
    __u32 binary_dev;
    __u32 binary_mnt_ns; /* inode number of the mount namespace of the binary's mount, 0 when it has none */
    __u32 flags;         /* enum record_process_flag */
    struct record_namespaces ns;
    struct record_ref
        filename;           /* exec: as passed to execve, resolved by the kernel; snapshot: path of the exe */
    struct record_ref args; /* argv[0] NUL argv[1] NUL ... without the last NUL */
    struct record_ref cwd;
    __u8 comm[RECORD_COMM_MAX];
    __u32 reserved;
};

/* RECORD_EXIT: the last thread of a process left. */
struct record_exit {
    struct record_header header;
    __u32 wait_status; /* as in wait(2): signal in bits 0-6, core dump bit 7, exit status in bits 8-15 */
    __u32 ns_pid;
    __u8 comm[RECORD_COMM_MAX];
};

/* RECORD_CGROUP_MKDIR, _RMDIR, SNAPSHOT_CGROUP (header.cgroup_id is the cgroup spoken of) and _ATTACH (tgid and
 * start_ns are the process moved, cgroup_id is where it is now). */
struct record_cgroup {
    struct record_header header;
    __u32 level; /* 0 is the root */
    __u32 hierarchy_id;
    struct record_ref path; /* from the root of the hierarchy, "/" first */
    __u32 reserved;
};

/* RECORD_SNAPSHOT_END: nothing of the snapshot is missing when the counts agree. */
struct record_snapshot_end {
    struct record_header header;
    __u32 process_count;
    __u32 cgroup_count;
};

enum record_lost_where {
    RECORD_LOST_BPF_RING = 1, /* the ring buffer had no room */
    RECORD_LOST_QUEUE = 2,    /* the shared-memory queue had no room */
};

/* RECORD_LOST: records of one CPU that were refused since the last LOST of that CPU and place; exact counts.
 * header.cpu is that CPU, header.seq of the collector's own count. */
struct record_lost {
    struct record_header header;
    __u64 first_seq, last_seq; /* of the refused; records between them may have got through */
    __u64 count[RECORD_TYPE_SLOTS];
    __u32 where; /* enum record_lost_where */
    __u32 reserved;
};

/* What an argument of a hook is, and how its value is written (struct record_arg.value). */
enum record_arg_type {
    RECORD_ARG_NONE = 0,   /* no such argument; value absent */
    RECORD_ARG_INT,        /* int: 8 bytes, sign-extended */
    RECORD_ARG_UINT,       /* uint, uint32: 8 bytes */
    RECORD_ARG_LONG,       /* int64, long: 8 bytes, signed */
    RECORD_ARG_ULONG,      /* uint64: 8 bytes */
    RECORD_ARG_SIZE,       /* size_t: 8 bytes */
    RECORD_ARG_STRING,     /* string, filename: struct record_arg_bytes, bytes without NUL */
    RECORD_ARG_BYTES,      /* char_buf, char_iovec: struct record_arg_bytes */
    RECORD_ARG_FILE,       /* file: struct record_arg_path, path */
    RECORD_ARG_PATH,       /* path, dentry: the same */
    RECORD_ARG_FD,         /* fd: the same; the number in it */
    RECORD_ARG_BINPRM,     /* linux_binprm: the same */
    RECORD_ARG_SOCK,       /* sock: struct record_arg_sock */
    RECORD_ARG_SKB,        /* skb: the same */
    RECORD_ARG_SOCKADDR,   /* sockaddr: the same; of it only family, daddr, dport */
    RECORD_ARG_CRED,       /* cred: struct record_arg_cred */
    RECORD_ARG_CAPABILITY, /* capability: 8 bytes, its number */
    RECORD_ARG_SYSCALL,    /* syscall64: 8 bytes, its number; bit 63: of the 32-bit ABI */
    RECORD_ARG_TYPE_COUNT,
};

enum record_arg_flag {
    RECORD_ARG_ERROR = 1u << 0,       /* it could not be read: value absent */
    RECORD_ARG_TRUNCATED = 1u << 1,   /* of a path: its beginning is missing; of bytes and strings: the end */
    RECORD_ARG_UNREACHABLE = 1u << 2, /* path: deleted, or outside the process's root */
};

struct record_arg {
    __u8 type;  /* enum record_arg_type */
    __u8 flags; /* enum record_arg_flag */
    __u16 reserved;
    struct record_ref value; /* its offset is a multiple of RECORD_ALIGN */
};

struct record_arg_bytes {
    __u64
        original_size; /* of which the bytes behind are the first; a string's is known up to what was looked at */
};

struct record_arg_path {
    __u32 mode;  /* st_mode of the inode, 0: unknown */
    __u32 flags; /* of the open file (O_*), 0 for what is none */
    __s32 fd;    /* -1: not given by number */
    __u32 reserved;
}; /* the path behind it, up to the end of value */

struct record_arg_sock {
    __u64 cookie;
    __u16 family; /* AF_INET, AF_INET6 …; for AF_UNIX and others the addresses are 0 */
    __u16 type;   /* SOCK_STREAM … */
    __u16 protocol;
    __u8 state; /* TCP_ESTABLISHED … */
    __u8 reserved;
    __u16 sport, dport; /* host byte order */
    __u32 mark, priority;
    __u32 length;              /* skb: of the packet */
    __u8 saddr[16], daddr[16]; /* network byte order; IPv4 in the first four */
};

struct record_arg_cred {
    __u64 cap_permitted, cap_effective, cap_inheritable;
    __u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
    __u32 securebits, user_ns;
};

#define RECORD_HOOK_ARGS_MAX  6                    /* that a policy may name */
#define RECORD_HOOK_RETURN    RECORD_HOOK_ARGS_MAX /* index of the return value among the arguments */
#define RECORD_HOOK_STACK_MAX 32                   /* frames of a kernel stack */

enum record_hook_action {
    RECORD_HOOK_POST = 0,
    RECORD_HOOK_SIGKILL,
    RECORD_HOOK_SIGNAL,   /* action_value: the signal */
    RECORD_HOOK_OVERRIDE, /* action_value: what the function returned instead */
    RECORD_HOOK_ACTION_COUNT,
};

/* RECORD_HOOK: a policy's hook ran and a selector matched. The header speaks of current. */
struct record_hook {
    struct record_header header;
    __u32 hook_id;      /* of a RECORD_POLICY that came before */
    __u8 action;        /* enum record_hook_action */
    __u8 selector;      /* which one matched, from 0 */
    __u8 action_failed; /* the kernel refused it */
    __u8 stack_count;   /* frames */
    __s32 action_value;
    __u32 suppressed; /* events of this hook that its rate limit withheld since the last */
    struct record_arg args[RECORD_HOOK_ARGS_MAX + 1]; /* the last is the return value */
    struct record_ref stack;                          /* stack_count addresses of 8 bytes, innermost first */
    __u32 reserved;
};

enum record_hook_kind { /* as the policy has it */
    RECORD_HOOK_KPROBE = 1,
    RECORD_HOOK_TRACEPOINT,
    RECORD_HOOK_LSM,
    RECORD_HOOK_UPROBE,
    RECORD_HOOK_KIND_COUNT,
};

enum record_policy_flag {
    RECORD_POLICY_GONE = 1u << 0, /* the hook is detached: no RECORD_HOOK of it follows */
    RECORD_POLICY_NAMESPACED = 1u << 1,
};

/* RECORD_POLICY: what a hook id stands for. In the stream before its first RECORD_HOOK, and in each snapshot. A number is never used twice by
 * a collector. tgid, start_ns and cgroup_id are 0. */
struct record_policy {
    struct record_header header;
    __u32 hook_id;
    __u8 kind;  /* enum record_hook_kind */
    __u8 flags; /* enum record_policy_flag */
    __u16 reserved;
    struct record_ref name, name_space; /* of the policy */
    struct record_ref
        function; /* kprobe: the kernel's function; LSM: the hook; uprobe: the symbol; tracepoint: the event */
    struct record_ref subsystem; /* tracepoint: its group; uprobe: path of the binary */
    struct record_ref message;
    struct record_ref tags;     /* NUL between them */
    struct record_ref selector; /* which Pods and containers; grammar below; absent: all, and the host */
    struct record_ref labels[RECORD_HOOK_ARGS_MAX + 1];
};
/*
 * selector: words with a NUL between them, one group of words for each requirement, all of which must hold:
 *   scope key operator count value…
 * scope: "pod" (key is a label) or "container" (key is "name"); operator: In NotIn Exists DoesNotExist; count: decimal.
 */

_Static_assert(sizeof(struct record_header) == 48, "wire format");
_Static_assert(sizeof(struct record_arg) == 8, "wire format");
_Static_assert(sizeof(struct record_arg_path) == 16, "wire format");
_Static_assert(sizeof(struct record_arg_sock) == 64, "wire format");
_Static_assert(sizeof(struct record_arg_cred) == 64, "wire format");
_Static_assert(sizeof(struct record_hook) == 48 + 80, "wire format");
_Static_assert(sizeof(struct record_policy) == 48 + 64, "wire format");
_Static_assert(sizeof(struct record_fork) == 48 + 56, "wire format");
_Static_assert(sizeof(struct record_process) == 48 + 176, "wire format");
_Static_assert(sizeof(struct record_exit) == 48 + 24, "wire format");
_Static_assert(sizeof(struct record_cgroup) == 48 + 16, "wire format");
_Static_assert(sizeof(struct record_snapshot_end) == 48 + 8, "wire format");
_Static_assert(sizeof(struct record_lost) == 48 + 152, "wire format");
