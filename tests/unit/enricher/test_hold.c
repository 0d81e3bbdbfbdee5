/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/hold.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/enricher/hold_kit.h"

static const struct hold_limits wide = {.max_events = 200000, .max_bytes = 128u << 20};
static struct kit_record scratch;

static int append(struct hold *hold, struct hold_queue *queue, uint64_t id, uint32_t size, uint64_t since_ns)
{
    struct hold_entry entry = {.since_ns = since_ns, .subject = queue, .attributes = id};

    return hold_append(hold, queue, kit_record(&scratch, id, size), &entry);
}

static struct hold *new_hold(const struct hold_limits *limits)
{
    struct hold *hold = NULL;

    cr_assert_eq(hold_new(&hold, -1, limits), 0);
    return hold;
}

/* ---- against a model ---- */

enum { QUEUES = 17, MODEL_MAX = 4096 };

struct model_queue {
    struct hold_queue queue;
    uint64_t ids[MODEL_MAX], since[MODEL_MAX];
    uint32_t first, last;
};

static void check_first(struct hold *hold, struct model_queue *m)
{
    struct hold_entry *entry = hold_first(hold, &m->queue);
    uint64_t id;

    cr_assert_eq(m->queue.count, m->last - m->first);
    if (m->first == m->last) {
        cr_assert_null(entry);
        return;
    }
    id = m->ids[m->first];
    cr_assert_not_null(entry);
    cr_assert_eq(entry->attributes, id, "H1");
    cr_assert_eq(entry->subject, &m->queue);
    cr_assert_eq(entry->since_ns, m->since[m->first]);
    cr_assert(kit_record_is(hold_entry_record(entry), id, kit_size(id)));
}

static void check_totals(struct hold *hold, const struct model_queue *queues)
{
    uint64_t count = 0, bytes = 0, oldest = UINT64_MAX;

    for (unsigned q = 0; q < QUEUES; q++) {
        uint64_t queue_bytes = 0;

        for (uint32_t i = queues[q].first; i < queues[q].last; i++)
            queue_bytes += kit_size(queues[q].ids[i]);
        cr_assert_eq(queues[q].queue.bytes, queue_bytes);
        bytes += queue_bytes;
        count += queues[q].last - queues[q].first;
        if (queues[q].first < queues[q].last && queues[q].since[queues[q].first] < oldest)
            oldest = queues[q].since[queues[q].first];
    }
    cr_assert_eq(hold_count(hold), count, "H3");
    cr_assert_eq(hold_bytes(hold), bytes, "H3");
    if (count == 0)
        cr_assert_null(hold_oldest(hold));
    else
        cr_assert_eq(hold_first(hold, hold_oldest(hold))->since_ns, oldest);
}

static void run_model(uint64_t seed, bool deferred)
{
    static struct model_queue queues[QUEUES];
    struct hold *hold = new_hold(&wide);
    uint64_t random = seed, mark = 0;

    memset(queues, 0, sizeof(queues));
    if (deferred)
        hold_defer_pops(hold);
    for (uint64_t step = 1; step <= 20000; step++) {
        uint64_t r = kit_random(&random);
        struct model_queue *m = &queues[r % QUEUES];

        if ((r >> 16) % 100 < (step / 4000 % 2 ? 30 : 65) && m->last < MODEL_MAX) {
            /* Mostly now; at times held again with its old time. */
            uint64_t since = (r >> 32) % 8 ? step : (r >> 40) % (step + 1);

            m->ids[m->last] = step;
            m->since[m->last++] = since;
            cr_assert_eq(append(hold, &m->queue, step, kit_size(step), since), 0);
        } else if (m->first < m->last) {
            hold_pop(hold, &m->queue);
            m->first++;
        }
        check_first(hold, m);
        if (step % 64 == 0) {
            check_totals(hold, queues);
            hold_settle(hold, mark);
            mark = hold_mark(hold);
        }
    }
    (void)hold_free(hold);
}

Test(hold, agrees_with_a_model)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        run_model(seed, false);
}

