/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_kubelet.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "enricher/http.h"
#include "enricher/loop.h"
#include "tests/support/certificates.h"
#include "tests/support/http_server.h"

/* What the server answers next: bytes as they go over the wire. Shared with its threads. */
struct script {
    pthread_mutex_t lock;
    const char *say; /* all of it */
    size_t size;
    size_t pause_at; /* after so many bytes … */
    unsigned pause_ms;
    bool close_after;
    const char *token; /* NULL: any */
    _Atomic unsigned requests;
    uint64_t request_ns[64];
};

struct bench {
    struct loop *loop;
    struct http *http;
    struct pod_table *table;
    struct source *source;
    struct http_server *server;
    struct script script;
    struct source_kubelet_params params;
    struct source_tls tls;
    char directory[64], url[64], token_file[128], ca_file[128];
    unsigned changes;
    uint64_t first_change_ns;
    bool ask_on_change;
    char *bodies[8]; /* what script_body() made */
    size_t body_count;
};

/* Paths under tests/fixtures/kubernetes. */
static char *read_fixture(const char *name, size_t *ret_size)
{
    const char *root = getenv("PODKIN_SOURCE_ROOT");
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FILE FILE *file = NULL;
    char *data = calloc(1, 1 << 17);

    cr_assert_gt(asprintf(&path, "%s/tests/fixtures/kubernetes/%s", root ? root : ".", name), 0);
    file = fopen(path, "re");
    cr_assert(file, "%s", path);
    *ret_size = fread(data, 1, (1 << 17) - 1, file);
    return data;
}

static bool serve(void *arg, struct http_server_connection *connection, const char *head)
{
    struct script *script = arg;
    const char *say;
    char bearer[128];
    size_t size, pause_at;
    unsigned pause_ms;
    bool keep, allowed;

    (void)pthread_mutex_lock(&script->lock);
    if (script->requests < 64)
        script->request_ns[script->requests] = clock_boot_ns();
    say = script->say;
    size = script->size;
    pause_at = script->pause_at;
    pause_ms = script->pause_ms;
    keep = !script->close_after;
    (void)snprintf(bearer, sizeof(bearer), "\r\nAuthorization: Bearer %s\r\n", script->token);
    allowed = strstr(head, "GET /pods HTTP/1.1\r\n") && (!script->token || strstr(head, bearer));
    script->requests++;
    (void)pthread_mutex_unlock(&script->lock);
    if (!allowed)
        return http_server_answer(connection, "401 Unauthorized", "", "Unauthorized", 12);
    if (pause_ms &&
        (!http_server_write(connection, say, pause_at) || !http_server_sleep_ms(connection, pause_ms)))
        return false;
    if (pause_ms) {
        say += pause_at;
        size -= pause_at;
    }
    return http_server_write(connection, say, size) && keep;
}

static void script_bytes(struct bench *bench, const char *say, size_t size)
{
    (void)pthread_mutex_lock(&bench->script.lock);
    bench->script.say = say;
    bench->script.size = size;
    (void)pthread_mutex_unlock(&bench->script.lock);
}

/* A body in an answer with status 200. */
static void script_body(struct bench *bench, const char *body)
{
    char *answer = NULL;

    cr_assert_lt(bench->body_count, 8);
    cr_assert_gt(
        asprintf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body), 0);
    bench->bodies[bench->body_count++] = answer;
    script_bytes(bench, answer, strlen(answer));
}

#define POD(name)                                                                                            \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"uid\":\"uid-" name                          \
    "\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]},\"status\":{}}"
#define LIST(items) "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[" items "]}\n"

static void on_changed(void *arg, struct pod *pod)
{
    struct bench *bench = arg;

    (void)pod;
    if (!bench->changes++)
        bench->first_change_ns = clock_boot_ns();
    if (bench->ask_on_change)
        bench->source->ops->ask(bench->source);
}

static struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    cr_assert(bench);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_mutex_init(&bench->script.lock, NULL);
    strcpy(bench->directory, "/tmp/podkin-kubelet.XXXXXX");
    cr_assert(mkdtemp(bench->directory));
    (void)snprintf(bench->token_file, sizeof(bench->token_file), "%s/token", bench->directory);
    (void)snprintf(bench->ca_file, sizeof(bench->ca_file), "%s/ca.pem", bench->directory);
    source_kubelet_default_params(&bench->params);
    bench->params.min_interval_ns = 50 * NS_PER_MS;
    bench->params.retry = (struct retry_policy){.first_ns = 40 * NS_PER_MS, .max_ns = 200 * NS_PER_MS};
    cr_assert_eq(loop_new(&bench->loop, LOOP_AUTO, NULL), 0);
    cr_assert_eq(http_new(&bench->http, bench->loop), 0);
    cr_assert_eq(pod_table_new(&bench->table, NULL, on_changed, bench), 0);
    script_body(bench, LIST(POD("a") "," POD("b")));
    return bench;
}

static void serve_on(struct bench *bench, int port, const char *identity)
{
    struct http_server_options options = {.fn = serve, .arg = &bench->script, .port = port};
    char cert[128], key[128];

    if (identity) {
        cr_assert_eq(certificates_make(bench->directory), 0);
        (void)snprintf(cert, sizeof(cert), "%s/%s.pem", bench->directory, identity);
        (void)snprintf(key, sizeof(key), "%s/%s.key", bench->directory, identity);
        options.cert = cert;
        options.key = key;
    }
    bench->server = http_server_start(&options);
    cr_assert(bench->server);
    (void)snprintf(bench->url, sizeof(bench->url), "%s://127.0.0.1:%d", identity ? "https" : "http",
        http_server_port(bench->server));
}

static void source_start(struct bench *bench)
{
    cr_assert_eq(source_kubelet_new_with(&bench->source, bench->loop, bench->http, bench->table, bench->url,
                     &bench->tls, &bench->params),
        0);
}

/* The usual: plain http and a source that has not asked yet. */
static struct bench *bench_start(void)
{
    struct bench *bench = bench_new();

    serve_on(bench, 0, NULL);
    source_start(bench);
    return bench;
}

static void bench_free(struct bench *bench)
{
    char command[128];

    bench->source = bench->source->ops->free(bench->source);
    cr_assert_null(bench->source);
    http_free(bench->http);
    pod_table_free(bench->table);
    loop_free(bench->loop);
    http_server_stop(bench->server);
    for (size_t i = 0; i < bench->body_count; i++)
        free(bench->bodies[i]);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->directory);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) a path of our own */
    free(bench);
}

static struct source_state state_of(struct bench *bench)
{
    struct source_state state;

    bench->source->ops->get_state(bench->source, &state);
    return state;
}

static void turn(struct bench *bench, uint64_t until_ns)
{
    cr_assert_eq(loop_run_once(bench->loop, until_ns), 0);
}

static void run_for(struct bench *bench, uint64_t ns)
{
    uint64_t deadline = clock_boot_ns() + ns;

    while (clock_boot_ns() < deadline)
        turn(bench, deadline);
}

/* Until the attempt after `state` has ended. */
static struct source_state run_one(struct bench *bench, const struct source_state *before)
{
    uint64_t deadline = clock_boot_ns() + 10 * NS_PER_SEC;
    struct source_state state = state_of(bench);

    while (state.failures == before->failures && state.last_success_ns == before->last_success_ns) {
        cr_assert_lt(clock_boot_ns(), deadline);
        turn(bench, deadline);
        state = state_of(bench);
    }
    return state;
}

static struct source_state run_first(struct bench *bench)
{
    struct source_state none = {0};

    return run_one(bench, &none);
}

static void write_token(struct bench *bench, const char *token)
{
    CLEANUP_FILE FILE *file = fopen(bench->token_file, "we");

    cr_assert(file);
    (void)fputs(token, file);
}

/* ---- good answers ---- */

