/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/http.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "enricher/loop.h"
#include "tests/support/certificates.h"
#include "tests/support/http_server.h"

#define BODY_MAX (1 << 20)

/* What a request brought. */
struct outcome {
    unsigned done, data_calls;
    struct http_result result;
    char text[300];
    size_t size;
    char body[BODY_MAX + 1];
    size_t abort_after;            /* bytes; 0: never */
    struct http_exchange **cancel; /* from within on_data */
    uint64_t done_ns;
};

struct bench {
    struct loop *loop;
    struct http *http;
    struct http_server *server;
    char directory[64];
    char url[64];
    struct outcome outcome;
};

static int on_data(void *arg, const char *data, size_t size)
{
    struct outcome *outcome = arg;

    cr_assert_eq(outcome->done, 0);
    outcome->data_calls++;
    if (outcome->size + size <= BODY_MAX)
        memcpy(outcome->body + outcome->size, data, size);
    outcome->size += size;
    if (outcome->cancel)
        http_cancel(*outcome->cancel);
    return outcome->abort_after && outcome->size >= outcome->abort_after;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct outcome *outcome = arg;

    outcome->done++;
    outcome->result = *result;
    (void)snprintf(outcome->text, sizeof(outcome->text), "%s", result->text);
    outcome->body[outcome->size < BODY_MAX ? outcome->size : BODY_MAX] = '\0';
    outcome->done_ns = clock_boot_ns();
}

/* Each test runs on both loops: what libcurl asks of them is not the same as what our own code does. */
static enum loop_kind loop_kind;

static bool loop_is_possible(enum loop_kind kind)
{
    struct loop *loop = NULL;
    int error = loop_new(&loop, kind, NULL);

    loop_free(loop);
    return error == 0;
}

#define HTTP_TEST(name)                                                                                      \
    static void name(void);                                                                                  \
    Test(http, name##_on_epoll)                                                                              \
    {                                                                                                        \
        loop_kind = LOOP_EPOLL;                                                                              \
        name();                                                                                              \
    }                                                                                                        \
    Test(http, name##_on_uring)                                                                              \
    {                                                                                                        \
        if (!loop_is_possible(LOOP_URING))                                                                   \
            cr_skip_test("no io_uring here");                                                                \
        loop_kind = LOOP_URING;                                                                              \
        name();                                                                                              \
    }                                                                                                        \
    static void name(void)

static struct bench *bench_new_with(const struct http_server_options *options)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    cr_assert(bench);
    (void)signal(SIGPIPE, SIG_IGN);
    strcpy(bench->directory, "/tmp/podkin-http.XXXXXX");
    cr_assert(mkdtemp(bench->directory));
    cr_assert_eq(loop_new(&bench->loop, loop_kind, NULL), 0);
    cr_assert_eq(http_new(&bench->http, bench->loop), 0);
    if (options) {
        bench->server = http_server_start(options);
        cr_assert(bench->server);
        (void)snprintf(bench->url, sizeof(bench->url), "%s://127.0.0.1:%d/pods",
            options->cert ? "https" : "http", http_server_port(bench->server));
    }
    return bench;
}

static struct bench *bench_new(http_server_fn *fn, const void *arg)
{
    return bench_new_with(&(struct http_server_options){.fn = fn, .arg = (void *)arg});
}

static void bench_free(struct bench *bench)
{
    char command[128];

    http_free(bench->http);
    loop_free(bench->loop);
    http_server_stop(bench->server);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->directory);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) a path of our own */
    free(bench);
}

static struct http_request request_to(struct bench *bench)
{
    return (struct http_request){.url = bench->url,
        .connect_timeout_ns = 2 * NS_PER_SEC,
        .overall_timeout_ns = 5 * NS_PER_SEC,
        .max_bytes = BODY_MAX,
        .compressed = true,
        .on_data = on_data,
        .on_done = on_done,
        .arg = &bench->outcome};
}

static void run_until_done(struct bench *bench, unsigned done)
{
    uint64_t deadline = clock_boot_ns() + 10 * NS_PER_SEC;

    while (bench->outcome.done < done && clock_boot_ns() < deadline)
        cr_assert_eq(loop_run_once(bench->loop, deadline), 0);
    cr_assert_eq(bench->outcome.done, done);
}

static void run_for(struct bench *bench, uint64_t ns)
{
    uint64_t deadline = clock_boot_ns() + ns;

    while (clock_boot_ns() < deadline)
        cr_assert_eq(loop_run_once(bench->loop, deadline), 0);
}

/* One request from begin to end; the outcome starts empty. */
static const struct http_result *fetch(struct bench *bench, const struct http_request *request)
{
    memset(&bench->outcome, 0, offsetof(struct outcome, abort_after));
    cr_assert_eq(http_get(bench->http, request, NULL), 0);
    cr_assert_eq(bench->outcome.done, 0, "N1");
    run_until_done(bench, 1);
    return &bench->outcome.result;
}

