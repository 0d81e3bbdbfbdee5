/* SPDX-License-Identifier: Apache-2.0 */
/* The path of an event when something is against it: no room, records that are missing or that nobody should have sent, a past that was not seen. */
#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(pipeline_trouble, .init = setup, .fini = teardown, .timeout = 60);

static const struct make_key none = {0, 0};

static void restart_with(uint64_t max_events, uint64_t max_bytes)
{
    teardown();
    limits = (struct hold_limits){.max_events = max_events, .max_bytes = max_bytes};
    start();
    cgroups();
}

/* ---- no room ------------------------------------------------------------------------------------------------- */

Test(pipeline_trouble, eviction_lets_go_what_also_waits_for_its_parents_pod)
{
    restart_with(100, 16 << 20);
    feed_all(make_exec(&buffer, B1, INIT, CG_B, now, "/b"));
    for (uint32_t i = 0; i < 98; i++)
        feed_all(make_fork(&buffer, KEY(3000 + i, 50 + i), B1, CG_A, now)); /* parent in another container */
    pass(NS_PER_MS);
    feed_all(make_exec(&buffer, A1, INIT, CG_A, now, "/a"));
    cr_assert_eq(hold_count(hold), 100);
    feed_all(make_exec(&buffer, A2, INIT, CG_A, now, "/a")); /* the oldest is the queue of B: one event */
    cr_expect_eq(line_count, 1);
    feed_all(make_exec(&buffer, A3, INIT, CG_A, now, "/a")); /* now the queue of A goes, as it is */
    cr_expect_eq(line_count, 101);
    cr_expect_eq(hold_count(hold), 1);
    cr_expect_eq(pipeline.counters.released_evicted, 101);
    expect_balanced();
}

/* A fork (small) and an exec (larger) of one process wait for its own Pod, then for its parent's, in a store that has room for a fork more. */
Test(pipeline_trouble, what_moves_on_to_another_queue_keeps_its_order_in_a_full_store)
{
    uint64_t bytes;

    feed_all(make_exec(&buffer, B1, INIT, CG_B, now, "/b"));
    feed_all(make_fork(&buffer, A1, B1, CG_A, now));
    feed_all(make_exec(&buffer, A1, B1, CG_A, now + 1, "/a"));
    bytes = hold_bytes(hold) + sizeof(struct record_fork);
    restart_with(100, bytes);
    feed_all(make_exec(&buffer, B1, INIT, CG_B, now, "/b"));
    feed_all(make_fork(&buffer, A1, B1, CG_A, now));
    feed_all(make_exec(&buffer, A1, B1, CG_A, now + 1, "/a"));
    cr_assert_eq(hold_count(hold), 3);
    tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(line_count, 0, "they wait for the parent");
    tell_pod(UID_B, "db-0", ID_B);
    cr_assert_eq(line_count, 3);
    expect_state(1, "process_fork", "complete", "web-1");
    expect_state(2, "process_exec", "complete", "web-1");
    expect_balanced();
}

/* ---- what was not seen ---------------------------------------------------------------------------------------- */

Test(pipeline_trouble, exit_told_after_a_snapshot_that_missed_the_process_is_an_event)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_HOST, now, "/bin/a"));
    pipeline_snapshot_begin(&pipeline);
    pipeline_snapshot_missed(&pipeline, now);
    feed_all(make_exit(&buffer, A1, CG_HOST, now, 3));
    cr_assert_eq(line_count, 2);
    expect_state(1, "process_exit", "host", "");
    cr_expect_eq(pipeline.counters.exits_duplicate, 0);
    feed_all(make_exit(&buffer, A1, CG_HOST, now, 3));
    cr_expect_eq(pipeline.counters.exits_duplicate, 1);
    expect_balanced();
}

Test(pipeline_trouble, event_of_an_unknown_cgroup_does_not_move_its_process_back)
{
    struct process *process;

    feed_all(make_exec(&buffer, A1, INIT, 555, now, "/a"));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_ATTACH, CG_B, A1, now, "/kubepods/pod" UID_B "/" ID_B));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, 555, none, now, "/system.slice"));
    pass(NS_PER_MS);
    cr_assert_eq(line_count, 1);
    expect_state(0, "process_exec", "host", "");
    process = process_table_find(&pipeline.processes, A1.tgid, A1.start_ns);
    cr_expect_eq(process->cgroup_id, CG_B);
    cr_expect_str_eq(process->container->identity.pod_uid, UID_B);
}

