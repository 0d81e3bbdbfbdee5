/* SPDX-License-Identifier: Apache-2.0 */
/* A record → the tables, and the event that it is. */
#include "enricher/pipeline.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(apply, .init = kit_setup, .fini = kit_teardown);

Test(apply, exec_over_exec_has_the_previous_image_as_parent)
{
    json_t *line;

    kit_feed(make_fork(&kit.record, A1, INIT, CG_HOST, kit.now));
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now + 1, "/first"));
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now + 2, "/second"));
    line = kit_parse(1);
    cr_expect_eq(json_integer_value(json_object_get(
                     json_object_get(json_object_get(line, "process_exec"), "parent"), "pid")),
        1);
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "flags"), "execve clone");
    json_decref(line);
    line = kit_parse(2);
    cr_expect_str_eq(kit_string(line, "process_exec", "parent", "binary"), "/first");
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "flags"), "execve");
    json_decref(line);
}

Test(apply, unknown_cgroup_inherits_from_a_parent_in_the_same_one)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    process_table_find(&kit.pipeline.processes, A1.tgid, A1.start_ns)->cgroup_id =
        777; /* as if its cgroup had been forgotten */
    kit_feed(make_fork(&kit.record, A2, A1, 777, kit.now));
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(1, "process_fork", "complete", "web-1");
}

Test(apply, exit_told_twice_is_dropped_and_counted)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/a"));
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 0));
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 0));
    cr_expect_eq(kit.line_count, 2);
    cr_expect_eq(kit.pipeline.counters.exits_duplicate, 1);
    kit_expect_balanced();
}

Test(apply, snapshot_names_parents_whatever_the_order)
{
    struct make_record child, parent;
    const struct record_header *c = make_process(
        &child, RECORD_SNAPSHOT_PROCESS, A2, A1, CG_A, kit.now, "/usr/sbin/nginx", "nginx\0worker", 12);
    const struct record_header *p = make_process(
        &parent, RECORD_SNAPSHOT_PROCESS, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx", "nginx", 5);
    json_t *line;

    pipeline_snapshot_begin(&kit.pipeline);
    for (int pass_number = 0; pass_number < 2; pass_number++) {
        pipeline_snapshot(&kit.pipeline, c, (enum pipeline_snapshot_pass)pass_number);
        pipeline_snapshot(&kit.pipeline, p, (enum pipeline_snapshot_pass)pass_number);
    }
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 0));
    kit_expect_state(0, "process_exit", "complete", "web-1");
    line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "process_exit", "process", "arguments"), "worker");
    cr_expect_eq(json_integer_value(json_object_get(
                     json_object_get(json_object_get(line, "process_exit"), "parent"), "pid")),
        A1.tgid);
    json_decref(line);
}

Test(apply, later_snapshot_keeps_what_is_known_and_ends_what_it_does_not_have)
{
    struct process *kept;

    kit_feed(make_process(&kit.record, RECORD_EXEC, A1, INIT, CG_HOST, kit.now, "/bin/a", "a", 1));
    kit_feed(make_process(&kit.record, RECORD_EXEC, A2, INIT, CG_HOST, kit.now, "/bin/b", "b", 1));
    kept = process_table_find(&kit.pipeline.processes, A1.tgid, A1.start_ns);
    pipeline_snapshot_begin(&kit.pipeline);
    for (int pass_number = 0; pass_number < 2; pass_number++)
        pipeline_snapshot(&kit.pipeline,
            make_process(
                &kit.record, RECORD_SNAPSHOT_PROCESS, A1, INIT, CG_HOST, kit.now + 1, "/bin/a", "a", 1),
            (enum pipeline_snapshot_pass)pass_number);
    pipeline_snapshot_missed(&kit.pipeline, kit.now);
    cr_expect_eq(process_table_find(&kit.pipeline.processes, A1.tgid, A1.start_ns), kept);
    cr_expect_eq(kept->origin, PROCESS_EXECED);
    cr_expect_eq(kept->exited_ns, 0);
    cr_expect_neq(process_table_find(&kit.pipeline.processes, A2.tgid, A2.start_ns)->exited_ns, 0);
}
