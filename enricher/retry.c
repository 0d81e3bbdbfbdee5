/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/retry.h"

uint64_t retry_delay_ns(const struct retry_policy *policy, unsigned attempt, uint64_t random)
{
    uint64_t delay = policy->first_ns;
    uint64_t half;

    for (; attempt > 0 && delay < policy->max_ns && delay > 0; attempt--) {
        if (__builtin_mul_overflow(delay, 2, &delay))
            delay = policy->max_ns;
    }
    if (delay > policy->max_ns)
        delay = policy->max_ns;
    half = delay / 2;
    /* The high bits of random, scaled to [0, half]: no modulo, no bias worth the name. */
    return delay - half + (uint64_t)((unsigned __int128)random * (half + 1) >> 64);
}
