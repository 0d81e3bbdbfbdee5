/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time is boot-clock nanoseconds everywhere; converted only where it is rendered or configured. */
#include <stdint.h>

#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

/* CLOCK_BOOTTIME, ns. */
uint64_t clock_boot_ns(void);

/* What to add to a boot time to get Unix time, ns; changes when the wall clock is set. */
int64_t clock_wall_offset_ns(void);

/* A clock that tests can turn by hand. NULL function: the real boot clock. */
struct clock {
    uint64_t (*now)(void *arg);
    void *arg;
};
uint64_t clock_now(const struct clock *clock); /* clock may be NULL: the real one */
