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
    struct user_namespace *user_ns;
};

struct super_block {
    __u32 s_dev;
};

struct inode {
    struct super_block *i_sb;
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
};

struct vfsmount {
    struct dentry *mnt_root;
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

struct task_struct {
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
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    kuid_t loginuid; /* with CONFIG_AUDIT */
    struct css_set *cgroups;
};

struct linux_binprm {
    const char *filename;
};

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
