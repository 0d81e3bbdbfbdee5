/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"

#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts); /* cannot fail for these clocks */
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_boot_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
}

int64_t clock_wall_offset_ns(void)
{
    uint64_t before = read_ns(CLOCK_BOOTTIME);
    uint64_t wall = read_ns(CLOCK_REALTIME);
    uint64_t after = read_ns(CLOCK_BOOTTIME);

    return (int64_t)(wall - (before + (after - before) / 2));
}

uint64_t clock_now(const struct clock *clock)
{
    return clock && clock->now ? clock->now(clock->arg) : clock_boot_ns();
}
