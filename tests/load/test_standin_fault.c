/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_fault.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "common/clock.h"

#define S NS_PER_SEC

static struct standin_faults faults;

static void add(const char *text)
{
    cr_assert_eq(standin_faults_add(&faults, text), 0, "%s", text);
}

static enum standin_fault_kind of_request(uint64_t since_ns)
{
    unsigned status;

    return standin_faults_of_request(&faults, since_ns, &status);
}

Test(standin_fault, without_any_nothing_is_wrong)
{
    cr_assert_eq(standin_faults_in_force(&faults, 5 * S), STANDIN_FAULT_NONE);
    cr_assert_eq(of_request(5 * S), STANDIN_FAULT_NONE);
}

Test(standin_fault, an_outage_begins_and_ends_at_its_times)
{
    add("outage=10s+5s");
    cr_assert_eq(standin_faults_in_force(&faults, 10 * S - 1), STANDIN_FAULT_NONE);
    cr_assert_eq(standin_faults_in_force(&faults, 10 * S), STANDIN_FAULT_OUTAGE);
    cr_assert_eq(of_request(15 * S - 1), STANDIN_FAULT_OUTAGE);
    cr_assert_eq(standin_faults_in_force(&faults, 15 * S), STANDIN_FAULT_NONE);
    cr_assert_eq(of_request(15 * S), STANDIN_FAULT_NONE);
}

Test(standin_fault, what_has_a_period_comes_again)
{
    add("stall=1s+2s/10s");
    cr_assert_eq(standin_faults_in_force(&faults, 0), STANDIN_FAULT_NONE);
    cr_assert_eq(standin_faults_in_force(&faults, 12 * S), STANDIN_FAULT_STALL);
    cr_assert_eq(standin_faults_in_force(&faults, 13 * S), STANDIN_FAULT_NONE);
    cr_assert_eq(standin_faults_in_force(&faults, 1001 * S), STANDIN_FAULT_STALL);
}

Test(standin_fault, a_status_is_of_requests_only)
{
    unsigned status = 0;

    add("429=0s+5s");
    cr_assert_eq(standin_faults_in_force(&faults, S), STANDIN_FAULT_NONE);
    cr_assert_eq(standin_faults_of_request(&faults, S, &status), STANDIN_FAULT_STATUS);
    cr_assert_eq(status, 429);
}

Test(standin_fault, an_outage_counts_more_than_a_stall)
{
    add("stall=0s+9s");
    add("outage=1s+1s");
    cr_assert_eq(standin_faults_in_force(&faults, 0), STANDIN_FAULT_STALL);
    cr_assert_eq(standin_faults_in_force(&faults, S), STANDIN_FAULT_OUTAGE);
}

Test(standin_fault, chance_is_as_often_as_it_says_and_repeats_with_its_seed)
{
    unsigned count = 0, again = 0;

    faults.random = 42;
    add("503=5%");
    for (unsigned i = 0; i < 100000; i++)
        count += of_request(S) == STANDIN_FAULT_STATUS;
    faults.random = 42;
    for (unsigned i = 0; i < 100000; i++)
        again += of_request(2 * S) == STANDIN_FAULT_STATUS;
    cr_assert(count > 4700 && count < 5300, "%u of 100000", count);
    cr_assert_eq(count, again);
}

Test(standin_fault, what_is_no_fault_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {"", "outage", "outage=", "outage=10s", "outage=10s+", "outage=+5s",
        "outage=10s+0", "outage=10+5s", "outage=10s+5s/", "outage=10s+5s/5s", "outage=10s+5s/4s", "outage=5%",
        "399=1s+1s", "600=1s+1s", "4290=1s+1s", "+42=1s+1s", "429", "503=0%", "503=101%", "503=%", "503=5",
        "503=nan%", "503=0.00001%", "flood=1s+1s", "stall=1s+1s+1s"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(standin_faults_add(&faults, bad[i]), -EINVAL, "'%s'", bad[i]);
    cr_assert_eq(faults.count, 0);
}

Test(standin_fault, more_than_there_is_room_for_are_refused)
{
    for (unsigned i = 0; i < STANDIN_FAULTS_MAX; i++)
        add("stall=1s+1s");
    cr_assert_eq(standin_faults_add(&faults, "stall=1s+1s"), -E2BIG);
}
