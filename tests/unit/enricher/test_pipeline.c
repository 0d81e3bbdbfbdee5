/* SPDX-License-Identifier: Apache-2.0 */
/* The path of an event with the real tables, hold store and rendering; only the output is a list of lines that can be full, and time is turned by hand. */
#include "enricher/pipeline.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "enricher/output.h"
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

static const struct make_key INIT = {1, 1}, A1 = {1001, 10}, A2 = {1002, 20}, A3 = {1003, 30},
                             B1 = {2001, 40};

static void on_ask(void *arg)
{
    (void)arg;
    asks++;
}

static void on_changed(void *arg, struct pod *pod)
{
    (void)arg;
    pipeline_pod_changed(&pipeline, pod, now);
}

static void start(void)
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

static int feed(const struct record_header *record)
{
    int r = pipeline_record(&pipeline, record, now);

    return r;
}

static void feed_all(const struct record_header *record)
{
    cr_assert_eq(feed(record), 0);
}

static void cgroups(void)
{
    const struct make_key none = {0, 0};

    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, CG_HOST, none, now, "/"));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, CG_A, none, now, "/kubepods/pod" UID_A "/" ID_A));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, CG_B, none, now, "/kubepods/pod" UID_B "/" ID_B));
}

static void setup(void)
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

static void teardown(void)
{
    pipeline_deinit(&pipeline);
    emit_deinit(&emit);
    pods = pod_table_free(pods);
    hold = hold_free(hold);
    while (line_count > 0)
        free(lines[--line_count]);
}

TestSuite(pipeline, .init = setup, .fini = teardown);

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

static void tell_pod(const char *uid, const char *name, const char *container_id)
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

static void pass(uint64_t ns)
{
    now += ns;
    pipeline_turn(&pipeline, now);
}

/* ---- looking at lines ---------------------------------------------------------------------------------------- */

static const char *string_at(json_t *line, const char *a, const char *b, const char *c)
{
    json_t *at = json_object_get(json_object_get(line, a), b);

    if (c)
        at = json_object_get(at, c);
    return json_string_value(at) ? json_string_value(at) : "";
}

static json_t *parse(size_t index)
{
    json_error_t error;
    json_t *line;

    cr_assert_lt(index, line_count, "line %zu of %zu", index, line_count);
    line = json_loads(lines[index], JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(line, "%s: %s", error.text, lines[index]);
    return line;
}

static void expect_state(size_t index, const char *event, const char *state, const char *pod)
{
    json_t *line = parse(index), *process = json_object_get(json_object_get(line, event), "process");

    cr_assert_not_null(process, "line %zu is no %s: %s", index, event, lines[index]);
    cr_expect_str_eq(json_string_value(json_object_get(process, "pod_state")), state);
    cr_expect_str_eq(string_at(process, "pod", "name", NULL), pod);
    json_decref(line);
}

static void expect_balanced(void)
{
    uint64_t received = 0, gone = 0;

    for (unsigned t = 0; t < RECORD_TYPE_SLOTS; t++) {
        if (t != RECORD_CGROUP_MKDIR && t != RECORD_CGROUP_RMDIR && t != RECORD_CGROUP_ATTACH)
            received += pipeline.counters.received[t];
        gone += pipeline.counters.emitted[t] + pipeline.counters.dropped[t];
    }
    cr_expect_eq(received, gone + hold_count(hold)); /* E3 */
}

/* ---- the promises -------------------------------------------------------------------------------------------- */

Test(pipeline, process_outside_pods_is_emitted_at_once)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_HOST, now, "/usr/bin/sshd"));
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "host", "");
    cr_expect_eq(asks, 0);
}

