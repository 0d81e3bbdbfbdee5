/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "common/clock.h"
#include "tests/load/load_pour.h"

#define LIMIT_TRIES    24
#define LIMIT_DELAY_NS (100 * NS_PER_MS)

/* Whether the enricher kept up. */
static int try_rate(struct load_run *run, uint64_t rate, bool *ret_held)
{
    uint64_t offered = run->stage.offered, refused = run->totals.refused, start_ns = clock_boot_ns(), ns,
             backlog;
    double real, delay_ms;
    int r = load_run_pour(run, rate, run->conf->duration_ns);

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

uint64_t load_run_find_limit(struct load_run *run)
{
    uint64_t held = 0, failed = 0, rate = run->conf->rate ? run->conf->rate : 100000;

    run->start_ns = clock_boot_ns();
    for (int i = 0; i < LIMIT_TRIES && !(failed && failed - held <= held / 25); i++) {
        bool ok = false;

        if (try_rate(run, rate, &ok) < 0)
            break;
        if (ok)
            held = rate;
        else
            failed = rate;
        rate = !failed ? rate * 2 : (held + failed) / 2;
        if (failed && !held && failed < 1000)
            break;
    }
    return held;
}
