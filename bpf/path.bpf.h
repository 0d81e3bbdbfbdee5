/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * A path as its process sees it: from the dentry up to the process's root, over mount points, written from
 * the end of a buffer backwards. (bpf_d_path() is refused to most program types.) Bounded in bytes and steps:
 * when it is cut, the end of the path is kept.
 */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/kernel_types.h"
#include "common/record.h"

#define PATH_STEPS_MAX 1024 /* components and mount points */
#define PATH_NAME_MAX  255
#define PATH_BUFFER_BYTES                                                                                    \
    (RECORD_PATH_MAX + PATH_NAME_MAX + 1) /* the spare is for the verifier's eyes only */

enum path_flag {
    PATH_TRUNCATED = 1u << 0,
    PATH_UNREACHABLE = 1u << 1, /* the process's root was not met, or the folder is deleted */
};

/* Addresses, not typed pointers: the walk leaves what the verifier could follow. */
struct path_walk {
    __u8 *buffer; /* PATH_BUFFER_BYTES of map memory; the path ends at RECORD_PATH_MAX */
    struct dentry *dentry, *root_dentry, *mount_root;
    struct mount *mount, *root_mount;
    __u64 offset; /* where the path begins */
    __u32 flags;
};

static __always_inline struct mount *mount_of(struct vfsmount *vfsmount)
{
    return (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
}

/* One component or one mount point; 1 ends the walk. */
static long path_step(__u32 index, struct path_walk *walk)
{
    struct dentry *dentry = walk->dentry, *parent;
    struct mount *mount = walk->mount;
    struct qstr name = {};
    __u64 size, offset;
    long copied;
    char first = 0;

    if (dentry == walk->root_dentry && mount == walk->root_mount)
        return 1;
    if (dentry == walk->mount_root) {
        struct mount *above = BPF_CORE_READ(mount, mnt_parent);

        if (above == mount) {
            walk->flags |= PATH_UNREACHABLE;
            return 1;
        }
        walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
        walk->mount = above;
        walk->mount_root = BPF_CORE_READ(above, mnt.mnt_root);
        return 0;
    }
    parent = BPF_CORE_READ(dentry, d_parent);
    bpf_core_read(&name, sizeof(name), &dentry->d_name);
    bpf_probe_read_kernel(&first, sizeof(first), name.name);
    if (parent ==
        dentry) { /* of no tree: a root with the name "/", or a file without a folder, like "memfd:x" */
        walk->flags |= PATH_UNREACHABLE;
        if (first == '/')
            return 1;
    }
    size = name.len & PATH_NAME_MAX;
    if (size != name.len || size + 1 > walk->offset || index == PATH_STEPS_MAX - 1) {
        walk->flags |= PATH_TRUNCATED;
        return 1;
    }
    offset = (walk->offset - size - 1) & (RECORD_PATH_MAX - 1);
    walk->buffer[offset] = '/';
    /* Length and address of a name are not read as one: a rename in between pairs a long length with a short name. A name has a NUL behind it,
     * and nothing beyond is copied: it may be anything of the kernel's. What stood there is the slash of the component before, or spare. */
    copied = bpf_probe_read_kernel_str(walk->buffer + offset + 1, size + 1, name.name);
    walk->buffer[offset + 1 + size] = '/';
    if (copied < 0) {
        walk->flags |= PATH_TRUNCATED;
        return 1;
    }
    if ((__u64)copied != size + 1) /* once more: each try is a step */
        return 0;
    walk->offset = offset;
    walk->dentry = parent;
    return parent == dentry;
}

/* Writes the path of `path` as seen from `root` into buffer; it stands in [*ret_offset, RECORD_PATH_MAX).
 * Returns enum path_flag bits. */
static __always_inline __u32 path_write(
    __u8 *buffer, const struct path *path, const struct path *root, __u64 *ret_offset)
{
    struct dentry *dentry = path->dentry;
    struct mount *mount = mount_of(path->mnt);
    struct path_walk walk = {
        .buffer = buffer,
        .dentry = dentry,
        .mount = mount,
        .root_dentry = root->dentry,
        .root_mount = mount_of(root->mnt),
        .offset = RECORD_PATH_MAX,
    };

    walk.mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
    /* Unlinked while it was in use: off the hash, and not a root, which never is on it. */
    if (dentry != walk.mount_root && !BPF_CORE_READ(dentry, d_hash.pprev))
        walk.flags |= PATH_UNREACHABLE;
    bpf_loop(PATH_STEPS_MAX, path_step, &walk, 0);
    if (walk.offset >= RECORD_PATH_MAX) { /* the root itself */
        walk.offset = RECORD_PATH_MAX - 1;
        buffer[RECORD_PATH_MAX - 1] = '/';
    }
    *ret_offset = walk.offset;
    return walk.flags;
}
