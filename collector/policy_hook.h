/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside policy_file.c: spec.kprobes, tracepoints, lsmhooks, uprobes and lists. Each appends to the policy that is being read. */
#include "collector/policy_read.h"

/* `out` of each is struct policy *; lists come first, for calls to name them. */
void policy_read_call_lists(const struct policy_at *at, void *out);
void policy_read_kprobes(const struct policy_at *at, void *out);
void policy_read_tracepoints(const struct policy_at *at, void *out);
void policy_read_lsm_hooks(const struct policy_at *at, void *out);
void policy_read_uprobes(const struct policy_at *at, void *out);

/* args and returnArg (policy_arg.c); `out` is struct policy_hook *. */
void policy_read_args(const struct policy_at *at, void *out);
void policy_read_return_arg(const struct policy_at *at, void *out);
/* selectors (policy_selector.c); `out` is struct policy_hook *, its arguments read. */
void policy_read_selectors(const struct policy_at *at, void *out);
