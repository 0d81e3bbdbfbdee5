/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * All that an event passes through, from the queue to the file: loop, drain, tables, hold store, output. A lane shares nothing of it with anybody; what is not
 * on the path of an event (sources, the collector's socket, the control socket) is the enricher's.
 *
 * L1  single-threaded: only the thread that turns its loop calls into it
 */
#include <stdbool.h>
#include <stdint.h>

#include "enricher/conf.h"
#include "enricher/drain.h"
#include "enricher/emit.h"
#include "enricher/loop.h"
#include "enricher/pipeline.h"

struct queue_consumer;

/* What the lane asks of whoever owns it. */
struct lane_owner {
    void (*ask)(void *arg); /* something is unresolved */
    void *arg;
};

struct lane {
    const struct conf *conf; /* borrowed */
    struct loop *loop;
    struct output *output;
    struct pod_table *pods;
    struct hold *hold;
    uint64_t hold_mark, hold_output_mark; /* pops that are final once that much output is durable; 0: none */
    struct emit emit;
    struct pipeline pipeline;
    struct drain drain;
    struct queue_consumer *queue; /* NULL: not attached */
    struct loop_timer pipeline_timer, housekeeping_timer;
    int output_error; /* errno of the output that was said last, 0: fine */
    uint64_t output_error_ns;
    bool recovery_cut; /* stopped in the middle of taking over: what a predecessor held stays in the store */
    bool output_gone;  /* nobody reads standard output any more, and nobody ever will */
};

/* 0, or negative errno with one line logged; lane_deinit() is due in either case. */
int lane_init(struct lane *lane, const struct conf *conf, const struct lane_owner *owner);
/* Starts what happens once a second. */
void lane_start(struct lane *lane);
/* After the reading of each turn: what is due in the pipeline. */
void lane_turn(struct lane *lane);
/* Waits for the next thing to do; `more`: there is something at once. 0 or negative errno. */
int lane_wait(struct lane *lane, bool more);

/* What was let go leaves the hold store only when its lines are durable: a kill in between loses nothing. Called each turn. */
void lane_settle_hold(struct lane *lane);
/* What was read is written, waiting at most 2 s, before the end: a successor does not get it again. */
void lane_write_out(struct lane *lane);
/* Stops what would call back. */
void lane_stop(struct lane *lane);
void lane_deinit(struct lane *lane);
