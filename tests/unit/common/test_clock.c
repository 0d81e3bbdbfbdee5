/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

static uint64_t turned(void *arg)
{
    return *(uint64_t *)arg;
}

Test(clock, boot_time_never_goes_back)
{
    uint64_t last = clock_boot_ns();

    cr_expect_gt(last, 0);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t now = clock_boot_ns();
        cr_assert_geq(now, last);
        last = now;
    }
}

Test(clock, boot_time_and_offset_are_wall_time)
{
    struct timespec ts;
    int64_t wall, difference;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    wall = (int64_t)ts.tv_sec * (int64_t)NS_PER_SEC + ts.tv_nsec;
    difference = (int64_t)clock_boot_ns() + clock_wall_offset_ns() - wall;
    cr_expect_lt(llabs(difference), (long long)NS_PER_SEC);
}

Test(clock, turned_by_hand_it_says_what_it_was_turned_to)
{
    uint64_t time = 42;
    const struct clock clock = {turned, &time}, real = {0};

    cr_expect_eq(clock_now(&clock), 42);
    time = 43;
    cr_expect_eq(clock_now(&clock), 43);
    cr_expect_gt(clock_now(NULL), 43);
    cr_expect_gt(clock_now(&real), 43);
}
