/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_apiserver.h"

#include <zlib.h>
#include "enricher/pod.h"
#include "enricher/pod_json.h"
#include "tests/unit/enricher/apiserver_bench.h"

/* ---- recorded traffic ---- */

/* Where in a recorded watch the first event above `version` begins: its chunk's head. */
static size_t watch_up_to(const char *response, size_t size, unsigned long version)
{
    const char *at = strstr(response, "\r\n\r\n") + 4;

    while (at < response + size) {
        char *data;
        unsigned long length = strtoul(at, &data, 16);
        const char *found = strstr(data, "\"resourceVersion\":\"");

        if (!length || (found && strtoul(found + 19, NULL, 10) > version))
            break;
        at = data + 2 + length + 2;
    }
    return (size_t)(at - response);
}

struct comparison {
    struct bench *bench;
    size_t pods;
};

static void assert_known_as_listed(void *arg, const struct pod *listed)
{
    struct comparison *comparison = arg;
    struct pod *pod = pod_table_find(comparison->bench->table, listed->uid);

    comparison->pods++;
    cr_assert(pod, "%s", listed->name);
    cr_assert_eq(pod->deleted_ns, 0, "%s", listed->name);
    cr_assert_eq(pod->best_source, POD_SOURCE_APISERVER);
    cr_assert_str_eq(pod->name, listed->name);
    cr_assert_str_eq(pod->namespace_, listed->namespace_);
    cr_assert_str_eq(pod->workload, listed->workload);
    cr_assert_eq(pod->host_network, listed->host_network);
    cr_assert_eq(pod->label_count, listed->label_count, "%s", listed->name);
    for (size_t i = 0; i < pod->label_count; i++)
        cr_assert_str_eq(pod->labels[i].value, listed->labels[i].value);
    cr_assert_eq(pod->container_count, listed->container_count, "%s", listed->name);
    for (size_t i = 0; i < listed->container_count; i++) {
        const struct pod_container *wanted = &listed->containers[i];
        const struct pod_container *got = pod_find_container_by_name(pod, wanted->name);

        cr_assert(got, "%s", wanted->name);
        cr_assert_eq(!got->id, !wanted->id, "%s/%s", listed->name, wanted->name);
        cr_assert(!wanted->id || strcmp(got->id, wanted->id) == 0, "%s/%s", listed->name, wanted->name);
        for (size_t j = 0; j < wanted->old_id_count; j++)
            cr_assert(pod_container_has_id(got, wanted->old_ids[j]), "%s/%s", listed->name, wanted->name);
    }
}

/* The table holds, alive, exactly what this list shows. Drops the deleted ones. */
static void assert_table_is(struct bench *bench, const char *list_fixture)
{
    struct comparison comparison = {.bench = bench};
    struct pod_json *parser = NULL;
    size_t size;
    char *list = bench_fixture(bench, list_fixture, &size);

    cr_assert_eq(pod_json_new(&parser, assert_known_as_listed, &comparison), 0);
    cr_assert_eq(pod_json_push(parser, list, size), 0);
    cr_assert_eq(pod_json_finish(parser), 0);
    pod_json_free(parser);
    pod_table_expire(bench->table, UINT64_MAX);
    cr_assert_eq(pod_table_count(bench->table), comparison.pods);
}

static bool has_container(struct bench *bench, const char *id_prefix, const char *uid, const char *container)
{
    struct pod *pod = pod_table_find(bench->table, uid);
    struct pod_container *c = pod ? pod_find_container_by_name(pod, container) : NULL;

    return c && c->id && strncmp(c->id, id_prefix, strlen(id_prefix)) == 0;
}

static void replay_life(size_t piece)
{
    struct bench *bench = bench_new();
    size_t size, cut;
    char *watch = bench_fixture(bench, "02-watch-life-node.resp", &size);

    bench->piece = piece;
    cut = watch_up_to(watch, size, 365);
    bench_step_fixture(bench, "01-list-empty.resp", THEN_KEEP);
    bench_step(bench, watch, cut, THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench, has_container(bench, "daca590c6d36", "145f0c66-b877-40bc-80af-66a16a25ff1a", "app"));
    assert_table_is(bench, "03-list-running.json");
    cr_assert(
        bench_asked(bench, 0, "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dnode1&resourceVersion=0 HTTP"));
    cr_assert(bench_asked(bench, 1, "&resourceVersion=328&watch=1&allowWatchBookmarks=true&timeoutSeconds="));
    cr_assert_eq(bench_state(bench).pods_seen, 1);
    cr_assert_str_eq(bench_state(bench).last_error, "");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, watch_of_a_pods_life_leads_to_the_next_list)
{
    replay_life(0);
    replay_life(1000);
    replay_life(77);
}

