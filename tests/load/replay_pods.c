/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/replay_pods.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "enricher/cgroup_path.h"
#include "tests/load/standin_delay.h"

/* By UID: an object of the container ids, in the order they came. */
struct replay_pods {
    json_t *by_uid;
    uint64_t seed;
};

int replay_pods_new(struct replay_pods **ret, uint64_t seed)
{
    struct replay_pods *pods = calloc(1, sizeof(*pods));

    if (!pods)
        return -ENOMEM;
    pods->seed = seed;
    pods->by_uid = json_object();
    if (!pods->by_uid) {
        free(pods);
        return -ENOMEM;
    }
    *ret = pods;
    return 0;
}

struct replay_pods *replay_pods_free(struct replay_pods *pods)
{
    if (!pods)
        return NULL;
    json_decref(pods->by_uid);
    free(pods);
    return NULL;
}

int replay_pods_add(struct replay_pods *pods, const char *path, size_t size)
{
    struct cgroup_identity identity;
    json_t *containers;

    if (size == 0)
        return 0;
    cgroup_path_parse(path, size, &identity);
    if (identity.pod_uid[0] == '\0')
        return 0;
    containers = json_object_get(pods->by_uid, identity.pod_uid);
    if (!containers) {
        if (json_object_size(pods->by_uid) >= REPLAY_PODS_MAX)
            return 0;
        containers = json_object();
        if (json_object_set_new(pods->by_uid, identity.pod_uid, containers) < 0)
            return -ENOMEM;
    }
    if (identity.container_id[0] == '\0' || identity.role != CGROUP_ROLE_CONTAINER ||
        json_object_size(containers) >= REPLAY_CONTAINERS_MAX)
        return 0;
    return json_object_set_new(containers, identity.container_id, json_null()) < 0 ? -ENOMEM : 0;
}

size_t replay_pods_count(const struct replay_pods *pods)
{
    return json_object_size(pods->by_uid);
}

static void add_containers(json_t *containers, json_t *specs, json_t *statuses)
{
    const char *id;
    json_t *nothing;
    unsigned count = 0;

    json_object_foreach(containers, id, nothing)
    {
        char name[24], full[CONTAINER_ID_MAX + 16];

        (void)snprintf(name, sizeof(name), "c%u", count++);
        (void)snprintf(full, sizeof(full), "containerd://%s", id);
        (void)json_array_append_new(
            specs, json_pack("{ss ss}", "name", name, "image", "registry.example/app:1"));
        (void)json_array_append_new(
            statuses, json_pack("{ss ss ss s{s{ss}}}", "name", name, "containerID", full, "image",
                          "registry.example/app:1", "state", "running", "startedAt", "2026-01-01T00:00:00Z"));
    }
}

int replay_pods_write(const struct replay_pods *pods, FILE *file)
{
    json_t *items = json_array(), *list, *containers;
    uint64_t state = pods->seed;
    const char *uid;
    int r;

    json_object_foreach(pods->by_uid, uid, containers)
    {
        json_t *specs = json_array(), *statuses = json_array();
        uint64_t number = standin_random(&state) & 0xffffffff;
        char app[32], name[48];

        add_containers(containers, specs, statuses);
        (void)snprintf(app, sizeof(app), "app-%08" PRIx64, number);
        (void)snprintf(name, sizeof(name), "%s-5d4f9c7b8-x0000", app);
        (void)json_array_append_new(
            items, json_pack("{s{ss ss ss s{ss}} s{so} s{ss so}}", "metadata", "name", name, "namespace",
                       "replay", "uid", uid, "labels", "app", app, "spec", "containers", specs, "status",
                       "phase", "Running", "containerStatuses", statuses));
    }
    list = json_pack("{ss ss so}", "kind", "PodList", "apiVersion", "v1", "items", items);
    r = list && json_dumpf(list, file, JSON_COMPACT) == 0 && fputc('\n', file) != EOF ? 0 : -EIO;
    json_decref(list);
    return r;
}