static void write_file(const struct bench *bench, const char *name, const char *content, char path[128])
{
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, 128, "%s/%s", bench->directory, name);
    file = fopen(path, "we");
    cr_assert(file);
    (void)fputs(content, file);
}

/* ---- plain answers ---- */

static bool serve_hello(void *arg, struct http_server_connection *connection, const char *head)
{
    char *seen = arg;

    if (seen)
        (void)snprintf(seen, 2048, "%s", head);
    return http_server_answer(connection, "200 OK", "", "hello", 5);
}

HTTP_TEST(get_gives_status_body_and_size)
{
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);
    const struct http_result *result = fetch(bench, &request);

    cr_assert_eq(result->outcome, HTTP_ANSWERED);
    cr_assert_eq(result->status, 200);
    cr_assert_eq(result->bytes, 5);
    cr_assert_str_eq(bench->outcome.body, "hello");
    cr_assert_str_eq(bench->outcome.text, "");
    bench_free(bench);
}

HTTP_TEST(request_names_itself_accepts_gzip_and_ignores_the_proxy_of_the_environment)
{
    char seen[2048] = "";
    static const char *const headers[] = {"Accept: application/json", "X-Test: 1", NULL};
    struct bench *bench = bench_new(serve_hello, seen);
    struct http_request request = request_to(bench);

    cr_assert_eq(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    cr_assert_eq(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    request.headers = headers;
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_ANSWERED);
    cr_assert(strstr(seen, "GET /pods HTTP/1.1\r\n"));
    cr_assert(strstr(seen, "User-Agent: podkin-enricher/" PODKIN_VERSION "\r\n"));
    cr_assert(strstr(seen, "Accept-Encoding: gzip\r\n"));
    cr_assert(strstr(seen, "Accept: application/json\r\n"));
    cr_assert(strstr(seen, "X-Test: 1\r\n"));
    cr_assert_not(strstr(seen, "Authorization"));
    bench_free(bench);
}

HTTP_TEST(connection_is_reused_and_fresh_makes_a_new_one)
{
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);

    for (int i = 0; i < 5; i++)
        cr_assert_eq(fetch(bench, &request)->status, 200);
    cr_assert_eq(http_server_connections(bench->server), 1);
    request.fresh = true;
    cr_assert_eq(fetch(bench, &request)->status, 200);
    cr_assert_eq(http_server_connections(bench->server), 2);
    bench_free(bench);
}

static bool serve_chunks(void *arg, struct http_server_connection *connection, const char *head)
{
    (void)arg;
    (void)head;
    return http_server_say(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel") &&
           http_server_sleep_ms(connection, 30) && http_server_say(connection, "lo\r\n1;x=y\r\n \r\n") &&
           http_server_sleep_ms(connection, 30) && http_server_say(connection, "5\r\nworld\r\n0\r\n\r\n");
}

HTTP_TEST(chunks_stream_as_they_come)
{
    struct bench *bench = bench_new(serve_chunks, NULL);
    struct http_request request = request_to(bench);

    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_ANSWERED);
    cr_assert_str_eq(bench->outcome.body, "hello world");
    cr_assert_geq(bench->outcome.data_calls, 3);
    cr_assert_eq(fetch(bench, &request)->status, 200);
    cr_assert_eq(http_server_connections(bench->server), 1);
    bench_free(bench);
}

/* `size` zero bytes, gzipped. */
static bool serve_gzip(void *arg, struct http_server_connection *connection, const char *head)
{
    size_t size = *(const size_t *)arg;
    CLEANUP_FREE char *zeroes = calloc(1, size);
    CLEANUP_FREE char *packed = malloc(size / 100 + 4096);
    z_stream stream = {.next_in = (unsigned char *)zeroes, .avail_in = (unsigned)size};

    (void)head;
    memset(zeroes, '0', size);
    stream.next_out = (unsigned char *)packed;
    stream.avail_out = (unsigned)(size / 100 + 4096);
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    (void)deflateEnd(&stream);
    return http_server_answer(
        connection, "200 OK", "Content-Encoding: gzip\r\n", packed, (size_t)stream.total_out);
}

HTTP_TEST(gzip_is_decoded)
{
    size_t size = 100000;
    struct bench *bench = bench_new(serve_gzip, &size);
    struct http_request request = request_to(bench);

    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_ANSWERED);
    cr_assert_eq(bench->outcome.size, size);
    cr_assert_eq(bench->outcome.body[size - 1], '0');
    bench_free(bench);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * NS_PER_SEC + (uint64_t)time.tv_nsec;
}

