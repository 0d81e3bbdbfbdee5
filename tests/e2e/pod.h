/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Pods for the end-to-end tests: cgroups in the shape a kubelet makes them, and the Pod's JSON as the API shows it. Everything hangs below one cgroup of the test's own, so
 * that a kubelet of this machine never takes them for orphans of its own.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define POD_CONTAINERS_MAX 6

enum pod_shape { POD_SHAPE_SYSTEMD, POD_SHAPE_CGROUPFS, POD_SHAPE_CRIO };

/* SANDBOX is in no list of the Pod. */
enum test_container_kind { TEST_APP, TEST_INIT, TEST_EPHEMERAL, TEST_SANDBOX };

struct test_container {
    char name[32];
    char id[65];
    char last_id[65]; /* of the run before; "": this is the first */
    enum test_container_kind kind;
    bool replaced;  /* an earlier run: the one that names it stands for both */
    bool unlisted;  /* in no status yet */
    char path[512]; /* its cgroup in the file system */
    uint64_t cgroup_id;
    int cgroup_fd;
    char scope[512]; /* the topmost folder that is the container's; the same as path but for nested ones */
};

struct test_pod {
    char namespace_[32], name[64], uid[37], workload[48], app[32];
    char path[512]; /* the Pod's cgroup */
    struct test_container containers[POD_CONTAINERS_MAX];
    unsigned container_count;
    enum pod_shape shape;
    bool host_network;
    bool without_status; /* the JSON has no containerStatuses yet */
};

/* 0 or negative errno. */
int test_pod_make(
    struct test_pod *ret, enum pod_shape shape, const char *namespace_, const char *app, unsigned containers);
/* One more container, made now. NULL: it could not be made. */
struct test_container *test_pod_add(struct test_pod *pod, enum test_container_kind kind, const char *name);
/* The container's next run: another id, the old one is the last. */
struct test_container *test_pod_restart(struct test_pod *pod, struct test_container *container);
/* A cgroup below the Pod's that counts as the container's: its events carry the same id. 0 or negative errno; closed by the caller. */
int test_container_below(
    struct test_container *ret, const struct test_container *of, const char *folder, const char *name);
/* Kills what is in it and removes the cgroups. */
void test_pod_remove(struct test_pod *pod);

/* The API object, and a PodList of `count` of them (written beside and renamed into place). */
void test_pod_print(FILE *out, const struct test_pod *pod);
int test_pods_write(const char *path, const struct test_pod *const *pods, size_t count);

/* Where the cgroups are made from now on: "v2" (as it is at the start), or a v1 controller. false: it is not mounted. What
 * was made before is removed. */
bool test_cgroup_use(const char *hierarchy);
const char *test_cgroup_hierarchy(void);
/* Its mount point, NULL when there is none. */
const char *test_cgroup_root(void);
/* Folders and links below `folder` as kubelet and runtime lay them out under /var/log for the Pod's first container. NULL: the folder itself, for no Pod yet. 0 or
 * negative errno. */
int test_pod_log(const char *folder, const struct test_pod *pod);
/* A new cgroup below the test's own folder that is no Pod's. fd or negative errno; path is filled. */
int test_cgroup_make(const char *name, char *path, size_t path_size);
void test_cgroup_remove(const char *path);
/* Removes the test's own folder; at exit. */
void test_cgroups_end(void);

/* Moves the calling process. 0 or negative errno. */
int test_cgroup_join(int cgroup_fd);
/* fork() whose child is born in the cgroup (clone3 CLONE_INTO_CGROUP); in v1 it moves there first thing, as runtimes do. */
pid_t test_fork_into(int cgroup_fd);
