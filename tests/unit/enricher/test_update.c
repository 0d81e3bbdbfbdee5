/* SPDX-License-Identifier: Apache-2.0 */
/* Corrections: whoever stood in a line without all of its Pod is told, at each step once, behind that line. */
#include "enricher/pipeline.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(update, .init = kit_setup, .fini = kit_teardown);

/* pid 0: that it names no process but the container. events 0: that it says none. */
static void expect_update(size_t index, uint32_t pid, const char *state, const char *pod, uint64_t events)
{
    json_t *line = kit_parse_update(index), *update = json_object_get(line, "pod_update");

    cr_expect_eq((uint32_t)json_integer_value(json_object_get(update, "pid")), pid, "%s", kit.updates[index]);
    cr_expect_eq(json_object_get(update, "exec_id") != NULL, pid != 0);
    cr_expect_str_eq(kit_string(update, "pod_state", NULL, NULL), state);
    cr_expect_str_eq(kit_string(update, "pod", "name", NULL), pod);
    cr_expect_eq((uint64_t)json_integer_value(json_object_get(update, "events")), events);
    cr_expect_str_eq(kit_string(line, "node_name", NULL, NULL), "node1");
    cr_expect_eq(strlen(kit_string(line, "time", NULL, NULL)), 30);
    json_decref(line);
}

static void restart_without_waiting(void)
{
    kit_stop();
    kit.options.hold_timeout_ns = 0;
    kit_start();
}

static void expire(void)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_pass(31 * SEC);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(0, "process_exec", "pending_expired", "");
}

Test(update, complete_events_are_never_corrected)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, CG_HOST, kit.now, "/b"));
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_tell_pod(UID_A, "web-2", ID_A);
    cr_expect_eq(kit.line_count, 2);
    cr_expect_eq(kit.update_count, 0);
    cr_expect_eq(kit.pipeline.owed.count, 0);
}

Test(update, each_process_is_told_once_when_its_pod_comes)
{
    expire();
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 0));
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.update_count, 2);
    expect_update(0, A1.tgid, "complete", "web-1", 1);
    expect_update(1, A2.tgid, "complete", "web-1", 2);
    kit_tell_pod(UID_A, "web-2", ID_A);
    kit_feed(make_exit(&kit.record, A1, CG_A, kit.now, 0));
    cr_expect_eq(kit.update_count, 2);
    cr_expect_eq(kit.pipeline.counters.pod_updates, 2);
    cr_expect_eq(kit.pipeline.owed.count, 0);
}

Test(update, it_has_the_exec_id_of_the_events_and_the_whole_pod)
{
    json_t *event, *update, *process;

    expire();
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/b"));
    event = kit_parse(0);
    process = kit_at(event, "process_exec", "process", NULL);
    update = kit_parse_update(0);
    cr_expect_str_eq(
        kit_string(update, "pod_update", "exec_id", NULL), kit_string(process, "exec_id", NULL, NULL));
    cr_expect_str_eq(
        kit_string(update, "pod_update", "docker", NULL), kit_string(process, "docker", NULL, NULL));
    json_decref(event);
    event = kit_parse(2); /* complete: what a reader would have wanted */
    process = kit_at(event, "process_exec", "process", NULL);
    cr_expect(json_equal(kit_at(update, "pod_update", "pod", NULL), kit_at(process, "pod", NULL, NULL)));
    cr_expect_str_eq(kit_string(update, "pod_update", "pod_source", NULL), "kubelet");
    json_decref(event);
    json_decref(update);
}

/* The name of the Pod is worth a line: its container's may take minutes, and a sandbox's never comes. */
Test(update, pod_is_told_at_once_and_its_container_when_it_is_known)
{
    expire();
    kit_tell_pod(UID_A, "web-1", NULL);
    cr_assert_eq(kit.update_count, 2);
    expect_update(0, A1.tgid, "pod_only", "web-1", 1);
    kit_feed(make_fork(&kit.record, A3, A1, CG_A, kit.now)); /* waits for the container's name */
    kit_tell_pod(UID_A, "web-1", "cc");
    cr_expect_eq(kit.update_count, 2);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.update_count, 4);
    expect_update(2, A1.tgid, "complete", "web-1", 1);
    expect_update(3, A2.tgid, "complete", "web-1", 1);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(2, "process_fork", "complete", "web-1");
}

