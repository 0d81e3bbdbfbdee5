/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One small program for each kind of hook and each helper that podkin may use. bpf_features.c loads them one at a time, does what they wait for, and looks whether they ran.
 * They all look at mkdirat or openat of one process.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "tests/vm/bpf_features.h"

#define EPERM 1

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_struct {
    int tgid;
} __attribute__((preserve_access_index));
struct path {
    void *mnt;
} __attribute__((preserve_access_index));
struct file {
    struct path f_path;
} __attribute__((preserve_access_index));
struct cgroup {
    int level;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
    struct task_struct *task;
} __attribute__((preserve_access_index));
struct bpf_iter__cgroup {
    struct cgroup *cgroup;
} __attribute__((preserve_access_index));

const volatile __u32 own_tgid;
const volatile __u64 wanted_syscall;
const volatile bool deny;
struct feature_state state;

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} feature_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u64);
} feature_storage SEC(".maps");

static bool is_own(void)
{
    return bpf_get_current_pid_tgid() >> 32 == own_tgid;
}

static void count(void)
{
    if (is_own())
        state.hits++;
}

/* ---- hooks ---------------------------------------------------------------------------------------------- */

SEC("kprobe/security_inode_mkdir")
int on_kprobe(void *ctx)
{
    count();
    return 0;
}

SEC("kretprobe/security_inode_mkdir")
int on_kretprobe(void *ctx)
{
    count();
    return 0;
}

SEC("kprobe.multi")
int on_kprobe_multi(void *ctx)
{
    count();
    return 0;
}

SEC("fentry/security_inode_mkdir")
int on_fentry(void *ctx)
{
    count();
    return 0;
}

SEC("fexit/security_inode_mkdir")
int on_fexit(void *ctx)
{
    count();
    return 0;
}

SEC("fmod_ret/security_inode_mkdir")
int on_fmod_ret(void *ctx)
{
    count();
    return deny && is_own() ? -EPERM : 0;
}

SEC("lsm/inode_mkdir")
int on_lsm(void *ctx)
{
    count();
    return deny && is_own() ? -EPERM : 0;
}

SEC("lsm.s/file_open")
int on_lsm_sleepable(void *ctx)
{
    count();
    return 0;
}

SEC("tp/syscalls/sys_enter_mkdirat")
int on_tp(void *ctx)
{
    count();
    return 0;
}

SEC("raw_tp/sys_enter")
int on_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
    if (ctx->args[1] == wanted_syscall)
        count();
    return 0;
}

SEC("tp_btf/sys_enter")
int on_tp_btf(__u64 *ctx)
{
    if (ctx[1] == wanted_syscall)
        count();
    return 0;
}

SEC("uprobe")
int on_uprobe(void *ctx)
{
    count();
    return 0;
}

SEC("uretprobe")
int on_uretprobe(void *ctx)
{
    count();
    return 0;
}

/* ---- iterators ------------------------------------------------------------------------------------------ */

SEC("iter/task")
int on_iter_task(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;

    if (task && task->tgid == (int)own_tgid)
        state.hits++;
    return 0;
}

SEC("iter.s/task")
int on_iter_task_sleepable(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;

    if (task && task->tgid == (int)own_tgid)
        state.hits++;
    return 0;
}

SEC("iter/cgroup")
int on_iter_cgroup(struct bpf_iter__cgroup *ctx)
{
    if (ctx->cgroup)
        state.hits++;
    return 0;
}

/* ---- helpers -------------------------------------------------------------------------------------------- */

SEC("tp_btf/sys_enter")
int on_ring_buffer(__u64 *ctx)
{
    __u64 *record;

    if (ctx[1] != wanted_syscall || !is_own())
        return 0;
    record = bpf_ringbuf_reserve(&feature_ring, sizeof(*record), 0);
    if (!record)
        return 0;
    *record = ctx[1];
    bpf_ringbuf_submit(record, 0);
    state.hits++;
    return 0;
}

SEC("tp_btf/sys_enter")
int on_task_storage(__u64 *ctx)
{
    __u64 *value;

    if (ctx[1] != wanted_syscall || !is_own())
        return 0;
    value =
        bpf_task_storage_get(&feature_storage, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (value) {
        *value += 1;
        state.hits++;
        state.value = (__s64)*value;
    }
    return 0;
}

SEC("fentry/security_file_open")
int BPF_PROG(on_d_path, struct file *file)
{
    if (!is_own())
        return 0;
    state.value = bpf_d_path((void *)&file->f_path, state.path, sizeof(state.path));
    state.hits++;
    return 0;
}

SEC("tp_btf/sys_enter")
int on_stack(__u64 *ctx)
{
    __u64 frames[8];

    if (ctx[1] != wanted_syscall || !is_own())
        return 0;
    state.value = bpf_get_stack(ctx, frames, sizeof(frames), 0);
    state.hits++;
    return 0;
}

SEC("tp_btf/sys_enter")
int on_send_signal(__u64 *ctx)
{
    if (ctx[1] != wanted_syscall || !is_own())
        return 0;
    state.value = bpf_send_signal(10); /* SIGUSR1 */
    state.hits++;
    return 0;
}
