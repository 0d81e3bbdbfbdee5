/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Process life: fork of a new thread group, exec, exit of the last thread. Each hook in two flavours with one
 * body: tp_btf, and the raw tracepoint where the kernel refuses the first; the collector loads one of them.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/image.bpf.h"
#include "bpf/output.bpf.h"
#include "bpf/process_state.bpf.h"
#include "bpf/task.bpf.h"
#include "bpf/cgroup.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Whether sched_process_exit says itself that this is the last thread (6.16 and later). */
const volatile bool exit_tells_group_dead = false;

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct image_scratch);
} exec_scratch SEC(".maps");

/* The forker is current; the child has its final cgroup and has not run yet. */
static __always_inline int on_fork(struct task_struct *parent, struct task_struct *child, enum access access)
{
    struct record_fork *r;
    struct pid_in_namespace pid;
    __u64 flags;

    if (gate_is_shut() || READ(access, child, pid) != READ(access, child, tgid))
        return 0;
    r = output_begin(RECORD_FORK, sizeof(*r), OUTPUT_LIFE, &flags);
    if (!r)
        return 0;
    task_fill_header(&r->header, child, access);
    r->parent_start_ns = READ(access, parent, group_leader, start_boottime);
    r->parent_cgroup_id = task_cgroup_id(parent, access);
    r->parent_tgid = READ(access, parent, tgid);
    r->parent_tid = READ(access, parent, pid);
    r->real_parent_tgid = READ(access, child, real_parent, tgid);
    process_read_pid(child, access, &pid);
    r->ns_pid = pid.nr;
    r->uid = READ(access, child, real_cred, uid.val);
    r->flags = process_in_init_tree(child, &pid) ? RECORD_PROCESS_IN_INIT_TREE : 0;
    bpf_core_read(r->comm, sizeof(r->comm), &child->comm);
    output_submit(r, flags);
    return 0;
}

static __always_inline __u64 exec_append_filename(
    struct image_scratch *s, struct linux_binprm *bprm, enum access access)
{
    struct record_process *r = &s->process;
    long size =
        bpf_probe_read_kernel_str(s->bytes + sizeof(*r), RECORD_PATH_MAX, READ(access, bprm, filename));

    if (size <= 1) {
        r->flags |= RECORD_PROCESS_FILENAME_ERROR;
        return sizeof(*r);
    }
    if (size == RECORD_PATH_MAX)
        r->flags |= RECORD_PROCESS_FILENAME_TRUNCATED;
    r->filename.offset = sizeof(*r);
    r->filename.size = size - 1;
    return sizeof(*r) + size - 1;
}

/* The pages were written a moment ago by execve itself, so that a read that may not fault finds them. */
static __always_inline __u64 exec_append_args(
    struct image_scratch *s, __u64 position, struct mm_struct *mm, enum access access)
{
    struct record_process *r = &s->process;
    __u64 start, size = image_args_size(r, mm, access, &start);

    FORGET(position);
    position &= IMAGE_POSITION_MASK >> 1;
    FORGET(size);
    if (size == 0 || size > RECORD_ARGS_MAX)
        return position;
    if (bpf_probe_read_user(s->bytes + position, size, (void *)start)) {
        r->flags |= RECORD_PROCESS_ARGS_ERROR;
        return position;
    }
    r->args.offset = position;
    r->args.size = size;
    return position + size;
}

static __always_inline int on_exec(struct task_struct *task, struct linux_binprm *bprm, enum access access)
{
    __u32 zero = 0;
    struct image_scratch *s = bpf_map_lookup_elem(&exec_scratch, &zero);
    __u64 position, now = bpf_ktime_get_boot_ns();
    __u32 size;

    if (!s || gate_is_shut())
        return 0;
    s->process.header.time_ns = now;
    s->process.image_start_ns = now;
    process_note_exec(now);
    task_fill_header(&s->process.header, task, access);
    image_fill_fixed(&s->process, task, access);
    position = exec_append_filename(s, bprm, access);
    position = exec_append_args(s, position, READ(access, task, mm), access);
    position = image_append_cwd(s, position, READ(access, task, fs));
    size = image_finish(s, position);
    output_send(&s->process.header, RECORD_EXEC, size, OUTPUT_LIFE);
    return 0;
}

static __always_inline int on_exit(__u64 *ctx, struct task_struct *task, enum access access)
{
    struct task_struct *leader = READ(access, task, group_leader);
    struct signal_struct *signal = READ(access, task, signal);
    struct record_exit *r;
    struct pid_in_namespace pid;
    __u64 flags;

    if (gate_is_shut())
        return 0;
    if (exit_tells_group_dead) {
        if (!(ctx[1] & 0xff))
            return 0;
    } else if (READ(access, signal, live.counter) != 0 ||
               process_exit_was_told(READ(access, signal, nr_threads))) {
        return 0;
    }
    r = output_begin(RECORD_EXIT, sizeof(*r), OUTPUT_LIFE, &flags);
    if (!r)
        return 0;
    task_fill_header(&r->header, task, access);
    r->wait_status = process_wait_status(leader, signal, access);
    process_read_pid(leader, access, &pid);
    r->ns_pid = pid.nr;
    bpf_core_read(r->comm, sizeof(r->comm), &leader->comm);
    output_submit(r, flags);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(fork_tp_btf, struct task_struct *parent, struct task_struct *child)
{
    return on_fork(parent, child, ACCESS_DIRECT);
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(fork_raw_tp, struct task_struct *parent, struct task_struct *child)
{
    return on_fork(parent, child, ACCESS_PROBED);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_tp_btf, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    return on_exec(task, bprm, ACCESS_DIRECT);
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(exec_raw_tp, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    return on_exec(task, bprm, ACCESS_PROBED);
}

/* The second argument is read by hand: an older kernel refuses a program that touches it. */
SEC("tp_btf/sched_process_exit")
int exit_tp_btf(__u64 *ctx)
{
    return on_exit(ctx, (struct task_struct *)ctx[0], ACCESS_DIRECT);
}

SEC("raw_tp/sched_process_exit")
int exit_raw_tp(__u64 *ctx)
{
    return on_exit(ctx, (struct task_struct *)ctx[0], ACCESS_PROBED);
}