Test(source_kubelet, recorded_list_fills_the_table)
{
    struct bench *bench = bench_start();
    struct source_state state;
    size_t size;
    CLEANUP_FREE char *body = read_fixture("10-kubelet-200-nodespods.json", &size);
    struct pod *pod;

    script_body(bench, body);
    cr_assert_not(state_of(bench).ready);
    state = run_first(bench);
    cr_assert(state.ready);
    cr_assert_str_eq(state.last_error, "");
    cr_assert_str_eq(state.where, bench->url);
    cr_assert_eq(state.kind, POD_SOURCE_KUBELET);
    cr_assert_eq(state.failures, 0);
    cr_assert_gt(state.pods_seen, 5);
    cr_assert_eq(state.pods_seen, pod_table_count(bench->table));
    pod = pod_table_find(bench->table, "c71ea8cd-f6ad-4905-a147-ea6111352f67");
    cr_assert(pod);
    cr_assert_str_eq(pod->name, "web-7c59747c75-swkc9");
    cr_assert_eq(pod->best_source, POD_SOURCE_KUBELET);
    cr_assert(pod->complete);
    bench_free(bench);
}

/* On the wire as the kubelet sent it: over TLS to an account with rights on nodes/pods alone, and in plain to anybody on
 * the read-only port. */
static void assert_recording_fills_the_table(const char *fixture, bool tls)
{
    struct bench *bench = bench_new();
    size_t size;
    CLEANUP_FREE char *answer = read_fixture(fixture, &size);

    script_bytes(bench, answer, size);
    serve_on(bench, 0, tls ? "server" : NULL);
    if (tls) {
        bench->tls.ca_file = bench->ca_file;
        bench->tls.token_file = bench->token_file;
        bench->script.token = "t";
        write_token(bench, "t\n");
    }
    source_start(bench);
    cr_assert_str_eq(run_first(bench).last_error, "");
    cr_assert_eq(pod_table_count(bench->table), state_of(bench).pods_seen);
    cr_assert_geq(pod_table_count(bench->table), 8);
    cr_assert(pod_table_find(bench->table, "c71ea8cd-f6ad-4905-a147-ea6111352f67"));
    cr_assert_eq(bench->script.requests, 1);
    bench_free(bench);
}

Test(source_kubelet, recorded_answers_on_the_wire_fill_the_table)
{
    assert_recording_fills_the_table("10-kubelet-200-nodespods.resp", true);
    assert_recording_fills_the_table("10-kubelet-readonly-10255.resp", false);
}

Test(source_kubelet, thousand_waiters_cause_one_request)
{
    struct bench *bench = bench_start();
    struct source_state state = run_first(bench);

    run_for(bench, 60 * NS_PER_MS); /* the interval after the first */
    cr_assert_eq(bench->script.requests, 1);
    for (int i = 0; i < 1000; i++)
        bench->source->ops->ask(bench->source);
    state = run_one(bench, &state);
    cr_assert_str_eq(state.last_error, "");
    run_for(bench, 100 * NS_PER_MS);
    cr_assert_eq(bench->script.requests, 2, "K1");
    bench_free(bench);
}

Test(source_kubelet, pod_is_known_before_its_list_has_ended)
{
    struct bench *bench = bench_start();
    struct source_state state;

    bench->script.pause_at = 300;
    bench->script.pause_ms = 300;
    state = run_first(bench);
    cr_assert_gt(state.last_success_ns, bench->first_change_ns + 200 * NS_PER_MS);
    cr_assert_gt(state.last_request_ns, 0);
    cr_assert_lt(state.last_request_ns, bench->first_change_ns);
    cr_assert_eq(pod_table_count(bench->table), 2);
    bench_free(bench);
}

Test(source_kubelet, pod_that_left_the_list_is_deleted)
{
    struct bench *bench = bench_start();
    struct source_state state = run_first(bench);

    script_body(bench, LIST(POD("b")));
    bench->source->ops->ask(bench->source);
    state = run_one(bench, &state);
    cr_assert_eq(state.pods_seen, 1);
    cr_assert_neq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0);
    cr_assert_eq(pod_table_find(bench->table, "uid-b")->deleted_ns, 0);
    bench_free(bench);
}

