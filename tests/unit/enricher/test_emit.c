/* SPDX-License-Identifier: Apache-2.0 */
/* The lines: forms and names as in docs/events.md, bounds whatever goes in. */
#include "enricher/emit.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(emit, .init = kit_setup, .fini = kit_teardown);

static json_t *process_of(json_t *line, const char *event)
{
    return kit_at(line, event, "process", NULL);
}

static json_int_t number(json_t *object, const char *key)
{
    cr_expect(json_is_integer(json_object_get(object, key)), "%s is no number", key);
    return json_integer_value(json_object_get(object, key));
}

/* ---- names and forms ----------------------------------------------------------------------------------------- */

Test(emit, line_carries_what_the_format_says)
{
    json_t *line;

    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "binary"), "/usr/sbin/nginx");
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "arguments"), "-x \"two words\"");
    cr_expect_str_eq(
        kit_string(line, "process_exec", "process", "docker"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_expect_eq(json_array_size(kit_at(line, "process_exec", "process", "args")), 2);
    cr_expect_str_eq(kit_string(line, "node_name", NULL, NULL), "node1");
    cr_expect_str_eq(
        kit_string(line, "time", NULL, NULL), kit_string(line, "process_exec", "process", "start_time"));
    json_decref(line);
    line = kit_parse(1);
    json_t *child = process_of(line, "process_fork"), *parent = kit_at(line, "process_fork", "parent", NULL);
    cr_expect_str_eq(
        kit_string(child, "parent_exec_id", NULL, NULL), kit_string(parent, "exec_id", NULL, NULL));
    cr_expect_str_eq(kit_string(child, "binary", NULL, NULL), "/usr/sbin/nginx");
    cr_expect_str_eq(kit_string(child, "pod", "container", "id"), "containerd://" ID_A);
    cr_expect_eq(number(kit_at(child, "pod", "container", NULL), "pid"), A2.tgid % 1000);
    cr_expect_str_eq(kit_string(child, "pod", "pod_labels", "app"), "web");
    cr_expect_str_eq(kit_string(child, "pod", "workload_kind", NULL), "Deployment");
    json_decref(line);
}

/* The wrapped numbers of Tetragon are there even when they are 0. */
Test(emit, zero_ids_are_written)
{
    json_t *line, *process;

    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, (struct make_key){2000, 10}, INIT, CG_A, kit.now, "/x")); /* ns_pid 0 */
    line = kit_parse(0);
    process = process_of(line, "process_exec");
    cr_expect_eq(number(process, "uid"), 0);
    cr_expect_eq(number(process, "pid"), 2000);
    cr_expect_eq(number(process, "tid"), 2000);
    cr_expect_eq(number(process, "auid"), UINT32_MAX);
    cr_expect(json_is_false(json_object_get(process, "in_init_tree")));
    cr_expect_eq(number(kit_at(process, "pod", "container", NULL), "pid"), 0);
    json_decref(line);
}

/* Of a parent that was never seen only its key is known, and nothing is claimed beyond it. */
Test(emit, unknown_parent_has_its_pid_and_the_word_miss)
{
    json_t *line, *parent;

    kit_feed(make_exec(&kit.record, A1, A2, CG_HOST, kit.now, "/x"));
    line = kit_parse(0);
    parent = kit_at(line, "process_exec", "parent", NULL);
    cr_expect_eq(number(parent, "pid"), A2.tgid);
    cr_expect_str_eq(kit_string(parent, "flags", NULL, NULL), "miss");
    cr_expect_null(json_object_get(parent, "uid"));
    cr_expect_null(json_object_get(parent, "auid"));
    cr_expect_null(json_object_get(parent, "in_init_tree"));
    cr_expect_null(json_object_get(parent, "pod_state"));
    json_decref(line);
}

static json_t *exit_with(uint32_t wait_status)
{
    size_t index = kit.line_count;
    struct make_key key = {5000 + (uint32_t)index, 50};

    kit_feed(make_exit(&kit.record, key, CG_HOST, kit.now, wait_status));
    return kit_parse(index);
}

