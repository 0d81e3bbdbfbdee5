/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SUITE output
#include "tests/unit/enricher/both_loops.h"

struct bench {
    struct loop *loop;
    struct output *output;
    char folder[64], path[96];
    unsigned progress;
};

static void on_progress(void *arg)
{
    ((struct bench *)arg)->progress++;
}

static struct output_options defaults(const struct bench *bench)
{
    struct output_options options = OUTPUT_OPTIONS_DEFAULT;

    options.path = bench->path;
    return options;
}

static void bench_folder(struct bench *bench, enum loop_kind kind)
{
    *bench = (struct bench){.loop = new_loop(kind, NULL)};
    (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/podkin-test-output.XXXXXX");
    cr_assert_not_null(mkdtemp(bench->folder));
    (void)snprintf(bench->path, sizeof(bench->path), "%s/out", bench->folder);
}

static void bench_open(struct bench *bench, const struct output_options *options)
{
    cr_assert_eq(output_new(&bench->output, bench->loop, options), 0);
    output_on_progress(bench->output, on_progress, bench);
}

static void bench_close(struct bench *bench)
{
    char command[128];

    output_free(bench->output);
    loop_free(bench->loop);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->folder);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

/* "0000000007 xxxx…\n", `size` bytes with the newline. false: no room. */
static bool put_line(struct output *output, unsigned number, size_t size)
{
    char *line = output_reserve(output, size);

    if (!line)
        return false;
    memset(line, 'x', size);
    (void)!snprintf(line, size, "%010u", number);
    line[10] = ' ';
    line[size - 1] = '\n';
    output_commit(output, size);
    return true;
}

static void put_lines(struct bench *bench, unsigned first, unsigned count, size_t size)
{
    for (unsigned i = first; i < first + count; i++)
        while (!put_line(bench->output, i, size))
            cr_assert_eq(loop_run_once(bench->loop, clock_boot_ns() + NS_PER_SEC), 0);
}

static void write_out(struct bench *bench)
{
    uint64_t end_ns = clock_boot_ns() + 5 * NS_PER_SEC;

    output_flush(bench->output);
    while (output_durable(bench->output) < output_mark(bench->output) && clock_boot_ns() < end_ns) {
        cr_assert_eq(loop_run_once(bench->loop, end_ns), 0);
        output_flush(bench->output);
    }
    cr_assert_eq(output_durable(bench->output), output_mark(bench->output));
}

/* Whole lines numbered from `first`; returns the number behind the last. */
static unsigned check_stream(FILE *file, unsigned first)
{
    CLEANUP_FREE char *line = NULL;
    size_t room = 0;
    ssize_t size;

    while ((size = getline(&line, &room, file)) > 0) {
        cr_assert_eq(line[size - 1], '\n', "the last line is torn");
        cr_assert_eq(strtoul(line, NULL, 10), first, "%.12s where %u was expected", line, first);
        first++;
    }
    return first;
}

static unsigned check_file(const char *path, unsigned first)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");

    return file ? check_stream(file, first) : first;
}

BOTH(lines_leave_in_order_and_whole)
{
    struct bench bench;
    struct output_options options;
    struct output_state state;
    struct stat st;

    bench_folder(&bench, kind);
    options = defaults(&bench);
    bench_open(&bench, &options);
    for (unsigned i = 0; i < 20000; i += 100) {
        put_lines(&bench, i, 100, 100 + i % 3000);
        if (i % 700 == 0)
            output_flush(bench.output);
    }
    write_out(&bench);
    cr_assert_eq(check_file(bench.path, 0), 20000);
    output_get_state(bench.output, &state);
    cr_assert_eq(state.lines, 20000);
    cr_assert_eq(state.last_error, 0);
    cr_assert_eq(state.rotations, 0);
    cr_assert_eq(stat(bench.path, &st), 0);
    cr_assert_eq((uint64_t)st.st_size, state.bytes);
    cr_assert_eq(st.st_mode & 07777, 0600);
    settle(bench.loop);
    cr_assert_gt(bench.progress, 0);
    bench_close(&bench);
}

BOTH(free_writes_out_what_is_pending)
{
    struct bench bench;
    struct output_options options;

    bench_folder(&bench, kind);
    options = defaults(&bench);
    bench_open(&bench, &options);
    for (unsigned i = 0; i < 5000 && put_line(bench.output, i, 1000); i++)
        ;
    put_lines(&bench, (unsigned)output_mark(bench.output), 10, 1000);
    unsigned lines = (unsigned)output_mark(bench.output);
    bench.output = output_free(bench.output);
    cr_assert_eq(check_file(bench.path, 0), lines);
    bench_close(&bench);
}

BOTH(durable_never_runs_ahead_of_the_file)
{
    struct bench bench;
    struct stat st;
    struct output_options options;

    bench_folder(&bench, kind);
    options = defaults(&bench);
    bench_open(&bench, &options);
    for (unsigned i = 0; i < 3000; i++) {
        put_lines(&bench, i, 1, 1500);
        if (i % 50)
            continue;
        output_flush(bench.output);
        cr_assert_eq(loop_run_once(bench.loop, 0), 0);
        cr_assert_eq(stat(bench.path, &st), 0); /* a write may be going on: its last line may be torn now */
        cr_assert_leq(output_durable(bench.output) * 1500, (uint64_t)st.st_size);
        cr_assert_leq(output_durable(bench.output), output_mark(bench.output));
    }
    bench_close(&bench);
}

