/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What was there before: every cgroup and every process as records in a sealed memfd, for a consumer that has
 * just come.
 *
 *   POLICY …  SNAPSHOT_CGROUP …  SNAPSHOT_PROCESS …  SNAPSHOT_END (with the counts of the latter two)
 *
 * Taken in small steps, so that the ring buffer is drained in between. The hooks are attached first: what
 * starts during the snapshot is in the stream, perhaps in both. A cgroup or process that goes meanwhile may
 * be in either, in both or only in the stream.
 *
 * S1  header.cpu is RECORD_CPU_COLLECTOR and header.seq is of the collector's own count
 * S2  the memfd is sealed SHRINK|GROW|WRITE|SEAL once snapshot_step() returned SNAPSHOT_DONE, and never
 *     handed out before
 * S3  counts in SNAPSHOT_END = records before it
 */
#include <stddef.h>
#include <stdint.h>

#include "collector/probe.h"

struct hooks;
struct snapshot;

struct snapshot_options {
    struct hooks *hooks;       /* whose policies are told; NULL: none. Borrowed during snapshot_start() */
    const struct probe *probe; /* outlives the snapshot */
    const char *cgroup_root; /* mount point of the hierarchy that decides; borrowed during snapshot_start() */
    uint32_t cgroup_hierarchy_id; /* its number; 0: cgroup v2 */
    uint64_t *seq; /* the collector's own count: each record takes *seq and adds one; outlives the snapshot */
};

enum snapshot_progress {
    SNAPSHOT_DONE = 0,
    SNAPSHOT_MORE = 1,
};

/* Opens the iterator, the cgroup root and the memfd; reads nothing yet. 0 or negative errno with a line in
 * `error`. */
int snapshot_start(
    struct snapshot **ret, const struct snapshot_options *options, char error[PROBE_ERROR_MAX]);

/* Takes about 64 KiB more. enum snapshot_progress, or negative errno: this snapshot is broken, free it.
 * After SNAPSHOT_DONE: DONE again. */
int snapshot_step(struct snapshot *snapshot);

struct snapshot *snapshot_free(struct snapshot *snapshot); /* NULL is fine; returns NULL */

/* Valid after SNAPSHOT_DONE. */
int snapshot_fd(const struct snapshot *snapshot); /* borrowed; dup() it to keep it longer than the snapshot */
uint64_t snapshot_bytes(const struct snapshot *snapshot);
uint32_t snapshot_process_count(const struct snapshot *snapshot);
uint32_t snapshot_cgroup_count(const struct snapshot *snapshot);