Test(hold, agrees_with_a_model_when_pops_are_deferred)
{
    for (uint64_t seed = 6; seed <= 10; seed++)
        run_model(seed, true);
}

/* ---- limits ---- */

Test(hold, limit_of_events_is_exact_and_keeps_nothing_above)
{
    const struct hold_limits limits = {.max_events = 3, .max_bytes = 1 << 20};
    struct hold *hold = new_hold(&limits);
    struct hold_queue a = {0}, b = {0};

    cr_expect_eq(append(hold, &a, 1, 48, 1), 0);
    cr_expect_eq(append(hold, &b, 2, 48, 2), 0);
    cr_expect_eq(append(hold, &a, 3, 48, 3), 0);
    cr_expect_eq(append(hold, &b, 4, 48, 4), -ENOSPC);
    cr_expect_eq(b.count, 1);
    cr_expect_eq(hold_count(hold), 3);
    cr_expect_eq(hold_bytes(hold), 144);
    hold_pop(hold, hold_oldest(hold));
    cr_expect_eq(append(hold, &b, 4, 48, 4), 0);
    cr_expect_eq(hold_max_count(hold), 3);
    (void)hold_free(hold);
}

Test(hold, limit_of_bytes_is_exact_and_keeps_nothing_above)
{
    const struct hold_limits limits = {.max_events = 100, .max_bytes = 1000};
    struct hold *hold = new_hold(&limits);
    struct hold_queue queue = {0};

    cr_expect_eq(append(hold, &queue, 1, 600, 1), 0);
    cr_expect_eq(append(hold, &queue, 2, 408, 1), -ENOSPC);
    cr_expect_eq(append(hold, &queue, 2, 400, 1), 0);
    cr_expect_eq(append(hold, &queue, 3, 48, 1), -ENOSPC);
    cr_expect_eq(hold_bytes(hold), 1000);
    cr_expect_eq(hold_max_bytes(hold), 1000);
    hold_pop(hold, &queue);
    cr_expect_eq(hold_bytes(hold), 400);
    cr_expect_eq(append(hold, &queue, 3, 600, 1), 0);
    (void)hold_free(hold);
}

Test(hold, record_greater_than_the_store_is_refused_when_it_is_empty)
{
    const struct hold_limits limits = {.max_events = 100, .max_bytes = 100}, none = {0};
    struct hold_queue queue = {0};
    struct hold *hold = new_hold(&limits);

    cr_expect_eq(append(hold, &queue, 1, 104, 1), -ENOSPC);
    cr_expect_null(hold_oldest(hold));
    (void)hold_free(hold);
    hold = new_hold(&none);
    cr_expect_eq(append(hold, &queue, 1, 48, 1), -ENOSPC);
    (void)hold_free(hold);
}

Test(hold, sizes_that_no_record_has_are_refused)
{
    struct hold *hold = new_hold(&wide);
    struct hold_queue queue = {0};
    struct record_header header = {0};
    const uint32_t sizes[] = {0, 8, 40, 49, 52, RECORD_SIZE_MAX + 8, UINT32_MAX, UINT32_MAX - 7};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        header.size = sizes[i];
        cr_expect_eq(hold_append(hold, &queue, &header, &(struct hold_entry){0}), -EINVAL);
    }
    cr_expect_eq(hold_count(hold), 0);
    (void)hold_free(hold);
}

Test(hold, more_queues_than_chunks_is_a_limit_and_not_an_end)
{
    const struct hold_limits limits = {.max_events = 20000, .max_bytes = 1 << 20};
    struct hold_queue *queues = calloc(20000, sizeof(*queues));
    struct hold *hold = new_hold(&limits);
    unsigned held = 0;

    while (held < 20000 && append(hold, &queues[held], held, 48, held) == 0)
        held++;
    cr_expect_geq(held, HOLD_QUEUE_CHUNKS);
    cr_expect_lt(held, HOLD_QUEUE_CHUNKS + 200);
    cr_expect_eq(hold_count(hold), held);
    cr_expect_eq(queues[held].count, 0);
    cr_expect_eq(hold_oldest(hold), &queues[0]);
    hold_pop(hold, &queues[0]);
    cr_expect_eq(append(hold, &queues[held], held, 48, held), 0);
    (void)hold_free(hold);
    free(queues);
}

