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
