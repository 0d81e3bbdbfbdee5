/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The memfd of the hold store: which chunk is whose. Only hold*.c include this.
 *
 *     0                                    65536                                 131072
 *     | header | entry | entry | entry ... | header | entry ...
 *                ^ consumed     ^ used
 *
 * The header is all that a successor has to go by: [consumed, used) are the entries that are still held.
 * Everything that this process goes by is in its own memory (struct hold_chunk); the header is written, never
 * read back.
 *
 * C1  a chunk without HOLD_CHUNK_MAGIC holds nothing
 * C2  used is stored after the bytes below it, magic after the header, consumed only when the entries are
 *     done with; a single thread's stores reach the pages in program order, whenever it is killed
 *
 * The address space for all chunks is mapped once, so that entries never move; beyond the end of the file it
 * must not be touched, and the file grows in steps and never shrinks (F_SEAL_SHRINK).
 */
#include <stdbool.h>
#include <stdint.h>

#include "enricher/hold.h"

#define HOLD_CHUNK_MAGIC UINT64_C(0x31304b4c4f48646b) /* "kdHOLK01" */

struct hold_chunk_header {
    uint64_t magic;
    uint32_t used, consumed; /* offsets from the start of the chunk */
    uint8_t reserved[48];
};
_Static_assert(sizeof(struct hold_chunk_header) == 64, "read by the next version as well");
_Static_assert(sizeof(struct hold_entry) == 40, "read by the next version as well");

/* Of this process. Chunks are named by index + 1, 0 is none. */
struct hold_chunk {
    uint32_t next;       /* of its queue, or of its free list */
    uint32_t used, read; /* offsets: behind the last entry, of the first that was not popped */
    uint32_t pending_older, pending_newer;
    bool pending;  /* popped from since it was settled last */
    bool left;     /* its queue is done with it: free once settled */
    bool counted;  /* in used_count; a predecessor's is not */
    uint64_t mark; /* number of the last pop */
};

struct hold {
    int fd;
    uint64_t file_offset; /* where its region begins */
    uint8_t *base;
    struct hold_chunk *chunks;
    uint32_t mapped_count;               /* length of chunks and of the mapping */
    uint32_t file_count;                 /* length of the file, from file_offset on */
    uint32_t inherited_count;            /* the first ones are a predecessor's until hold_recover() */
    uint32_t fresh;                      /* index of the first that nobody ever used */
    uint32_t used_count, max_used_count; /* busy ones but the inherited; their limit */
    uint32_t free_warm, free_cold;       /* lists: pages resident, pages given back */
    uint32_t warm_count;
    uint32_t pending_first, pending_last; /* by mark */

    uint32_t note_chunk; /* hold_note.c; 0: none yet */
    uint64_t note_generation;

    struct hold_limits limits;
    uint64_t count, bytes, max_count, max_bytes;
    uint64_t sequence, pops, settled;
    bool deferred, recovered;
    struct hold_queue *oldest, *newest;
};

/* 0 or negative errno; after an error hold_chunks_deinit() is due as well. */
int hold_chunks_init(struct hold *hold, int memfd);
void hold_chunks_deinit(struct hold *hold);

static inline struct hold_chunk *hold_chunk_at(const struct hold *hold, uint32_t chunk)
{
    return &hold->chunks[chunk - 1];
}
static inline struct hold_chunk_header *hold_chunk_header(const struct hold *hold, uint32_t chunk)
{
    return (struct hold_chunk_header *)(void *)(hold->base + (uint64_t)(chunk - 1) * HOLD_CHUNK_BYTES);
}
static inline void *hold_chunk_data(const struct hold *hold, uint32_t chunk, uint32_t offset)
{
    return hold->base + (uint64_t)(chunk - 1) * HOLD_CHUNK_BYTES + offset;
}

/* An empty chunk for a queue; 0: there is none. */
uint32_t hold_chunk_claim(struct hold *hold);
/* Entries up to `used` are whole from now on. */
void hold_chunk_store_used(struct hold *hold, uint32_t chunk, uint32_t used);
/* Something was popped from it (`read` has moved, or it is `left`): goes to the memfd now, or with
 * hold_settle(). */
void hold_chunk_popped(struct hold *hold, uint32_t chunk);
void hold_chunks_settle(struct hold *hold, uint64_t mark);
/* A chunk that holds nothing joins the free ones. */
void hold_chunk_release(struct hold *hold, uint32_t chunk);
