/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When to look again. Pure: the same inputs give the same answer. Exponential back-off with jitter ("full
 * jitter" on the upper half: delay/2 + random·delay/2). */
#include <stdint.h>

struct retry_policy {
    uint64_t first_ns, max_ns; /* the first delay, the cap of one delay */
};

/* attempt: 0, 1, 2 …; random: any 64 random bits. Result in [d/2, d] with d = min(first · 2^attempt, max). */
uint64_t retry_delay_ns(const struct retry_policy *policy, unsigned attempt, uint64_t random);