BOTH(a_full_ring_says_no_and_tells_when_there_is_room)
{
    struct bench bench;
    struct output_options options;
    unsigned lines = 0, before;
    int pipe_fds[2], saved = dup(STDOUT_FILENO);

    bench_folder(&bench, kind);
    options = defaults(&bench);
    options.path = "-";
    cr_assert_eq(pipe(pipe_fds), 0);
    cr_assert_eq(dup2(pipe_fds[1], STDOUT_FILENO), STDOUT_FILENO);
    bench_open(&bench, &options);
    cr_assert_eq(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    (void)close(pipe_fds[1]);
    while (put_line(bench.output, lines, 1000)) {
        cr_assert_eq(loop_run_once(bench.loop, 0), 0);
        lines++;
    }
    cr_assert_geq(lines, 7 * 262); /* nothing but the pipe's own room has left */
    before = bench.progress;
    cr_assert_null(output_reserve(bench.output, OUTPUT_LINE_MAX));

    static char piece[1 << 20];
    size_t got = 0;
    cr_assert_eq(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK), 0);
    while (!put_line(bench.output, lines, 1000)) {
        ssize_t n = read(pipe_fds[0], piece, sizeof(piece));

        got += n > 0 ? (size_t)n : 0;
        cr_assert_eq(loop_run_once(bench.loop, clock_boot_ns() + 10 * NS_PER_MS), 0);
    }
    lines++;
    cr_assert_gt(bench.progress, before);
    output_flush(bench.output);
    while (output_durable(bench.output) < lines) {
        ssize_t n = read(pipe_fds[0], piece, sizeof(piece));

        got += n > 0 ? (size_t)n : 0;
        cr_assert_eq(loop_run_once(bench.loop, clock_boot_ns() + 10 * NS_PER_MS), 0);
    }
    for (ssize_t n; (n = read(pipe_fds[0], piece, sizeof(piece))) > 0;)
        got += (size_t)n;
    cr_assert_eq(got, lines * 1000ull);
    bench_close(&bench);
}

BOTH(a_reader_that_left_is_an_error_that_stays)
{
    struct bench bench;
    struct output_options options;
    struct output_state state = {0};
    int pipe_fds[2], saved = dup(STDOUT_FILENO);

    bench_folder(&bench, kind);
    options = defaults(&bench);
    options.path = "-";
    cr_assert_eq(pipe(pipe_fds), 0);
    cr_assert_eq(dup2(pipe_fds[1], STDOUT_FILENO), STDOUT_FILENO);
    bench_open(&bench, &options);
    cr_assert_eq(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    (void)close(pipe_fds[1]);
    (void)close(pipe_fds[0]);
    put_lines(&bench, 0, 10, 1000);
    output_flush(bench.output);
    for (int i = 0; i < 200 && state.write_errors < 3; i++) {
        cr_assert_eq(loop_run_once(bench.loop, clock_boot_ns() + 10 * NS_PER_MS), 0);
        output_get_state(bench.output, &state);
    }
    cr_assert_geq(state.write_errors, 3);
    cr_assert_eq(state.last_error, EPIPE);
    cr_assert_eq(output_durable(bench.output), 0);
    bench_close(&bench);
}

BOTH(without_a_sink_all_is_durable_at_once)
{
    struct bench bench;
    struct output_options options;

    bench_folder(&bench, kind);
    options = defaults(&bench);
    options.path = NULL;
    bench_open(&bench, &options);
    for (unsigned i = 0; i < 10000; i++)
        cr_assert(put_line(bench.output, i, 1000));
    cr_assert_eq(output_durable(bench.output), 10000);
    output_flush(bench.output);
    output_reopen(bench.output);
    bench_close(&bench);
}

BOTH(a_viewer_gets_what_is_committed_after_it_came)
{
    struct bench bench;
    struct output_options options;
    int sockets[2];

    bench_folder(&bench, kind);
    options = defaults(&bench);
    bench_open(&bench, &options);
    put_lines(&bench, 0, 500, 1500);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    cr_assert_eq(output_add_viewer(bench.output, sockets[1]), 0);
    put_lines(&bench, 500, 1000, 1500); /* more than a socket holds, less than the viewer's buffer */
    write_out(&bench);

    char *copy = NULL;
    size_t copy_size = 0;
    FILE *stream = open_memstream(&copy, &copy_size);
    for (size_t got = 0; got < 1000 * 1500;) {
        char piece[65536];
        ssize_t n = read(sockets[0], piece, sizeof(piece));

        if (n > 0) {
            got += (size_t)n;
            cr_assert_eq(fwrite(piece, 1, (size_t)n, stream), (size_t)n);
        }
        cr_assert_eq(loop_run_once(bench.loop, clock_boot_ns() + NS_PER_MS), 0);
    }
    cr_assert_eq(fclose(stream), 0);
    stream = fmemopen(copy, copy_size, "r");
    cr_assert_eq(check_stream(stream, 500), 1500);
    (void)fclose(stream);
    free(copy);
    cr_assert_eq(check_file(bench.path, 0), 1500);
    bench_close(&bench);
}

BOTH(there_are_never_more_viewers_than_allowed)
{
    struct bench bench;
    struct output_options options;
    struct output_state state;
    int first[2], second[2];

    bench_folder(&bench, kind);
    options = defaults(&bench);
    options.max_viewers = 1;
    bench_open(&bench, &options);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second), 0);
    cr_assert_eq(output_add_viewer(bench.output, first[1]), 0);
    cr_assert_eq(output_add_viewer(bench.output, second[1]), -EUSERS);
    cr_assert_eq(fcntl(second[1], F_GETFD) & ~FD_CLOEXEC, 0);
    (void)close(first[0]);
    settle(bench.loop);
    output_get_state(bench.output, &state);
    cr_assert_eq(state.viewers, 0);
    cr_assert_eq(state.viewers_cut, 0);
    cr_assert_eq(output_add_viewer(bench.output, second[1]), 0);
    bench_close(&bench);
}
