/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct ring {
    uint64_t *consumer;       /* page 0, ours to write */
    const uint64_t *producer; /* page 1; the data behind it in the same mapping */
    const uint8_t *data;
    size_t page_bytes, ring_bytes;
    uint64_t position, released;
    uint64_t written; /* as last read */
};

int ring_open(struct ring **ret, int map_fd, size_t ring_bytes)
{
    struct ring *ring = calloc(1, sizeof(*ring));
    void *map;
    int r;

    if (!ring)
        return -ENOMEM;
    ring->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    ring->ring_bytes = ring_bytes;
    map = mmap(NULL, ring->page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    if (map != MAP_FAILED) {
        ring->consumer = map;
        map = mmap(
            NULL, ring->page_bytes + 2 * ring_bytes, PROT_READ, MAP_SHARED, map_fd, (off_t)ring->page_bytes);
    }
    if (map == MAP_FAILED) {
        r = -errno;
        ring_close(ring);
        return r;
    }
    ring->producer = map;
    ring->data = (const uint8_t *)map + ring->page_bytes;
    ring->position = ring->released = ring->written = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
    *ret = ring;
    return 0;
}

struct ring *ring_close(struct ring *ring)
{
    if (!ring)
        return NULL;
    if (ring->consumer)
        (void)munmap(ring->consumer, ring->page_bytes);
    if (ring->producer)
        (void)munmap((void *)ring->producer, ring->page_bytes + 2 * ring->ring_bytes);
    free(ring);
    return NULL;
}

const void *ring_next(struct ring *ring, size_t *ret_size)
{
    for (;;) {
        const uint8_t *sample = ring->data + (ring->position & (ring->ring_bytes - 1));
        uint32_t length;

        if (ring->position >= ring->written) {
            /* acquire: pairs with the kernel's release when it reserves; headers below it are set, to "busy" at least */
            ring->written = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
            if (ring->position >= ring->written)
                return NULL;
        }
        /* acquire: pairs with the kernel's exchange when it commits; the record is whole */
        length = __atomic_load_n((const uint32_t *)(const void *)sample, __ATOMIC_ACQUIRE);
        if (length & BPF_RINGBUF_BUSY_BIT)
            return NULL;
        *ret_size = length & ~BPF_RINGBUF_DISCARD_BIT;
        ring->position += (*ret_size + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
        if (!(length & BPF_RINGBUF_DISCARD_BIT))
            return sample + BPF_RINGBUF_HDR_SZ;
    }
}

uint64_t ring_position(const struct ring *ring)
{
    return ring->position;
}

void ring_release(struct ring *ring)
{
    if (ring->released == ring->position)
        return;
    ring->released = ring->position;
    /* release: pairs with the kernel's acquire when it looks for room; our reads are over */
    __atomic_store_n(ring->consumer, ring->position, __ATOMIC_RELEASE);
}

int ring_skip_to(struct ring *ring, uint64_t position)
{
    uint64_t written = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);

    if (position < ring->released || position > written || position % 8 != 0)
        return -ERANGE;
    ring->position = position;
    ring->written = written; /* what was read of it before may lie behind the position */
    ring_release(ring);
    return 0;
}

size_t ring_used_bytes(const struct ring *ring)
{
    uint64_t written = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);

    return written > ring->released ? (size_t)(written - ring->released) : 0;
}
