/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * From a raw word to an argument's value in the record's tail. Each reader is a global function: the verifier looks at it once, by itself, so
 * that what one type costs is not multiplied by the others. The slot is all that they share.
 *
 * The address decides which memory is read: the process's, or the kernel's. An address that the process itself hands in (a system call's
 * argument) is read as the process's only: it must not make us copy what it may not see.
 */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/hook_slot.bpf.h"
#include "bpf/kernel_types.h"
#include "bpf/task.bpf.h"
#include "bpf/verifier.bpf.h"

#define HOOK_STRING_MAX   RECORD_PATH_MAX
#define HOOK_IOVEC_BYTES  4096
#define HOOK_IOVEC_PIECES 16

static __always_inline struct record_arg *hook_arg_of(struct hook_slot *s, __u32 index)
{
    return (struct record_arg *)(s->bytes + __builtin_offsetof(struct record_hook, args) +
                                 (index & 7) * sizeof(struct record_arg));
}

static __always_inline bool hook_address_is_kernel(__u64 address)
{
    return (__s64)address < 0;
}

static __always_inline long hook_copy(void *to, __u32 size, __u64 address, __u8 flags)
{
    if (!hook_address_is_kernel(address))
        return bpf_probe_read_user(to, size, (void *)address);
    return flags & HOOK_ARG_USER ? -1 : bpf_probe_read_kernel(to, size, (void *)address);
}

/* Where the next value goes. */
static __always_inline __u64 hook_position(struct hook_slot *s)
{
    __u64 position = s->position;

    FORGET(position);
    return position & (HOOK_POSITION_MASK & ~(RECORD_ALIGN - 1));
}

static __always_inline bool hook_is_full(struct hook_slot *s)
{
    return s->position > HOOK_POSITION_MASK;
}

static __always_inline int hook_fail(struct hook_slot *s, __u32 index)
{
    hook_arg_of(s, index)->flags |= RECORD_ARG_ERROR;
    return 0;
}

/* A value of `size` bytes stands at `position`. */
static __always_inline int hook_keep(struct hook_slot *s, __u32 index, __u64 position, __u64 size, __u8 flags)
{
    struct record_arg *arg = hook_arg_of(s, index);
    __u64 end = position + size;

    FORGET(end);
    if (end > HOOK_RECORD_BYTES - RECORD_ALIGN)
        return hook_fail(s, index);
    arg->flags |= flags;
    arg->value.offset = position;
    arg->value.size = size;
#pragma unroll
    for (int i = 0; i < RECORD_ALIGN - 1; i++)
        s->bytes[end + i] = 0;
    s->position = (end + RECORD_ALIGN - 1) & ~(__u64)(RECORD_ALIGN - 1);
    return 0;
}

static __always_inline int hook_keep_number(struct hook_slot *s, __u32 index, __u64 value)
{
    __u64 position = hook_position(s);

    *(__u64 *)(s->bytes + position) = value;
    return hook_keep(s, index, position, sizeof(value), 0);
}

static __always_inline __u64 hook_integer(const struct hook_arg *arg, __u64 word)
{
    bool is_signed = arg->flags & HOOK_ARG_SIGNED;

    switch (arg->width) {
    case 1:
        return is_signed ? (__u64)(__s64)(__s8)word : (__u8)word;
    case 2:
        return is_signed ? (__u64)(__s64)(__s16)word : (__u16)word;
    case 4:
        return is_signed ? (__u64)(__s64)(__s32)word : (__u32)word;
    default:
        return word;
    }
}

/* ---- text and bytes ------------------------------------------------------------------------------------ */

__noinline int hook_read_string(struct hook_slot *s, __u32 index, __u64 address, __u8 flags)
{
    struct record_arg_bytes *value;
    __u64 position;
    long size;

    if (!s)
        return 0;
    position = hook_position(s);
    value = (void *)(s->bytes + position);
    if (!hook_address_is_kernel(address))
        size = bpf_probe_read_user_str(value + 1, HOOK_STRING_MAX, (void *)address);
    else
        size = flags & HOOK_ARG_USER ? -1
                                     : bpf_probe_read_kernel_str(value + 1, HOOK_STRING_MAX, (void *)address);
    if (size <= 0)
        return hook_fail(s, index);
    size = (size - 1) & (HOOK_STRING_MAX - 1);
    value->original_size = size;
    return hook_keep(
        s, index, position, sizeof(*value) + size, size == HOOK_STRING_MAX - 1 ? RECORD_ARG_TRUNCATED : 0);
}

/* `original` bytes are there, as many as `most` are taken. */
__noinline int hook_read_bytes(
    struct hook_slot *s, __u32 index, __u64 address, __u64 original, __u64 most_and_flags)
{
    struct record_arg_bytes *value;
    __u64 position, size = original;
    __u32 most = most_and_flags & 0xffff;

