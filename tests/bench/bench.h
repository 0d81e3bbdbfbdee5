/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the small benchmarks share: CPU time of this thread, and the median of a few rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_ROUNDS 7

static inline uint64_t bench_cpu_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline uint64_t bench_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts `rounds`. */
static inline void bench_print(const char *what, double *rounds)
{
    qsort(rounds, BENCH_ROUNDS, sizeof(*rounds), bench_compare);
    printf("%-52s %8.1f ns  (%.1f to %.1f)\n", what, rounds[BENCH_ROUNDS / 2], rounds[0],
        rounds[BENCH_ROUNDS - 1]);
}

/* Makes the compiler believe that the value is used. */
#define BENCH_KEEP(value) __asm__ volatile("" : : "r,m"(value) : "memory")
