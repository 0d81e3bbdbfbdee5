/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/recorder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define MAX (UINT64_C(64) << 20)

static struct recorder recorder;
static struct recorder_start start;
static char path[64];

static void setup(void)
{
    const struct record_snapshot_end end = {
        .header = {.size = sizeof(end), .type = RECORD_SNAPSHOT_END, .version = RECORD_VERSION}};
    int fd;

    strcpy(path, "/tmp/podkin-recorder.XXXXXX");
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    recorder = RECORDER_EMPTY;
    start = (struct recorder_start){.epoch_ns = 7,
        .hook_kind = "tp_btf",
        .cgroup_hierarchy = "v2",
        .snapshot_fd = fd_memfd_new("test", 0),
        .snapshot_bytes = sizeof(end)};
    cr_assert_eq(write(start.snapshot_fd, &end, sizeof(end)), (ssize_t)sizeof(end));
}

static void teardown(void)
{
    (void)recorder_close(&recorder);
    fd_close(&start.snapshot_fd);
    (void)unlink(path);
}

TestSuite(recorder, .init = setup, .fini = teardown);

static void put(uint32_t tgid)
{
    const struct record_exit exited = {
        .header = {.size = sizeof(exited), .type = RECORD_EXIT, .version = RECORD_VERSION, .tgid = tgid}};

    recorder_put(&exited.header, &recorder);
}

/* How many exits the file has, numbered from 0; the rest of it is whole. */
static unsigned count_exits(void)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE char *data = NULL;
    char error[RECORDING_ERROR_MAX] = "";
    const struct record_header *record;
    struct recording recording;
    size_t size, at;
    unsigned count = 0;

    cr_assert_eq(fd_read_whole(fd, MAX, &data, &size), 0);
    cr_assert_eq(recording_parse(&recording, data, size, error), 0, "%s", error);
    cr_assert_eq(recording.header.epoch_ns, 7);
    cr_assert_str_eq(recording.header.hook_kind, "tp_btf");
    at = recording_stream_begin(&recording);
    while (recording_next(&recording, &at, &record) == RECORDING_RECORD)
        cr_assert_eq(record->tgid, count++);
    cr_assert_eq(at, size);
    return count;
}

Test(recorder, what_came_before_the_snapshot_was_whole_follows_it)
{
    cr_assert_eq(recorder_open(&recorder, path, MAX), 0);
    for (unsigned i = 0; i < 30000; i++) /* more than the first buffer holds */
        put(i);
    recorder_begin(&recorder, &start);
    for (unsigned i = 30000; i < 60000; i++)
        put(i);
    cr_assert_eq(recorder_close(&recorder), 0);
    cr_assert_eq(count_exits(), 60000);
}

Test(recorder, nobody_but_the_owner_may_read_it)
{
    struct stat status;

    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(recorder_open(&recorder, path, MAX), 0);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
}

Test(recorder, a_link_is_not_followed)
{
    char name[80];

    (void)snprintf(name, sizeof(name), "%s.link", path);
    cr_assert_eq(symlink(path, name), 0);
    cr_assert_eq(recorder_open(&recorder, name, MAX), -ELOOP);
    (void)unlink(name);
}

Test(recorder, is_written_within_a_second_though_little_comes)
{
    cr_assert_eq(recorder_open(&recorder, path, MAX), 0);
    recorder_begin(&recorder, &start);
    put(0);
    cr_assert_eq(recorder_turn(&recorder, NS_PER_SEC), 0);
    cr_assert_eq(count_exits(), 1);
    put(1);
    cr_assert_eq(recorder_turn(&recorder, NS_PER_SEC + RECORDER_FLUSH_NS - 1), 0);
    cr_assert_eq(count_exits(), 1);
    cr_assert_eq(recorder_turn(&recorder, NS_PER_SEC + RECORDER_FLUSH_NS), 0);
    cr_assert_eq(count_exits(), 2);
}

Test(recorder, ends_behind_a_record_at_its_size_and_tells_it_once)
{
    const uint64_t most =
        sizeof(struct recording_header) + start.snapshot_bytes + 10 * sizeof(struct record_exit);

    cr_assert_eq(recorder_open(&recorder, path, most + 20), 0);
    recorder_begin(&recorder, &start);
    for (unsigned i = 0; i < 100; i++)
        put(i);
    cr_assert_eq(recorder_turn(&recorder, 1), -EFBIG);
    cr_assert_eq(recorder_turn(&recorder, 2), 0);
    cr_assert_eq(count_exits(), 10);
}

Test(recorder, a_full_disk_ends_it_and_is_told_once)
{
    cr_assert_eq(recorder_open(&recorder, "/dev/full", MAX), 0);
    recorder_begin(&recorder, &start);
    cr_assert_eq(recorder_turn(&recorder, 1), -ENOSPC);
    put(0);
    cr_assert_eq(recorder_turn(&recorder, 2), 0);
    cr_assert_eq(recorder_close(&recorder), 0);
}

Test(recorder, empty_takes_everything_and_does_nothing)
{
    put(0);
    recorder_begin(&recorder, &start);
    cr_assert_eq(recorder_turn(&recorder, 1), 0);
    cr_assert_eq(recorder_close(&recorder), 0);
    cr_assert_eq(recorder_close(&recorder), 0);
}
