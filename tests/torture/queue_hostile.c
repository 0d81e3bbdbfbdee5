/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile consumer against an honest producer (Q3, Q6): another process writes random and plausible values into its page at random times, breaks its
 * doorbell, punches holes, and keeps the pages and bells of its former lives. The producer never faults, waits or spins; and whenever an
 * honest consumer takes over, it starts at a record and finds everything from there to the tail whole and in order.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/queue_layout.h"
#include "tests/torture/pattern.h"

#define SLOWEST_NS (2 * NS_PER_SEC) /* of one turn of the producer on a busy machine: far from for ever */

static uint64_t random_head(struct queue_cursor_page *page, const struct queue_ring_page *ring, uint64_t dice)
{
    uint64_t tail = atomic_load(&ring->tail), head = atomic_load(&page->head);

    switch (dice % 8) {
    case 0:
        return dice;
    case 1:
        return tail; /* possible, and honest */
    case 2:
        return tail - (dice >> 8) % 4096 / 8 * 8;
    case 3:
        return head + (dice >> 8) % 4096 / 8 * 8;
    case 4:
        return head - 8;
    case 5:
        return tail + 8;
    case 6:
        return tail - 65536;
    default:
        return 0;
    }
}

static void break_bell(int bell, uint64_t dice)
{
    switch (dice % 6) {
    case 0:
        (void)fcntl(bell, F_SETFL, 0);
        break;
    case 1:
        (void)shutdown(bell, dice & 64 ? SHUT_RD : SHUT_RDWR);
        break;
    case 2:
        (void)send(bell, "garbage", 7, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 3:
        (void)setsockopt(bell, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int));
        break;
    default:
        break; /* leaves it to run full */
    }
}

/* Never returns. */
static void attack(const struct queue_fds *fds, uint64_t random)
{
    const struct queue_ring_page *ring;
    struct queue_cursor_page *page;
    void *map = NULL;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK(fd_map_shared(fds->cursor, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, &map) == 0);
    page = map;
    CHECK(fd_map_shared(fds->ring, QUEUE_PAGE_BYTES, PROT_READ, &map) == 0);
    ring = map;
    for (;;) {
        uint64_t dice = pattern_random(&random);

        if (dice % 3)
            atomic_store(&page->head, random_head(page, ring, dice >> 8));
        atomic_store(&page->sleep_ticket, (uint32_t)(dice >> 16) | 1);
        if (dice % 64 == 0)
            break_bell(fds->doorbell, dice >> 6);
        if (dice % 1024 == 0)
            (void)fallocate(fds->cursor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, QUEUE_PAGE_BYTES);
        if (dice % 512 == 1) {
            CHECK(ftruncate(fds->cursor, 0) < 0 && ftruncate(fds->ring, 0) < 0);
            CHECK(pwrite(fds->ring, &dice, sizeof(dice), (off_t)(dice % 4096)) < 0);
        }
        for (uint64_t i = (dice >> 20) % 2000; i > 0; i--)
            __asm__ volatile("");
    }
}

static pid_t start_attacker(struct queue_producer *producer, uint64_t seed)
{
    struct queue_fds fds;
    pid_t child;

    queue_producer_get_fds(producer, &fds);
    child = fork();
    CHECK(child >= 0);
    if (child == 0)
        attack(&fds, seed);
    return child;
}

/* Everything between the accepted head and the tail. Returns the number behind the last record. */
static uint64_t read_as_honest(struct queue_producer *producer)
{
    struct queue_consumer *consumer = NULL;
    const struct record_header *record;
    struct queue_fds fds;
    uint64_t expected = 0;
    bool broken;

    queue_producer_get_fds(producer, &fds);
    CHECK(queue_consumer_new(&consumer, &fds) == 0);
    while ((record = queue_consumer_next(consumer, &broken))) {
        CHECK(pattern_is_whole(record));
        CHECK(expected == 0 || record->seq == expected);
        expected = record->seq + 1;
    }
    CHECK(!broken);
    CHECK(queue_consumer_position(consumer) == queue_producer_tail(producer));
    queue_consumer_release(consumer, queue_consumer_position(consumer));
    queue_consumer_free(consumer);
    return expected;
}

int main(int argc, char **argv)
{
    uint64_t until = clock_boot_ns() + pattern_duration_ns(argc, argv, 6);
    uint64_t seq = 1, turns = 0, refused = 0, accepted = 0, honest = 0, slowest = 0;
    struct queue_producer *producer = NULL;
    pid_t attackers[2] = {0, 0}; /* the one of now, and one that lives on with a page that was renewed */

    CHECK(queue_producer_new(&producer, 65536) == 0);
    attackers[0] = start_attacker(producer, 1);
    for (; clock_boot_ns() < until; turns++) {
        uint64_t started = clock_boot_ns(), took, head = queue_producer_head(producer);
        bool broken;

        for (int i = 0; i < 64 && pattern_put(producer, seq); i++)
            seq++;
        queue_producer_publish(producer);
        broken = queue_producer_refresh(producer) < 0;
        took = clock_boot_ns() - started;
        slowest = took > slowest ? took : slowest;
        accepted += queue_producer_head(producer) != head;
        CHECK(queue_producer_head(producer) >= head);
        if (!broken)
            continue;
        refused++;
        CHECK(queue_producer_head(producer) == head);
        if (attackers[1] > 0) {
            CHECK(kill(attackers[1], SIGKILL) == 0);
            CHECK(waitpid(attackers[1], NULL, 0) == attackers[1]);
        }
        attackers[1] = attackers[0];
        CHECK(queue_producer_renew_cursor(producer) == 0);
        if (refused % 2) {
            uint64_t end = read_as_honest(producer);

            CHECK(end == 0 || end == seq);
            CHECK(queue_producer_refresh(producer) == 0);
            CHECK(queue_producer_used_bytes(producer) == 0);
            honest++;
        }
        attackers[0] = start_attacker(producer, seq);
    }
    for (int i = 0; i < 2; i++) {
        int status = 0;

        if (attackers[i] <= 0)
            continue;
        CHECK(kill(attackers[i], SIGKILL) == 0);
        CHECK(waitpid(attackers[i], &status, 0) == attackers[i]);
        CHECK(WIFSIGNALED(status)); /* every way to write or cut was refused */
    }
    (void)printf("%llu turns, %llu records, %llu heads refused, %llu accepted, %llu honest readers, slowest "
                 "turn %llu us\n",
        (unsigned long long)turns, (unsigned long long)seq, (unsigned long long)refused,
        (unsigned long long)accepted, (unsigned long long)honest, (unsigned long long)(slowest / NS_PER_US));
    CHECK(slowest < SLOWEST_NS);
    CHECK(refused > 20 && honest > 10 && accepted > 0);
    queue_producer_free(producer);
    return 0;
}
