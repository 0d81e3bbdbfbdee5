/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/text.h"
#include "enricher/output.h"

#define SUITE control
#include "tests/unit/enricher/both_loops.h"

struct bench {
    struct loop *loop;
    struct output *output;
    struct control *control;
    struct control_options options;
    char folder[64], path[96];
    uint64_t now;
    struct clock clock;
    unsigned answers;
    size_t answer_bytes;
};

static void on_question(void *arg, const char *verb, const char *argument, struct text *reply)
{
    struct bench *bench = arg;

    bench->answers++;
    text_append_format(reply, "{\"verb\":\"%s\",\"argument\":\"%s\",\"more\":\"", verb, argument);
    for (size_t i = 0; i < bench->answer_bytes; i++)
        text_append_char(reply, 'x');
    text_append_string(reply, "\"}");
}

static uint64_t read_hand(void *arg)
{
    return *(uint64_t *)arg;
}

static void bench_open(struct bench *bench, enum loop_kind kind)
{
    struct output_options options = OUTPUT_OPTIONS_DEFAULT;

    *bench = (struct bench){.now = NS_PER_SEC};
    bench->clock = (struct clock){.now = read_hand, .arg = &bench->now};
    bench->loop = new_loop(kind, &bench->clock);
    options.max_viewers = 2;
    cr_assert_eq(output_new(&bench->output, bench->loop, &options), 0);
    (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/podkin-test-control.XXXXXX");
    cr_assert_not_null(mkdtemp(bench->folder));
    (void)snprintf(bench->path, sizeof(bench->path), "%s/events.sock", bench->folder);
    bench->options =
        (struct control_options){.path = bench->path, .max_clients = 3, .answer = on_question, .arg = bench};
    cr_assert_eq(control_new(&bench->control, bench->loop, bench->output, &bench->options), 0);
}

static void bench_close(struct bench *bench)
{
    control_free(bench->control);
    output_free(bench->output);
    loop_free(bench->loop);
    (void)unlink(bench->path);
    cr_assert_eq(rmdir(bench->folder), 0);
}

static int call(const struct bench *bench)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, bench->path, strlen(bench->path) + 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* All that comes until the other side ends, as a C string; -1: it did not end. */
static ssize_t read_answer(struct bench *bench, int fd, char *answer, size_t room)
{
    size_t size = 0;

    for (int i = 0; i < 2000; i++) {
        ssize_t got = read(fd, answer + size, room - 1 - size);

        if (got == 0 || (got < 0 && errno == ECONNRESET)) {
            answer[size] = '\0';
            return (ssize_t)size;
        }
        if (got > 0)
            size += (size_t)got;
        cr_assert_eq(loop_run_once(bench->loop, 0), 0);
    }
    answer[size] = '\0';
    return -1;
}

static void expect(struct bench *bench, const char *request, size_t size, const char *answer)
{
    char got[1024];
    int fd = call(bench);

    cr_assert_eq(write(fd, request, size), (ssize_t)size);
    cr_assert_geq(read_answer(bench, fd, got, sizeof(got)), 0, "no end after %s", request);
    cr_assert_str_eq(got, answer);
    (void)close(fd);
}

#define EXPECT(bench, request, answer) expect(bench, request, sizeof(request) - 1, answer)
#define UNKNOWN                        "{\"error\":\"unknown request: events, status, coverage or explain PID is expected\"}\n"
#define MALFORMED                      "{\"error\":\"a request is one line of at most 256 bytes\"}\n"

BOTH(a_question_is_answered_and_closed)
{
    struct bench bench;

    bench_open(&bench, kind);
    EXPECT(&bench, "status\n", "{\"verb\":\"status\",\"argument\":\"\",\"more\":\"\"}\n");
    EXPECT(&bench, "explain 123\n", "{\"verb\":\"explain\",\"argument\":\"123\",\"more\":\"\"}\n");
    EXPECT(&bench, "status\nstatus\n", "{\"verb\":\"status\",\"argument\":\"\",\"more\":\"\"}\n");
    EXPECT(&bench, "coverage\n", "{\"verb\":\"coverage\",\"argument\":\"\",\"more\":\"\"}\n");
    cr_assert_eq(bench.answers, 4);
    bench_close(&bench);
}

BOTH(what_is_not_understood_is_refused_in_one_line)
{
    struct bench bench;
    char long_line[300];

    bench_open(&bench, kind);
    EXPECT(&bench, "\n", UNKNOWN);
    EXPECT(&bench, "Events\n", UNKNOWN);
    EXPECT(&bench, "status \n", UNKNOWN);
    EXPECT(&bench, "explain\n", UNKNOWN);
    EXPECT(&bench, "explain \n", UNKNOWN);
    EXPECT(&bench, "explain 1x\n", UNKNOWN);
    EXPECT(&bench, "explain -1\n", UNKNOWN);
    EXPECT(&bench, "explain 12345678901\n", UNKNOWN);
    EXPECT(&bench, "status\0\n", MALFORMED);
    memset(long_line, 'x', sizeof(long_line));
    expect(&bench, long_line, 256, MALFORMED);
    expect(&bench, long_line, sizeof(long_line), MALFORMED);
    cr_assert_eq(bench.answers, 0);
    bench_close(&bench);
}

BOTH(a_request_may_come_in_pieces)
{
    struct bench bench;
    char got[256];
    int fd;

    bench_open(&bench, kind);
    fd = call(&bench);
    for (const char *c = "status\n"; *c; c++) {
        cr_assert_eq(write(fd, c, 1), 1);
        cr_assert_eq(loop_run_once(bench.loop, 0), 0);
        cr_assert_eq(loop_run_once(bench.loop, 0), 0);
    }
    cr_assert_geq(read_answer(&bench, fd, got, sizeof(got)), 0);
    cr_assert_eq(strncmp(got, "{\"verb\":\"status\"", 16), 0);
    bench_close(&bench);
}

BOTH(a_silent_client_is_closed_after_five_seconds)
{
    struct bench bench;
    char got[256];
    int fd;

    bench_open(&bench, kind);
    fd = call(&bench);
    cr_assert_eq(write(fd, "stat", 4), 4);
    cr_assert_eq(read_answer(&bench, fd, got, sizeof(got)), -1);
    bench.now += CONTROL_TIMEOUT_NS - 1;
    cr_assert_eq(read_answer(&bench, fd, got, sizeof(got)), -1);
    bench.now += 1;
    cr_assert_eq(read_answer(&bench, fd, got, sizeof(got)), 0);
    bench_close(&bench);
}

BOTH(a_large_answer_goes_as_fast_as_it_is_read_and_no_longer_than_five_seconds)
{
    struct bench bench;
    static char got[4 << 20];
    int fd;

    bench_open(&bench, kind);
    bench.answer_bytes = 3 << 20;
    fd = call(&bench);
    cr_assert_eq(write(fd, "status\n", 7), 7);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(loop_run_once(bench.loop, 0), 0);
    cr_assert_gt(read_answer(&bench, fd, got, sizeof(got)), 3 << 20);
    cr_assert_eq(got[strlen(got) - 1], '\n');
    (void)close(fd);
    fd = call(&bench);
    cr_assert_eq(write(fd, "status\n", 7), 7);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(loop_run_once(bench.loop, 0), 0);
    bench.now += CONTROL_TIMEOUT_NS;
    cr_assert_eq(loop_run_once(bench.loop, 0), 0);
    cr_assert_lt(read_answer(&bench, fd, got, sizeof(got)), 3 << 20);
    bench_close(&bench);
}

BOTH(one_client_too_many_is_told_so)
{
    struct bench bench;
    char got[256];
    int fds[3], fd;

    bench_open(&bench, kind);
    for (int i = 0; i < 3; i++)
        fds[i] = call(&bench);
    settle(bench.loop);
    fd = call(&bench);
    cr_assert_gt(read_answer(&bench, fd, got, sizeof(got)), 0);
    cr_assert_str_eq(got, "{\"error\":\"too many connections\"}\n");
    (void)close(fds[0]);
    settle(bench.loop);
    EXPECT(&bench, "status\n", "{\"verb\":\"status\",\"argument\":\"\",\"more\":\"\"}\n");
    bench_close(&bench);
}

static void put_line(struct output *output, const char *line, size_t size)
{
    char *room = output_reserve(output, size);

    cr_assert_not_null(room);
    memcpy(room, line, size);
    output_commit(output, size);
    output_flush(output);
}
#define PUT(output, line) put_line(output, line, sizeof(line) - 1)

BOTH(events_makes_a_viewer_and_one_too_many_is_told_so)
{
    struct bench bench;
    char got[256];
    int first, second, third;

    bench_open(&bench, kind);
    PUT(bench.output, "{\"before\":1}\n");
    first = call(&bench);
    second = call(&bench);
    cr_assert_eq(write(first, "events\n", 7), 7);
    cr_assert_eq(write(second, "events\n", 7), 7);
    settle(bench.loop);
    PUT(bench.output, "{\"after\":1}\n");
    bench.now += 100 * CONTROL_TIMEOUT_NS;
    settle(bench.loop);
    PUT(bench.output, "{\"late\":1}\n");
    cr_assert_eq(read_answer(&bench, first, got, sizeof(got)), -1);
    cr_assert_str_eq(got, "{\"after\":1}\n{\"late\":1}\n");
    cr_assert_eq(read_answer(&bench, second, got, sizeof(got)), -1);
    cr_assert_str_eq(got, "{\"after\":1}\n{\"late\":1}\n");
    third = call(&bench);
    cr_assert_eq(write(third, "events\n", 7), 7);
    cr_assert_gt(read_answer(&bench, third, got, sizeof(got)), 0);
    cr_assert_str_eq(got, "{\"error\":\"too many viewers\"}\n");
    bench_close(&bench);
}

BOTH(the_file_has_its_mode_whatever_the_umask_and_is_removed_at_the_end)
{
    struct bench bench;
    struct stat st;
    mode_t before = umask(077);

    bench_open(&bench, kind);
    (void)umask(before);
    cr_assert_eq(stat(bench.path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, 0660);
    bench.control = control_free(bench.control);
    cr_assert_eq(stat(bench.path, &st), -1);
    bench_close(&bench);
}

BOTH(who_asks_for_events_that_are_not_shown_is_told_why)
{
    struct bench bench;

    bench_open(&bench, kind);
    bench.control = control_free(bench.control);
    bench.options.no_events = "they are in files";
    cr_assert_eq(control_new(&bench.control, bench.loop, NULL, &bench.options), 0);
    EXPECT(&bench, "events\n", "{\"error\":\"they are in files\"}\n");
    EXPECT(&bench, "status\n", "{\"verb\":\"status\",\"argument\":\"\",\"more\":\"\"}\n");
    bench_close(&bench);
}

BOTH(a_stale_file_is_replaced_a_live_or_foreign_one_is_not)
{
    struct bench bench;
    struct control *second = NULL;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    bench_open(&bench, kind);
    cr_assert_eq(control_new(&second, bench.loop, NULL, &bench.options), -EADDRINUSE);
    EXPECT(&bench, "explain 1\n", "{\"verb\":\"explain\",\"argument\":\"1\",\"more\":\"\"}\n");
    bench.control = control_free(bench.control);

    memcpy(address.sun_path, bench.path, strlen(bench.path) + 1);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
    cr_assert_eq(control_new(&bench.control, bench.loop, NULL, &bench.options), 0);
    EXPECT(&bench, "events\n", "{\"error\":\"no events here\"}\n");

    /* Somebody took our place: his file stays when we go. */
    cr_assert_eq(unlink(bench.path), 0);
    cr_assert_eq(control_new(&second, bench.loop, NULL, &bench.options), 0);
    bench.control = control_free(bench.control);
    cr_assert_eq(access(bench.path, F_OK), 0);
    second = control_free(second);

    fd = open(bench.path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(control_new(&second, bench.loop, NULL, &bench.options), -EADDRINUSE);
    cr_assert_eq(access(bench.path, F_OK), 0);
    bench_close(&bench);
}

BOTH(without_descriptors_the_listener_rests_and_comes_back)
{
    struct bench bench;
    struct rlimit limit, none;
    char got[256];
    int fd;

    bench_open(&bench, kind);
    fd = call(&bench);
    cr_assert_eq(write(fd, "status\n", 7), 7);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_assert_eq(read_answer(&bench, fd, got, sizeof(got)), -1);
    cr_expect_eq(control_error(bench.control), EMFILE);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    bench.now += NS_PER_SEC;
    cr_assert_gt(read_answer(&bench, fd, got, sizeof(got)), 0);
    cr_expect_eq(control_error(bench.control), 0);
    bench_close(&bench);
}
