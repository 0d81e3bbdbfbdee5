/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small API server that keeps a log of changes and answers lists and watches from it; one of its answers
 * is spoilt at a byte, in every way at every byte. Whatever happens, the source's table ends as the
 * server's, a Pod that lives all the time is never taken for deleted, and no turn of the loop takes long.
 */
#include <inttypes.h>
#include <malloc.h>
#include "tests/unit/enricher/apiserver_bench.h"

#define OBJECT(name, version, label)                                                                         \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"uid\":\"uid-" name                          \
    "\",\"resourceVersion\":\"" version "\",\"labels\":{\"l\":\"" label "\"}},\"spec\":{}}"

static const struct {
    unsigned version;
    const char *event;
} changes[] = {
    {11, EVENT("MODIFIED", OBJECT("a", "11", "new"))},
    {12, EVENT("ADDED", OBJECT("c", "12", "x"))},
    {13, EVENT("DELETED", OBJECT("b", "13", "x"))},
    {14, BOOKMARK("14")},
};
static const char list_old[] = LIST_OF("10", OBJECT("a", "9", "old") "," OBJECT("b", "10", "x"));
static const char list_new[] = LIST_OF("14", OBJECT("a", "11", "new") "," OBJECT("c", "12", "x"));
static const char initial_old[] =
    EVENT("ADDED", OBJECT("a", "9", "old")) EVENT("ADDED", OBJECT("b", "10", "x")) INITIAL_END("10");
static const char initial_new[] =
    EVENT("ADDED", OBJECT("a", "11", "new")) EVENT("ADDED", OBJECT("c", "12", "x")) INITIAL_END("14");

/* A virtual machine's host may take the CPU away in the middle of a turn, and the clock does not know: one in a hundred may be long. */
static bool turns_were_short(const struct bench *bench)
{
    return bench->slow_turns <= 1 + bench->turns / 100;
}

enum { INITIAL_EVENTS = 1, TLS = 2, HTTP2 = 4 }; /* how a run is made */
enum fault { FAULT_CLOSE, FAULT_RESET, FAULT_STALL, FAULT_GARBAGE, FAULT_END, FAULT_COUNT };

struct model {
    enum fault fault;
    size_t at;       /* byte of the spoilt answer */
    unsigned spoilt; /* which request */
    bool done;       /* … and it was long enough */
    _Atomic bool stalled;
    bool a_was_deleted;
};

static size_t add_chunk(char *to, size_t size, const char *data)
{
    return (size_t)snprintf(to, size, "%zx\r\n%s\r\n", strlen(data), data);
}