Test(pipeline, fork_and_exec_are_held_alike_and_leave_in_order_when_the_pod_comes)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/usr/sbin/nginx"));
    feed_all(make_fork(&buffer, A2, A1, CG_A, now));
    feed_all(make_exit(&buffer, A2, CG_A, now, 9));
    cr_expect_eq(line_count, 0);
    cr_expect_eq(hold_count(hold), 3);
    cr_expect_eq(asks, 1);
    expect_balanced();
    pass(2 * SEC);
    cr_expect_eq(line_count, 0);
    tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(line_count, 3);
    expect_state(0, "process_exec", "complete", "web-1");
    expect_state(1, "process_fork", "complete", "web-1");
    expect_state(2, "process_exit", "complete", "web-1");
    cr_expect_eq(pipeline.counters.released_on_arrival, 3);
    cr_expect_eq(pipeline.counters.emitted_without_pod, 0);
    expect_balanced();
}

Test(pipeline, line_carries_what_the_format_says)
{
    json_t *line;

    tell_pod(UID_A, "web-1", ID_A);
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/usr/sbin/nginx"));
    feed_all(make_fork(&buffer, A2, A1, CG_A, now));
    feed_all(make_exit(&buffer, A2, CG_A, now, 9));
    line = parse(0);
    cr_expect_str_eq(string_at(line, "process_exec", "process", "binary"), "/usr/sbin/nginx");
    cr_expect_str_eq(string_at(line, "process_exec", "process", "arguments"), "-x \"two words\"");
    cr_expect_str_eq(string_at(line, "process_exec", "process", "docker"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_expect_eq(json_array_size(json_object_get(
                     json_object_get(json_object_get(line, "process_exec"), "process"), "args")),
        2);
    cr_expect_str_eq(json_string_value(json_object_get(line, "node_name")), "node1");
    json_decref(line);
    line = parse(1);
    json_t *child = json_object_get(json_object_get(line, "process_fork"), "process"),
           *parent = json_object_get(json_object_get(line, "process_fork"), "parent");
    json_t *container = json_object_get(json_object_get(child, "pod"), "container");
    cr_expect_str_eq(json_string_value(json_object_get(child, "parent_exec_id")),
        json_string_value(json_object_get(parent, "exec_id")));
    cr_expect_str_eq(json_string_value(json_object_get(child, "binary")), "/usr/sbin/nginx");
    cr_expect_str_eq(json_string_value(json_object_get(container, "id")), "containerd://" ID_A);
    cr_expect_eq(json_integer_value(json_object_get(container, "pid")), A2.tgid % 1000);
    cr_expect_str_eq(string_at(child, "pod", "pod_labels", "app"), "web");
    cr_expect_str_eq(string_at(child, "pod", "workload_kind", NULL), "Deployment");
    json_decref(line);
    line = parse(2);
    cr_expect_str_eq(
        json_string_value(json_object_get(json_object_get(line, "process_exit"), "signal")), "SIGKILL");
    json_decref(line);
}

Test(pipeline, other_pods_are_not_delayed)
{
    tell_pod(UID_B, "db-0", ID_B);
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    feed_all(make_exec(&buffer, B1, INIT, CG_B, now, "/b"));
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "complete", "db-0");
}

Test(pipeline, deadline_lets_go_marked_and_later_events_do_not_wait_until_news)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    for (int i = 0; i < 29; i++)
        pass(SEC);
    pass(SEC - 2 * NS_PER_MS);
    cr_expect_eq(line_count, 0);
    pass(4 * NS_PER_MS);
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "pending_expired", "");
    feed_all(make_fork(&buffer, A2, A1, CG_A, now));
    cr_assert_eq(line_count, 2);
    expect_state(1, "process_fork", "pending_expired", "");
    cr_expect_eq(pipeline.counters.emitted_without_pod, 2);
    cr_expect_gt(asks, 5);
    tell_pod(UID_A, "web-1", ID_A);
    feed_all(make_fork(&buffer, A3, A1, CG_A, now));
    expect_state(2, "process_fork", "complete", "web-1");
    expect_balanced();
}

