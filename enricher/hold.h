/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The hold store: copies of records that wait for their Pod, a FIFO per container, in a memfd that outlives
 * this process (the collector keeps it, unmapped, and hands it to the next enricher). So the shared queue's
 * room is released at once, and a killed enricher loses nothing that it held.
 *
 * The memfd is cut into chunks of HOLD_CHUNK_BYTES (hold_chunk.h); a queue is a list of chunks that only it
 * uses; a chunk is free again when all of it has left. Each entry: struct hold_entry, then the record.
 *
 * H1  entries of a queue leave in the order they came
 * H2  an entry is in the memfd from hold_append() until hold_pop(), or, with deferred pops, until the
 *     hold_settle() that covers its pop; a kill between two instructions leaves it whole (a chunk's `used` is
 *     stored after the bytes)
 * H3  count and bytes (of records) are exact and never above the limits
 * H4  what is held again under its old sequence, in another queue or after a recovery, may be in the memfd
 *     twice for a while; it is recovered once
 * H5  hold_recover() takes every byte of an inherited memfd as hostile: it may be a predecessor's, cut
 *     anywhere
 *
 * Memory: what is resident is at most what the records take, the popped part of a queue's first chunk, and
 * HOLD_WARM_CHUNKS free chunks kept for reuse; the others are given back to the kernel. The file's length,
 * sparse, is bounded by the limits and HOLD_QUEUE_CHUNKS: more queues than that at once, and hold_append()
 * says -ENOSPC as if a limit were reached.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_header;

#define HOLD_CHUNK_BYTES 65536
#define HOLD_WARM_CHUNKS 64
#define HOLD_QUEUE_CHUNKS                                                                                    \
    8192 /* chunks beyond those that full ones take: each queue has one that is not full */

struct hold_entry {
    uint64_t
        sequence; /* order of arrival in the whole store, its name there; 0: hold_append() gives the next */
    uint64_t since_ns;   /* when it was held first, boot clock; the caller's, it orders hold_oldest() */
    void *subject;       /* the caller's: meaningless after a recovery (NULL then) */
    void *context;       /* likewise */
    uint64_t attributes; /* the caller's; survives */
    /* the record follows, 8-aligned */
};

struct hold_queue {
    struct hold_queue *older, *newer; /* all non-empty queues by the age of their first entry */
    uint32_t first_chunk, last_chunk; /* index + 1, 0: none */
    uint64_t count, bytes;
    uint64_t first_since_ns; /* since_ns of the first entry */
    bool linked;
};

struct hold;

struct hold_limits {
    uint64_t max_events; /* default 200,000 */
    uint64_t max_bytes;  /* default 128 MiB */
};

/* memfd: borrowed (duplicated), may be -1 (then a private one is made). What an earlier process left in it is
 * kept for hold_recover(), which comes before the first hold_append(). 0 or negative errno: -EPERM: sealed
 * against what the store needs; -EFBIG: larger than any store; -EINVAL: not a memfd. */
int hold_new(struct hold **ret, int memfd, const struct hold_limits *limits);
/*
 * Several stores in one memfd, a region each: so that what several lanes hold outlives them together. Region 0 is where hold_new() has its store. hold_make_regions() makes the
 * file (sparse) long enough for so many, before any is used; 0 or negative errno.
 */
#define HOLD_REGIONS_MAX  256
#define HOLD_REGION_BYTES (UINT64_C(1) << 38)
int hold_make_regions(int memfd, uint32_t count);
uint32_t hold_count_regions(int memfd); /* that may have something in them */
int hold_new_region(struct hold **ret, int memfd, uint32_t region, const struct hold_limits *limits);
/* What is in the memfd stays there: not popped, or popped and not settled. */
struct hold *hold_free(struct hold *hold);

/* Whether this store is in that memfd. */
bool hold_is(const struct hold *hold, int memfd);

/* Copies the record, to a place that does not move until it is popped. -ENOSPC: a limit is reached and
 * nothing was kept; the caller lets the oldest queue go (hold_oldest) and tries again. -EINVAL: header.size
 * breaks R1. */
