/* SPDX-License-Identifier: Apache-2.0 */
#include "common/queue.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/queue_layout.h"
#include "common/record.h"

#define DATA_BYTES 65536

static struct queue_producer *producer;
static struct queue_consumer *consumer;
static struct queue_cursor_page *page; /* the consumer's page, for what an honest consumer never does */
static bool broken;

static void open_consumer(void)
{
    struct queue_fds fds;
    void *map = NULL;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(queue_consumer_new(&consumer, &fds), 0);
    cr_assert_eq(fd_map_shared(fds.cursor, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, &map), 0);
    page = map;
}

static void setup(void)
{
    cr_assert_eq(queue_producer_new(&producer, DATA_BYTES), 0);
    open_consumer();
}

static void teardown(void)
{
    (void)munmap(page, QUEUE_PAGE_BYTES);
    consumer = queue_consumer_free(consumer);
    producer = queue_producer_free(producer);
}

static bool put(uint64_t seq, size_t size, enum queue_class class)
{
    struct record_header *record = queue_producer_reserve(producer, size, class);

    if (!record)
        return false;
    memset(record, (int)(seq & 0xff), size);
    *record = (struct record_header){
        .size = (uint32_t)size, .type = RECORD_FORK, .version = RECORD_VERSION, .seq = seq};
    queue_producer_commit(producer);
    return true;
}

static uint64_t fill(size_t size, enum queue_class class)
{
    uint64_t count = 0;

    while (put(count, size, class))
        count++;
    return count;
}

/* Whole, unchanged, in order from `seq`; returns how many. */
static uint64_t take_all(uint64_t seq)
{
    const struct record_header *record;
    uint64_t count = 0;

    while ((record = queue_consumer_next(consumer, &broken))) {
        const uint8_t *bytes = (const uint8_t *)record;

        cr_assert_eq(record->seq, seq + count);
        for (size_t i = sizeof(*record); i < record->size; i++)
            cr_assert_eq(bytes[i], (seq + count) & 0xff);
        count++;
    }
    cr_assert_not(broken);
    return count;
}

