/* SPDX-License-Identifier: Apache-2.0 */
/* The same history through one lane and through several: nothing of what is told may depend on how many there are. */
#include "enricher/lane_of.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(lane_of, .init = kit_setup, .fini = kit_teardown);

Test(lane_of, each_key_is_of_exactly_one_lane)
{
    struct record_header record = {.type = RECORD_EXEC};

    for (uint32_t count = 1; count <= 9; count++) {
        for (uint32_t tgid = 1; tgid < 2000; tgid++) {
            uint32_t owners = 0;

            record.tgid = tgid;
            record.start_ns = tgid * UINT64_C(10000000);
            for (uint32_t index = 0; index < count; index++)
                owners += lane_of_owns((struct lane_of){index, count}, &record);
            cr_assert_eq(owners, 1);
        }
    }
}

Test(lane_of, neighbouring_pids_are_spread_evenly)
{
    uint32_t of_lane[8] = {0};

    for (uint32_t i = 0; i < 80000; i++)
        of_lane[lane_of_key(1000 + i, UINT64_C(10000000) * (i / 50), 8)]++;
    for (uint32_t i = 0; i < 8; i++) {
        cr_expect_geq(of_lane[i], 9500);
        cr_expect_leq(of_lane[i], 10500);
    }
}

Test(lane_of, what_has_no_process_is_lane_zeros)
{
    for (unsigned type = RECORD_CGROUP_MKDIR; type < RECORD_TYPE_COUNT; type++) {
        const struct record_header record = {.type = (uint8_t)type, .tgid = 4711};

        cr_expect(lane_of_owns((struct lane_of){0, 4}, &record), "%u", type);
        cr_expect(!lane_of_owns((struct lane_of){1, 4}, &record), "%u", type);
        cr_expect(!lane_of_skips((struct lane_of){1, 4}, &record), "%u: its tables need it", type);
    }
}

Test(lane_of, a_foreign_process_makes_no_line_and_moves_no_book_but_is_known_as_a_parent)
{
    struct make_key parent = A1, child = A2;

    kit_stop();
    kit.lane = (struct lane_of){lane_of_key(child.tgid, child.start_ns, 2), 2};
    while (lane_of_key(parent.tgid, parent.start_ns, 2) == kit.lane.index)
        parent.tgid++;
    kit_start();
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, parent, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(kit.pipeline.counters.received[RECORD_EXEC], 0);
    kit_feed(make_fork(&kit.record, child, parent, CG_A, kit.now));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_fork", "complete", "web-1");
    json_t *line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "process_fork", "parent", "binary"), "/usr/sbin/nginx");
    json_decref(line);
    kit_feed(make_exit(&kit.record, parent, CG_A, kit.now, 0));
    cr_expect_eq(kit.line_count, 1);
    cr_expect_eq(kit.pipeline.processes.exited_count, 1);
    kit_expect_balanced();
}

/* ---- at random ---------------------------------------------------------------------------------------------- */

#define PROCESSES 60
#define STEPS     2500
#define KEYS_MAX  (PROCESSES + STEPS)

struct model {
    unsigned seed, room_seed;
    struct make_key keys[PROCESSES];
    uint64_t groups[PROCESSES];
    uint64_t number; /* of the last record: its time */
    uint32_t next_tgid;
};

static unsigned next(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void feed(struct model *model, const struct record_header *record)
{
    while (kit_try(record) == -EAGAIN) {
        kit.room = next(&model->room_seed, 20);
        pipeline_turn(&kit.pipeline, kit.now);
    }
}

static void begin_process(struct model *model, unsigned who, unsigned parent)
{
    model->keys[who] = KEY(model->next_tgid++, ++model->number);
    model->groups[who] = model->groups[parent];
    feed(model,
        make_fork(&kit.record, model->keys[who], model->keys[parent], model->groups[who], model->number));
}

static void move_process(struct model *model, unsigned who)
{
    static const uint64_t groups[] = {CG_A, CG_B, CG_HOST};
    static const char *const paths[] = {PATH_A, PATH_B, "/"};
    unsigned to = next(&model->seed, 3);

    model->groups[who] = groups[to];
    feed(model, make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, groups[to], model->keys[who], ++model->number,
                    paths[to]));
}

static void step(struct model *model)
{
    unsigned who = next(&model->seed, PROCESSES), other = next(&model->seed, PROCESSES);
    unsigned what = next(&model->seed, 100);
    struct make_key key = model->keys[who];
    uint64_t group = model->groups[who];

    if (what < 25)
        feed(model, make_exec(&kit.record, key, model->keys[other], group, ++model->number, "/x"));
    else if (what < 55)
        feed(model, &make_hook(&kit.record, key, group, ++model->number, 1)->header);
    else if (what < 65)
        move_process(model, who);
    else if (what < 85) {
        feed(model, make_exit(&kit.record, key, group, ++model->number, 0));
        begin_process(model, who, other == who ? (who + 1) % PROCESSES : other);
    } else if (what < 86)
        kit_tell_pod(UID_A, "web", next(&model->seed, 2) ? ID_A : NULL);
    else if (what < 87)
        kit_pass(next(&model->seed, 20) * NS_PER_MS);
    else
        kit.room = next(&model->room_seed, 50);
}

