/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The two pages of the queue, laid out by writer: what one side stores shares no cache line with what the other stores, and no page
 * either, because the page permissions are part of the structure (queue.h).
 *
 *   ring memfd    [0, 4096)                 struct queue_ring_page    producer writes, consumer reads
 *                 [4096, 4096 + data_bytes) records                   producer writes, consumer reads
 *   cursor memfd  [0, 4096)                 struct queue_cursor_page  consumer writes, producer reads and distrusts
 *
 * This is what a post-mortem reader finds too: the format is versioned, little endian, and needs no pointer.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_MAGIC          UINT64_C(0x314555514b444f50) /* "PODKQUE1" in memory */
#define QUEUE_VERSION        2
#define QUEUE_PAGE_BYTES     4096
#define QUEUE_LINE_BYTES     64
#define QUEUE_DATA_BYTES_MIN (UINT64_C(64) << 10)
#define QUEUE_DATA_BYTES_MAX (UINT64_C(64) << 30)

#define QUEUE_RING_SEALS   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define QUEUE_CURSOR_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct queue_books_shared {
    _Atomic uint64_t published[16];
    _Atomic uint64_t refused_ring[16];
    _Atomic uint64_t refused_queue[16];
    _Atomic uint64_t made; /* 0 in what was written before it was there */
};

struct queue_ring_page {
    /* Line 0: written once, before anybody else has the fd. */
    uint64_t magic;
    uint32_t version;
    uint32_t record_version;
    uint64_t data_bytes;
    uint64_t reserve_bytes;

    /* Line 1: one store a batch. */
    _Alignas(QUEUE_LINE_BYTES) _Atomic uint64_t tail; /* published up to here [O1] [O3] */

    /* Line 2: for the next producer, if this one is killed. The head that it accepted last: nothing before it need be whole. */
    _Alignas(QUEUE_LINE_BYTES) _Atomic uint64_t released;

    /* Then the books: relaxed [O4]. */
    _Alignas(QUEUE_LINE_BYTES) struct queue_books_shared books;
};

struct queue_cursor_page {
    /* Line 0: one store a release. */
    _Alignas(QUEUE_LINE_BYTES) _Atomic uint64_t head; /* released up to here [O2] */

    /* Line 1: two stores a sleep. Odd: the consumer sleeps, and each sleep has a number of its own, so that the producer, which cannot
     * write here, rings once a sleep and not once a batch. */
    _Alignas(QUEUE_LINE_BYTES) _Atomic uint32_t sleep_ticket; /* [O3] */
};

_Static_assert(sizeof(struct queue_ring_page) <= QUEUE_PAGE_BYTES, "page");
_Static_assert(sizeof(struct queue_cursor_page) <= QUEUE_PAGE_BYTES, "page");
_Static_assert(offsetof(struct queue_ring_page, tail) == 64, "layout");
_Static_assert(offsetof(struct queue_ring_page, released) == 128, "layout");
_Static_assert(offsetof(struct queue_ring_page, books) == 192, "layout");
_Static_assert(offsetof(struct queue_cursor_page, sleep_ticket) == 64, "layout");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");