HTTP_TEST(what_expands_a_thousand_times_comes_in_slices_of_little_memory)
{
    size_t size = 64 << 20, heap = 0, most = 0;
    struct bench *bench = bench_new(serve_gzip, &size);
    struct http_request request = request_to(bench);
    uint64_t longest_ns = 0;

    request.max_bytes = 0;
    request.overall_timeout_ns = 0;
    cr_assert_eq(http_get(bench->http, &request, NULL), 0);
    while (!bench->outcome.done) {
        size_t before = bench->outcome.size, now;
        uint64_t begin_ns = thread_cpu_ns();

        cr_assert_eq(loop_run_once(bench->loop, UINT64_MAX), 0);
        longest_ns = thread_cpu_ns() - begin_ns > longest_ns ? thread_cpu_ns() - begin_ns : longest_ns;
        cr_assert_leq(bench->outcome.size - before, 2 * 16384, "N4");
        now = mallinfo2().uordblks;
        heap = !before && bench->outcome.size ? now : heap; /* the server has packed its answer by then */
        most = now > most && heap ? now : most;
    }
    cr_assert_eq(bench->outcome.result.outcome, HTTP_ANSWERED, "%s", bench->outcome.text);
    cr_assert_eq(bench->outcome.size, size);
    cr_assert_lt(most - heap, 1 << 20);
    (void)fprintf(stderr, "# 64 MiB out of 64 KiB: heap +%zu bytes, longest turn %" PRIu64 " us\n",
        most - heap, longest_ns / 1000);
    bench_free(bench);
}

HTTP_TEST(max_bytes_counts_decoded_bytes)
{
    size_t size = 64 << 20; /* 64 kB on the wire */
    struct bench *bench = bench_new(serve_gzip, &size);
    struct http_request request = request_to(bench);

    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_TOO_LARGE);
    cr_assert_leq(bench->outcome.size, BODY_MAX, "N3");
    cr_assert(strstr(bench->outcome.text, "larger than the limit"));
    bench_free(bench);
}

static bool serve_without_end(void *arg, struct http_server_connection *connection, const char *head)
{
    char block[16384];

    (void)head;
    memset(block, 'x', sizeof(block));
    if (!http_server_say(connection, arg))
        return false;
    while (http_server_write(connection, block, sizeof(block)))
        ;
    return false;
}

HTTP_TEST(endless_body_is_cut_at_max_bytes)
{
    struct bench *bench = bench_new(serve_without_end, "HTTP/1.1 200 OK\r\n\r\n");
    struct http_request request = request_to(bench);

    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_TOO_LARGE);
    cr_assert_leq(bench->outcome.size, BODY_MAX);
    bench_free(bench);
}

HTTP_TEST(endless_headers_are_cut)
{
    struct bench *bench = bench_new(serve_without_end, "HTTP/1.1 200 OK\r\nX-Long: ");
    struct http_request request = request_to(bench);
    const struct http_result *result = fetch(bench, &request);

    cr_assert_neq(result->outcome, HTTP_ANSWERED);
    cr_assert_eq(bench->outcome.data_calls, 0);
    bench_free(bench);
}

HTTP_TEST(refusal_with_endless_body_is_a_refusal)
{
    struct bench *bench = bench_new(serve_without_end, "HTTP/1.1 403 Forbidden\r\n\r\nno \x1b[31m\r\nway ");
    struct http_request request = request_to(bench);
    const struct http_result *result = fetch(bench, &request);

    cr_assert_eq(result->outcome, HTTP_ANSWERED);
    cr_assert_eq(result->status, 403);
    cr_assert_eq(bench->outcome.data_calls, 0, "N3");
    cr_assert_eq(strncmp(bench->outcome.text, "no ?[31m way xxx", 16), 0, "%s", bench->outcome.text);
    bench_free(bench);
}

static bool serve_busy(void *arg, struct http_server_connection *connection, const char *head)
{
    (void)head;
    return http_server_answer(connection, "429 Too Many Requests", arg, "later", 5);
}

HTTP_TEST(retry_after_is_told)
{
    struct bench *bench = bench_new(serve_busy, "Retry-After: 7\r\n");
    struct http_request request = request_to(bench);
    const struct http_result *result = fetch(bench, &request);

    cr_assert_eq(result->status, 429);
    cr_assert_eq(result->retry_after_sec, 7);
    cr_assert_str_eq(bench->outcome.text, "later");
    bench_free(bench);
}

static bool serve_redirect(void *arg, struct http_server_connection *connection, const char *head)
{
    (void)arg;
    cr_assert(strstr(head, "GET /pods "));
    return http_server_answer(connection, "302 Found", "Location: /elsewhere\r\n", "", 0);
}

HTTP_TEST(redirect_is_not_followed)
{
    struct bench *bench = bench_new(serve_redirect, NULL);
    struct http_request request = request_to(bench);

    cr_assert_eq(fetch(bench, &request)->status, 302);
    cr_assert_eq(bench->outcome.data_calls, 0);
    bench_free(bench);
}

/* ---- large answers ---- */

struct slices {
    struct bench *bench;
    uint64_t turn_ns;
    size_t in_turn, most_in_turn, turns, size, abort_at, cancel_at;
    struct http_exchange *exchange;
    unsigned done;
    enum http_outcome outcome;
};

