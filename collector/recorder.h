/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * --record: the records that the collector takes from the kernel, into a file as well (common/recording.h), up to a size.
 *
 *   recorder_open() ─► recorder_put() records, kept in memory ─► recorder_begin(): header, snapshot, what was kept ─► recorder_put() … ─► recorder_close()
 *                                                                                          recorder_turn() now and then
 *
 * A recording is never worth the collector: when the disk is full, the size is reached or anything else fails, the recording ends and the collector goes on.
 *
 * E1  the file ends behind a record, unless a write was cut short
 * E2  what was put is in the file within RECORDER_FLUSH_NS, as long as recorder_turn() is called
 * E3  the end is told once, by recorder_turn()
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/recording.h"

#define RECORDER_FLUSH_NS  (1 * NS_PER_SEC)
#define RECORDER_EARLY_MAX (UINT64_C(64) << 20) /* before recorder_begin() */

struct recorder {
    int fd; /* -1: not recording */
    uint8_t *buffer;
    size_t used, room;
    uint64_t max_bytes, put_bytes; /* of the file, with what is in the buffer */
    uint64_t flushed_ns;
    bool begun;
    int end; /* negative errno of why it ended, until it was told; 0: it has not, or it was told */
};

/* What the header says, and what comes behind it. */
struct recorder_start {
    uint64_t epoch_ns;
    const char *hook_kind, *cgroup_hierarchy;
    int snapshot_fd; /* read from its beginning */
    uint64_t snapshot_bytes;
};

#define RECORDER_EMPTY ((struct recorder){.fd = -1})

/* Makes the file, or empties it; nobody but its owner may read it. 0 or negative errno. */
int recorder_open(struct recorder *recorder, const char *path, uint64_t max_bytes);
/* What fails is told by recorder_turn(). */
void recorder_begin(struct recorder *recorder, const struct recorder_start *start);
/* An intake_tee_fn. */
void recorder_put(const struct record_header *record, void *recorder);
/* 0; once, when the recording has ended: -EFBIG (max_bytes), -ENOSPC and the like. */
int recorder_turn(struct recorder *recorder, uint64_t now_ns);
/* Writes what is left. Idempotent. 0, or negative errno as recorder_turn(). */
int recorder_close(struct recorder *recorder);
