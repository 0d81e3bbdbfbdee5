/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note: a chunk of the hold store that holds no entries but what this process wants its successor to know. Two copies, the newer of which counts:
 *
 *     0        64                         32800                      65536
 *     | header | generation, size, bytes… | generation, size, bytes… |
 *
 * A copy is taken apart (generation 0) before it is written and named when it is whole, so that a kill at any instruction leaves the other one. To
 * hold_recover() it is a chunk that holds nothing (C1), free as soon as what is recovered is settled: write a note of your own before.
 */
#include "enricher/hold.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "enricher/hold_chunk.h"

#define NOTE_MAGIC UINT64_C(0x313045544f4e646b) /* "kdNOTE01" */
#define COPY_BYTES ((HOLD_CHUNK_BYTES - sizeof(struct hold_chunk_header)) / 2)

struct copy {
    uint64_t generation, size;
    uint8_t bytes[];
};
_Static_assert(COPY_BYTES - sizeof(struct copy) == HOLD_NOTE_BYTES, "hold.h");

static void store_order(void)
{
    atomic_signal_fence(memory_order_release);
}

static struct copy *copy_at(const struct hold *hold, uint32_t chunk, unsigned index)
{
    return hold_chunk_data(hold, chunk, (uint32_t)(sizeof(struct hold_chunk_header) + index * COPY_BYTES));
}

void *hold_note_begin(struct hold *hold)
{
    struct copy *copy;

    if (!hold->note_chunk) {
        uint32_t chunk = hold_chunk_claim(hold);

        if (!chunk)
            return NULL;
        copy_at(hold, chunk, 0)->generation = copy_at(hold, chunk, 1)->generation = 0;
        store_order();
        hold_chunk_header(hold, chunk)->magic = NOTE_MAGIC;
        hold->note_chunk = chunk;
    }
    copy = copy_at(hold, hold->note_chunk, hold->note_generation % 2);
    copy->generation = 0;
    store_order();
    return copy->bytes;
}

void hold_note_commit(struct hold *hold, size_t size)
{
    struct copy *copy = copy_at(hold, hold->note_chunk, hold->note_generation % 2);

    copy->size = size;
    store_order();
    copy->generation = ++hold->note_generation;
    store_order();
}

/* Of the two, if it is one: hostile bytes (H5). */
static void look_at(const struct hold *hold, uint32_t chunk, const struct copy **best, uint64_t *generation)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct copy *copy = copy_at(hold, chunk, i);
        uint64_t here = *(const volatile uint64_t *)&copy->generation;

        if (here > *generation && here < UINT64_MAX / 2) {
            *best = copy;
            *generation = here;
        }
    }
}

size_t hold_note_read(struct hold *hold, void *to)
{
    const struct copy *best = NULL;
    uint64_t generation = 0;
    size_t size;

    for (uint32_t chunk = 1; chunk <= hold->inherited_count; chunk++) {
        off_t data = lseek(hold->fd, (off_t)(chunk - 1) * HOLD_CHUNK_BYTES, SEEK_DATA);

        if (data < 0)
            break; /* nothing but a hole up to the end */
        chunk = (uint32_t)(data / HOLD_CHUNK_BYTES) + 1;
        if (chunk <= hold->inherited_count && hold_chunk_header(hold, chunk)->magic == NOTE_MAGIC)
            look_at(hold, chunk, &best, &generation);
    }
    if (!best)
        return 0;
    if (generation > hold->note_generation)
        hold->note_generation = generation;
    size = (size_t) * (const volatile uint64_t *)&best->size;
    if (size > HOLD_NOTE_BYTES)
        return 0;
    memcpy(to, best->bytes, size);
    return size;
}