static int on_slice(void *arg, const char *data, size_t size)
{
    struct slices *slices = arg;
    uint64_t now = loop_now(slices->bench->loop);

    for (size_t i = 0; i < size; i++)
        cr_assert(data[i] == (char)('a' + (slices->size + i) % 23));
    slices->turns += slices->turn_ns != now;
    slices->in_turn = slices->turn_ns == now ? slices->in_turn + size : size;
    slices->turn_ns = now;
    slices->most_in_turn = slices->in_turn > slices->most_in_turn ? slices->in_turn : slices->most_in_turn;
    slices->size += size;
    if (slices->cancel_at && slices->size >= slices->cancel_at)
        http_cancel(slices->exchange);
    return slices->abort_at && slices->size >= slices->abort_at;
}

static void on_slices_done(void *arg, const struct http_result *result)
{
    struct slices *slices = arg;

    slices->done++;
    slices->outcome = result->outcome;
}

#define LARGE_BYTES 900000

/* LARGE_BYTES at once, of as many as the head promises. */
static bool serve_large(void *arg, struct http_server_connection *connection, const char *head)
{
    size_t promised = *(const size_t *)arg;
    char answer_head[64], *body = malloc(LARGE_BYTES);
    bool good;

    (void)head;
    cr_assert(body);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        body[i] = (char)('a' + i % 23);
    (void)snprintf(
        answer_head, sizeof(answer_head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", promised);
    good = http_server_say(connection, answer_head) && http_server_write(connection, body, LARGE_BYTES);
    free(body);
    return good && promised == LARGE_BYTES;
}

/* The whole answer is in the socket before the loop looks at it. */
static struct slices fetch_large(size_t promised, size_t abort_at, size_t cancel_at)
{
    struct bench *bench = bench_new(serve_large, &promised);
    struct slices slices = {.bench = bench, .abort_at = abort_at, .cancel_at = cancel_at};
    struct http_request request = request_to(bench);
    uint64_t deadline = clock_boot_ns() + 3 * NS_PER_SEC;

    request.on_data = on_slice;
    request.on_done = on_slices_done;
    request.arg = &slices;
    cr_assert_eq(http_get(bench->http, &request, &slices.exchange), 0);
    while (!slices.done && !(cancel_at && slices.size >= cancel_at) && clock_boot_ns() < deadline) {
        cr_assert_eq(loop_run_once(bench->loop, deadline), 0);
        if (slices.turns == 0)
            (void)usleep(20000);
    }
    if (cancel_at)
        run_for(bench, 50 * NS_PER_MS);
    bench_free(bench);
    return slices;
}

HTTP_TEST(large_answer_comes_in_slices)
{
    struct slices slices = fetch_large(LARGE_BYTES, 0, 0);

    cr_assert_eq(slices.done, 1);
    cr_assert_eq(slices.outcome, HTTP_ANSWERED);
    cr_assert_eq(slices.size, LARGE_BYTES);
    cr_assert_leq(slices.most_in_turn, 2 * 16384, "N4");
    cr_assert_geq(slices.turns, 30);
}

HTTP_TEST(what_came_of_a_broken_answer_is_given_before_the_end)
{
    struct slices slices = fetch_large(LARGE_BYTES + 1, 0, 0);

    cr_assert_eq(slices.done, 1);
    cr_assert_eq(slices.outcome, HTTP_BROKEN);
    cr_assert_eq(slices.size, LARGE_BYTES);
}

HTTP_TEST(abort_and_cancel_between_slices)
{
    struct slices slices = fetch_large(LARGE_BYTES, 500000, 0);

    cr_assert_eq(slices.done, 1);
    cr_assert_eq(slices.outcome, HTTP_ABORTED);
    cr_assert_lt(slices.size, 500000 + 65536 + 1);
    slices = fetch_large(LARGE_BYTES, 0, 500000);
    cr_assert_eq(slices.done, 0, "N2");
    cr_assert_lt(slices.size, 500000 + 65536 + 1);
}

/* ---- broken answers ---- */

struct sin {
    const char *say;
    bool reset;
};

static bool serve_sin(void *arg, struct http_server_connection *connection, const char *head)
{
    const struct sin *sin = arg;

    (void)head;
    (void)http_server_say(connection, sin->say);
    (void)http_server_sleep_ms(connection, 20);
    if (sin->reset)
        http_server_reset(connection);
    return false;
}

HTTP_TEST(broken_answers_end_as_broken)
{
    static struct sin sins[] = {
        {"", false},
        {"", true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello", false},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot a gzip..", false},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", false},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1f\x8b\x08XXXXXXX", false},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", false},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\n", false},
        {"\x16\x03\x01 garbage that no HTTP server would say\r\n\r\n", false},
        {"HTTP/1.1 200", true},
    };

    for (size_t i = 0; i < sizeof(sins) / sizeof(*sins); i++) {
        struct bench *bench = bench_new(serve_sin, &sins[i]);
        struct http_request request = request_to(bench);

        cr_assert_eq(fetch(bench, &request)->outcome, HTTP_BROKEN, "%zu: %s", i, bench->outcome.text);
        cr_assert_str_not_empty(bench->outcome.text);
        bench_free(bench);
    }
}

