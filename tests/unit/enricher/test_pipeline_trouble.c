/* SPDX-License-Identifier: Apache-2.0 */
/* The path of an event when something is against it: no room, records that are missing or that nobody should have sent, a past that was not seen. */
#include "enricher/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(pipeline_trouble, .init = kit_setup, .fini = kit_teardown, .timeout = 60);

static void restart_with(uint64_t max_events, uint64_t max_bytes)
{
    kit_stop();
    kit.limits = (struct hold_limits){.max_events = max_events, .max_bytes = max_bytes};
    kit_start();
}

/* ---- no room ------------------------------------------------------------------------------------------------- */

Test(pipeline_trouble, eviction_lets_go_what_also_waits_for_its_parents_pod)
{
    restart_with(100, 16 << 20);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    for (uint32_t i = 0; i < 98; i++)
        kit_feed(make_fork(
            &kit.record, KEY(3000 + i, 50 + i), B1, CG_A, kit.now)); /* parent in another container */
    kit_pass(NS_PER_MS);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(hold_count(kit.hold), 100);
    kit_feed(
        make_exec(&kit.record, A2, INIT, CG_A, kit.now, "/a")); /* the oldest is the queue of B: one event */
    cr_expect_eq(kit.line_count, 1);
    kit_feed(make_exec(&kit.record, A3, INIT, CG_A, kit.now, "/a")); /* now the queue of A goes, as it is */
    cr_expect_eq(kit.line_count, 101);
    cr_expect_eq(hold_count(kit.hold), 1);
    cr_expect_eq(kit.pipeline.counters.released_evicted, 101);
    kit_expect_balanced();
}

/* A suspended node: the boot clock, which all times here are of, has jumped over every timer that was armed. */
Test(pipeline_trouble, an_hour_that_passes_at_once_lets_what_is_held_go_once_and_in_order)
{
    for (uint32_t i = 0; i < 10; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 50 + i), INIT, CG_A, kit.now, "/a"));
    cr_assert_eq(hold_count(kit.hold), 10);
    kit_pass(3600 * SEC);
    cr_expect_eq(kit.line_count, 10);
    cr_expect_eq(hold_count(kit.hold), 0);
    cr_expect_eq(kit.pipeline.counters.released_expired, 10);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    cr_expect_eq(hold_count(kit.hold), 1, "what comes now waits as ever");
    kit_tell_pod(UID_B, "db-0", ID_B);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.line_count, 11);
    cr_expect_gt(kit.update_count, 0, "and those that left without their Pod are corrected");
    kit_expect_balanced();
}

/* A fork (small) and an exec (larger) of one process wait for its own Pod, then for its parent's, in a store that has room for a fork more. */
Test(pipeline_trouble, what_moves_on_to_another_queue_keeps_its_order_in_a_full_store)
{
    uint64_t bytes;

    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    kit_feed(make_fork(&kit.record, A1, B1, CG_A, kit.now));
    kit_feed(make_exec(&kit.record, A1, B1, CG_A, kit.now + 1, "/a"));
    bytes = hold_bytes(kit.hold) + sizeof(struct record_fork);
    restart_with(100, bytes);
    kit_feed(make_exec(&kit.record, B1, INIT, CG_B, kit.now, "/b"));
    kit_feed(make_fork(&kit.record, A1, B1, CG_A, kit.now));
    kit_feed(make_exec(&kit.record, A1, B1, CG_A, kit.now + 1, "/a"));
    cr_assert_eq(hold_count(kit.hold), 3);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.line_count, 0, "they wait for the parent");
    kit_tell_pod(UID_B, "db-0", ID_B);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(1, "process_fork", "complete", "web-1");
    kit_expect_state(2, "process_exec", "complete", "web-1");
    kit_expect_balanced();
}

/* ---- what was not seen ---------------------------------------------------------------------------------------- */

Test(pipeline_trouble, exit_told_after_a_snapshot_that_missed_the_process_is_an_event)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/bin/a"));
    pipeline_snapshot_begin(&kit.pipeline);
    pipeline_snapshot_missed(&kit.pipeline, kit.now);
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 3));
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(1, "process_exit", "host", "");
    cr_expect_eq(kit.pipeline.counters.exits_duplicate, 0);
    kit_feed(make_exit(&kit.record, A1, CG_HOST, kit.now, 3));
    cr_expect_eq(kit.pipeline.counters.exits_duplicate, 1);
    kit_expect_balanced();
}

