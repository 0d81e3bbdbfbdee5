/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What most scenarios share: a running node, some Pods that it does not know yet, and the moment at which it learns of them. */
#include "tests/e2e/events.h"
#include "tests/e2e/node.h"
#include "tests/e2e/oracle.h"
#include "tests/e2e/pod.h"
#include "tests/e2e/tap.h"
#include "tests/e2e/workload.h"

#define SCENE_PODS_MAX 64

struct scene {
    struct node node;
    struct events events;
    struct test_pod pods[SCENE_PODS_MAX];
    unsigned pod_count;
    char source[160]; /* --source of the Pod file */
    uint64_t revealed_ns;
};

/* Makes the node's folder and the Pods with one container each, which the kernel counts from now on. Starts nothing. */
bool scene_make(struct scene *scene, unsigned pods);
/* The daemons, with the Pod file as source; further options of the enricher end with NULL. */
bool scene_start_collector(struct scene *scene);
bool scene_start_enricher(struct scene *scene, ...);
/* All of it. */
bool scene_start(struct scene *scene, unsigned pods);

/* The Pod file names the first `count` Pods, all of them with scene_reveal(). */
void scene_reveal_some(struct scene *scene, unsigned count);
void scene_reveal(struct scene *scene);

/* Every event that the kernel counted is in the output, complete and once. scene_check() is patient: 30 s at least. */
void scene_check_pod(struct scene *scene, unsigned pod, unsigned timeout_ms);
void scene_check(struct scene *scene, unsigned timeout_ms);

/* Ends the daemons, which must leave with status 0, and removes the Pods. */
void scene_end(struct scene *scene);

static inline struct test_container *scene_container(struct scene *scene, unsigned pod)
{
    return &scene->pods[pod].containers[0];
}
