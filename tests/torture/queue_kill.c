/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes on one queue, one of them killed with SIGKILL at random times: first the consumer, again and again (each record is seen at least once,
 * whole, in order), then the producer (what is published is whole).
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "common/clock.h"
#include "tests/torture/pattern.h"

/* Between the processes; outlives the killed. */
struct witness {
    _Atomic uint64_t next_seq; /* every record below was seen whole */
    _Atomic uint64_t again;    /* records seen more than once */
};

static struct witness *witness;

static void pause_ns(uint64_t ns)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* Never returns: is killed. */
static void consume_until_killed(struct queue_producer *producer, uint64_t random)
{
    struct queue_consumer *consumer = NULL;
    struct queue_fds fds;
    uint64_t expected = 0;

    queue_producer_get_fds(producer, &fds);
    CHECK(queue_consumer_new(&consumer, &fds) == 0);
    for (;;) {
        const struct record_header *record;
        bool broken;

        while ((record = queue_consumer_next(consumer, &broken))) {
            uint64_t seen = atomic_load(&witness->next_seq);

            CHECK(pattern_is_whole(record));
            CHECK(expected == 0 ? record->seq <= seen : record->seq == expected); /* no gap, in order */
            expected = record->seq + 1;
            if (record->seq == seen)
                atomic_store(&witness->next_seq, seen + 1);
            else
                atomic_fetch_add(&witness->again, 1);
            if (pattern_random(&random) % 8 == 0)
                queue_consumer_release(consumer, queue_consumer_position(consumer));
        }
        CHECK(!broken);
        if (queue_consumer_sleep_begin(consumer)) {
            struct pollfd bell = {.fd = queue_consumer_doorbell_fd(consumer), .events = POLLIN};

            (void)poll(&bell, 1, 100);
            queue_consumer_sleep_end(consumer);
        }
    }
}

static pid_t fork_tied(void)
{
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static void kill_and_reap(pid_t child)
{
    int status = 0;

    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it did not fail a check before */
}

/* As the collector does: what the dead one released counts, the next gets a page of its own. Every other time the same page is used on. */
static void consumer_killed(uint64_t duration_ns)
{
    struct queue_producer *producer = NULL;
    uint64_t until = clock_boot_ns() + duration_ns, random = 3, seq = 1, kills = 0;

    CHECK(queue_producer_new(&producer, 65536) == 0);
    atomic_store(&witness->next_seq, 1);
    while (clock_boot_ns() < until) {
        pid_t child = fork_tied();
        uint64_t kill_at;

        if (child == 0)
            consume_until_killed(producer, pattern_random(&random) + kills);
        kill_at = clock_boot_ns() + pattern_random(&random) % (8 * NS_PER_MS);
        while (clock_boot_ns() < kill_at) {
            for (uint64_t i = pattern_random(&random) % 32; i > 0 && pattern_put(producer, seq); i--)
                seq++;
            queue_producer_publish(producer);
            CHECK(queue_producer_refresh(producer) == 0);
        }
        kill_and_reap(child);
        kills++;
        CHECK(queue_producer_refresh(producer) == 0);
        if (kills % 2)
            CHECK(queue_producer_renew_cursor(producer) == 0);
    }
    {
        pid_t child = fork_tied();

        if (child == 0)
            consume_until_killed(producer, 5);
        for (int i = 0; i < 5000 && atomic_load(&witness->next_seq) != seq; i++)
            pause_ns(NS_PER_MS);
        kill_and_reap(child);
    }
    CHECK(atomic_load(&witness->next_seq) == seq);
    (void)printf("consumer killed %llu times: %llu records all seen, %llu of them again\n",
        (unsigned long long)kills, (unsigned long long)(seq - 1),
        (unsigned long long)atomic_load(&witness->again));
    CHECK(kills > 20 && seq > 1000);
    queue_producer_free(producer);
}

static void produce_until_killed(struct queue_producer *producer)
{
    uint64_t random = 11, seq = 1;

    for (;;) {
        for (uint64_t i = pattern_random(&random) % 64; i > 0 && pattern_put(producer, seq); i--)
            seq++;
        queue_producer_publish(producer);
        CHECK(queue_producer_refresh(producer) == 0);
    }
}

static uint64_t read_all(struct queue_consumer *consumer, uint64_t seq)
{
    const struct record_header *record;
    bool broken;

    while ((record = queue_consumer_next(consumer, &broken))) {
        CHECK(record->seq == seq && pattern_is_whole(record));
        seq++;
    }
    CHECK(!broken);
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    return seq;
}

static void producer_killed(uint64_t duration_ns)
{
    uint64_t until = clock_boot_ns() + duration_ns, random = 13, kills = 0, total = 0;

    while (clock_boot_ns() < until) {
        struct queue_producer *producer = NULL;
        struct queue_consumer *consumer = NULL;
        struct queue_fds fds;
        uint64_t kill_at, seq = 1;
        pid_t child;

        CHECK(queue_producer_new(&producer, 65536) == 0);
        queue_producer_get_fds(producer, &fds);
        CHECK(queue_consumer_new(&consumer, &fds) == 0);
        child = fork_tied();
        if (child == 0)
            produce_until_killed(producer);
        kill_at = clock_boot_ns() + pattern_random(&random) % (6 * NS_PER_MS);
        while (clock_boot_ns() < kill_at)
            seq = read_all(consumer, seq);
        kill_and_reap(child);
        seq = read_all(consumer, seq);
        CHECK(queue_consumer_backlog_bytes(consumer) == 0);
        total += seq - 1;
        kills++;
        queue_consumer_free(consumer);
        queue_producer_free(producer);
    }
    (void)printf("producer killed %llu times: %llu records, all whole\n", (unsigned long long)kills,
        (unsigned long long)total);
    CHECK(kills > 20 && total > 1000);
}

int main(int argc, char **argv)
{
    uint64_t duration_ns = pattern_duration_ns(argc, argv, 4);

    witness = mmap(NULL, sizeof(*witness), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(witness != MAP_FAILED);
    consumer_killed(duration_ns);
    producer_killed(duration_ns);
    return 0;
}
