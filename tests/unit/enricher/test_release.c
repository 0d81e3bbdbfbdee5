/* SPDX-License-Identifier: Apache-2.0 */
/* How queues are let go. */
#include "enricher/pipeline.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(release, .init = kit_setup, .fini = kit_teardown);

Test(release, full_output_loses_and_reorders_nothing)
{
    kit.room = 0;
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    const struct record_header *record = make_exec(&kit.record, B1, INIT, CG_HOST, kit.now, "/b");
    cr_expect_eq(kit_try(record), -EAGAIN);
    cr_expect_eq(kit_try(record), -EAGAIN);
    cr_expect(pipeline_is_blocked(&kit.pipeline));
    kit.room = 1;
    cr_expect_eq(kit_try(record), 0);
    cr_expect_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "host", "");
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.line_count, 1);
    cr_expect(pipeline_is_blocked(&kit.pipeline));
    record = make_exit(&kit.record, A1, CG_A, kit.now, 0);
    cr_expect_eq(kit_try(record), -EAGAIN); /* what is being let go goes first */
    kit.room = SIZE_MAX;
    cr_expect_eq(kit_try(record), 0);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(1, "process_exec", "complete", "web-1");
    kit_expect_state(2, "process_exit", "complete", "web-1");
    kit_expect_balanced();
}

/* One by one: whatever the place where the output fills up, the rest stays, in order. */
Test(release, queue_is_let_go_as_far_as_there_is_room)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    for (uint32_t i = 0; i < 9; i++)
        kit_feed(make_fork(&kit.record, KEY(3000 + i, 1), A1, CG_A, kit.now));
    kit.room = 0;
    kit_tell_pod(UID_A, "web-1", ID_A);
    for (size_t i = 0; i < 10; i++) {
        cr_expect_eq(kit.line_count, i);
        cr_expect_eq(hold_count(kit.hold), 10 - i);
        cr_expect(pipeline_is_blocked(&kit.pipeline));
        kit_expect_balanced();
        kit.room = 1;
        kit_pass(NS_PER_MS);
    }
    cr_expect(!pipeline_is_blocked(&kit.pipeline));
    for (size_t i = 1; i < 10; i++) {
        json_t *line = kit_parse(i);

        cr_expect_eq(
            json_integer_value(kit_at(line, "process_fork", "process", "pid")), (json_int_t)(3000 + i - 1));
        json_decref(line);
    }
}

Test(release, arrival_of_a_path_is_an_arrival)
{
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, 555, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, 556, kit.now, "/b"));
    cr_expect_eq(kit.line_count, 0);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 555, NONE, kit.now, PATH_A));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 556, NONE, kit.now, "/system.slice"));
    kit_pass(NS_PER_MS);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_expect_state(1, "process_exec", "host", "");
    cr_expect_eq(kit.pipeline.counters.released_on_arrival, 2);
    cr_expect_eq(kit.pipeline.counters.released_expired, 0);
    kit_expect_balanced();
}

Test(release, each_way_out_is_counted_once)
{
    const struct counters *counters = &kit.pipeline.counters;

    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(31 * SEC);
    cr_expect_eq(counters->released_expired, 1);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    kit_tell_pod(UID_B, "db-0", ID_B);
    cr_expect_eq(counters->released_on_arrival, 1);
    cr_expect_eq(counters->events_held,
        counters->released_expired + counters->released_on_arrival + counters->released_evicted);
}

/* Eviction is a moment, not a verdict. */
Test(release, container_that_was_evicted_waits_again)
{
    kit_stop();
    kit.limits.max_events = 3;
    kit_start();
    for (uint32_t i = 0; i < 4; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, CG_A, kit.now, "/a"));
    cr_expect_eq(kit.line_count, 3);
    cr_expect_eq(kit.pipeline.counters.released_evicted, 3);
    cr_expect_eq(hold_count(kit.hold), 1);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 4);
    kit_expect_state(3, "process_exec", "complete", "web-1");
    kit_expect_balanced();
}

Test(release, pods_that_arrive_together_go_in_turn)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    kit.room = 0;
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit.room = SIZE_MAX;
    kit_pass(0);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(0, "process_exec", "complete", "db-0");
    kit_expect_state(1, "process_exec", "complete", "web-1");
}

/* Also what waits for its parent's container, and what the output has no room for at first. */
Test(release, nothing_is_left_when_all_is_let_go)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, KEY(3000, 1), A1, CG_B, kit.now)); /* its parent's comes first */
    kit_feed(make_exec(&kit.record, KEY(3000, 1), A1, CG_B, kit.now, "/b"));
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(hold_count(kit.hold), 3);
    kit.room = 1;
    cr_expect_eq(pipeline_let_go(&kit.pipeline, kit.now), -EAGAIN);
    cr_expect_eq(kit.line_count, 1);
    kit.room = SIZE_MAX;
    cr_expect_eq(pipeline_let_go(&kit.pipeline, kit.now), 0);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(0, "process_exec", "pending_expired", "");
    kit_expect_state(1, "process_fork", "pending_expired", "");
    kit_expect_state(2, "process_exec", "pending_expired", "");
    cr_expect_eq(hold_count(kit.hold), 0);
    cr_expect_eq(pipeline_let_go(&kit.pipeline, kit.now), 0);
    kit_expect_balanced();
}
