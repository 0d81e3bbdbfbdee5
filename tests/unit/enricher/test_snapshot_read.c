/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/snapshot_read.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/make_record.h"

static const struct make_key A = {7, 70}, INIT = {1, 1}, NONE = {0, 0};

static _Alignas(8) uint8_t data[65536];
static size_t size;
static struct make_record buffer;

static void add(const struct record_header *record)
{
    memcpy(data + size, record, record->size);
    size += record->size;
}

static void add_process(void)
{
    add(make_process(&buffer, RECORD_SNAPSHOT_PROCESS, A, INIT, 1, 5, "/a", "a", 1));
}

static void add_end(uint32_t processes, uint32_t cgroups)
{
    struct record_snapshot_end *end =
        (struct record_snapshot_end *)make_header(&buffer, RECORD_SNAPSHOT_END, sizeof(*end), NONE, 0, 5);

    end->process_count = processes;
    end->cgroup_count = cgroups;
    add(&end->header);
}

/* Reads to the end; how many records there were. */
static int read_all(unsigned *ret_count)
{
    /* Exact memory, so that a sanitizer sees what is read behind it. */
    uint8_t *exact = aligned_alloc(8, (size + 7) & ~(size_t)7);
    struct snapshot_reader reader;
    const struct record_header *record;
    int r;

    memcpy(exact, data, size);
    snapshot_read_init(&reader, exact, size);
    *ret_count = 0;
    while ((r = snapshot_read_next(&reader, &record)) > 0)
        ++*ret_count;
    cr_expect_eq(snapshot_read_next(&reader, &record), r, "said once more");
    free(exact);
    return r;
}

static void expect(int wanted, unsigned records)
{
    unsigned count = 0;

    cr_expect_eq(read_all(&count), wanted);
    cr_expect_eq(count, records);
}

Test(snapshot_read, whole_one_is_read_to_its_end)
{
    add(make_cgroup(&buffer, RECORD_SNAPSHOT_CGROUP, 1, NONE, 5, "/"));
    add_process();
    add_process();
    add_end(2, 1);
    expect(0, 3);
}

Test(snapshot_read, nothing_but_an_end_is_whole)
{
    add_end(0, 0);
    expect(0, 0);
}

Test(snapshot_read, missing_end_or_counts_are_said)
{
    expect(-ENODATA, 0);
    add_process();
    expect(-ENODATA, 1);
    add_end(2, 0);
    expect(-ENODATA, 1);
}

Test(snapshot_read, nothing_may_stand_behind_the_end)
{
    add_end(0, 0);
    add_process();
    expect(-EBADMSG, 0);
}

Test(snapshot_read, records_of_the_stream_are_no_snapshot)
{
    add_process();
    add(make_exit(&buffer, A, 1, 5, 0));
    add_end(1, 0);
    expect(-EBADMSG, 1);
}

Test(snapshot_read, cut_anywhere_it_gives_only_whole_records)
{
    size_t whole, first;

    add_process();
    first = size;
    add_process();
    add_end(2, 0);
    whole = size;
    for (size = 0; size < whole; size++) {
        unsigned count = 0;
        int r = read_all(&count);

        cr_expect(r == -EBADMSG || r == -ENODATA, "%zu bytes: %d", size, r);
        cr_expect_eq(count, size < first ? 0 : size < 2 * first ? 1 : 2);
    }
}

Test(snapshot_read, each_byte_changed_never_reads_behind_the_end)
{
    size_t whole;

    add(make_cgroup(&buffer, RECORD_SNAPSHOT_CGROUP, 1, NONE, 5, "/"));
    add_process();
    add_end(1, 1);
    whole = size;
    for (size_t i = 0; i < whole; i++) {
        unsigned count;
        uint8_t before = data[i];

        data[i] ^= 0xff;
        (void)read_all(&count);
        cr_expect_leq(count, 3);
        data[i] = before;
    }
}