HTTP_TEST(nobody_listening_is_no_connection)
{
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);

    http_server_stop(bench->server);
    bench->server = NULL;
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_NO_CONNECTION, "%s", bench->outcome.text);
    cr_assert_eq(bench->outcome.result.status, 0);
    bench_free(bench);
}

static bool serve_drip(void *arg, struct http_server_connection *connection, const char *head)
{
    unsigned pause_ms = *(const unsigned *)arg;

    (void)head;
    (void)http_server_say(connection, "HTTP/1.1 200 OK\r\n\r\n");
    while (http_server_sleep_ms(connection, pause_ms) && http_server_say(connection, "."))
        ;
    return false;
}

HTTP_TEST(dripping_server_is_cut_by_the_overall_timeout)
{
    unsigned pause_ms = 20;
    uint64_t begin = clock_boot_ns();
    struct bench *bench = bench_new(serve_drip, &pause_ms);
    struct http_request request = request_to(bench);

    request.overall_timeout_ns = 300 * NS_PER_MS;
    request.idle_timeout_ns = 200 * NS_PER_MS;
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_TIMED_OUT);
    cr_assert_geq(bench->outcome.done_ns - begin, 299 * NS_PER_MS);
    cr_assert_geq(bench->outcome.size, 3);
    bench_free(bench);
}

HTTP_TEST(silent_server_is_cut_by_the_idle_timeout)
{
    unsigned pause_ms = 5000;
    struct bench *bench = bench_new(serve_drip, &pause_ms);
    struct http_request request = request_to(bench);

    request.idle_timeout_ns = 150 * NS_PER_MS;
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_TIMED_OUT);
    cr_assert_str_eq(bench->outcome.text, "the server went silent");
    bench_free(bench);
}

static void count_ticks(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    ++*(unsigned *)arg;
}

HTTP_TEST(loop_turns_while_a_server_stalls)
{
    unsigned pause_ms = 300, ticks = 0;
    struct bench *bench = bench_new(serve_drip, &pause_ms);
    struct http_request request = request_to(bench);
    struct loop_timer timer = {.fn = count_ticks, .arg = &ticks};

    request.overall_timeout_ns = 500 * NS_PER_MS;
    cr_assert_eq(http_get(bench->http, &request, NULL), 0);
    while (!bench->outcome.done) {
        loop_timer_arm(bench->loop, &timer, clock_boot_ns() + 5 * NS_PER_MS);
        cr_assert_eq(loop_run_once(bench->loop, UINT64_MAX), 0);
    }
    cr_assert_gt(ticks, 20);
    bench_free(bench);
}

/* ---- abort and cancel ---- */

HTTP_TEST(on_data_can_abort)
{
    struct bench *bench = bench_new(serve_without_end, "HTTP/1.1 200 OK\r\n\r\n");
    struct http_request request = request_to(bench);

    bench->outcome.abort_after = 10;
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_ABORTED);
    cr_assert_eq(bench->outcome.data_calls, 1);
    bench_free(bench);
}

HTTP_TEST(cancel_from_on_data_is_silent)
{
    struct bench *bench = bench_new(serve_without_end, "HTTP/1.1 200 OK\r\n\r\n");
    struct http_request request = request_to(bench);
    struct http_exchange *exchange = NULL;

    bench->outcome.cancel = &exchange;
    cr_assert_eq(http_get(bench->http, &request, &exchange), 0);
    while (!bench->outcome.data_calls)
        cr_assert_eq(loop_run_once(bench->loop, UINT64_MAX), 0);
    run_for(bench, 50 * NS_PER_MS);
    cr_assert_eq(bench->outcome.done, 0, "N2");
    cr_assert_eq(bench->outcome.data_calls, 1);
    bench_free(bench);
}

HTTP_TEST(cancel_of_another_from_on_data_is_silent)
{
    struct bench *bench = bench_new(serve_without_end, "HTTP/1.1 200 OK\r\n\r\n");
    struct http_request request = request_to(bench);
    struct outcome *other = calloc(1, sizeof(*other));
    struct http_exchange *other_exchange = NULL;

    cr_assert(other);
    request.arg = other;
    request.max_bytes = 0;
    cr_assert_eq(http_get(bench->http, &request, &other_exchange), 0);
    while (!other->data_calls)
        cr_assert_eq(loop_run_once(bench->loop, UINT64_MAX), 0);
    request.arg = &bench->outcome;
    bench->outcome.cancel = &other_exchange;
    bench->outcome.abort_after = 1;
    cr_assert_eq(http_get(bench->http, &request, NULL), 0);
    run_until_done(bench, 1);
    cr_assert_eq(bench->outcome.result.outcome, HTTP_ABORTED);
    run_for(bench, 50 * NS_PER_MS);
    cr_assert_eq(other->done, 0);
    bench_free(bench);
    free(other);
}

