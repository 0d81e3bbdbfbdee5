/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the running kernel can do for policy hooks, found out by trying: each kind of trampoline is attached once, for a moment, by a program of two
 * instructions. */
#include <stdbool.h>

#include "collector/hook_compile.h"
#include "collector/probe.h"

struct btf;

struct hook_kernel {
    struct btf *btf; /* owned */
    struct hook_host host;
    const char *tracefs; /* "": not mounted */
    bool has_perf;       /* perf_event_open(2) is allowed: kprobes, uprobes, tracepoints that are not raw */
    bool has_fentry;     /* and fexit, fmod_ret */
    bool has_kprobe, has_multi, has_uprobe, has_lsm;
    bool is_guessed; /* nothing could be tried, for want of privileges: what the kernel shows is believed */
    char lsm_reason[128]; /* why not */
};

/* 0 or negative errno; a line in *error. `probe`: tells the host's namespaces; NULL: they stay unknown. */
int hook_kernel_init(struct hook_kernel *ret, const struct probe *probe, char error[HOOK_ERROR_MAX]);
void hook_kernel_deinit(struct hook_kernel *kernel);
