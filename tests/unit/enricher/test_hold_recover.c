/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/hold.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "enricher/hold_chunk.h"
#include "tests/unit/enricher/hold_kit.h"

static const struct hold_limits wide = {.max_events = 200000, .max_bytes = 128u << 20};
static struct kit_record scratch;

static int append(struct hold *hold, struct hold_queue *queue, uint64_t id)
{
    struct hold_entry entry = {.since_ns = id, .subject = queue, .context = hold, .attributes = id};

    return hold_append(hold, queue, kit_record(&scratch, id, kit_size(id)), &entry);
}

static int new_memfd(void)
{
    return memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

struct seen {
    uint64_t count, last_sequence;
    uint64_t ids[1024];
    struct hold *again; /* appends to it */
    struct hold_queue *queue;
};

static void see(void *arg, const struct hold_entry *entry)
{
    struct seen *seen = arg;
    uint64_t id = entry->attributes;

    cr_assert(kit_record_is(hold_entry_record(entry), id, kit_size(id)), "H2: whole");
    cr_assert_null(entry->subject);
    cr_assert_null(entry->context);
    cr_assert_geq(entry->sequence, seen->last_sequence);
    seen->last_sequence = entry->sequence;
    if (seen->count < 1024)
        seen->ids[seen->count] = id;
    seen->count++;
    if (seen->again)
        cr_assert_eq(append(seen->again, seen->queue, id), 0);
}

static int64_t recover(int fd, struct seen *seen)
{
    struct hold *hold = NULL;
    int64_t given;

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    given = hold_recover(hold, see, seen);
    (void)hold_free(hold);
    return given;
}

Test(hold_recover, gives_what_was_held_in_order_of_arrival)
{
    int fd = new_memfd();
    struct hold_queue a = {0}, b = {0};
    struct hold *hold = NULL;
    struct seen seen = {0};

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (uint64_t id = 0; id < 300; id++)
        cr_assert_eq(append(hold, id % 3 ? &a : &b, id), 0);
    for (unsigned i = 0; i < 50; i++)
        hold_pop(hold, &b);
    (void)hold_free(hold);
    cr_expect_eq(recover(fd, &seen), 250);
    for (uint64_t i = 0, id = 0; i < 250; i++, id++) {
        while (id < 150 && id % 3 == 0)
            id++;
        cr_expect_eq(seen.ids[i], id);
    }
    (void)close(fd);
}

Test(hold_recover, gives_nothing_a_second_time)
{
    int fd = new_memfd();
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    struct seen seen = {0};

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    cr_assert_eq(append(hold, &queue, 1), 0);
    (void)hold_free(hold);
    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    cr_expect_eq(hold_recover(hold, see, &seen), 1);
    cr_expect_eq(hold_recover(hold, see, &seen), 0);
    (void)hold_free(hold);
    cr_expect_eq(recover(fd, &seen), 0);
    (void)close(fd);
}

Test(hold_recover, what_is_appended_meanwhile_is_held_and_comes_again)
{
    int fd = new_memfd();
    struct hold_queue queue = {0};
    struct hold *hold = NULL;

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (uint64_t id = 0; id < 1000; id++)
        cr_assert_eq(append(hold, &queue, id), 0);
    (void)hold_free(hold);
    for (unsigned round = 0; round < 5; round++) {
        struct hold_queue again = {0};
        struct seen seen = {.queue = &again};

        cr_assert_eq(hold_new(&hold, fd, &wide), 0);
        seen.again = hold;
        cr_expect_eq(hold_recover(hold, see, &seen), 1000);
        cr_expect_eq(hold_count(hold), 1000);
        for (uint64_t id = 0; id < 1000; id++)
            cr_assert_eq(seen.ids[id], id);
        (void)hold_free(hold);
    }
    (void)close(fd);
}

Test(hold_recover, held_again_under_its_sequence_it_comes_once)
{
    int fd = new_memfd();
    struct hold_queue a = {0}, b = {0};
    struct hold *hold = NULL;
    struct seen seen = {0};

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (uint64_t id = 0; id < 10; id++)
        cr_assert_eq(append(hold, &a, id), 0);
    for (uint64_t id = 0; id < 5; id++) { /* moved to another queue, killed before they left the first */
        const struct hold_entry *entry = hold_first(hold, &a);

        cr_assert_eq(hold_append(hold, &b, hold_entry_record(entry), entry), 0);
        if (id < 4)
            hold_pop(hold, &a);
    }
    (void)hold_free(hold);
    cr_expect_eq(recover(fd, &seen), 10);
    for (uint64_t id = 0; id < 10; id++)
        cr_expect_eq(seen.ids[id], id);
    (void)close(fd);
}

Test(hold_recover, chunks_of_the_predecessor_are_used_again)
{
    int fd = new_memfd();
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    struct stat before, after;
    struct seen seen = {0};

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (uint64_t id = 0; id < 2000; id++)
        cr_assert_eq(append(hold, &queue, id), 0);
    (void)hold_free(hold);
    cr_assert_eq(fstat(fd, &before), 0);
    for (unsigned round = 0; round < 20; round++) {
        cr_assert_eq(hold_new(&hold, fd, &wide), 0);
        cr_expect_eq(hold_recover(hold, see, &seen), 2000);
        queue = (struct hold_queue){0};
        for (uint64_t id = 0; id < 2000; id++)
            cr_assert_eq(append(hold, &queue, id), 0);
        (void)hold_free(hold);
        seen.last_sequence = 0;
    }
    cr_assert_eq(fstat(fd, &after), 0);
    cr_expect_leq(after.st_size, before.st_size + 64 * HOLD_CHUNK_BYTES);
    (void)close(fd);
}

Test(hold_recover, deferred_pops_come_again_until_they_are_settled)
{
    int fd = new_memfd();
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    struct seen seen = {0};
    uint64_t mark;

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    hold_defer_pops(hold);
    for (uint64_t id = 0; id < 500; id++)
        cr_assert_eq(append(hold, &queue, id), 0);
    for (unsigned i = 0; i < 300; i++)
        hold_pop(hold, &queue);
    mark = hold_mark(hold);
    hold_settle(hold, mark);
    for (unsigned i = 0; i < 100; i++)
        hold_pop(hold, &queue);
    hold_settle(hold, mark); /* does not cover the second hundred */
    cr_expect_eq(hold_count(hold), 100);
    (void)hold_free(hold);
    cr_expect_eq(recover(fd, &seen), 200);
    cr_expect_eq(seen.ids[0], 300);
    (void)close(fd);
}

Test(hold_recover, deferred_recovery_comes_again_until_it_is_settled)
{
    int fd = new_memfd();
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    struct seen seen = {0};

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (uint64_t id = 0; id < 500; id++)
        cr_assert_eq(append(hold, &queue, id), 0);
    (void)hold_free(hold);
    for (unsigned round = 0; round < 2; round++) {
        seen = (struct seen){0};
        cr_assert_eq(hold_new(&hold, fd, &wide), 0);
        hold_defer_pops(hold);
        cr_expect_eq(hold_recover(hold, see, &seen), 500);
        if (round == 1)
            hold_settle(hold, hold_mark(hold));
        (void)hold_free(hold);
    }
    cr_expect_eq(recover(fd, &seen), 0);
    (void)close(fd);
}

/* ---- killed at any instruction ---- */

enum { IDS = 1 << 20, KILL_QUEUES = 5 };
enum { NEVER, APPENDING, HELD, POPPING, GONE };

struct journal {
    atomic_uchar state[IDS];
    atomic_ullong next;
    struct hold_queue queues[KILL_QUEUES];
};

struct child {
    struct hold *hold;
    struct journal *journal;
};

static void hold_again(void *arg, const struct hold_entry *entry)
{
    struct child *child = arg;
    uint64_t id = entry->attributes;

    if (id >= IDS || atomic_load(&child->journal->state[id]) == GONE)
        _exit(3);
    if (hold_append(child->hold, &child->journal->queues[id % KILL_QUEUES], hold_entry_record(entry), entry) <
        0)
        _exit(4);
    atomic_store(&child->journal->state[id], HELD);
}

static _Noreturn void live_until_killed(int fd, struct journal *journal, uint64_t seed)
{
    struct child child = {.journal = journal};
    uint64_t random = seed;

    memset(journal->queues, 0, sizeof(journal->queues));
    if (hold_new(&child.hold, fd, &wide) < 0 || hold_recover(child.hold, hold_again, &child) < 0)
        _exit(2);
    for (;;) {
        uint64_t r = kit_random(&random), id = atomic_load(&journal->next);
        struct hold_queue *queue = &journal->queues[id % KILL_QUEUES];

        if (r % 100 < 55 && hold_count(child.hold) < 3000 && id < IDS) {
            atomic_store(&journal->next, id + 1);
            atomic_store(&journal->state[id], APPENDING);
            if (append(child.hold, queue, id) < 0)
                _exit(4);
            atomic_store(&journal->state[id], HELD);
        } else if ((queue = &journal->queues[(r >> 32) % KILL_QUEUES])->count > 0) {
            id = hold_first(child.hold, queue)->attributes;
            atomic_store(&journal->state[id], POPPING);
            hold_pop(child.hold, queue);
            atomic_store(&journal->state[id], GONE);
        }
    }
}

struct audit {
    struct journal *journal;
    uint8_t *times;
    uint64_t last[KILL_QUEUES];
};

static void audit_entry(void *arg, const struct hold_entry *entry)
{
    struct audit *audit = arg;
    uint64_t id = entry->attributes;

    cr_assert_lt(id, IDS);
    cr_assert(kit_record_is(hold_entry_record(entry), id, kit_size(id)), "H2: whole");
    cr_assert_neq(atomic_load(&audit->journal->state[id]), GONE, "came again after its pop");
    cr_assert_neq(atomic_load(&audit->journal->state[id]), NEVER);
    audit->times[id]++;
    cr_assert(audit->last[id % KILL_QUEUES] <= id, "H1");
    audit->last[id % KILL_QUEUES] = id + 1;
}

/* From a copy, so that the next child finds what this one left. */
static void audit_memfd(int fd, struct journal *journal)
{
    struct audit audit = {.journal = journal};
    struct hold *hold = NULL;
    struct stat st;
    void *from, *to;
    int copy = new_memfd();

    audit.times = calloc(IDS, 1);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(ftruncate(copy, st.st_size), 0);
    if (st.st_size > 0) {
        from = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        to = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
        memcpy(to, from, (size_t)st.st_size);
        (void)munmap(from, (size_t)st.st_size);
        (void)munmap(to, (size_t)st.st_size);
    }
    cr_assert_eq(hold_new(&hold, copy, &wide), 0);
    cr_assert_geq(hold_recover(hold, audit_entry, &audit), 0);
    for (uint64_t id = 0; id < IDS; id++) {
        if (atomic_load(&journal->state[id]) == HELD)
            cr_assert_geq(audit.times[id], 1, "lost: %lu", id);
        cr_assert_leq(audit.times[id], 1, "H4");
    }
    (void)hold_free(hold);
    free(audit.times);
    (void)close(copy);
}

Test(hold_recover, loses_and_tears_nothing_when_killed_at_any_point, .timeout = 100)
{
    const char *wanted = getenv("PODKIN_HOLD_KILLS");
    unsigned kills = wanted ? (unsigned)atoi(wanted) : 60;
    uint64_t random = 42;

    struct journal *journal =
        mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd = new_memfd();

    cr_assert_neq(journal, MAP_FAILED);
    for (unsigned i = 0; i < kills; i++) {
        int status;
        pid_t child;

        child = fork();
        if (child == 0) /* it works until it is killed: never longer than we are there */
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        cr_assert_geq(child, 0);
        if (child == 0)
            live_until_killed(fd, journal, kit_random(&random) + i);
        (void)usleep((useconds_t)(kit_random(&random) % (i % 4 ? 3000 : 40000)));
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "the child ended by itself: %d", WEXITSTATUS(status));
        audit_memfd(fd, journal);
    }
    cr_expect_gt(atomic_load(&journal->next), 100);
    (void)munmap(journal, sizeof(*journal));
    (void)close(fd);
}

