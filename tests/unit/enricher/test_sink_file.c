/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SUITE sink_file
#include "tests/unit/enricher/both_loops.h"

struct bench {
    struct loop *loop;
    struct sink_file sink;
    struct sink_file_options options;
    char folder[64], path[96];
    unsigned runs;
    unsigned next_line;
    char run[256 * 1024];
    bool mounted;
};

/* A test is a process of its own. */
static bool writes_itself;

/* On both back-ends, and with the sink writing by itself. */
#define EACH_WAY(name)                                                                                       \
    static void name(enum loop_kind kind);                                                                   \
    Test(SUITE, name##_at_once)                                                                              \
    {                                                                                                        \
        writes_itself = true;                                                                                \
        name(LOOP_AUTO);                                                                                     \
    }                                                                                                        \
    BOTH(name)

static void on_run(void *arg)
{
    ((struct bench *)arg)->runs++;
}

static struct bench *bench_new(enum loop_kind kind)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    bench->loop = new_loop(kind, NULL);
    (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/podkin-test-sink.XXXXXX");
    cr_assert_not_null(mkdtemp(bench->folder));
    (void)snprintf(bench->path, sizeof(bench->path), "%s/out", bench->folder);
    bench->options = (struct sink_file_options){.path = bench->path, .rotate_keep = 3, .mode = 0640};
    return bench;
}

static void bench_open(struct bench *bench)
{
    cr_assert_eq(sink_file_init(&bench->sink, bench->loop, &bench->options, on_run, bench), 0);
    if (!writes_itself)
        bench->sink.pace.away_until_ns = UINT64_MAX;
}

static void bench_free(struct bench *bench)
{
    char command[128];

    sink_file_cancel(&bench->sink);
    settle(bench->loop);
    cr_assert_not(sink_file_busy(&bench->sink));
    sink_file_deinit(&bench->sink);
    sink_file_deinit(&bench->sink);
    loop_free(bench->loop);
    if (bench->mounted)
        cr_assert_eq(umount(bench->folder), 0);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->folder);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) */
    free(bench);
}

/* A run of `count` numbered lines of `size` bytes each; not waited for. */
static void start_run(struct bench *bench, unsigned count, size_t size)
{
    char *line = bench->run;

    cr_assert_leq(count * size, sizeof(bench->run));
    memset(line, 'x', count * size);
    for (unsigned i = 0; i < count; i++, line += size) {
        (void)!snprintf(line, size, "%08u", bench->next_line++);
        line[8] = ' ';
        line[size - 1] = '\n';
    }
    if (sink_file_write(&bench->sink, bench->run, count * size))
        bench->runs++;
}

static void write_run(struct bench *bench, unsigned count, size_t size)
{
    unsigned before = bench->runs;

    start_run(bench, count, size);
    run_until(bench->loop, &bench->runs, before + 1);
    cr_assert_not(sink_file_busy(&bench->sink));
}

/* Whole lines from `first` on; the number behind the last. SIZE_MAX as limit: any size. */
static unsigned check_lines(const char *path, unsigned first, size_t limit)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    CLEANUP_FREE char *line = NULL;
    size_t room = 0, total = 0;
    ssize_t size;

    cr_assert_not_null(file, "%s: %m", path);
    while ((size = getline(&line, &room, file)) > 0) {
        cr_assert_eq(line[size - 1], '\n', "%s: torn at line %u", path, first);
        cr_assert_eq(strtoul(line, NULL, 10), first, "%s: %.10s where %u was expected", path, line, first);
        total += (size_t)size;
        first++;
    }
    cr_assert_leq(total, limit);
    return first;
}

static const char *numbered(const struct bench *bench, unsigned number)
{
    static char name[128];

    (void)snprintf(name, sizeof(name), "%s.%u", bench->path, number);
    return name;
}

/* ---- rotation ------------------------------------------------------------------------------------- */

