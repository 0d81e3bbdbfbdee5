/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/load/load_pour.h"

#define FIRST_RATE     50000
#define RATE_MIN       1000
#define RATE_MAX       50000000
#define TRY_NS         (3 * NS_PER_SEC)
#define LIMIT_DELAY_NS (100 * NS_PER_MS)

/* Whether the enricher kept up. 0 or negative errno. */
static int try_rate(struct load_run *run, uint64_t rate, bool *ret_held)
{
    uint64_t offered = run->stage.offered, refused = run->totals.refused, start_ns = clock_boot_ns(), ns,
             backlog;
    double real, delay_ms;
    int r = load_run_pour(run, rate, run->conf->duration_ns ? run->conf->duration_ns : TRY_NS);

    if (r < 0)
        return r;
    backlog = run->backlog_now;
    ns = clock_boot_ns() - start_ns;
    offered = run->stage.offered - offered;
    r = load_run_drain(run);
    if (r < 0)
        return r;
    real = (double)offered * 1e9 / (double)ns;
    delay_ms = backlog ? (double)run->totals.drained_ns / 1e6 : 0;
    *ret_held = run->totals.refused == refused && delay_ms < (double)LIMIT_DELAY_NS / 1e6 &&
                real > 0.98 * (double)rate;
    (void)printf("%10llu events/s: sent %9.0f/s, refused %llu, %6.1f ms behind at the end: %s\n",
        (unsigned long long)rate, real, (unsigned long long)(run->totals.refused - refused), delay_ms,
        *ret_held ? "held" : "too much");
    (void)fflush(stdout);
    return 0;
}

/* Two of three: what else the machine does may spoil one try. */
static int is_held(struct load_run *run, uint64_t rate, bool *ret_held)
{
    unsigned held = 0, failed = 0;

    while (held < 2 && failed < 2) {
        bool ok = false;
        int r = try_rate(run, rate, &ok);

        if (r < 0)
            return r;
        held += ok;
        failed += !ok;
    }
    *ret_held = held == 2;
    return 0;
}

/* Doubles or halves from `rate` until there is one that is held below one that is not, and closes in on it to within 4 %. 0: none was held. */
static int find_once(struct load_run *run, uint64_t rate, uint64_t *ret_held)
{
    uint64_t held = 0, failed = 0;

    while (rate >= RATE_MIN && rate <= RATE_MAX && !(held && failed && failed - held <= held / 25)) {
        bool ok = false;
        int r = is_held(run, rate, &ok);

        if (r < 0)
            return r;
        if (ok)
            held = rate;
        else
            failed = rate;
        if (!failed)
            rate = rate * 3 / 2;
        else
            rate = held ? (held + failed) / 2 : rate * 2 / 3;
    }
    *ret_held = held;
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int load_run_find_limit(struct load_run *run, struct load_limit *ret)
{
    uint64_t rate = run->conf->rate_given ? run->conf->rate : FIRST_RATE, limits[LOAD_LIMIT_ROUNDS_MAX];
    size_t rounds = (size_t)run->conf->limit_rounds;
    int r = 0;

    run->start_ns = clock_boot_ns();
    for (size_t i = 0; i < rounds; i++) {
        r = find_once(run, rate, &limits[i]);
        if (r < 0)
            return r;
        (void)printf("round %zu: %llu events/s\n", i + 1, (unsigned long long)limits[i]);
        rate = limits[i] ? limits[i] : RATE_MIN; /* the next begins where this one came to */
    }
    qsort(limits, rounds, sizeof(limits[0]), compare);
    *ret = (struct load_limit){limits[rounds / 2], limits[0], limits[rounds - 1]};
    return 0;
}
