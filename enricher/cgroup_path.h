/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A cgroup path → which Pod and which container. Pure; the input is a workload's to shape below its own
 * cgroup, so the OUTERMOST Pod component decides and, below it, the outermost container component. The
 * vectors in tests/unit/enricher/cgroup-paths.tsv are the contract; they hold the shapes of containerd,
 * CRI-O, docker, podman, both cgroup drivers, nested kubelets, and what hostile workloads build.
 */
#include <stddef.h>

#define POD_UID_MAX      63 /* a UUID, a config hash (32 hex) or an explicit UID of a static Pod */
#define CONTAINER_ID_MAX 64 /* hex digits */

enum cgroup_role {
    CGROUP_ROLE_NONE,      /* no Pod, no container: host */
    CGROUP_ROLE_POD,       /* the Pod's own cgroup or an unknown child of it */
    CGROUP_ROLE_CONTAINER, /* a container (the sandbox looks the same by its path) */
    CGROUP_ROLE_SANDBOX,   /* only where the path itself tells */
    CGROUP_ROLE_MONITOR,   /* conmon of a container */
};

struct cgroup_identity {
    enum cgroup_role role;
    char pod_uid[POD_UID_MAX + 1]; /* "" when none; dashes restored for UUIDs, as the API writes them */
    char container_id[CONTAINER_ID_MAX + 1]; /* "" when none */
};

/* Who made the path, by its shape: for people, nothing goes by it. */
struct cgroup_shape {
    const char *driver;  /* of the Pod's cgroup: "systemd", "cgroupfs"; NULL: no Pod */
    const char *runtime; /* "containerd", "cri-o", "docker", "podman"; NULL: the path does not say */
};

/* path: need not be NUL-terminated. Always fills *ret. */
void cgroup_path_parse(const char *path, size_t size, struct cgroup_identity *ret);
struct cgroup_shape cgroup_path_shape(const char *path, size_t size);
const char *cgroup_role_name(enum cgroup_role role); /* none pod container sandbox monitor */