/* ---- hostile bytes ---- */

static void touch_all(void *arg, const struct hold_entry *entry)
{
    const struct record_header *record = hold_entry_record(entry);
    uint64_t *sum = arg;

    cr_assert(record->size >= sizeof(*record) && record->size <= RECORD_SIZE_MAX && record->size % 8 == 0);
    cr_assert(!entry->subject && !entry->context);
    for (uint32_t i = 0; i < record->size; i++)
        *sum += ((const uint8_t *)record)[i];
}

static void recover_hostile(const void *bytes, size_t size)
{
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    uint64_t sum = 0;
    int fd = new_memfd();

    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    cr_assert_geq(hold_recover(hold, touch_all, &sum), 0);
    for (uint64_t id = 0; id < 10; id++)
        cr_assert_eq(append(hold, &queue, id), 0, "the store works after it");
    while (hold_first(hold, &queue))
        hold_pop(hold, &queue);
    cr_assert_eq(hold_count(hold), 0);
    (void)hold_free(hold);
    (void)close(fd);
}

Test(hold_recover, survives_random_bytes)
{
    const size_t size = 3 * HOLD_CHUNK_BYTES + 777;
    uint64_t *words = malloc(size + 8);
    uint64_t random = 1;

    for (unsigned round = 0; round < 30; round++) {
        for (size_t i = 0; i < size / 8; i++)
            words[i] = kit_random(&random);
        for (size_t chunk = 0; chunk < 3; chunk++) {
            struct hold_chunk_header *header =
                (struct hold_chunk_header *)(void *)((char *)words + chunk * HOLD_CHUNK_BYTES);

            header->magic = HOLD_CHUNK_MAGIC;
            if (round % 2) {
                header->consumed = sizeof(*header);
                header->used = (uint32_t)(kit_random(&random) % (HOLD_CHUNK_BYTES + 100));
            }
        }
        recover_hostile(words, size);
    }
    free(words);
}