HTTP_TEST(cancel_at_any_moment_is_silent)
{
    unsigned pause_ms = 5;
    struct bench *bench = bench_new(serve_drip, &pause_ms);
    struct http_request request = request_to(bench);

    for (unsigned turns = 0; turns < 12; turns++) {
        struct http_exchange *exchange;

        cr_assert_eq(http_get(bench->http, &request, &exchange), 0);
        for (unsigned i = 0; i < turns; i++)
            cr_assert_eq(loop_run_once(bench->loop, clock_boot_ns() + 10 * NS_PER_MS), 0);
        http_cancel(exchange);
    }
    http_cancel(NULL);
    run_for(bench, 50 * NS_PER_MS);
    cr_assert_eq(bench->outcome.done, 0);
    bench_free(bench);
}

HTTP_TEST(free_with_requests_under_way_is_silent)
{
    unsigned pause_ms = 5;
    struct bench *bench = bench_new(serve_drip, &pause_ms);
    struct http_request request = request_to(bench);

    for (int i = 0; i < 6; i++)
        cr_assert_eq(http_get(bench->http, &request, NULL), 0);
    run_for(bench, 30 * NS_PER_MS);
    cr_assert_eq(http_get(bench->http, &request, NULL), 0);
    bench->http = http_free(bench->http);
    run_for(bench, 30 * NS_PER_MS);
    cr_assert_eq(bench->outcome.done, 0);
    bench_free(bench);
}

static unsigned open_fds(void)
{
    CLEANUP_DIR DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(dir))
        count++;
    return count;
}

HTTP_TEST(many_broken_connections_leave_no_fd_behind)
{
    struct sin sin = {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", true};
    struct bench *bench = bench_new(serve_sin, &sin);
    struct http_request request = request_to(bench);
    unsigned before = open_fds();

    for (int i = 0; i < 50; i++)
        cr_assert_eq(fetch(bench, &request)->outcome, HTTP_BROKEN);
    bench->server = http_server_stop(bench->server);
    cr_assert_leq(open_fds(), before);
    bench_free(bench);
}

/* ---- names ---- */

HTTP_TEST(localhost_needs_no_resolver)
{
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);
    char url[64];

    (void)snprintf(url, sizeof(url), "http://localhost:%d/", http_server_port(bench->server));
    request.url = url;
    cr_assert_eq(fetch(bench, &request)->status, 200, "%s", bench->outcome.text);
    bench_free(bench);
}

HTTP_TEST(unknown_name_fails_without_stopping_the_loop)
{
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);

    request.url = "http://no-such-host.invalid/pods";
    request.connect_timeout_ns = request.overall_timeout_ns = 500 * NS_PER_MS;
    (void)fetch(bench, &request);
    cr_assert(
        bench->outcome.result.outcome == HTTP_NO_ADDRESS || bench->outcome.result.outcome == HTTP_TIMED_OUT,
        "%s", bench->outcome.text);
    bench_free(bench);
}

/* ---- the token ---- */

HTTP_TEST(token_is_read_at_each_request)
{
    char seen[2048] = "", path[128];
    struct bench *bench = bench_new(serve_hello, seen);
    struct http_request request = request_to(bench);

    write_file(bench, "token", "first.token\r\n", path);
    request.token_file = path;
    cr_assert_eq(fetch(bench, &request)->status, 200);
    cr_assert(strstr(seen, "\r\nAuthorization: Bearer first.token\r\n"), "%s", seen);
    write_file(bench, "token", "  second-token\n\n", path);
    cr_assert_eq(fetch(bench, &request)->status, 200);
    cr_assert(strstr(seen, "\r\nAuthorization: Bearer second-token\r\n"), "%s", seen);
    cr_assert_eq(http_server_connections(bench->server), 1);
    bench_free(bench);
}

HTTP_TEST(bad_token_files_are_refused_without_a_connection)
{
    static const char *const contents[] = {
        "", "\n", "two\nlines", "secret\r\nX-Injected: 1", "with blank", "\x01"};
    CLEANUP_FREE char *large = calloc(1, 20001);
    char path[128];
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);

    request.token_file = path;
    for (size_t i = 0; i < sizeof(contents) / sizeof(*contents); i++) {
        write_file(bench, "token", contents[i], path);
        cr_assert_eq(fetch(bench, &request)->outcome, HTTP_BAD_CREDENTIAL, "%zu", i);
        cr_assert(strstr(bench->outcome.text, path));
        cr_assert_not(strstr(bench->outcome.text, "secret"), "N6");
    }
    memset(large, 'x', 20000);
    write_file(bench, "token", large, path);
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_BAD_CREDENTIAL);
    cr_assert(strstr(bench->outcome.text, "larger than any token"));
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_BAD_CREDENTIAL);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(fetch(bench, &request)->outcome, HTTP_BAD_CREDENTIAL);
    cr_assert_eq(http_server_connections(bench->server), 0);
    bench_free(bench);
}

