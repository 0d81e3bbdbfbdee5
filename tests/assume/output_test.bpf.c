/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Drives bpf/output.bpf.h from user space: one record a run. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/output.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Fields that the run reports. */
__u64 last_flags = 0;

static __always_inline int emit(__u8 type, enum output_class class)
{
    struct record_cgroup *record = output_begin(type, sizeof(*record), class, &last_flags);

    if (!record)
        return 0;
    output_submit(record, last_flags);
    return 1;
}

SEC("raw_tp")
int emit_life(void *ctx)
{
    return emit(RECORD_CGROUP_MKDIR, OUTPUT_LIFE);
}

SEC("raw_tp")
int emit_hook(void *ctx)
{
    return emit(RECORD_HOOK, OUTPUT_HOOK);
}