EITHER_HTTP_TEST(source_apiserver, whole_life_ends_with_no_pod_and_the_old_ids_findable)
{
    struct bench *bench = bench_new();
    struct pod *pod;

    bench_step_fixture(bench, "01-list-empty.resp", THEN_KEEP);
    bench_step_fixture(bench, "02-watch-life-node.resp", THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench,
        (pod = pod_table_find(bench->table, "145f0c66-b877-40bc-80af-66a16a25ff1a")) && pod->deleted_ns);
    cr_assert_eq(bench_state(bench).pods_seen, 0);
    cr_assert_gt(bench_state(bench).last_request_ns, 0);
    cr_assert_geq(bench_state(bench).last_success_ns, bench_state(bench).last_request_ns);
    cr_assert_eq(pod->container_count, 5);
    cr_assert_eq(pod_find_container_by_name(pod, "app")->old_id_count, 1, "P2");
    assert_table_is(bench, "01-list-empty.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, busy_watch_leads_to_the_next_list)
{
    struct bench *bench = bench_new();
    size_t size;
    char *watch = bench_fixture(bench, "04-watch-cases.resp", &size);

    bench->piece = 4096;
    bench_step_fixture(bench, "01-list-empty.resp", THEN_KEEP);
    bench_step(bench, watch, watch_up_to(watch, size, 677), THEN_CLOSE);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=662&watch=1"), "%s", bench->lines[2]);
    assert_table_is(bench, "07-list-json.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, initial_events_are_taken_where_offered)
{
    struct bench *bench = bench_new();

    bench->params.no_initial_events = false;
    bench_step_fixture(bench, "05-watchlist-initial-events.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 2);
    cr_assert(bench_asked(bench, 0, "&resourceVersionMatch=NotOlderThan&watch=1"));
    cr_assert(bench_asked(bench, 0, "&sendInitialEvents=true"));
    cr_assert(bench_asked(bench, 1, "&resourceVersion=632&watch=1"), "%s", bench->lines[1]);
    cr_assert_not(bench_asked(bench, 1, "sendInitialEvents"));
    cr_assert_eq(pod_table_count(bench->table), 11);
    cr_assert_eq(bench_state(bench).pods_seen, 11);
    cr_assert_eq(bench_state(bench).failures, 0);
    bench_free(bench);
}

/* ---- packed by the server, or a proxy before it ---- */

/* Each part as a piece that can be read as soon as it is there, under one head; with the end or without; to be freed. */
static char *pack(const char *const parts[], bool finish, size_t *ret_size)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    size_t room = 65536, used = sizeof(head) - 1;
    char *packed = malloc(room);
    z_stream stream = {0};

    cr_assert(packed);
    memcpy(packed, head, used);
    cr_assert_eq(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = (unsigned char *)packed + used;
    stream.avail_out = (unsigned)(room - used);
    for (; *parts; parts++) {
        stream.next_in = (unsigned char *)*parts;
        stream.avail_in = (unsigned)strlen(*parts);
        cr_assert_geq(deflate(&stream, parts[1] || !finish ? Z_SYNC_FLUSH : Z_FINISH), Z_OK);
    }
    *ret_size = used + stream.total_out;
    (void)deflateEnd(&stream);
    return packed;
}

EITHER_HTTP_TEST(source_apiserver, packed_list_and_watch_are_read_as_they_come)
{
    struct bench *bench = bench_new();
    size_t list_size, watch_size;
    char *list =
        pack((const char *const[]){LIST_OF("10", POD("a", "5") "," POD("b", "6")), NULL}, true, &list_size);
    char *watch = pack((const char *const[]){EVENT("ADDED", POD("c", "11")), BOOKMARK("12"),
                           EVENT("DELETED", POD("a", "13")), NULL},
        false, &watch_size);

    bench_step(bench, list, list_size, THEN_CLOSE);
    bench_step(bench, watch, watch_size, THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(
        bench, pod_table_find(bench->table, "uid-a") && pod_table_find(bench->table, "uid-a")->deleted_ns);
    cr_assert(pod_table_find(bench->table, "uid-c"));
    cr_assert_eq(bench_state(bench).failures, 0);
    bench_free(bench);
    free(list);
    free(watch);
}

/* ---- HTTP/2 ---- */

Test(source_apiserver, stream_survives_go_away_and_a_reset_of_it_is_resumed)
{
    struct bench *bench;

    bench_over_http2 = true;
    bench = bench_new();
    SAY(bench, OPEN_ENDED LIST_OF("10", POD("a", "5")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("b", "11")) BOOKMARK("12"), THEN_GO_AWAY);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("c", "13")), THEN_RESET_STREAM);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("d", "14")), THEN_RESET);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("e", "15")), THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench, pod_table_find(bench->table, "uid-e"));
    cr_assert(bench_asked(bench, 0, " HTTP/2"));
    cr_assert(bench_asked(bench, 2, "&resourceVersion=12&watch=1"), "%s", bench->lines[2]);
    cr_assert(bench_asked(bench, 3, "&watch=1"), "%s", bench->lines[3]);
    cr_assert_eq(http_server_connections(bench->server), 5);
    cr_assert_eq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0, "A1");
    bench_free(bench);
}