/* ---- order, memory ---- */

Test(hold, oldest_goes_by_the_first_entry_of_each_queue)
{
    struct hold *hold = new_hold(&wide);
    struct hold_queue a = {0}, b = {0}, c = {0};

    (void)append(hold, &a, 1, 48, 10);
    (void)append(hold, &b, 2, 48, 20);
    (void)append(hold, &a, 3, 48, 30);
    (void)append(hold, &c, 4, 48, 5); /* held again: it has waited longest */
    cr_expect_eq(hold_oldest(hold), &c);
    hold_pop(hold, &c);
    cr_expect_eq(hold_oldest(hold), &a);
    hold_pop(hold, &a);
    cr_expect_eq(hold_oldest(hold), &b);
    hold_pop(hold, &b);
    cr_expect_eq(hold_oldest(hold), &a);
    hold_pop(hold, &a);
    cr_expect_null(hold_oldest(hold));
    (void)hold_free(hold);
}

Test(hold, entries_do_not_move_while_they_are_held)
{
    struct hold *hold = new_hold(&wide);
    struct hold_queue first = {0}, other = {0};
    const struct hold_entry *entry;

    (void)append(hold, &first, 1, 48, 1);
    entry = hold_first(hold, &first);
    for (uint64_t id = 2; id < 5000; id++)
        cr_assert_eq(append(hold, &other, id, 4096, id), 0);
    cr_expect_eq(hold_first(hold, &first), entry);
    cr_expect(kit_record_is(hold_entry_record(entry), 1, 48));
    (void)hold_free(hold);
}

static uint64_t resident_bytes(int fd)
{
    struct stat st;

    cr_assert_eq(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

Test(hold, room_of_what_left_goes_back_to_the_kernel)
{
    static struct hold_queue queues[1000];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct hold *hold = NULL;

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(append(hold, &queues[i], i, 1000, i), 0);
    cr_expect_leq(resident_bytes(fd), 1000 * 4096, "a queue of one event takes a page");
    for (unsigned i = 0; i < 20000; i++)
        cr_assert_eq(append(hold, &queues[i % 1000], i, 1000, i), 0);
    while (hold_oldest(hold))
        hold_pop(hold, hold_oldest(hold));
    cr_expect_leq(resident_bytes(fd), HOLD_WARM_CHUNKS * HOLD_CHUNK_BYTES);
    (void)hold_free(hold);
    (void)close(fd);
}

Test(hold, file_that_shrinks_is_refused_to_others)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct hold_queue queue = {0};
    struct hold *hold = NULL;

    cr_assert_eq(hold_new(&hold, fd, &wide), 0);
    cr_assert_eq(append(hold, &queue, 1, 48, 1), 0);
    cr_expect_eq(ftruncate(fd, 0), -1);
    cr_expect_eq(errno, EPERM);
    (void)hold_free(hold);
    (void)close(fd);
}

Test(hold, memfd_that_cannot_serve_is_refused)
{
    struct hold *hold = NULL;
    int pipe_fds[2];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    cr_expect_eq(hold_new(&hold, fd, &wide), -EPERM);
    (void)close(fd);
    fd = memfd_create("test", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(fd, (off_t)1 << 50), 0);
    cr_expect_eq(hold_new(&hold, fd, &wide), -EFBIG);
    (void)close(fd);
    cr_assert_eq(pipe(pipe_fds), 0);
    cr_expect_eq(hold_new(&hold, pipe_fds[0], &wide), -EINVAL);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    cr_expect_eq(hold_new(&hold, 9999, &wide), -EBADF);
    cr_expect_null(hold);
    cr_expect_null(hold_free(NULL));
}
