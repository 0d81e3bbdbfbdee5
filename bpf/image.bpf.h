/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Assembles a struct record_process, for an exec and for the snapshot alike: the fixed part, then the tail in
 * the order filename, args, cwd, each where the one before it ends.
 *
 * The bounds look clumsy because the verifier of 6.1 has to see each of them: a position is masked to a power
 * of two, and the memory behind it is large enough for what may follow.
 */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/path.bpf.h"
#include "bpf/task.bpf.h"
#include "bpf/verifier.bpf.h"

#define IMAGE_POSITION_MASK 0x3fff /* > fixed part + filename + args */
#define IMAGE_RECORD_BYTES  (IMAGE_POSITION_MASK + 1 + RECORD_PATH_MAX + RECORD_ALIGN)

struct image_scratch {
    union {
        struct record_process process;
        __u8 bytes[IMAGE_RECORD_BYTES];
    };
    __u8 path[PATH_BUFFER_BYTES];
};
_Static_assert(
    sizeof(struct record_process) + RECORD_PATH_MAX + RECORD_ARGS_MAX <= IMAGE_POSITION_MASK, "fits");
_Static_assert(sizeof(struct image_scratch) <= 32768, "what a per-CPU map may hold");

/* Inode number of the host's mount namespace; the collector learns it from process 1 once the iterator is
 * loaded. */
volatile __u32 host_mnt_ns = 0;

static __always_inline void image_fill_credentials(
    struct record_process *r, struct task_struct *task, enum access access)
{
    const struct cred *cred = READ(access, task, real_cred);

    r->uid = READ(access, cred, uid.val);
    r->gid = READ(access, cred, gid.val);
    r->euid = READ(access, cred, euid.val);
    r->egid = READ(access, cred, egid.val);
    r->suid = READ(access, cred, suid.val);
    r->sgid = READ(access, cred, sgid.val);
    r->fsuid = READ(access, cred, fsuid.val);
    r->fsgid = READ(access, cred, fsgid.val);
    r->cap_permitted = kernel_cap_read(&cred->cap_permitted);
    r->cap_effective = kernel_cap_read(&cred->cap_effective);
    r->cap_inheritable = kernel_cap_read(&cred->cap_inheritable);
    r->ns.user = READ(access, cred, user_ns, ns.inum);
    r->auid = ~0u;
    if (bpf_core_field_exists(task->loginuid))
        r->auid = READ(access, task, loginuid.val);
}

static __always_inline void image_fill_namespaces(struct record_process *r, struct task_struct *task,
    const struct pid_in_namespace *pid, enum access access)
{
    struct nsproxy *nsproxy = READ(access, task, nsproxy);
    struct pid_namespace *pid_ns = pid->ns;

    r->ns.uts = READ(access, nsproxy, uts_ns, ns.inum);
    r->ns.ipc = READ(access, nsproxy, ipc_ns, ns.inum);
    r->ns.mnt = READ(access, nsproxy, mnt_ns, ns.inum);
    r->ns.pid_for_children = READ(access, nsproxy, pid_ns_for_children, ns.inum);
    r->ns.net = READ(access, nsproxy, net_ns, ns.inum);
    r->ns.time = READ(access, nsproxy, time_ns, ns.inum);
    r->ns.time_for_children = READ(access, nsproxy, time_ns_for_children, ns.inum);
    r->ns.cgroup = READ(access, nsproxy, cgroup_ns, ns.inum);
    r->ns.pid = BPF_CORE_READ(pid_ns, ns.inum);
}

/* The file that runs: for a script, its interpreter. After the namespaces. */
static __always_inline void image_fill_binary(struct record_process *r, struct file *file, enum access access)
{
    struct inode *inode = READ(access, file, f_inode);
    struct mount *mount = mount_of(BPF_CORE_READ(file, f_path.mnt));
    __u32 dev = READ(access, inode, i_sb, s_dev), mnt_ns;

    r->binary_ino = READ(access, inode, i_ino);
    /* As stat(2) shows it: the kernel keeps 12 bits of major over 20 of minor. */
    r->binary_dev = (dev & 0xff) | (dev >> 20) << 8 | (dev & 0xfff00) << 12;
    if (READ(access, inode, i_nlink) == 0)
        r->flags |= RECORD_PROCESS_BINARY_UNLINKED;
    /* A kernel-internal mount (memfd) has an error code in place of a namespace: the read fails and leaves
     * 0. */
    r->binary_mnt_ns = BPF_CORE_READ(mount, mnt_ns, ns.inum);
    /* There it is the process that tells: runc runs its init from a copy of itself in a memfd, before it leaves the host's. */
    mnt_ns = r->binary_mnt_ns ? r->binary_mnt_ns : r->ns.mnt;
    if (mnt_ns && mnt_ns == host_mnt_ns)
        r->flags |= RECORD_PROCESS_BINARY_HOST_MNT;
}