Test(pipeline_trouble, path_of_an_unknown_cgroup_is_learned_from_a_move_into_it)
{
    feed_all(make_exec(&buffer, A1, INIT, CG_HOST, now, "/a"));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_ATTACH, 555, A1, now, "/kubepods/pod" UID_A "/" ID_A));
    feed_all(make_exec(&buffer, A1, INIT, 555, now + 1, "/b"));
    tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(line_count, 2);
    expect_state(1, "process_exec", "complete", "web-1");
}

/* ---- what nobody should have sent ------------------------------------------------------------------------------ */

Test(pipeline_trouble, cgroup_with_the_number_zero_is_nobodys)
{
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_MKDIR, 0, none, now, "/kubepods/pod" UID_A "/" ID_A));
    feed_all(make_cgroup(&buffer, RECORD_CGROUP_RMDIR, 0, none, now, "/kubepods/pod" UID_A "/" ID_A));
    pass(400 * SEC);
    for (uint64_t i = 0; i < 1100; i++) /* more than the table takes: the rest shares the stand-in */
        feed_all(make_exec(&buffer, KEY((uint32_t)(4000 + i), 60), INIT, 10000 + i, now, "/x"));
    cr_expect_neq(pipeline.containers.refused, 0);
    expect_balanced();
}

Test(pipeline_trouble, loss_record_waits_for_the_output_like_any_event)
{
    struct make_record lost;
    struct record_lost *record =
        (struct record_lost *)make_header(&lost, RECORD_LOST, sizeof(*record), none, 0, now);

    record->where = RECORD_LOST_QUEUE;
    record->count[RECORD_EXIT] = 1;
    room = 0;
    cr_expect_eq(feed(&record->header), -EAGAIN);
    room = 1;
    cr_expect_eq(feed(&record->header), 0);
    cr_expect_eq(line_count, 1);
}

/* ---- at random, without room ----------------------------------------------------------------------------------- */

static unsigned next(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

#define RANDOM_PROCESSES 12

static char filler[3000];

static const struct record_header *random_record(unsigned *seed, uint64_t number)
{
    static const uint64_t groups[] = {CG_A, CG_B, CG_HOST, 777};
    unsigned who = next(seed, RANDOM_PROCESSES), mother = next(seed, RANDOM_PROCESSES);
    uint64_t group = groups[next(seed, 4)];
    struct make_key key = {5000 + who, 5000 + who}, parent = {5000 + mother, 5000 + mother};

    switch (next(seed, 4)) {
    case 0:
        return make_fork(&buffer, key, parent, group, number);
    case 1:
        return make_exec(&buffer, key, parent, group, number, "/x");
    case 2:
        return make_process(&buffer, RECORD_EXEC, key, parent, group, number, "/y", filler,
            next(seed, 3000)); /* of any size */
    default:
        return make_cgroup(&buffer, RECORD_CGROUP_ATTACH, group == 777 ? CG_A : group, key, number, "/");
    }
}

static void expect_order(size_t fed)
{
    uint64_t last[RANDOM_PROCESSES] = {0};

    cr_assert_eq(line_count, fed);
    for (size_t i = 0; i < line_count; i++) {
        const char *pid = strstr(lines[i], "\"pid\":") + 6, *id = strrchr(lines[i], '-') + 1;
        unsigned who = (unsigned)strtoul(pid, NULL, 10) - 5000;
        uint64_t seq = strtoull(id, NULL, 10);

        cr_assert_gt(seq, last[who], "line %zu overtook", i); /* E1 */
        last[who] = seq;
    }
}

static void random_run(unsigned seed)
{
    size_t fed = 0;

    for (unsigned step = 0; step < 2000; step++) {
        const struct record_header *record = random_record(&seed, step + 1);
        unsigned chance = next(&seed, 100);

        fed += record->type != RECORD_CGROUP_ATTACH;
        while (feed(record) == -EAGAIN) {
            room = next(&seed, 20);
            pipeline_turn(&pipeline, now);
        }
        cr_assert_leq(hold_count(hold), limits.max_events);
        cr_assert_leq(hold_bytes(hold), limits.max_bytes);
        if (chance < 2)
            tell_pod(chance ? UID_A : UID_B, "p", next(&seed, 2) ? ID_A : ID_B);
        else if (chance < 8)
            pass(next(&seed, 3000) * NS_PER_MS);
        else if (chance < 30)
            room = next(&seed, 50);
    }
    expect_balanced();
    room = SIZE_MAX;
    pass(100 * SEC);
    pass(100 * SEC);
    cr_expect_eq(hold_count(hold), 0);
    expect_order(fed);
}

Test(pipeline_trouble, keeps_order_and_books_at_random_in_a_small_store)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        restart_with(5 + seed * 3, 4000 + seed * 500);
        random_run(seed);
    }
}
