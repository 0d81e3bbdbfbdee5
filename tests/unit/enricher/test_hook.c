/* SPDX-License-Identifier: Apache-2.0 */
/* Hook events on the path of an event: with their process, parent and Pod, in order, and only those that were asked for. */
#include "enricher/pipeline.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(hook, .init = kit_setup, .fini = kit_teardown);

#define WEB "pod\0app\0In\0001\0web"
#define DB  "pod\0app\0In\0001\0db"

static const struct record_header *policy_of(uint32_t id, const char *name, uint8_t flags)
{
    return make_policy(&kit.record,
        &(struct make_policy){.hook_id = id,
            .kind = RECORD_HOOK_KPROBE,
            .flags = flags,
            .name = name,
            .name_space = flags & RECORD_POLICY_NAMESPACED ? "shop" : NULL,
            .function = "tcp_connect"},
        kit.now);
}

static void tell_policy(uint32_t id, const char *name)
{
    kit_feed(policy_of(id, name, 0));
}

static void tell_selective(uint32_t id, const char *selector, size_t size)
{
    kit_feed(make_policy(&kit.record,
        &(struct make_policy){.hook_id = id,
            .kind = RECORD_HOOK_KPROBE,
            .name = "selective",
            .function = "tcp_connect",
            .selector = selector,
            .selector_size = size},
        kit.now));
}

static const struct record_header *hook_of(struct make_key key, uint64_t cgroup, uint32_t id)
{
    struct record_hook *record = make_hook(&kit.record, key, cgroup, kit.now, id);

    make_arg_number(&kit.record, 0, RECORD_ARG_INT, 3);
    return &record->header;
}

static void expect_hook(size_t index, const char *state, const char *pod, const char *policy)
{
    json_t *line = kit_parse(index);

    kit_expect_state(index, "process_kprobe", state, pod);
    cr_expect_str_eq(kit_string(line, "process_kprobe", "policy_name", NULL), policy);
    json_decref(line);
}

/* ---- the path ------------------------------------------------------------------------------------------------ */

Test(hook, event_of_a_known_process_leaves_at_once_with_process_parent_and_pod)
{
    json_t *line, *event;

    tell_policy(1, "net");
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_feed(hook_of(A2, CG_A, 1));
    cr_assert_eq(kit.line_count, 3);
    expect_hook(2, "complete", "web-1", "net");
    line = kit_parse(2);
    event = json_object_get(line, "process_kprobe");
    cr_expect_str_eq(kit_string(event, "process", "binary", NULL), "/usr/sbin/nginx");
    cr_expect_str_eq(kit_string(event, "function_name", NULL, NULL), "tcp_connect");
    cr_expect_str_eq(kit_string(event, "action", NULL, NULL), "KPROBE_ACTION_POST");
    cr_expect_str_eq(
        kit_string(event, "process", "parent_exec_id", NULL), kit_string(event, "parent", "exec_id", NULL));
    cr_expect_str_eq(kit_string(event, "parent", "pod", "name"), "web-1");
    cr_expect_eq(
        json_integer_value(kit_at(json_array_get(json_object_get(event, "args"), 0), "int_arg", NULL, NULL)),
        3);
    cr_expect_eq(strncmp(kit_string(line, "id", NULL, NULL), "0123456789abcdef-1-", 19), 0);
    cr_expect_null(json_object_get(line, "held_ms"));
    json_decref(line);
    kit_expect_balanced();
}

Test(hook, events_are_held_with_their_process_and_the_exit_leaves_last)
{
    tell_policy(1, "net");
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    kit_feed(hook_of(A1, CG_A, 1));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_feed(hook_of(A2, CG_A, 1));
    kit_feed(hook_of(A2, CG_A, 1));
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 9));
    cr_expect_eq(kit.line_count, 0);
    kit_expect_balanced();
    kit_pass(2 * SEC);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 6);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    expect_hook(1, "complete", "web-1", "net");
    kit_expect_state(2, "process_fork", "complete", "web-1");
    expect_hook(3, "complete", "web-1", "net");
    expect_hook(4, "complete", "web-1", "net");
    kit_expect_state(5, "process_exit", "complete", "web-1");
    kit_expect_balanced();
}

Test(hook, process_that_was_never_seen_is_named_by_its_key)
{
    json_t *line;

    tell_policy(1, "net");
    kit_feed(hook_of(A3, CG_HOST, 1));
    cr_assert_eq(kit.line_count, 1);
    expect_hook(0, "host", "", "net");
    line = kit_parse(0);
    cr_expect_eq(json_integer_value(kit_at(line, "process_kprobe", "process", "pid")), A3.tgid);
    cr_expect_str_eq(kit_string(line, "process_kprobe", "process", "flags"), "miss");
    json_decref(line);
}

