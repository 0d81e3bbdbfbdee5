/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The RECORD_POLICY of a hook. */
#include "collector/hook_compile.h"
#include "collector/policy.h"
#include "common/record.h"

/* Owned by the caller; header.seq and time_ns are 0, flags have no GONE. NULL: out of memory. */
struct record_policy *hook_record_new(const struct policy *policy, const struct policy_hook *hook,
    const struct hook_target *target, uint32_t hook_id);
