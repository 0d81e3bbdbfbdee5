/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * What records say of a task. Everything is read from the task that is handed in, never from "current".
 *
 * READ(access, pointer, field, field …) follows a chain. ACCESS_DIRECT: pointer is known to the verifier by
 * type (tp_btf, iterators), each step is a plain load. ACCESS_PROBED: a raw tracepoint's bare address, read
 * by helper. `access` is a constant everywhere, so that only one of the two is compiled.
 */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/kernel_types.h"
#include "common/record.h"

enum access { ACCESS_DIRECT, ACCESS_PROBED };

#define READ_COUNT_(_1, _2, _3, _4, _5, count, ...) count
#define READ_ARROW_1(p, a)                          p->a
#define READ_ARROW_2(p, a, b)                       p->a->b
#define READ_ARROW_3(p, a, b, c)                    p->a->b->c
#define READ_ARROW_4(p, a, b, c, d)                 p->a->b->c->d
#define READ_JOIN__(x, y)                           x##y
#define READ_JOIN_(x, y)                            READ_JOIN__(x, y)
#define READ_ARROW_(...)                            READ_JOIN_(READ_ARROW_, READ_COUNT_(__VA_ARGS__, 4, 3, 2, 1, 0))(__VA_ARGS__)
#define READ(access, ...)                           ((access) == ACCESS_DIRECT ? READ_ARROW_(__VA_ARGS__) : BPF_CORE_READ(__VA_ARGS__))

#define INIT_TREE_DEPTH_MAX 32 /* ancestors that are looked at inside a pid namespace */

/* Which hierarchy decides (R5), the same in every object: 0 the default one (cgroup v2), else one more than
 * the number of a v1 controller in the kernel's enum cgroup_subsys_id. The collector sets it before loading, so
 * that only one of the two branches below is left in the program. */
const volatile __u32 cgroup_controller = 0;

/* Where a v1 controller has the task. By helper in every flavour: the index is no field that a type knows. */
static __always_inline __u64 task_v1_cgroup_id(struct task_struct *task)
{
    struct css_set *set = BPF_CORE_READ(task, cgroups);
    struct cgroup_subsys_state *css = NULL;

    bpf_core_read(&css, sizeof(css),
        (void *)set + bpf_core_field_offset(struct css_set, subsys) +
            (__u64)(cgroup_controller - 1) * sizeof(css));
    return BPF_CORE_READ(css, cgroup, kn, id);
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task, enum access access)
{
    if (cgroup_controller)
        return task_v1_cgroup_id(task);
    return READ(access, task, cgroups, dfl_cgrp, kn, id);
}

/* The task part of a header: whose record it is. */
static __always_inline void task_fill_header(
    struct record_header *header, struct task_struct *task, enum access access)
{
    header->cgroup_id = task_cgroup_id(task, access);
    header->start_ns = READ(access, task, group_leader, start_boottime);
    header->tgid = READ(access, task, tgid);
    header->tid = READ(access, task, pid);
}

static __always_inline __u64 kernel_cap_read(const kernel_cap_t *cap)
{
    __u64 bits = 0;

    bpf_core_read(&bits, sizeof(bits), cap);
    return bits;
}

/* A process's number inside its own pid namespace, and that namespace. */
struct pid_in_namespace {
    struct pid_namespace *ns;
    __u32 level; /* 0: the initial namespace */
    __u32 nr;
};

static __always_inline void pid_read_upid(struct pid *pid, __u32 level, struct pid_in_namespace *ret)
{
    struct upid upid = {};

    bpf_core_read(&upid, sizeof(upid),
        (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid));
    ret->level = level;
    ret->ns = upid.ns;
    ret->nr = upid.nr;
}

static __always_inline void process_read_pid(
    struct task_struct *leader, enum access access, struct pid_in_namespace *ret)
{
    __u32 level = READ(access, leader, thread_pid, level);

    if (level == 0) {
        ret->level = 0;
        ret->ns = NULL;
        ret->nr = READ(access, leader, tgid);
        return;
    }
    pid_read_upid(BPF_CORE_READ(leader, thread_pid), level, ret);
}

/* Whether the process descends from pid 1 of its pid namespace: one that was entered from outside has an
 * ancestor of an outer namespace. */
static __always_inline bool process_in_init_tree(
    struct task_struct *leader, const struct pid_in_namespace *own)
{
    struct task_struct *ancestor = leader;
    struct pid_in_namespace seen = *own;

    if (own->level == 0)
        return false;
    for (int i = 0; i < INIT_TREE_DEPTH_MAX; i++) {
        struct pid *pid;

        if (seen.nr == 1)
            return true;
        ancestor = BPF_CORE_READ(ancestor, real_parent, group_leader);
        pid = BPF_CORE_READ(ancestor, thread_pid);
        if (!pid || BPF_CORE_READ(pid, level) != own->level)
            return false;
        pid_read_upid(pid, own->level, &seen);
        if (seen.ns != own->ns)
            return false;
    }
    return false;
}

/* As wait(2) of the process shows it. A main thread that left by pthread_exit() in the same instant as the
 * last of the others may not have written its code yet: then it is 0, which is what pthread_exit() leaves. */
static __always_inline __u32 process_wait_status(
    struct task_struct *leader, struct signal_struct *signal, enum access access)
{
    if (READ(access, signal, flags) & SIGNAL_GROUP_EXIT)
        return READ(access, signal, group_exit_code);
    return READ(access, leader, exit_code);
}
