/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * What is kept with a process in the kernel, in task storage of its thread-group leader: gone with the task.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/cpu_state.h"
#include "bpf/kernel_types.h"

struct process_state {
    __u64 image_start_ns; /* boot clock of the last exec; 0: none seen */
    __u32 exit_told;
    __u32 reserved;
};

_Static_assert(sizeof(struct process_state) == PROCESS_STATE_BYTES, "the next collector goes by it");

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct process_state);
} process_states SEC(".maps");

/* Current has exec'd (it is the leader now, whichever thread called). The snapshot will report it. */
static __always_inline void process_note_exec(__u64 now)
{
    struct process_state *state = bpf_task_storage_get(
        &process_states, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

    if (state)
        state->image_start_ns = now;
}

/*
 * Where the kernel does not say which thread is the last, two that leave together may both find none alive.
 * The first to ask tells of the exit, while the other still counts as a thread; a lone thread only looks
 * whether that has happened.
 */
static __always_inline bool process_exit_was_told(int nr_threads)
{
    struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
    struct process_state *state;

    if (!leader)
        return false;
    state = bpf_task_storage_get(
        &process_states, leader, NULL, nr_threads > 1 ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
    if (!state)
        return false;
    return __sync_lock_test_and_set(&state->exit_told, 1) != 0;
}
