/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/retry.h"

#include <criterion/criterion.h>

#include "common/clock.h"

static const struct retry_policy policy = {.first_ns = 50 * NS_PER_MS, .max_ns = 5 * NS_PER_SEC};

Test(retry, delay_doubles_up_to_the_maximum)
{
    const uint64_t expected_ms[] = {50, 100, 200, 400, 800, 1600, 3200, 5000, 5000};

    for (unsigned attempt = 0; attempt < 9; attempt++)
        cr_expect_eq(retry_delay_ns(&policy, attempt, UINT64_MAX), expected_ms[attempt] * NS_PER_MS);
}

Test(retry, jitter_covers_the_upper_half_and_no_more)
{
    cr_expect_eq(retry_delay_ns(&policy, 1, 0), 50 * NS_PER_MS);
    cr_expect_eq(retry_delay_ns(&policy, 1, UINT64_MAX), 100 * NS_PER_MS);
    cr_expect_eq(retry_delay_ns(&policy, 1, UINT64_MAX / 2 + 1), 75 * NS_PER_MS);
    for (uint64_t random = 1; random; random <<= 1) {
        uint64_t delay = retry_delay_ns(&policy, 3, random);
        cr_expect(delay >= 200 * NS_PER_MS && delay <= 400 * NS_PER_MS);
    }
}

Test(retry, same_inputs_give_the_same_delay)
{
    cr_expect_eq(
        retry_delay_ns(&policy, 4, 0x123456789abcdef), retry_delay_ns(&policy, 4, 0x123456789abcdef));
}

Test(retry, huge_attempts_and_delays_stay_at_the_maximum)
{
    const struct retry_policy wide = {.first_ns = 1, .max_ns = UINT64_MAX};

    cr_expect_eq(retry_delay_ns(&policy, UINT32_MAX, UINT64_MAX), policy.max_ns);
    cr_expect_eq(retry_delay_ns(&wide, UINT32_MAX, UINT64_MAX), UINT64_MAX);
    cr_expect_geq(retry_delay_ns(&wide, UINT32_MAX, 0), UINT64_MAX / 2);
}

Test(retry, zero_and_inverted_policies_are_answered)
{
    const struct retry_policy none = {0, 0}, inverted = {.first_ns = 10, .max_ns = 4};

    cr_expect_eq(retry_delay_ns(&none, 7, UINT64_MAX), 0);
    cr_expect_eq(retry_delay_ns(&inverted, 0, UINT64_MAX), 4);
}