/* The whole answer as on the wire; a watch of what is still to come has no end. */
static size_t compose(const struct bench *bench, const char *head, char *to, size_t size)
{
    const char *parameter = strstr(head, "&resourceVersion=");
    unsigned version = parameter ? (unsigned)strtoul(parameter + 17, NULL, 10) : 0;
    bool is_watch = strstr(head, "&watch=1"), is_initial = strstr(head, "&sendInitialEvents=true");
    bool first = bench->requests == 1;
    size_t used = (size_t)snprintf(to, size, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

    if (!is_watch) {
        used += add_chunk(to + used, size - used, first ? list_old : list_new);
        return used + (size_t)snprintf(to + used, size - used, "0\r\n\r\n");
    }
    if (is_initial) {
        used += add_chunk(to + used, size - used, first ? initial_old : initial_new);
        version = first ? 10 : 14;
    }
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
        if (changes[i].version > version)
            used += add_chunk(to + used, size - used, changes[i].event);
    return used;
}

static bool spoil(struct http_server_connection *connection, struct model *model)
{
    static const char garbage[] = "\xff\x00}{\"\r\n9999999999999999\r\n]]]]\x80";

    switch (model->fault) {
    case FAULT_RESET:
        http_server_reset(connection);
        return false;
    case FAULT_STALL:
        model->stalled = true;
        (void)http_server_sleep_ms(connection, 3600000);
        return false;
    case FAULT_GARBAGE:
        (void)http_server_write(connection, garbage, sizeof(garbage) - 1);
        return false;
    case FAULT_END: /* a polite end in the wrong place */
        (void)http_server_say(connection, "\r\n0\r\n\r\n");
        return false;
    default:
        return false;
    }
}

static bool serve_model(void *arg, struct http_server_connection *connection, const char *head)
{
    struct bench *bench = arg;
    struct model *model = bench->model;
    char answer[4096];
    size_t size = compose(bench, head, answer, sizeof(answer));

    if (bench->requests == model->spoilt && !model->done) {
        model->done = true;
        if (model->at < size) {
            (void)http_server_write(connection, answer, model->at);
            return spoil(connection, model);
        }
    }
    (void)http_server_write(connection, answer, size);
    if (strstr(head, "&watch=1"))
        (void)http_server_sleep_ms(connection, 3600000);
    return false;
}

/* After each turn: the table says nothing of a deletion. */
static void look_at_a(struct bench *bench, struct model *model)
{
    const struct pod *a = pod_table_find(bench->table, "uid-a");

    model->a_was_deleted |= a && a->deleted_ns;
}

static bool table_is_new(struct bench *bench)
{
    struct pod *a = pod_table_find(bench->table, "uid-a"), *b = pod_table_find(bench->table, "uid-b"),
               *c = pod_table_find(bench->table, "uid-c");

    return a && c && !a->deleted_ns && !c->deleted_ns && (!b || b->deleted_ns) && a->label_count == 1 &&
           strcmp(a->labels[0].value, "new") == 0;
}

/* Over the silence, a little at a time, so that what was said before it is taken in. Only while the source still waits for that answer: the server may
 * be late to count the next request, which would run into its time-outs before anybody has looked at it. */
static void skip_stall(struct bench *bench, struct model *model)
{
    if (model->stalled && bench_state(bench).requests == model->spoilt)
        bench->skip_ns += NS_PER_SEC;
}

/* One run; false: the answer was shorter than `at`. */
static bool run_fault(enum fault fault, unsigned request, size_t at, unsigned how)
{
    struct model model = {.fault = fault, .at = at, .spoilt = request};
    bool initial_events = how & INITIAL_EVENTS;
    struct bench *bench;
    char probe[4096];
    size_t size;

    bench_over_http2 = how & HTTP2;
    bench = bench_new();

    bench->model = &model;
    bench->serve = serve_model;
    bench->params.no_initial_events = !initial_events;
    if (how & TLS)
        bench_start(bench);
    else
        bench_start_plain(bench);
    RUN_UNTIL(
        bench, (skip_stall(bench, &model), look_at_a(bench, &model), table_is_new(bench) && model.done));
    cr_assert_not(model.a_was_deleted, "A1: fault %d at %zu", fault, at);
    cr_assert_leq(bench->requests, 8);
    cr_assert(turns_were_short(bench), "fault %d at %zu", fault, at);
    size = compose(bench,
        initial_events ? "&watch=1&sendInitialEvents=true"
        : request == 1 ? ""
                       : "&resourceVersion=10&watch=1",
        probe, sizeof(probe));
    bench_free(bench);
    return at < size + 200;
}

static void run_faults(enum fault fault, unsigned request, size_t stride, unsigned how)
{
    for (size_t at = 0; run_fault(fault, request, at, how); at += stride)
        ;
}

Test(apiserver_faults, watch_closed_at_each_byte, .timeout = 100)
{
    run_faults(FAULT_CLOSE, 2, 1, 0);
}

Test(apiserver_faults, watch_garbled_at_each_byte, .timeout = 100)
{
    run_faults(FAULT_GARBAGE, 2, 1, 0);
}

Test(apiserver_faults, watch_ended_politely_at_each_byte, .timeout = 100)
{
    run_faults(FAULT_END, 2, 1, 0);
}

Test(apiserver_faults, watch_reset_at_each_byte, .timeout = 100)
{
    run_faults(FAULT_RESET, 2, 1, 0);
}

Test(apiserver_faults, watch_stalled_at_each_byte, .timeout = 100)
{
    run_faults(FAULT_STALL, 2, 1, 0);
}

static void run_all_faults(unsigned request, size_t stride, unsigned how)
{
    for (enum fault fault = 0; fault < FAULT_COUNT; fault++)
        run_faults(fault, request, stride, how);
}

Test(apiserver_faults, watch_spoilt_at_many_bytes_over_tls, .timeout = 100)
{
    run_all_faults(2, 23, TLS);
}

Test(apiserver_faults, watch_spoilt_at_many_bytes_over_http2, .timeout = 100)
{
    run_all_faults(2, 23, TLS | HTTP2);
}

Test(apiserver_faults, list_spoilt_at_many_bytes, .timeout = 100)
{
    run_all_faults(1, 11, 0);
    run_all_faults(1, 37, TLS | HTTP2);
}

Test(apiserver_faults, initial_events_spoilt_at_many_bytes, .timeout = 100)
{
    run_all_faults(1, 17, INITIAL_EVENTS);
    run_all_faults(1, 59, INITIAL_EVENTS | TLS | HTTP2);
}

/* ---- memory ---- */

#define BIG_PODS  500
#define BIG_BYTES (12 << 10) /* each, of which we keep little */

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

struct big {
    char *list;
    size_t size;
    size_t most;
};

static void on_big_changed(struct bench *bench, struct pod *pod)
{
    struct big *big = bench->model;
    size_t now = heap_bytes();

    (void)pod;
    big->most = now > big->most ? now : big->most;
}

static void make_big_list(struct big *big)
{
    size_t room = BIG_PODS * (BIG_BYTES + 1024) + 4096, used;
    char *list = malloc(room);

    cr_assert(list);
    used = (size_t)snprintf(list, room,
        OPEN_ENDED
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[");
    for (int i = 0; i < BIG_PODS; i++) {
        used += (size_t)snprintf(list + used, room - used,
            "%s{\"metadata\":{\"name\":\"p%d\",\"namespace\":\"ns\",\"uid\":\"uid-%d\",\"managedFields\":[",
            i ? "," : "", i, i);
        for (int j = 0; j < BIG_BYTES / 64; j++)
            used += (size_t)snprintf(list + used, room - used,
                "%s{\"f:metadata\":{\"f:labels\":{\"f:app\":{\"x\":[1%04d,{},\"y\"]}}}}   ", j ? "," : "", j);
        used +=
            (size_t)snprintf(list + used, room - used, "]},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
    }
    used += (size_t)snprintf(list + used, room - used, "]}\n");
    big->list = list;
    big->size = used;
}

Test(apiserver_faults, list_of_500_pods_needs_less_than_its_size)
{
    struct bench *bench = bench_new();
    struct big big = {0};
    size_t before;

    make_big_list(&big);
    bench->model = &big;
    bench->changed = on_big_changed;
    bench_step(bench, big.list, big.size, THEN_CLOSE);
    bench_start(bench);
    before = heap_bytes();
    RUN_UNTIL(bench, bench->requests == 2);
    cr_assert_eq(bench_state(bench).pods_seen, BIG_PODS);
    cr_assert_gt(big.size, 5u << 20);
    cr_assert(turns_were_short(bench));
    cr_assert_gt(bench->turns, big.size / (64 << 10), "a slice a turn");
    cr_assert_lt(big.most, before + big.size, "%zu for %zu", big.most - before, big.size);
    (void)fprintf(stderr,
        "# list of %zu bytes, heap +%zu bytes at most, longest of %" PRIu64 " turns %" PRIu64 " us\n",
        big.size, big.most - before, bench->turns, bench->longest_turn_ns / 1000);
    bench_free(bench);
    free(big.list);
}
