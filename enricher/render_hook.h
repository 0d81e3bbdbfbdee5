/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a hook saw → the middle of its event, behind "process" and "parent":
 *
 *   ,"function_name":…,"args":[…],"return":{…},"action":…,"kernel_stack_trace":[…],"policy_name":…,"message":…,"tags":[…]
 *
 * and our own: suppressed, action_value, action_failed, selector_undecided, unknown_hook_id. What all events of the hook have in common comes rendered
 * (policy_table.h). No allocation, one pass.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

struct policy_entry;

/* With this much every event has its form: what is cut is in its arguments. */
#define RENDER_HOOK_MIN 16384

struct render_hook {
    const struct record_hook *record; /* checked */
    const struct policy_entry *policy;
    uint32_t reference; /* not 0: this number stands for function and names (emit_normalised.h) */
    bool own_fields;
    bool selector_undecided; /* it leaves although nobody could say whether its Pod is one of the policy's */
};

/* "process_kprobe" … */
const char *render_hook_event_name(const struct policy_entry *policy);
/* What it takes at most when nothing is cut. */
size_t render_hook_bound(const struct render_hook *hook);
/* At most `room` bytes: the bound, or less but RENDER_HOOK_MIN; then the longest arguments are cut. Returns what is behind; *cut is set then. */
char *render_hook(char *to, size_t room, const struct render_hook *hook, bool *cut);
