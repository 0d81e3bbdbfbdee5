/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * podkin-collector --check-policy [--output text|json] FILE|DIR…: what policies hold, and how this kernel would attach their hooks, or every fault. Needs no
 * privilege and changes nothing.
 */
struct policy_hook;
struct text;

/* How this kernel would attach a hook: lines, each ended by a newline; one that begins with "not on this kernel" says why not. */
typedef void policy_plan_fn(struct text *out, const struct policy_hook *hook, void *arg);

/* argv[0] is the option's own word. plan: NULL: nothing is said of the kernel. Exit status: 0 all fine, whatever this kernel can do; 1 something was refused; 2
 * bad use. */
int policy_check_main(int argc, char **argv, policy_plan_fn *plan, void *arg);
