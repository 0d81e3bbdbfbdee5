/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where cgroup hierarchies are mounted, from the text of /proc/self/mountinfo (proc(5)). */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cgroup_mount {
    char *point;       /* owned */
    char *controllers; /* owned: "cpu,cpuacct" or "name=systemd" as a list with other options; NULL: v2 */
    bool whole;        /* shows the root of its hierarchy, not a cgroup further down */
};

struct cgroup_mounts {
    struct cgroup_mount *list; /* in the order of the file */
    size_t count;
};

/* 0 or -ENOMEM; what is no cgroup mount, or no line as it should be, is passed over. */
int cgroup_mounts_read(struct cgroup_mounts *ret, FILE *mountinfo);
void cgroup_mounts_deinit(struct cgroup_mounts *mounts);

/* The mount of a v1 controller, of v2 with NULL: the first that shows the whole hierarchy, else the first. NULL:
 * none. */
const struct cgroup_mount *cgroup_mounts_find(const struct cgroup_mounts *mounts, const char *controller);
/* The last mount on this very folder; NULL: none. */
const struct cgroup_mount *cgroup_mounts_at(const struct cgroup_mounts *mounts, const char *point);
bool cgroup_mount_has(const struct cgroup_mount *mount, const char *controller);
