/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to hold a record's number against its CPU's: in order, slightly out of order, and with losses. */
#include "enricher/ledger.h"

#include "tests/bench/bench.h"

#define CALLS 4000000

static struct ledger ledger;

static struct record_header *next_record(uint64_t numbers[], unsigned cpus, unsigned n, unsigned every)
{
    static struct record_lost lost;
    unsigned cpu = n % cpus;

    if (every && n % every == 0) {
        numbers[cpu] += 3;
        lost = (struct record_lost){.header = {.type = RECORD_LOST, .cpu = (__u16)cpu},
            .first_seq = numbers[cpu] - 3,
            .last_seq = numbers[cpu] - 1};
        lost.count[RECORD_HOOK] = 3;
        return &lost.header;
    }
    lost.header = (struct record_header){.type = RECORD_FORK, .cpu = (__u16)cpu, .seq = numbers[cpu]++};
    return &lost.header;
}

static void run(const char *what, unsigned cpus, unsigned swap_every, unsigned lost_every)
{
    double rounds[BENCH_ROUNDS];

    for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
        static uint64_t numbers[LEDGER_CPU_MAX];
        uint64_t start, position = 0;

        ledger_begin(&ledger, 1 + round + cpus * 100 + swap_every * 10000 + lost_every, false);
        for (unsigned cpu = 0; cpu < cpus; cpu++)
            numbers[cpu] = 1000;
        start = bench_cpu_ns();
        for (unsigned n = 0; n < CALLS; n++) {
            struct record_header *record = next_record(numbers, cpus, n, lost_every);

            if (swap_every && n / cpus % swap_every < 2) /* two and one, not one and two */
                record->seq += n / cpus % swap_every == 0 ? 1 : UINT64_MAX;
            ledger_take(&ledger, record, position += 8);
        }
        rounds[round] = (double)(bench_cpu_ns() - start) / CALLS;
    }
    bench_print(what, rounds);
}

int main(void)
{
    if (ledger_init(&ledger) < 0)
        return 1;
    run("in order, 2 CPUs", 2, 0, 0);
    run("in order, 256 CPUs", 256, 0, 0);
    run("2 CPUs, a pair swapped in 100 records", 2, 100, 0);
    run("2 CPUs, a LOST every 10 records", 2, 0, 10);
    ledger_deinit(&ledger);
    return 0;
}