Test(hook, full_output_loses_and_reorders_nothing)
{
    const struct record_header *record;

    tell_policy(1, "net");
    kit.room = 0;
    record = hook_of(A1, CG_HOST, 1);
    cr_expect_eq(kit_try(record), -EAGAIN);
    cr_expect_eq(kit_try(record), -EAGAIN);
    cr_expect(pipeline_is_blocked(&kit.pipeline));
    kit.room = 1;
    cr_expect_eq(kit_try(record), 0);
    expect_hook(0, "host", "", "net");
    kit_expect_balanced();
}

Test(hook, parked_event_keeps_its_policy_when_the_pipeline_ends)
{
    tell_policy(1, "net");
    kit.room = 0;
    cr_expect_eq(kit_try(hook_of(A1, CG_HOST, 1)), -EAGAIN);
    cr_expect(kit.pipeline.has_parked); /* the end of the test drops it: seen by the address sanitizer */
}

/* ---- policies that come late, go, or are another's -------------------------------------------------------------- */

Test(hook, event_without_policy_leaves_marked_and_counted)
{
    json_t *line;

    kit_feed(hook_of(A1, CG_HOST, 5));
    cr_assert_eq(kit.line_count, 1);
    line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "process_kprobe", "function_name", NULL), "unknown");
    cr_expect_eq(json_integer_value(kit_at(line, "process_kprobe", "unknown_hook_id", NULL)), 5);
    json_decref(line);
    cr_expect_eq(kit.pipeline.counters.hooks_unnamed, 1);
    kit_expect_balanced();
}

Test(hook, held_event_takes_the_name_that_comes_while_it_waits)
{
    kit_feed(hook_of(A1, CG_A, 5));
    tell_policy(5, "late");
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 1);
    expect_hook(0, "complete", "web-1", "late");
    cr_expect_eq(kit.pipeline.counters.hooks_unnamed, 0);
}

Test(hook, held_event_keeps_the_policy_that_is_gone)
{
    tell_policy(5, "gone");
    kit.options.cgroup_grace_ns = SEC;
    kit_feed(hook_of(A1, CG_A, 5));
    kit_feed(policy_of(5, "gone", RECORD_POLICY_GONE));
    kit_pass(10 * SEC);
    cr_expect_eq(kit.pipeline.policies.count, 0);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 1);
    expect_hook(0, "complete", "web-1", "gone");
}

Test(hook, ids_of_another_collector_mean_what_it_says)
{
    tell_policy(1, "first");
    kit_feed(hook_of(A1, CG_A, 1));
    pipeline_collector_changed(&kit.pipeline);
    pipeline_snapshot_begin(&kit.pipeline);
    pipeline_snapshot(&kit.pipeline, policy_of(1, "second", 0), PIPELINE_SNAPSHOT_TABLES);
    pipeline_snapshot(&kit.pipeline, policy_of(1, "second", 0), PIPELINE_SNAPSHOT_PARENTS);
    kit_feed(hook_of(A1, CG_A, 1));
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    expect_hook(0, "complete", "web-1", "first");
    expect_hook(1, "complete", "web-1", "second");
}

Test(hook, snapshot_brings_policies_and_what_it_lacks_is_gone)
{
    tell_policy(1, "stays");
    tell_policy(2, "went");
    pipeline_snapshot_begin(&kit.pipeline);
    pipeline_snapshot(&kit.pipeline, policy_of(1, "stays", 0), PIPELINE_SNAPSHOT_TABLES);
    pipeline_snapshot(&kit.pipeline, policy_of(3, "new", 0), PIPELINE_SNAPSHOT_TABLES);
    pipeline_snapshot(&kit.pipeline,
        make_cgroup(&kit.record, RECORD_SNAPSHOT_CGROUP, CG_HOST, NONE, kit.now, "/"),
        PIPELINE_SNAPSHOT_TABLES);
    pipeline_snapshot_missed(&kit.pipeline, kit.now);
    kit_pass(301 * SEC);
    kit_feed(hook_of(A1, CG_HOST, 1));
    kit_feed(hook_of(A1, CG_HOST, 2));
    kit_feed(hook_of(A1, CG_HOST, 3));
    expect_hook(0, "host", "", "stays");
    expect_hook(1, "host", "", "");
    expect_hook(2, "host", "", "new");
}

