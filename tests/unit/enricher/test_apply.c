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

static const struct process *known(struct make_key key)
{
    return process_table_find(&kit.pipeline.processes, key.tgid, key.start_ns);
}

Test(apply, child_runs_its_parents_image_until_it_calls_exec)
{
    json_t *line;

    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/usr/sbin/nginx"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_HOST, kit.now));
    cr_expect_eq(known(A2)->image, known(A1)->image);
    kit_feed(make_exec(&kit.record, A2, A1, CG_HOST, kit.now + 1, "/bin/sh"));
    line = kit_parse(2);
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "binary"), "/bin/sh");
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "flags"), "execve clone");
    cr_expect_str_eq(kit_string(line, "process_exec", "parent", "binary"), "/usr/sbin/nginx");
    json_decref(line);
}

/* After a restart the queue tells again what is known: the same exec does not become its own parent. */
Test(apply, exec_told_twice_is_the_same_execution)
{
    struct make_record again;
    json_t *first, *second;

    kit_feed(make_fork(&kit.record, A1, INIT, CG_HOST, kit.now));
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now + 1, "/a"));
    memcpy(&again, &kit.record, sizeof(again));
    kit_feed((const struct record_header *)(const void *)again.bytes);
    first = kit_parse(1);
    second = kit_parse(2);
    cr_expect_str_eq(
        kit_string(first, "id", NULL, NULL), kit_string(second, "id", NULL, NULL), "a duplicate can be seen");
    cr_expect_str_eq(kit_string(first, "process_exec", "process", "exec_id"),
        kit_string(second, "process_exec", "process", "exec_id"));
    cr_expect_str_eq(kit_string(first, "process_exec", "parent", "exec_id"),
        kit_string(second, "process_exec", "parent", "exec_id"));
    json_decref(first);
    json_decref(second);
}

Test(apply, exit_of_a_process_never_seen_is_an_event)
{
    json_t *line;

    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 0x200));
    line = kit_parse(0);
    cr_expect_eq(json_integer_value(kit_at(line, "process_exit", "process", "pid")), A1.tgid);
    cr_expect_str_eq(kit_string(line, "process_exit", "process", "flags"), "miss");
    cr_expect_null(kit_at(line, "process_exit", "parent", NULL));
    json_decref(line);
}

Test(apply, pid_that_is_used_again_is_another_process)
{
    struct make_key again = KEY(A1.tgid, A1.start_ns + 1);

    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/first"));
    kit_feed(make_fork(&kit.record, again, INIT, CG_HOST, kit.now));
    cr_expect_neq(known(A1)->exited_ns, 0);
    cr_expect_eq(known(again)->exited_ns, 0);
    cr_expect_null(known(again)->image);
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 0)); /* late, and of the older one */
    cr_expect_eq(known(again)->exited_ns, 0);
    cr_expect_eq(kit.line_count, 3);
}

Test(apply, removed_cgroup_is_known_for_the_grace_time)
{
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, CG_A, NONE, kit.now, PATH_A));
    kit_pass(299 * SEC);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_pass(2 * SEC);
    kit_pass(SEC);
    cr_expect_null(container_table_find(&kit.pipeline.containers, CG_A));
}

Test(apply, processes_beyond_the_cgroup_table_are_told_marked_at_once)
{
    kit_stop();
    kit.options.max_cgroups = 4;
    kit_start();
    for (uint64_t i = 0; i < 10; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + (uint32_t)i, 1), INIT, 9000 + i, kit.now, "/a"));
    cr_expect_gt(kit.pipeline.containers.refused, 0);
    cr_expect_gt(kit.line_count, 0);
    kit_expect_state(0, "process_exec", "pending_expired", "");
    kit_expect_balanced();
    kit_pass(31 * SEC);
    cr_expect_eq(kit.line_count, 10);
}

Test(apply, records_that_make_no_event_are_counted)
{
    static const uint8_t types[] = {RECORD_SNAPSHOT_PROCESS, RECORD_SNAPSHOT_CGROUP, RECORD_SNAPSHOT_END};

    for (size_t i = 0; i < sizeof(types); i++)
        kit_feed(make_header(&kit.record, types[i], sizeof(struct record_process), A1, CG_HOST, kit.now));
    cr_expect_eq(kit.pipeline.counters.records_unknown_type, 3);
    cr_expect_eq(kit.line_count, 0);
    cr_expect_null(known(A1));
    kit_expect_balanced();
}

/* A process that is its own parent, or one of a pair that are each other's. */
Test(apply, parents_in_a_circle_do_no_harm)
{
    kit_feed(make_fork(&kit.record, A1, A1, CG_HOST, kit.now));
    kit_feed(make_exec(&kit.record, A1, A1, CG_HOST, kit.now + 1, "/a"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_HOST, kit.now));
    kit_feed(make_fork(&kit.record, A1, A2, CG_HOST, kit.now));
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 0));
    kit_feed(make_exit(&kit.record, A2, CG_HOST, kit.now, 0));
    cr_expect_eq(kit.line_count, 6);
    for (size_t i = 0; i < kit.line_count; i++)
        json_decref(kit_parse(i));
    kit_pass(100 * SEC);
    cr_expect_eq(kit.pipeline.processes.count, 0);
}