Test(emit, exit_tells_signal_and_status)
{
    static const struct {
        uint32_t wait_status;
        const char *signal;
        json_int_t status;
    } cases[] = {
        {0, "", 0},
        {0x100, "", 1},
        {0xff00, "", 255},
        {9, "SIGKILL", 0},
        {11 | 0x80, "SIGSEGV", 0}, /* core dumped */
        {31, "SIGSYS", 0},
        {32, "SIGRT32", 0},
        {64, "SIGRT64", 0},
        {127, "SIGRT127", 0},
        {0xffffffff, "SIGRT127", 255}, /* hostile: more than wait(2) knows */
        {0xffff0000, "", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *line = exit_with(cases[i].wait_status), *event = json_object_get(line, "process_exit");

        cr_expect_str_eq(
            kit_string(event, "signal", NULL, NULL), cases[i].signal, "%#x", cases[i].wait_status);
        cr_expect_eq(json_object_get(event, "signal") != NULL, *cases[i].signal != 0);
        cr_expect_eq(json_integer_value(json_object_get(event, "status")), cases[i].status, "%#x",
            cases[i].wait_status);
        cr_expect_eq(json_object_get(event, "status") != NULL, cases[i].status != 0);
        cr_expect_str_eq(kit_string(event, "time", NULL, NULL), kit_string(line, "time", NULL, NULL));
        json_decref(line);
    }
}

Test(emit, id_is_boot_cpu_and_sequence_and_held_says_how_long)
{
    json_t *line;
    char expected[64];
    const struct record_header *record;

    kit_tell_pod(UID_B, "db-0", ID_B);
    record = make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b");
    (void)snprintf(
        expected, sizeof(expected), "0123456789abcdef-%u-%llu", record->cpu, (unsigned long long)record->seq);
    kit_feed(record);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(1234 * NS_PER_MS);
    kit_tell_pod(UID_A, "web-1", ID_A);
    line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "id", NULL, NULL), expected);
    cr_expect_null(json_object_get(line, "held_ms"));
    json_decref(line);
    line = kit_parse(1);
    cr_expect_eq(number(line, "held_ms"), 1234);
    json_decref(line);
}

Test(emit, role_tells_the_runtime_from_the_workload)
{
    struct record_process *record;
    json_t *line;

    kit_tell_pod(UID_A, "web-1", ID_A);
    record = (struct record_process *)make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/bin/runc");
    record->flags = RECORD_PROCESS_BINARY_HOST_MNT;
    kit_feed(&record->header);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now + 1, "/app"));
    line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "role"), "runtime");
    json_decref(line);
    line = kit_parse(1);
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "role"), "workload");
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "pod_source"), "kubelet");
    json_decref(line);
}

/* ---- what can be turned off ------------------------------------------------------------------------------------ */

static void run_three(void)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_B, kit.now));
    kit_feed(make_exit(&kit.record, A2, CG_B, kit.now, 9));
    kit_pass(31 * SEC);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A3, A1, CG_A, kit.now, "/a"));
}

/* Removes what docs/events.md calls ours. */
static void strip_own(json_t *line, const char *event)
{
    static const char *const own[] = {"args", "pod_state", "pod_state_reason", "pod_source", "role"};
    json_t *ends[] = {kit_at(line, event, "process", NULL), kit_at(line, event, "parent", NULL)};

    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < sizeof(own) / sizeof(own[0]); j++)
            (void)json_object_del(ends[i], own[j]);
    }
    (void)json_object_del(line, "id");
    (void)json_object_del(line, "held_ms");
}