Test(pipeline, only_the_container_missing_has_the_shorter_deadline_and_is_remembered)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/pause"));
    pass(SEC);
    tell_pod(UID_A, "web-1", ID_B);
    cr_expect_eq(line_count, 0);
    pass(5 * SEC + 2 * NS_PER_MS);
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "pod_only", "web-1");
    feed_all(make_fork(&buffer, A2, A1, CG_A, now));
    cr_assert_eq(line_count, 2);
    expect_state(1, "process_fork", "pod_only", "web-1");
    tell_pod(UID_A, "web-1", ID_A);
    feed_all(make_fork(&buffer, A3, A1, CG_A, now));
    expect_state(2, "process_fork", "complete", "web-1");
}

Test(pipeline, hold_timeout_of_zero_never_waits)
{
    teardown();
    options.hold_timeout_ns = 0;
    start();
    cgroups();
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "pending_expired", "");
}

Test(pipeline, child_in_another_container_waits_for_its_parents_pod)
{
    json_t *line;

    tell_pod(UID_B, "db-0", ID_B);
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    feed_all(make_fork(&buffer, B1, A1, CG_B, now)); /* cloned into the other cgroup */
    feed_all(make_exit(&buffer, B1, CG_B, now, 0));
    cr_expect_eq(line_count, 0);
    tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(line_count, 3);
    expect_state(1, "process_fork", "complete", "db-0");
    line = parse(1);
    json_t *parent = json_object_get(json_object_get(line, "process_fork"), "parent");
    cr_expect_str_eq(string_at(parent, "pod", "name", NULL), "web-1");
    json_decref(line);
    expect_state(2, "process_exit", "complete", "db-0");
}

Test(pipeline, moved_process_does_not_overtake_itself)
{
    tell_pod(UID_B, "db-0", ID_B);
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_ATTACH, CG_B, A1, now, "/kubepods/pod" UID_B "/" ID_B));
    feed_all(make_exec(&buffer, A1, INIT, CG_B, now + 1, "/b"));
    cr_expect_eq(line_count, 0);
    tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(line_count, 2);
    expect_state(0, "process_exec", "complete", "web-1");
    expect_state(1, "process_exec", "complete", "db-0");
    feed_all(make_exit(&buffer, A1, CG_B, now, 0));
    cr_expect_eq(line_count, 3);
}

Test(pipeline, exec_over_exec_has_the_previous_image_as_parent)
{
    json_t *line;

    feed_all(make_fork(&buffer, A1, INIT, CG_HOST, now));
    feed_all(make_exec(&buffer, A1, INIT, CG_HOST, now + 1, "/first"));
    feed_all(make_exec(&buffer, A1, INIT, CG_HOST, now + 2, "/second"));
    line = parse(1);
    cr_expect_eq(json_integer_value(json_object_get(
                     json_object_get(json_object_get(line, "process_exec"), "parent"), "pid")),
        1);
    cr_expect_str_eq(string_at(line, "process_exec", "process", "flags"), "execve clone");
    json_decref(line);
    line = parse(2);
    cr_expect_str_eq(string_at(line, "process_exec", "parent", "binary"), "/first");
    cr_expect_str_eq(string_at(line, "process_exec", "process", "flags"), "execve");
    json_decref(line);
}

Test(pipeline, unknown_cgroup_inherits_from_a_parent_in_the_same_one)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    process_table_find(&pipeline.processes, A1.tgid, A1.start_ns)->cgroup_id =
        777; /* as if its cgroup had been forgotten */
    feed_all(make_fork(&buffer, A2, A1, 777, now));
    tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(line_count, 2);
    expect_state(1, "process_fork", "complete", "web-1");
}

Test(pipeline, unknown_cgroup_waits_for_its_path_then_for_its_pod)
{
    const struct make_key none = {0, 0};

    feed_all(make_exec(&buffer, A1, INIT, 555, now, "/a"));
    cr_expect_eq(line_count, 0);
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, 555, none, now, "/kubepods/pod" UID_A "/" ID_A));
    pass(NS_PER_MS);
    cr_expect_eq(line_count, 0);
    cr_expect_eq(hold_count(hold), 1);
    tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "complete", "web-1");
    feed_all(make_exec(&buffer, B1, INIT, 556, now, "/b"));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, 556, none, now, "/system.slice"));
    pass(NS_PER_MS);
    cr_assert_eq(line_count, 2);
    expect_state(1, "process_exec", "host", "");
}

