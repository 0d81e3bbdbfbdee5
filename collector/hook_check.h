/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What each policy would be on this kernel, in lines: how each of its hooks is attached, or why it cannot be. Attaches nothing for longer than a moment. */
#include "collector/policy.h"
#include "common/text.h"

struct hook_kernel;

/* A policy_plan_fn; `kernel` is a struct hook_kernel. */
void hook_check_plan(struct text *out, const struct policy_hook *hook, void *kernel);

/* "NAME: OK" and a line a target, or "FILE:LINE:COLUMN: NAME: reason". 0; -EINVAL: this kernel cannot. */
int hook_check_policy(struct text *out, const struct hook_kernel *kernel, const struct policy *policy);
