/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/text.h"
#include "enricher/loop.h"
#include "enricher/metrics.h"

static struct loop *loop;
static struct metrics_server *server;
static uint64_t now_ns;
static unsigned asked;
static size_t body_bytes;

static uint64_t fake_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static void compose(void *arg, struct text *out)
{
    (void)arg;
    asked++;
    text_append_string(out, "podkin_up 1\n");
    while (out->size < body_bytes)
        text_append_string(
            out, "# padding that is longer than a socket's buffer will take at once, for a slow reader\n");
}

static void setup(void)
{
    static const struct clock clock = {.now = fake_now};

    now_ns = NS_PER_SEC;
    asked = 0;
    body_bytes = 0;
    cr_assert_eq(loop_new(&loop, LOOP_EPOLL, &clock), 0);
    cr_assert_eq(metrics_server_new(&server, loop, "127.0.0.1:0", compose, NULL), 0);
    cr_assert_neq(metrics_server_port(server), 0);
}

static void teardown(void)
{
    server = metrics_server_free(server);
    loop = loop_free(loop);
}

TestSuite(metrics_server, .init = setup, .fini = teardown, .timeout = 30);

static void turn(void)
{
    for (int i = 0; i < 8; i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
}

static int dial_unserved(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)metrics_server_port(server)),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int dial(void)
{
    int fd = dial_unserved();

    turn();
    return fd;
}

static void say(int fd, const char *words)
{
    cr_assert_eq(send(fd, words, strlen(words), MSG_NOSIGNAL), (ssize_t)strlen(words));
    turn();
}

/* Everything up to the end, the loop turning; NULL: the connection was reset. */
static const char *hear(int fd)
{
    static char answer[1 << 22];
    size_t size = 0;

    for (;;) {
        ssize_t n = recv(fd, answer + size, sizeof(answer) - 1 - size, MSG_DONTWAIT);

        turn();
        if (n == 0)
            break;
        if (n < 0 && errno != EAGAIN)
            return NULL;
        size += n > 0 ? (size_t)n : 0;
    }
    answer[size] = '\0';
    return answer;
}

static bool is_closed(int fd)
{
    char byte;

    turn();
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN;
}

Test(metrics_server, a_scraper_gets_its_page)
{
    int fd = dial();
    const char *answer;

    say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n");
    answer = hear(fd);
    cr_assert_not_null(answer);
    cr_expect_eq(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0, "%s", answer);
    cr_expect_not_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    cr_expect_not_null(strstr(answer, "Content-Length: 12\r\n"));
    cr_expect_not_null(strstr(answer, "\r\n\r\npodkin_up 1\n"));
    cr_expect_eq(asked, 1);
    fd_close(&fd);
}

Test(metrics_server, a_request_may_come_byte_by_byte)
{
    const char *words = "GET /metrics?x=1 HTTP/1.0\r\n\r\n";
    int fd = dial();
    const char *answer;

    for (; *words; words++)
        say(fd, (const char[]){*words, '\0'});
    answer = hear(fd);
    cr_expect(answer && strstr(answer, "podkin_up 1"));
    fd_close(&fd);
}

Test(metrics_server, a_large_page_reaches_a_slow_reader_whole)
{
    const char *answer;
    int fd = dial();

    body_bytes = 3 << 20;
    say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
    answer = hear(fd);
    cr_assert_not_null(answer);
    cr_expect_geq(strlen(answer), (size_t)3 << 20);
    cr_expect_eq(answer[strlen(answer) - 1], '\n');
    fd_close(&fd);
}

Test(metrics_server, what_is_not_asked_for_is_not_composed)
{
    const struct {
        const char *request, *status;
    } rows[] = {{"GET / HTTP/1.1\r\n\r\n", "404"}, {"GET /metricsx HTTP/1.1\r\n\r\n", "404"},
        {"GET /../etc/passwd HTTP/1.1\r\n\r\n", "404"}, {"POST /metrics HTTP/1.1\r\n\r\n", "405"},
        {"nonsense\r\n\r\n", "405"}, {"\r\n\r\n", "405"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = dial();
        const char *answer;

        say(fd, rows[i].request);
        answer = hear(fd);
        cr_expect(answer && strncmp(answer + 9, rows[i].status, 3) == 0, "%s", rows[i].request);
        fd_close(&fd);
    }
    cr_expect_eq(asked, 0);
}

Test(metrics_server, silent_and_endless_clients_are_closed)
{
    int silent = dial(), endless = dial(), binary = dial();
    char words[1024];

    memset(words, 'x', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    for (int i = 0; i < 9; i++)
        (void)!send(endless, words, sizeof(words) - 1, MSG_NOSIGNAL);
    cr_expect(is_closed(endless));
    cr_assert_eq(send(binary, "GET /\0metrics", 13, MSG_NOSIGNAL), 13);
    cr_expect(is_closed(binary));
    cr_expect_not(is_closed(silent));
    now_ns += METRICS_TIMEOUT_NS + 1;
    cr_expect(is_closed(silent));
    fd_close(&silent);
    fd_close(&endless);
    fd_close(&binary);
}

Test(metrics_server, a_client_that_does_not_read_is_closed)
{
    int fd = dial();

    body_bytes = 3 << 20;
    say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
    now_ns += METRICS_TIMEOUT_NS + 1;
    turn();
    fd_close(&fd);
    fd = dial(); /* its place is free again */
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    cr_expect_not_null(hear(fd));
    fd_close(&fd);
}

Test(metrics_server, a_crowd_is_turned_away_and_the_next_is_served)
{
    int crowd[METRICS_CLIENTS_MAX], late, next;
    const char *answer;

    for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
        crowd[i] = dial();
    late = dial();
    cr_expect(is_closed(late));
    fd_close(&crowd[3]);
    turn();
    next = dial();
    say(next, "GET /metrics HTTP/1.1\r\n\r\n");
    answer = hear(next);
    cr_expect(answer && strstr(answer, "podkin_up"));
    for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
        fd_close(&crowd[i]);
    fd_close(&late);
    fd_close(&next);
}

Test(metrics_server, without_descriptors_the_listener_rests_and_comes_back)
{
    const char *answer;
    struct rlimit limit, none;
    int fd = dial_unserved();

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    turn(); /* there would be a descriptor now, but it rests */
    cr_expect_eq(asked, 0);
    now_ns += NS_PER_SEC;
    answer = hear(fd);
    cr_expect(answer && strstr(answer, "podkin_up"));
    fd_close(&fd);
}

Test(metrics_server, freed_with_clients_leaves_nothing)
{
    int fd = dial();

    say(fd, "GET /met");
    server = metrics_server_free(server);
    fd_close(&fd);
}

Test(metrics_server, addresses_are_numbers)
{
    static const char *const good[] = {"127.0.0.1:9464", "0.0.0.0:0", "[::1]:9464", ":9464"};
    static const char *const bad[] = {"", "9464", "localhost:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
        "127.0.0.1:65536", "127.0.0.1:-1", "[::1]", "::1:9464", "[::1:9464", "[]:1", "1.2.3.4.5:1",
        "[fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff]:1"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect_eq(metrics_check_address(good[i]), 0, "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(metrics_check_address(bad[i]), -EINVAL, "%s", bad[i]);
}
