/* SPDX-License-Identifier: Apache-2.0 */
/* The hold store: records of the usual size through queues, as many held at once as said. */
#include "enricher/hold.h"

#include <string.h>

#include "common/record.h"
#include "tests/bench/bench.h"

#define HELD 100000

static _Alignas(8) uint8_t bytes[600];

static void run(const char *what, size_t queue_count)
{
    const struct hold_limits limits = {.max_events = HELD + 1, .max_bytes = UINT64_C(1) << 30};
    struct hold_queue *queues = calloc(queue_count, sizeof(*queues));
    const struct record_header header = {.size = sizeof(bytes)};
    double append[BENCH_ROUNDS], pop[BENCH_ROUNDS];
    struct hold *hold;
    char line[80];

    memcpy(bytes, &header, sizeof(header));
    if (!queues || hold_new(&hold, -1, &limits) < 0)
        exit(1);
    for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
        uint64_t start = bench_cpu_ns();

        for (size_t i = 0; i < HELD; i++) {
            struct hold_entry entry = {.since_ns = i};

            if (hold_append(hold, &queues[i % queue_count], (const struct record_header *)(const void *)bytes,
                    &entry) < 0)
                exit(1);
        }
        append[round] = (double)(bench_cpu_ns() - start) / HELD;
        start = bench_cpu_ns();
        for (struct hold_queue *queue; (queue = hold_oldest(hold));) {
            while (queue->count > 0) {
                BENCH_KEEP(hold_first(hold, queue));
                hold_pop(hold, queue);
            }
        }
        pop[round] = (double)(bench_cpu_ns() - start) / HELD;
    }
    (void)snprintf(line, sizeof(line), "hold, %s: append (600 bytes)", what);
    bench_print(line, append);
    (void)snprintf(line, sizeof(line), "hold, %s: first and pop", what);
    bench_print(line, pop);
    (void)hold_free(hold);
    free(queues);
}

int main(void)
{
    run("100,000 in 1 queue", 1);
    run("100,000 in 300 queues", 300);
    run("100,000 in 5,000 queues", 5000);
    return 0;
}