    if (!s)
        return 0;
    position = hook_position(s);
    value = (void *)(s->bytes + position);
    if (size > most)
        size = most;
    FORGET(size);
    if (size > HOOK_VALUE_MAX)
        size = HOOK_VALUE_MAX;
    if (size && hook_copy(value + 1, size, address, most_and_flags >> 16))
        return hook_fail(s, index);
    value->original_size = original;
    return hook_keep(s, index, position, sizeof(*value) + size, size < original ? RECORD_ARG_TRUNCATED : 0);
}

/* The gathering of pieces under way. */
struct hook_gathering {
    struct hook_slot *slot;
    __u64 pieces, position, filled, original, skip;
    __u32 flags, failed;
};

static long hook_gather_step(__u32 index, struct hook_gathering *g)
{
    struct iovec piece = {};
    __u64 size, at = g->filled, position = g->position;

    if (hook_copy(&piece, sizeof(piece), g->pieces + index * sizeof(piece), g->flags)) {
        g->failed = 1;
        return 1;
    }
    if (g->skip >= piece.iov_len) {
        g->skip -= piece.iov_len;
        return 0;
    }
    size = piece.iov_len - g->skip;
    g->original += size;
    FORGET(at);
    if (at >= HOOK_IOVEC_BYTES)
        return 0;
    FORGET(size);
    if (size > HOOK_IOVEC_BYTES)
        size = HOOK_IOVEC_BYTES;
    FORGET(position);
    position &= HOOK_POSITION_MASK;
    if (hook_copy(g->slot->bytes + position + sizeof(struct record_arg_bytes) + at, size,
            (__u64)piece.iov_base + g->skip, g->flags)) {
        g->failed = 1;
        return 1;
    }
    g->filled = at + size;
    g->skip = 0;
    return 0;
}

/* The pieces' bytes one behind the other. `skip`: bytes of the first that are not meant. */
__noinline int hook_read_pieces(
    struct hook_slot *s, __u32 index, __u64 pieces, __u64 count, __u64 skip_and_flags)
{
    struct hook_gathering g = {
        .slot = s, .pieces = pieces, .skip = skip_and_flags & 0xffffffff, .flags = skip_and_flags >> 32};
    struct record_arg_bytes *value;
    __u64 filled;

    if (!s)
        return 0;
    g.position = hook_position(s);
    value = (void *)(s->bytes + g.position);
    bpf_loop(count < HOOK_IOVEC_PIECES ? count : HOOK_IOVEC_PIECES, hook_gather_step, &g, 0);
    if (g.failed)
        return hook_fail(s, index);
    filled = g.filled;
    FORGET(filled);
    if (filled > HOOK_IOVEC_BYTES)
        filled = HOOK_IOVEC_BYTES;
    value->original_size = g.original;
    return hook_keep(s, index, hook_position(s), sizeof(*value) + filled,
        filled < g.original || count > HOOK_IOVEC_PIECES ? RECORD_ARG_TRUNCATED : 0);
}

static __always_inline int hook_read_iov_iter(struct hook_slot *s, __u32 index, __u64 address)
{
    struct iov_iter *iter = (void *)address;
    __u8 type = BPF_CORE_READ(iter, iter_type);
    __u64 offset = BPF_CORE_READ(iter, iov_offset), pieces;

    if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
        type == bpf_core_enum_value(enum iter_type, ITER_UBUF))
        return hook_read_bytes(s, index, (__u64)BPF_CORE_READ(iter, ubuf) + offset,
            BPF_CORE_READ(iter, count), HOOK_BYTES_DEFAULT);
    if (type != bpf_core_enum_value(enum iter_type, ITER_IOVEC) &&
        type != bpf_core_enum_value(enum iter_type, ITER_KVEC))
        return hook_fail(s, index);
    if (bpf_core_field_exists(iter->__iov))
        pieces = (__u64)BPF_CORE_READ(iter, __iov);
    else
        pieces = (__u64)BPF_CORE_READ((struct iov_iter___before_6_4 *)iter, iov);
    return hook_read_pieces(s, index, pieces, BPF_CORE_READ(iter, nr_segs), offset & 0xffffffff);
}

/* ---- paths --------------------------------------------------------------------------------------------- */

/* The path of (mount, dentry) as current sees it; `open_flags` and `fd` for the record. */
__noinline int hook_read_place(
    struct hook_slot *s, __u32 index, __u64 mount, __u64 dentry, __u64 open_flags_and_fd)
{
    const struct path path = {.mnt = (void *)mount, .dentry = (void *)dentry};
    struct task_struct *task = (void *)bpf_get_current_task();
    struct path root = {};
    struct record_arg_path *value;
    struct inode *inode;
    __u64 position, offset = 0, size;
    __u32 flags;

