/* SPDX-License-Identifier: Apache-2.0 */
#include "common/recording.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Header, a snapshot that is only an end, two exits. */
static struct {
    struct recording_header header;
    struct record_snapshot_end end;
    struct record_exit exits[2];
} file;
static struct recording recording;
static char error[RECORDING_ERROR_MAX];

static void setup(void)
{
    file.header = (struct recording_header){.magic = {'P', 'O', 'D', 'K', 'R', 'E', 'C', '1'},
        .version = RECORDING_VERSION,
        .record_version = RECORD_VERSION,
        .snapshot_bytes = sizeof(file.end)};
    file.end.header = (struct record_header){
        .size = sizeof(file.end), .type = RECORD_SNAPSHOT_END, .version = RECORD_VERSION};
    for (unsigned i = 0; i < 2; i++)
        file.exits[i].header = (struct record_header){
            .size = sizeof(file.exits[i]), .type = RECORD_EXIT, .version = RECORD_VERSION, .tgid = 10 + i};
}

TestSuite(recording, .init = setup);

static int parse(size_t size)
{
    return recording_parse(&recording, &file, size, error);
}

/* How the stream ends, and how many records it has until then. */
static enum recording_next walk(unsigned *count)
{
    size_t at = recording_stream_begin(&recording);
    const struct record_header *record;
    enum recording_next next;

    for (*count = 0; (next = recording_next(&recording, &at, &record)) == RECORDING_RECORD; ++*count)
        cr_assert_eq(record->tgid, 10 + *count);
    return next;
}

Test(recording, records_come_back_in_their_order)
{
    unsigned count;

    cr_assert_eq(parse(sizeof(file)), 0, "%s", error);
    cr_assert_eq(walk(&count), RECORDING_END);
    cr_assert_eq(count, 2);
}

Test(recording, cut_anywhere_in_the_stream_is_whole_up_to_there)
{
    size_t begin = sizeof(file.header) + sizeof(file.end);

    for (size_t cut = begin; cut < sizeof(file); cut++) {
        unsigned count;
        bool between = (cut - begin) % sizeof(file.exits[0]) == 0;

        cr_assert_eq(parse(cut), 0, "%zu: %s", cut, error);
        cr_assert_eq(walk(&count), between ? RECORDING_END : RECORDING_TORN, "%zu", cut);
        cr_assert_eq(count, (cut - begin) / sizeof(file.exits[0]), "%zu", cut);
    }
}

Test(recording, cut_in_head_or_snapshot_is_refused)
{
    for (size_t cut = 0; cut < sizeof(file.header) + sizeof(file.end); cut++) {
        cr_assert_eq(parse(cut), -EBADMSG, "%zu", cut);
        cr_assert_gt(strlen(error), 10);
    }
}

Test(recording, another_version_is_refused)
{
    file.header.version++;
    cr_assert_eq(parse(sizeof(file)), -EBADMSG);
    file.header.version--;
    file.header.record_version++;
    cr_assert_eq(parse(sizeof(file)), -EBADMSG);
}

Test(recording, a_snapshot_without_its_end_is_refused)
{
    file.header.snapshot_bytes = 0;
    cr_assert_eq(parse(sizeof(file)), -EBADMSG);
    file.header.snapshot_bytes = sizeof(file.end) + sizeof(file.exits[0]);
    cr_assert_eq(parse(sizeof(file)), -EBADMSG);
    file.header.snapshot_bytes = sizeof(file.end) - 8;
    cr_assert_eq(parse(sizeof(file)), -EBADMSG);
    file.header.snapshot_bytes = UINT64_MAX - 7;
    cr_assert_eq(parse(sizeof(file)), -EBADMSG);
}

Test(recording, what_is_no_record_stops_the_stream)
{
    unsigned count;

    file.exits[1].header.type = RECORD_TYPE_COUNT;
    cr_assert_eq(parse(sizeof(file)), 0);
    cr_assert_eq(walk(&count), RECORDING_BAD);
    cr_assert_eq(count, 1);
}
