/* SPDX-License-Identifier: Apache-2.0 */
/* A producer is killed, and the next one goes on where it was. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "common/fd.h"
#include "common/queue.h"
#include "common/queue_layout.h"
#include "common/record.h"

#define DATA_BYTES 65536

static struct queue_producer *producer;
static uint64_t put_count;
static bool broken;

static bool put(size_t size)
{
    struct record_header *record = queue_producer_reserve(producer, size, QUEUE_CLASS_LIFE);

    if (!record)
        return false;
    memset(record, (int)(put_count & 0xff), size);
    *record = (struct record_header){
        .size = (uint32_t)size, .type = RECORD_FORK, .version = RECORD_VERSION, .seq = put_count++};
    queue_producer_commit(producer);
    return true;
}

static struct queue_consumer *open_consumer(void)
{
    struct queue_consumer *consumer = NULL;
    struct queue_fds fds;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(queue_consumer_new(&consumer, &fds), 0);
    return consumer;
}

/* Whole and in order; how many. */
static uint64_t take(struct queue_consumer *consumer, uint64_t seq, uint64_t max)
{
    const struct record_header *record;
    uint64_t count = 0;

    while (count < max && (record = queue_consumer_next(consumer, &broken))) {
        const uint8_t *bytes = (const uint8_t *)record;

        cr_assert_eq(record->seq, seq + count);
        for (size_t i = sizeof(*record); i < record->size; i++)
            cr_assert_eq(bytes[i], (seq + count) & 0xff);
        count++;
    }
    cr_assert_not(broken);
    return count;
}

/* As the store would: the fds live on, the producer does not. */
static void kill_and_continue(void)
{
    struct queue_producer *next = NULL;
    struct queue_fds fds;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(queue_producer_continue(&next, fds.ring, fds.cursor), 0);
    producer = queue_producer_free(producer);
    producer = next;
}

static void setup(void)
{
    put_count = 0;
    cr_assert_eq(queue_producer_new(&producer, DATA_BYTES), 0);
}

static void teardown(void)
{
    producer = queue_producer_free(producer);
}

TestSuite(queue_continue, .init = setup, .fini = teardown);

Test(queue_continue, next_consumer_has_all_that_was_published_and_not_released)
{
    struct queue_consumer *consumer = open_consumer();

    for (unsigned lap = 0; lap < 5; lap++) { /* into the third lap, with pads */
        while (put(1000))
            ;
        queue_producer_publish(producer);
        (void)take(consumer, put_count - queue_producer_used_bytes(producer) / 1000, UINT64_MAX);
        queue_consumer_release(consumer, queue_consumer_position(consumer));
        cr_assert_eq(queue_producer_refresh(producer), 0);
    }
    for (unsigned i = 0; i < 20; i++)
        cr_assert(put(200 + 8 * i));
    queue_producer_publish(producer);
    cr_assert_eq(take(consumer, put_count - 20, 7), 7);
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    (void)queue_consumer_free(consumer); /* killed, too */
    kill_and_continue();
    cr_assert(put(64));
    queue_producer_publish(producer);
    cr_assert_eq(queue_producer_refresh(producer), 0);
    cr_assert_eq(queue_producer_renew_cursor(producer), 0);
    consumer = open_consumer();
    cr_assert_eq(take(consumer, put_count - 14, UINT64_MAX), 14);
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    cr_assert_eq(queue_producer_refresh(producer), 0);
    cr_assert_eq(queue_producer_used_bytes(producer), 0);
    (void)queue_consumer_free(consumer);
}

Test(queue_continue, consumer_that_lives_finishes_the_old_ring_and_gets_nothing_twice)
{
    struct queue_consumer *consumer = open_consumer();

    for (unsigned i = 0; i < 30; i++)
        cr_assert(put(96));
    queue_producer_publish(producer);
    kill_and_continue();
    kill_and_continue(); /* and its successor as well */
    for (unsigned i = 0; i < 10; i++)
        cr_assert(put(96));
    queue_producer_publish(producer);
    cr_assert_eq(take(consumer, 0, UINT64_MAX), 30);
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    cr_assert_eq(queue_producer_refresh(producer), 0);
    cr_assert_eq(queue_producer_used_bytes(producer), 960);
    (void)queue_consumer_free(consumer);
    cr_assert_eq(queue_producer_renew_cursor(producer), 0);
    consumer = open_consumer();
    cr_assert_eq(take(consumer, 30, UINT64_MAX), 10);
    (void)queue_consumer_free(consumer);
}

Test(queue_continue, committed_and_not_published_is_not_there)
{
    struct queue_consumer *consumer;

    cr_assert(put(96));
    queue_producer_publish(producer);
    cr_assert(put(96));
    kill_and_continue();
    put_count = 1;
    cr_assert(put(128));
    queue_producer_publish(producer);
    cr_assert_eq(queue_producer_renew_cursor(producer), 0);
    consumer = open_consumer();
    cr_assert_eq(take(consumer, 0, UINT64_MAX), 2);
    (void)queue_consumer_free(consumer);
}

