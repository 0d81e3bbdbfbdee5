/* SPDX-License-Identifier: Apache-2.0 */
/* The path of an event as a whole; its parts have tests of their own (apply, place, resolve, release, emit). */
#include "enricher/pipeline.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(pipeline, .init = kit_setup, .fini = kit_teardown);

Test(pipeline, process_outside_pods_is_emitted_at_once)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/usr/bin/sshd"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "host", "");
    cr_expect_eq(kit.asks, 0);
}

Test(pipeline, fork_and_exec_are_held_alike_and_leave_in_order_when_the_pod_comes)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 9));
    cr_expect_eq(kit.line_count, 0);
    cr_expect_eq(hold_count(kit.hold), 3);
    cr_expect_eq(kit.asks, 1);
    kit_expect_balanced();
    kit_pass(2 * SEC);
    cr_expect_eq(kit.line_count, 0);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_expect_state(1, "process_fork", "complete", "web-1");
    kit_expect_state(2, "process_exit", "complete", "web-1");
    cr_expect_eq(kit.pipeline.counters.released_on_arrival, 3);
    cr_expect_eq(kit.pipeline.counters.emitted_without_pod, 0);
    kit_expect_balanced();
}

Test(pipeline, other_pods_are_not_delayed)
{
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "complete", "db-0");
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

        if (what < 25)
            record = &make_hook(&kit.record, key, group, ++number, 1 + next(&seed, 4))->header;
        else if (what < 26)
            record = make_policy(&kit.record,
                &(struct make_policy){.hook_id = 1 + next(&seed, 4),
                    .kind = RECORD_HOOK_LSM,
                    .flags = next(&seed, 2) ? RECORD_POLICY_GONE : 0,
                    .name = "p",
                    .function = "f"},
                ++number);
        else if (what < 60)
            record = make_exec(&kit.record, key, (struct make_key){5000 + next(&seed, RANDOM_PROCESSES), 1},
                group, ++number, "/x");
        else if (what < 70)
            record = make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, group, key, ++number, "/");
        else if (what < 71)
            kit_tell_pod(next(&seed, 2) ? UID_A : UID_B, "p", next(&seed, 2) ? ID_A : ID_B);
        else if (what < 80)
            kit_pass(next(&seed, 3000) * NS_PER_MS);
        else
            kit.room = next(&seed, 50);
        if (!record)
            continue;
        fed += record->type == RECORD_EXEC || record->type == RECORD_HOOK;
        while (kit_try(record) == -EAGAIN) {
            kit.room = next(&seed, 20);
            pipeline_turn(&kit.pipeline, kit.now);
        }
        kit_expect_balanced();
    }
    kit.room = SIZE_MAX;
    kit_pass(100 * SEC);
    kit_pass(100 * SEC);
    cr_expect_eq(hold_count(kit.hold), 0);
    cr_assert_eq(kit.line_count, fed);
    for (size_t i = 0; i < kit.line_count; i++) {
        json_t *line = kit_parse(i), *event = json_object_iter_value(json_object_iter(line)),
               *process = json_object_get(event, "process");
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
        kit_stop();
        kit_start();
    }
}