Test(update, event_that_left_with_the_pod_alone_gets_the_container)
{
    kit_tell_pod(UID_A, "web-1", NULL);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(6 * SEC);
    kit_expect_state(0, "process_exec", "pod_only", "web-1");
    cr_expect_eq(kit.update_count, 0);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.update_count, 1);
    expect_update(0, A1.tgid, "complete", "web-1", 1);
}

Test(update, process_that_nobody_remembers_is_told_as_well)
{
    expire();
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 0));
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/b")); /* another execution */
    kit_pass(10 * SEC);                                              /* the grace time of processes */
    kit_pass(10 * SEC);
    cr_expect_null(process_table_find(&kit.pipeline.processes, A2.tgid, A2.start_ns));
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.update_count, 3);
    expect_update(0, A1.tgid, "complete", "web-1", 1);
    expect_update(1, A2.tgid, "complete", "web-1", 2);
    expect_update(2, A1.tgid, "complete", "web-1", 1);
}

Test(update, parent_without_pod_is_told_though_no_event_of_its_own_left)
{
    restart_without_waiting();
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now)); /* A1 was never seen */
    kit_feed(make_exec(&kit.record, B1, A1, CG_HOST, kit.now, "/b"));
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.update_count, 2);
    expect_update(0, A2.tgid, "complete", "web-1", 1);
    expect_update(1, A1.tgid, "complete", "web-1", 0);
}

Test(update, evicted_and_negative_cached_events_are_corrected)
{
    kit_stop();
    kit.limits.max_events = 3;
    kit_start();
    for (uint32_t i = 0; i < 4; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(kit.line_count, 3);
    kit_pass(31 * SEC);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a")); /* nobody waits any more */
    cr_assert_eq(kit.line_count, 5);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.update_count, 5);
}

Test(update, path_that_comes_late_tells_the_pod)
{
    kit_feed(make_exec(&kit.record, A1, INIT, 555, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, A2, INIT, 556, kit.now, "/a"));
    kit_pass(31 * SEC);
    cr_assert_eq(kit.line_count, 2);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.update_count, 0);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 555, NONE, kit.now, PATH_A));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 556, NONE, kit.now, "/system.slice"));
    kit_pass(0);
    cr_assert_eq(kit.update_count, 2);
    expect_update(0, A1.tgid, "complete", "web-1", 1);
    expect_update(1, A2.tgid, "host", "", 1);
}

Test(update, full_output_loses_and_doubles_none)
{
    for (uint32_t i = 0; i < 10; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, CG_A, kit.now, "/a"));
    kit_pass(31 * SEC);
    kit.room = 0;
    kit_tell_pod(UID_A, "web-1", ID_A);
    for (size_t i = 0; i < 10; i++) {
        cr_expect_eq(kit.update_count, i);
        cr_expect(pipeline_is_blocked(&kit.pipeline));
        cr_expect_eq(kit_try(make_exit(&kit.record, A1, CG_HOST, kit.now, 0)), -EAGAIN);
        kit.room = 1;
        kit_pass(NS_PER_MS);
    }
    cr_expect(!pipeline_is_blocked(&kit.pipeline));
    for (uint32_t i = 0; i < 10; i++)
        expect_update(i, 3000 + i, "complete", "web-1", 1);
    cr_expect_eq(kit.line_count, 10);
}

/* W2: what is beyond the list is told with its container, and counted. */
Test(update, more_than_the_list_takes_is_told_by_container)
{
    json_t *line;

    kit.options.owed.container_max = 2;
    restart_without_waiting();
    for (uint32_t i = 0; i < 5; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exit(&kit.record, KEY(3000, 1), CG_A, kit.now, 0));
    kit_feed(make_exit(&kit.record, KEY(3004, 1), CG_A, kit.now, 0));
    cr_expect_eq(kit.pipeline.counters.pod_updates_merged, 4);
    kit_tell_pod(UID_A, "web-1", NULL);
    cr_assert_eq(kit.update_count, 3);
    expect_update(2, 0, "pod_only", "web-1", 4);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.update_count, 6);
    expect_update(3, 3000, "complete", "web-1", 2);
    expect_update(5, 0, "complete", "web-1", 4);
    line = kit_parse_update(5);
    cr_expect_str_eq(kit_string(line, "pod_update", "docker", NULL), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_expect_null(json_object_get(kit_at(line, "pod_update", "pod", "container"), "pid"));
    json_decref(line);
    kit_tell_pod(UID_A, "web-2", ID_A);
    cr_expect_eq(kit.update_count, 6);
}

