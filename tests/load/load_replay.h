/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The records of a recording (common/recording.h) as if they happened now: every time in them is moved, those of process keys like the others, so that what belonged
 * together still does. A recording is hostile input.
 *
 * A time t of the recording becomes `base` + (t - begin) / speed, and what was before its begin stays as long before.
 *
 * Its Pods are those that its cgroup paths name; what they are called comes from the seed.
 */
#include <stdint.h>
#include <stdio.h>

#include "common/recording.h"

struct load_replay;

typedef int load_replay_fn(const struct record_header *record, size_t size, void *arg);

/* Reads the whole file. `speed`: 2 is twice as fast. 0, or negative errno with a line in `error`. */
int load_replay_open(struct load_replay **ret, const char *path, double speed, uint64_t base_ns,
    uint64_t seed, char error[RECORDING_ERROR_MAX]);
/* The same over bytes that the caller keeps. */
int load_replay_new(struct load_replay **ret, const void *data, size_t size, double speed, uint64_t base_ns,
    uint64_t seed, char error[RECORDING_ERROR_MAX]);
struct load_replay *load_replay_free(struct load_replay *replay);

/* The first nonzero that `fn` returned, or 0. */
int load_replay_snapshot(struct load_replay *replay, load_replay_fn *fn, void *arg);

/* The next record, and when it is due, counted from the first of the stream. Valid until the next call. NULL: that was all. */
const struct record_header *load_replay_peek(struct load_replay *replay, uint64_t *ret_since_ns);
/* The same at `time_ns`, and the stream moves on. */
const struct record_header *load_replay_take(struct load_replay *replay, uint64_t time_ns);

/* A PodList. 0 or negative errno. */
int load_replay_write_pods(const struct load_replay *replay, FILE *file);

const struct recording_header *load_replay_header(const struct load_replay *replay);
uint64_t load_replay_record_count(const struct load_replay *replay); /* of the stream */
uint64_t load_replay_pod_count(const struct load_replay *replay);
uint64_t load_replay_torn_bytes(const struct load_replay *replay); /* at the end */
