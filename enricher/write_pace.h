/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who writes to a regular file: the loop itself, or the loop's back-end (a worker of the kernel's, with io_uring).
 *
 * A write that the page cache takes costs less CPU where its bytes were made: they are in that core's cache, and nobody has to be woken (docs/performance.md). One that has to wait for the disk
 * would stop the loop. Which of both it will be is not to be known before, so the last one tells: after a slow one the others write for a while, twice as long each time that the next
 * attempt is slow again. Slow is what slept for long: a thread that the scheduler put aside has not waited for a disk. So a disk that stalls stops the loop for one write in PACE_AWAY_FIRST_NS, and for one in PACE_AWAY_MAX_NS when it goes on.
 *
 * Never reads a clock.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define PACE_SLOW_NS       (5 * NS_PER_MS) /* a block of output takes a tenth of a millisecond */
#define PACE_AWAY_FIRST_NS (1 * NS_PER_SEC)
#define PACE_AWAY_MAX_NS   (64 * NS_PER_SEC)

struct write_pace {
    uint64_t away_until_ns; /* the loop does not write before */
    uint64_t away_ns;       /* how long it was last, 0: the last write was fast */
};

static inline bool write_pace_is_ours(const struct write_pace *pace, uint64_t now_ns)
{
    return now_ns >= pace->away_until_ns;
}

/* The loop has written, from `start_ns` to `end_ns`; `slept`: it gave the processor up in between. */
static inline void write_pace_took(struct write_pace *pace, uint64_t start_ns, uint64_t end_ns, bool slept)
{
    if (!slept || end_ns - start_ns < PACE_SLOW_NS) {
        pace->away_ns = 0;
        return;
    }
    if (pace->away_ns == 0)
        pace->away_ns = PACE_AWAY_FIRST_NS;
    else if (pace->away_ns < PACE_AWAY_MAX_NS)
        pace->away_ns *= 2;
    pace->away_until_ns = end_ns + pace->away_ns;
}
