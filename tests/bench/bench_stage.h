/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The stage of the benchmarks of the whole path: a queue that is filled with records, the drain, the tables, rendering, the file sink with rotation; the real modules, in one process. Only the
 * consumer's work is timed: the producer rests meanwhile. An error ends the program.
 */
#include <stdbool.h>

#include "common/queue.h"
#include "enricher/drain.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"
#include "tests/unit/make_record.h"

#define STAGE_PROCESSES  100000
#define STAGE_CONTAINERS 300
#define STAGE_CHUNK      2000 /* records that the queue surely takes */

struct stage {
    struct pipeline_options options;
    struct render_options render;
    struct emit emit;
    struct pipeline pipeline;
    struct pod_table *pods;
    struct hold *hold;
    struct loop *loop;
    struct output *output;
    struct drain drain;
    struct queue_producer *producer;
    struct queue_consumer *consumer;
    struct make_record record;
    char path[256];
};

struct stage_options {
    const char *folder; /* of the file; "-": none */
    enum loop_kind loop;
    int hold_fd; /* memfd of the hold store, -1: one of its own */
    struct hold_limits hold;
    bool normalised;       /* else full lines */
    uint64_t rotate_bytes; /* 0: the default */
    struct lane_of lane;   /* one of several on a queue … */
    struct stage *leader;  /* … and whose queue it follows, in a thread of its own; NULL: it has one */
};

/* What something took: of all threads (io_uring may write in a worker of the kernel's), of this one, and by the clock. */
struct stage_cost {
    uint64_t all_ns, own_ns, wall_ns;
};

void stage_fail(const char *what, int r) __attribute__((noreturn));
/* Ends the program when r is negative. */
void stage_must(const char *what, int r);

void stage_open(struct stage *stage, const struct stage_options *options);
/* Removes the files. */
void stage_close(struct stage *stage);

void stage_produce(struct stage *stage, const struct record_header *record);
/* Until everything published is read and written. */
struct stage_cost stage_consume(struct stage *stage);
/* The same of what is published already; the producer is not touched. For each of several lanes, in its thread. */
struct stage_cost stage_drain(struct stage *stage);

struct make_key stage_key(uint32_t i);
uint64_t stage_cgroup(uint32_t container);
void stage_name_path(uint32_t container, char path[256]);
/* The containers' cgroups; then their Pods; then the processes, a hundred of them in one container before the next. */
void stage_make_cgroups(struct stage *stage);
void stage_tell_pods(struct stage *stage);
void stage_make_processes(struct stage *stage);