EACH_WAY(files_are_rotated_at_the_edge_of_a_line_and_the_oldest_goes)
{
    struct bench *bench = bench_new(kind);
    unsigned line;

    bench->options.rotate_bytes = 10050; /* 100 lines of 100 bytes and a half */
    bench_open(bench);
    for (unsigned i = 0; i < 15; i++)
        write_run(bench, 50, 100);
    cr_assert_eq(bench->sink.rotations, 7);
    line = check_lines(numbered(bench, 3), 400, 10050);
    line = check_lines(numbered(bench, 2), line, 10050);
    line = check_lines(numbered(bench, 1), line, 10050);
    cr_assert_eq(check_lines(bench->path, line, 10050), 750);
    cr_assert_eq(access(numbered(bench, 4), F_OK), -1);
    bench_free(bench);
}

EACH_WAY(one_run_may_fill_many_files)
{
    struct bench *bench = bench_new(kind);
    unsigned line = 0;

    bench->options.rotate_bytes = 1000;
    bench->options.rotate_keep = 30;
    bench_open(bench);
    write_run(bench, 100, 300); /* three lines a file */
    cr_assert_eq(bench->sink.rotations, 33);
    line = check_lines(numbered(bench, 30), 9, 1000);
    for (unsigned i = 29; i > 0; i--)
        line = check_lines(numbered(bench, i), line, 1000);
    cr_assert_eq(check_lines(bench->path, line, 1000), 100);
    bench_free(bench);
}

EACH_WAY(a_line_larger_than_a_file_has_one_of_its_own)
{
    struct bench *bench = bench_new(kind);

    bench->options.rotate_bytes = 100;
    bench_open(bench);
    write_run(bench, 1, 50);
    write_run(bench, 2, 5000);
    write_run(bench, 1, 50);
    cr_assert_eq(check_lines(numbered(bench, 3), 0, 50), 1);
    cr_assert_eq(check_lines(numbered(bench, 2), 1, 5000), 2);
    cr_assert_eq(check_lines(numbered(bench, 1), 2, 5000), 3);
    cr_assert_eq(check_lines(bench->path, 3, 50), 4);
    bench_free(bench);
}

EACH_WAY(keeping_none_leaves_one_file)
{
    struct bench *bench = bench_new(kind);

    bench->options.rotate_bytes = 1000;
    bench->options.rotate_keep = 0;
    bench_open(bench);
    write_run(bench, 25, 100);
    cr_assert_eq(check_lines(bench->path, 20, 1000), 25);
    cr_assert_eq(access(numbered(bench, 1), F_OK), -1);
    bench_free(bench);
}

EACH_WAY(the_size_of_what_is_there_counts)
{
    struct bench *bench = bench_new(kind);

    bench->options.rotate_bytes = 1000;
    bench_open(bench);
    write_run(bench, 9, 100);
    sink_file_deinit(&bench->sink);
    bench_open(bench);
    write_run(bench, 2, 100);
    cr_assert_eq(check_lines(numbered(bench, 1), 0, 1000), 10);
    cr_assert_eq(check_lines(bench->path, 10, 1000), 11);
    bench_free(bench);
}

static uint64_t fake_now_ns;

static uint64_t fake_clock(void *arg)
{
    (void)arg;
    return fake_now_ns;
}

EACH_WAY(a_file_that_is_old_enough_is_put_aside_unless_it_is_empty)
{
    const struct clock clock = {.now = fake_clock};
    struct bench *bench = bench_new(kind);

    loop_free(bench->loop);
    fake_now_ns = 1000 * NS_PER_SEC;
    bench->loop = new_loop(kind, &clock);
    bench->options.rotate_age_ns = 3600 * NS_PER_SEC;
    bench_open(bench);
    fake_now_ns += 4000 * NS_PER_SEC;
    settle(bench->loop);
    cr_assert_eq(bench->sink.rotations, 0, "nothing in it");
    write_run(bench, 10, 100);
    fake_now_ns += 3500 * NS_PER_SEC;
    settle(bench->loop);
    cr_assert_eq(bench->sink.rotations, 0, "too early");
    write_run(bench, 10, 100);
    fake_now_ns += 200 * NS_PER_SEC;
    settle(bench->loop);
    cr_assert_eq(bench->sink.rotations, 1, "idle, but due");
    write_run(bench, 10, 100);
    start_run(bench, 10, 100);
    fake_now_ns += 3700 * NS_PER_SEC;
    run_until(bench->loop, &bench->runs, 4);
    write_run(bench, 10, 100);
    settle(bench->loop);
    cr_assert_eq(bench->sink.rotations, 2, "due while it was written");
    cr_assert_eq(check_lines(numbered(bench, 2), 0, SIZE_MAX), 20);
    cr_assert_geq(check_lines(numbered(bench, 1), 20, SIZE_MAX), 40);
    bench_free(bench);
}