/* ---- when it asks ---- */

Test(source_kubelet, asks_are_coalesced_and_kept_apart)
{
    struct bench *bench = bench_start();
    uint64_t deadline = clock_boot_ns() + 500 * NS_PER_MS;

    while (clock_boot_ns() < deadline) {
        for (int i = 0; i < 100; i++)
            bench->source->ops->ask(bench->source);
        turn(bench, clock_boot_ns() + NS_PER_MS);
    }
    cr_assert_geq(bench->script.requests, 3);
    cr_assert_leq(bench->script.requests, 11, "K2: %u", bench->script.requests);
    cr_assert_eq(http_server_connections(bench->server), 1);
    bench_free(bench);
}

Test(source_kubelet, asks_during_a_request_cause_exactly_one_more)
{
    struct bench *bench = bench_start();

    bench->script.pause_at = 10;
    bench->script.pause_ms = 100;
    bench->ask_on_change = true; /* from inside the answer, too */
    while (!bench->script.requests)
        turn(bench, clock_boot_ns() + 10 * NS_PER_MS);
    for (int i = 0; i < 10; i++)
        bench->source->ops->ask(bench->source);
    cr_assert_eq(bench->script.requests, 1);
    run_for(bench, 600 * NS_PER_MS);
    cr_assert_eq(bench->script.requests, 2, "K1: %u", bench->script.requests);
    bench_free(bench);
}

Test(source_kubelet, refreshes_unasked)
{
    struct bench *bench = bench_new();

    bench->params.refresh_ns = 60 * NS_PER_MS;
    serve_on(bench, 0, NULL);
    source_start(bench);
    run_for(bench, 500 * NS_PER_MS);
    cr_assert_geq(bench->script.requests, 4);
    cr_assert_leq(bench->script.requests, 11);
    bench_free(bench);
}

Test(source_kubelet, silent_when_nothing_is_asked)
{
    struct bench *bench = bench_start();

    cr_assert_str_eq(run_first(bench).last_error, "");
    run_for(bench, 300 * NS_PER_MS);
    cr_assert_eq(bench->script.requests, 1);
    bench_free(bench);
}

Test(source_kubelet, failures_back_off_whoever_asks)
{
    static const char failure[] = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
    struct bench *bench = bench_start();
    uint64_t deadline = clock_boot_ns() + 900 * NS_PER_MS;
    unsigned requests;

    script_bytes(bench, failure, sizeof(failure) - 1);
    while (clock_boot_ns() < deadline) {
        bench->source->ops->ask(bench->source);
        turn(bench, clock_boot_ns() + NS_PER_MS);
    }
    requests = bench->script.requests;
    cr_assert_leq(requests, 13, "K3: %u", requests); /* 20 + 40 + 80 + 100 … */
    cr_assert_geq(requests, 4);
    cr_assert_geq(state_of(bench).requests, requests);
    cr_assert_leq(state_of(bench).requests, requests + 1, "one may be on its way");
    bench_free(bench);
}

Test(source_kubelet, retry_after_is_obeyed)
{
    static const char busy[] =
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy";
    struct bench *bench = bench_start();
    struct source_state state;

    script_bytes(bench, busy, sizeof(busy) - 1);
    state = run_first(bench);
    cr_assert(strstr(state.last_error, "429"), "%s", state.last_error);
    cr_assert(strstr(state.last_error, "busy"), "%s", state.last_error);
    script_body(bench, LIST(POD("a")));
    bench->source->ops->ask(bench->source);
    state = run_one(bench, &state);
    cr_assert_str_eq(state.last_error, "");
    cr_assert_geq(bench->script.request_ns[1] - bench->script.request_ns[0], 990 * NS_PER_MS);
    bench_free(bench);
}