Test(hook, lost_policy_asks_for_a_snapshot)
{
    struct record_lost *lost =
        (struct record_lost *)make_header(&kit.record, RECORD_LOST, sizeof(*lost), NONE, 0, kit.now);

    lost->where = RECORD_LOST_QUEUE;
    lost->count[RECORD_HOOK] = 3;
    kit_feed(&lost->header);
    cr_expect_eq(kit.pipeline.gap_since_ns, 0);
    lost->count[RECORD_POLICY] = 1;
    kit_feed(&lost->header);
    cr_expect_eq(kit.pipeline.gap_since_ns, kit.now);
}

Test(hook, policies_beyond_the_table_are_counted)
{
    for (uint32_t id = 0; id < POLICY_TABLE_MAX + 2; id++)
        tell_policy(id, "p");
    cr_expect_eq(kit.pipeline.counters.policies_refused, 2);
    kit_feed(hook_of(A1, CG_HOST, POLICY_TABLE_MAX));
    cr_expect_eq(kit.pipeline.counters.hooks_unnamed, 1);
}

/* ---- which Pods ---------------------------------------------------------------------------------------------------- */

Test(hook, selector_that_differs_drops_and_counts)
{
    tell_selective(1, DB, sizeof(DB) - 1);
    tell_selective(2, WEB, sizeof(WEB) - 1);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(hook_of(A1, CG_A, 1));
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(kit.pipeline.counters.hooks_not_selected, 1);
    cr_expect_eq(kit.pipeline.counters.dropped[RECORD_HOOK], 1);
    kit_feed(hook_of(A1, CG_A, 2));
    cr_assert_eq(kit.line_count, 1);
    expect_hook(0, "complete", "web-1", "selective");
    kit_expect_balanced();
}

Test(hook, host_is_in_no_selection)
{
    tell_selective(1, WEB, sizeof(WEB) - 1);
    kit_feed(policy_of(2, "of a namespace", RECORD_POLICY_NAMESPACED));
    kit_feed(hook_of(A1, CG_HOST, 1));
    kit_feed(hook_of(A1, CG_HOST, 2));
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(kit.pipeline.counters.hooks_not_selected, 2);
    kit_expect_balanced();
}

Test(hook, selection_waits_for_the_pod)
{
    tell_selective(1, WEB, sizeof(WEB) - 1);
    tell_selective(2, DB, sizeof(DB) - 1);
    kit_feed(policy_of(3, "of a namespace", RECORD_POLICY_NAMESPACED));
    for (uint32_t id = 1; id <= 3; id++)
        kit_feed(hook_of(A1, CG_A, id));
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(pipeline_held(&kit.pipeline), 3);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    expect_hook(0, "complete", "web-1", "selective");
    expect_hook(1, "complete", "web-1", "of a namespace");
    cr_expect_eq(kit.pipeline.counters.hooks_not_selected, 1);
    cr_expect_eq(kit.pipeline.counters.hooks_undecided, 0);
    kit_expect_balanced();
}

/* Rather too much than blind. */
Test(hook, pod_that_stays_unknown_leaves_marked_at_the_deadline)
{
    json_t *line;

    tell_selective(1, DB, sizeof(DB) - 1);
    kit_feed(hook_of(A1, CG_A, 1));
    kit_pass(31 * SEC);
    cr_assert_eq(kit.line_count, 1);
    line = kit_parse(0);
    cr_expect(json_is_true(kit_at(line, "process_kprobe", "selector_undecided", NULL)));
    json_decref(line);
    cr_expect_eq(kit.pipeline.counters.hooks_undecided, 1);
    cr_expect_eq(kit.pipeline.counters.hooks_not_selected, 0);
    kit_expect_balanced();
}

/* The parent's container is not known yet: no reason to keep what nobody asked for. */
Test(hook, event_out_of_the_selection_does_not_wait_for_its_parent)
{
    tell_selective(1, DB, sizeof(DB) - 1);
    kit_tell_pod(UID_B, "web-9", ID_B);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, B1, A1, CG_B, kit.now));
    cr_expect_eq(pipeline_held(&kit.pipeline), 2);
    kit_feed(hook_of(B1, CG_B, 1));
    cr_expect_eq(pipeline_held(&kit.pipeline), 2);
    cr_expect_eq(kit.pipeline.counters.hooks_not_selected, 1);
    kit_expect_balanced();
}

Test(hook, malformed_selector_is_counted_and_hides_nothing)
{
    tell_selective(1, "pod\0app", 7);
    cr_expect_eq(kit.pipeline.counters.records_malformed, 1);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(hook_of(A1, CG_A, 1));
    cr_assert_eq(kit.line_count, 1);
    cr_expect_eq(kit.pipeline.counters.hooks_undecided, 1);
}
