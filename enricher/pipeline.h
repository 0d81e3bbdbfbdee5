/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The path of an event inside the enricher, and the state that it passes through:
 *
 *   record ─► apply.c     process, cgroup and container tables; makes the event
 *          ─► place.c     goes out now, or joins the queue of the container that it waits for
 *          ─► resolve.c   what is known of a container: news from the Pod table, retries, deadlines
 *          ─► release.c   lets a container's queue go, in order
 *          ─► emit.c      one JSON line
 *          ─► update.c    what an incomplete line lacked, in a line of its own once it is known
 *             hook.c      policies, and which of their events were asked for
 *
 * Single-threaded; owned by enricher.c, which feeds it records (drain.c), news (the Pod table's callback) and time.
 *
 * E1  events of one process leave in the order in which they came
 * E2  an event waits only while its own container or its parent's is waited for, or while earlier events of its container or process wait
 * E3  received = emitted + held + dropped(by reason), at any moment between two calls; of several lanes (lane_of.h) for each, and so for all together
 * E4  a call that returns -EAGAIN has changed nothing that a later call with the same record would not continue
 * E5  who stood in a line without all of its Pod gets a pod_update at each step that adds some of it, once, behind that line (owed.h)
 */
#include <stdbool.h>
#include <stdint.h>

#include "enricher/container_table.h"
#include "enricher/counters.h"
#include "enricher/coverage.h"
#include "enricher/emit.h"
#include "enricher/histogram.h"
#include "enricher/hold.h"
#include "enricher/image_table.h"
#include "enricher/lane_of.h"
#include "enricher/owed.h"
#include "enricher/policy_table.h"
#include "enricher/process_table.h"
#include "enricher/retry.h"
#include "enricher/wheel.h"

struct pipeline_options {
    uint64_t hold_timeout_ns;      /* while the Pod is unknown; default 30 s, 0: never wait */
    uint64_t container_timeout_ns; /* once only the container's name is missing; default 5 s, 0: never wait */
    uint64_t process_grace_ns;     /* exited processes; default 5 s … */
    size_t max_exited;             /* … and at most so many; default 16384 */
    uint64_t cgroup_grace_ns;      /* removed cgroups, and policies that are gone; default 5 min */
    size_t max_cgroups;            /* default 65536 */
    struct retry_policy retry;     /* default 200 ms … 5 s */
    struct owed_limits owed;       /* default 4096 executions a container, 65536 in all; 0: none are listed */
    bool own_events;               /* process_fork, lost, pod_update */
    bool names_suffice; /* the log directory is the only source: nobody will ever tell the labels */
};

struct pipeline {
    const struct pipeline_options *options;
    struct lane_of lane; /* of records of other lanes' processes only the tables learn */
    struct process_table processes;
    struct image_table images;
    struct container_table containers;
    struct policy_table policies;
    struct pod_table *pods; /* borrowed */
    struct hold *hold;      /* borrowed */
    struct emit *emit;      /* borrowed */
    struct wheel wheel;
    struct container *release_first, **release_last;
    struct container *update_first, **update_last;
    struct owed_book owed;
    struct coverage_book coverage;
    struct container *overflow; /* for events of cgroups that the full table refused */
    struct counters counters;
    struct histogram release_ns; /* how long events waited after the news that let them go */
    void (*ask)(void *arg);      /* something is unresolved */
    void *arg;
    uint64_t random;
    uint32_t snapshot_generation; /* counts snapshots */
    uint64_t
        gap_since_ns; /* records were lost whose sense only a new snapshot tells; 0: none since the last */
    uint64_t recovering_since_ns; /* held since, of the recovered entry that is being applied; 0: none */
    uint64_t recovering_sequence;
    uint64_t notes_held; /* of hold_count(): records that are no events (place_note) */
    struct event parked; /* applied, not placed yet: the output was full (what it points to is referenced) */
    bool has_parked;
};

/* The pointers in *pipeline marked borrowed, options, lane, ask and arg are set by the caller before. 0 or negative errno. */
int pipeline_init(struct pipeline *pipeline, uint64_t now_ns);
/* Also takes what is held out of the store: a daemon whose successor shall have it does not call this, it ends. */
void pipeline_deinit(struct pipeline *pipeline);

/* One checked record of the stream. 0: taken. -EAGAIN: the output is full; call again with the same record (E4). */
int pipeline_record(struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns);
/* Hints for records that come soon, in steps with other work in between: the slots of the process table, the processes, their text, and that of their
 * parents and Pods. */
void pipeline_prefetch_slots(const struct pipeline *pipeline, const struct record_header *record);
void pipeline_prefetch_processes(const struct pipeline *pipeline, const struct record_header *record);
/* Returns whose context is still to come, NULL: there is none; valid until the next record is given to the pipeline. */
const struct process *pipeline_prefetch_text(
    const struct pipeline *pipeline, const struct record_header *record);
void pipeline_prefetch_context(const struct process *process);
void pipeline_snapshot_begin(struct pipeline *pipeline);
/* One checked record of the snapshot, twice for all: first pass the tables, second the parents. */
enum pipeline_snapshot_pass { PIPELINE_SNAPSHOT_TABLES, PIPELINE_SNAPSHOT_PARENTS };
void pipeline_snapshot(
    struct pipeline *pipeline, const struct record_header *record, enum pipeline_snapshot_pass pass);
/* After a whole snapshot, both passes done: the processes and cgroups that it did not have are gone, and nobody told. For another collector,
 * and after a gap once all that was published before has been read. */
void pipeline_snapshot_missed(struct pipeline *pipeline, uint64_t now_ns);
/* What comes is of another collector, whose hook ids mean something else. Before its snapshot. */
void pipeline_collector_changed(struct pipeline *pipeline);
/* The Pod table has news. */
void pipeline_pod_changed(struct pipeline *pipeline, struct pod *pod, uint64_t now_ns);
/* What is due: retries, deadlines, releases, expiry. Called each turn of the loop. */
void pipeline_turn(struct pipeline *pipeline, uint64_t now_ns);
/* When pipeline_turn() has something to do at the latest; UINT64_MAX: nothing. */
uint64_t pipeline_next_ns(const struct pipeline *pipeline);
/* Events in the hold store. */
uint64_t pipeline_held(const struct pipeline *pipeline);
/* Nobody will tell more: what is held goes out as it is. 0: all of it; -EAGAIN: the output is full. */
int pipeline_let_go(struct pipeline *pipeline, uint64_t now_ns);
/* Something waits for room in the output. */
bool pipeline_is_blocked(const struct pipeline *pipeline);

/* ---- between the files of the pipeline ---------------------------------------------------------------------- */

/* resolve.c */
void resolve_container(struct pipeline *pipeline, struct container *container, uint64_t now_ns);
/* Events of this container have to wait. */
bool resolve_is_pending(const struct container *container);
/* The deadline counts from `since_ns`: what a predecessor held has a fresh one, as nobody has been asked yet. */
void resolve_start_waiting(
    struct pipeline *pipeline, struct container *container, uint64_t since_ns, uint64_t now_ns);
/* Until when its events wait, given that some do. */
uint64_t resolve_deadline_ns(const struct pipeline *pipeline, const struct container *container);
void resolve_stop_waiting(struct pipeline *pipeline, struct container *container);
void resolve_turn_wheel(struct pipeline *pipeline, uint64_t now_ns);
/* A stand-in whose cgroup's path has become known: its events are placed anew. */
void resolve_dissolve(struct pipeline *pipeline, struct container *stand_in, uint64_t now_ns);

/* place.c */
int place_event(struct pipeline *pipeline, const struct event *event, uint64_t now_ns);
/* The container whose queue the event must join, NULL: it may go. `leaving`: the queue that it is being taken from, NULL: none. */
struct container *place_find_queue(
    struct pipeline *pipeline, const struct event *event, const struct container *leaving);
/* `leaving`: as above. */
int place_into_queue(struct pipeline *pipeline, struct container *queue, struct container *leaving,
    const struct event *event, uint64_t now_ns);
/* The path of a removed cgroup whose events are held: for a successor, which finds it in no snapshot. Best effort. */
void place_note(struct pipeline *pipeline, struct container *container, const struct record_header *record,
    uint64_t now_ns);
/* Of an entry that this process put there. */
struct policy_entry *place_policy_of(const struct hold_entry *entry);
/* The first entry of the queue is done with. */
void place_pop(struct pipeline *pipeline, struct hold_queue *queue);
int place_emit(struct pipeline *pipeline, const struct event *event, uint64_t now_ns);

/* release.c */
enum release_reason { RELEASE_ARRIVAL, RELEASE_EXPIRED, RELEASE_EVICTED };
void release_schedule(struct pipeline *pipeline, struct container *container, uint64_t now_ns);
/* Lets scheduled queues go. 0: all gone; -EAGAIN: the output is full. */
int release_run(struct pipeline *pipeline, uint64_t now_ns);

/* update.c */
/* The event's line is out: whoever stood in it without all of its Pod is owed a correction. */
void update_owe_event(struct pipeline *pipeline, const struct event *event);
/* The container has news: what it owes goes out with the next update_run(). */
void update_schedule(struct pipeline *pipeline, struct container *container);
/* 0: all out; -EAGAIN: the output is full. */
int update_run(struct pipeline *pipeline, uint64_t now_ns);
/* The stand-in's cgroup is known to be of `container`. */
void update_dissolve(struct pipeline *pipeline, struct container *stand_in, struct container *container);
/* Nobody will ever know. */
void update_give_up(struct pipeline *pipeline, struct container *container);
/* hook.c */
/* `generation`: of the snapshot that it is from, 0: of the stream. */
void hook_apply_policy(
    struct pipeline *pipeline, const struct record_policy *record, uint32_t generation, uint64_t now_ns);
/* Of a hook's record, never NULL; of any other NULL. Borrowed. */
struct policy_entry *hook_find_policy(
    struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns);
/* true: a hook's event of a process that the policy is not for, counted as dropped. What is not known yet drops nothing. */
bool hook_drop(struct pipeline *pipeline, const struct event *event);
/* emit_event() of a hook, with its mark and counters. */
int hook_emit(struct pipeline *pipeline, const struct event *event, uint64_t now_ns);

/* apply.c */
/* Where the process is, its cgroup being `cgroup_id`; sets process->container. Never NULL. */
struct container *apply_find_container(
    struct pipeline *pipeline, struct process *process, uint64_t cgroup_id);
/* The container of an event that was held under `before`, its cgroup's path being unknown; moves nothing that has moved on since. */
struct container *apply_container_of_event(
    struct pipeline *pipeline, struct process *process, uint64_t cgroup_id, struct container *before);
/* Where it is by what is known now: a stand-in may have got its path meanwhile. NULL: nothing was ever known. */
struct container *apply_current_container(struct pipeline *pipeline, struct process *process);
