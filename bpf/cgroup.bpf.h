/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * The tree of cgroups: made, removed, a process moved. The tracepoints fire for each v1 hierarchy too, with
 * ids of other trees: only one hierarchy counts. Included by process.bpf.c: one object, one ring.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/output.bpf.h"
#include "bpf/task.bpf.h"
#include "bpf/verifier.bpf.h"

const volatile __u32 cgroup_hierarchy_id = 0; /* 0: the default hierarchy; goes with cgroup_controller */

#define CGROUP_RECORD_BYTES (sizeof(struct record_cgroup) + RECORD_PATH_MAX + RECORD_ALIGN)

struct cgroup_scratch {
    union {
        struct record_cgroup cgroup;
        __u8 bytes[CGROUP_RECORD_BYTES];
    };
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct cgroup_scratch);
} cgroup_scratch SEC(".maps");

/* `path` is the kernel's own buffer (1 KiB), valid while the hook runs. */
static __always_inline void cgroup_send(
    struct cgroup_scratch *s, __u8 type, struct cgroup *cgroup, const char *path, enum access access)
{
    struct record_cgroup *r = &s->cgroup;
    /* With its NUL; an error is a very large number. */
    __u64 size = bpf_probe_read_kernel_str(s->bytes + sizeof(*r), RECORD_PATH_MAX, path);
    __u64 end = sizeof(*r);

    r->header.time_ns = bpf_ktime_get_boot_ns();
    r->header.cgroup_id = READ(access, cgroup, kn, id);
    r->level = READ(access, cgroup, level);
    r->hierarchy_id = cgroup_hierarchy_id;
    r->path = (struct record_ref){};
    r->reserved = 0;
    if (size > RECORD_PATH_MAX)
        size = 0;
    FORGET(size);
    if (size > 1) {
        r->path.offset = sizeof(*r);
        r->path.size = size - 1;
        end += size - 1;
    }
#pragma unroll
    for (int i = 0; i < RECORD_ALIGN - 1; i++)
        s->bytes[end + i] = 0;
    output_send(&r->header, type, (end + RECORD_ALIGN - 1) & ~(__u64)(RECORD_ALIGN - 1), OUTPUT_LIFE);
}

static __always_inline int on_cgroup(__u8 type, struct cgroup *cgroup, const char *path, enum access access)
{
    __u32 zero = 0;
    struct cgroup_scratch *s = bpf_map_lookup_elem(&cgroup_scratch, &zero);

    if (!s || gate_is_shut() || READ(access, cgroup, root, hierarchy_id) != (int)cgroup_hierarchy_id)
        return 0;
    s->cgroup.header.start_ns = 0;
    s->cgroup.header.tgid = 0;
    s->cgroup.header.tid = 0;
    cgroup_send(s, type, cgroup, path, access);
    return 0;
}

/* Only whole processes are reported. In v2 a thread that moves within a threaded subtree stays in its process's
 * domain; in v1 somebody may write a pid to "tasks", which moves the main thread alone: that one counts. */
static __always_inline int on_attach(
    struct cgroup *cgroup, const char *path, struct task_struct *task, bool whole, enum access access)
{
    __u32 zero = 0;
    struct cgroup_scratch *s = bpf_map_lookup_elem(&cgroup_scratch, &zero);

    if (!s || gate_is_shut() || READ(access, cgroup, root, hierarchy_id) != (int)cgroup_hierarchy_id)
        return 0;
    if (!whole && (!cgroup_controller || READ(access, task, pid) != READ(access, task, tgid)))
        return 0;
    task_fill_header(&s->cgroup.header, task, access);
    cgroup_send(s, RECORD_CGROUP_ATTACH, cgroup, path, access);
    return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir_tp_btf, struct cgroup *cgroup, const char *path)
{
    return on_cgroup(RECORD_CGROUP_MKDIR, cgroup, path, ACCESS_DIRECT);
}

SEC("raw_tp/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir_raw_tp, struct cgroup *cgroup, const char *path)
{
    return on_cgroup(RECORD_CGROUP_MKDIR, cgroup, path, ACCESS_PROBED);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_rmdir_tp_btf, struct cgroup *cgroup, const char *path)
{
    return on_cgroup(RECORD_CGROUP_RMDIR, cgroup, path, ACCESS_DIRECT);
}

SEC("raw_tp/cgroup_rmdir")
int BPF_PROG(cgroup_rmdir_raw_tp, struct cgroup *cgroup, const char *path)
{
    return on_cgroup(RECORD_CGROUP_RMDIR, cgroup, path, ACCESS_PROBED);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(
    cgroup_attach_tp_btf, struct cgroup *cgroup, const char *path, struct task_struct *task, bool whole)
{
    return on_attach(cgroup, path, task, whole, ACCESS_DIRECT);
}

SEC("raw_tp/cgroup_attach_task")
int BPF_PROG(
    cgroup_attach_raw_tp, struct cgroup *cgroup, const char *path, struct task_struct *task, bool whole)
{
    return on_attach(cgroup, path, task, whole, ACCESS_PROBED);
}
