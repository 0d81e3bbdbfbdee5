/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Records whose size and every byte follow from their number: what arrives is right, or it is not, without asking anybody. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/queue.h"
#include "common/record.h"

/* A check that fails ends the test: in a child too. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t pattern_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t pattern_random(uint64_t *state)
{
    return pattern_mix((*state)++);
}

/* Mostly a few hundred bytes, now and then up to 8 KiB. */
static inline size_t pattern_size(uint64_t seq)
{
    uint64_t hash = pattern_mix(seq);

    return sizeof(struct record_header) + (hash >> 8) % (hash % 32 ? 400 : 8192) / 8 * 8;
}

static inline void pattern_fill(struct record_header *record, uint64_t seq)
{
    size_t size = pattern_size(seq);
    uint64_t *words = (uint64_t *)(record + 1);

    *record = (struct record_header){.size = (uint32_t)size,
        .type = RECORD_FORK,
        .version = RECORD_VERSION,
        .seq = seq,
        .time_ns = pattern_mix(seq ^ 1),
        .start_ns = ~seq};
    for (size_t i = 0; i < (size - sizeof(*record)) / 8; i++)
        words[i] = seq * UINT64_C(0x2545f4914f6cdd1d) + i;
}

static inline bool pattern_is_whole(const struct record_header *record)
{
    uint64_t seq = record->seq;
    const uint64_t *words = (const uint64_t *)(record + 1);

    if (record->size != pattern_size(seq) || record->type != RECORD_FORK || record->start_ns != ~seq ||
        record->time_ns != pattern_mix(seq ^ 1))
        return false;
    for (size_t i = 0; i < (record->size - sizeof(*record)) / 8; i++) {
        if (words[i] != seq * UINT64_C(0x2545f4914f6cdd1d) + i)
            return false;
    }
    return true;
}

static inline bool pattern_put(struct queue_producer *queue, uint64_t seq)
{
    struct record_header *record = queue_producer_reserve(queue, pattern_size(seq), QUEUE_CLASS_LIFE);

    if (!record)
        return false;
    pattern_fill(record, seq);
    queue_producer_commit(queue);
    return true;
}

/* How long a test runs: the first argument, in seconds. */
static inline uint64_t pattern_duration_ns(int argc, char **argv, unsigned seconds)
{
    if (argc > 1)
        seconds = (unsigned)strtoul(argv[1], NULL, 10);
    return (uint64_t)seconds * 1000000000;
}