Test(pipeline_trouble, event_of_an_unknown_cgroup_does_not_move_its_process_back)
{
    struct process *process;

    kit_feed(make_exec(&kit.record, A1, INIT, 555, kit.now, "/a"));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, CG_B, A1, kit.now, PATH_B));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 555, NONE, kit.now, "/system.slice"));
    kit_pass(NS_PER_MS);
    cr_assert_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "host", "");
    process = process_table_find(&kit.pipeline.processes, A1.tgid, A1.start_ns);
    cr_expect_eq(process->cgroup_id, CG_B);
    cr_expect_str_eq(process->container->identity.pod_uid, UID_B);
}

Test(pipeline_trouble, path_of_an_unknown_cgroup_is_learned_from_a_move_into_it)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/a"));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, 555, A1, kit.now, PATH_A));
    kit_feed(make_exec(&kit.record, A1, INIT, 555, kit.now + 1, "/b"));
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(1, "process_exec", "complete", "web-1");
}

Test(pipeline_trouble, cgroups_without_end_in_one_container_leave_room_for_the_others)
{
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_tell_pod(UID_B, "db-0", ID_B);
    for (uint64_t i = 0; i < 2000; i++)
        kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 10000 + i, NONE, kit.now, PATH_A "/nested"));
    for (uint64_t i = 0; i < 2000; i++) /* and what comes from nowhere */
        kit_feed(make_exec(&kit.record, KEY((uint32_t)(4000 + i), 60), INIT, 20000 + i, kit.now, "/x"));
    cr_expect_lt(kit.pipeline.containers.cgroup_count, 300);
    while (kit.line_count > 0)
        free(kit.lines[--kit.line_count]);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 300, NONE, kit.now, PATH_B "/init"));
    kit_feed(make_exec(&kit.record, B1, INIT, 300, kit.now, "/b"));
    kit_expect_state(0, "process_exec", "complete", "db-0");
    /* Its own processes are named as well, where the move into the cgroup or the parent tells. */
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, 11999, A1, kit.now, PATH_A "/nested"));
    kit_feed(make_fork(&kit.record, A2, A1, 11999, kit.now));
    kit_feed(make_exec(&kit.record, A2, A1, 11999, kit.now, "/a2"));
    cr_assert_eq(kit.line_count, 4);
    kit_expect_state(2, "process_fork", "complete", "web-1");
    kit_expect_state(3, "process_exec", "complete", "web-1");
    kit_expect_balanced();
}

Test(pipeline_trouble, cgroups_that_come_and_go_do_not_use_up_the_allowance)
{
    kit_tell_pod(UID_A, "web-1", ID_A);
    for (uint64_t i = 0; i < 2000; i++) {
        kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 10000 + i, NONE, kit.now, PATH_A "/nested"));
        kit_feed(make_exec(&kit.record, A1, INIT, 10000 + i, kit.now + i, "/a"));
        kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, 10000 + i, NONE, kit.now, PATH_A "/nested"));
    }
    cr_expect_eq(kit.line_count, 2000);
    cr_expect_eq(kit.pipeline.containers.refused, 0);
    kit_expect_state(1999, "process_exec", "complete", "web-1");
}

/* ---- a successor ---------------------------------------------------------------------------------------------- */

static void use_store(int memfd)
{
    kit.hold = hold_free(kit.hold);
    cr_assert_eq(hold_new(&kit.hold, memfd, &kit.limits), 0);
    hold_defer_pops(kit.hold); /* so that nothing leaves the memfd at the end, as if we had been killed */
    kit.pipeline.hold = kit.hold;
}

static void on_recovered(void *arg, const struct hold_entry *entry)
{
    (void)arg;
    kit.pipeline.recovering_since_ns = entry->since_ns;
    kit.pipeline.recovering_sequence = entry->sequence;
    kit_feed(hold_entry_record(entry));
    kit.pipeline.recovering_since_ns = kit.pipeline.recovering_sequence = 0;
}

