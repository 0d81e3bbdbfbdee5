/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The collector's place at the queue: the same producer, the same accounting of what does not fit (collector/intake.h), the same handoff. Whoever attaches gets a snapshot of the model.
 */
#include <stdbool.h>
#include <stdint.h>

#include "collector/handoff.h"
#include "collector/intake.h"
#include "tests/load/load_model.h"

/* Tells `fn` what runs, SNAPSHOT_END and all. */
typedef int load_stage_snapshot_fn(void *arg, uint64_t now_ns, load_model_fn *fn, void *fn_arg);

struct load_stage {
    load_stage_snapshot_fn *snapshot; /* set by whoever opens it */
    void *snapshot_arg;
    const char *cgroup_hierarchy; /* borrowed */
    struct queue_producer *queue;
    struct intake intake;
    struct handoff handoff;
    int hold_fd, snapshot_fd;
    uint64_t seq, epoch_ns, snapshot_bytes, attach_count, offered;
};

#define LOAD_STAGE_EMPTY ((struct load_stage){.handoff = HANDOFF_EMPTY, .hold_fd = -1, .snapshot_fd = -1})

/* Listens at `path`. 0 or negative errno. */
int load_stage_open(struct load_stage *stage, const char *path, uint64_t queue_bytes);
void load_stage_close(struct load_stage *stage);

/* Between two records: greets, notices who goes. 0, or negative errno: it cannot go on. */
int load_stage_turn(struct load_stage *stage);
bool load_stage_is_attached(const struct load_stage *stage);

/* A load_model_fn. Always 0: what does not fit is counted and reported as lost. Between load_stage_begin() and _end(), which publishes. */
void load_stage_begin(struct load_stage *stage);
int load_stage_put(const struct record_header *record, size_t size, void *stage);
void load_stage_end(struct load_stage *stage);

/* Not released by the consumer yet, as of the last begin. */
uint64_t load_stage_backlog_bytes(const struct load_stage *stage);
