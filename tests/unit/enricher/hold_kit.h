/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Records whose bytes follow from their number, for the tests of the hold store. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/record.h"
#include "enricher/hold.h"

struct kit_record {
    _Alignas(8) uint8_t bytes[RECORD_SIZE_MAX];
};

static inline uint64_t kit_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Mostly a few hundred bytes, at times the least and the greatest. */
static inline uint32_t kit_size(uint64_t id)
{
    uint64_t r = kit_random(&id);

    if (r % 64 == 0)
        return RECORD_SIZE_MAX;
    if (r % 64 == 1)
        return sizeof(struct record_header);
    return (uint32_t)(sizeof(struct record_header) + (r >> 8) % 1000 / 8 * 8);
}

static inline const struct record_header *kit_record(struct kit_record *record, uint64_t id, uint32_t size)
{
    struct record_header header = {.size = size, .seq = id};
    uint64_t word = id;

    for (uint32_t at = 0; at < size; at += 8) {
        memcpy(record->bytes + at, &word, 8);
        word = word * UINT64_C(6364136223846793005) + 1442695040888963407;
    }
    memcpy(record->bytes, &header, sizeof(header));
    return (const struct record_header *)(const void *)record->bytes;
}

static inline bool kit_record_is(const struct record_header *record, uint64_t id, uint32_t size)
{
    static struct kit_record expected;

    return record->size == size && memcmp(record, kit_record(&expected, id, size), size) == 0;
}