Test(pipeline, full_store_lets_the_oldest_go_marked)
{
    teardown();
    limits.max_events = 10;
    start();
    cgroups();
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    for (uint32_t i = 0; i < 9; i++)
        feed_all(make_fork(&buffer, (struct make_key){3000 + i, 50 + i}, A1, CG_A, now));
    cr_expect_eq(line_count, 0);
    pass(NS_PER_MS);
    feed_all(make_exec(&buffer, B1, INIT, CG_B, now, "/b"));
    cr_assert_eq(line_count, 10);
    expect_state(0, "process_exec", "pending_expired", "");
    cr_expect_eq(pipeline.counters.released_evicted, 10);
    cr_expect_eq(hold_count(hold), 1);
    expect_balanced();
}

Test(pipeline, full_output_loses_and_reorders_nothing)
{
    room = 0;
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    const struct record_header *record = make_exec(&buffer, B1, INIT, CG_HOST, now, "/b");
    cr_expect_eq(feed(record), -EAGAIN);
    cr_expect_eq(feed(record), -EAGAIN);
    cr_expect(pipeline_is_blocked(&pipeline));
    room = 1;
    cr_expect_eq(feed(record), 0);
    cr_expect_eq(line_count, 1);
    expect_state(0, "process_exec", "host", "");
    tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(line_count, 1);
    cr_expect(pipeline_is_blocked(&pipeline));
    record = make_exit(&buffer, A1, CG_A, now, 0);
    cr_expect_eq(feed(record), -EAGAIN); /* what is being let go goes first */
    room = SIZE_MAX;
    cr_expect_eq(feed(record), 0);
    cr_assert_eq(line_count, 3);
    expect_state(1, "process_exec", "complete", "web-1");
    expect_state(2, "process_exit", "complete", "web-1");
    expect_balanced();
}

Test(pipeline, exit_told_twice_is_dropped_and_counted)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_HOST, now, "/a"));
    feed_all(make_exit(&buffer, A1, CG_HOST, now, 0));
    feed_all(make_exit(&buffer, A1, CG_HOST, now, 0));
    cr_expect_eq(line_count, 2);
    cr_expect_eq(pipeline.counters.exits_duplicate, 1);
    expect_balanced();
}

Test(pipeline, snapshot_names_parents_whatever_the_order)
{
    struct make_record child, parent;
    const struct record_header *c = make_process(
        &child, RECORD_SNAPSHOT_PROCESS, A2, A1, CG_A, now, "/usr/sbin/nginx", "nginx\0worker", 12);
    const struct record_header *p =
        make_process(&parent, RECORD_SNAPSHOT_PROCESS, A1, INIT, CG_A, now, "/usr/sbin/nginx", "nginx", 5);
    json_t *line;

    pipeline_snapshot_begin(&pipeline);
    for (int pass_number = 0; pass_number < 2; pass_number++) {
        pipeline_snapshot(&pipeline, c, (enum pipeline_snapshot_pass)pass_number);
        pipeline_snapshot(&pipeline, p, (enum pipeline_snapshot_pass)pass_number);
    }
    tell_pod(UID_A, "web-1", ID_A);
    feed_all(make_exit(&buffer, A2, CG_A, now, 0));
    expect_state(0, "process_exit", "complete", "web-1");
    line = parse(0);
    cr_expect_str_eq(string_at(line, "process_exit", "process", "arguments"), "worker");
    cr_expect_eq(json_integer_value(json_object_get(
                     json_object_get(json_object_get(line, "process_exit"), "parent"), "pid")),
        A1.tgid);
    json_decref(line);
}

