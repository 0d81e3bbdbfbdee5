/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/hold.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/record.h"
#include "enricher/hold_chunk.h"

int hold_new(struct hold **ret, int memfd, const struct hold_limits *limits)
{
    return hold_new_region(ret, memfd, 0, limits);
}

int hold_new_region(struct hold **ret, int memfd, uint32_t region, const struct hold_limits *limits)
{
    struct hold *hold = calloc(1, sizeof(*hold));
    int r;

    if (!hold)
        return -ENOMEM;
    hold->fd = -1;
    hold->limits = *limits;
    hold->file_offset = region * HOLD_REGION_BYTES;
    r = hold_chunks_init(hold, memfd);
    if (r < 0) {
        (void)hold_free(hold);
        return r;
    }
    *ret = hold;
    return 0;
}

struct hold *hold_free(struct hold *hold)
{
    if (hold)
        hold_chunks_deinit(hold);
    free(hold);
    return NULL;
}

bool hold_is(const struct hold *hold, int memfd)
{
    struct stat ours, theirs;

    return fstat(hold->fd, &ours) == 0 && fstat(memfd, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

/* ---- the list of queues by age ---- */

static void list_remove(struct hold *hold, struct hold_queue *queue)
{
    *(queue->older ? &queue->older->newer : &hold->oldest) = queue->newer;
    *(queue->newer ? &queue->newer->older : &hold->newest) = queue->older;
    queue->older = queue->newer = NULL;
    queue->linked = false;
}

static void list_insert_behind(struct hold *hold, struct hold_queue *queue, struct hold_queue *older)
{
    queue->older = older;
    queue->newer = older ? older->newer : hold->oldest;
    *(older ? &older->newer : &hold->oldest) = queue;
    *(queue->newer ? &queue->newer->older : &hold->newest) = queue;
    queue->linked = true;
}

/* A new first entry is the newest of all but for what is held again, so the walk from that end is short. */
static void list_insert(struct hold *hold, struct hold_queue *queue)
{
    struct hold_queue *older = hold->newest;

    while (older && older->first_since_ns > queue->first_since_ns)
        older = older->older;
    list_insert_behind(hold, queue, older);
}

/* Its first entry is another. Usually a younger one, and most often by so little that the place stays the
 * same; a queue that is drained passes each other queue once. */
static void list_adjust(struct hold *hold, struct hold_queue *queue)
{
    struct hold_queue *older = queue->older, *newer = queue->newer;

    if ((!newer || newer->first_since_ns >= queue->first_since_ns) &&
        (!older || older->first_since_ns <= queue->first_since_ns))
        return;
    list_remove(hold, queue);
    while (newer && newer->first_since_ns < queue->first_since_ns) {
        older = newer;
        newer = newer->newer;
    }
    while (older && older->first_since_ns > queue->first_since_ns)
        older = older->older;
    list_insert_behind(hold, queue, older);
}

/* ---- entries ---- */

static size_t entry_size(const struct record_header *record)
{
    return sizeof(struct hold_entry) + record->size;
}

/* The chunk that has room for `size` more bytes at its end; 0: there is none to be had. */
static uint32_t chunk_with_room(struct hold *hold, struct hold_queue *queue, size_t size)
{
    uint32_t chunk = queue->last_chunk;

    if (chunk && hold_chunk_at(hold, chunk)->used + size <= HOLD_CHUNK_BYTES)
        return chunk;
    chunk = hold_chunk_claim(hold);
    if (!chunk)
        return 0;
    if (queue->last_chunk)
        hold_chunk_at(hold, queue->last_chunk)->next = chunk;
    else
        queue->first_chunk = chunk;
    queue->last_chunk = chunk;
    return chunk;
}

static void count_in(struct hold *hold, struct hold_queue *queue, uint32_t bytes)
{
    queue->count++;
    queue->bytes += bytes;
    hold->count++;
    hold->bytes += bytes;
    if (hold->count > hold->max_count)
        hold->max_count = hold->count;
    if (hold->bytes > hold->max_bytes)
        hold->max_bytes = hold->bytes;
}

int hold_append(struct hold *hold, struct hold_queue *queue, const struct record_header *record,
    const struct hold_entry *entry)
{
    uint32_t chunk, used, bytes = record->size;
    struct hold_entry *copy;

    if (bytes < sizeof(*record) || bytes > RECORD_SIZE_MAX || bytes % RECORD_ALIGN != 0)
        return -EINVAL;
    if (hold->count >= hold->limits.max_events || bytes > hold->limits.max_bytes ||
        hold->bytes > hold->limits.max_bytes - bytes)
        return -ENOSPC;
    chunk = chunk_with_room(hold, queue, entry_size(record));
    if (!chunk)
        return -ENOSPC;
    used = hold_chunk_at(hold, chunk)->used;
    copy = hold_chunk_data(hold, chunk, used);
    *copy = *entry;
    if (copy->sequence == 0)
        copy->sequence = ++hold->sequence;
    memcpy(copy + 1, record, bytes);
    hold_chunk_store_used(hold, chunk, used + (uint32_t)entry_size(record));

    count_in(hold, queue, bytes);
    if (!queue->linked) {
        queue->first_since_ns = entry->since_ns;
        list_insert(hold, queue);
    }
    return 0;
}

int hold_move_first(
    struct hold *hold, struct hold_queue *from, struct hold_queue *to, const struct hold_entry *entry)
{
    const struct record_header *record = hold_entry_record(hold_first(hold, from));
    int r;

    hold->count--;
    hold->bytes -= record->size;
    r = hold_append(hold, to, record, entry);
    hold->count++;
    hold->bytes += record->size;
    return r;
}

struct hold_entry *hold_first(struct hold *hold, struct hold_queue *queue)
{
    if (queue->count == 0)
        return NULL;
    return hold_chunk_data(hold, queue->first_chunk, hold_chunk_at(hold, queue->first_chunk)->read);
}

void hold_pop(struct hold *hold, struct hold_queue *queue)
{
    const struct record_header *record;
    uint32_t chunk = queue->first_chunk;
    struct hold_chunk *c;

    assert(queue->count > 0);
    c = hold_chunk_at(hold, chunk);
    record = hold_entry_record(hold_first(hold, queue));
    queue->count--;
    queue->bytes -= record->size;
    hold->count--;
    hold->bytes -= record->size;
    hold->pops++;
    c->read += (uint32_t)entry_size(record);
    if (c->read == c->used) { /* of the last chunk only when the queue is empty */
        c->left = true;
        queue->first_chunk = c->next;
        if (!c->next)
            queue->last_chunk = 0;
    }
    hold_chunk_popped(hold, chunk);
    if (queue->count == 0) {
        list_remove(hold, queue);
        return;
    }
    queue->first_since_ns = hold_first(hold, queue)->since_ns;
    list_adjust(hold, queue);
}

struct hold_queue *hold_oldest(struct hold *hold)
{
    return hold->oldest;
}

uint64_t hold_count(const struct hold *hold)
{
    return hold->count;
}

uint64_t hold_bytes(const struct hold *hold)
{
    return hold->bytes;
}

uint64_t hold_max_count(const struct hold *hold)
{
    return hold->max_count;
}

uint64_t hold_max_bytes(const struct hold *hold)
{
    return hold->max_bytes;
}

void hold_defer_pops(struct hold *hold)
{
    hold->deferred = true;
}

uint64_t hold_mark(const struct hold *hold)
{
    return hold->pops;
}

void hold_settle(struct hold *hold, uint64_t mark)
{
    hold_chunks_settle(hold, mark);
    if (hold->settled < mark)
        hold->settled = mark;
}

uint64_t hold_settled(const struct hold *hold)
{
    return hold->settled;
}
