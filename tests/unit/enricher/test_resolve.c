/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a container, and until when its events wait. */
#include "enricher/pipeline.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(resolve, .init = kit_setup, .fini = kit_teardown);

Test(resolve, deadline_lets_go_marked_and_later_events_do_not_wait_until_news)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    for (int i = 0; i < 29; i++)
        kit_pass(SEC);
    kit_pass(SEC - 2 * NS_PER_MS);
    cr_expect_eq(kit.line_count, 0);
    kit_pass(4 * NS_PER_MS);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pending_expired", "");
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(1, "process_fork", "pending_expired", "");
    cr_expect_eq(kit.pipeline.counters.emitted_without_pod, 2);
    cr_expect_gt(kit.asks, 5);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_fork(&kit.record, A3, A1, CG_A, kit.now));
    kit_expect_state(2, "process_fork", "complete", "web-1");
    kit_expect_balanced();
}

Test(resolve, only_the_container_missing_has_the_shorter_deadline_and_is_remembered)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/pause"));
    kit_pass(SEC);
    kit_tell_pod(UID_A, "web-1", ID_B);
    cr_expect_eq(kit.line_count, 0);
    kit_pass(5 * SEC + 2 * NS_PER_MS);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pod_only", "web-1");
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(1, "process_fork", "pod_only", "web-1");
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_fork(&kit.record, A3, A1, CG_A, kit.now));
    kit_expect_state(2, "process_fork", "complete", "web-1");
}

Test(resolve, hold_timeout_of_zero_never_waits)
{
    kit_stop();
    kit.options.hold_timeout_ns = 0;
    kit_start();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pending_expired", "");
}

Test(resolve, unknown_cgroup_waits_for_its_path_then_for_its_pod)
{
    kit_feed(make_exec(&kit.record, A1, INIT, 555, kit.now, "/a"));
    cr_expect_eq(kit.line_count, 0);
    kit_feed(
        make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 555, NONE, kit.now, "/kubepods/pod" UID_A "/" ID_A));
    kit_pass(NS_PER_MS);
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(hold_count(kit.hold), 1);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_feed(make_exec(&kit.record, B1, INIT, 556, kit.now, "/b"));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 556, NONE, kit.now, "/system.slice"));
    kit_pass(NS_PER_MS);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(1, "process_exec", "host", "");
}

Test(resolve, pod_deleted_while_its_events_are_held_still_names_them)
{
    kit_tell_pod(UID_A, "web-1", ID_B); /* the container's id is not known yet */
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    pod_table_remove(kit.pods, POD_SOURCE_KUBELET, UID_A, kit.now);
    kit_pass(6 * SEC);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pod_only", "web-1");
}

/* ---- how often the sources are asked -------------------------------------------------------------------------- */

Test(resolve, sources_are_asked_again_with_back_off_until_the_deadline)
{
    uint64_t last_ns = kit.now, shortest = UINT64_MAX, longest = 0;
    unsigned asks = 1;

    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.asks, 1);
    while (kit.line_count == 0) {
        kit_pass(NS_PER_MS);
        if (kit.asks == asks)
            continue;
        cr_assert_eq(kit.asks, asks + 1);
        asks = kit.asks;
        shortest = kit.now - last_ns < shortest ? kit.now - last_ns : shortest;
        longest = kit.now - last_ns > longest ? kit.now - last_ns : longest;
        last_ns = kit.now;
    }
    cr_expect_geq(shortest, 100 * NS_PER_MS, "half of the first delay");
    cr_expect_leq(longest, 5 * SEC + 2 * NS_PER_MS);
    cr_expect(asks >= 8 && asks <= 20, "%u", asks);
    asks = kit.asks;
    kit_pass(60 * SEC);
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_pass(60 * SEC);
    cr_expect_eq(kit.asks, asks, "what was given up is not asked for");
    cr_expect_eq(kit.pipeline.counters.asks, asks);
}

