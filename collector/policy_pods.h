/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside policy_file.c: spec.podSelector and containerSelector, as words for record_policy.selector (record.h). */
#include "collector/policy_read.h"

/* `out` is struct policy *. */
void policy_read_pod_selector(const struct policy_at *at, void *out);
void policy_read_container_selector(const struct policy_at *at, void *out);
