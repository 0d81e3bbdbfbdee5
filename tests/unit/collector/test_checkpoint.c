/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/checkpoint.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

#define ROWS 5

static const struct checkpoint_identity identity = {.record_version = 1, .queue_version = 2, .bpf_layout = 3};
static struct checkpoint *checkpoint;
static struct checkpoint_totals totals;
static uint64_t row_value;

static void fill(void *arg, unsigned row, struct checkpoint_row *ret)
{
    (void)arg;
    memset(ret, 0, sizeof(*ret));
    ret->seen.last = row_value + row;
    ret->waiting[1].count[3] = row_value;
}

static void setup(void)
{
    totals = (struct checkpoint_totals){0};
    cr_assert_eq(checkpoint_new(&checkpoint, &identity, 77, ROWS), 0);
}

static void teardown(void)
{
    checkpoint = checkpoint_close(checkpoint);
}

/* As if killed and found again by the next, whose queue has this tail. */
static void reopen(uint64_t tail)
{
    struct checkpoint *next = NULL;

    cr_assert_eq(checkpoint_open(&next, checkpoint_fd(checkpoint)), 0);
    checkpoint_close(checkpoint);
    checkpoint = next;
    checkpoint_settle(checkpoint, tail);
}

static void publish(uint64_t tail, uint64_t position)
{
    totals.tail = tail;
    totals.ring_position = position;
    totals.books.published[1] = tail;
    cr_assert(checkpoint_prepare(checkpoint, &totals, fill, NULL));
    checkpoint_commit(checkpoint);
}

static void expect_totals(uint64_t tail, uint64_t position)
{
    struct checkpoint_totals seen;

    checkpoint_get_totals(checkpoint, &seen);
    cr_expect_eq(seen.tail, tail);
    cr_expect_eq(seen.ring_position, position);
    cr_expect_eq(seen.books.published[1], tail);
}

static uint64_t row_of(unsigned row)
{
    struct checkpoint_row seen;

    return checkpoint_get_row(checkpoint, row, &seen) ? seen.waiting[1].count[3] : 0;
}

TestSuite(checkpoint, .init = setup, .fini = teardown);

Test(checkpoint, what_was_committed_is_there)
{
    struct checkpoint_identity seen;

    for (uint64_t i = 1; i <= 7; i++) {
        row_value = i;
        checkpoint_touch(checkpoint, (unsigned)(i % ROWS));
        publish(100 * i, 10 * i);
        reopen(100 * i);
        expect_totals(100 * i, 10 * i);
        cr_expect_eq(row_of((unsigned)(i % ROWS)), i);
    }
    checkpoint_get_identity(checkpoint, &seen);
    cr_expect_eq(memcmp(&seen, &identity, sizeof(seen)), 0);
    cr_expect_eq(checkpoint_epoch_ns(checkpoint), 77);
    cr_expect_eq(checkpoint_row_count(checkpoint), ROWS);
}

Test(checkpoint, killed_before_the_queue_s_tail_was_stored_is_as_before)
{
    row_value = 1;
    checkpoint_touch(checkpoint, 2);
    publish(100, 10);
    row_value = 2;
    checkpoint_touch(checkpoint, 2);
    totals.tail = 200;
    totals.ring_position = 20;
    totals.books.published[1] = 200;
    cr_assert(checkpoint_prepare(checkpoint, &totals, fill, NULL));
    reopen(100);
    expect_totals(100, 10);
    cr_expect_eq(row_of(2), 1);
    row_value = 3; /* what never came about does not come back under its number */
    checkpoint_touch(checkpoint, 4);
    publish(300, 30);
    reopen(300);
    expect_totals(300, 30);
    cr_expect_eq(row_of(2), 1);
    cr_expect_eq(row_of(4), 3);
}

Test(checkpoint, killed_after_the_queue_s_tail_was_stored_is_committed)
{
    row_value = 1;
    checkpoint_touch(checkpoint, 2);
    publish(100, 10);
    row_value = 2;
    checkpoint_touch(checkpoint, 2);
    checkpoint_touch(checkpoint, 0);
    totals.tail = 200;
    totals.ring_position = 20;
    totals.books.published[1] = 200;
    cr_assert(checkpoint_prepare(checkpoint, &totals, fill, NULL));
    reopen(200);
    expect_totals(200, 20);
    cr_expect_eq(row_of(2), 2);
    cr_expect_eq(row_of(0), 2);
    reopen(200);
    expect_totals(200, 20);
}

Test(checkpoint, refusals_without_a_record_count_when_they_are_committed)
{
    publish(100, 10);
    row_value = 5;
    checkpoint_touch(checkpoint, 1);
    totals.ring_position = 50;
    cr_assert(checkpoint_prepare(checkpoint, &totals, fill, NULL));
    reopen(100); /* killed: the same tail says nothing */
    expect_totals(100, 10);
    cr_expect_eq(row_of(1), 0);
    checkpoint_touch(checkpoint, 1);
    publish(100, 50);
    reopen(100);
    expect_totals(100, 50);
    cr_expect_eq(row_of(1), 5);
}

Test(checkpoint, nothing_new_is_not_written)
{
    publish(100, 10);
    cr_expect_not(checkpoint_prepare(checkpoint, &totals, fill, NULL));
    checkpoint_touch(checkpoint, 0);
    cr_expect(checkpoint_prepare(checkpoint, &totals, fill, NULL));
    checkpoint_commit(checkpoint);
    cr_expect_not(checkpoint_prepare(checkpoint, &totals, fill, NULL));
}

Test(checkpoint, numbers_are_given_once_over_all)
{
    cr_expect_eq(checkpoint_next_hook(checkpoint), 1);
    cr_expect_eq(checkpoint_next_generation(checkpoint), 1);
    reopen(0);
    cr_expect_eq(checkpoint_next_hook(checkpoint), 2);
    cr_expect_eq(checkpoint_next_generation(checkpoint), 2);
    checkpoint_begin_hooks_at(checkpoint, 40);
    cr_expect_eq(checkpoint_next_hook(checkpoint), 40);
}

Test(checkpoint, what_is_none_is_refused)
{
    struct checkpoint *other = NULL;
    struct stat status;
    uint32_t version = 9;
    int fd;

    cr_expect_eq(checkpoint_open(&other, -1), -EINVAL);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_expect_eq(checkpoint_open(&other, fd), -EINVAL);
    fd_close(&fd);
    cr_assert_eq(fstat(checkpoint_fd(checkpoint), &status), 0);
    fd = fd_memfd_new("zeroes", (size_t)status.st_size);
    cr_expect_eq(checkpoint_open(&other, fd), -EINVAL, "not sealed");
    cr_assert_eq(fd_seal(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    cr_expect_eq(checkpoint_open(&other, fd), -EINVAL, "zeroes");
    fd_close(&fd);
    cr_assert_eq(pwrite(checkpoint_fd(checkpoint), &version, sizeof(version), 8), 4);
    cr_expect_eq(checkpoint_open(&other, checkpoint_fd(checkpoint)), -EPROTONOSUPPORT);
    cr_expect_null(other);
}
