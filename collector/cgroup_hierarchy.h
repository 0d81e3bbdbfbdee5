/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which cgroup hierarchy tells the containers apart, and where it is mounted. Decided once, at the start.
 *
 * Where v2 is mounted on /sys/fs/cgroup it is v2: kubelet and runtimes go by that, too. On a node with v1
 * controllers (v2 beside them, or not at all) they use v1, and some of them v2 as well. There `auto` compares
 * what is there, in this order of weight:
 *
 *   a Pod's tree ("kubepods") before other containers (docker, podman …)
 *   nearer to the root before deeper: a container's own cgroups are always deeper than the node's
 *   one with processes in it before an empty one
 *   v2, where it has processes; then the v1 controllers in the order of cgroup_hierarchy_choices[]
 *
 * and when there is nothing yet, takes the first v1 controller that is mounted: there the containers will be.
 *
 * Names and folders are the node's above the containers and only compared. The walk is bounded.
 */
#include <stdint.h>

#define CGROUP_HIERARCHY_NAME_MAX  16
#define CGROUP_HIERARCHY_ERROR_MAX 256

struct cgroup_hierarchy {
    char name[CGROUP_HIERARCHY_NAME_MAX]; /* "v2", or a v1 controller as the kernel mounts it: "memory" … */
    char *root;                           /* owned: its mount point */
    uint32_t id;                          /* the kernel's number of the hierarchy; 0: v2 */
    const char *reason;                   /* a few words */
};

/* "auto", "v2", then the controllers, those first that every node has; NULL-terminated. Not among them are named
 * hierarchies (name=systemd): they have no controller by which a program could find a task's cgroup. */
extern const char *const cgroup_hierarchy_choices[];
enum { CGROUP_HIERARCHY_AUTO, CGROUP_HIERARCHY_V2, CGROUP_HIERARCHY_FIRST_CONTROLLER };

struct cgroup_hierarchy_options {
    int wanted;            /* index into cgroup_hierarchy_choices[] */
    const char *root;      /* where it is mounted; NULL: found */
    const char *mountinfo; /* /proc/self/mountinfo, proc(5) */
    const char *cgroups;   /* /proc/cgroups, cgroups(7) */
};

/* 0, or negative errno with one line in `error` that begins with the option. *ret may be deinit'ed all the
 * same. */
int cgroup_hierarchy_find(struct cgroup_hierarchy *ret, const struct cgroup_hierarchy_options *options,
    char error[CGROUP_HIERARCHY_ERROR_MAX]);
void cgroup_hierarchy_deinit(struct cgroup_hierarchy *hierarchy);
