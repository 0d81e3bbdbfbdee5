/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside policy_selector.c: matchActions and matchReturnActions. */
#include "collector/policy_read.h"

struct policy_selector_out {
    const struct policy_hook *hook;
    struct policy_selector *selector;
};

/* `out` is struct policy_selector_out *. */
void policy_read_actions(const struct policy_at *at, void *out);
void policy_read_return_actions(const struct policy_at *at, void *out);
