/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/hold_chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/record.h"

#define GROW_CHUNKS     64
#define INHERITED_LIMIT (UINT32_C(1) << 20) /* 64 GiB, sparse: no store of ours was larger */

/* Entries are not split, so that a chunk may be left with nearly one record of the greatest size unused at
 * its end. */
#define CHUNK_LEAST_FILL                                                                                     \
    (HOLD_CHUNK_BYTES - sizeof(struct hold_chunk_header) - sizeof(struct hold_entry) - RECORD_SIZE_MAX)

/* Orders the stores into the memfd as C2 says: there is no other thread, but a SIGKILL at any instruction. */
static void store_order(void)
{
    atomic_signal_fence(memory_order_release);
}

static uint32_t chunk_limit(const struct hold_limits *limits)
{
    uint64_t bytes, chunks;

    if (__builtin_mul_overflow(limits->max_events, sizeof(struct hold_entry), &bytes) ||
        __builtin_add_overflow(bytes, limits->max_bytes, &bytes))
        return INHERITED_LIMIT;
    chunks = bytes / CHUNK_LEAST_FILL + 1 + HOLD_QUEUE_CHUNKS;
    return chunks < INHERITED_LIMIT ? (uint32_t)chunks : INHERITED_LIMIT;
}

static int open_memfd(struct hold *hold, int memfd)
{
    hold->fd = memfd < 0 ? fd_memfd_new("podkin-hold", 0) : fd_duplicate(memfd);
    if (hold->fd < 0)
        return hold->fd;
    /* A file that shrinks under a mapping kills its reader. Refused where sealing is, or was, not allowed:
     * then nobody but the collector, which is trusted, made it. */
    (void)fcntl(hold->fd, F_ADD_SEALS, F_SEAL_SHRINK);
    return 0;
}

/* Of a region in a file that has, or is made for, several: up to its last page that is there. */
static int adopt_region(struct hold *hold, uint64_t file_bytes)
{
    uint64_t begin = hold->file_offset, end = begin + HOLD_REGION_BYTES, last = begin, count;
    off_t data = (off_t)begin;

    if (file_bytes < end)
        return -EINVAL; /* hold_make_regions() comes first */
    while ((data = lseek(hold->fd, data, SEEK_DATA)) >= 0 && (uint64_t)data < end) {
        data = lseek(hold->fd, data, SEEK_HOLE);
        if (data < 0)
            break;
        last = (uint64_t)data < end ? (uint64_t)data : end;
    }
    if (data < 0 && errno != ENXIO)
        return -errno;
    count = (last - begin + HOLD_CHUNK_BYTES - 1) / HOLD_CHUNK_BYTES;
    if (count > INHERITED_LIMIT)
        return -EFBIG;
    hold->inherited_count = hold->fresh = (uint32_t)count;
    hold->file_count = UINT32_MAX; /* it need not grow */
    return 0;
}

/* What is in the file already, rounded up to whole chunks so that each can be touched. */
static int adopt(struct hold *hold)
{
    struct stat st;
    uint64_t count;

    if (fstat(hold->fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uint64_t)st.st_size > HOLD_REGIONS_MAX * HOLD_REGION_BYTES)
        return -EFBIG;
    if (hold->file_offset || (uint64_t)st.st_size > HOLD_REGION_BYTES)
        return adopt_region(hold, (uint64_t)st.st_size);
    count = ((uint64_t)st.st_size + HOLD_CHUNK_BYTES - 1) / HOLD_CHUNK_BYTES;
    if (count > INHERITED_LIMIT)
        return -EFBIG;
    if (st.st_size % HOLD_CHUNK_BYTES != 0 && ftruncate(hold->fd, (off_t)(count * HOLD_CHUNK_BYTES)) < 0)
        return -errno;
    hold->inherited_count = hold->file_count = hold->fresh = (uint32_t)count;
    return 0;
}

int hold_chunks_init(struct hold *hold, int memfd)
{
    void *base;
    int r = open_memfd(hold, memfd);

    if (r == 0)
        r = adopt(hold);
    if (r < 0)
        return r;
    hold->max_used_count = chunk_limit(&hold->limits);
    hold->mapped_count = hold->inherited_count + hold->max_used_count;
    hold->chunks = calloc(hold->mapped_count, sizeof(*hold->chunks));
    if (!hold->chunks)
        return -ENOMEM;
    base = mmap(NULL, (size_t)hold->mapped_count * HOLD_CHUNK_BYTES, PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_NORESERVE, hold->fd, (off_t)hold->file_offset);
    if (base == MAP_FAILED)
        return -errno;
    hold->base = base;
    if (hold->file_count > hold->mapped_count)
        hold->file_count = hold->mapped_count;
    return 0;
}

