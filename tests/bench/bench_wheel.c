/* SPDX-License-Identifier: Apache-2.0 */
/* The retry wheel: arm, disarm and expire, by how many nodes are armed; nodes inside larger structs, visited in random order. */
#include "enricher/wheel.h"

#include <string.h>

#include "common/clock.h"
#include "tests/bench/bench.h"

struct holder {
    struct wheel_node node;
    char more[512 - sizeof(struct wheel_node)]; /* as in a container */
};

static uint64_t random_state = 1;

static void shuffle(uint32_t *order, size_t count)
{
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = bench_random(&random_state) % (i + 1);
        uint32_t t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
}

struct figures {
    double arm[BENCH_ROUNDS], disarm[BENCH_ROUNDS], expire[BENCH_ROUNDS];
};

static void arm_all(
    struct wheel *wheel, struct holder *holders, const uint32_t *order, size_t count, uint64_t now)
{
    for (size_t i = 0; i < count; i++)
        wheel_arm(wheel, &holders[order[i]].node, now + bench_random(&random_state) % (30 * NS_PER_SEC));
}

static void run_round(
    struct figures *figures, unsigned round, struct holder *holders, uint32_t *order, size_t count)
{
    uint64_t now = 1000 * NS_PER_SEC, start;
    size_t repeats = 200000 / count + 1, expired = 0;
    double arm = 0, disarm = 0, expire = 0;
    struct wheel wheel;

    wheel_init(&wheel, now);
    for (size_t i = 0; i < repeats; i++) {
        shuffle(order, count);
        start = bench_cpu_ns();
        arm_all(&wheel, holders, order, count, now);
        arm += (double)(bench_cpu_ns() - start);
        shuffle(order, count);
        start = bench_cpu_ns();
        for (size_t n = 0; n < count; n++)
            wheel_disarm(&wheel, &holders[order[n]].node);
        disarm += (double)(bench_cpu_ns() - start);
        arm_all(&wheel, holders, order, count, now);
        start = bench_cpu_ns();
        for (uint64_t end = now + 31 * NS_PER_SEC; now < end; now += NS_PER_MS) {
            while (wheel_pull(&wheel, now))
                expired++;
        }
        expire += (double)(bench_cpu_ns() - start);
    }
    figures->arm[round] = arm / (double)(repeats * count);
    figures->disarm[round] = disarm / (double)(repeats * count);
    figures->expire[round] = expire / (double)expired;
}

int main(void)
{
    static const size_t counts[] = {1000, 100000, 1000000};

    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct holder *holders = calloc(counts[c], sizeof(*holders));
        uint32_t *order = calloc(counts[c], sizeof(*order));
        struct figures figures;
        char what[64];

        if (!holders || !order)
            return 1;
        for (size_t i = 0; i < counts[c]; i++) {
            memset(holders[i].more, 1, sizeof(holders[i].more));
            order[i] = (uint32_t)i;
        }
        for (unsigned round = 0; round < BENCH_ROUNDS; round++)
            run_round(&figures, round, holders, order, counts[c]);
        (void)snprintf(what, sizeof(what), "wheel, %zu armed: arm (with its random number)", counts[c]);
        bench_print(what, figures.arm);
        (void)snprintf(what, sizeof(what), "wheel, %zu armed: disarm", counts[c]);
        bench_print(what, figures.disarm);
        (void)snprintf(what, sizeof(what), "wheel, %zu armed: expire, a tick at a time", counts[c]);
        bench_print(what, figures.expire);
        free(holders);
        free(order);
    }
    return 0;
}
