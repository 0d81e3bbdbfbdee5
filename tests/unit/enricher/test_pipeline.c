/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of the path of an event, each in one line of output or a few. */
#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(pipeline, .init = setup, .fini = teardown);

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