int hold_make_regions(int memfd, uint32_t count)
{
    uint64_t bytes = count * HOLD_REGION_BYTES;
    struct stat st;

    if (count > HOLD_REGIONS_MAX)
        return -EINVAL;
    if (fstat(memfd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size >= bytes)
        return 0;
    return ftruncate(memfd, (off_t)bytes) < 0 ? -errno : 0;
}

uint32_t hold_count_regions(int memfd)
{
    struct stat st;
    uint64_t count;

    if (fstat(memfd, &st) < 0)
        return 0;
    count = ((uint64_t)st.st_size + HOLD_REGION_BYTES - 1) / HOLD_REGION_BYTES;
    return count < HOLD_REGIONS_MAX ? (uint32_t)count : HOLD_REGIONS_MAX;
}

void hold_chunks_deinit(struct hold *hold)
{
    if (hold->base)
        (void)munmap(hold->base, (size_t)hold->mapped_count * HOLD_CHUNK_BYTES);
    if (hold->fd >= 0)
        (void)close(hold->fd);
    free(hold->chunks);
    hold->base = NULL;
    hold->fd = -1;
    hold->chunks = NULL;
}

static bool grow(struct hold *hold)
{
    uint32_t count = hold->file_count + GROW_CHUNKS;

    if (count > hold->mapped_count)
        count = hold->mapped_count;
    if (count == hold->file_count || ftruncate(hold->fd, (off_t)count * HOLD_CHUNK_BYTES) < 0)
        return false;
    hold->file_count = count;
    return true;
}

static uint32_t take_free(struct hold *hold)
{
    uint32_t *list = hold->free_warm ? &hold->free_warm : &hold->free_cold;
    uint32_t chunk = *list;

    if (chunk) {
        if (list == &hold->free_warm)
            hold->warm_count--;
        *list = hold_chunk_at(hold, chunk)->next;
        return chunk;
    }
    if (hold->fresh == hold->file_count && !grow(hold))
        return 0;
    return ++hold->fresh;
}

uint32_t hold_chunk_claim(struct hold *hold)
{
    struct hold_chunk_header *header;
    uint32_t chunk;

    if (hold->used_count >= hold->max_used_count)
        return 0;
    chunk = take_free(hold);
    if (!chunk)
        return 0;
    hold->used_count++;
    *hold_chunk_at(hold, chunk) =
        (struct hold_chunk){.used = sizeof(*header), .read = sizeof(*header), .counted = true};
    header = hold_chunk_header(hold, chunk);
    header->used = sizeof(*header);
    header->consumed = sizeof(*header);
    store_order();
    header->magic = HOLD_CHUNK_MAGIC;
    return chunk;
}

void hold_chunk_store_used(struct hold *hold, uint32_t chunk, uint32_t used)
{
    hold_chunk_at(hold, chunk)->used = used;
    store_order();
    hold_chunk_header(hold, chunk)->used = used;
    store_order();
}

void hold_chunk_release(struct hold *hold, uint32_t chunk)
{
    uint32_t *list = &hold->free_cold;

    hold_chunk_header(hold, chunk)->magic = 0;
    store_order();
    if (hold->warm_count < HOLD_WARM_CHUNKS) {
        list = &hold->free_warm;
        hold->warm_count++;
    } else {
        /* Where it is refused the pages stay resident, no more. */
        (void)fallocate(hold->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            (off_t)(hold->file_offset + (uint64_t)(chunk - 1) * HOLD_CHUNK_BYTES), HOLD_CHUNK_BYTES);
    }
    *hold_chunk_at(hold, chunk) = (struct hold_chunk){.next = *list};
    *list = chunk;
}

static void leave_pending(struct hold *hold, uint32_t chunk)
{
    struct hold_chunk *c = hold_chunk_at(hold, chunk);

    *(c->pending_older ? &hold_chunk_at(hold, c->pending_older)->pending_newer : &hold->pending_first) =
        c->pending_newer;
    *(c->pending_newer ? &hold_chunk_at(hold, c->pending_newer)->pending_older : &hold->pending_last) =
        c->pending_older;
    c->pending_older = c->pending_newer = 0;
    c->pending = false;
}

static void join_pending(struct hold *hold, uint32_t chunk)
{
    struct hold_chunk *c = hold_chunk_at(hold, chunk);

    c->pending = true;
    c->mark = hold->pops;
    c->pending_older = hold->pending_last;
    *(hold->pending_last ? &hold_chunk_at(hold, hold->pending_last)->pending_newer : &hold->pending_first) =
        chunk;
    hold->pending_last = chunk;
}

static void settle(struct hold *hold, uint32_t chunk)
{
    const struct hold_chunk *c = hold_chunk_at(hold, chunk);

    if (!c->left) {
        store_order();
        hold_chunk_header(hold, chunk)->consumed = c->read;
        store_order();
        return;
    }
    if (c->counted)
        hold->used_count--;
    hold_chunk_release(hold, chunk);
}

/* A chunk is pending once, under its last pop: pops of it that were covered by an earlier mark wait with it.
 * That is late, never early, and ends with its last entry. */
void hold_chunk_popped(struct hold *hold, uint32_t chunk)
{
    if (!hold->deferred) {
        settle(hold, chunk);
        return;
    }
    if (hold_chunk_at(hold, chunk)->pending)
        leave_pending(hold, chunk);
    join_pending(hold, chunk);
}

void hold_chunks_settle(struct hold *hold, uint64_t mark)
{
    while (hold->pending_first && hold_chunk_at(hold, hold->pending_first)->mark <= mark) {
        uint32_t chunk = hold->pending_first;

        leave_pending(hold, chunk);
        settle(hold, chunk);
    }
}
