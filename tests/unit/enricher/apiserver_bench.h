/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A source_apiserver against the stand-in server: a kubeconfig in a folder of its own, a Pod table, and a
 * loop whose time is the real one set forward: by itself to the next request while none is under way, by the
 * test over a silence, so that nobody waits for either and a slow machine changes nothing. Over TLS unless a test says otherwise; each turn of the loop has its CPU time taken.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "enricher/http.h"
#include "enricher/loop.h"
#include "enricher/source_apiserver_internal.h"
#include "tests/support/certificates.h"
#include "tests/support/http_server.h"

#define STEPS_MAX 16

/* What the server does at a request. */
struct step {
    const char *say;
    size_t size;
    enum { THEN_KEEP, THEN_CLOSE, THEN_RESET, THEN_HANG, THEN_GO_AWAY, THEN_RESET_STREAM } then;
};

/* What the next bench speaks. */
static bool bench_over_http2;

/* A test that runs over HTTP/1.1 and over HTTP/2. */
#define EITHER_HTTP_TEST(suite, name)                                                                        \
    static void name(void);                                                                                  \
    Test(suite, name)                                                                                        \
    {                                                                                                        \
        bench_over_http2 = false;                                                                            \
        name();                                                                                              \
    }                                                                                                        \
    Test(suite, name##_over_http2)                                                                           \
    {                                                                                                        \
        bench_over_http2 = true;                                                                             \
        name();                                                                                              \
    }                                                                                                        \
    static void name(void)

/* A turn takes about a millisecond; ten leave room for a slow machine, and hide no list that is parsed at once (90). */
#ifdef __SANITIZE_ADDRESS__
#define TURN_MAX_NS (100 * NS_PER_MS)
#else
#define TURN_MAX_NS (10 * NS_PER_MS)
#endif

struct bench {
    struct loop *loop;
    struct clock clock;
    _Atomic uint64_t skip_ns;
    struct http *http;
    struct pod_table *table;
    struct source *source;
    struct http_server *server;
    struct source_apiserver_params params;
    bool http2;
    char directory[64], kubeconfig[128];
    http_server_fn *serve; /* NULL: the steps */
    pthread_mutex_t lock;
    struct step steps[STEPS_MAX];                 /* one a request; after the last the server hangs */
    size_t step_count, piece;                     /* piece: bytes at a time, 0: all */
    _Atomic unsigned requests, refused, answered; /* answered: all that the step says is in the socket */
    char token[64];                               /* "": none is wanted, else any other gets 401 */
    char lines[STEPS_MAX][512];                   /* first line of each request */
    char *kept[STEPS_MAX];                        /* fixtures, to be freed */
    size_t kept_count;
    uint64_t slow_turns;      /* of more than TURN_MAX_NS */
    uint64_t longest_turn_ns; /* of the thread's CPU time: what waits, or another process, does not count */
    uint64_t turns;
    void (*changed)(struct bench *bench, struct pod *pod);
    void *model;
};

static inline uint64_t bench_now(void *arg)
{
    struct bench *bench = arg;

    return clock_boot_ns() + bench->skip_ns;
}

static inline char *bench_fixture(struct bench *bench, const char *name, size_t *ret_size)
{
    const char *root = getenv("PODKIN_SOURCE_ROOT");
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FILE FILE *file = NULL;
    char *data = calloc(1, 1 << 20);

    cr_assert_gt(asprintf(&path, "%s/tests/fixtures/kubernetes/%s", root ? root : ".", name), 0);
    file = fopen(path, "re");
    cr_assert(file, "%s", path);
    *ret_size = fread(data, 1, (1 << 20) - 1, file);
    cr_assert_lt(bench->kept_count, STEPS_MAX);
    bench->kept[bench->kept_count++] = data;
    return data;
}

static inline void bench_step(struct bench *bench, const char *say, size_t size, int then)
{
    (void)pthread_mutex_lock(&bench->lock);
    cr_assert_lt(bench->step_count, STEPS_MAX);
    bench->steps[bench->step_count].say = say;
    bench->steps[bench->step_count].size = size;
    bench->steps[bench->step_count++].then = then;
    (void)pthread_mutex_unlock(&bench->lock);
}

static inline void bench_step_fixture(struct bench *bench, const char *name, int then)
{
    size_t size;
    char *say = bench_fixture(bench, name, &size);

    bench_step(bench, say, size, then);
}

static inline bool bench_write_pieces(
    struct http_server_connection *connection, const char *say, size_t size, size_t piece)
{
    for (size_t at = 0; at < size; at += piece)
        if (!http_server_write(connection, say + at, size - at < piece ? size - at : piece))
            return false;
    return true;
}

static inline bool bench_serve(void *arg, struct http_server_connection *connection, const char *head)
{
    static const struct step silence = {"", 0, THEN_HANG};
    static const char refusal[] =
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 129\r\n\r\n"
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
        "\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n";
    struct bench *bench = arg;
    struct step step;
    char bearer[128];
    bool allowed;
    unsigned turn;

    (void)pthread_mutex_lock(&bench->lock);
    (void)snprintf(bearer, sizeof(bearer), "\r\nAuthorization: Bearer %s\r\n", bench->token);
    allowed = !*bench->token || strstr(head, bearer);
    turn = bench->requests;
    step = turn - bench->refused < bench->step_count ? bench->steps[turn - bench->refused] : silence;
    bench->refused += !allowed;
    if (turn < STEPS_MAX)
        (void)snprintf(
            bench->lines[turn], sizeof(bench->lines[turn]), "%.*s", (int)strcspn(head, "\r"), head);
    bench->requests++;
    (void)pthread_mutex_unlock(&bench->lock);
    if (bench->serve)
        return bench->serve(bench, connection, head);
    if (!allowed)
        return http_server_write(connection, refusal, sizeof(refusal) - 1);
    if (!bench_write_pieces(connection, step.say, step.size, bench->piece ? bench->piece : step.size + 1))
        return false;
    bench->answered++;
    if (step.then == THEN_HANG)
        (void)http_server_sleep_ms(connection, 3600000);
    if (step.then == THEN_RESET)
        http_server_reset(connection);
    if (step.then == THEN_GO_AWAY)
        (void)http_server_go_away(connection);
    if (step.then == THEN_RESET_STREAM)
        (void)(http_server_reset_stream(connection) && http_server_sleep_ms(connection, 3600000));
    return step.then == THEN_KEEP;
}

static inline void bench_on_changed(void *arg, struct pod *pod)
{
    struct bench *bench = arg;

    if (bench->changed)
        bench->changed(bench, pod);
}

static inline void bench_write(struct bench *bench, const char *name, const char *text)
{
    char path[192];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", bench->directory, name);
    file = fopen(path, "we");
    cr_assert(file, "%s", path);
    (void)fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

static inline void bench_write_kubeconfig(
    struct bench *bench, const char *scheme, const char *cluster, const char *user)
{
    char text[8192];

    (void)snprintf(text, sizeof(text),
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters:\n- name: k\n  "
        "cluster:\n"
        "    server: %s://127.0.0.1:%d\n%susers:\n- name: u\n  user: {}\n%s",
        scheme, bench->server ? http_server_port(bench->server) : 1, cluster, "");
    if (*user) {
        char *end = strstr(text, "  user: {}\n");

        (void)snprintf(end, sizeof(text) - (size_t)(end - text), "  user:\n%s", user);
    }
    bench_write(bench, "kubeconfig", text);
}

/* certificate, key: names in the folder, or NULL for plain http. client_ca: a client certificate is wanted.
 * */
static inline void bench_listen(struct bench *bench, const char *certificate, const char *client_ca, int port)
{
    struct http_server_options options = {
        .fn = bench_serve, .arg = bench, .port = port, .http2 = bench->http2};
    char cert[128], key[128], ca[128];

    (void)snprintf(cert, sizeof(cert), "%s/%s.pem", bench->directory, certificate ? certificate : "");
    (void)snprintf(key, sizeof(key), "%s/%s.key", bench->directory, certificate ? certificate : "");
    (void)snprintf(ca, sizeof(ca), "%s/%s.pem", bench->directory, client_ca ? client_ca : "");
    if (certificate) {
        options.cert = cert;
        options.key = key;
        options.client_ca = client_ca ? ca : NULL;
    }
    bench->server = http_server_start(&options);
    cr_assert(bench->server);
}

static inline struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    cr_assert(bench);
    bench->http2 = bench_over_http2;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_mutex_init(&bench->lock, NULL);
    strcpy(bench->directory, "/tmp/podkin-apiserver.XXXXXX");
    cr_assert(mkdtemp(bench->directory));
    (void)snprintf(bench->kubeconfig, sizeof(bench->kubeconfig), "%s/kubeconfig", bench->directory);
    bench->clock = (struct clock){.now = bench_now, .arg = bench};
    source_apiserver_default_params(&bench->params);
    bench->params.no_initial_events = true;
    cr_assert_eq(loop_new(&bench->loop, LOOP_AUTO, &bench->clock), 0);
    cr_assert_eq(http_new(&bench->http, bench->loop), 0);
    cr_assert_eq(pod_table_new(&bench->table, NULL, bench_on_changed, bench), 0);
    return bench;
}

static inline void bench_start_source(struct bench *bench)
{
    cr_assert_eq(source_apiserver_new_with(&bench->source, bench->loop, bench->http, bench->table,
                     bench->kubeconfig, "node1", false, &bench->params),
        0);
}

static inline void bench_start_plain(struct bench *bench)
{
    bench_listen(bench, NULL, NULL, 0);
    bench_write_kubeconfig(bench, "http", "", "");
    bench_start_source(bench);
}

/* No credential. */
static inline void bench_start(struct bench *bench)
{
    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_listen(bench, "server", NULL, 0);
    bench_write_kubeconfig(bench, "https", "    certificate-authority: ca.pem\n", "");
    bench_start_source(bench);
}

static inline void bench_free(struct bench *bench)
{
    static const char *const names[] = {"kubeconfig", "token", "ca.pem", "other-ca.pem", "server.pem",
        "server.key", "elsewhere.pem", "elsewhere.key", "client.pem", "client.key", "client-bundle.pem",
        "stranger.pem", "stranger.key", "expired.pem", "expired.key", "ca.crt", "new"};
    char path[192];

    if (bench->source)
        bench->source = bench->source->ops->free(bench->source);
    bench->http = http_free(bench->http);
    bench->table = pod_table_free(bench->table);
    bench->loop = loop_free(bench->loop);
    bench->server = http_server_stop(bench->server);
    for (size_t i = 0; i < bench->kept_count; i++)
        free(bench->kept[i]);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", bench->directory, names[i]);
        (void)unlink(path);
    }
    cr_assert_eq(rmdir(bench->directory), 0);
    (void)pthread_mutex_destroy(&bench->lock);
    free(bench);
}