/* ---- servers that do not offer initial events ---- */

EITHER_HTTP_TEST(source_apiserver, refused_initial_events_fall_back_to_a_list)
{
    static const char refusal[] = "HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 103\r\n\r\n"
                                  "{\"kind\":\"Status\",\"message\":\"sendInitialEvents: Forbidden: "
                                  "sendInitialEvents is forbidden\",\"code\":422}    \n";
    struct bench *bench = bench_new();

    bench->params.no_initial_events = false;
    SAY(bench, refusal, THEN_CLOSE);
    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 1, "&resourceVersion=0 HTTP"));
    cr_assert(bench_asked(bench, 2, "&resourceVersion=365&watch=1"));
    cr_assert_eq(bench_state(bench).failures, 0);
    assert_table_is(bench, "03-list-running.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, initial_events_without_end_fall_back_to_a_list)
{
    struct bench *bench = bench_new();

    bench->params.no_initial_events = false;
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("a", "5")),
        THEN_HANG); /* a server that does not know the parameter */
    SAY(bench, OPEN_ENDED LIST_OF("9", POD("a", "5")), THEN_CLOSE);
    bench_start(bench);
    RUN_UNTIL(bench, pod_table_find(bench->table, "uid-a"));
    bench->skip_ns += 31 * NS_PER_SEC;
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=9&watch=1"));
    bench_free(bench);
}

/* Recorded: all Pods, and no word that they are all. */
EITHER_HTTP_TEST(source_apiserver, recorded_watch_without_the_end_of_its_initial_events_removes_no_pod)
{
    struct bench *bench = bench_new();
    size_t size;
    char *watch = bench_fixture(bench, "05-watch-rv0.resp", &size);

    bench->params.no_initial_events = false;
    bench_step(bench, watch, size - strlen("0\r\n\r\n"), THEN_HANG); /* its time was not over */
    bench_step_fixture(bench, "07-list-json.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, pod_table_count(bench->table) == 11);
    bench->skip_ns += 31 * NS_PER_SEC;
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=677&watch=1"), "%s", bench->lines[2]);
    assert_table_is(bench, "07-list-json.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, initial_events_that_break_off_remove_no_pod)
{
    struct bench *bench = bench_new();

    bench->params.no_initial_events = false;
    SAY(bench,
        OPEN_ENDED EVENT("ADDED", POD("a", "5")) EVENT("ADDED", POD("b", "6")) INITIAL_END("7")
            EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}"),
        THEN_HANG);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("b", "6")), THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("a", "8")) INITIAL_END("9"), THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 2);
    cr_assert_eq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0, "A1");
    cr_assert_eq(pod_table_find(bench->table, "uid-b")->deleted_ns, 0, "A1");
    RUN_UNTIL(bench, pod_table_find(bench->table, "uid-b")->deleted_ns);
    cr_assert(bench_asked(bench, 1, "&resourceVersion=7&resourceVersionMatch=NotOlderThan"), "A3");
    cr_assert_eq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0);
    bench_free(bench);
}

/* ---- too late to resume ---- */