Test(source_kubelet, enormous_retry_after_is_not_believed)
{
    static const char busy[] =
        "HTTP/1.1 503 Later\r\nRetry-After: 18446744073709551615\r\nContent-Length: 0\r\n\r\n";
    struct bench *bench = bench_new();
    struct source_state state;

    bench->params.retry_after_max_ns = NS_PER_SEC;
    serve_on(bench, 0, NULL);
    source_start(bench);
    script_bytes(bench, busy, sizeof(busy) - 1);
    state = run_first(bench);
    script_body(bench, LIST(""));
    state = run_one(bench, &state);
    cr_assert_str_eq(state.last_error, "");
    cr_assert_eq(state.pods_seen, 0);
    bench_free(bench);
}

/* ---- broken answers ---- */

/* Two Pods are known, then `say` comes: none may be gone, and the error says this. */
static void assert_list_survives(const char *say, size_t size, bool close_after, const char *error)
{
    struct bench *bench = bench_start();
    struct source_state state = run_first(bench);

    script_bytes(bench, say, size);
    bench->script.close_after = close_after;
    bench->source->ops->ask(bench->source);
    state = run_one(bench, &state);
    cr_assert_eq(state.failures, 1, "%s", say);
    cr_assert(strstr(state.last_error, error), "%s: %s", error, state.last_error);
    cr_assert_eq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0, "K4");
    cr_assert_eq(pod_table_find(bench->table, "uid-b")->deleted_ns, 0, "K4");
    bench->script.close_after = false;
    script_body(bench, LIST(POD("b")));
    state = run_one(bench, &state);
    cr_assert_str_eq(state.last_error, "");
    cr_assert_neq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0);
    bench_free(bench);
}

#define SURVIVES(say, close_after, error) assert_list_survives(say, sizeof(say) - 1, close_after, error)

Test(source_kubelet, broken_answers_remove_no_pod)
{
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"kind\":\"PodList\",\"items\":[" POD("b") ",",
        true, "transfer closed");
    SURVIVES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n", true, "");
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "empty");
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "not a PodList: ");
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"items\": [x", false, "not a PodList: ");
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"items\":[]", false, "not a PodList: ");
    SURVIVES("HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad", false, "HTTP status 500: bad");
    SURVIVES("HTTP/1.1 204 Nothing\r\n\r\n", false, "HTTP status 204");
    SURVIVES("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", false, "HTTP status 302");
    SURVIVES("what?", true, "HTTP/0.9");
}

Test(source_kubelet, too_large_a_list_is_given_up)
{
    struct bench *bench = bench_new();
    struct source_state state;

    bench->params.max_bytes = 100;
    serve_on(bench, 0, NULL);
    source_start(bench);
    state = run_first(bench);
    cr_assert_str_eq(state.last_error, "the answer is larger than the limit of 100 bytes");
    bench_free(bench);
}

Test(source_kubelet, silent_server_is_given_up)
{
    struct bench *bench = bench_new();
    struct source_state state;

    bench->params.idle_timeout_ns = 100 * NS_PER_MS;
    bench->script.pause_at = 100;
    bench->script.pause_ms = 5000;
    serve_on(bench, 0, NULL);
    source_start(bench);
    state = run_first(bench);
    cr_assert_str_eq(state.last_error, "the server went silent");
    bench_free(bench);
}

/* ---- what the operator is told ---- */

static void assert_told(const char *fixture, const char *error)
{
    struct bench *bench = bench_start();
    size_t size;
    CLEANUP_FREE char *answer = read_fixture(fixture, &size);
    struct source_state state;

    script_bytes(bench, answer, size);
    state = run_first(bench);
    cr_assert(state.ready);
    cr_assert(strstr(state.last_error, error), "%s", state.last_error);
    cr_assert_eq(state.last_success_ns, 0);
    bench_free(bench);
}