static void run_history(unsigned seed, struct lane_of lane)
{
    struct model model = {.seed = seed, .room_seed = seed + lane.index, .next_tgid = 5000};

    kit.lane = lane;
    kit_start();
    kit.emit.render.wall_offset_ns = 0; /* the clock of each start is another */
    make_seq_ = 0;
    feed(&model,
        make_policy(&kit.record,
            &(struct make_policy){.hook_id = 1, .kind = RECORD_HOOK_LSM, .name = "p", .function = "f"}, 1));
    for (unsigned i = 0; i < PROCESSES; i++) {
        model.keys[i] = KEY(model.next_tgid++, ++model.number);
        model.groups[i] = i % 3 == 0 ? CG_HOST : i % 3 == 1 ? CG_A : CG_B;
        feed(
            &model, make_exec(&kit.record, model.keys[i], INIT, model.groups[i], model.number, "/bin/first"));
    }
    for (unsigned i = 0; i < STEPS; i++)
        step(&model);
    kit.room = SIZE_MAX;
    kit_tell_pod(UID_A, "web", ID_A);
    kit_pass(100 * SEC);
    kit_pass(100 * SEC);
    kit_expect_balanced();
    cr_expect_eq(pipeline_held(&kit.pipeline), 0);
}

/* ---- what was told, of all lanes together ------------------------------------------------------------------- */

struct told {
    char *lines[KIT_LINES_MAX], *updates[KIT_LINES_MAX];
    size_t line_count, update_count;
    uint64_t received, last[KEYS_MAX];
};
static struct told one, many;

/* The waits of a container's events begin with the first that waits in this lane. */
static char *without_wait(json_t *line)
{
    char *text;

    (void)json_object_del(line, "held_ms");
    text = json_dumps(line, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(line);
    return text;
}

/* Who stood as a parent in lines of several lanes is told in each (events 0). */
static char *update_key(json_t *line)
{
    json_t *update = json_object_get(line, "pod_update");
    char *key = NULL;

    cr_assert_gt(asprintf(&key, "%s %s %lld", json_string_value(json_object_get(update, "exec_id")),
                     json_string_value(json_object_get(update, "pod_state")),
                     (long long)json_integer_value(json_object_get(update, "events"))),
        0);
    json_decref(line);
    return key;
}

static void expect_order(struct told *told, size_t index)
{
    json_t *line = kit_parse(index),
           *process = json_object_get(json_object_iter_value(json_object_iter(line)), "process");
    unsigned who = (unsigned)json_integer_value(json_object_get(process, "pid")) - 5000;
    uint64_t seq = strtoull(strrchr(json_string_value(json_object_get(line, "id")), '-') + 1, NULL, 10);

    cr_assert_lt(who, KEYS_MAX);
    cr_expect_gt(seq, told->last[who]); /* E1 */
    told->last[who] = seq;
    json_decref(line);
}

/* Takes what the run told, and ends it. */
static void gather(struct told *told)
{
    for (size_t i = 0; i < kit.line_count; i++) {
        expect_order(told, i);
        told->lines[told->line_count++] = without_wait(kit_parse(i));
    }
    for (size_t i = 0; i < kit.update_count; i++)
        told->updates[told->update_count++] = update_key(kit_parse_update(i));
    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++)
        told->received += kit.pipeline.counters.received[type];
    kit_stop();
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_of_parent(const char *key)
{
    size_t size = strlen(key);

    return size > 2 && strcmp(key + size - 2, " 0") == 0;
}

/* Sorted; of the updates without events of their own each once, and none where there is one with events. */
static void sort(struct told *told)
{
    size_t kept = 0;

    qsort(told->lines, told->line_count, sizeof(char *), by_text);
    qsort(told->updates, told->update_count, sizeof(char *), by_text);
    for (size_t i = 0; i < told->update_count; i++) {
        char *key = told->updates[i], *before = kept ? told->updates[kept - 1] : NULL;
        bool again = before && is_of_parent(before) && strncmp(before, key, strlen(before) - 1) == 0;

        if (again) {
            free(told->updates[--kept]);
        }
        told->updates[kept++] = key;
    }
    told->update_count = kept;
}

static void compare(unsigned seed)
{
    cr_assert_eq(one.line_count, many.line_count, "seed %u: %zu lines, %zu of lanes", seed, one.line_count,
        many.line_count);
    for (size_t i = 0; i < one.line_count; i++)
        cr_assert_str_eq(one.lines[i], many.lines[i], "seed %u: %s\n%s", seed, one.lines[i], many.lines[i]);
    cr_assert_eq(one.update_count, many.update_count, "seed %u: %zu updates, %zu of lanes", seed,
        one.update_count, many.update_count);
    for (size_t i = 0; i < one.update_count; i++)
        cr_assert_str_eq(
            one.updates[i], many.updates[i], "seed %u: %s\n%s", seed, one.updates[i], many.updates[i]);
    cr_expect_eq(one.received, many.received);
    cr_expect_gt(one.line_count, 1000);
}

static void clear(struct told *told)
{
    while (told->line_count)
        free(told->lines[--told->line_count]);
    while (told->update_count)
        free(told->updates[--told->update_count]);
    *told = (struct told){.received = 0};
}

static void same_through_any_number(unsigned seed, uint32_t count)
{
    run_history(seed, (struct lane_of){0, 1});
    gather(&one);
    for (uint32_t index = 0; index < count; index++) {
        run_history(seed, (struct lane_of){index, count});
        gather(&many);
    }
    sort(&one);
    sort(&many);
    compare(seed);
    clear(&one);
    clear(&many);
}

Test(lane_of, the_same_lines_leave_through_any_number_of_lanes, .timeout = 120)
{
    kit_stop();
    for (unsigned seed = 1; seed <= 5; seed++)
        same_through_any_number(seed, 2 + seed % 4);
    kit_start();
}

Test(lane_of, the_same_lines_leave_when_nothing_waits, .timeout = 120)
{
    kit_stop();
    kit.options.hold_timeout_ns = kit.options.container_timeout_ns = 0;
    for (unsigned seed = 1; seed <= 2; seed++)
        same_through_any_number(seed, 3);
    kit_start();
}