/* Everything but the task part of the header, image_start_ns and the tail. `leader` is a thread-group
 * leader. */
static __always_inline void image_fill_fixed(
    struct record_process *r, struct task_struct *leader, enum access access)
{
    struct pid_in_namespace pid;
    struct task_struct *parent = READ(access, leader, real_parent); /* once: it may change at any time */
    struct mm_struct *mm = READ(access, leader, mm);
    struct file *file = NULL;

    r->flags = 0;
    r->parent_tgid = READ(access, parent, tgid);
    r->parent_start_ns = READ(access, parent, group_leader, start_boottime);
    process_read_pid(leader, access, &pid);
    r->ns_pid = pid.nr;
    if (process_in_init_tree(leader, &pid))
        r->flags |= RECORD_PROCESS_IN_INIT_TREE;
    if (READ(access, leader, flags) & PF_KTHREAD)
        r->flags |= RECORD_PROCESS_KERNEL_THREAD;
    if (pid.level == 0)
        pid_read_upid(BPF_CORE_READ(leader, thread_pid), 0, &pid); /* for its namespace */
    image_fill_credentials(r, leader, access);
    image_fill_namespaces(r, leader, &pid, access);
    r->binary_ino = 0;
    r->binary_dev = 0;
    r->binary_mnt_ns = 0;
    if (mm)
        file = READ(access, mm, exe_file);
    if (file)
        image_fill_binary(r, file, access);
    bpf_core_read(r->comm, sizeof(r->comm), &leader->comm);
    r->reserved = 0;
    r->filename = (struct record_ref){};
    r->args = (struct record_ref){};
    r->cwd = (struct record_ref){};
}

/* Where the arguments stand in the process's memory and how much of them is taken. */
static __always_inline __u64 image_args_size(
    struct record_process *r, struct mm_struct *mm, enum access access, __u64 *ret_start)
{
    __u64 start = READ(access, mm, arg_start), end = READ(access, mm, arg_end), size;

    *ret_start = start;
    if (end <= start)
        return 0;
    size = end - start - 1; /* without the last NUL */
    if (size > RECORD_ARGS_MAX) {
        size = RECORD_ARGS_MAX;
        r->flags |= RECORD_PROCESS_ARGS_TRUNCATED;
    }
    return size;
}

/* Appends a path at `position`; returns the position behind it. */
static __always_inline __u64 image_append_path(struct image_scratch *s, __u64 position,
    const struct path *path, const struct path *root, struct record_ref *ret, __u32 *ret_path_flags)
{
    __u64 offset, size;

    *ret_path_flags = path_write(s->path, path, root, &offset);
    offset &= RECORD_PATH_MAX - 1;
    size = RECORD_PATH_MAX - offset;
    FORGET(position);
    position &= IMAGE_POSITION_MASK;
    FORGET(size);
    if (size > RECORD_PATH_MAX)
        return position;
    /* Copied by helper: a loop would cost more and the verifier more still. Source: the buffer has
     * RECORD_PATH_MAX bytes from 0, and the address is only an address here. */
    if (bpf_probe_read_kernel(s->bytes + position, size, s->path + offset))
        return position;
    ret->offset = position;
    ret->size = size;
    return position + size;
}

static __always_inline __u64 image_append_cwd(struct image_scratch *s, __u64 position, struct fs_struct *fs)
{
    struct record_process *r = &s->process;
    struct path root = {}, cwd = {};
    __u32 path_flags;

    if (bpf_core_read(&root, sizeof(root), &fs->root) || bpf_core_read(&cwd, sizeof(cwd), &fs->pwd)) {
        r->flags |= RECORD_PROCESS_CWD_ERROR;
        return position;
    }
    position = image_append_path(s, position, &cwd, &root, &r->cwd, &path_flags);
    if (!r->cwd.size)
        r->flags |= RECORD_PROCESS_CWD_ERROR;
    if (path_flags & PATH_TRUNCATED)
        r->flags |= RECORD_PROCESS_CWD_TRUNCATED;
    if (path_flags & PATH_UNREACHABLE)
        r->flags |= RECORD_PROCESS_CWD_UNREACHABLE;
    return position;
}

/* Size of the record whose tail ends at `position`: rounded up, the gap cleared, within the scratch
 * memory. */
static __always_inline __u32 image_finish(struct image_scratch *s, __u64 position)
{
    FORGET(position);
    if (position > IMAGE_RECORD_BYTES - RECORD_ALIGN)
        position = IMAGE_RECORD_BYTES - RECORD_ALIGN;
#pragma unroll
    for (int i = 0; i < RECORD_ALIGN - 1; i++)
        s->bytes[position + i] = 0;
    return (position + RECORD_ALIGN - 1) & ~(__u64)(RECORD_ALIGN - 1);
}
