/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are at an API server, over real TLS: the service account, tokens and client certificates that rotate while a
 * watch runs, and servers that are not who they should be. The stand-in looks at each request's token.
 */
#include "enricher/pod.h"
#include "tests/unit/enricher/apiserver_bench.h"

static bool lives(struct bench *bench, const char *uid)
{
    struct pod *pod = pod_table_find(bench->table, uid);

    return pod && !pod->deleted_ns;
}

/* As the kubelet and kubeadm do it: a new file in the old one's place. */
static void replace(struct bench *bench, const char *name, const char *text)
{
    char from[192], to[192];

    bench_write(bench, "new", text);
    (void)snprintf(from, sizeof(from), "%s/new", bench->directory);
    (void)snprintf(to, sizeof(to), "%s/%s", bench->directory, name);
    cr_assert_eq(rename(from, to), 0);
}

static void replace_by(struct bench *bench, const char *name, const char *by)
{
    char from[192], to[192];

    (void)snprintf(from, sizeof(from), "%s/%s", bench->directory, by);
    (void)snprintf(to, sizeof(to), "%s/%s", bench->directory, name);
    cr_assert_eq(rename(from, to), 0);
}

static void want_token(struct bench *bench, const char *token)
{
    (void)pthread_mutex_lock(&bench->lock);
    (void)snprintf(bench->token, sizeof(bench->token), "%s", token);
    (void)pthread_mutex_unlock(&bench->lock);
}

/* ---- the service account ---- */

EITHER_HTTP_TEST(apiserver_credentials, in_cluster_speaks_as_the_service_account)
{
    struct bench *bench = bench_new();
    char port[16];

    cr_assert_eq(certificates_make(bench->directory), 0);
    replace_by(bench, "ca.crt", "ca.pem");
    bench_write(bench, "token", "account.1\n");
    want_token(bench, "account.1");
    bench_listen(bench, "server", NULL, 0);
    (void)snprintf(port, sizeof(port), "%d", http_server_port(bench->server));
    cr_assert_eq(setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1), 0);
    cr_assert_eq(setenv("KUBERNETES_SERVICE_PORT", port, 1), 0);
    (void)snprintf(bench->kubeconfig, sizeof(bench->kubeconfig), "in-cluster");
    bench->params.service_account = bench->directory;
    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("a", "400")), THEN_HANG);
    bench_start_source(bench);
    RUN_UNTIL(bench, lives(bench, "uid-a"));
    cr_assert(lives(bench, "145f0c66-b877-40bc-80af-66a16a25ff1a"));
    cr_assert_eq(bench->refused, 0);
    cr_assert_eq(bench_state(bench).failures, 0);
    bench_free(bench);
}

/* ---- rotation ---- */

static void start_with_token(struct bench *bench, const char *token)
{
    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_write(bench, "token", token);
    want_token(bench, token);
    bench_listen(bench, "server", NULL, 0);
    bench_write_kubeconfig(bench, "https", "    certificate-authority: ca.pem\n", "    tokenFile: token\n");
    bench_start_source(bench);
}

EITHER_HTTP_TEST(apiserver_credentials, token_replaced_before_the_old_one_ends_costs_nothing)
{
    struct bench *bench = bench_new();

    SAY(bench, OPEN_ENDED LIST_OF("10", POD("a", "5")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("b", "11")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("c", "12")), THEN_HANG);
    start_with_token(bench, "first");
    RUN_UNTIL(bench, bench->requests == 2); /* the watch stands, as the old account */
    replace(bench, "token", "second\n");
    want_token(bench, "second");
    RUN_UNTIL(bench, lives(bench, "uid-c"));
    cr_assert(lives(bench, "uid-a") && lives(bench, "uid-b"));
    cr_assert(bench_asked(bench, 2, "&resourceVersion=11&watch=1"), "%s", bench->lines[2]);
    cr_assert_eq(bench->refused, 0);
    cr_assert_eq(bench_state(bench).failures, 0);
    bench_free(bench);
}

