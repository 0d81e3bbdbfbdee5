/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/sink_viewer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUITE sink_viewer
#include "tests/unit/enricher/both_loops.h"

#define CUT_BYTES  (sizeof(SINK_VIEWER_CUT_LINE) - 1)
#define LINE_BYTES 1000

struct bench {
    struct loop *loop;
    struct sink_viewers viewers;
    uint64_t now;
    struct clock clock;
    unsigned next_line;
};

static uint64_t read_hand(void *arg)
{
    return *(uint64_t *)arg;
}

static void bench_open(struct bench *bench, enum loop_kind kind)
{
    *bench = (struct bench){.now = NS_PER_SEC};
    bench->clock = (struct clock){.now = read_hand, .arg = &bench->now};
    bench->loop = new_loop(kind, &bench->clock);
    sink_viewers_init(&bench->viewers, bench->loop, 0, 4);
}

static void bench_close(struct bench *bench)
{
    sink_viewers_deinit(&bench->viewers);
    loop_free(bench->loop);
}

static int add_viewer(struct bench *bench)
{
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets), 0);
    cr_assert_eq(sink_viewers_add(&bench->viewers, sockets[1]), 0);
    return sockets[0];
}

static void send_lines(struct bench *bench, unsigned count)
{
    static char run[256 * 1024];

    memset(run, 'x', count * LINE_BYTES);
    for (unsigned i = 0; i < count; i++) {
        char *line = run + i * LINE_BYTES;

        (void)!snprintf(line, LINE_BYTES, "%08u", bench->next_line++);
        line[8] = ' ';
        line[LINE_BYTES - 1] = '\n';
    }
    sink_viewers_send(&bench->viewers, run, count * LINE_BYTES);
}

struct stream {
    char *data;
    size_t size;
    bool ended;
};

static struct stream read_all(struct bench *bench, int fd)
{
    struct stream stream = {.data = malloc(8 << 20)};

    for (int idle = 0; idle < 20 && !stream.ended; idle++) {
        ssize_t got = read(fd, stream.data + stream.size, (8 << 20) - stream.size);

        if (got > 0) {
            stream.size += (size_t)got;
            idle = 0;
        }
        stream.ended = got == 0;
        cr_assert_eq(loop_run_once(bench->loop, 0), 0);
    }
    return stream;
}

/* Numbered lines from `first`, whole; returns the number behind the last; stops at what is no such line. */
static unsigned check(const struct stream *stream, unsigned first, size_t *ret_rest)
{
    size_t at = 0;

    while (stream->size - at >= LINE_BYTES && stream->data[at] == '0') {
        cr_assert_eq(strtoul(stream->data + at, NULL, 10), first);
        cr_assert_eq(stream->data[at + LINE_BYTES - 1], '\n');
        first++;
        at += LINE_BYTES;
    }
    *ret_rest = stream->size - at;
    return first;
}

BOTH(a_viewer_that_reads_gets_everything)
{
    struct bench bench;
    unsigned line = 0;
    size_t rest;
    int fd;

    bench_open(&bench, kind);
    fd = add_viewer(&bench);
    for (int i = 0; i < 50; i++) {
        struct stream stream;

        send_lines(&bench, 250);
        stream = read_all(&bench, fd);
        line = check(&stream, line, &rest);
        cr_assert_eq(rest, 0);
        cr_assert_eq(line, bench.next_line);
        cr_assert_not(stream.ended);
        free(stream.data);
    }
    cr_assert_eq(bench.viewers.cut, 0);
    bench_close(&bench);
}

BOTH(one_that_does_not_read_is_cut_off_with_whole_lines_and_a_last_one)
{
    struct bench bench;
    struct stream slow_stream, stream;
    unsigned line = 0;
    size_t rest;
    int slow, fast;

    bench_open(&bench, kind);
    slow = add_viewer(&bench);
    fast = add_viewer(&bench);
    for (int i = 0; i < 20; i++) {
        send_lines(&bench, 250);
        stream = read_all(&bench, fast);
        line = check(&stream, line, &rest);
        cr_assert_eq(line, bench.next_line);
        free(stream.data);
    }
    cr_assert_eq(bench.viewers.cut, 1);
    slow_stream = read_all(&bench, slow);
    line = check(&slow_stream, 0, &rest);
    cr_assert_gt(line, SINK_VIEWER_BUFFER_MIN / LINE_BYTES);
    cr_assert_lt(line, bench.next_line);
    cr_assert_eq(rest, CUT_BYTES);
    cr_assert_eq(memcmp(slow_stream.data + slow_stream.size - rest, SINK_VIEWER_CUT_LINE, CUT_BYTES), 0);
    cr_assert(slow_stream.ended);
    cr_assert_eq(bench.viewers.count, 1);
    free(slow_stream.data);
    bench_close(&bench);
}

BOTH(one_that_never_reads_is_gone_after_the_farewell)
{
    struct bench bench;

    bench_open(&bench, kind);
    (void)add_viewer(&bench);
    for (int i = 0; i < 20; i++)
        send_lines(&bench, 250);
    settle(bench.loop);
    cr_assert_eq(bench.viewers.cut, 1);
    cr_assert_eq(bench.viewers.count, 1);
    bench.now += SINK_VIEWER_FAREWELL_NS - 1;
    settle(bench.loop);
    cr_assert_eq(bench.viewers.count, 1);
    bench.now += 1;
    settle(bench.loop);
    cr_assert_eq(bench.viewers.count, 0);
    cr_assert_null(bench.viewers.first);
    bench_close(&bench);
}

BOTH(one_that_catches_up_misses_nothing)
{
    struct bench bench;
    unsigned line = 0;
    size_t rest;
    int fd;

    bench_open(&bench, kind);
    fd = add_viewer(&bench);
    for (int i = 0; i < 30; i++) { /* more than the socket holds, less than the buffer; the ring goes round */
        struct stream stream;

        send_lines(&bench, 200);
        send_lines(&bench, 150);
        stream = read_all(&bench, fd);
        line = check(&stream, line, &rest);
        cr_assert_eq(rest, 0);
        free(stream.data);
    }
    cr_assert_eq(line, bench.next_line);
    cr_assert_eq(bench.viewers.cut, 0);
    bench_close(&bench);
}

BOTH(one_that_only_ends_its_own_side_keeps_its_stream)
{
    struct bench bench;
    struct stream stream;
    size_t rest;
    int fd;

    bench_open(&bench, kind);
    fd = add_viewer(&bench);
    cr_assert_eq(write(fd, "noise that nobody asked for\n", 28), 28);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    settle(bench.loop);
    cr_assert_eq(bench.viewers.count, 1);
    send_lines(&bench, 10);
    stream = read_all(&bench, fd);
    cr_assert_eq(check(&stream, 0, &rest), 10);
    free(stream.data);
    (void)close(fd);
    settle(bench.loop);
    cr_assert_eq(bench.viewers.count, 0);
    bench_close(&bench);
}

BOTH(one_that_leaves_is_forgotten_with_or_without_lines)
{
    struct bench bench;
    int first, second;

    bench_open(&bench, kind);
    first = add_viewer(&bench);
    second = add_viewer(&bench);
    (void)close(first);
    send_lines(&bench, 10); /* meets EPIPE before the loop tells of the end */
    cr_assert_eq(bench.viewers.count, 1);
    (void)close(second);
    settle(bench.loop);
    cr_assert_eq(bench.viewers.count, 0);
    cr_assert_eq(bench.viewers.cut, 0);
    bench_close(&bench);
}
