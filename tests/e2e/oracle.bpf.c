/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel itself counts in the cgroups that a test watches: process births, execs and deaths. Deliberately small and apart from bpf/: it is what the product is compared
 * with, so it shares no line with it.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "tests/e2e/oracle_counts.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct kernfs_node {
    __u64 id;
} __attribute__((preserve_access_index));
struct cgroup {
    struct kernfs_node *kn;
} __attribute__((preserve_access_index));
struct cgroup_subsys_state {
    struct cgroup *cgroup;
} __attribute__((preserve_access_index));
struct css_set {
    struct cgroup_subsys_state *subsys[16];
    struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));
struct signal_struct {
    struct {
        int counter;
    } live;
} __attribute__((preserve_access_index));
struct task_struct {
    int pid, tgid;
    struct css_set *cgroups;
    struct signal_struct *signal;
} __attribute__((preserve_access_index));

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, struct oracle_counts);
} counts SEC(".maps");

const volatile int v1_controller = -1; /* enum cgroup_subsys_id; -1: v2 */

/* Else those that user space has put into the map. */
const volatile bool every_cgroup = false;

static struct oracle_counts *counts_of(struct task_struct *task)
{
    struct css_set *set = BPF_CORE_READ(task, cgroups);
    struct cgroup_subsys_state *css = NULL;
    struct oracle_counts zero = {0};
    __u64 id;

    if (v1_controller < 0) {
        id = BPF_CORE_READ(set, dfl_cgrp, kn, id);
    } else {
        bpf_probe_read_kernel(
            &css, sizeof(css), (char *)set + bpf_core_field_offset(set->subsys) + v1_controller * 8);
        id = BPF_CORE_READ(css, cgroup, kn, id);
    }

    if (every_cgroup)
        bpf_map_update_elem(&counts, &id, &zero, BPF_NOEXIST);
    return bpf_map_lookup_elem(&counts, &id);
}

SEC("raw_tp/sched_process_fork")
int count_fork(struct bpf_raw_tracepoint_args *ctx)
{
    struct task_struct *child = (void *)ctx->args[1];
    struct oracle_counts *c = counts_of(child);

    if (c && BPF_CORE_READ(child, pid) == BPF_CORE_READ(child, tgid))
        __sync_fetch_and_add(&c->forks, 1);
    return 0;
}

SEC("raw_tp/sched_process_exec")
int count_exec(struct bpf_raw_tracepoint_args *ctx)
{
    struct oracle_counts *c = counts_of((void *)ctx->args[0]);

    if (c)
        __sync_fetch_and_add(&c->execs, 1);
    return 0;
}

/* Exact for processes of one thread; two threads that leave at the same moment may both see that none lives. */
SEC("raw_tp/sched_process_exit")
int count_exit(struct bpf_raw_tracepoint_args *ctx)
{
    struct task_struct *task = (void *)ctx->args[0];
    struct oracle_counts *c = counts_of(task);

    if (c && BPF_CORE_READ(task, signal, live.counter) == 0)
        __sync_fetch_and_add(&c->exits, 1);
    return 0;
}
