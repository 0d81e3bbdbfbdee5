/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/histogram.h"

#include <criterion/criterion.h>

static struct histogram histogram;

static void setup(void)
{
    histogram = (struct histogram){0};
}

TestSuite(histogram, .init = setup);

Test(histogram, buckets_follow_one_another_without_gap)
{
    for (unsigned bucket = 0; bucket + 1 < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t max = histogram_bucket_max(bucket);

        cr_assert_eq(histogram_bucket(max), bucket);
        cr_assert_eq(histogram_bucket(max + 1), bucket + 1);
    }
    cr_assert_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    cr_assert_eq(histogram_bucket_max(HISTOGRAM_BUCKETS - 1), UINT64_MAX);
}

Test(histogram, a_value_is_known_within_a_sixteenth)
{
    for (uint64_t value = 1; value < UINT64_MAX / 7; value = value * 7 / 5 + 1) {
        uint64_t max = histogram_bucket_max(histogram_bucket(value));

        cr_assert_geq(max, value);
        cr_assert_leq(max - value, value / 16);
    }
}

Test(histogram, quantiles_of_known_values)
{
    cr_expect_eq(histogram_quantile(&histogram, 500000), 0);
    for (uint64_t value = 1; value <= 1000; value++)
        histogram_add(&histogram, value);
    cr_expect_eq(histogram.count, 1000);
    cr_expect_eq(histogram.sum, 500500);
    cr_expect_eq(histogram.max, 1000);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = percent * 10, value = histogram_quantile(&histogram, percent * 10000);

        cr_expect_geq(value, exact);
        cr_expect_leq(value, exact + exact / 16);
    }
    cr_expect_eq(histogram_quantile(&histogram, 1000000), 1000);
    cr_expect_eq(histogram_quantile(&histogram, 0), 1);
}

Test(histogram, one_value_is_every_quantile)
{
    histogram_add(&histogram, 123456789);
    cr_expect_eq(histogram_quantile(&histogram, 1), 123456789);
    cr_expect_eq(histogram_quantile(&histogram, 999999), 123456789);
}

Test(histogram, counts_up_to_a_value)
{
    for (uint64_t value = 0; value < 100; value++)
        histogram_add(&histogram, value * 1000);
    cr_expect_eq(histogram_count_up_to(&histogram, 0), 1);
    cr_expect_eq(histogram_count_up_to(&histogram, UINT64_MAX), 100);
    cr_expect_geq(histogram_count_up_to(&histogram, 50000), 46);
    cr_expect_leq(histogram_count_up_to(&histogram, 50000), 51);
}
