/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/workload.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_there(const char *string)
{
    return string && string[0];
}

/* "web-7c59747c75" with "7c59747c75" → 3; 0: does not end so. */
static size_t without_hash(const char *name, const char *hash)
{
    size_t size, hash_size;

    if (!is_there(hash))
        return 0;
    size = strlen(name);
    hash_size = strlen(hash);
    if (size < hash_size + 2 || name[size - hash_size - 1] != '-' ||
        strcmp(name + size - hash_size, hash) != 0)
        return 0;
    return size - hash_size - 1;
}

/* A CronJob calls its Jobs NAME-MINUTES, older ones NAME-SECONDS, of Unix time: 8 to 10 digits. */
static size_t without_time(const char *name)
{
    const char *dash = strrchr(name, '-');
    size_t digits = dash ? strspn(dash + 1, "0123456789") : 0;

    if (!dash || dash == name || dash[1 + digits] != '\0' || digits < 8 || digits > 10)
        return 0;
    return (size_t)(dash - name);
}

static void set(struct workload *ret, const char *kind, const char *name, size_t name_size)
{
    (void)snprintf(ret->kind, sizeof(ret->kind), "%s", kind);
    (void)snprintf(ret->name, sizeof(ret->name), "%.*s", (int)name_size, name);
}

void workload_find(const struct workload_facts *facts, struct workload *ret)
{
    const char *kind = facts->owner_kind, *name = facts->owner_name;
    size_t size;

    *ret = (struct workload){0};
    /* A mirror Pod is owned by its Node, which says nothing: the kubelet runs it by itself. */
    if (!is_there(kind) || !is_there(name) || strcmp(kind, "Node") == 0) {
        if (is_there(facts->pod_name))
            set(ret, "Pod", facts->pod_name, WORKLOAD_NAME_MAX);
        return;
    }
    if (strcmp(kind, "ReplicaSet") == 0) {
        if ((size = without_hash(name, facts->template_hash)) > 0)
            set(ret, "Deployment", name, size);
        else if ((size = without_hash(name, facts->rollout_hash)) > 0)
            set(ret, "Rollout", name, size);
    } else if (strcmp(kind, "Job") == 0 && (size = without_time(name)) > 0) {
        set(ret, "CronJob", name, size);
    }
    if (!ret->kind[0])
        set(ret, kind, name, WORKLOAD_NAME_MAX);
}