Test(hold_recover, survives_single_flipped_bits)
{
    static uint8_t image[2 * HOLD_CHUNK_BYTES];
    int fd = new_memfd();
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    uint64_t random = 3;

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (uint64_t id = 100; id < 150; id++)
        cr_assert_eq(append(hold, &queue, id), 0);
    cr_assert_eq(pread(fd, image, sizeof(image), 0), (ssize_t)sizeof(image));
    (void)hold_free(hold);
    for (unsigned round = 0; round < 300; round++) {
        /* half of them in the first header and entry */
        size_t at = kit_random(&random) % (round % 2 ? 152 : sizeof(image));
        uint8_t old = image[at];

        image[at] ^= (uint8_t)(1u << kit_random(&random) % 8);
        recover_hostile(image, sizeof(image));
        image[at] = old;
    }
    (void)close(fd);
}

Test(hold_recover, cut_files_give_what_is_whole)
{
    static uint8_t image[HOLD_CHUNK_BYTES];
    struct hold_chunk_header header = {HOLD_CHUNK_MAGIC, 64 + 2 * (40 + 56), 64, {0}};
    uint64_t expected[] = {64, 64 + 96 - 1, 64 + 96, 64 + 191, 64 + 192};

    memcpy(image, &header, sizeof(header));
    for (uint64_t id = 0; id < 2; id++) {
        struct hold_entry entry = {.sequence = id + 1, .attributes = id};

        memcpy(image + 64 + id * 96, &entry, sizeof(entry));
        memcpy(image + 64 + id * 96 + 40, kit_record(&scratch, id, 56), 56);
    }
    for (unsigned i = 0; i < 5; i++) {
        struct hold *hold = NULL;
        uint64_t sum = 0;
        int fd = new_memfd();

        cr_assert_eq(write(fd, image, expected[i]), (ssize_t)expected[i]);
        cr_assert_eq(hold_new(&hold, fd, &wide), 0);
        /* What was cut reads as zeroes: a record of which only the tail is missing looks whole; record_check() is the caller's. */
        cr_expect_eq(hold_recover(hold, touch_all, &sum), i == 0 ? 0 : i < 3 ? 1 : 2);
        (void)hold_free(hold);
        (void)close(fd);
    }
}