/* list, then a watch that says so: a new list follows, not older than the last. */
static void assert_relists(const char *fixture, const char *query)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_step_fixture(bench, fixture, THEN_CLOSE);
    bench_step_fixture(bench, "07-list-json.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 4);
    cr_assert(bench_asked(bench, 2, query), "%s: %s", fixture, bench->lines[2]);
    cr_assert(bench_asked(bench, 3, "&resourceVersion=677&watch=1"), "%s: %s", fixture, bench->lines[3]);
    assert_table_is(bench, "07-list-json.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, gone_in_each_form_lists_again)
{
    static const char again[] = "&resourceVersion=365&resourceVersionMatch=NotOlderThan HTTP";

    assert_relists("06-410-watch-old-rv.resp", again);
    assert_relists("06-410-list-exact.resp", again);
    assert_relists("06-410-list-continue-expired.resp", again);
    assert_relists("11-rewatch-after-restart.resp", again);
    assert_relists("06-504-future-rv.resp", "nodeName%3Dnode1 HTTP");
}

EITHER_HTTP_TEST(source_apiserver, store_that_went_back_is_believed_in_the_end)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_step_fixture(bench, "06-410-watch-old-rv.resp", THEN_CLOSE);
    bench_step_fixture(bench, "06-504-future-rv.resp", THEN_CLOSE);
    bench_step_fixture(bench, "01-list-empty.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 5);
    cr_assert(bench_asked(bench, 3, "nodeName%3Dnode1 HTTP"), "A3: %s", bench->lines[3]);
    cr_assert(bench_asked(bench, 4, "&resourceVersion=328&watch=1"), "%s", bench->lines[4]);
    assert_table_is(bench, "01-list-empty.json");
    bench_free(bench);
}

/* ---- ends ---- */

EITHER_HTTP_TEST(source_apiserver, watch_that_ends_well_is_resumed)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_step_fixture(bench, "05-bookmark-timeout.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=365&watch=1"));
    cr_assert_eq(bench_state(bench).failures, 0);
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, end_without_last_chunk_is_resumed_where_it_was)
{
    struct bench *bench = bench_new();

    SAY(bench, OPEN_ENDED LIST_OF("10", POD("a", "5")), THEN_CLOSE);
    SAY(bench, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4d\r\n" BOOKMARK("17"), THEN_RESET);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=17&watch=1") ||
              bench_asked(bench, 2, "&resourceVersion=10&watch=1"));
    cr_assert_eq(bench_state(bench).failures, 1);
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, silent_watch_is_resumed_then_listed)
{
    struct bench *bench = bench_new();
    uint64_t listed_ns;

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    SAY(bench, OPEN_ENDED BOOKMARK("400"), THEN_HANG);
    bench_step_fixture(bench, "11-watch-apiserver-sigkill.resp", THEN_HANG); /* a head and nothing more */
    bench_step_fixture(bench, "07-list-json.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, (listed_ns = bench_state(bench).last_success_ns));
    RUN_UNTIL(bench, bench_state(bench).last_success_ns > listed_ns);
    bench->skip_ns += 80 * NS_PER_SEC;
    for (int i = 0; i < 20; i++)
        bench_turn(bench);
    cr_assert_eq(bench->requests, 2, "bookmarks come every minute");
    bench->skip_ns += 15 * NS_PER_SEC;
    RUN_UNTIL(bench, bench->requests == 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=400&watch=1"), "%s", bench->lines[2]);
    cr_assert_str_eq(bench_state(bench).last_error, "the server went silent");
    RUN_UNTIL(bench, bench->answered == 3);
    for (int i = 0; i < 20; i++) /* to take it in */
        bench_turn(bench);
    bench->skip_ns += 95 * NS_PER_SEC;
    RUN_UNTIL(bench, bench->requests >= 4);
    cr_assert(bench_asked(bench, 3, "&resourceVersion=400&resourceVersionMatch=NotOlderThan HTTP"),
        "A2: %s, %s", bench->lines[3], bench_state(bench).last_error);
    bench_free(bench);
}

/* An API server in its SIGTERM keeps a watch open and says nothing; one that is asked for a version of the future
 * looks the same: our own time ends it, and what we have is looked at anew. */
static void assert_silence_ends_in_a_list(const char *fixture)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_step_fixture(bench, fixture, THEN_HANG);
    bench_step_fixture(bench, "07-list-json.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench->answered == 2);
    for (int i = 0; i < 20; i++) /* to take it in */
        bench_turn(bench);
    cr_assert_eq(bench->requests, 2);
    bench->skip_ns += 91 * NS_PER_SEC;
    RUN_UNTIL(bench, bench->requests == 4);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=365&resourceVersionMatch=NotOlderThan HTTP"), "%s: %s",
        fixture, bench->lines[2]);
    cr_assert_eq(bench_state(bench).failures, 1);
    assert_table_is(bench, "07-list-json.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, recorded_silence_ends_in_a_list)
{
    assert_silence_ends_in_a_list("11-watch-apiserver-sigterm.resp");
    assert_silence_ends_in_a_list("11-watch-apiserver-sigkill.resp");
    assert_silence_ends_in_a_list("06-watch-future-rv.resp");
}

EITHER_HTTP_TEST(source_apiserver, asked_while_silent_resumes_at_once)
{
    struct bench *bench = bench_new();
    uint64_t listed_ns;

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    SAY(bench, OPEN_ENDED BOOKMARK("400"), THEN_HANG);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("late", "410")), THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench, (listed_ns = bench_state(bench).last_success_ns));
    RUN_UNTIL(bench, bench_state(bench).last_success_ns > listed_ns);
    for (int i = 0; i < 100; i++) {
        bench->source->ops->ask(bench->source);
        bench_turn(bench);
    }
    cr_assert_eq(bench->requests, 2, "it has just spoken");
    bench->skip_ns += 21 * NS_PER_SEC;
    bench_turn(bench);
    bench->source->ops->ask(bench->source);
    RUN_UNTIL(bench, pod_table_find(bench->table, "uid-late"));
    cr_assert(bench_asked(bench, 2, "&resourceVersion=400&watch=1"), "%s", bench->lines[2]);
    cr_assert_eq(bench_state(bench).failures, 0);
    bench_free(bench);
}

/* ---- refusals ---- */

EITHER_HTTP_TEST(source_apiserver, restart_with_a_transient_refusal_recovers)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_step_fixture(bench, "11-watch-apiserver-sigkill.resp", THEN_RESET);
    bench_step_fixture(bench, "12-startup-403.resp", THEN_CLOSE);
    bench_step_fixture(bench, "11-rewatch-after-restart.resp", THEN_CLOSE);
    bench_step_fixture(bench, "07-list-json.resp", THEN_KEEP);
    SAY(bench, OPEN_ENDED BOOKMARK("800"), THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench, bench->requests == 3 && bench_state(bench).failures == 2);
    cr_assert(strstr(bench_state(bench).last_error, "403: the account needs list and watch on pods: "), "%s",
        bench_state(bench).last_error);
    cr_assert_eq(pod_table_find(bench->table, "145f0c66-b877-40bc-80af-66a16a25ff1a")->deleted_ns, 0, "A1");
    RUN_UNTIL(bench, bench->requests == 6 && !*bench_state(bench).last_error);
    assert_table_is(bench, "07-list-json.json");
    bench_free(bench);
}

