/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads on one queue, built with ThreadSanitizer where there is one: every order in the pair table of queue.h that carries data (O1, O2)
 * is a race report when it is missing. O3 carries none: it is tested by sleeping as often as possible and never being left asleep.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "common/clock.h"
#include "tests/torture/pattern.h"

#define LEFT_ASLEEP_MS 2000

static struct queue_producer *producer;
static struct queue_consumer *consumer;
static _Atomic uint64_t end_seq; /* once the producer is done */
static uint64_t duration_ns;

/* One record at a time, each when the last was released: the consumer is just about to sleep, and nothing comes after it to wake it (O3). */
static uint64_t produce_one_by_one(uint64_t seq)
{
    uint64_t until = clock_boot_ns() + duration_ns / 2, random = 5;

    while (clock_boot_ns() < until) {
        CHECK(pattern_put(producer, seq++));
        queue_producer_publish(producer);
        while (queue_producer_used_bytes(producer) > 0)
            CHECK(queue_producer_refresh(producer) == 0);
        for (uint64_t i = pattern_random(&random) % 128; i > 0; i--)
            __asm__ volatile("");
    }
    return seq;
}

/* Sometimes in batches, sometimes one by one, sometimes after a pause: so that the consumer sleeps at all stages. */
static void *produce(void *unused)
{
    uint64_t seq = produce_one_by_one(1), until = clock_boot_ns() + duration_ns / 2, random = 1;

    (void)unused;
    while (clock_boot_ns() < until) {
        uint64_t dice = pattern_random(&random);

        for (uint64_t i = 0; i < (dice % 4 ? dice % 64 : 1); i++) {
            if (!pattern_put(producer, seq))
                break;
            seq++;
        }
        queue_producer_publish(producer);
        CHECK(queue_producer_refresh(producer) == 0);
        if (dice % 97 == 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)(dice % 200000)}, NULL);
    }
    atomic_store_explicit(&end_seq, seq, memory_order_release);
    return NULL;
}

static uint64_t sleeps;

static void sleep_until_rung(void)
{
    struct pollfd bell = {.fd = queue_consumer_doorbell_fd(consumer), .events = POLLIN};

    if (!queue_consumer_sleep_begin(consumer))
        return;
    sleeps++;
    if (poll(&bell, 1, LEFT_ASLEEP_MS) == 0)
        CHECK(queue_consumer_backlog_bytes(consumer) == 0); /* Q5: asleep on published records */
    queue_consumer_sleep_end(consumer);
}

static uint64_t consume(void)
{
    uint64_t seq = 1, random = 7;

    for (;;) {
        const struct record_header *record;
        bool broken;

        while ((record = queue_consumer_next(consumer, &broken))) {
            CHECK(record->seq == seq);
            CHECK(pattern_is_whole(record));
            seq++;
            if (pattern_random(&random) % 16 == 0)
                queue_consumer_release(consumer, queue_consumer_position(consumer));
        }
        CHECK(!broken);
        queue_consumer_release(consumer, queue_consumer_position(consumer));
        if (seq == atomic_load_explicit(&end_seq, memory_order_acquire))
            return seq;
        if (atomic_load_explicit(&end_seq, memory_order_acquire) == 0)
            sleep_until_rung();
    }
}

int main(int argc, char **argv)
{
    struct queue_fds fds;
    pthread_t thread;
    uint64_t count;

    duration_ns = pattern_duration_ns(argc, argv, 4);
    CHECK(queue_producer_new(&producer, 65536) == 0);
    queue_producer_get_fds(producer, &fds);
    CHECK(queue_consumer_new(&consumer, &fds) == 0);
    CHECK(pthread_create(&thread, NULL, produce, NULL) == 0);
    count = consume();
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(count > 1000 && sleeps > 100);
    (void)printf("%llu records, %llu sleeps\n", (unsigned long long)count, (unsigned long long)sleeps);
    queue_consumer_free(consumer);
    queue_producer_free(producer);
    return 0;
}
