/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/nap.h"

#include <criterion/criterion.h>

/* The waits that a steady rate comes to, from both ends. */
static uint64_t settle(uint64_t ns, double records_a_ms)
{
    for (unsigned i = 0; i < 20; i++)
        ns = nap_next_ns(ns, (unsigned)(records_a_ms * (double)ns / NS_PER_MS));
    return ns;
}

Test(nap, with_nothing_to_do_it_waits_longest)
{
    cr_assert_eq(settle(NAP_MIN_NS, 0), NAP_MAX_NS);
    cr_assert_eq(settle(0, 0), NAP_MAX_NS);
}

Test(nap, a_burst_ends_the_longest_wait_at_once)
{
    cr_assert_eq(nap_next_ns(NAP_MAX_NS, NAP_MANY_RECORDS), NAP_MIN_NS);
    cr_assert_eq(nap_next_ns(NAP_MAX_NS, 1000000), NAP_MIN_NS);
}

Test(nap, many_records_keep_it_short)
{
    cr_assert_eq(settle(NAP_MIN_NS, 50), NAP_MIN_NS);
    cr_assert_eq(settle(NAP_MAX_NS, 50), NAP_MIN_NS);
    cr_assert_eq(settle(NAP_MAX_NS, 10), NAP_MIN_NS);
}

Test(nap, a_trickle_is_collected)
{
    cr_assert_eq(settle(NAP_MIN_NS, 0.1), NAP_FEW_NS, "a hundred a second");
    cr_assert_eq(settle(NAP_MIN_NS, 1), 4 * NS_PER_MS, "a thousand a second: four at a time");
    cr_assert_leq(settle(NAP_MAX_NS, 1), 7 * NS_PER_MS);
}

Test(nap, one_record_bounds_the_wait)
{
    cr_assert_eq(nap_next_ns(NAP_MAX_NS, 1), NAP_FEW_NS);
    cr_assert_eq(nap_next_ns(NAP_FEW_NS, 0), 2 * NAP_FEW_NS);
}
