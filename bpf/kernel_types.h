/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * The kernel's types, as far as we touch them: field names matter, order and offsets do not (CO-RE relocates
 * each access against the running kernel). Good for 6.1 and later.
 */
#include <linux/types.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
    int counter;
} atomic_t;

typedef struct {
    __u32 val;
} kuid_t;

typedef struct {
    __u32 val;
} kgid_t;

/* u32[2] up to 6.2, one u64 since: the same bytes on a little-endian machine, so it is only ever read as a
 * whole. */
typedef struct {
    __u64 val;
} kernel_cap_t;

struct ns_common {
    unsigned int inum;
};

struct uts_namespace {
    struct ns_common ns;
};

struct ipc_namespace {
    struct ns_common ns;
};

struct mnt_namespace {
    struct ns_common ns;
};

struct pid_namespace {
    struct ns_common ns;
};

struct net {
    struct ns_common ns;
};

struct time_namespace {
    struct ns_common ns;
};

struct cgroup_namespace {
    struct ns_common ns;
};

struct user_namespace {
    struct ns_common ns;
};

struct nsproxy {
    struct uts_namespace *uts_ns;
    struct ipc_namespace *ipc_ns;
    struct mnt_namespace *mnt_ns;
    struct pid_namespace *pid_ns_for_children;
    struct net *net_ns;
    struct time_namespace *time_ns;
    struct time_namespace *time_ns_for_children;
    struct cgroup_namespace *cgroup_ns;
};

struct upid {
    int nr;
    struct pid_namespace *ns;
};

struct pid {
    unsigned int level;
    struct upid numbers[1];
};

struct cred {
    kuid_t uid;
    kgid_t gid;
    kuid_t suid;
    kgid_t sgid;
    kuid_t euid;
    kgid_t egid;
    kuid_t fsuid;
    kgid_t fsgid;
    kernel_cap_t cap_inheritable;
    kernel_cap_t cap_permitted;
    kernel_cap_t cap_effective;
    unsigned int securebits;
    struct user_namespace *user_ns;
};

struct super_block {
    __u32 s_dev;
};

struct inode {
    struct super_block *i_sb;
    unsigned short i_mode;
    unsigned long i_ino;
    unsigned int i_nlink;
};

struct hlist_bl_node {
    struct hlist_bl_node *next, **pprev;
};

struct qstr {
    __u32 hash;
    __u32 len;
    const unsigned char *name;
};

struct dentry {
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
    struct super_block *d_sb;
};

struct vfsmount {
    struct dentry *mnt_root;
    struct super_block *mnt_sb;
};

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
    struct mnt_namespace *mnt_ns;
};

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};

struct file {
    struct path f_path;
    struct inode *f_inode;
    unsigned int f_flags;
};

struct filename {
    const char *name;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

struct fs_struct {
    struct path root;
    struct path pwd;
};

struct mm_struct {
    unsigned long arg_start, arg_end;
    struct file *exe_file;
};

struct kernfs_node {
    __u64 id;
};

struct cgroup_root {
    int hierarchy_id;
};

struct cgroup {
    int level;
    struct kernfs_node *kn;
    struct cgroup_root *root;
};

struct cgroup_subsys_state {
    struct cgroup *cgroup;
};

struct css_set {
    struct cgroup_subsys_state *subsys[1]; /* as many as enum cgroup_subsys_id has */
    struct cgroup *dfl_cgrp;
};

struct signal_struct {
    atomic_t live;
    int nr_threads;
    int group_exit_code;
    unsigned int flags;
};

struct thread_info {
    __u32 status; /* x86 */
};

struct task_struct {
    struct thread_info thread_info;
    unsigned int flags;
    int exit_code;
    int pid;
    int tgid;
    __u64 start_boottime;
    struct mm_struct *mm;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    struct pid *thread_pid;
    const struct cred *real_cred;
    char comm[16];
    struct fs_struct *fs;
    struct files_struct *files;
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    kuid_t loginuid; /* with CONFIG_AUDIT */
    struct css_set *cgroups;
};

struct linux_binprm {
    struct file *file;
    const char *filename;
};

/* ---- sockets and packets */

struct in6_addr {
    __u8 bytes[16];
};

typedef struct {
    __s64 counter;
} atomic64_t;

/* Some of these stand in unions and unnamed structs there; CO-RE looks into them. */
struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    unsigned char skc_state;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
    atomic64_t skc_cookie;
};

struct sock {
    struct sock_common __sk_common;
    __u32 sk_priority;
    __u32 sk_mark;
    __u16 sk_type;
    __u16 sk_protocol;
};

struct socket {
    struct sock *sk;
};

struct sk_buff {
    struct sock *sk;
    unsigned int len;
    __u32 priority;
    __u32 mark;
    __u16 network_header;
    unsigned char *head;
};

/* ---- buffers in pieces */

struct iovec {
    void *iov_base;
    __u64 iov_len;
};

struct iov_iter {
    __u8 iter_type;
    __u64 iov_offset;
    __u64 count;
    const struct iovec *__iov;
    void *ubuf;
    unsigned long nr_segs;
};

struct iov_iter___before_6_4 {
    const struct iovec *iov;
};

enum iter_type { ITER_UBUF, ITER_IOVEC, ITER_BVEC, ITER_KVEC };

struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
    __u64 session_id;
    __u64 seq_num;
};

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

#pragma clang attribute pop

/* include/linux/sched.h, include/linux/sched/signal.h */
#define PF_KTHREAD        0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004
/* arch/x86/include/asm/thread_info.h */
#define TS_COMPAT 0x0002