    if (!s)
        return 0;
    position = hook_position(s);
    value = (void *)(s->bytes + position);
    BPF_CORE_READ_INTO(&root, task, fs, root);
    flags = path_write(s->path, &path, &root, &offset);
    offset &= RECORD_PATH_MAX - 1;
    size = RECORD_PATH_MAX - offset;
    FORGET(size);
    if (size > RECORD_PATH_MAX || bpf_probe_read_kernel(value + 1, size, s->path + offset))
        return hook_fail(s, index);
    inode = BPF_CORE_READ(path.dentry, d_inode);
    value->mode = inode ? BPF_CORE_READ(inode, i_mode) : 0;
    value->flags = open_flags_and_fd >> 32;
    value->fd = open_flags_and_fd;
    value->reserved = 0;
    return hook_keep(s, index, position, sizeof(*value) + size,
        (flags & PATH_TRUNCATED ? RECORD_ARG_TRUNCATED : 0) |
            (flags & PATH_UNREACHABLE ? RECORD_ARG_UNREACHABLE : 0));
}

static __always_inline int hook_read_path(struct hook_slot *s, __u32 index, __u64 address, __u64 flags_and_fd)
{
    struct path path = {};

    if (bpf_probe_read_kernel(&path, sizeof(path), (void *)address) || !path.dentry)
        return hook_fail(s, index);
    return hook_read_place(s, index, (__u64)path.mnt, (__u64)path.dentry, flags_and_fd);
}

static __always_inline int hook_read_file(struct hook_slot *s, __u32 index, __u64 address, __s32 fd)
{
    struct file *file = (void *)address;
    __u64 flags = 0;

    if (!file)
        return hook_fail(s, index);
    flags = BPF_CORE_READ(file, f_flags);
    return hook_read_path(
        s, index, address + bpf_core_field_offset(struct file, f_path), flags << 32 | (__u32)fd);
}

static __always_inline int hook_read_fd(struct hook_slot *s, __u32 index, __u64 word)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct fdtable *table = BPF_CORE_READ(task, files, fdt);
    struct file **files = BPF_CORE_READ(table, fd), *file = NULL;
    __u32 fd = word;

    if (fd >= BPF_CORE_READ(table, max_fds) || bpf_probe_read_kernel(&file, sizeof(file), files + fd))
        return hook_fail(s, index);
    return hook_read_file(s, index, (__u64)file, fd);
}

/* A dentry does not say through which mount it was reached: that of the working directory or of the root counts, if it shows the same
 * filesystem; otherwise the path begins at the filesystem's root and is marked unreachable. */
static __always_inline int hook_read_dentry(struct hook_slot *s, __u32 index, __u64 address)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct dentry *dentry = (void *)address;
    struct super_block *sb = BPF_CORE_READ(dentry, d_sb);
    struct vfsmount *mount = BPF_CORE_READ(task, fs, pwd.mnt);

    if (!sb)
        return hook_fail(s, index);
    if (BPF_CORE_READ(mount, mnt_sb) != sb)
        mount = BPF_CORE_READ(task, fs, root.mnt);
    if (BPF_CORE_READ(mount, mnt_sb) != sb)
        mount = NULL;
    return hook_read_place(s, index, (__u64)mount, address, (__u32)-1);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

__noinline int hook_read_cred(struct hook_slot *s, __u32 index, __u64 address)
{
    const struct cred *cred = (void *)address;
    struct record_arg_cred *value;
    __u64 position;

    if (!s)
        return 0;
    if (!address)
        return hook_fail(s, index);
    position = hook_position(s);
    value = (void *)(s->bytes + position);
    value->uid = BPF_CORE_READ(cred, uid.val);
    value->gid = BPF_CORE_READ(cred, gid.val);
    value->euid = BPF_CORE_READ(cred, euid.val);
    value->egid = BPF_CORE_READ(cred, egid.val);
    value->suid = BPF_CORE_READ(cred, suid.val);
    value->sgid = BPF_CORE_READ(cred, sgid.val);
    value->fsuid = BPF_CORE_READ(cred, fsuid.val);
    value->fsgid = BPF_CORE_READ(cred, fsgid.val);
    bpf_core_read(&value->cap_permitted, sizeof(__u64), &cred->cap_permitted);
    bpf_core_read(&value->cap_effective, sizeof(__u64), &cred->cap_effective);
    bpf_core_read(&value->cap_inheritable, sizeof(__u64), &cred->cap_inheritable);
    value->securebits = BPF_CORE_READ(cred, securebits);
    value->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
    return hook_keep(s, index, position, sizeof(*value), 0);
}

static __always_inline __u64 hook_syscall_number(__u64 word)
{
    struct task_struct *task = (void *)bpf_get_current_task();

    if (bpf_core_field_exists(struct thread_info, status) &&
        BPF_CORE_READ(task, thread_info.status) & TS_COMPAT)
        return (word & 0xffffffff) | 1ull << 63;
    return word & 0xffffffff;
}