static inline struct source_state bench_state(struct bench *bench)
{
    struct source_state state = {0};

    bench->source->ops->get_state(bench->source, &state);
    return state;
}

static inline uint64_t bench_cpu_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * NS_PER_SEC + (uint64_t)time.tv_nsec;
}

/* Between two requests time is set to the next. */
static inline void bench_skip_wait(struct bench *bench)
{
    const struct source_apiserver *api = (const struct source_apiserver *)bench->source;
    uint64_t now_ns = bench_now(bench);

    if (api && !api->exchange && api->timer.state == LOOP_TIMER_ARMED && api->timer.deadline_ns > now_ns)
        bench->skip_ns += api->timer.deadline_ns - now_ns;
}

static inline void bench_turn(struct bench *bench)
{
    uint64_t begin_ns, took_ns;

    bench_skip_wait(bench);
    begin_ns = bench_cpu_ns();
    cr_assert_eq(loop_run_once(bench->loop, 0), 0);
    took_ns = bench_cpu_ns() - begin_ns;
    bench->turns++;
    bench->slow_turns += took_ns > TURN_MAX_NS;
    if (took_ns > bench->longest_turn_ns)
        bench->longest_turn_ns = took_ns;
    (void)usleep(100);
}

/* Until the condition holds; ten real seconds at most. */
#define RUN_UNTIL(bench, condition)                                                                          \
    do {                                                                                                     \
        uint64_t deadline_ns = clock_boot_ns() + 10 * NS_PER_SEC;                                            \
        while (!(condition)) {                                                                               \
            cr_assert_lt(clock_boot_ns(), deadline_ns, "%s: %u requests, %s", #condition,                    \
                (unsigned)(bench)->requests, bench_state(bench).last_error);                                 \
            bench_turn(bench);                                                                               \
        }                                                                                                    \
    } while (0)

static inline bool bench_asked(struct bench *bench, unsigned request, const char *what)
{
    bool found;

    (void)pthread_mutex_lock(&bench->lock);
    found = request < bench->requests && strstr(bench->lines[request], what);
    (void)pthread_mutex_unlock(&bench->lock);
    return found;
}

#define POD(name, version)                                                                                   \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"uid\":\"uid-" name                          \
    "\",\"resourceVersion\":\"" version "\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(version)                                                                                    \
    EVENT("BOOKMARK", "{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"" version "\"}}")
#define INITIAL_END(version)                                                                                 \
    EVENT("BOOKMARK", "{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"" version                       \
                      "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}")
#define LIST_OF(version, items)                                                                              \
    "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" version               \
    "\"},\"items\":[" items "]}\n"
/* Until the connection is closed. */
#define OPEN_ENDED             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define SAY(bench, text, then) bench_step(bench, text, sizeof(text) - 1, then)