Test(hold_recover, a_vast_sparse_file_costs_neither_time_nor_memory)
{
    struct hold *hold = NULL;
    struct stat st;
    uint64_t sum = 0;
    int fd = new_memfd();

    cr_assert_eq(ftruncate(fd, (off_t)60 << 30), 0);
    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    cr_expect_eq(hold_recover(hold, touch_all, &sum), 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_expect_eq(st.st_blocks, 0);
    (void)hold_free(hold);
    (void)close(fd);
}

Test(hold_recover, sequences_at_the_end_of_the_range_do_not_wrap_ours)
{
    static uint8_t image[HOLD_CHUNK_BYTES];
    struct hold_chunk_header header = {HOLD_CHUNK_MAGIC, 64 + 40 + 48, 64, {0}};
    struct hold_entry entry = {.sequence = UINT64_MAX};
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    uint64_t sum = 0;
    int fd = new_memfd();

    memcpy(image, &header, sizeof(header));
    memcpy(image + 64, &entry, sizeof(entry));
    memcpy(image + 64 + 40, kit_record(&scratch, 0, 48), 48);
    cr_assert_eq(write(fd, image, sizeof(image)), (ssize_t)sizeof(image));
    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    cr_expect_eq(hold_recover(hold, touch_all, &sum), 1);
    cr_assert_eq(append(hold, &queue, 1), 0);
    cr_assert_eq(append(hold, &queue, 2), 0);
    cr_expect_lt(hold_first(hold, &queue)->sequence, 1000);
    (void)hold_free(hold);
    (void)close(fd);
}
