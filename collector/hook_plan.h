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
#include "collector/hook_kernel.h"

/* The targets of a hook, one a function; owned. */
struct hook_targets {
    struct hook_target *items;
    size_t count;
};
int hook_plan(struct hook_targets *ret, const struct hook_kernel *kernel, const struct policy_hook *hook,
    struct hook_error *error);
void hook_targets_deinit(struct hook_targets *targets);

/* The next best way for a target that could not be attached as planned, with the same configuration; false: there is none. */
bool hook_plan_fall_back(struct hook_target *target, const struct hook_kernel *kernel);