static void assert_told(const char *fixture, const char *error)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, fixture, THEN_CLOSE);
    bench_start(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert_eq(
        strncmp(bench_state(bench).last_error, error, strlen(error)), 0, "%s", bench_state(bench).last_error);
    cr_assert(bench_state(bench).ready);
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, refusals_of_a_real_server_say_what_to_do)
{
    assert_told(
        "401-bad-token.resp", "401: the kubeconfig's user has neither a token nor a client certificate");
    assert_told("403-noperm-list.resp",
        "403: the account needs list and watch on pods: pods is forbidden: User "
        "\"system:serviceaccount:agent:noperm\" cannot list");
    assert_told("429-list.resp", "HTTP status 429: Too many requests, please try again later.");
    assert_told(
        "06-410-list-exact.resp", "HTTP status 410: The resourceVersion for the provided list is too old.");
}

/* A watch is refused, or ends at once: it is asked for again from the same place. */
static void assert_resumed_after(const char *fixture, unsigned failures)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_step_fixture(bench, fixture, THEN_CLOSE);
    SAY(bench, OPEN_ENDED EVENT("ADDED", POD("a", "400")), THEN_HANG);
    bench_start(bench);
    RUN_UNTIL(bench, pod_table_find(bench->table, "uid-a"));
    cr_assert_eq(bench->requests, 3);
    cr_assert(bench_asked(bench, 2, "&resourceVersion=365&watch=1"), "%s: %s", fixture, bench->lines[2]);
    cr_assert_eq(bench_state(bench).failures, failures, "%s", fixture);
    cr_assert_eq(pod_table_find(bench->table, "145f0c66-b877-40bc-80af-66a16a25ff1a")->deleted_ns, 0, "A1");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, recorded_refusals_of_a_watch_are_waited_out)
{
    assert_resumed_after("429-watch.resp", 1);
    assert_resumed_after("401-expired-token.resp", 1);
    assert_resumed_after("403-noperm-watch.resp", 1);
    assert_resumed_after("400-bad-resourceversion.resp", 1);
    assert_resumed_after("11-rewatch-same-rv.resp", 0);
}