static char *without_times(size_t index, bool strip)
{
    json_t *line = kit_parse(index);
    const char *event = json_object_iter_key(json_object_iter(line));
    char *text;

    if (strip)
        strip_own(line, event);
    for (const char *end = "process"; end; end = strcmp(end, "process") ? NULL : "parent")
        (void)json_object_del(kit_at(line, event, end, NULL), "start_time");
    (void)json_object_del(json_object_get(line, event), "time");
    (void)json_object_del(line, "time");
    text = json_dumps(line, JSON_SORT_KEYS);
    json_decref(line);
    return text;
}

Test(emit, own_fields_off_leaves_out_exactly_ours)
{
    char *with[4];

    run_three();
    cr_assert_eq(kit.line_count, 4);
    for (size_t i = 0; i < 4; i++)
        with[i] = without_times(i, true);
    kit_stop();
    kit.render.own_fields = kit.render.image.own_fields = false;
    kit_start();
    run_three();
    cr_assert_eq(kit.line_count, 4);
    for (size_t i = 0; i < 4; i++) {
        char *without = without_times(i, false);

        cr_expect_str_eq(without, with[i]);
        free(without);
        free(with[i]);
    }
}

static const struct record_header *lost_record(struct make_record *buffer)
{
    struct record_lost *record =
        (struct record_lost *)make_header(buffer, RECORD_LOST, sizeof(*record), NONE, 0, kit.now);

    record->header.cpu = 3;
    record->where = RECORD_LOST_BPF_RING;
    record->first_seq = UINT64_MAX - 1;
    record->last_seq = UINT64_MAX;
    record->count[RECORD_FORK] = 4;
    record->count[RECORD_EXEC] = 2;
    return &record->header;
}

Test(emit, own_events_off_leaves_out_fork_and_lost_and_the_books_balance)
{
    kit_stop();
    kit.options.own_events = false;
    kit_start();
    run_three();
    kit_feed(lost_record(&kit.record));
    cr_assert_eq(kit.line_count, 3);
    for (size_t i = 0; i < kit.line_count; i++)
        cr_expect_null(strstr(kit.lines[i], "process_fork"));
    cr_expect_eq(kit.pipeline.counters.lost_records, 6);
    kit_expect_balanced();
}

Test(emit, lost_tells_which_and_where)
{
    json_t *line;

    kit_feed(lost_record(&kit.record));
    line = kit_parse(0);
    cr_expect_eq(number(json_object_get(line, "lost"), "cpu"), 3);
    cr_expect_str_eq(kit_string(line, "lost", "from", NULL), "18446744073709551614");
    cr_expect_str_eq(kit_string(line, "lost", "to", NULL), "18446744073709551615");
    cr_expect_str_eq(kit_string(line, "lost", "where", NULL), "bpf_ring");
    cr_expect_eq(number(kit_at(line, "lost", "by_type", NULL), "fork"), 4);
    cr_expect_eq(json_object_size(kit_at(line, "lost", "by_type", NULL)), 2);
    cr_expect_eq(kit.pipeline.counters.lost_records, 6);
    json_decref(line);
}

Test(emit, lost_types_of_a_newer_collector_are_one_key)
{
    struct record_lost *record = (struct record_lost *)lost_record(&kit.record);
    json_t *line;

    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++)
        record->count[i] = INT64_MAX / RECORD_TYPE_SLOTS;
    record->where = RECORD_LOST_QUEUE;
    kit_feed(&record->header);
    line = kit_parse(0);
    cr_expect_eq(number(kit_at(line, "lost", "by_type", NULL), "other"),
        (RECORD_TYPE_SLOTS - RECORD_TYPE_COUNT + 1) * (INT64_MAX / RECORD_TYPE_SLOTS));
    cr_expect_str_eq(kit_string(line, "lost", "where", NULL), "queue");
    json_decref(line);
}

/* ---- as long as it can be --------------------------------------------------------------------------------------- */

#define EXTREME_PAIRS 100

static char *fill(const char *unit, size_t size)
{
    char *text = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        text[i] = unit[i % strlen(unit)];
    text[size] = '\0';
    return text;
}