Test(apply, snapshot_of_parents_in_a_circle_does_no_harm)
{
    struct make_record one, two;
    const struct record_header *a =
        make_process(&one, RECORD_SNAPSHOT_PROCESS, A1, A2, CG_HOST, kit.now, "/a", "a", 1);
    const struct record_header *b =
        make_process(&two, RECORD_SNAPSHOT_PROCESS, A2, A1, CG_HOST, kit.now, "/b", "b", 1);

    pipeline_snapshot_begin(&kit.pipeline);
    for (int pass = 0; pass < 2; pass++) {
        pipeline_snapshot(&kit.pipeline, a, (enum pipeline_snapshot_pass)pass);
        pipeline_snapshot(&kit.pipeline, b, (enum pipeline_snapshot_pass)pass);
    }
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 0));
    kit_feed(make_exit(&kit.record, A2, CG_HOST, kit.now, 0));
    cr_expect_eq(kit.line_count, 2);
    for (size_t i = 0; i < kit.line_count; i++)
        json_decref(kit_parse(i));
}

/* ---- nothing of one Pod is given to a later one ---------------------------------------------------------------- */

#define PATH_A_AS_B "/kubepods/pod" UID_B "/" ID_B

Test(apply, cgroup_id_that_is_used_again_is_of_the_new_pod_and_what_waited_of_the_old)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/old"));
    kit_feed(make_exit(&kit.record, A1, CG_A, kit.now, 0));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, CG_A, NONE, kit.now, PATH_A));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, CG_A, NONE, kit.now, PATH_A_AS_B));
    kit_feed(make_exec(&kit.record, A2, INIT, CG_A, kit.now, "/new"));
    cr_expect_eq(kit.line_count, 0);
    kit_tell_pod(UID_B, "web-2", ID_B);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "complete", "web-2");
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(1, "process_exec", "complete", "web-1");
    kit_expect_state(2, "process_exit", "complete", "web-1");
    kit_expect_balanced();
}

Test(apply, pod_made_again_under_its_name_has_nothing_of_the_one_before)
{
    kit_tell_pod(UID_A, "db-0", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/old"));
    pod_table_remove(kit.pods, POD_SOURCE_KUBELET, UID_A, kit.now);
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/new"));
    kit_feed(make_exit(&kit.record, A1, CG_A, kit.now, 0));
    cr_assert_eq(kit.line_count, 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *line = kit_parse(i);
        const char *event = i == 2 ? "process_exit" : "process_exec";

        cr_expect_str_eq(
            kit_string(kit_at(line, event, "process", NULL), "pod", "uid", NULL), i == 1 ? UID_B : UID_A);
        json_decref(line);
    }
}

/* A deleted Pod and its container's id are kept for the grace time; a later Pod cannot have them. */
Test(apply, container_id_that_a_later_pod_claims_stays_with_the_first)
{
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_tell_pod(UID_B, "thief", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "complete", "web-1");
}

static const struct record_header *snapshot_cgroup(uint32_t hierarchy_id, uint64_t id, const char *path)
{
    (void)make_cgroup(&kit.record, RECORD_SNAPSHOT_CGROUP, id, NONE, kit.now, path);
    ((struct record_cgroup *)(void *)kit.record.bytes)->hierarchy_id = hierarchy_id;
    return (const struct record_header *)(const void *)kit.record.bytes;
}

/* A collector that goes by another hierarchy has other cgroups under the same numbers. */
Test(apply, cgroup_ids_of_another_hierarchy_are_not_mixed_with_those_before)
{
    struct make_record process;

    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_tell_pod(UID_B, "web-2", ID_B);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, A2, INIT, 555, kit.now, "/of-an-unknown-cgroup"));
    pipeline_snapshot_begin(&kit.pipeline);
    pipeline_snapshot(&kit.pipeline, snapshot_cgroup(8, 700, PATH_A), PIPELINE_SNAPSHOT_TABLES);
    pipeline_snapshot(&kit.pipeline, snapshot_cgroup(8, CG_A, PATH_B), PIPELINE_SNAPSHOT_TABLES);
    pipeline_snapshot(&kit.pipeline, snapshot_cgroup(8, 555, PATH_B), PIPELINE_SNAPSHOT_TABLES);
    (void)make_process(&process, RECORD_SNAPSHOT_PROCESS, A1, INIT, 700, kit.now, "/a", "", 0);
    for (int pass = 0; pass < 2; pass++)
        pipeline_snapshot(&kit.pipeline, (const struct record_header *)(const void *)process.bytes,
            (enum pipeline_snapshot_pass)pass);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_A, kit.now, "/b"));
    kit_feed(make_exit(&kit.record, A1, 700, kit.now, 0));
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_expect_state(1, "process_exec", "complete", "web-2");
    kit_expect_state(2, "process_exit", "complete", "web-1");
    kit_pass(31 * SEC);
    cr_assert_eq(kit.line_count, 4, "what was in a cgroup that nobody can name any more");
    kit_expect_state(3, "process_exec", "pending_expired", "");
    kit_expect_balanced();
}
