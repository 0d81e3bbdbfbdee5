/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How well events were given their Pod, counted where they leave: at once, after waiting, or incomplete and why; by event type, for each container. So an event that left
 * without its Pod is in its Pod's row once the Pod is known.
 *
 * A container carries its tally; when it goes, that is folded into its Pod's, the oldest of these into its namespace's, the oldest of these into one. Single-threaded,
 * owned by the pipeline.
 *
 * V1  the sum over containers, Pods, namespaces and the rest never shrinks, and equals the events emitted, by type
 * V2  each event is in one outcome; `corrected` counts incomplete ones whose correction (complete) went out later
 * V3  bounded: COVERAGE_PODS_MAX and COVERAGE_NAMESPACES_MAX rows of what has gone, one tally a container
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

struct container;

#define COVERAGE_TYPES          (RECORD_HOOK - RECORD_FORK + 1) /* fork exec exit hook */
#define COVERAGE_PODS_MAX       512
#define COVERAGE_NAMESPACES_MAX 256

/* Of a container in a Pod; for the host's there is nothing to know: at once, or after waiting for another event. */
enum coverage_outcome {
    COVERAGE_AT_ONCE,      /* complete, and did not wait */
    COVERAGE_WAITED,       /* complete after waiting */
    COVERAGE_NOT_KNOWN,    /* the Pod was not known at the deadline */
    COVERAGE_GIVEN_UP,     /* it did not wait, as a deadline had passed before */
    COVERAGE_NO_WAIT,      /* it did not wait, as waiting is off */
    COVERAGE_NO_CONTAINER, /* the Pod was known, the container's name was not */
    COVERAGE_NO_LABELS,    /* only the log directory knew the Pod */
    COVERAGE_NO_CGROUP,    /* the cgroup's path was not known */
    COVERAGE_EVICTED,      /* the hold store was full */
    COVERAGE_OUTCOMES
};
const char *coverage_outcome_name(enum coverage_outcome outcome); /* at_once waited not_known … */

/* Waits of those that left complete: buckets of milliseconds, four to an octave (after HdrHistogram), so at most a quarter too long. */
#define COVERAGE_BUCKETS 96

struct coverage_tally {
    uint64_t count[COVERAGE_TYPES][COVERAGE_OUTCOMES];
    uint64_t corrected[COVERAGE_TYPES];
    uint64_t wait_max_ms;
    uint32_t waits[COVERAGE_BUCKETS];
};

struct coverage_pod {
    struct coverage_pod *next;
    char *namespace_, *name; /* NULL: never known */
    char uid[64];
    struct coverage_tally tally;
};

struct coverage_namespace {
    struct coverage_namespace *next;
    char *name; /* NULL: never known */
    struct coverage_tally tally;
};

/* What is left of containers that have gone. */
struct coverage_book {
    struct coverage_pod *pods, **last_pod;                   /* oldest first */
    struct coverage_namespace *namespaces, **last_namespace; /* likewise */
    size_t pod_count, namespace_count;
    struct coverage_tally host,
        rest; /* rest: of namespaces beyond, of no cgroup that was ever known, and what memory did not suffice for */
};

void coverage_init(struct coverage_book *book);
void coverage_deinit(struct coverage_book *book);

/* Any but COVERAGE_AT_ONCE, which is counted in container->at_once (one increment an event). waited_ns: of COVERAGE_WAITED. */
void coverage_count(struct coverage_book *book, struct container *container, uint8_t type,
    enum coverage_outcome outcome, uint64_t waited_ns);
/* So many of its incomplete events, by type, have been corrected. */
void coverage_correct(
    struct coverage_book *book, struct container *container, const uint64_t events[COVERAGE_TYPES]);
/* A stand-in's cgroup is of `container`: what was counted is the container's. What the stand-in still counts is the rest's. */
void coverage_dissolve(struct coverage_book *book, struct container *stand_in, struct container *container);
/* The container goes. */
void coverage_fold(struct coverage_book *book, struct container *container);

/* Adds what the container has. */
void coverage_add_container(struct coverage_tally *sum, const struct container *container);
void coverage_add(struct coverage_tally *sum, const struct coverage_tally *tally);
uint64_t coverage_events(const struct coverage_tally *tally);
uint64_t coverage_complete(const struct coverage_tally *tally);
uint64_t coverage_outcome_sum(const struct coverage_tally *tally, enum coverage_outcome outcome);
/* The wait that so many per cent did not exceed, 0 when nobody waited. */
uint64_t coverage_wait_ms(const struct coverage_tally *tally, unsigned percent);
