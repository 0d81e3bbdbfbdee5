/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which Pods and containers a policy is for: the namespace of a TracingPolicyNamespaced, podSelector and containerSelector. The privileged side
 * does not know Pods, so its hooks run for all, and it is decided here what was asked for.
 *
 * Pure but for a cache of answers; what it is given of a policy is hostile (the selector's words: grammar in common/record.h).
 *
 * M1  what is in no Pod differs, always: a policy with a match is not for the host
 * M2  one requirement that is known not to hold decides; else one that cannot be decided yet leaves it open
 * M3  a selector whose words break the grammar is never decided for a Pod: rather too much than blind
 */
#include <stdbool.h>
#include <stddef.h>

struct container;
struct policy_match;

enum policy_verdict {
    POLICY_MATCHES,
    POLICY_DIFFERS,
    POLICY_UNDECIDED, /* the Pod, its labels or the container's name are not known */
};

/* name_space: size 0: any. words: record_policy.selector, size 0: any. Both are copied. NULL: no memory. */
struct policy_match *policy_match_new(
    const char *name_space, size_t name_space_size, const char *words, size_t words_size);
struct policy_match *policy_match_free(struct policy_match *match); /* NULL is fine; returns NULL */
/* The words broke the grammar (M3). */
bool policy_match_is_malformed(const struct policy_match *match);

/* By what is known of the container now. */
enum policy_verdict policy_match_judge(struct policy_match *match, const struct container *container);
