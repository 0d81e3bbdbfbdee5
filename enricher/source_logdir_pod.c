/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_logdir_pod.h"
#include <stdlib.h>
#include <string.h>
#include "common/cleanup.h"
#include "enricher/pod.h"

struct logdir_pod *logdir_pod_free(struct logdir_pod *pod)
{
    pod_clear(&pod->told);
    free(pod->restarts);
    free(pod);
    return NULL;
}

bool logdir_pod_is_named(const struct logdir_pod *pod, const struct logdir_pod_name *name)
{
    return strcmp(pod->told.namespace_, name->namespace_) == 0 && strcmp(pod->told.name, name->pod) == 0;
}

struct logdir_pod *logdir_pod_new(const struct logdir_pod_name *name)
{
    struct logdir_pod *pod = calloc(1, sizeof(*pod));

    if (!pod)
        return NULL;
    pod->watch = -1;
    pod->news = true;
    if (pod_set_string(&pod->told.uid, name->uid, POD_UID_MAX) < 0 ||
        pod_set_string(&pod->told.namespace_, name->namespace_, POD_MAX_NAME) < 0 ||
        pod_set_string(&pod->told.name, name->pod, POD_MAX_NAME) < 0)
        return logdir_pod_free(pod);
    return pod;
}

struct pod_container *logdir_pod_add_container(struct logdir_pod *pod, const char *name)
{
    size_t before = pod->told.container_count;
    unsigned *restarts = reallocarray(pod->restarts, before + 1, sizeof(*restarts));
    struct pod_container *container;

    if (!restarts)
        return NULL;
    pod->restarts = restarts;
    container = pod_add_container(&pod->told, name);
    if (pod->told.container_count > before) {
        restarts[before] = 0;
        pod->news = true;
    }
    return container;
}

void logdir_pod_take_id(struct logdir_pod *pod, const struct logdir_link *link)
{
    struct pod_container *container = logdir_pod_add_container(pod, link->container);
    CLEANUP_FREE char *old = NULL;
    unsigned *restarts;

    if (!container || pod_container_has_id(container, link->id))
        return;
    restarts = &pod->restarts[container - pod->told.containers];
    pod->news = true;
    if (container->id && link->restarts < *restarts) {
        (void)pod_container_add_old_id(container, link->id);
        return;
    }
    old = TAKE_POINTER(container->id);
    *restarts = link->restarts;
    (void)pod_set_string(&container->id, link->id, CONTAINER_ID_MAX);
    if (old)
        (void)pod_container_add_old_id(container, old);
}
