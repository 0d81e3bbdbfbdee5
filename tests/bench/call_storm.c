/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getpgid(2), RATE times a second (0: as often as it goes) for SECONDS: what a policy that hooks it is to report. Prints the calls made, and the CPU time and the
 * time by the clock that one took, in ns.
 * usage: call_storm RATE SECONDS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/bench.h"

#define BATCH   1000
#define TICK_NS NS_PER_MS

static void nap_until(uint64_t boot_ns)
{
    const struct timespec until = {
        .tv_sec = (time_t)(boot_ns / NS_PER_SEC), .tv_nsec = (long)(boot_ns % NS_PER_SEC)};

    (void)clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
}

static uint64_t storm(uint64_t rate, uint64_t start_ns, uint64_t end_ns)
{
    const pid_t own = getpid();
    uint64_t made = 0, now_ns;

    while ((now_ns = clock_boot_ns()) < end_ns) {
        uint64_t until = rate ? (uint64_t)((double)(now_ns - start_ns) * (double)rate / 1e9) : made + BATCH;

        for (; made < until; made++)
            (void)syscall(SYS_getpgid, own);
        if (rate)
            nap_until(now_ns + TICK_NS);
    }
    return made;
}

int main(int argc, char **argv)
{
    uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 0,
             seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t start_ns = clock_boot_ns(), cpu_ns = bench_cpu_ns(), made;

    if (argc != 3 || seconds == 0) {
        (void)fprintf(stderr, "usage: call_storm RATE SECONDS\n");
        return 2;
    }
    made = storm(rate, start_ns, start_ns + seconds * NS_PER_SEC);
    cpu_ns = bench_cpu_ns() - cpu_ns;
    (void)printf("calls %llu cpu_ns %.1f clock_ns %.1f\n", (unsigned long long)made,
        (double)cpu_ns / (double)made, (double)(clock_boot_ns() - start_ns) / (double)made);
    return 0;
}
