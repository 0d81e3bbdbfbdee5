/* SPDX-License-Identifier: Apache-2.0 */
#include "common/queue_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/record.h"

static int check_memfd(int fd, unsigned seals, uint64_t *ret_bytes)
{
    struct stat status;
    int r;

    r = fd_check_seals(fd, seals);
    if (r < 0)
        return r == -EPERM ? r : -EINVAL;
    if (fstat(fd, &status) < 0)
        return -errno;
    *ret_bytes = (uint64_t)status.st_size;
    return 0;
}

static int check_ring(const struct queue_ring_page *page, uint64_t data_bytes, bool any_records)
{
    if (page->magic != QUEUE_MAGIC)
        return -EINVAL;
    if (page->version != QUEUE_VERSION || (page->record_version != RECORD_VERSION && !any_records))
        return -EPROTONOSUPPORT;
    return page->data_bytes == data_bytes ? 0 : -EINVAL;
}

/* The seals come first: a size that is sealed stays true, and a mapping within it cannot fault. */
static int map_ring(int fd, bool any_records, const struct queue_ring_page **ret, uint64_t *ret_data_bytes)
{
    uint64_t bytes = 0, data_bytes;
    void *map = NULL;
    int r;

    r = check_memfd(fd, QUEUE_RING_SEALS, &bytes);
    if (r < 0)
        return r;
    if (bytes < QUEUE_PAGE_BYTES + QUEUE_DATA_BYTES_MIN || bytes > QUEUE_PAGE_BYTES + QUEUE_DATA_BYTES_MAX)
        return -EINVAL;
    data_bytes = bytes - QUEUE_PAGE_BYTES;
    if ((data_bytes & (data_bytes - 1)) != 0)
        return -EINVAL;
    r = fd_map_shared(fd, bytes, PROT_READ, &map);
    if (r < 0)
        return r;
    r = check_ring(map, data_bytes, any_records);
    if (r < 0) {
        (void)munmap(map, bytes);
        return r;
    }
    *ret = map;
    *ret_data_bytes = data_bytes;
    return 0;
}

int queue_map_ring(int fd, const struct queue_ring_page **ret, uint64_t *ret_data_bytes)
{
    return map_ring(fd, false, ret, ret_data_bytes);
}

int queue_map_old_ring(int fd, const struct queue_ring_page **ret, uint64_t *ret_data_bytes)
{
    return map_ring(fd, true, ret, ret_data_bytes);
}

int queue_map_cursor(int fd, int protection, void **ret)
{
    uint64_t bytes = 0;
    int r;

    r = check_memfd(fd, QUEUE_CURSOR_SEALS, &bytes);
    if (r < 0)
        return r;
    return bytes == QUEUE_PAGE_BYTES ? fd_map_shared(fd, bytes, protection, ret) : -EINVAL;
}

bool queue_remains_init(
    struct queue_remains *remains, const struct queue_ring_page *page, uint64_t data_bytes)
{
    *remains = (struct queue_remains){
        .data = (const uint8_t *)page + QUEUE_PAGE_BYTES,
        .data_bytes = data_bytes,
        .position = atomic_load_explicit(&page->released, memory_order_relaxed), /* its writer is no more */
        .tail = atomic_load_explicit(&page->tail, memory_order_relaxed),
    };
    return remains->position <= remains->tail && remains->tail - remains->position <= data_bytes &&
           remains->position % RECORD_ALIGN == 0 && remains->tail % RECORD_ALIGN == 0;
}

const struct record_header *queue_remains_next(struct queue_remains *remains, bool *ret_broken)
{
    uint64_t offset = remains->position & (remains->data_bytes - 1), left = remains->tail - remains->position;
    const struct record_header *record = (const void *)(remains->data + offset);

    *ret_broken = false;
    if (left == 0)
        return NULL;
    if (record->size % RECORD_ALIGN != 0 || record->size > left ||
        record->size > remains->data_bytes - offset ||
        (record->type == RECORD_PAD ? record->size < RECORD_ALIGN
                                    : record->size < sizeof(*record) || record->size > RECORD_SIZE_MAX)) {
        *ret_broken = true;
        return NULL;
    }
    remains->position += record->size;
    return record;
}