int hold_append(struct hold *hold, struct hold_queue *queue, const struct record_header *record,
    const struct hold_entry *entry);
/* The first entry of `from` is behind those of `to` as well, as `entry` says; to be popped from `from` next. The limits never refuse it, as
 * it is counted already; -ENOSPC: there is no chunk for it. */
int hold_move_first(
    struct hold *hold, struct hold_queue *from, struct hold_queue *to, const struct hold_entry *entry);
/* First entry, borrowed until popped; NULL when empty. */
struct hold_entry *hold_first(struct hold *hold, struct hold_queue *queue);
static inline const struct record_header *hold_entry_record(const struct hold_entry *entry)
{
    return (const struct record_header *)(entry + 1);
}
/* The first entry leaves the queue, which must not be empty. */
void hold_pop(struct hold *hold, struct hold_queue *queue);
struct hold_queue *hold_oldest(
    struct hold *hold); /* the queue whose first entry waits longest; NULL: store is empty */
uint64_t hold_count(const struct hold *hold);
uint64_t hold_bytes(const struct hold *hold);
uint64_t hold_max_count(const struct hold *hold); /* high-water marks */
uint64_t hold_max_bytes(const struct hold *hold);

/*
 * Deferred pops: what was popped sits in an output buffer for a while, and a kill would lose it. Once asked
 * for, a popped entry stays in the memfd until hold_settle(mark) for a mark taken after its pop: take a mark
 * with each output_mark(), settle it when that is durable. Popped entries do not count in H3; their chunks
 * are busy until settled.
 */
void hold_defer_pops(struct hold *hold);
uint64_t hold_mark(const struct hold *hold);
void hold_settle(struct hold *hold, uint64_t mark);
uint64_t hold_settled(const struct hold *hold); /* the greatest mark that was settled */

/* Calls fn for every whole entry that an earlier process left, once for each `sequence` and in that order;
 * each is a copy that is valid during the call. Sizes are right (R1); everything else in it, also since_ns,
 * is what stood there. fn may append to this hold, with the entry's sequence, so that H4 holds if this
 * process is killed as well. When all were given their chunks count as popped. Returns how many, or negative
 * errno: nothing was given. Called again it gives 0. */
typedef void hold_recover_fn(void *arg, const struct hold_entry *entry);
int64_t hold_recover(struct hold *hold, hold_recover_fn *fn, void *arg);

/*
 * One note for a successor, HOLD_NOTE_BYTES at most, replaced as a whole: after a kill at any instruction there is this one or the one before.
 * begin: where to write it; NULL: there is no chunk. read: what a predecessor left, hostile bytes; before anything of the store is settled.
 */
#define HOLD_NOTE_BYTES 32720
void *hold_note_begin(struct hold *hold);
void hold_note_commit(struct hold *hold, size_t size);
/* Returns the size; 0: there is none. */
size_t hold_note_read(struct hold *hold, void *to);

/*
 * The same for several regions together and in steps, by any number of threads: what was left in all of them, each region in the order of its `sequence`, and over
 * the regions by the time of the records. Nothing of it leaves the memfd before hold_heritage_settle(): a kill in between gives all of it to the next one again.
 */
struct hold_heritage;
/* The stores are borrowed, and not appended to before. 0 or negative errno. */
int hold_heritage_new(struct hold_heritage **ret, struct hold *const *holds, uint32_t count);
size_t hold_heritage_count(const struct hold_heritage *heritage);
/* A copy into room for HOLD_ENTRY_BYTES_MAX; *ret_hold: index of its store. false: it is no entry any more. Any thread, at any time until it is settled. */
#define HOLD_ENTRY_BYTES_MAX (sizeof(struct hold_entry) + 32768)
bool hold_heritage_get(
    const struct hold_heritage *heritage, size_t index, struct hold_entry *copy, uint32_t *ret_hold);
/* All of it is held again or written: its chunks count as popped. While nobody uses the stores. */
void hold_heritage_settle(struct hold_heritage *heritage);
struct hold_heritage *hold_heritage_free(struct hold_heritage *heritage);
