/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside policy_selector.c: `values` of a requirement, each as its operator and its type have it. */
#include "collector/policy_read.h"
#include "collector/policy_type.h"

/* All of them are told when at fault; match->op is set already. */
void policy_read_arg_values(
    const struct policy_at *at, const struct policy_type *type, struct policy_match *match);
void policy_read_pid_values(const struct policy_at *at, struct policy_match *match);
void policy_read_binary_values(const struct policy_at *at, struct policy_match *match);
void policy_read_namespace_values(const struct policy_at *at, struct policy_match *match);
void policy_read_capability_values(const struct policy_at *at, struct policy_match *match);