EITHER_HTTP_TEST(source_apiserver, part_of_a_list_is_not_taken_for_all_of_it)
{
    struct bench *bench = bench_new();

    bench_step_fixture(bench, "07-list-json.resp", THEN_KEEP);
    bench_step_fixture(bench, "06-410-watch-old-rv.resp", THEN_CLOSE);
    bench_step_fixture(bench, "06-list-limit2.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 2);
    cr_assert_str_eq(bench_state(bench).last_error, "the list is only a part, or has no resourceVersion");
    assert_table_is(bench, "07-list-json.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, retry_after_is_obeyed)
{
    struct bench *bench = bench_new();
    uint64_t refused_ns;

    bench_step_fixture(bench, "429-list.resp", THEN_CLOSE);
    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_start(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    refused_ns = loop_now(bench->loop);
    RUN_UNTIL(bench, bench->requests == 2);
    cr_assert_geq(loop_now(bench->loop) - refused_ns, 900 * NS_PER_MS);
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, each_status_is_recovered_from_by_list_and_watch)
{
    static const int codes[] = {201, 204, 206, 301, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 415,
        418, 422, 429, 431, 500, 501, 502, 503, 504, 599, 999};

    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        struct bench *bench = bench_new();
        char refusal[128];
        int size = snprintf(refusal, sizeof(refusal), "HTTP/1.1 %d Oh\r\n%s\r\n", codes[i],
            codes[i] == 204 || codes[i] == 304 ? "" : "Content-Length: 0\r\n");

        bench_step(bench, refusal, (size_t)size, THEN_CLOSE);
        SAY(bench, OPEN_ENDED LIST_OF("10", POD("a", "5")), THEN_CLOSE);
        bench_step(bench, refusal, (size_t)size, THEN_CLOSE);
        /* The same bytes are the end of a list and the beginning of a watch: which is asked depends on the
         * status. */
        if (codes[i] == 410 || codes[i] == 504)
            SAY(bench, OPEN_ENDED LIST_OF("11", POD("a", "5")), THEN_CLOSE);
        SAY(bench, OPEN_ENDED EVENT("ADDED", POD("b", "12")), THEN_HANG);
        bench_start(bench);
        RUN_UNTIL(bench, pod_table_find(bench->table, "uid-b"));
        cr_assert_eq(
            bench_state(bench).failures, 2, "%d: %zu", codes[i], (size_t)bench_state(bench).failures);
        cr_assert_str_eq(bench_state(bench).last_error, "");
        cr_assert_eq(pod_table_find(bench->table, "uid-a")->deleted_ns, 0);
        bench_free(bench);
    }
}

/* ---- credentials ---- */

EITHER_HTTP_TEST(source_apiserver, tls_by_files_and_a_rotated_token_file)
{
    struct bench *bench = bench_new();

    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_listen(bench, "server", NULL, 0);
    bench_write_kubeconfig(bench, "https", "    certificate-authority: ca.pem\n", "    tokenFile: token\n");
    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_start_source(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert(
        strstr(bench_state(bench).last_error, "/token: No such file"), "%s", bench_state(bench).last_error);
    cr_assert_eq(bench->requests, 0);
    bench_write(bench, "token", "t1\n");
    RUN_UNTIL(bench, bench->requests == 2);
    assert_table_is(bench, "03-list-running.json");
    bench_free(bench);
}

/* As base64 in one line, indented as a value of `key`. */
static void append_inline(struct bench *bench, char *to, size_t size, const char *key, const char *name)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char data[4096];
    char path[192];
    size_t used = strlen(to), count;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", bench->directory, name);
    file = fopen(path, "re");
    cr_assert(file);
    count = fread(data, 1, sizeof(data) - 2, file);
    (void)fclose(file);
    used += (size_t)snprintf(to + used, size - used, "    %s: ", key);
    for (size_t i = 0; i < count; i += 3) {
        unsigned bits = (unsigned)data[i] << 16 | (i + 1 < count ? (unsigned)data[i + 1] << 8 : 0) |
                        (i + 2 < count ? data[i + 2] : 0);

        cr_assert_lt(used + 6, size);
        to[used++] = digits[bits >> 18];
        to[used++] = digits[bits >> 12 & 63];
        to[used++] = i + 1 < count ? digits[bits >> 6 & 63] : '=';
        to[used++] = i + 2 < count ? digits[bits & 63] : '=';
    }
    to[used++] = '\n';
    to[used] = '\0';
}

EITHER_HTTP_TEST(source_apiserver, client_certificate_inline_and_its_rotation)
{
    struct bench *bench = bench_new();
    char cluster[4096] = "", stranger[4096] = "", client[4096] = "";

    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_listen(bench, "server", "ca", 0);
    append_inline(bench, cluster, sizeof(cluster), "certificate-authority-data", "ca.pem");
    append_inline(bench, stranger, sizeof(stranger), "client-certificate-data", "stranger.pem");
    append_inline(bench, stranger, sizeof(stranger), "client-key-data", "stranger.key");
    append_inline(bench, client, sizeof(client), "client-certificate-data", "client.pem");
    append_inline(bench, client, sizeof(client), "client-key-data", "client.key");
    bench_write_kubeconfig(bench, "https", cluster, stranger);
    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_start_source(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert(strstr(bench_state(bench).last_error, "TLS failed (the kubeconfig's client-certificate?)"),
        "%s", bench_state(bench).last_error);
    bench_write_kubeconfig(bench, "https", cluster, client);
    RUN_UNTIL(bench, bench->requests == 2);
    assert_table_is(bench, "03-list-running.json");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, server_that_does_not_verify_is_told_nothing)
{
    struct bench *bench = bench_new();

    cr_assert_eq(certificates_make(bench->directory), 0);
    bench_listen(bench, "server", NULL, 0);
    bench_write_kubeconfig(
        bench, "https", "    certificate-authority: other-ca.pem\n", "    token: s3cret\n");
    bench_start_source(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert(
        strstr(bench_state(bench).last_error, "does not verify (the kubeconfig's certificate-authority)"));
    bench_write_kubeconfig(bench, "https", "    insecure-skip-tls-verify: true\n", "    token: s3cret\n");
    RUN_UNTIL(bench, bench_state(bench).failures >= 3);
    cr_assert(strstr(bench_state(bench).last_error, "counts only with --insecure-skip-tls-verify on"), "%s",
        bench_state(bench).last_error);
    cr_assert_eq(bench->requests, 0);
    cr_assert_null(strstr(bench_state(bench).last_error, "s3cret"), "A5");
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, token_is_sent_and_a_missing_kubeconfig_is_waited_for)
{
    struct bench *bench = bench_new();

    bench_listen(bench, NULL, NULL, 0);
    bench_step_fixture(bench, "03-list-running.resp", THEN_KEEP);
    bench_start_source(bench);
    RUN_UNTIL(bench, bench_state(bench).failures == 1);
    cr_assert(strstr(bench_state(bench).last_error, "kubeconfig: No such file"), "%s",
        bench_state(bench).last_error);
    bench_write_kubeconfig(bench, "http", "", "    token: t\n");
    RUN_UNTIL(bench, bench->requests == 2);
    bench_free(bench);
}

EITHER_HTTP_TEST(source_apiserver, free_at_any_moment)
{
    for (unsigned turns = 0; turns < 30; turns++) {
        struct bench *bench = bench_new();

        bench->params.no_initial_events = turns % 2;
        bench->piece = 1000;
        bench_step_fixture(
            bench, turns % 2 ? "03-list-running.resp" : "05-watchlist-initial-events.resp", THEN_KEEP);
        bench_start(bench);
        for (unsigned i = 0; i < turns; i++)
            bench_turn(bench);
        bench_free(bench);
    }
}
