/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collector/ring.h"
#include "common/fd.h"

/* A file laid out as the kernel lays out its map; this test is the kernel. */

#define RING_BYTES 4096

static int map_fd;
static size_t page_bytes;
static uint8_t *map;
static struct ring *ring;

static void setup(void)
{
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    map_fd = memfd_create("ring", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(map_fd, (off_t)(2 * page_bytes + (size_t)2 * RING_BYTES)), 0);
    map = mmap(NULL, 2 * page_bytes + (size_t)2 * RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    cr_assert_neq(map, MAP_FAILED);
    cr_assert_eq(ring_open(&ring, map_fd, RING_BYTES), 0);
}

static void teardown(void)
{
    ring = ring_close(ring);
    (void)munmap(map, 2 * page_bytes + (size_t)2 * RING_BYTES);
    fd_close(&map_fd);
}

TestSuite(ring, .init = setup, .fini = teardown);

static uint64_t *consumer(void)
{
    return (uint64_t *)(void *)map;
}

static uint64_t *producer(void)
{
    return (uint64_t *)(void *)(map + page_bytes);
}

/* A record of `size` bytes, all `fill`; flags as in its header. Returns where the next one begins. */
static uint64_t write_record(uint8_t fill, uint32_t size, uint32_t flags)
{
    uint64_t at = *producer(), end = at + (size + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
    uint32_t length = size | flags;

    for (uint64_t i = at; i < end; i++) { /* the kernel maps the pages twice */
        uint8_t byte = i - at < sizeof(length) ? ((const uint8_t *)&length)[i - at] : fill;

        map[2 * page_bytes + i % RING_BYTES] = map[2 * page_bytes + RING_BYTES + i % RING_BYTES] = byte;
    }
    *producer() = end;
    return end;
}

static void expect_next(uint8_t fill, size_t size)
{
    size_t got = 0;
    const uint8_t *record = ring_next(ring, &got);

    cr_assert_not_null(record);
    cr_assert_eq(got, size);
    cr_assert_eq(record[0], fill);
    cr_assert_eq(record[size - 1], fill);
}

static void expect_none(void)
{
    size_t size;

    cr_assert_null(ring_next(ring, &size));
}

Test(ring, records_come_in_order_and_stay_until_they_are_released)
{
    uint64_t end;

    expect_none();
    write_record('a', 24, 0);
    end = write_record('b', 13, 0);
    expect_next('a', 24);
    expect_next('b', 13);
    expect_none();
    cr_expect_eq(*consumer(), 0);
    cr_expect_eq(ring_used_bytes(ring), end);
    ring_release(ring);
    cr_expect_eq(*consumer(), end);
    cr_expect_eq(ring_used_bytes(ring), 0);
}

Test(ring, a_record_in_the_making_holds_up_what_is_behind_it_and_a_discarded_one_is_passed_over)
{
    write_record('a', 24, BPF_RINGBUF_BUSY_BIT);
    write_record('b', 24, 0);
    expect_none();
    *(uint32_t *)(void *)(map + 2 * page_bytes) = 24 | BPF_RINGBUF_DISCARD_BIT;
    expect_next('b', 24);
}

Test(ring, the_next_reader_begins_at_what_was_released)
{
    write_record('a', 24, 0);
    write_record('b', 24, 0);
    expect_next('a', 24);
    ring_release(ring);
    expect_next('b', 24);
    ring_close(ring);
    cr_assert_eq(ring_open(&ring, map_fd, RING_BYTES), 0);
    expect_next('b', 24);
}

/* The successor of one that was killed between passing records on and releasing them. */
Test(ring, after_a_skip_to_the_end_nothing_is_there_until_it_is_written)
{
    uint64_t end;

    /* A lap of records of another size: what an earlier lap left behind the end is no record. */
    for (int i = 0; i < 4; i++)
        write_record('x', 1000, 0);
    for (int i = 0; i < 4; i++)
        expect_next('x', 1000);
    ring_release(ring);
    ring_close(ring);
    cr_assert_eq(ring_open(&ring, map_fd, RING_BYTES), 0);
    write_record('a', 24, 0);
    end = write_record('b', 24, 0);
    cr_assert_eq(ring_skip_to(ring, end), 0);
    expect_none();
    cr_expect_eq(*consumer(), end);
    write_record('c', 48, 0);
    expect_next('c', 48);
    expect_none();
}

Test(ring, a_position_that_cannot_be_is_refused)
{
    uint64_t first = write_record('a', 24, 0), end = write_record('b', 24, 0);

    cr_expect_eq(ring_skip_to(ring, end + 8), -ERANGE);
    cr_expect_eq(ring_skip_to(ring, first + 1), -ERANGE);
    cr_assert_eq(ring_skip_to(ring, first), 0);
    cr_expect_eq(ring_skip_to(ring, 0), -ERANGE);
    expect_next('b', 24);
}
