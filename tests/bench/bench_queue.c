/* SPDX-License-Identifier: Apache-2.0 */
/* The shared-memory queue: a producer thread and a consumer thread, records of 64 to 512 bytes, published in batches of 64; nanoseconds a record by size of the queue, median of 5 rounds. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/queue.h"
#include "common/record.h"

#define RECORDS 4000000
#define BATCH   64
#define ROUNDS  5

static const uint16_t sizes[] = {64, 104, 128, 224, 256, 320, 448, 512};

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench_queue: %s\n", what);
    exit(1);
}

static void *produce(void *arg)
{
    struct queue_producer *q = arg;

    for (uint64_t i = 0; i < RECORDS;) {
        uint16_t size = sizes[i * 2654435761u >> 16 & 7];
        struct record_header *record = queue_producer_reserve(q, size, QUEUE_CLASS_LIFE);

        if (!record) {
            queue_producer_publish(q);
            if (queue_producer_refresh(q) < 0)
                fail("the consumer's head is refused");
            sched_yield();
            continue;
        }
        *record =
            (struct record_header){.size = size, .type = RECORD_FORK, .version = RECORD_VERSION, .seq = i};
        queue_producer_commit(q);
        if (++i % BATCH == 0)
            queue_producer_publish(q);
    }
    queue_producer_publish(q);
    return NULL;
}

static double round_ns(size_t bytes)
{
    struct queue_producer *producer;
    struct queue_consumer *consumer;
    struct queue_fds fds;
    pthread_t thread;
    bool broken = false;
    uint64_t begin;

    if (queue_producer_new(&producer, bytes) < 0)
        fail("no queue");
    queue_producer_get_fds(producer, &fds);
    if (queue_consumer_new(&consumer, &fds) < 0)
        fail("no consumer");
    begin = clock_boot_ns();
    if (pthread_create(&thread, NULL, produce, producer) != 0)
        fail("no thread");
    for (uint64_t i = 0; i < RECORDS;) {
        const struct record_header *record = queue_consumer_next(consumer, &broken);

        if (broken || (record && record->seq != i))
            fail("a record is missing");
        if (!record) {
            queue_consumer_release(consumer, queue_consumer_position(consumer));
            sched_yield();
        } else if (++i % BATCH == 0) {
            queue_consumer_release(consumer, queue_consumer_position(consumer));
        }
    }
    begin = clock_boot_ns() - begin;
    (void)pthread_join(thread, NULL);
    queue_consumer_free(consumer);
    queue_producer_free(producer);
    return (double)begin / RECORDS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(void)
{
    static const size_t mebibytes[] = {1, 4, 16, 64};

    for (size_t i = 0; i < sizeof(mebibytes) / sizeof(mebibytes[0]); i++) {
        double ns[ROUNDS];

        for (int round = 0; round < ROUNDS; round++)
            ns[round] = round_ns(mebibytes[i] << 20);
        qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
        printf("queue of %2zu MiB  %5.1f ns a record (%.1f to %.1f)\n", mebibytes[i], ns[ROUNDS / 2], ns[0],
            ns[ROUNDS - 1]);
    }
    return 0;
}
