/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a policy's hook is attached on this kernel: which kind of program, and where each argument's raw word comes from, with the kernel's own type of it.
 *
 *   kprobe      fentry, fexit for a return value (CAP_BPF and CAP_PERFMON are enough); else kprobe; fmod_ret when it overrides
 *   tracepoint  raw: raw tracepoint; else by the fields of its format in tracefs
 *   LSM         BPF LSM
 *   uprobe      uprobe
 *
 * HP1  a hook that cannot be attached is refused here if the kernel tells so: the place in the file, the reason, what would be needed
 */
#include <stdbool.h>
#include <stddef.h>

#include "collector/hook_compile.h"

struct btf;

/* What this kernel has. */
struct hook_kernel {
    struct btf *btf; /* owned */
    struct hook_host host;
    const char *tracefs; /* "": not mounted */
};

/* 0 or negative errno; a line in *error. */
int hook_kernel_init(struct hook_kernel *ret, char error[HOOK_ERROR_MAX]);
void hook_kernel_deinit(struct hook_kernel *kernel);

/* The targets of a hook, one a function; owned. */
struct hook_targets {
    struct hook_target *items;
    size_t count;
};
int hook_plan(struct hook_targets *ret, const struct hook_kernel *kernel, const struct policy_hook *hook,
    struct hook_error *error);
void hook_targets_deinit(struct hook_targets *targets);
