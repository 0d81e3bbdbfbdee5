/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_delay.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PODS 20000

static struct standin_delay parsed(const char *text)
{
    struct standin_delay delay = {.ns = 1};

    cr_assert_eq(standin_delay_parse(text, &delay), 0, "%s", text);
    return delay;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The delays of many Pods, in order. */
static uint64_t *spread(const char *text, uint64_t seed)
{
    struct standin_delay delay = parsed(text);
    uint64_t *all = calloc(PODS, sizeof(*all));

    cr_assert(all);
    for (unsigned i = 0; i < PODS; i++) {
        char uid[40];

        (void)snprintf(uid, sizeof(uid), "5eed0000-0000-4000-8000-%012u", i);
        all[i] = standin_delay_of(&delay, seed, uid);
    }
    qsort(all, PODS, sizeof(*all), compare);
    return all;
}

static double mean(const uint64_t *all)
{
    double sum = 0;

    for (unsigned i = 0; i < PODS; i++)
        sum += (double)all[i];
    return sum / PODS;
}

/* The delay that so many of ten thousand Pods do not exceed. */
static double at(const uint64_t *all, size_t of_ten_thousand)
{
    size_t index = PODS * of_ten_thousand / 10000;

    return (double)all[index];
}

static void assert_about(double is, double wanted)
{
    cr_assert_lt(fabs(is / wanted - 1), 0.05, "%.0f is not about %.0f", is, wanted);
}

Test(standin_delay, a_plain_duration_is_a_constant)
{
    struct standin_delay plain = parsed("2s"), named = parsed("constant:2s");

    cr_assert_eq(standin_delay_of(&plain, 1, "a"), 2 * NS_PER_SEC);
    cr_assert_eq(standin_delay_of(&named, 2, "b"), 2 * NS_PER_SEC);
}

Test(standin_delay, uniform_lies_between_its_ends_and_reaches_them)
{
    uint64_t *all = spread("uniform:1s..3s", 1);

    cr_assert_geq(all[0], NS_PER_SEC);
    cr_assert_leq(all[PODS - 1], 3 * NS_PER_SEC);
    cr_assert_lt(all[0], NS_PER_SEC + 10 * NS_PER_MS);
    cr_assert_gt(all[PODS - 1], 3 * NS_PER_SEC - 10 * NS_PER_MS);
    assert_about(mean(all), 2e9);
    free(all);
}

Test(standin_delay, exponential_has_its_mean_and_its_median)
{
    uint64_t *all = spread("exponential:2s", 1);

    assert_about(mean(all), 2e9);
    assert_about(at(all, 5000), 2e9 * log(2));
    free(all);
}

Test(standin_delay, log_normal_has_its_median_and_its_width)
{
    uint64_t *all = spread("log-normal:1s,0.8", 1);

    assert_about(at(all, 5000), 1e9);
    assert_about(at(all, 8413), 1e9 * exp(0.8)); /* one standard deviation up */
    free(all);
}

Test(standin_delay, log_normal_without_width_is_its_median)
{
    struct standin_delay delay = parsed("log-normal:1s,0");

    cr_assert_eq(standin_delay_of(&delay, 3, "x"), NS_PER_SEC);
}

Test(standin_delay, follows_from_seed_and_uid_alone)
{
    struct standin_delay delay = parsed("exponential:2s");
    uint64_t first = standin_delay_of(&delay, 1, "pod");

    cr_assert_eq(standin_delay_of(&delay, 1, "pod"), first);
    cr_assert_neq(standin_delay_of(&delay, 2, "pod"), first);
    cr_assert_neq(standin_delay_of(&delay, 1, "pob"), first);
    cr_assert_neq(standin_delay_of(&delay, 1, "opd"), first);
}

Test(standin_delay, is_never_later_than_its_bound)
{
    uint64_t *all = spread("log-normal:1h,10", 1);

    cr_assert_eq(all[PODS - 1], STANDIN_DELAY_MAX_NS);
    free(all);
}

Test(standin_delay, what_is_no_distribution_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {"", "2", "x", "constant:", "constant:2", "uniform:", "uniform:1s",
        "uniform:3s..1s", "uniform:1s..", "uniform:..1s", "exponential:", "exponential:2s,1", "log-normal:1s",
        "log-normal:1s,", "log-normal:1s,x", "log-normal:1s,-1", "log-normal:1s,nan", "log-normal:,1",
        "normal:1s", "2h", "2s ", "Constant:2s"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct standin_delay delay = {.ns = 77};

        cr_assert_eq(standin_delay_parse(bad[i], &delay), -EINVAL, "'%s'", bad[i]);
        cr_assert_eq(delay.ns, 77);
    }
}
