/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What runs already: one RECORD_SNAPSHOT_PROCESS a process, in the format of an exec. Sleepable, so that the
 * arguments can be read from the other process's memory; the second program does without them, for a kernel
 * that refuses the first.
 *
 * One iterator is read at a time (by the collector), so that one scratch area is enough; a sleepable program
 * could not use a per-CPU one.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/image.bpf.h"
#include "bpf/process_state.bpf.h"
#include "bpf/task.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct image_scratch);
} snapshot_scratch SEC(".maps");

static __always_inline __u64 snapshot_image_start(struct task_struct *task, __u64 start_ns)
{
    struct process_state *state = bpf_task_storage_get(&process_states, task, NULL, 0);

    return state && state->image_start_ns ? state->image_start_ns : start_ns;
}

static __always_inline __u64 snapshot_append_exe(
    struct image_scratch *s, __u64 position, struct mm_struct *mm, struct fs_struct *fs)
{
    struct record_process *r = &s->process;
    struct file *file = BPF_CORE_READ(mm, exe_file);
    struct path root = {}, exe = {};
    __u32 path_flags;

    if (!file || bpf_core_read(&root, sizeof(root), &fs->root) ||
        bpf_core_read(&exe, sizeof(exe), &file->f_path)) {
        r->flags |= RECORD_PROCESS_FILENAME_ERROR;
        return position;
    }
    position = image_append_path(s, position, &exe, &root, &r->filename, &path_flags);
    if (path_flags & PATH_TRUNCATED)
        r->flags |= RECORD_PROCESS_FILENAME_TRUNCATED;
    return position;
}

static __always_inline __u64 snapshot_append_args(
    struct image_scratch *s, __u64 position, struct task_struct *task, struct mm_struct *mm, bool sleepable)
{
    struct record_process *r = &s->process;
    __u64 start, size = image_args_size(r, mm, ACCESS_PROBED, &start);

    FORGET(position);
    position &= IMAGE_POSITION_MASK >> 1;
    FORGET(size);
    if (size == 0 || size > RECORD_ARGS_MAX)
        return position;
    if (!sleepable || bpf_copy_from_user_task(s->bytes + position, size, (void *)start, task, 0)) {
        r->flags |= RECORD_PROCESS_ARGS_ERROR;
        return position;
    }
    r->args.offset = position;
    r->args.size = size;
    return position + size;
}

/* Processes only; one whose threads have all gone is no more than its exit status. */
static __always_inline bool snapshot_wants(struct task_struct *task)
{
    return task && task->pid == task->tgid && BPF_CORE_READ(task, signal, live.counter) > 0;
}

static __always_inline int on_task(struct bpf_iter__task *ctx, bool sleepable)
{
    struct task_struct *task = ctx->task;
    __u32 zero = 0;
    struct image_scratch *s = bpf_map_lookup_elem(&snapshot_scratch, &zero);
    __u64 position = sizeof(struct record_process);
    struct mm_struct *mm;
    struct fs_struct *fs;
    __u32 size;

    if (!s || !snapshot_wants(task))
        return 0;
    task_fill_header(&s->process.header, task, ACCESS_PROBED);
    s->process.header.type = RECORD_SNAPSHOT_PROCESS;
    s->process.header.version = RECORD_VERSION;
    s->process.header.cpu = RECORD_CPU_COLLECTOR;
    s->process.header.seq = 0; /* the collector's */
    s->process.header.time_ns = bpf_ktime_get_boot_ns();
    s->process.image_start_ns = snapshot_image_start(task, s->process.header.start_ns);
    image_fill_fixed(&s->process, task, ACCESS_PROBED);
    mm = BPF_CORE_READ(task, mm);
    fs = BPF_CORE_READ(task, fs);
    if (mm) {
        position = snapshot_append_exe(s, position, mm, fs);
        position = snapshot_append_args(s, position, task, mm, sleepable);
    }
    position = image_append_cwd(s, position, fs);
    size = image_finish(s, position);
    if (size > IMAGE_RECORD_BYTES)
        return 0;
    s->process.header.size = size;
    bpf_seq_write(ctx->meta->seq, s->bytes, size);
    return 0;
}

SEC("iter.s/task")
int snapshot_processes(struct bpf_iter__task *ctx)
{
    return on_task(ctx, true);
}

SEC("iter/task")
int snapshot_processes_no_args(struct bpf_iter__task *ctx)
{
    return on_task(ctx, false);
}