static bool serve_token_back(void *arg, struct http_server_connection *connection, const char *head)
{
    const char *from = strstr(head, "Authorization: "), *token = from ? from + 22 : "";
    char body[256];

    (void)arg;
    (void)snprintf(body, sizeof(body), "no %.*s for you, %.9s", (int)strcspn(token, "\r"), token,
        strcspn(token, "\r") > 8 ? token + 4 : "t");
    return http_server_answer(connection, "500 Oh", "", body, strlen(body));
}

HTTP_TEST(token_that_a_server_says_back_is_not_shown)
{
    struct bench *bench = bench_new(serve_token_back, NULL);
    struct http_request request = request_to(bench);

    request.token = "eyJhbGciOi.very-secret";
    cr_assert_eq(fetch(bench, &request)->status, 500);
    cr_assert_str_eq(bench->outcome.text, "no ********************** for you, *********");
    request.token = "short";
    cr_assert_eq(fetch(bench, &request)->status, 500);
    cr_assert_str_eq(bench->outcome.text, "no ***** for you, t");
    bench_free(bench);
}

HTTP_TEST(token_over_plain_http_goes_to_loopback_only)
{
    static const char *const refused[] = {"http://192.0.2.1:10255/pods", "http://0.0.0.0:1/",
        "http://127.0.0.1.example/", "http://[::2]:1/", "http://[::ffff:192.0.2.1]/",
        "http://localhost.example/"};
    static const char *const allowed[] = {"http://127.0.0.1:1/", "http://127.9.9.9:1/", "http://[::1]:1/",
        "http://localhost:1/", "http://127.1:1/"};
    char path[128];
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);

    write_file(bench, "token", "secret", path);
    request.token_file = path;
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        request.url = refused[i];
        cr_assert_eq(fetch(bench, &request)->outcome, HTTP_REFUSED, "%s", refused[i]);
        cr_assert(strstr(bench->outcome.text, "plain http"));
    }
    for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++) {
        request.url = allowed[i];
        cr_assert_neq(fetch(bench, &request)->outcome, HTTP_REFUSED, "%s", allowed[i]);
    }
    bench_free(bench);
}

HTTP_TEST(other_schemes_and_users_in_urls_are_refused)
{
    static const char *const urls[] = {"ftp://127.0.0.1/", "file:///etc/passwd",
        "http://user:pass@127.0.0.1/", "", "http://", "no url at all"};
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);

    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        request.url = urls[i];
        cr_assert_eq(fetch(bench, &request)->outcome, HTTP_REFUSED, "%s", urls[i]);
    }
    bench_free(bench);
}

Test(http, url_join_adds_path_and_port)
{
    static const char *const cases[][2] = {
        {"https://127.0.0.1:10250", "https://127.0.0.1:10250/pods"},
        {"https://127.0.0.1", "https://127.0.0.1:1/pods"},
        {"http://node/", "http://node:2/pods"},
        {"https://[::1]:5/proxy//", "https://[::1]:5/proxy/pods"},
    };
    static const char *const bad[] = {"ftp://a", "https://a?b=c", "https://a#b", "https://u@a", "a b", ""};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP_FREE char *url = NULL;

        cr_assert_eq(http_url_join(cases[i][0], "/pods", 1, 2, &url), 0);
        cr_assert_str_eq(url, cases[i][1]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char *url = NULL;

        cr_assert_eq(http_url_join(bad[i], "/pods", 1, 2, &url), -EINVAL, "%s", bad[i]);
        cr_assert_null(url);
    }
}

/* ---- TLS ---- */

struct tls_bench {
    struct bench *bench;
    struct http_request request;
    char paths[8][128];
};

static char *tls_path(struct tls_bench *tls, int slot, const char *name)
{
    (void)snprintf(tls->paths[slot], sizeof(tls->paths[slot]), "%s/%s", tls->bench->directory, name);
    return tls->paths[slot];
}

static struct tls_bench tls_bench_new(const char *identity, bool client_certificate)
{
    struct tls_bench tls = {.bench = bench_new_with(NULL)};
    struct http_server_options options = {.fn = serve_hello};
    char name[32];

    cr_assert_eq(certificates_make(tls.bench->directory), 0);
    (void)snprintf(name, sizeof(name), "%s.pem", identity);
    options.cert = tls_path(&tls, 5, name);
    (void)snprintf(name, sizeof(name), "%s.key", identity);
    options.key = tls_path(&tls, 6, name);
    if (client_certificate)
        options.client_ca = tls_path(&tls, 7, "ca.pem");
    tls.bench->server = http_server_start(&options);
    cr_assert(tls.bench->server);
    (void)snprintf(tls.bench->url, sizeof(tls.bench->url), "https://127.0.0.1:%d/pods",
        http_server_port(tls.bench->server));
    tls.request = request_to(tls.bench);
    return tls;
}

