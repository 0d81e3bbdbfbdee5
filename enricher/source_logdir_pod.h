/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One Pod of the log directory, as it is built up for the table. Used by source_logdir.c only. */
#include "enricher/source_logdir_names.h"

/* A folder under pods/. */
struct logdir_pod {
    struct logdir_pod *next;
    int watch;          /* -1: none */
    unsigned scan;      /* the last one that saw it */
    bool news;          /* not merged yet */
    struct pod told;    /* as it goes to the table; old_ids only what is not told yet */
    unsigned *restarts; /* a number a container: of its id */
};

/* NULL: no memory. */
struct logdir_pod *logdir_pod_new(const struct logdir_pod_name *name);
struct logdir_pod *logdir_pod_free(struct logdir_pod *pod);
bool logdir_pod_is_named(const struct logdir_pod *pod, const struct logdir_pod_name *name);
/* NULL: no memory, or too many. */
struct pod_container *logdir_pod_add_container(struct logdir_pod *pod, const char *name);
/* The id with the most restarts is the newest; the table remembers the others. */
void logdir_pod_take_id(struct logdir_pod *pod, const struct logdir_link *link);
