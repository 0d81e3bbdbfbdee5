/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One run: the model's records into the queue at the profile's pace, the enricher looked at twice a second by a thread of its own, and what came of it.
 *
 * Open loop: record i belongs to the moment i / rate, and carries that time, whether we are late or not; what the enricher measures from it therefore holds our own delays and the
 * queue's (no coordinated omission; G. Tene, "How NOT to Measure Latency"). Closed loop: as many as the queue takes, a quarter of it full at most.
 * A recording is an open loop with the times that it has.
 */
#include <pthread.h>

#include "tests/load/load_enricher.h"
#include "tests/load/load_replay.h"
#include "tests/load/load_stage.h"
#include "tests/load/load_standin.h"

/* A point of the curves. */
struct load_point {
    struct load_sample sample;
    uint64_t offered, backlog_bytes, own_cpu_us;
};

struct load_totals {
    uint64_t offered, published, refused; /* records, all types */
    uint64_t published_events;            /* of them, what becomes lines */
    uint64_t duration_ns;                 /* from the first record until the last was taken */
    uint64_t drained_ns;                  /* from then until the last line was written */
    uint64_t own_cpu_us;
    bool drained;  /* nothing was left over at the end */
    bool balanced; /* published = received, received = emitted + held + dropped */
};

struct load_run {
    const struct load_conf *conf;
    struct load_model *model;
    struct load_replay *replay; /* in its place, NULL: none */
    struct load_stage stage;
    struct load_enricher enricher;
    struct load_standin standin;
    pthread_t sampler;
    pthread_mutex_t mutex; /* over points */
    bool sampling, stop_sampling;
    struct load_point *points;
    size_t point_count, point_room;
    _Atomic uint64_t offered_now, backlog_now;
    uint64_t start_ns;
    bool quiet;
    struct load_totals totals;
    struct load_sample first, last;
};

/* 0 or negative errno, with one line on stderr. load_run_close() in any case. */
int load_run_open(
    struct load_run *run, const struct load_conf *conf, const char *program, const char *folder);
int load_run_go(struct load_run *run);
/* The largest rate at which nothing is lost and what waits in the queue stays below 100 ms worth: the median of as many rounds as the profile says, their least and
 * greatest; 0: none was found. Prints the tries. 0 or negative errno, said. */
struct load_limit {
    uint64_t median, least, most;
};
int load_run_find_limit(struct load_run *run, struct load_limit *ret);
/* The enricher's exit status. */
int load_run_close(struct load_run *run);