static bool doorbell_rings(void)
{
    struct pollfd poll_fd = {.fd = queue_consumer_doorbell_fd(consumer), .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void set_head(uint64_t head)
{
    atomic_store_explicit(&page->head, head, memory_order_relaxed);
}

TestSuite(queue, .init = setup, .fini = teardown);

Test(queue, committed_is_not_visible_before_publish)
{
    cr_assert(put(0, 64, QUEUE_CLASS_LIFE));
    cr_assert_null(queue_consumer_next(consumer, &broken));
    queue_producer_publish(producer);
    cr_assert_eq(take_all(0), 1);
}

Test(queue, reserve_without_commit_leaves_tail_unchanged)
{
    cr_assert_not_null(queue_producer_reserve(producer, 64, QUEUE_CLASS_LIFE));
    cr_assert_eq(queue_producer_tail(producer), 0);
    cr_assert(put(0, 128, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    cr_assert_eq(take_all(0), 1);
}

Test(queue, full_queue_refuses_and_loses_nothing_accepted)
{
    uint64_t count = fill(200, QUEUE_CLASS_LIFE), tail = queue_producer_tail(producer);

    cr_assert_geq(count * 200, DATA_BYTES - 200);
    cr_assert_null(queue_producer_reserve(producer, 200, QUEUE_CLASS_LIFE));
    cr_assert_eq(queue_producer_tail(producer), tail);
    queue_producer_publish(producer);
    cr_assert_eq(take_all(0), count);
}

Test(queue, hook_records_leave_the_reserve_to_process_life)
{
    fill(256, QUEUE_CLASS_HOOK);
    cr_assert_leq(queue_producer_used_bytes(producer), DATA_BYTES - DATA_BYTES / 8);
    cr_assert_gt(queue_producer_used_bytes(producer), DATA_BYTES - DATA_BYTES / 8 - 512);
    cr_assert_geq(fill(256, QUEUE_CLASS_LIFE), DATA_BYTES / 8 / 256);
}

Test(queue, room_comes_back_with_release_and_refresh)
{
    uint64_t count = fill(256, QUEUE_CLASS_LIFE);

    queue_producer_publish(producer);
    cr_assert_eq(take_all(0), count);
    cr_assert_eq(queue_producer_refresh(producer), 0);
    cr_assert_not(put(0, 256, QUEUE_CLASS_LIFE), "read is not released");
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    cr_assert_not(put(0, 256, QUEUE_CLASS_LIFE), "released is not refreshed");
    cr_assert_eq(queue_producer_refresh(producer), 0);
    cr_assert_eq(queue_producer_used_bytes(producer), 0);
    cr_assert(put(0, 256, QUEUE_CLASS_LIFE));
}

Test(queue, many_laps_of_mixed_sizes_arrive_whole_and_in_order)
{
    uint64_t written = 0, read = 0, random = 88172645463325252ULL;

    while (queue_producer_tail(producer) < 50 * DATA_BYTES) {
        for (;;) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            if (!put(written, 48 + random % (random % 16 ? 400 : 32000) / 8 * 8, QUEUE_CLASS_LIFE))
                break;
            written++;
        }
        queue_producer_publish(producer);
        read += take_all(read);
        queue_consumer_release(consumer, queue_consumer_position(consumer));
        cr_assert_eq(queue_producer_refresh(producer), 0);
    }
    cr_assert_eq(read, written);
}

Test(queue, largest_record_passes_at_every_offset_of_the_lap)
{
    uint64_t seq = 0;

    for (int i = 0; i < 1000; i++) {
        cr_assert(put(seq, 48 + (size_t)(i % 5) * 8, QUEUE_CLASS_LIFE));
        cr_assert(put(seq + 1, RECORD_SIZE_MAX, QUEUE_CLASS_LIFE));
        queue_producer_publish(producer);
        cr_assert_eq(take_all(seq), 2);
        seq += 2;
        queue_consumer_release(consumer, queue_consumer_position(consumer));
        cr_assert_eq(queue_producer_refresh(producer), 0);
    }
}

Test(queue, second_consumer_starts_where_the_first_released)
{
    for (uint64_t i = 0; i < 10; i++)
        cr_assert(put(i, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    for (int i = 0; i < 4; i++)
        cr_assert_not_null(queue_consumer_next(consumer, &broken));
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    cr_assert_not_null(queue_consumer_next(consumer, &broken));
    (void)munmap(page, QUEUE_PAGE_BYTES);
    consumer = queue_consumer_free(consumer);
    cr_assert_eq(queue_producer_refresh(producer), 0);
    cr_assert_eq(queue_producer_renew_cursor(producer), 0);
    open_consumer();
    cr_assert_eq(take_all(4), 6);
}

Test(queue, sleep_begin_refuses_when_something_is_published)
{
    cr_assert(put(0, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    cr_assert_not(queue_consumer_sleep_begin(consumer));
    cr_assert_eq(take_all(0), 1);
    cr_assert(queue_consumer_sleep_begin(consumer));
}

Test(queue, doorbell_rings_once_a_sleep_and_only_for_sleepers)
{
    char rings[16];

    cr_assert(put(0, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    cr_assert_not(doorbell_rings());
    take_all(0);
    for (uint64_t i = 1; i < 20; i++) {
        cr_assert(queue_consumer_sleep_begin(consumer));
        cr_assert_not(doorbell_rings());
        for (int k = 0; k < 3; k++) {
            cr_assert(put(i, 64, QUEUE_CLASS_LIFE));
            queue_producer_publish(producer);
        }
        cr_assert(doorbell_rings());
        cr_assert_eq(recv(queue_consumer_doorbell_fd(consumer), rings, sizeof(rings), MSG_PEEK), 1);
        queue_consumer_sleep_end(consumer);
        cr_assert_not(doorbell_rings());
        while (queue_consumer_next(consumer, &broken))
            ;
    }
}

/* Q6: the flag of the consumer's end is not the flag of ours, and a bell that nobody empties is no place to wait. */
Test(queue, blocking_and_overfull_doorbell_does_not_stop_the_producer, .timeout = 20)
{
    struct queue_fds fds;
    uint32_t ticket = 1;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(fcntl(fds.doorbell, F_SETFL, 0), 0);
    for (int i = 0; i < 100000; i++, ticket += 2) {
        atomic_store_explicit(&page->sleep_ticket, ticket, memory_order_relaxed);
        cr_assert(put((uint64_t)i, 64, QUEUE_CLASS_LIFE));
        queue_producer_publish(producer);
        cr_assert_not_null(queue_consumer_next(consumer, &broken));
        queue_consumer_release(consumer, queue_consumer_position(consumer));
        cr_assert_eq(queue_producer_refresh(producer), 0);
    }
    cr_assert_eq(shutdown(fds.doorbell, SHUT_RDWR), 0);
    atomic_store_explicit(&page->sleep_ticket, ticket, memory_order_relaxed);
    cr_assert(put(0, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
}

/* Q3 */
Test(queue, impossible_heads_are_refused_and_change_nothing)
{
    const uint64_t bad[] = {1, 8, 63, 72, 640 + 8, 640 + 64, UINT64_MAX, UINT64_MAX - 7, DATA_BYTES};

    for (uint64_t i = 0; i < 10; i++)
        cr_assert(put(i, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    cr_assert(put(10, 64, QUEUE_CLASS_LIFE)); /* committed, not published: out of reach */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_head(bad[i]);
        cr_assert_eq(queue_producer_refresh(producer), -EPROTO, "head %lu", (unsigned long)bad[i]);
        cr_assert_eq(queue_producer_head(producer), 0);
    }
    set_head(320);
    cr_assert_eq(queue_producer_refresh(producer), 0);
    set_head(256);
    cr_assert_eq(queue_producer_refresh(producer), -EPROTO, "backwards");
    cr_assert_eq(queue_producer_head(producer), 320);
    set_head(640);
    cr_assert_eq(queue_producer_refresh(producer), 0);
}

/* Starts of records of an earlier lap are no starts of this one. */
Test(queue, heads_between_records_are_refused_after_many_laps)
{
    for (int lap = 0; lap < 20; lap++) {
        size_t size = 48 + (size_t)(lap % 7) * 24;
        uint64_t from = queue_producer_tail(producer), released = from;

        fill(size, QUEUE_CLASS_LIFE);
        queue_producer_publish(producer);
        while (queue_consumer_next(consumer, &broken)) {
            uint64_t at = queue_consumer_position(consumer);

            for (uint64_t between = released + 8; between < at; between += 8) {
                set_head(between);
                /* What a pad ends at is the start of a record, and the one thing in between that may be released. */
                if (queue_producer_refresh(producer) == 0)
                    cr_assert(between % DATA_BYTES == 0 || at - between == size);
            }
            released = at;
        }
        cr_assert_not(broken);
        queue_consumer_release(consumer, released);
        cr_assert_eq(queue_producer_refresh(producer), 0);
        cr_assert_eq(queue_producer_used_bytes(producer), 0);
    }
}

Test(queue, renewed_cursor_leaves_the_old_page_without_effect)
{
    for (uint64_t i = 0; i < 4; i++)
        cr_assert(put(i, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    cr_assert_eq(queue_producer_renew_cursor(producer), 0);
    set_head(UINT64_MAX);
    cr_assert_eq(queue_producer_refresh(producer), 0);
    (void)munmap(page, QUEUE_PAGE_BYTES);
    queue_consumer_free(consumer);
    open_consumer();
    cr_assert_eq(take_all(0), 4);
}

Test(queue, sealed_ring_has_no_other_way_to_be_written)
{
    struct queue_fds fds;
    char path[64];
    void *map = NULL;
    int again;

    queue_producer_get_fds(producer, &fds);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds.ring);
    again = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(again, 0, "reopening succeeds, and is no use:");
    for (int i = 0; i < 2; i++) {
        int fd = i == 0 ? fds.ring : again;

        cr_assert_eq(fd_map_shared(fd, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, &map), -EPERM);
        cr_assert_eq(fd_map_shared(fd, QUEUE_PAGE_BYTES, PROT_READ, &map), 0);
        cr_assert_eq(mprotect(map, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE), -1);
        cr_assert_eq(madvise(map, QUEUE_PAGE_BYTES, MADV_REMOVE), -1);
        (void)munmap(map, QUEUE_PAGE_BYTES);
        cr_assert_eq(pwrite(fd, "x", 1, 0), -1);
        cr_assert_eq(ftruncate(fd, 0), -1);
        cr_assert_eq(ftruncate(fd, 10 << 20), -1);
        cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, QUEUE_PAGE_BYTES), -1);
        cr_assert_eq(fd_seal(fd, F_SEAL_WRITE), -EPERM);
    }
    (void)close(again);
    /* Ours goes on writing. */
    cr_assert(put(0, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    cr_assert_eq(take_all(0), 1);
}

Test(queue, cursor_page_cannot_be_taken_from_under_the_producer)
{
    struct queue_fds fds;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(ftruncate(fds.cursor, 0), -1);
    cr_assert_eq(ftruncate(fds.cursor, 1 << 20), -1);
    cr_assert_eq(fd_seal(fds.cursor, F_SEAL_WRITE), -EPERM);
    cr_assert(put(0, 64, QUEUE_CLASS_LIFE));
    queue_producer_publish(producer);
    set_head(64);
    cr_assert_eq(queue_producer_refresh(producer), 0);
    /* A hole reads as zeroes: a head that goes backwards. */
    cr_assert_eq(fallocate(fds.cursor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, QUEUE_PAGE_BYTES), 0);
    cr_assert_eq(queue_producer_refresh(producer), -EPROTO);
    cr_assert_eq(queue_producer_head(producer), 64);
}

Test(queue, consumer_refuses_an_unsealed_ring)
{
    struct queue_fds fds;
    struct queue_consumer *other = NULL;

    queue_producer_get_fds(producer, &fds);
    fds.ring = fd_memfd_new("test", QUEUE_PAGE_BYTES + DATA_BYTES);
    cr_assert_eq(queue_consumer_new(&other, &fds), -EPERM);
    cr_assert_eq(fd_seal(fds.ring, QUEUE_RING_SEALS), 0);
    cr_assert_eq(queue_consumer_new(&other, &fds), -EINVAL, "zeroes are no ring page");
    (void)close(fds.ring);
    fds.ring = queue_consumer_doorbell_fd(consumer);
    cr_assert_eq(queue_consumer_new(&other, &fds), -EINVAL, "not a memfd");
    cr_assert_null(other);
}

Test(queue, books_are_read_as_stored)
{
    struct queue_books books = {0}, seen;

    books.published[RECORD_EXEC] = 7;
    books.refused_ring[RECORD_HOOK] = UINT64_MAX;
    books.refused_queue[15] = 1;
    queue_producer_store_books(producer, &books);
    queue_consumer_load_books(consumer, &seen);
    cr_assert_eq(memcmp(&books, &seen, sizeof(books)), 0);
}

Test(queue_geometry, sizes_that_are_no_power_of_two_are_refused)
{
    const size_t bad[] = {0, 1, 4096, 65535, 65536 + 4096, 3 << 20, SIZE_MAX};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct queue_producer *q = NULL;

        cr_assert_eq(queue_producer_new(&q, bad[i]), -EINVAL);
        cr_assert_null(q);
    }
}