Test(queue_continue, books_go_on)
{
    struct queue_books books = {.published = {[RECORD_EXEC] = 7}, .refused_queue = {[RECORD_HOOK] = 3}}, seen;

    queue_producer_store_books(producer, &books);
    kill_and_continue();
    queue_producer_load_books(producer, &seen);
    cr_assert_eq(memcmp(&books, &seen, sizeof(books)), 0);
}

static void set_head(uint64_t head)
{
    struct queue_fds fds;
    void *map = NULL;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(fd_map_shared(fds.cursor, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, &map), 0);
    atomic_store_explicit(&((struct queue_cursor_page *)map)->head, head, memory_order_relaxed);
    (void)munmap(map, QUEUE_PAGE_BYTES);
}

Test(queue_continue, head_that_cannot_be_is_refused_as_ever)
{
    const uint64_t bad[] = {8, 96 + 8, 96 * 11, UINT64_MAX};

    for (unsigned i = 0; i < 10; i++)
        cr_assert(put(96));
    queue_producer_publish(producer);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_head(bad[i]);
        kill_and_continue();
        cr_expect_eq(queue_producer_refresh(producer), -EPROTO);
        cr_expect_eq(queue_producer_used_bytes(producer), 960);
    }
    set_head(96 * 4);
    cr_expect_eq(queue_producer_refresh(producer), 0);
    cr_expect_eq(queue_producer_used_bytes(producer), 576);
}

Test(queue_continue, what_is_no_queue_is_refused)
{
    struct queue_producer *next = NULL;
    struct queue_fds fds;
    int fd = fd_memfd_new("no-ring", QUEUE_PAGE_BYTES + DATA_BYTES);

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(queue_producer_continue(&next, fd, fds.cursor), -EPERM);
    cr_assert_eq(fd_seal(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);
    cr_assert_eq(queue_producer_continue(&next, fd, fds.cursor), -EINVAL);
    cr_assert_null(next);
    cr_assert_eq(
        queue_producer_continue(&next, fds.ring, -1), 0, "without a cursor it begins at the last head");
    next = queue_producer_free(next);
    fd_close(&fd);
}

/* A ring as another version would have left it. */
static int make_ring(uint32_t version, uint32_t record_version)
{
    int fd = fd_memfd_new("ring", QUEUE_PAGE_BYTES + DATA_BYTES);
    struct queue_ring_page *page;
    struct record_header *record;
    void *map = NULL;

    cr_assert_eq(fd_map_shared(fd, QUEUE_PAGE_BYTES + DATA_BYTES, PROT_READ | PROT_WRITE, &map), 0);
    page = map;
    page->magic = QUEUE_MAGIC;
    page->version = version;
    page->record_version = record_version;
    page->data_bytes = DATA_BYTES;
    for (unsigned i = 0; i < 5; i++) {
        record = (struct record_header *)(void *)((uint8_t *)map + QUEUE_PAGE_BYTES + (size_t)i * 96);
        record->size = 96;
        record->type = i < 2 ? RECORD_EXEC : RECORD_EXIT;
    }
    page->tail = 5 * 96;
    (void)munmap(map, QUEUE_PAGE_BYTES + DATA_BYTES);
    cr_assert_eq(fd_seal(fd, QUEUE_RING_SEALS), 0);
    return fd;
}

Test(queue_continue, records_of_another_version_are_counted_from_where_their_consumer_is)
{
    int fd = make_ring(QUEUE_VERSION, RECORD_VERSION + 1);
    struct queue_producer *next = NULL;
    uint64_t count[16] = {0};
    struct queue_fds fds;

    cr_assert_eq(queue_producer_continue(&next, fd, -1), -EPROTONOSUPPORT);
    cr_assert(queue_count_unread(fd, -1, count));
    cr_expect_eq(count[RECORD_EXEC], 2);
    cr_expect_eq(count[RECORD_EXIT], 3);
    queue_producer_get_fds(producer, &fds);
    set_head(96 * 3);
    cr_assert(queue_count_unread(fd, fds.cursor, count));
    cr_expect_eq(count[RECORD_EXEC], 0);
    cr_expect_eq(count[RECORD_EXIT], 2);
    set_head(96 * 3 + 8); /* not a record's begin: all of it */
    cr_assert(queue_count_unread(fd, fds.cursor, count));
    cr_expect_eq(count[RECORD_EXEC] + count[RECORD_EXIT], 5);
    fd_close(&fd);
    fd = make_ring(QUEUE_VERSION + 1, RECORD_VERSION);
    cr_assert_not(queue_count_unread(fd, -1, count));
    fd_close(&fd);
}