/* The paths were those of the struct that was returned by value. */
static void tls_trust(struct tls_bench *tls, const char *ca)
{
    tls->request.ca_file = tls_path(tls, 0, ca);
}

HTTP_TEST(tls_right_authority_is_trusted)
{
    struct tls_bench tls = tls_bench_new("server", false);

    tls_trust(&tls, "ca.pem");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_ANSWERED, "%s", tls.bench->outcome.text);
    cr_assert_str_eq(tls.bench->outcome.body, "hello");
    bench_free(tls.bench);
}

HTTP_TEST(tls_wrong_authority_wrong_name_or_none_is_not_trusted)
{
    struct tls_bench tls = tls_bench_new("server", false);

    tls_trust(&tls, "other-ca.pem");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_NOT_TRUSTED, "%s", tls.bench->outcome.text);
    tls.request.ca_file = NULL;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_NOT_TRUSTED, "%s", tls.bench->outcome.text);
    bench_free(tls.bench);
    tls = tls_bench_new("elsewhere", false);
    tls_trust(&tls, "ca.pem");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_NOT_TRUSTED, "%s", tls.bench->outcome.text);
    tls.request.insecure = true;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_ANSWERED, "%s", tls.bench->outcome.text);
    bench_free(tls.bench);
}

HTTP_TEST(insecure_connection_is_not_reused_for_a_verified_request)
{
    struct tls_bench tls = tls_bench_new("server", false);

    tls.request.insecure = true;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_ANSWERED);
    tls.request.insecure = false;
    tls_trust(&tls, "other-ca.pem");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_NOT_TRUSTED);
    bench_free(tls.bench);
}

HTTP_TEST(replaced_authority_file_counts_at_the_next_connection)
{
    struct tls_bench tls = tls_bench_new("server", false);

    tls_trust(&tls, "ca.pem");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_ANSWERED);
    cr_assert_eq(rename(tls_path(&tls, 1, "other-ca.pem"), tls.request.ca_file), 0);
    tls.request.fresh = true;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_NOT_TRUSTED);
    bench_free(tls.bench);
}

HTTP_TEST(tls_client_certificate_is_shown)
{
    struct tls_bench tls = tls_bench_new("server", true);

    tls_trust(&tls, "ca.pem");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_TLS_FAILED, "%s", tls.bench->outcome.text);
    tls.request.client_cert = tls_path(&tls, 1, "stranger.pem");
    tls.request.client_key = tls_path(&tls, 2, "stranger.key");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_TLS_FAILED, "%s", tls.bench->outcome.text);
    tls.request.client_cert = tls_path(&tls, 1, "client.pem");
    tls.request.client_key = tls_path(&tls, 2, "client.key");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_ANSWERED, "%s", tls.bench->outcome.text);
    tls.request.client_cert = tls_path(&tls, 1, "client-bundle.pem");
    tls.request.client_key = NULL;
    tls.request.fresh = true;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_ANSWERED, "%s", tls.bench->outcome.text);
    bench_free(tls.bench);
}

HTTP_TEST(unusable_certificate_files_are_a_bad_credential)
{
    struct tls_bench tls = tls_bench_new("server", false);
    char garbage[128];

    tls.request.ca_file = "/nonexistent/ca.pem";
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_BAD_CREDENTIAL);
    cr_assert(strstr(tls.bench->outcome.text, "CA file /nonexistent/ca.pem: No such file"));
    write_file(tls.bench, "garbage", "-----BEGIN NONSENSE-----\n", garbage);
    tls.request.ca_file = garbage;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_BAD_CREDENTIAL, "%s", tls.bench->outcome.text);
    tls_trust(&tls, "ca.pem");
    tls.request.client_cert = garbage;
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_BAD_CREDENTIAL, "%s", tls.bench->outcome.text);
    tls.request.client_cert = tls_path(&tls, 1, "client.pem");
    tls.request.client_key = tls_path(&tls, 2, "stranger.key");
    cr_assert_eq(fetch(tls.bench, &tls.request)->outcome, HTTP_BAD_CREDENTIAL, "%s", tls.bench->outcome.text);
    bench_free(tls.bench);
}

HTTP_TEST(tls_to_a_plain_server_fails_as_tls)
{
    struct bench *bench = bench_new(serve_hello, NULL);
    struct http_request request = request_to(bench);
    char url[64];

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", http_server_port(bench->server));
    request.url = url;
    request.overall_timeout_ns = 500 * NS_PER_MS;
    (void)fetch(bench, &request);
    cr_assert(
        bench->outcome.result.outcome == HTTP_TLS_FAILED || bench->outcome.result.outcome == HTTP_TIMED_OUT,
        "%s", bench->outcome.text);
    bench_free(bench);
}