EITHER_HTTP_TEST(apiserver_credentials, token_that_ended_is_refused_and_the_next_resumes_where_it_was)
{
    struct bench *bench = bench_new();

    SAY(bench, OPEN_ENDED LIST_OF("10", POD("a", "5")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("b", "11")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("c", "12")), THEN_HANG);
    start_with_token(bench, "first");
    RUN_UNTIL(bench, bench->requests == 2);
    want_token(bench, "second");
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert_str_eq(
        bench_state(bench).last_error, "401: the token is not accepted: expired, or of another cluster?");
    cr_assert(lives(bench, "uid-a") && lives(bench, "uid-b"), "A1");
    replace(bench, "token", "second\n");
    RUN_UNTIL(bench, lives(bench, "uid-c"));
    cr_assert(bench_asked(bench, bench->requests - 1, "&resourceVersion=11&watch=1"));
    cr_assert_str_eq(bench_state(bench).last_error, "");
    bench_free(bench);
}

/* The server's authority for clients changes, as when a cluster's authority is renewed. */
EITHER_HTTP_TEST(apiserver_credentials, client_certificate_rotates_while_a_watch_runs)
{
    struct bench *bench = bench_new();
    int port;

    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_listen(bench, "server", "ca", 0);
    port = http_server_port(bench->server);
    bench_write_kubeconfig(bench, "https", "    certificate-authority: ca.pem\n",
        "    client-certificate: client.pem\n    client-key: client.key\n");
    SAY(bench, OPEN_ENDED LIST_OF("10", POD("a", "5")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("b", "11")), THEN_HANG);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("c", "12")), THEN_HANG);
    bench_start_source(bench);
    RUN_UNTIL(bench, lives(bench, "uid-b"));
    bench->server = http_server_stop(bench->server);
    bench_listen(bench, "server", "other-ca", port);
    RUN_UNTIL(bench, strstr(bench_state(bench).last_error, "(the kubeconfig's client-certificate?)"));
    cr_assert_eq(bench->requests, 2, "an unknown certificate is not let in");
    replace_by(bench, "client.key", "stranger.key");
    replace_by(bench, "client.pem", "stranger.pem");
    RUN_UNTIL(bench, lives(bench, "uid-c"));
    cr_assert(lives(bench, "uid-a") && lives(bench, "uid-b"), "A1");
    cr_assert_str_eq(bench_state(bench).last_error, "");
    bench_free(bench);
}

/* ---- servers that are not who they should be ---- */

static void assert_not_trusted(const char *identity, const char *authority, const char *why)
{
    struct bench *bench = bench_new();
    char cluster[128];

    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_listen(bench, identity, NULL, 0);
    (void)snprintf(cluster, sizeof(cluster), "    certificate-authority: %s\n", authority);
    bench_write_kubeconfig(bench, "https", cluster, "    token: s3cret\n");
    bench_start_source(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert(strstr(bench_state(bench).last_error, why), "%s: %s", identity, bench_state(bench).last_error);
    cr_assert_null(strchr(bench_state(bench).last_error, '\n'));
    cr_assert(bench_state(bench).ready);
    cr_assert_eq(bench->requests, 0, "it is told nothing");
    bench_free(bench);
}

EITHER_HTTP_TEST(apiserver_credentials, server_that_does_not_verify_is_named_by_what_is_wrong)
{
    static const char start[] = "the API server's certificate does not verify (the kubeconfig's "
                                "certificate-authority): ";
    char line[256];

    (void)snprintf(line, sizeof(line), "%sSSL certificate problem: unable to get local issuer", start);
    assert_not_trusted("server", "other-ca.pem", line);
    (void)snprintf(line, sizeof(line), "%sSSL: no alternative certificate subject name matches", start);
    assert_not_trusted("elsewhere", "ca.pem", line);
    (void)snprintf(line, sizeof(line), "%sSSL certificate problem: certificate has expired", start);
    assert_not_trusted("expired", "ca.pem", line);
    assert_not_trusted("server", "missing.pem", "/missing.pem: No such file or directory");
}
