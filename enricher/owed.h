/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who is owed a pod_update: the executions that stood in a line without all of their Pod, listed with the container whose metadata was missing, in the order in which
 * they left.
 *
 * An entry has copied what its line needs, so that it keeps no process, and is found by what an exec_id names: a process that is forgotten and mentioned again is the
 * same. Owned by the container; called by update.c.
 *
 * W1  an execution has at most one entry a container, whatever comes in between
 * W2  entries are bounded, for a container and together; beyond, only events are counted, which one line for the whole container corrects
 * W3  steps only rise: Pod not known, its name known, all known; each is told once
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

struct container;
struct process;

#define OWED_TYPES (RECORD_HOOK - RECORD_FORK + 1) /* fork exec exit hook */

enum owed_step {
    OWED_NOTHING,  /* nothing of the Pod was told but what the cgroup says */
    OWED_POD,      /* the Pod was, the container's name or the labels were not */
    OWED_COMPLETE, /* nothing is missing any more (or it turned out to be in no Pod) */
};

struct owed {
    struct owed *next; /* of the container */
    struct owed *hash_next;
    const struct container *container;
    uint64_t image_start_ns;     /* with pid: which execution */
    uint64_t events[OWED_TYPES]; /* of its own that left incomplete; none: it was only a parent */
    uint32_t pid, ns_pid;
    uint8_t step;   /* that it was told last */
    bool inherited; /* its container was its parent's */
    uint16_t exec_id_size;
    char exec_id[];
};

struct owed_queue {
    struct owed *first, *last;
};

/* What a container owes. NULL stands for one that is empty. */
struct owed_list {
    struct owed_queue queues[OWED_COMPLETE]; /* by the step told last, each in the order in which they left */
    size_t count;
    uint64_t other_events[OWED_TYPES]; /* of executions without an entry (W2) */
    bool has_others;
    uint8_t others_step;
};

struct owed_limits {
    size_t container_max, total_max; /* entries */
};

/* All entries, by execution and container. */
struct owed_book {
    struct owed **buckets;
    size_t count;
};

int owed_book_init(struct owed_book *book);    /* 0 or -ENOMEM */
void owed_book_deinit(struct owed_book *book); /* after the containers have gone */

/* The execution stood in a line that told `step` of the container; `type` is of an event of its own, 0: only as a parent. true: it is told by itself;
 * false: with the others of its container (W2). */
bool owed_add(struct owed_book *book, const struct owed_limits *limits, const struct process *process,
    struct container *container, enum owed_step step, uint8_t type);
/* What `from`, a stand-in, owes to executions is owed by `to` from now on. Its others stay: nothing in their lines says of which container they are. */
void owed_move(struct owed_book *book, struct container *from, struct container *to);
/* An entry that has not been told `step`, NULL: none. */
struct owed *owed_due(const struct container *container, enum owed_step step);
bool owed_others_due(const struct container *container, enum owed_step step);
/* That entry, the one that owed_due() gives, or the others, have been told. */
void owed_told(struct owed_book *book, struct container *container, enum owed_step step);
void owed_others_told(struct container *container, enum owed_step step);
/* Nobody will be told: the container goes. Returns how many were owed a line, all others together counted as one. */
size_t owed_drop(struct owed_book *book, struct container *container);

struct owed_sum {
    uint64_t executions, events; /* that are owed a line each, and what they left incomplete */
    uint64_t other_events;       /* that one line for the whole container corrects (W2) */
    bool has_others;
    const struct owed *own; /* of this process; NULL: none. Borrowed */
};
struct owed_sum owed_sum(const struct container *container, const struct process *process);