EACH_WAY(a_rotation_that_fails_loses_no_line_and_is_told)
{
    struct bench *bench = bench_new(kind);

    bench->options.rotate_bytes = 1000;
    bench->options.rotate_keep = 1;
    bench_open(bench);
    cr_assert_eq(mkdir(numbered(bench, 1), 0700), 0); /* rename(2) cannot put a file over a folder */
    write_run(bench, 50, 100);
    cr_assert_eq(bench->sink.rotate_error, EISDIR);
    cr_assert_eq(bench->sink.rotations, 0);
    cr_assert_eq(check_lines(bench->path, 0, 5000), 50);
    cr_assert_eq(rmdir(numbered(bench, 1)), 0);
    write_run(bench, 10, 100);
    cr_assert_eq(bench->sink.rotations, 1);
    cr_assert_eq(bench->sink.rotate_error, 0);
    bench_free(bench);
}

EACH_WAY(a_file_truncated_by_somebody_starts_again)
{
    struct bench *bench = bench_new(kind);

    bench->options.rotate_bytes = 1000;
    bench_open(bench);
    write_run(bench, 10, 100);
    cr_assert_eq(truncate(bench->path, 0), 0);
    write_run(bench, 5, 100);
    cr_assert_eq(bench->sink.rotations, 0);
    cr_assert_eq(check_lines(bench->path, 10, 1000), 15);
    bench_free(bench);
}

/* ---- what is at the path -------------------------------------------------------------------------- */

EACH_WAY(links_folders_and_sockets_are_refused)
{
    struct bench *bench = bench_new(kind);

    cr_assert_eq(symlink("/tmp/podkin-test-elsewhere", bench->path), 0);
    cr_assert_eq(sink_file_init(&bench->sink, bench->loop, &bench->options, on_run, bench), -ELOOP);
    cr_assert_eq(access("/tmp/podkin-test-elsewhere", F_OK), -1);
    cr_assert_eq(unlink(bench->path), 0);
    cr_assert_eq(mkdir(bench->path, 0700), 0);
    cr_assert_eq(sink_file_init(&bench->sink, bench->loop, &bench->options, on_run, bench), -EISDIR);
    cr_assert_eq(rmdir(bench->path), 0);
    bench_open(bench);
    bench_free(bench);
}

EACH_WAY(a_line_torn_by_a_predecessor_is_ended_first)
{
    struct bench *bench = bench_new(kind);
    char back[64] = {0};
    int fd = open(bench->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    cr_assert_eq(write(fd, "{\"torn\":", 8), 8);
    (void)close(fd);
    bench_open(bench);
    write_run(bench, 1, 20);
    fd = open(bench->path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, back, sizeof(back) - 1), 8 + 1 + 20);
    cr_assert_eq(strncmp(back, "{\"torn\":\n00000000 ", 18), 0);
    (void)close(fd);
    bench_free(bench);
}

EACH_WAY(a_removed_file_is_seen_and_a_renamed_one_is_none)
{
    struct bench *bench = bench_new(kind);

    bench_open(bench);
    write_run(bench, 10, 100);
    cr_expect_not(sink_file_is_removed(&bench->sink));
    cr_assert_eq(rename(bench->path, numbered(bench, 1)), 0);
    cr_expect_not(sink_file_is_removed(&bench->sink));
    cr_assert_eq(unlink(numbered(bench, 1)), 0);
    cr_expect(sink_file_is_removed(&bench->sink));
    (void)sink_file_reopen(&bench->sink);
    cr_expect_not(sink_file_is_removed(&bench->sink));
    write_run(bench, 10, 100);
    cr_assert_eq(check_lines(bench->path, 10, 2000), 20);
    bench_free(bench);
}

