/* SPDX-License-Identifier: Apache-2.0 */
/* What waits, and where. */
#include "enricher/pipeline.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(place, .init = kit_setup, .fini = kit_teardown);

Test(place, child_in_another_container_waits_for_its_parents_pod)
{
    json_t *line;

    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, B1, A1, CG_B, kit.now)); /* cloned into the other cgroup */
    kit_feed(make_exit(&kit.record, B1, CG_B, kit.now, 0));
    cr_expect_eq(kit.line_count, 0);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(1, "process_fork", "complete", "db-0");
    line = kit_parse(1);
    json_t *parent = json_object_get(json_object_get(line, "process_fork"), "parent");
    cr_expect_str_eq(kit_string(parent, "pod", "name", NULL), "web-1");
    json_decref(line);
    kit_expect_state(2, "process_exit", "complete", "db-0");
}

Test(place, moved_process_does_not_overtake_itself)
{
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(
        make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, CG_B, A1, kit.now, "/kubepods/pod" UID_B "/" ID_B));
    kit_feed(make_exec(&kit.record, A1, INIT, CG_B, kit.now + 1, "/b"));
    cr_expect_eq(kit.line_count, 0);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_expect_state(1, "process_exec", "complete", "db-0");
    kit_feed(make_exit(&kit.record, A1, CG_B, kit.now, 0));
    cr_expect_eq(kit.line_count, 3);
}

Test(place, full_store_lets_the_oldest_go_marked)
{
    kit_stop();
    kit.limits.max_events = 10;
    kit_start();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    for (uint32_t i = 0; i < 9; i++)
        kit_feed(make_fork(&kit.record, (struct make_key){3000 + i, 50 + i}, A1, CG_A, kit.now));
    cr_expect_eq(kit.line_count, 0);
    kit_pass(NS_PER_MS);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    cr_assert_eq(kit.line_count, 10);
    kit_expect_state(0, "process_exec", "pending_expired", "");
    cr_expect_eq(kit.pipeline.counters.released_evicted, 10);
    cr_expect_eq(hold_count(kit.hold), 1);
    kit_expect_balanced();
}

Test(place, event_that_no_store_can_take_goes_as_it_is)
{
    kit_stop();
    kit.limits.max_bytes = 64;
    kit_start();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "pending", "");
    kit_expect_balanced();
}

Test(place, event_without_parent_waits_for_its_own_container_only)
{
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    kit_feed(make_exit(&kit.record, KEY(7777, 1), CG_HOST, kit.now, 0));
    cr_expect_eq(kit.line_count, 2);
    cr_expect_eq(hold_count(kit.hold), 1);
}

/* What is behind others of its container waits, too, even when its own cgroup is another one of the same container. */
Test(place, cgroups_below_one_container_share_its_queue)
{
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 101, NONE, kit.now, PATH_A "/init"));
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, A2, INIT, 101, kit.now, "/a"));
    cr_expect_eq(kit.asks, 1);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_expect_state(1, "process_exec", "complete", "web-1");
}

Test(place, events_without_their_pod_are_counted)
{
    kit_stop();
    kit.options.hold_timeout_ns = 0;
    kit_start();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, A2, INIT, CG_HOST, kit.now, "/a"));
    cr_expect_eq(kit.pipeline.counters.emitted_without_pod, 1);
    kit_tell_pod(UID_A, "web-1", NULL);
    kit_feed(make_exec(&kit.record, A3, INIT, CG_A, kit.now, "/a"));
    cr_expect_eq(kit.pipeline.counters.emitted_without_pod, 1);
    cr_expect_eq(kit.pipeline.counters.emitted_pod_only, 1);
}
