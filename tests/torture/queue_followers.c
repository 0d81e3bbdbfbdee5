/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leader and two followers on one queue, each in a thread, built with ThreadSanitizer where there is one: O7 carries data and is a race report when it is missing. O6 and O8 carry
 * none: they are tested by records that come one at a time, each when the last was given back by all, so that whoever is left asleep, or not told, stops everything.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/torture/pattern.h"

#define FOLLOWERS      2
#define LEFT_ASLEEP_MS 2000

struct reader {
    struct queue_consumer *queue;
    bool leads;
    uint64_t count, sleeps;
};

static struct queue_producer *producer;
static struct reader readers[FOLLOWERS + 1];
static int kick_fd;
static _Atomic uint64_t end_seq; /* once the producer is done */
static uint64_t duration_ns;

static uint64_t produce_one_by_one(uint64_t seq)
{
    uint64_t until = clock_boot_ns() + duration_ns / 2, random = 5;

    while (clock_boot_ns() < until) {
        uint64_t late = clock_boot_ns() + LEFT_ASLEEP_MS * NS_PER_MS;

        CHECK(pattern_put(producer, seq++));
        queue_producer_publish(producer);
        while (queue_producer_used_bytes(producer) > 0) {
            CHECK(queue_producer_refresh(producer) == 0);
            CHECK(
                clock_boot_ns() < late); /* somebody was not woken, or what he released was not given back */
        }
        for (uint64_t i = pattern_random(&random) % 128; i > 0; i--)
            __asm__ volatile("");
    }
    return seq;
}

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

static void sleep_until_rung(struct reader *r)
{
    struct pollfd bells[2] = {{.fd = queue_consumer_doorbell_fd(r->queue), .events = POLLIN},
        {.fd = r->leads ? kick_fd : -1, .events = POLLIN}};
    uint64_t kicks;

    if (!queue_consumer_sleep_begin(r->queue))
        return;
    r->sleeps++;
    while (poll(bells, 2, 100) > 0 && !bells[0].revents) {
        (void)!read(kick_fd, &kicks, sizeof(kicks));
        queue_consumer_gather(r->queue);
    }
    queue_consumer_sleep_end(r->queue);
}

static void *consume(void *arg)
{
    struct reader *r = arg;
    uint64_t seq = 1, random = 7, before = 1;

    for (;;) {
        const struct record_header *record;
        bool broken;

        while ((record = queue_consumer_next(r->queue, &broken))) {
            CHECK(record->seq == seq);
            CHECK(pattern_is_whole(record));
            seq++;
            if (pattern_random(&random) % 16 == 0)
                queue_consumer_release(r->queue, queue_consumer_position(r->queue));
        }
        CHECK(!broken);
        queue_consumer_release(r->queue, queue_consumer_position(r->queue));
        if (r->leads)
            queue_consumer_gather(r->queue);
        if (r->leads && seq != before)
            queue_consumer_wake_followers(r->queue);
        before = seq;
        r->count = seq;
        if (seq == atomic_load_explicit(&end_seq, memory_order_acquire))
            return NULL;
        if (atomic_load_explicit(&end_seq, memory_order_acquire) == 0)
            sleep_until_rung(r);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[FOLLOWERS + 2];
    struct queue_fds fds;

    duration_ns = pattern_duration_ns(argc, argv, 4);
    kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(kick_fd >= 0);
    CHECK(queue_producer_new(&producer, 65536) == 0);
    queue_producer_get_fds(producer, &fds);
    CHECK(queue_consumer_new(&readers[0].queue, &fds) == 0);
    readers[0].leads = true;
    for (int i = 1; i <= FOLLOWERS; i++)
        CHECK(queue_consumer_new_follower(&readers[i].queue, readers[0].queue, kick_fd) == 0);
    for (int i = 0; i <= FOLLOWERS; i++)
        CHECK(pthread_create(&threads[i], NULL, consume, &readers[i]) == 0);
    CHECK(pthread_create(&threads[FOLLOWERS + 1], NULL, produce, NULL) == 0);
    for (int i = 0; i < FOLLOWERS + 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    queue_consumer_gather(readers[0].queue);
    CHECK(queue_producer_refresh(producer) == 0 && queue_producer_used_bytes(producer) == 0);
    for (int i = FOLLOWERS; i >= 0; i--) {
        CHECK(readers[i].count == readers[0].count && readers[i].count > 1000 && readers[i].sleeps > 100);
        (void)printf("%llu records, %llu sleeps\n", (unsigned long long)readers[i].count,
            (unsigned long long)readers[i].sleeps);
        queue_consumer_free(readers[i].queue);
    }
    queue_producer_free(producer);
    (void)close(kick_fd);
    return 0;
}
