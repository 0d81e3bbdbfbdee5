/* SPDX-License-Identifier: Apache-2.0 */
/* Ten minutes in which only the log directory tells: all events leave with its names, and all are corrected when the kubelet is back. */
#include "enricher/pipeline.h"

#include <stdio.h>

#include "tests/unit/enricher/pipeline_kit.h"

#define OUTAGE_S         600
#define PODS             90
#define POD_EVERY_S      6 /* another one starts */
#define EXECUTIONS       4 /* in each; and their forks and exits */
#define EVENTS_OF_POD    (3 * EXECUTIONS)
#define INCOMPLETE_TOTAL ((size_t)PODS * EVENTS_OF_POD)

TestSuite(outage, .init = kit_setup, .fini = kit_teardown);

struct names {
    char uid[37], pod[16], id[65], path[160];
};

static struct names names_of(unsigned pod)
{
    struct names names;

    (void)snprintf(names.uid, sizeof(names.uid), "%08x-1111-4111-8111-111111111111", pod + 0x1000);
    (void)snprintf(names.pod, sizeof(names.pod), "web-%u", pod);
    (void)snprintf(names.id, sizeof(names.id), "%064x", pod + 0x1000);
    (void)snprintf(names.path, sizeof(names.path), "/kubepods/pod%s/%s", names.uid, names.id);
    return names;
}

static void tell_log_directory(const struct names *names)
{
    struct pod_container container = {.name = STR("main"), .id = (char *)names->id};
    struct pod pod = {.uid = (char *)names->uid,
        .namespace_ = STR("shop"),
        .name = (char *)names->pod,
        .containers = &container,
        .container_count = 1};

    cr_assert_eq(pod_table_merge(kit.pods, POD_SOURCE_LOGDIR, &pod, kit.now), 0);
}

/* Forks one after the other, each with an exec and an exit. */
static void start_pod(unsigned pod)
{
    struct names names = names_of(pod);
    uint64_t cgroup = 1000 + pod;

    tell_log_directory(&names);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, cgroup, NONE, kit.now, names.path));
    for (unsigned i = 0; i < EXECUTIONS; i++) {
        struct make_key child = KEY(5000 + pod * EXECUTIONS + i, kit.now + i);

        kit_feed(make_fork(&kit.record, child, INIT, cgroup, kit.now));
        kit_feed(make_exec(&kit.record, child, INIT, cgroup, kit.now, "/bin/true"));
        kit_feed(make_exit(&kit.record, child, cgroup, kit.now, 0));
    }
}

/* What waits, what is remembered and what is owed stays small, however long it lasts. */
static void expect_bounded(void)
{
    cr_assert_leq(hold_count(kit.hold), 2 * EVENTS_OF_POD, "held for %d s at most", POD_EVERY_S);
    cr_assert_leq(kit.pipeline.processes.count, 4 * EXECUTIONS);
    cr_assert_leq(kit.pipeline.owed.count, kit.options.owed.total_max);
}

static void live_through_it(void)
{
    for (unsigned second = 0; second < OUTAGE_S; second++) {
        if (second % POD_EVERY_S == 0 && second / POD_EVERY_S < PODS)
            start_pod(second / POD_EVERY_S);
        kit_pass(SEC);
        expect_bounded();
    }
    cr_assert_eq(hold_count(kit.hold), 0);
}

static void expect_names_of_log_directory(void)
{
    cr_assert_eq(kit.line_count, INCOMPLETE_TOTAL);
    for (size_t i = 0; i < kit.line_count; i++) {
        json_t *line = kit_parse(i), *process;
        struct names names = names_of((unsigned)(i / EVENTS_OF_POD));

        process = json_object_get(json_object_iter_value(json_object_iter(line)), "process");
        cr_assert_str_eq(kit_string(process, "pod_state", NULL, NULL), "pod_only", "%s", kit.lines[i]);
        cr_assert_str_eq(kit_string(process, "pod_source", NULL, NULL), "logdir");
        cr_assert_str_eq(kit_string(process, "pod", "namespace", NULL), "shop");
        cr_assert_str_eq(kit_string(process, "pod", "name", NULL), names.pod);
        cr_assert_str_eq(kit_string(process, "pod", "container", "name"), "main");
        json_decref(line);
    }
    cr_assert_eq(kit.update_count, 0);
}

static void recover(void)
{
    for (unsigned pod = 0; pod < PODS; pod++) {
        struct names names = names_of(pod);

        kit_tell_pod(names.uid, names.pod, names.id);
    }
}

/* How many updates name an execution; each is complete and has what the kubelet adds. All together correct what was incomplete. */
static size_t expect_all_corrected(void)
{
    size_t named = 0, events = 0;

    for (size_t i = 0; i < kit.update_count; i++) {
        json_t *line = kit_parse_update(i), *update = json_object_get(line, "pod_update");

        cr_assert_str_eq(kit_string(update, "pod_state", NULL, NULL), "complete");
        cr_assert_str_eq(kit_string(update, "pod_source", NULL, NULL), "kubelet");
        cr_assert_str_eq(kit_string(update, "pod", "workload", NULL), "web");
        named += json_object_get(update, "exec_id") != NULL;
        events += (size_t)json_integer_value(json_object_get(update, "events"));
        json_decref(line);
    }
    cr_assert_eq(events, INCOMPLETE_TOTAL);
    cr_assert_eq(kit.pipeline.owed.count, 0);
    kit_expect_balanced();
    return named;
}

Test(outage, every_event_has_the_names_and_each_execution_is_corrected_once)
{
    struct coverage_tally tally;
    uint64_t corrected = 0;

    live_through_it();
    expect_names_of_log_directory();
    recover();
    cr_assert_eq(expect_all_corrected(), kit.update_count);
    kit_sum_coverage(&tally);
    for (size_t i = 0; i < COVERAGE_TYPES; i++)
        corrected += tally.corrected[i];
    cr_assert_eq(corrected, INCOMPLETE_TOTAL);
    recover();
    cr_assert_eq(kit.line_count, INCOMPLETE_TOTAL, "nothing leaves twice");
}

/* What exceeds the bound is corrected by one line for the whole container: less is said, nothing is forgotten. */
Test(outage, corrections_are_bounded_and_still_cover_all)
{
    size_t named;

    kit_stop();
    kit.options.owed = (struct owed_limits){.container_max = 2, .total_max = 50};
    kit_start();
    live_through_it();
    expect_names_of_log_directory();
    recover();
    named = expect_all_corrected();
    cr_assert_eq(named, 50);
    cr_assert_leq(kit.update_count, 50 + PODS);
}