Test(source_kubelet, refusals_of_a_real_kubelet_say_what_to_do)
{
    assert_told("10-kubelet-401-noauth.resp", "401: the kubelet wants credentials: --token-file");
    assert_told("10-kubelet-403-noperm.resp", "403: the account needs get on nodes/proxy or nodes/pods: "
                                              "Forbidden (user=system:serviceaccount:agent:noperm");
    assert_told("10-kubelet-401-badtoken.resp", "401: the kubelet wants credentials: --token-file");
    assert_told(
        "10-kubelet-403-metrics-agent.resp", "403: the account needs get on nodes/proxy or nodes/pods");
    assert_told("10-kubelet-404.resp", "404: no /pods there");
}

Test(source_kubelet, rotated_token_is_taken_up)
{
    struct bench *bench = bench_new();
    struct source_state state;

    bench->tls.token_file = bench->token_file;
    bench->script.token = "new";
    serve_on(bench, 0, NULL);
    source_start(bench);
    state = run_first(bench);
    cr_assert(strstr(state.last_error, "/token: No such file"), "%s", state.last_error);
    write_token(bench, "old\n");
    state = run_one(bench, &state);
    cr_assert(strstr(state.last_error, "the token is not accepted: --token-file"), "%s", state.last_error);
    write_token(bench, "new\n");
    do {
        state = run_one(bench, &state);
    } while (state.last_error[0] && state.failures < 5);
    cr_assert_str_eq(state.last_error, "");
    cr_assert_eq(state.pods_seen, 2);
    bench_free(bench);
}

Test(source_kubelet, server_away_then_back)
{
    struct bench *bench = bench_start();
    struct source_state state = run_first(bench);
    int port = http_server_port(bench->server);
    unsigned turns = 0;

    bench->server = http_server_stop(bench->server);
    bench->source->ops->ask(bench->source);
    state = run_one(bench, &state);
    state = run_one(bench, &state);
    cr_assert(strstr(state.last_error, "does the kubelet listen there?"), "%s", state.last_error);
    cr_assert_eq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0);
    serve_on(bench, port, NULL);
    while (state.last_error[0] && turns++ < 10)
        state = run_one(bench, &state);
    cr_assert_str_eq(state.last_error, "");
    bench_free(bench);
}

Test(source_kubelet, untrusted_certificate_names_the_options)
{
    struct bench *bench = bench_new();
    struct source_state state;

    serve_on(bench, 0, "elsewhere");
    bench->tls.ca_file = bench->ca_file;
    source_start(bench);
    state = run_first(bench);
    cr_assert(strstr(state.last_error, "--ca-file, or --insecure-skip-tls-verify"), "%s", state.last_error);
    bench_free(bench);
}

Test(source_kubelet, trusted_certificate_and_token_over_tls)
{
    struct bench *bench = bench_new();
    struct source_state state;

    serve_on(bench, 0, "server");
    bench->tls.ca_file = bench->ca_file;
    bench->tls.token_file = bench->token_file;
    bench->script.token = "t";
    write_token(bench, "t");
    source_start(bench);
    state = run_first(bench);
    cr_assert_str_eq(state.last_error, "");
    cr_assert_eq(pod_table_count(bench->table), 2);
    bench_free(bench);
}

Test(source_kubelet, bad_url_is_refused_at_once)
{
    static const char *const urls[] = {"", "127.0.0.1:10250x", "ftp://a", "https://u:p@h", "https://h/?q"};
    struct bench *bench = bench_start();
    struct source *source = NULL;

    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
        cr_assert_eq(source_kubelet_new(&source, bench->loop, bench->http, bench->table, urls[i], NULL),
            -EINVAL, "%s", urls[i]);
    cr_assert_null(source);
    bench_free(bench);
}

Test(source_kubelet, free_at_any_moment)
{
    for (unsigned turns = 0; turns < 10; turns++) {
        struct bench *bench = bench_start();

        bench->script.pause_at = 300;
        bench->script.pause_ms = 50;
        for (unsigned i = 0; i < turns; i++)
            turn(bench, clock_boot_ns() + 10 * NS_PER_MS);
        bench_free(bench);
    }
}