Test(update, all_containers_together_are_bounded)
{
    kit.options.owed.total_max = 3;
    restart_without_waiting();
    for (uint32_t i = 0; i < 4; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, i % 2 ? CG_A : CG_B, kit.now, "/a"));
    cr_expect_eq(kit.pipeline.owed.count, 3);
    cr_expect_eq(kit.pipeline.counters.pod_updates_merged, 1);
    kit_tell_pod(UID_B, "db-0", ID_B);
    cr_expect_eq(kit.pipeline.owed.count, 1);
    kit_feed(make_exec(&kit.record, KEY(3010, 1), INIT, CG_A, kit.now, "/a"));
    cr_expect_eq(kit.pipeline.owed.count, 2);
}

Test(update, container_that_goes_unknown_is_counted)
{
    expire();
    kit_feed(make_exit(&kit.record, A1, CG_A, kit.now, 0));
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 0));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, CG_A, NONE, kit.now, PATH_A));
    kit_pass(6 * SEC);
    kit_pass(400 * SEC);
    cr_expect_eq(kit.pipeline.counters.pod_updates_never, 2);
    cr_expect_eq(kit.pipeline.owed.count, 0);
    cr_expect_eq(kit.update_count, 0);
}

Test(update, own_events_off_has_none)
{
    kit.options.own_events = false;
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(31 * SEC);
    cr_assert_eq(kit.line_count, 1);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.update_count, 0);
    cr_expect_eq(kit.pipeline.owed.count, 0);
}

/* ---- a model of what a reader of the stream may expect, at random --------------------------------------------- */

#define READER_MAX 4000

/* What a reader knows of an execution in a container: as its lines said it. */
struct reader_entry {
    char exec_id[64], docker[40];
    int owed;        /* least that was told and not corrected: 0 nothing, 1 the Pod; 2: nothing is owed */
    uint64_t events; /* own ones that left with less than all */
};

static struct reader_entry reader[READER_MAX];
static size_t reader_count;

static struct reader_entry *reader_find(const char *exec_id, const char *docker, bool add)
{
    for (size_t i = 0; i < reader_count; i++) {
        if (!strcmp(reader[i].exec_id, exec_id) && !strcmp(reader[i].docker, docker))
            return &reader[i];
    }
    if (!add)
        return NULL;
    cr_assert_lt(reader_count, READER_MAX);
    reader[reader_count] = (struct reader_entry){.owed = 2};
    (void)snprintf(reader[reader_count].exec_id, sizeof(reader[0].exec_id), "%s", exec_id);
    (void)snprintf(reader[reader_count].docker, sizeof(reader[0].docker), "%s", docker);
    return &reader[reader_count++];
}

static int rank_of(const char *state)
{
    return !strcmp(state, "pod_only") ? 1 : !strcmp(state, "complete") || !strcmp(state, "host") ? 2 : 0;
}

static void read_process(json_t *process, bool own)
{
    const char *state = kit_string(process, "pod_state", NULL, NULL);
    struct reader_entry *entry;
    int rank = rank_of(state);

    if (!process || !*state || rank == 2)
        return;
    entry = reader_find(
        kit_string(process, "exec_id", NULL, NULL), kit_string(process, "docker", NULL, NULL), true);
    entry->owed = rank < entry->owed ? rank : entry->owed;
    entry->events += own;
}

static void read_line(size_t index)
{
    static const char *const names[] = {"process_exec", "process_fork", "process_exit"};
    json_t *line = kit_parse(index);

    for (size_t i = 0; i < 3; i++) {
        json_t *event = json_object_get(line, names[i]);

        if (event) {
            read_process(json_object_get(event, "process"), true);
            read_process(json_object_get(event, "parent"), false);
        }
    }
    json_decref(line);
}

static void read_update(size_t index)
{
    json_t *line = kit_parse_update(index), *update = json_object_get(line, "pod_update");
    int rank = rank_of(kit_string(update, "pod_state", NULL, NULL));
    struct reader_entry *entry = reader_find(
        kit_string(update, "exec_id", NULL, NULL), kit_string(update, "docker", NULL, NULL), false);

    cr_assert_not_null(entry, "corrects what was never incomplete: %s", kit.updates[index]);
    cr_assert_lt(entry->owed, rank, "says nothing new: %s", kit.updates[index]);
    cr_expect_eq((uint64_t)json_integer_value(json_object_get(update, "events")), entry->events, "%s",
        kit.updates[index]);
    entry->owed = rank;
    if (rank == 2)
        entry->events = 0;
    json_decref(line);
}