/* A Pod whose every field is as long as its source lets it be, of characters that take six bytes each. */
static void tell_extreme_pod(const char *uid, const char *container_id)
{
    struct pod_pair pairs[EXTREME_PAIRS];
    char *name = fill("\x01", 253), *image = fill("\x02", 1024);
    struct pod_container container = {.name = name,
        .id = (char *)container_id,
        .runtime = name,
        .image = image,
        .image_id = image,
        .started_unix_ns = UINT64_MAX,
        .privileged = true};
    struct pod pod = {.uid = (char *)uid,
        .namespace_ = name,
        .name = name,
        .labels = pairs,
        .label_count = EXTREME_PAIRS,
        .annotations = pairs,
        .annotation_count = 60,
        .containers = &container,
        .container_count = 1,
        .workload = name,
        .workload_kind = name};

    for (size_t i = 0; i < EXTREME_PAIRS; i++) {
        pairs[i].key = fill("\x03k", 317);
        (void)snprintf(pairs[i].key, 8, "k%03zu", i);
        pairs[i].key[4] = '/';
        pairs[i].value = fill("\x7fv", 63);
    }
    cr_assert_eq(pod_table_merge(kit.pods, POD_SOURCE_KUBELET, &pod, kit.now), 0);
    pipeline_turn(&kit.pipeline, kit.now);
    for (size_t i = 0; i < EXTREME_PAIRS; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(name);
    free(image);
}

static const struct record_header *extreme_exec(
    struct make_key key, struct make_key parent, uint64_t cgroup, const char *unit)
{
    char *path = fill(unit, RECORD_PATH_MAX), *args = fill(unit, RECORD_ARGS_MAX);
    struct record_process *record;
    size_t used = sizeof(*record);

    args[4] = '\0';
    record =
        (struct record_process *)make_header(&kit.record, RECORD_EXEC, sizeof(*record), key, cgroup, kit.now);
    record->parent_tgid = parent.tgid;
    record->parent_start_ns = parent.start_ns;
    record->uid = record->gid = record->auid = record->fsgid = record->ns_pid = UINT32_MAX;
    record->cap_permitted = record->cap_effective = record->cap_inheritable = UINT64_MAX;
    record->filename = make_tail(&kit.record, &used, path, RECORD_PATH_MAX);
    record->args = make_tail(&kit.record, &used, args, RECORD_ARGS_MAX);
    record->cwd = make_tail(&kit.record, &used, path, RECORD_PATH_MAX);
    memset(kit.record.bytes + used, 0, 8);
    record->header.size = (uint32_t)((used + 7) & ~(size_t)7);
    record->header.cpu = UINT16_MAX;
    record->header.seq = UINT64_MAX;
    free(path);
    free(args);
    return &record->header;
}

static void start_with_everything(const char *node_name)
{
    kit_stop();
    kit.render = (struct render_options){
        .node_name = node_name, .own_fields = true, .annotations = true, .image = {true, true, true, true}};
    kit_start();
}

Test(emit, longest_line_fits_and_says_what_it_lacks)
{
    static const char *const units[] = {"\x01", "\"", "\xff", "a", "\xe2\x80\xa8", "\xf0\x9f\x9a\x80"};
    char *node = fill("\x01", RENDER_NODE_NAME_MAX);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        json_t *line, *parent;

        start_with_everything(node);
        tell_extreme_pod(UID_A, ID_A);
        tell_extreme_pod(UID_B, ID_B);
        kit_feed(extreme_exec(A1, INIT, CG_A, units[i]));
        kit_feed(extreme_exec(B1, A1, CG_B, units[i]));
        kit_feed(make_fork(&kit.record, A3, B1, CG_A, UINT64_MAX));
        kit_feed(make_exit(&kit.record, B1, CG_B, UINT64_MAX, UINT32_MAX));
        kit_feed(lost_record(&kit.record));
        cr_assert_eq(kit.line_count, 5);
        for (size_t j = 0; j < kit.line_count; j++) {
            json_decref(kit_parse(j));
            cr_expect_lt(strlen(kit.lines[j]), OUTPUT_LINE_MAX);
        }
        line = kit_parse(1);
        parent = kit_at(line, "process_exec", "parent", NULL);
        cr_expect_str_eq(kit_string(parent, "docker", NULL, NULL), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        cr_expect(json_is_true(kit_at(parent, "pod", "pod_labels_truncated", NULL)));
        cr_expect_gt(json_object_size(kit_at(parent, "pod", "pod_labels", NULL)), 0);
        if (!json_object_get(parent, "arguments"))
            cr_expect_str_eq(kit_string(parent, "flags", NULL, NULL), "execve truncArgs");
        json_decref(line);
    }
    free(node);
}

/* Two processes with 8 KiB of control characters each: the parent's arguments go first, and that is said. */
Test(emit, arguments_left_out_for_length_are_marked)
{
    json_t *line, *process, *parent;
    struct record_process *record;

    record = (struct record_process *)extreme_exec(A1, INIT, CG_HOST, "\x01");
    record->flags = RECORD_PROCESS_IN_INIT_TREE;
    kit_feed(&record->header);
    kit_feed(extreme_exec(A2, A1, CG_HOST, "\x01"));
    line = kit_parse(1);
    process = process_of(line, "process_exec");
    parent = kit_at(line, "process_exec", "parent", NULL);
    cr_expect_null(json_object_get(parent, "arguments"));
    cr_expect_null(json_object_get(parent, "args"));
    cr_expect_str_eq(kit_string(parent, "flags", NULL, NULL), "execve truncArgs inInitTree");
    cr_expect_not_null(json_object_get(process, "arguments"));
    json_decref(line);
}

/* Too long to stand in one line twice, but, as far as the head knows, whole. */
static struct image *long_image(void)
{
    struct image *image =
        image_new((const struct record_process *)extreme_exec(A1, INIT, CG_HOST, "\x01"), &kit.render.image);

    cr_assert_not_null(image);
    image->cut = false;
    return image;
}

Test(emit, mark_takes_its_place_among_the_flags)
{
    static const struct {
        enum process_origin origin;
        bool clone;
        const char *flags;
    } cases[] = {
        {PROCESS_EXECED, false, "execve truncArgs"},
        {PROCESS_EXECED, true, "execve truncArgs clone"},
        {PROCESS_SNAPSHOT, false, "procFS truncArgs"},
        {PROCESS_FORKED, true, "truncArgs clone"},
        {PROCESS_FORKED, false, "truncArgs"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct process *parent = process_new(A1.tgid, A1.start_ns, 1, cases[i].origin);
        struct process *child = process_new(A2.tgid, A2.start_ns, 2, PROCESS_FORKED);
        struct event event = {.process = child, .container = kit.pipeline.containers.host};
        size_t index = kit.line_count;
        json_t *line;

        parent->image = long_image();
        child->image = image_ref(parent->image);
        process_set_parent(child, parent);
        cr_assert_eq(render_process_head(&kit.emit.render, parent, cases[i].clone), 0);
        cr_assert_eq(render_process_head(&kit.emit.render, child, true), 0);
        event.record = make_fork(&kit.record, A2, A1, CG_HOST, kit.now);
        cr_assert_eq(emit_event(&kit.emit, &event, kit.now), 0);
        line = kit_parse(index);
        cr_expect_str_eq(kit_string(line, "process_fork", "parent", "flags"), cases[i].flags);
        json_decref(line);
        process_unref(child);
        process_unref(parent);
    }
}

Test(emit, full_output_gets_nothing_and_says_so)
{
    kit.room = 0;
    cr_expect_eq(kit_try(lost_record(&kit.record)), -EAGAIN);
    cr_expect_eq(kit_try(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/a")), -EAGAIN);
    cr_expect_eq(kit.line_count, 0);
    kit_expect_balanced();
}