Test(resolve, each_container_is_asked_for_once_at_a_time)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    for (uint32_t i = 0; i < 100; i++)
        kit_feed(make_fork(&kit.record, KEY(3000 + i, 1), A1, CG_A, kit.now));
    cr_expect_eq(kit.asks, 1);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    cr_expect_eq(kit.asks, 2);
}

Test(resolve, nothing_is_due_when_nothing_waits)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/a"));
    cr_expect_eq(pipeline_next_ns(&kit.pipeline), UINT64_MAX);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_expect_leq(pipeline_next_ns(&kit.pipeline), kit.now + 201 * NS_PER_MS);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(pipeline_next_ns(&kit.pipeline), UINT64_MAX);
}

/* ---- until when ------------------------------------------------------------------------------------------------ */

Test(resolve, later_events_do_not_move_the_deadline)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    for (uint32_t i = 0; i < 29; i++) {
        kit_pass(SEC);
        kit_feed(make_fork(&kit.record, KEY(3000 + i, 1), A1, CG_A, kit.now));
    }
    cr_expect_eq(kit.line_count, 0);
    kit_pass(SEC + 2 * NS_PER_MS);
    cr_expect_eq(kit.line_count, 30);
    cr_expect_eq(kit.pipeline.counters.released_expired, 30);
}

Test(resolve, pod_that_comes_late_does_not_move_the_deadline)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(28 * SEC);
    kit_tell_pod(UID_A, "web-1", NULL);
    kit_pass(2 * SEC - 2 * NS_PER_MS);
    cr_expect_eq(kit.line_count, 0);
    kit_pass(4 * NS_PER_MS);
    cr_expect_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pod_only", "web-1");
}

Test(resolve, container_timeout_of_zero_lets_go_with_the_pod_alone)
{
    kit_stop();
    kit.options.container_timeout_ns = 0;
    kit_start();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_expect_eq(kit.line_count, 0);
    kit_tell_pod(UID_A, "web-1", NULL);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pod_only", "web-1");
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    cr_expect_eq(kit.line_count, 2);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_fork(&kit.record, A3, A1, CG_A, kit.now));
    kit_expect_state(2, "process_fork", "complete", "web-1");
}

Test(resolve, clock_that_jumps_far_ahead_lets_everything_go_once)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    kit_pass(1000000 * SEC);
    cr_expect_eq(kit.line_count, 2);
    cr_expect_eq(hold_count(kit.hold), 0);
    kit_expect_balanced();
}

/* ---- news ------------------------------------------------------------------------------------------------------- */

Test(resolve, news_that_changes_nothing_lets_nothing_go)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_tell_pod(UID_A, "web-1", NULL);
    kit_tell_pod(UID_A, "web-1", NULL);
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(hold_count(kit.hold), 1);
}

Test(resolve, labels_that_change_show_in_the_next_line)
{
    struct pod_pair label = {STR("app"), STR("other")};
    struct pod_container container = {.name = STR("main"), .id = STR(ID_A)};
    struct pod pod = {.uid = STR(UID_A),
        .namespace_ = STR("shop"),
        .name = STR("web-1"),
        .labels = &label,
        .label_count = 1,
        .containers = &container,
        .container_count = 1};
    json_t *line;

    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(pod_table_merge(kit.pods, POD_SOURCE_KUBELET, &pod, kit.now), 0);
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    line = kit_parse(1);
    cr_expect_str_eq(
        kit_string(kit_at(line, "process_fork", "process", "pod"), "pod_labels", "app", NULL), "other");
    json_decref(line);
}

/* The container's cgroup may be known by its id alone to the Pod: another UID in the path (a static Pod). */
Test(resolve, pod_is_found_by_its_container_when_its_uid_is_another)
{
    kit_tell_pod("33333333-3333-4333-8333-333333333333", "static-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "complete", "static-1");
}
