/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * All that an event passes through, from the queue to the file: loop, drain, tables, hold store, output. A lane shares nothing of it with anybody; what is not
 * on the path of an event (sources, the collector's socket, the control socket) is the enricher's.
 *
 * L1  single-threaded: only the thread that turns its loop calls into it (others while it rests: crew.h)
 * L2  where there are several, lane 0's is the enricher's own; each has all of the tables and only its own events (lane_of.h)
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "enricher/conf.h"
#include "enricher/drain.h"
#include "enricher/emit.h"
#include "enricher/lane_of.h"
#include "enricher/loop.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"

struct queue_consumer;

/* What the lane asks of whoever owns it. */
struct lane_owner {
    void (*ask)(void *arg);     /* something is unresolved */
    void (*changed)(void *arg); /* what was left has been taken over; NULL: it looks itself */
    void *arg;
};

/* What a lane takes over of what was held when the enricher before ended. */
struct lane_heritage {
    const struct hold_heritage *all; /* borrowed; NULL: nothing */
    size_t next;
    struct hold_entry *entry; /* room for one */
    uint64_t sequence;        /* its name in this lane's store, 0: it has none there */
    bool loaded;              /* the entry at `next` is in the room, and may be taken in part (E4) */
    uint64_t output_mark;     /* once all was taken: durable with that */
    _Atomic bool done;        /* it is */
};

struct lane {
    const struct conf *conf; /* borrowed */
    struct lane_of of;
    struct lane_owner owner;
    char *output_path; /* NULL: none */
    struct hold_limits hold_limits;
    struct loop *loop;
    struct output *output;
    struct pod_table *pods;
    struct hold *hold;
    uint64_t hold_mark, hold_output_mark; /* pops that are final once that much output is durable; 0: none */
    struct emit emit;
    struct pipeline pipeline;
    struct drain drain;
    struct queue_consumer *queue; /* NULL: not attached */
    struct lane_heritage heritage;
    bool pausing; /* no more is read than up to the limit of `queue` */
    struct loop_timer pipeline_timer, housekeeping_timer;
    int output_error; /* errno of the output that was said last, 0: fine */
    uint64_t output_error_ns;
    bool output_removed; /* said already, and no new file could be made */
    bool output_gone;    /* nobody reads standard output any more, and nobody ever will */
};

/* 0, or negative errno with one line logged; lane_deinit() is due in either case. */
int lane_init(struct lane *lane, const struct conf *conf, struct lane_of of, const struct lane_owner *owner);
/* Who gets the lines that the viewers are shown. */
void lane_set_tap(struct lane *lane, output_tap_fn *fn, void *arg);
/* Starts what happens once a second. */
void lane_start(struct lane *lane);
/* Takes over what was left, then reads the queue. true: there is more. */
bool lane_read(struct lane *lane);
/* After the reading of each turn: what is due in the pipeline, and in the hold store: what was let go leaves that only when its lines are durable, so that a kill in between
 * loses nothing. */
void lane_turn(struct lane *lane);
/* Nothing of the queue is pointed to, and all that was read of it is durable. */
bool lane_is_done_with_queue(struct lane *lane);
/* Waits for the next thing to do; `more`: there is something at once. 0 or negative errno. */
int lane_wait(struct lane *lane, bool more);

void lane_apply_snapshot(struct lane *lane, const void *snapshot, size_t bytes, bool missed);
/* The store is taken, in place of one that is empty. */
void lane_change_hold(struct lane *lane, struct hold *hold);
/* 0 or -ENOMEM. */
int lane_inherit(struct lane *lane, const struct hold_heritage *heritage);
void lane_end_heritage(struct lane *lane);
/* What was read is written, waiting at most 2 s, before the end: a successor does not get it again. */
void lane_write_out(struct lane *lane);
/* Stops what would call back. */
void lane_stop(struct lane *lane);
void lane_deinit(struct lane *lane);