/* Returns how many are owed something still. */
static size_t read_stream(void)
{
    size_t update = 0, left = 0;

    reader_count = 0;
    for (size_t line = 0; line <= kit.line_count; line++) {
        for (; update < kit.update_count && kit.update_behind[update] == line; update++)
            read_update(update);
        if (line < kit.line_count)
            read_line(line);
    }
    for (size_t i = 0; i < reader_count; i++)
        left += reader[i].owed < 2;
    return left;
}

static unsigned next(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

#define RANDOM_PROCESSES 40

static const struct record_header *random_record(unsigned *seed, uint64_t *time, uint64_t *start)
{
    static const uint64_t groups[] = {CG_A, CG_B, CG_HOST};
    unsigned who = next(seed, RANDOM_PROCESSES), what = next(seed, 100);
    struct make_key key = {5000 + who, start[who]};
    unsigned other = next(seed, RANDOM_PROCESSES);
    struct make_key parent = {5000 + other, start[other]};
    uint64_t group = groups[next(seed, 3)];

    ++*time;
    if (what < 50)
        return make_exec(&kit.record, key, parent, group, *time, "/x");
    if (what < 75) {
        start[who] = *time; /* its pid is used again */
        return make_fork(&kit.record, KEY(5000 + who, *time), parent, group, *time);
    }
    if (what < 90)
        return make_exit(&kit.record, key, group, *time, 0);
    return make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, group, key, *time, "/");
}

static void random_news(unsigned *seed)
{
    static const char *const uids[] = {UID_A, UID_B}, *const ids[] = {ID_A, ID_B};
    unsigned which = next(seed, 2);

    kit_tell_pod(uids[which], "p", next(seed, 3) ? ids[which] : NULL);
}

static void random_run(unsigned seed)
{
    uint64_t time = 1000, start[RANDOM_PROCESSES];

    for (unsigned i = 0; i < RANDOM_PROCESSES; i++)
        start[i] = 1;
    for (unsigned step = 0; step < 1500; step++) {
        const struct record_header *record;
        unsigned what = next(&seed, 100);

        if (what < 1 && step > 300)
            random_news(&seed);
        else if (what < 10)
            kit_pass(next(&seed, 4000) * NS_PER_MS);
        else if (what < 25)
            kit.room = next(&seed, 20);
        record = random_record(&seed, &time, start);
        while (kit_try(record) == -EAGAIN) {
            kit.room = next(&seed, 20);
            pipeline_turn(&kit.pipeline, kit.now);
        }
        kit_expect_balanced();
    }
    kit.room = SIZE_MAX;
    kit_pass(100 * SEC);
    kit_tell_pod(UID_A, "p", ID_A);
    kit_tell_pod(UID_B, "p", ID_B);
    kit_pass(0);
}

static void expect_all_corrected(void)
{
    struct coverage_tally sum;
    uint64_t corrected = 0;

    kit_sum_coverage(&sum);
    for (size_t type = 0; type < COVERAGE_TYPES; type++)
        corrected += sum.corrected[type];
    cr_expect_eq(corrected, coverage_events(&sum) - coverage_complete(&sum));
}

Test(update, every_reader_is_owed_nothing_when_all_is_known_at_random)
{
    size_t updates = 0;

    for (unsigned seed = 1; seed <= 40; seed++) {
        kit_stop();
        kit.limits.max_events = seed % 3 ? 10000 : 25; /* evictions */
        kit.options.hold_timeout_ns = seed % 4 ? 5 * SEC : 0;
        kit_start();
        random_run(seed);
        cr_assert_eq(read_stream(), 0, "seed %u", seed);
        cr_expect_eq(kit.pipeline.owed.count, 0);
        cr_expect_eq(kit.pipeline.counters.pod_updates, kit.update_count);
        cr_expect_eq(kit.pipeline.counters.pod_updates_never, 0);
        expect_all_corrected();
        updates += kit.update_count;
    }
    cr_expect_gt(updates, 1000, "the runs had hardly anything to correct: %zu", updates);
}
