/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The path of an event with the real tables, hold store and rendering; only the output is a list of lines that can be full, and time is
 * turned by hand. One state for a test program: included by its one source.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"
#include "tests/unit/make_record.h"

#define UID_A   "11111111-1111-4111-8111-111111111111"
#define UID_B   "22222222-2222-4222-8222-222222222222"
#define ID_A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CG_A    100
#define CG_B    200
#define CG_HOST 1
#define SEC     NS_PER_SEC

/* ---- the output -------------------------------------------------------------------------------------------- */

#define LINES_MAX 20000
static char *lines[LINES_MAX];
static size_t line_count;
static size_t room = SIZE_MAX; /* lines that the output still takes */
static char block[OUTPUT_LINE_MAX];

char *output_reserve(struct output *output, size_t max)
{
    (void)output;
    cr_assert_leq(max, OUTPUT_LINE_MAX);
    return room > 0 ? block : NULL;
}

void output_commit(struct output *output, size_t size)
{
    (void)output;
    cr_assert_eq(block[size - 1], '\n');
    cr_assert_lt(line_count, LINES_MAX);
    lines[line_count++] = strndup(block, size - 1);
    room--;
}

/* ---- the pipeline ------------------------------------------------------------------------------------------ */

static struct pipeline_options options;
static struct render_options render = {
    .node_name = "node1", .own_fields = true, .image = {.own_fields = true}};
static struct emit emit;
static struct pipeline pipeline;
static struct pod_table *pods;
static struct hold *hold;
static struct hold_limits limits;
static unsigned asks;
static uint64_t now;
static struct make_record buffer;

#define KEY(tgid, start_ns) ((struct make_key){tgid, start_ns})
#define INIT                KEY(1, 1)
#define A1                  KEY(1001, 10)
#define A2                  KEY(1002, 20)
#define A3                  KEY(1003, 30)
#define B1                  KEY(2001, 40)

static inline void on_ask(void *arg)
{
    (void)arg;
    asks++;
}

static inline void on_changed(void *arg, struct pod *pod)
{
    (void)arg;
    pipeline_pod_changed(&pipeline, pod, now);
}

static inline void start(void)
{
    const struct pod_table_limits pod_limits = {.max_pods = 100, .max_bytes = 1 << 20, .grace_ns = 300 * SEC};

    now = 1000 * SEC;
    asks = 0;
    line_count = 0;
    room = SIZE_MAX;
    cr_assert_eq(pod_table_new(&pods, &pod_limits, on_changed, NULL), 0);
    cr_assert_eq(hold_new(&hold, -1, &limits), 0);
    cr_assert_eq(emit_init(&emit, &render, NULL, "01234567-89ab-cdef-0123-456789abcdef"), 0);
    pipeline =
        (struct pipeline){.options = &options, .pods = pods, .hold = hold, .emit = &emit, .ask = on_ask};
    cr_assert_eq(pipeline_init(&pipeline, now), 0);
}

static inline int feed(const struct record_header *record)
{
    int r = pipeline_record(&pipeline, record, now);

    return r;
}

static inline void feed_all(const struct record_header *record)
{
    cr_assert_eq(feed(record), 0);
}

static inline void cgroups(void)
{
    const struct make_key none = {0, 0};

    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, CG_HOST, none, now, "/"));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, CG_A, none, now, "/kubepods/pod" UID_A "/" ID_A));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, CG_B, none, now, "/kubepods/pod" UID_B "/" ID_B));
}

static inline void setup(void)
{
    limits = (struct hold_limits){.max_events = 10000, .max_bytes = 16 << 20};
    options = (struct pipeline_options){.hold_timeout_ns = 30 * SEC,
        .container_timeout_ns = 5 * SEC,
        .process_grace_ns = 5 * SEC,
        .cgroup_grace_ns = 300 * SEC,
        .max_cgroups = 1000,
        .retry = {200 * NS_PER_MS, 5 * SEC},
        .own_events = true};
    start();
    cgroups();
}

static inline void teardown(void)
{
    pipeline_deinit(&pipeline);
    emit_deinit(&emit);
    pods = pod_table_free(pods);
    hold = hold_free(hold);
    while (line_count > 0)
        free(lines[--line_count]);
}

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

static inline void tell_pod(const char *uid, const char *name, const char *container_id)
{
    struct pod_pair label = {STR("app"), STR("web")};
    struct pod_container container = {
        .name = STR("main"), .id = (char *)container_id, .runtime = STR("containerd"), .image = STR("img:1")};
    struct pod pod = {.uid = (char *)uid,
        .namespace_ = STR("shop"),
        .name = (char *)name,
        .labels = &label,
        .label_count = 1,
        .containers = &container,
        .container_count = 1,
        .workload = STR("web"),
        .workload_kind = STR("Deployment")};

    cr_assert_eq(pod_table_merge(pods, POD_SOURCE_KUBELET, &pod, now), 0);
    pipeline_turn(&pipeline, now);
}

static inline void pass(uint64_t ns)
{
    now += ns;
    pipeline_turn(&pipeline, now);
}

/* ---- looking at lines ---------------------------------------------------------------------------------------- */

static inline const char *string_at(json_t *line, const char *a, const char *b, const char *c)
{
    json_t *at = json_object_get(json_object_get(line, a), b);

    if (c)
        at = json_object_get(at, c);
    return json_string_value(at) ? json_string_value(at) : "";
}

static inline json_t *parse(size_t index)
{
    json_error_t error;
    json_t *line;

    cr_assert_lt(index, line_count, "line %zu of %zu", index, line_count);
    line = json_loads(lines[index], JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(line, "%s: %s", error.text, lines[index]);
    return line;
}

static inline void expect_state(size_t index, const char *event, const char *state, const char *pod)
{
    json_t *line = parse(index), *process = json_object_get(json_object_get(line, event), "process");

    cr_assert_not_null(process, "line %zu is no %s: %s", index, event, lines[index]);
    cr_expect_str_eq(json_string_value(json_object_get(process, "pod_state")), state);
    cr_expect_str_eq(string_at(process, "pod", "name", NULL), pod);
    json_decref(line);
}

static inline void expect_balanced(void)
{
    uint64_t received = 0, gone = 0;

    for (unsigned t = 0; t < RECORD_TYPE_SLOTS; t++) {
        if (t != RECORD_CGROUP_MKDIR && t != RECORD_CGROUP_RMDIR && t != RECORD_CGROUP_ATTACH)
            received += pipeline.counters.received[t];
        gone += pipeline.counters.emitted[t] + pipeline.counters.dropped[t];
    }
    cr_expect_eq(received, gone + hold_count(hold)); /* E3 */
}
