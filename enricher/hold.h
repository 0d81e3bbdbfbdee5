/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The hold store: copies of records that wait for their Pod, a FIFO per container, in a memfd that outlives this process (the collector keeps it, unmapped, and hands it to the
 * next enricher). So the shared queue's room is released at once, and a killed enricher loses nothing that it held.
 *
 * The memfd is cut into chunks of HOLD_CHUNK_BYTES; a queue is a list of chunks that only it uses; a chunk is free again when all of it has left. Chunk header: magic, queue id, order,
 * used bytes, consumed bytes. Each entry: struct hold_entry, then the record.
 *
 * H1  entries of a queue leave in the order they came
 * H2  an entry is in the store from hold_append() until hold_pop(); a kill between two instructions leaves it whole (used is stored after the bytes)
 * H3  count and bytes (of records) are exact and never above the limits
 * H4  hold_recover() takes every byte of an inherited memfd as hostile: it may be a predecessor's, cut anywhere
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_header;

#define HOLD_CHUNK_BYTES 65536

struct hold_entry {
    uint64_t sequence;   /* order of arrival in the whole store */
    uint64_t since_ns;   /* when it was held, boot clock */
    void *subject;       /* the caller's: meaningless after a recovery (NULL then) */
    void *context;       /* likewise */
    uint64_t attributes; /* the caller's small flags: survive */
    /* the record follows, 8-aligned */
};

struct hold_queue {
    struct hold_queue *older, *newer; /* all non-empty queues by the age of their first entry */
    uint32_t first_chunk, last_chunk; /* index + 1, 0: none */
    uint64_t count, bytes;
    bool linked;
};

struct hold;

struct hold_limits {
    uint64_t max_events; /* default 200,000 */
    uint64_t max_bytes;  /* default 128 MiB */
};

/* memfd: borrowed, may be -1 (then a private one is made). What an earlier process left in it is kept for hold_recover(). */
int hold_new(struct hold **ret, int memfd, const struct hold_limits *limits);
struct hold *hold_free(struct hold *hold);

/* Copies the record. -ENOSPC: a limit is reached and nothing was kept; the caller lets the oldest queue go (hold_oldest) and tries again. */
int hold_append(struct hold *hold, struct hold_queue *queue, const struct record_header *record,
    const struct hold_entry *entry);
/* First entry, borrowed until popped; NULL when empty. */
struct hold_entry *hold_first(struct hold *hold, struct hold_queue *queue);
static inline const struct record_header *hold_entry_record(const struct hold_entry *entry)
{
    return (const struct record_header *)(entry + 1);
}
void hold_pop(struct hold *hold, struct hold_queue *queue);
struct hold_queue *hold_oldest(
    struct hold *hold); /* the queue whose first entry waits longest; NULL: store is empty */
uint64_t hold_count(const struct hold *hold);
uint64_t hold_bytes(const struct hold *hold);
uint64_t hold_max_count(const struct hold *hold); /* high-water marks */

/* Calls fn for every whole entry that an earlier process left, in order of `sequence`; their chunks are freed when all were given. fn may append to this hold. Returns how many, or negative errno. */
typedef void hold_recover_fn(void *arg, const struct hold_entry *entry);
int64_t hold_recover(struct hold *hold, hold_recover_fn *fn, void *arg);
