/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The oracle for policies on files: how often security_file_permission() was asked for one mask on one file, by cgroup. Shares nothing with podkin's own hooks. */
#include <linux/types.h>
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct super_block {
    __u32 s_dev;
};
struct inode {
    struct super_block *i_sb;
    unsigned long i_ino;
};
struct file {
    struct inode *f_inode;
};
#pragma clang attribute pop

const volatile __u64 wanted_ino = 0;
const volatile __u32 wanted_dev = 0; /* as the kernel keeps it: 12 bits of major over 20 of minor */
const volatile __u32 wanted_mask = 4;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, __u64);
} counts SEC(".maps");

SEC("kprobe/security_file_permission")
int BPF_KPROBE(count_permission, struct file *file, int mask)
{
    __u64 cgroup = bpf_get_current_cgroup_id(), one = 1, *count;
    struct inode *inode = BPF_CORE_READ(file, f_inode);

    if ((__u32)mask != wanted_mask || BPF_CORE_READ(inode, i_ino) != wanted_ino ||
        BPF_CORE_READ(inode, i_sb, s_dev) != wanted_dev)
        return 0;
    count = bpf_map_lookup_elem(&counts, &cgroup);
    if (count)
        __sync_fetch_and_add(count, 1);
    else
        bpf_map_update_elem(&counts, &cgroup, &one, BPF_NOEXIST);
    return 0;
}