Test(pipeline, later_snapshot_keeps_what_is_known_and_ends_what_it_does_not_have)
{
    struct process *kept;

    feed_all(make_process(&buffer, RECORD_EXEC, A1, INIT, CG_HOST, now, "/bin/a", "a", 1));
    feed_all(make_process(&buffer, RECORD_EXEC, A2, INIT, CG_HOST, now, "/bin/b", "b", 1));
    kept = process_table_find(&pipeline.processes, A1.tgid, A1.start_ns);
    pipeline_snapshot_begin(&pipeline);
    for (int pass_number = 0; pass_number < 2; pass_number++)
        pipeline_snapshot(&pipeline,
            make_process(&buffer, RECORD_SNAPSHOT_PROCESS, A1, INIT, CG_HOST, now + 1, "/bin/a", "a", 1),
            (enum pipeline_snapshot_pass)pass_number);
    pipeline_snapshot_missed(&pipeline, now);
    cr_expect_eq(process_table_find(&pipeline.processes, A1.tgid, A1.start_ns), kept);
    cr_expect_eq(kept->origin, PROCESS_EXECED);
    cr_expect_eq(kept->exited_ns, 0);
    cr_expect_neq(process_table_find(&pipeline.processes, A2.tgid, A2.start_ns)->exited_ns, 0);
}

Test(pipeline, pod_deleted_while_its_events_are_held_still_names_them)
{
    tell_pod(UID_A, "web-1", ID_B); /* the container's id is not known yet */
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    pod_table_remove(pods, POD_SOURCE_KUBELET, UID_A, now);
    pass(6 * SEC);
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "pod_only", "web-1");
}

/* ---- at random ---------------------------------------------------------------------------------------------- */

static unsigned next(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

#define RANDOM_PROCESSES 40

/* Events of one process carry a rising number in their time; they must leave in that order, all of them. */
static void random_run(unsigned seed)
{
    static const uint64_t groups[] = {CG_A, CG_B, CG_HOST};
    uint64_t number = 0, last[RANDOM_PROCESSES] = {0};
    size_t fed = 0;

    for (unsigned step = 0; step < 3000; step++) {
        unsigned who = next(&seed, RANDOM_PROCESSES), what = next(&seed, 100);
        struct make_key key = {5000 + who, 5000 + who};
        uint64_t group = groups[next(&seed, 3)];
        const struct record_header *record = NULL;

        if (what < 60)
            record = make_exec(&buffer, key, (struct make_key){5000 + next(&seed, RANDOM_PROCESSES), 1},
                group, ++number, "/x");
        else if (what < 70)
            record = make_cgroup(&buffer, RECORD_CGROUP_ATTACH, group, key, ++number, "/");
        else if (what < 71)
            tell_pod(next(&seed, 2) ? UID_A : UID_B, "p", next(&seed, 2) ? ID_A : ID_B);
        else if (what < 80)
            pass(next(&seed, 3000) * NS_PER_MS);
        else
            room = next(&seed, 50);
        if (!record)
            continue;
        fed += record->type == RECORD_EXEC;
        while (feed(record) == -EAGAIN) {
            room = next(&seed, 20);
            pipeline_turn(&pipeline, now);
        }
        expect_balanced();
    }
    room = SIZE_MAX;
    pass(100 * SEC);
    pass(100 * SEC);
    cr_expect_eq(hold_count(hold), 0);
    cr_assert_eq(line_count, fed);
    for (size_t i = 0; i < line_count; i++) {
        json_t *line = parse(i), *process = json_object_get(json_object_get(line, "process_exec"), "process");
        unsigned who = (unsigned)json_integer_value(json_object_get(process, "pid")) - 5000;
        const char *id = strrchr(json_string_value(json_object_get(line, "id")), '-') + 1;
        uint64_t seq = strtoull(id, NULL, 10);

        cr_expect_gt(seq, last[who], "seed of the run: line %zu overtook", i); /* E1 */
        last[who] = seq;
        json_decref(line);
    }
}

Test(pipeline, keeps_order_and_books_at_random)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        random_run(seed);
        teardown();
        start();
        cgroups();
    }
}
