/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/ledger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH UINT64_C(1000000)

static struct ledger ledger;
static unsigned random_state = 1;
static uint64_t position;
static struct {
    unsigned calls;
    uint16_t cpu;
    uint64_t first, last, count;
    int result;
} said;

static unsigned chance(unsigned below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static int on_report(void *arg, uint16_t cpu, uint64_t first, uint64_t last, uint64_t count)
{
    (void)arg;
    said.calls++;
    if (said.result == 0) {
        said.cpu = cpu;
        said.first = first;
        said.last = last;
        said.count += count;
    }
    return said.result;
}

static void setup(void)
{
    memset(&said, 0, sizeof(said));
    position = 0;
    cr_assert_eq(ledger_init(&ledger), 0);
    ledger_begin(&ledger, EPOCH, true);
}

static void teardown(void)
{
    ledger_deinit(&ledger);
}

TestSuite(ledger, .init = setup, .fini = teardown);

static void take(uint16_t cpu, uint64_t number)
{
    const struct record_header record = {.type = RECORD_FORK, .cpu = cpu, .seq = EPOCH + number};

    ledger_take(&ledger, &record, position += 8);
}

static void take_lost(uint16_t cpu, uint64_t first, uint64_t last, uint64_t count)
{
    struct record_lost lost = {
        .header = {.type = RECORD_LOST, .cpu = cpu}, .first_seq = EPOCH + first, .last_seq = EPOCH + last};

    lost.count[RECORD_HOOK] = count;
    ledger_take(&ledger, &lost.header, position += 8);
}

static struct ledger_totals sum(void)
{
    struct ledger_totals totals;

    ledger_sum(&ledger, &totals);
    return totals;
}

/* Two windows: what stayed open through one of them. */
static void look(void)
{
    static uint64_t now_ns = NS_PER_SEC;

    for (int i = 0; i < 3; i++)
        ledger_look(&ledger, now_ns += LEDGER_WINDOW_NS, on_report, NULL);
}

Test(ledger, numbers_that_follow_one_another_are_received)
{
    for (uint64_t i = 0; i < 100; i++)
        take(i % 2, i / 2);
    cr_expect_eq(sum().received, 100);
    cr_expect_eq(sum().used, 100);
    cr_expect_eq(sum().open + sum().told_lost + sum().late + sum().duplicate, 0);
    cr_expect_eq(sum().cpus, 2);
}

Test(ledger, gap_that_nobody_accounts_for_is_reported_once)
{
    take(3, 0);
    take(3, 5);
    cr_expect_eq(sum().open, 4);
    look();
    cr_expect_eq(said.calls, 1);
    cr_expect_eq(said.cpu, 3);
    cr_expect_eq(said.first, EPOCH + 1);
    cr_expect_eq(said.last, EPOCH + 4);
    cr_expect_eq(said.count, 4);
    cr_expect_eq(sum().unexplained, 4);
    cr_expect_eq(sum().open, 0);
    cr_expect_eq(ledger_unexplained(&ledger, 3), 4);
    look();
    cr_expect_eq(said.calls, 1);
}

Test(ledger, report_that_was_not_taken_is_made_again)
{
    take(3, 0);
    take(3, 5);
    said.result = -EAGAIN;
    look();
    cr_expect_gt(said.calls, 0);
    said.result = 0;
    look();
    cr_expect_eq(said.count, 4);
}

Test(ledger, missing_beginning_of_a_cpu_is_a_gap)
{
    take(0, 2);
    look();
    cr_expect_eq(said.count, 2);
}

Test(ledger, beginning_is_not_looked_for_when_not_all_comes_this_way)
{
    ledger_begin(&ledger, EPOCH + 1, false);
    take(0, 1000);
    take(0, 999);
    take(0, 1001);
    look();
    cr_expect_eq(said.calls, 0);
    cr_expect_eq(sum().duplicate, 0);
    cr_expect_eq(sum().received, 2);
}

Test(ledger, lost_that_reaches_before_the_beginning_moves_it)
{
    ledger_begin(&ledger, EPOCH + 1, false);
    take(0, 1000);
    take_lost(0, 900, 1001, 50);
    take_lost(1, 900, 1001, 50);
    take(0, 1002);
    take(1, 1002);
    look();
    cr_expect_eq(said.calls, 0);
    cr_expect_eq(sum().untold, 0);
}

Test(ledger, lost_covers_a_gap_that_came_before_it)
{
    take(0, 0);
    take(0, 10);
    take_lost(0, 1, 9, 9);
    cr_expect_eq(sum().open, 0);
    cr_expect_eq(sum().told_lost, 9);
    look();
    cr_expect_eq(said.calls, 0);
}

Test(ledger, lost_covers_a_gap_that_comes_after_it)
{
    take(0, 0);
    take_lost(0, 1, 9, 9);
    cr_expect_eq(sum().open, 0);
    take(0, 10);
    cr_expect_eq(sum().received, 2);
    cr_expect_eq(sum().open, 0);
}

Test(ledger, one_less_than_the_gap_leaves_one_unexplained)
{
    take(0, 0);
    take(0, 10);
    take_lost(0, 1, 9, 8);
    look();
    cr_expect_eq(said.count, 1);
}

Test(ledger, one_told_too_many_is_seen)
{
    take(0, 0);
    take(0, 10);
    take_lost(0, 1, 9, 10);
    cr_expect_eq(sum().untold, 1);
}

Test(ledger, record_within_the_range_of_a_lost_that_came_before_it_is_late_and_no_gap)
{
    take(0, 0);
    take_lost(0, 1, 3, 2);
    cr_expect_eq(sum().open, 1);
    take(0, 2);
    cr_expect_eq(sum().open, 0);
    cr_expect_eq(sum().late, 1);
    take(0, 4);
    cr_expect_eq(sum().received, 3);
    look();
    cr_expect_eq(said.calls, 0);
}

Test(ledger, interrupted_programs_leave_no_gap)
{
    static const uint64_t order[] = {0, 4, 3, 2, 1, 5, 7, 6, 9, 10, 8, 11};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        take(0, order[i]);
    cr_expect_eq(sum().received, 12);
    cr_expect_eq(sum().open, 0);
    cr_expect_eq(sum().late, 5);
    cr_expect_eq(sum().duplicate, 0);
}

Test(ledger, more_gaps_than_it_keeps_apart_are_counted_exactly)
{
    for (uint64_t i = 0; i < 1000; i += 2)
        take(0, i);
    cr_expect_eq(sum().open, 499);
    take(0, 501);
    take_lost(0, 1, 997, 498);
    cr_expect_eq(sum().open, 0);
    cr_expect_eq(sum().received, 501);
}

Test(ledger, account_that_comes_late_takes_the_alarm_back)
{
    take(0, 0);
    take(0, 10);
    look();
    cr_assert_eq(sum().unexplained, 9);
    take_lost(0, 1, 9, 7);
    cr_expect_eq(sum().unexplained, 2);
    cr_expect_eq(sum().explained_late, 7);
    take(0, 4);
    cr_expect_eq(sum().unexplained, 1);
    cr_expect_eq(sum().explained_late, 8);
    take(0, 11);
    take(0, 13);
    look();
    cr_expect_eq(said.count, 10, "a later gap is an alarm of its own");
    cr_expect_eq(said.first, EPOCH + 12);
    cr_expect_eq(sum().unexplained, 2);
}

Test(ledger, losses_that_go_on_are_no_alarm_and_hide_none)
{
    uint64_t number = 0, now_ns = NS_PER_SEC;

    for (int i = 0; i < 1000; i++) {
        take(0, number++);
        number += 3;
        take(0, number++);
        take_lost(0, number - 4, number - 2, i == 500 ? 2 : 3);
        number++; /* its report is still to come at the look */
        take(0, number++);
        ledger_look(&ledger, now_ns += 10 * NS_PER_MS, on_report, NULL);
        take_lost(0, number - 2, number - 2, 1);
    }
    cr_expect_eq(said.count, 1);
    cr_expect_eq(sum().open, 0);
}

Test(ledger, records_that_are_read_again_are_known_by_their_place)
{
    uint64_t released;

    take(0, 0);
    take(0, 1);
    released = position;
    take(0, 5);
    take_lost(0, 2, 4, 3);
    position = released;
    take(0, 5);
    take_lost(0, 2, 4, 3);
    take(0, 6);
    cr_expect_eq(sum().reread, 2);
    cr_expect_eq(sum().received, 4);
    cr_expect_eq(sum().told_lost, 3);
    cr_expect_eq(sum().duplicate, 0);
}

Test(ledger, another_epoch_begins_anew_and_keeps_what_was_unexplained)
{
    take(0, 0);
    take(0, 2);
    ledger_close(&ledger, on_report, NULL);
    cr_expect_eq(said.count, 1);
    ledger_begin(&ledger, EPOCH + 500, true);
    position = 0;
    take(0, 500);
    cr_expect_eq(sum().open, 0);
    cr_expect_eq(sum().unexplained, 0);
    cr_expect_eq(sum().unexplained_before, 1);
    cr_expect_eq(sum().received, 1);
}

Test(ledger, numbers_of_the_collector_are_not_looked_at)
{
    take(RECORD_CPU_COLLECTOR, 7);
    take(RECORD_CPU_COLLECTOR, 99);
    take_lost(RECORD_CPU_COLLECTOR, 100, 100, 1);
    look();
    cr_expect_eq(said.calls, 0);
    cr_expect_eq(sum().cpus, 0);
}

Test(ledger, successor_goes_on_where_it_was_saved)
{
    uint8_t saved[4096];
    size_t size;

    take(0, 0);
    take(0, 3);
    take(5, 0);
    size = ledger_save(&ledger, saved, sizeof(saved));
    cr_assert_gt(size, 0);
    cr_expect_eq(ledger_save(&ledger, saved, size - 1), 0);
    ledger_deinit(&ledger);
    cr_assert_eq(ledger_init(&ledger), 0);
    cr_assert_eq(ledger_load(&ledger, saved, size, EPOCH), 0);
    ledger_begin(&ledger, EPOCH, false);
    position = 8;
    take(0, 3);
    take(5, 0);
    take(0, 4);
    take_lost(0, 1, 1, 1);
    take(5, 1);
    cr_expect_eq(sum().reread, 2);
    cr_expect_eq(sum().received, 5);
    look();
    cr_expect_eq(said.count, 1);
}

Test(ledger, load_refuses_what_is_none)
{
    uint64_t saved[64];
    size_t size;
    unsigned refused = 0;

    take(0, 0);
    take(0, 3);
    size = ledger_save(&ledger, saved, sizeof(saved));
    cr_expect_eq(ledger_load(&ledger, saved, size, EPOCH + 1), -ESTALE);
    cr_expect_eq(ledger_load(&ledger, saved, size - 1, EPOCH), -EBADMSG);
    cr_expect_eq(ledger_load(&ledger, saved, 0, EPOCH), -EBADMSG);
    for (int i = 0; i < 20000; i++) {
        uint64_t broken[64];

        memcpy(broken, saved, size);
        broken[chance((unsigned)(size / 8))] ^= UINT64_C(1) << chance(64);
        refused += ledger_load(&ledger, broken, size, EPOCH) < 0;
        take(0, 4); /* whatever it took: no harm is done */
        take(0, 2);
        look();
    }
    cr_expect_gt(refused, 1000);
}

/* ---- a model of what makes the numbers -------------------------------------------------------------------------------- */

#define CPUS  3
#define STEPS 30000

struct item {
    struct record_lost record; /* FORK or LOST */
    uint64_t position;
};

static struct {
    uint64_t next[CPUS], dropped[CPUS], delivered;
    uint64_t refused[CPUS], refused_last[CPUS], refused_seen[CPUS]; /* in the kernel */
    struct {
        uint64_t count, first, last;
    } queue_loss[CPUS];
    struct item ring[256], delayed[64], queue[4096]; /* delayed: has its number, not its place */
    size_t ring_count, delayed_count, read, written, released;
    uint64_t position, reread;
} model;

static void submit(const struct item *item)
{
    uint16_t cpu = item->record.header.cpu;

    if (model.ring_count < 60 + chance(4)) {
        model.ring[model.ring_count++] = *item;
        return;
    }
    if (item->record.header.seq > model.refused_last[cpu])
        model.refused_last[cpu] = item->record.header.seq;
    model.refused[cpu]++;
}

static void make(uint16_t cpu, unsigned depth)
{
    struct item item = {.record.header = {.type = RECORD_FORK, .cpu = cpu, .seq = EPOCH + model.next[cpu]++}};

    if (chance(4000) == 0) {
        model.dropped[cpu]++;
        return;
    }
    if (depth < 3 && chance(8) == 0)
        make(cpu, depth + 1); /* an interrupt between number and room */
    if (chance(50) == 0 && model.delayed_count < 64)
        model.delayed[model.delayed_count++] = item;
    else
        submit(&item);
}

static void publish(const struct item *item)
{
    cr_assert_lt(model.written, 4096);
    model.queue[model.written] = *item;
    model.position += 8 * (1 + chance(20));
    model.queue[model.written++].position = model.position;
}

static void publish_lost(uint16_t cpu, uint64_t first, uint64_t last, uint64_t count)
{
    struct item item = {
        .record = {.header = {.type = RECORD_LOST, .cpu = cpu}, .first_seq = first, .last_seq = last}};

    item.record.count[RECORD_FORK] = count;
    publish(&item);
}

static void submit_delayed(void)
{
    for (; model.delayed_count > 0; model.delayed_count--)
        submit(&model.delayed[model.delayed_count - 1]);
}

/* The collector's turn; `tight`: the queue is full at times. */
static void collect(bool tight)
{
    for (size_t i = 0; i < model.ring_count; i++) {
        uint16_t cpu = model.ring[i].record.header.cpu;
        uint64_t seq = model.ring[i].record.header.seq;

        if (tight && chance(3) == 0) {
            if (model.queue_loss[cpu].count++ == 0)
                model.queue_loss[cpu].first = seq, model.queue_loss[cpu].last = seq;
            if (seq > model.queue_loss[cpu].last)
                model.queue_loss[cpu].last = seq;
            continue;
        }
        publish(&model.ring[i]);
        model.delivered++;
    }
    model.ring_count = 0;
    for (uint16_t cpu = 0; cpu < CPUS; cpu++) {
        uint64_t count = model.refused[cpu] - model.refused_seen[cpu];

        if (count > 0)
            publish_lost(cpu, model.refused_last[cpu], model.refused_last[cpu], count); /* first: not exact */
        model.refused_seen[cpu] = model.refused[cpu];
        if (model.queue_loss[cpu].count > 0 && !tight) {
            publish_lost(
                cpu, model.queue_loss[cpu].first, model.queue_loss[cpu].last, model.queue_loss[cpu].count);
            model.queue_loss[cpu].count = 0;
        }
    }
}

static void read_some(size_t limit)
{
    for (; model.read < model.written && limit > 0; limit--, model.read++)
        ledger_take(&ledger, &model.queue[model.read].record.header, model.queue[model.read].position);
}

/* A kill: what was read behind the release is read again by one who has what was saved last. */
static void restart(void)
{
    static uint8_t saved[4096];
    size_t size = ledger_save(&ledger, saved, sizeof(saved)),
           since = model.read - chance(20) % (model.read + 1);

    cr_assert_gt(size, 0);
    read_some(chance(30)); /* seen by the one who is killed, not saved */
    ledger_deinit(&ledger);
    cr_assert_eq(ledger_init(&ledger), 0);
    cr_assert_eq(ledger_load(&ledger, saved, size, EPOCH), 0);
    ledger_begin(&ledger, EPOCH, false);
    model.read = since;
}

static void forget_read(void)
{
    memmove(model.queue, model.queue + model.read, (model.written - model.read) * sizeof(model.queue[0]));
    model.written -= model.read;
    model.read = 0;
}

static uint64_t dropped(void)
{
    return model.dropped[0] + model.dropped[1] + model.dropped[2];
}

static void run_model(unsigned seed, bool restarts)
{
    uint64_t now_ns = NS_PER_SEC;

    memset(&model, 0, sizeof(model));
    memset(&said, 0, sizeof(said));
    random_state = seed;
    for (unsigned step = 0; step < STEPS; step++) {
        bool storm = step / 500 % 3 == 1;

        submit_delayed(); /* of the step before: the look has come in between */
        for (unsigned i = chance(storm ? 200 : 10); i > 0; i--)
            make((uint16_t)chance(CPUS), 0);
        collect(storm && chance(2) == 0);
        if (restarts && chance(300) == 0)
            restart();
        read_some(SIZE_MAX);
        if (model.read > 2000)
            forget_read();
        ledger_look(&ledger, now_ns += 100 * NS_PER_MS, on_report, NULL);
        cr_assert_leq(sum().unexplained, dropped(), "step %u", step);
    }
    for (int i = 0; i < 2; i++) {
        submit_delayed();
        collect(false);
    }
    read_some(SIZE_MAX);
}

static void expect_balance(void)
{
    struct ledger_totals totals;
    uint64_t used = 0, refused = 0, tail;

    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        used += model.next[cpu];
        refused += model.refused[cpu];
    }
    look();
    totals = sum();
    tail = used - totals.used; /* dropped, and nothing came behind */
    cr_expect_gt(refused, 1000);
    cr_expect_gt(dropped(), 10);
    cr_expect_gt(totals.late, 100);
    cr_expect_eq(totals.received, model.delivered);
    cr_expect_eq(totals.unexplained + tail, dropped());
    cr_expect_eq(totals.open + totals.untold + totals.duplicate, 0);
    cr_expect_eq(totals.used, totals.received + totals.told_lost + totals.unexplained);
    cr_expect_eq(said.count, totals.unexplained + totals.explained_late);
}

Test(ledger, model_of_losses_and_interrupts_balances)
{
    run_model(7, false);
    expect_balance();
    cr_expect_eq(sum().reread, 0);
}

Test(ledger, model_with_restarts_balances)
{
    for (unsigned seed = 1; seed < 5; seed++) {
        teardown();
        setup();
        run_model(seed, true);
        expect_balance();
        cr_expect_gt(sum().reread, 50);
    }
}
