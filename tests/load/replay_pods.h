/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Pods that cgroup paths name, and a PodList of them: UIDs and container ids as they were, everything else made up from the seed. The paths may be hostile. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define REPLAY_PODS_MAX       10000 /* what comes beyond is left out */
#define REPLAY_CONTAINERS_MAX 64    /* of each */

struct replay_pods;

int replay_pods_new(struct replay_pods **ret, uint64_t seed);
struct replay_pods *replay_pods_free(struct replay_pods *pods);
/* A path that names none is fine. 0 or -ENOMEM. */
int replay_pods_add(struct replay_pods *pods, const char *path, size_t size);
size_t replay_pods_count(const struct replay_pods *pods);
/* 0 or negative errno. */
int replay_pods_write(const struct replay_pods *pods, FILE *file);