EACH_WAY(reopen_follows_the_name)
{
    struct bench *bench = bench_new(kind);
    struct stat st;

    bench_open(bench);
    write_run(bench, 10, 100);
    cr_assert_eq(rename(bench->path, numbered(bench, 1)), 0);
    write_run(bench, 10, 100);
    cr_assert_eq(check_lines(numbered(bench, 1), 0, 2000), 20);
    sink_file_reopen(&bench->sink);
    write_run(bench, 10, 100);
    cr_assert_eq(check_lines(numbered(bench, 1), 0, 2000), 20);
    cr_assert_eq(check_lines(bench->path, 20, 1000), 30);
    cr_assert_eq(stat(bench->path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0640 & ~umask(0));
    bench_free(bench);
}

EACH_WAY(reopen_in_the_middle_of_a_run_keeps_lines_whole)
{
    struct bench *bench = bench_new(kind);
    unsigned line;

    bench->options.rotate_bytes = 10000;
    bench_open(bench);
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = bench->runs;

        start_run(bench, 30, 100);
        sink_file_reopen(&bench->sink);
        run_until(bench->loop, &bench->runs, before + 1);
    }
    cr_assert_eq(bench->sink.rotations, 5);
    line = check_lines(numbered(bench, 3), 200, 10000);
    line = check_lines(numbered(bench, 2), line, 10000);
    line = check_lines(numbered(bench, 1), line, 10000);
    cr_assert_eq(check_lines(bench->path, line, 10000), 600);
    bench_free(bench);
}

/* ---- errors --------------------------------------------------------------------------------------- */

static void run_for(struct bench *bench, uint64_t time_ns)
{
    uint64_t end_ns = clock_boot_ns() + time_ns;

    while (clock_boot_ns() < end_ns)
        cr_assert_eq(loop_run_once(bench->loop, end_ns), 0);
}

EACH_WAY(no_space_is_retried_with_back_off_until_the_run_is_given_up)
{
    struct bench *bench = bench_new(kind);

    bench->options.path = "/dev/full";
    bench_open(bench);
    start_run(bench, 10, 100);
    run_for(bench, 200 * NS_PER_MS);
    cr_assert_eq(bench->sink.write_error, ENOSPC);
    cr_assert_geq(bench->sink.write_errors, 3);
    cr_assert_leq(bench->sink.write_errors, 6); /* 0, 10, 30, 70, 150 ms */
    cr_assert_eq(bench->runs, 0);
    cr_assert(sink_file_busy(&bench->sink));
    bench_free(bench);
}

/* A tmpfs of 64 KiB on the bench's folder. */
static void mount_small(struct bench *bench)
{
    if (mount("podkin-test", bench->folder, "tmpfs", MS_NODEV | MS_NOSUID, "size=64k") < 0) {
        bench_free(bench);
        cr_skip_test("no tmpfs can be mounted here: %m");
    }
    bench->mounted = true;
}

EACH_WAY(a_full_disk_loses_nothing_and_goes_on_when_there_is_room)
{
    struct bench *bench = bench_new(kind);
    char hog[96];
    int fd;

    bench_open(bench);
    sink_file_deinit(&bench->sink);
    mount_small(bench);
    (void)snprintf(hog, sizeof(hog), "%s/hog", bench->folder);
    fd = open(hog, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, bench->run, 40000), 40000);
    (void)close(fd);
    bench_open(bench);
    start_run(bench, 50, 999); /* more than fits; not a multiple of a page */
    run_for(bench, 100 * NS_PER_MS);
    cr_assert_eq(bench->sink.write_error, ENOSPC);
    cr_assert_eq(bench->runs, 0);
    cr_assert_gt(bench->sink.done, 0);
    cr_assert_neq(bench->sink.done % 999, 0, "the disk is to fill in the middle of a line");
    cr_assert_eq(unlink(hog), 0);
    run_until(bench->loop, &bench->runs, 1);
    cr_assert_eq(bench->sink.write_error, 0);
    cr_assert_eq(check_lines(bench->path, 0, SIZE_MAX), 50);
    bench_free(bench);
}