Test(pipeline_trouble, what_a_predecessor_held_is_named_though_its_cgroup_is_gone)
{
    int memfd = memfd_create("hold", MFD_CLOEXEC);

    use_store(memfd);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 300, NONE, kit.now, PATH_A));
    kit_feed(make_exec(&kit.record, A1, INIT, 300, kit.now, "/a"));
    kit_feed(make_exit(&kit.record, A1, 300, kit.now, 0));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, 300, NONE, kit.now, PATH_A));
    cr_expect_eq(pipeline_held(&kit.pipeline), 2);
    kit_expect_balanced();
    for (int i = 0; i < 2; i++) { /* killed, and again while it holds what it took over */
        kit_stop();
        kit_start();
        use_store(memfd);
        cr_expect_eq(hold_recover(kit.hold, on_recovered, NULL), 3);
        cr_expect_eq(pipeline_held(&kit.pipeline), 2);
        kit_expect_balanced();
    }
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_assert_eq(kit.line_count, 2);
    kit_expect_state(0, "process_exec", "complete", "web-1");
    kit_expect_state(1, "process_exit", "complete", "web-1");
    cr_expect_eq(hold_count(kit.hold), 0);
    (void)close(memfd);
}

/* ---- what nobody should have sent ------------------------------------------------------------------------------ */

Test(pipeline_trouble, cgroup_with_the_number_zero_is_nobodys)
{
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 0, NONE, kit.now, PATH_A));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, 0, NONE, kit.now, PATH_A));
    kit_pass(400 * SEC);
    for (uint64_t i = 0; i < 1100; i++) /* more than the table takes: the rest shares the stand-in */
        kit_feed(make_exec(&kit.record, KEY((uint32_t)(4000 + i), 60), INIT, 10000 + i, kit.now, "/x"));
    cr_expect_neq(kit.pipeline.containers.refused, 0);
    kit_expect_balanced();
}

Test(pipeline_trouble, loss_record_waits_for_the_output_like_any_event)
{
    struct make_record lost;
    struct record_lost *record =
        (struct record_lost *)make_header(&lost, RECORD_LOST, sizeof(*record), NONE, 0, kit.now);

    record->where = RECORD_LOST_QUEUE;
    record->count[RECORD_EXIT] = 1;
    kit.room = 0;
    cr_expect_eq(kit_try(&record->header), -EAGAIN);
    kit.room = 1;
    cr_expect_eq(kit_try(&record->header), 0);
    cr_expect_eq(kit.line_count, 1);
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
        return make_fork(&kit.record, key, parent, group, number);
    case 1:
        return make_exec(&kit.record, key, parent, group, number, "/x");
    case 2:
        return make_process(&kit.record, RECORD_EXEC, key, parent, group, number, "/y", filler,
            next(seed, 3000)); /* of any size */
    default:
        return make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, group == 777 ? CG_A : group, key, number, "/");
    }
}

static void expect_order(size_t fed)
{
    uint64_t last[RANDOM_PROCESSES] = {0};

    cr_assert_eq(kit.line_count, fed);
    for (size_t i = 0; i < kit.line_count; i++) {
        const char *pid = strstr(kit.lines[i], "\"pid\":") + 6, *id = strrchr(kit.lines[i], '-') + 1;
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
        while (kit_try(record) == -EAGAIN) {
            kit.room = next(&seed, 20);
            pipeline_turn(&kit.pipeline, kit.now);
        }
        cr_assert_leq(hold_count(kit.hold), kit.limits.max_events);
        cr_assert_leq(hold_bytes(kit.hold), kit.limits.max_bytes);
        if (chance < 2)
            kit_tell_pod(chance ? UID_A : UID_B, "p", next(&seed, 2) ? ID_A : ID_B);
        else if (chance < 8)
            kit_pass(next(&seed, 3000) * NS_PER_MS);
        else if (chance < 30)
            kit.room = next(&seed, 50);
    }
    kit_expect_balanced();
    kit.room = SIZE_MAX;
    kit_pass(100 * SEC);
    kit_pass(100 * SEC);
    cr_expect_eq(hold_count(kit.hold), 0);
    expect_order(fed);
}

Test(pipeline_trouble, keeps_order_and_books_at_random_in_a_small_store)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        restart_with(5 + seed * 3, 4000 + seed * 500);
        random_run(seed);
    }
}
