/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Visits every folder of a cgroup2 mount, one at a time, parents before children. Names are the workload's
 * and only copied. Folders that vanish during the walk are passed over.
 */
#include <stdint.h>

struct cgroup_walk;

struct cgroup_walk_entry {
    uint64_t id;      /* inode number: the cgroup id */
    uint32_t level;   /* 0: the root */
    const char *path; /* from the root of the hierarchy, "/" first; borrowed until the next call */
};

/* 0, or negative errno of opening `root`. */
int cgroup_walk_open(struct cgroup_walk **ret, const char *root);
struct cgroup_walk *cgroup_walk_close(struct cgroup_walk *walk); /* NULL is fine; returns NULL */

/* 1 with *ret filled, 0 at the end, or negative errno. */
int cgroup_walk_next(struct cgroup_walk *walk, struct cgroup_walk_entry *ret);