EACH_WAY(a_full_disk_and_a_rotation_from_outside_leave_whole_lines_in_both_files)
{
    struct bench *bench = bench_new(kind);
    unsigned line;

    mount_small(bench);
    bench_open(bench);
    start_run(bench, 100, 999);
    run_for(bench, 50 * NS_PER_MS);
    cr_assert_eq(bench->sink.write_error, ENOSPC);
    cr_assert_neq(bench->sink.done % 999, 0);
    cr_assert_eq(rename(bench->path, numbered(bench, 1)), 0);
    sink_file_reopen(&bench->sink);
    run_for(bench, 20 * NS_PER_MS);
    line = check_lines(numbered(bench, 1), 0, SIZE_MAX);
    cr_assert_eq(line, 65);
    cr_assert_eq(unlink(numbered(bench, 1)), 0);
    run_until(bench->loop, &bench->runs, 1);
    cr_assert_eq(check_lines(bench->path, line, SIZE_MAX), 100);
    bench_free(bench);
}

EACH_WAY(reopening_the_same_file_in_the_middle_of_a_line_goes_on_in_it)
{
    struct bench *bench = bench_new(kind);
    char hog[96];
    int fd;

    mount_small(bench);
    (void)snprintf(hog, sizeof(hog), "%s/hog", bench->folder);
    fd = open(hog, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, bench->run, 40000), 40000);
    (void)close(fd);
    bench_open(bench);
    start_run(bench, 50, 999);
    run_for(bench, 50 * NS_PER_MS);
    cr_assert_neq(bench->sink.done % 999, 0);
    sink_file_reopen(&bench->sink);
    run_for(bench, 20 * NS_PER_MS);
    cr_assert_eq(unlink(hog), 0);
    run_until(bench->loop, &bench->runs, 1);
    cr_assert_eq(check_lines(bench->path, 0, SIZE_MAX), 50);
    bench_free(bench);
}

EACH_WAY(a_slow_fifo_is_waited_for_without_an_error)
{
    struct bench *bench = bench_new(kind);
    static char piece[65536];
    size_t got = 0;
    int reader;

    cr_assert_eq(mkfifo(bench->path, 0600), 0);
    cr_assert_eq(sink_file_init(&bench->sink, bench->loop, &bench->options, on_run, bench), -ENXIO);
    reader = open(bench->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bench_open(bench);
    start_run(bench, 200, 1000);
    run_for(bench, 30 * NS_PER_MS);
    cr_assert_eq(bench->runs, 0);
    while (!bench->runs || got < 200000) {
        ssize_t n = read(reader, piece, 10000);

        got += n > 0 ? (size_t)n : 0;
        cr_assert_eq(loop_run_once(bench->loop, clock_boot_ns() + NS_PER_MS), 0);
    }
    cr_assert_eq(got, 200000);
    cr_assert_eq(bench->sink.write_errors, 0);
    (void)close(reader);
    bench_free(bench);
}

Test(SUITE, a_file_is_written_at_once_and_a_fifo_never)
{
    struct bench *bench = bench_new(LOOP_AUTO);
    char fifo[96];
    int reader;

    writes_itself = true;
    bench_open(bench);
    start_run(bench, 10, 100);
    cr_assert_eq(bench->runs, 1);
    cr_assert_not(sink_file_busy(&bench->sink));
    cr_assert_eq(check_lines(bench->path, 0, SIZE_MAX), 10);
    sink_file_deinit(&bench->sink);
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", bench->folder);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bench->options.path = fifo;
    bench_open(bench);
    start_run(bench, 10, 100);
    cr_assert_eq(bench->runs, 1);
    cr_assert(sink_file_busy(&bench->sink));
    run_until(bench->loop, &bench->runs, 2);
    (void)close(reader);
    bench_free(bench);
}
