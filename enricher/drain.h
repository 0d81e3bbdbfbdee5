/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Queue → pipeline. Reads in batches, checks each record, and gives the queue's room back only for what is durable: each batch leaves a mark of the output, and its
 * position is released when everything up to that mark is written (or copied to the hold store, which happens before).
 *
 * Waiting: it naps NAP_NS while many records keep coming and announces sleep (doorbell) after NAPS_BEFORE_SLEEP empty naps, or at once when few came: see docs/performance.md.
 */
#include <stdbool.h>
#include <stdint.h>

#include "enricher/loop.h"

struct ledger;
struct output;
struct pipeline;
struct queue_consumer;
struct record_header;

#define DRAIN_MARKS 256
#define DRAIN_BATCH 16 /* so many are brought into the cache together (docs/performance.md) */

struct drain_mark {
    uint64_t output_mark, position;
};

/* Called before room is given back: what a successor has to know of the records in it is to be kept by now. */
typedef void drain_release_fn(void *arg);

struct drain {
    struct loop *loop;
    struct pipeline *pipeline;
    struct output *output;
    struct queue_consumer *queue; /* NULL: not attached */
    struct ledger *ledger;        /* that the numbers are held against; borrowed; NULL: none */
    drain_release_fn *on_release; /* NULL: none */
    void *release_arg;
    struct loop_timer nap;
    struct loop_poll doorbell;
    const struct record_header *batch[DRAIN_BATCH]; /* checked, borrowed from the queue */
    uint32_t batch_next, batch_count; /* those from batch_next on are not taken yet: the output may be full */
    struct drain_mark marks[DRAIN_MARKS]; /* ring of batches that are not durable yet */
    uint32_t first_mark, mark_count;
    unsigned empty_naps;
    bool asleep;
    bool at_end; /* nothing was left when it was last run */
    bool broken; /* framing that cannot be true: the queue is given up */
    uint64_t batches, records;
};

/* Borrows all; the loop, the pipeline and the output outlive it. */
void drain_init(struct drain *drain, struct loop *loop, struct pipeline *pipeline, struct output *output);
/* Takes over a queue (borrowed) / lets it go; what is durable is released before. */
int drain_attach(struct drain *drain, struct queue_consumer *queue);
void drain_detach(struct drain *drain);
/* Reads what there is, at most a turn's worth. true: there is more. */
bool drain_run(struct drain *drain);
/* Instead of drain_run(): reads nothing, gives back what is durable. true: all that was read is. */
bool drain_settle(struct drain *drain);
/* Records were read that the full output did not take: detaching now would leave them to the next consumer of this queue. */
static inline bool drain_is_blocked(const struct drain *drain)
{
    return drain->batch_next < drain->batch_count;
}
