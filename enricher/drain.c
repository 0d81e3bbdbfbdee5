/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/drain.h"

#include <errno.h>
#include <poll.h>

#include "common/clock.h"
#include "common/queue.h"
#include "common/record.h"
#include "common/record_check.h"
#include "enricher/ledger.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"

#define BATCHES_A_TURN    128
#define SKIPS_A_BATCH     256
#define NAP_NS            NS_PER_MS
#define NAPS_BEFORE_SLEEP 20
#define FEW_RECORDS       8

static void on_nap(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    (void)arg; /* being awake is all: enricher.c drains each turn */
}

static void on_doorbell(void *arg, uint32_t events)
{
    struct drain *drain = arg;

    (void)events;
    drain->empty_naps = NAPS_BEFORE_SLEEP; /* what it rang for may have been read already */
    drain->asleep = false;
    queue_consumer_sleep_end(drain->queue); /* empties the doorbell, too */
}

void drain_init(struct drain *drain, struct loop *loop, struct pipeline *pipeline, struct output *output)
{
    *drain = (struct drain){.loop = loop, .pipeline = pipeline, .output = output};
    drain->nap = (struct loop_timer){.fn = on_nap, .arg = drain};
    drain->doorbell = (struct loop_poll){.fn = on_doorbell, .arg = drain, .fd = -1};
}

int drain_attach(struct drain *drain, struct queue_consumer *queue)
{
    drain->queue = queue;
    drain->broken = false;
    drain->asleep = false;
    drain->empty_naps = 0;
    return loop_poll_start(
        drain->loop, &drain->doorbell, queue_consumer_doorbell_fd(queue), POLLIN | LOOP_DRAINS);
}

/* Gives back the room of the batches that are durable by now. */
static void release_durable(struct drain *drain)
{
    uint64_t durable = output_durable(drain->output), position = 0;
    bool any = false;

    while (drain->mark_count > 0 && drain->marks[drain->first_mark].output_mark <= durable) {
        position = drain->marks[drain->first_mark].position;
        drain->first_mark = (drain->first_mark + 1) % DRAIN_MARKS;
        drain->mark_count--;
        any = true;
    }
    if (!any)
        return;
    if (drain->on_release)
        drain->on_release(drain->release_arg);
    queue_consumer_release(drain->queue, position);
}

void drain_detach(struct drain *drain)
{
    if (!drain->queue)
        return;
    loop_timer_disarm(drain->loop, &drain->nap);
    loop_poll_stop(drain->loop, &drain->doorbell);
    release_durable(drain);
    drain->queue = NULL;
    drain->batch_next = drain->batch_count = 0;
    drain->mark_count = 0;
}

/* Remembers what to release once everything committed so far is written. */
static void mark(struct drain *drain)
{
    uint64_t position = queue_consumer_position(drain->queue), now = output_mark(drain->output);
    struct drain_mark *last =
        &drain->marks[(drain->first_mark + drain->mark_count + DRAIN_MARKS - 1) % DRAIN_MARKS];

    if (drain->mark_count > 0 && (last->output_mark == now || drain->mark_count == DRAIN_MARKS)) {
        *last = (struct drain_mark){now, position}; /* later is always safe */
        return;
    }
    drain->marks[(drain->first_mark + drain->mark_count++) % DRAIN_MARKS] =
        (struct drain_mark){now, position};
}

/* The next records, checked; what is malformed is counted and left out, what only another lane needs is passed over by its header. */
static void fetch(struct drain *drain)
{
    const struct lane_of lane = drain->pipeline->lane;
    uint32_t skips = 0;

    drain->batch_next = drain->batch_count = 0;
    while (drain->batch_count < DRAIN_BATCH && skips < SKIPS_A_BATCH) {
        const struct record_header *record = queue_consumer_next(drain->queue, &drain->broken);

        if (!record)
            return;
        drain->records++;
        if (lane_of_skips(lane, record)) {
            if (drain->ledger)
                ledger_take(drain->ledger, record, queue_consumer_position(drain->queue));
            skips++;
            continue;
        }
        if (record_check(record, record->size) < 0) {
            drain->pipeline->counters.records_malformed += lane_of_owns(lane, record);
            continue;
        }
        if (drain->ledger)
            ledger_take(drain->ledger, record, queue_consumer_position(drain->queue));
        pipeline_prefetch_slots(drain->pipeline, record);
        drain->batch[drain->batch_count++] = record;
    }
}

/* In steps, each of which finds in the cache what the one before it asked for. */
static void prefetch(const struct drain *drain)
{
    const struct process *processes[DRAIN_BATCH];

    for (uint32_t i = 0; i < drain->batch_count; i++)
        pipeline_prefetch_processes(drain->pipeline, drain->batch[i]);
    for (uint32_t i = 0; i < drain->batch_count; i++)
        processes[i] = pipeline_prefetch_text(drain->pipeline, drain->batch[i]);
    for (uint32_t i = 0; i < drain->batch_count; i++) {
        if (processes[i])
            pipeline_prefetch_context(processes[i]);
    }
}

/* One batch. 0: queue empty, 1: more, -EAGAIN: the output is full. */
static int drain_batch(struct drain *drain, uint64_t now_ns)
{
    if (drain->batch_next == drain->batch_count) {
        uint64_t before = drain->records;

        fetch(drain);
        if (drain->records == before)
            return 0;
        prefetch(drain);
    }
    for (; drain->batch_next < drain->batch_count; drain->batch_next++) {
        if (pipeline_record(drain->pipeline, drain->batch[drain->batch_next], now_ns) == -EAGAIN)
            return -EAGAIN;
    }
    mark(drain);
    return 1;
}

/* Few records are not worth naps: a nap costs what a doorbell does, and finds nothing. */
static void rest(struct drain *drain, uint64_t came)
{
    if (came)
        drain->empty_naps = came < FEW_RECORDS ? NAPS_BEFORE_SLEEP : 0;
    else if (drain->asleep)
        return;
    if (drain->empty_naps++ >= NAPS_BEFORE_SLEEP) {
        loop_timer_disarm(drain->loop, &drain->nap);
        drain->asleep = queue_consumer_sleep_begin(drain->queue);
        if (drain->asleep)
            return;
        drain->empty_naps = 0;
    }
    loop_timer_arm(drain->loop, &drain->nap, clock_boot_ns() + NAP_NS);
}

bool drain_run(struct drain *drain)
{
    uint64_t before = drain->records;
    int r = 1;

    drain->at_end = false;
    if (!drain->queue)
        return false;
    release_durable(drain);
    queue_consumer_gather(drain->queue);
    for (int i = 0; i < BATCHES_A_TURN && r > 0; i++) {
        r = drain_batch(drain, clock_boot_ns());
        drain->batches++;
    }
    drain->at_end = r == 0;
    if (drain->records != before || r < 0)
        queue_consumer_wake_followers(drain->queue);
    if (r == 0 && !drain->broken)
        rest(drain, drain->records - before);
    else if (r < 0 && queue_consumer_has_followers(drain->queue)) /* our output is full, not theirs */
        loop_timer_arm(drain->loop, &drain->nap, clock_boot_ns() + NAP_NS);
    return r > 0;
}

bool drain_settle(struct drain *drain)
{
    if (drain->queue) {
        release_durable(drain);
        queue_consumer_gather(drain->queue);
    }
    return drain->mark_count == 0;
}
