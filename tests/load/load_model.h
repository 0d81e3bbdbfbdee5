/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A node that does not exist: Pods with containers with processes, and what happens to them, as records. Everything comes from the seed: two models of the same configuration
 * give the same records, but for the times that the caller gives.
 *
 * G1  the records make sense: a process is forked before it execs or exits, by a parent that lives, and exits once
 * G2  the number of living processes stays what it was, but for what is under way
 */
#include <stdint.h>
#include <stdio.h>

#include "common/record.h"
#include "tests/load/load_conf.h"

struct load_model;

/* `boot_ns`: when the node's processes began, earlier than all that comes. 0 or -ENOMEM. */
int load_model_new(struct load_model **ret, const struct load_conf *conf, uint64_t boot_ns);
struct load_model *load_model_free(struct load_model *model);

typedef int load_model_fn(const struct record_header *record, size_t size, void *arg);

/* What runs: the cgroups, the processes, policies and the end of the snapshot. The first nonzero that `fn` returned, or 0. */
int load_model_snapshot(struct load_model *model, uint64_t now_ns, load_model_fn *fn, void *arg);

/* The next thing that happens, at `time_ns`. Valid until the next call. */
const struct record_header *load_model_next(struct load_model *model, uint64_t time_ns);

/* A Pod goes with all that runs in it, and another takes its place: some dozens of records. */
void load_model_replace_pod(struct load_model *model, uint64_t time_ns, load_model_fn *fn, void *arg);

/* The Pods that there are, as a PodList, and behind them those that went in the last seconds. 0 or negative errno. */
int load_model_write_pods(const struct load_model *model, FILE *file);

uint64_t load_model_process_count(const struct load_model *model); /* alive */
