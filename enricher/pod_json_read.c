/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_json_read.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/clock.h"
#include "enricher/pod.h"
#include "enricher/workload.h"

static const char *string_of(const json_t *value)
{
    const char *string = json_string_value(value);

    return string && strlen(string) == json_string_length(value) ? string : NULL;
}

const char *pod_json_string(const json_t *object, const char *key)
{
    return string_of(json_object_get(object, key));
}

/* "Z" or "+hh:mm" → seconds to subtract; false: neither, or something after it. */
static bool zone_offset(const char *string, int64_t *ret)
{
    int hours, minutes, end = 0;

    *ret = 0;
    if (strcmp(string, "Z") == 0 || strcmp(string, "z") == 0)
        return true;
    if ((string[0] != '+' && string[0] != '-') ||
        sscanf(string + 1, "%2d:%2d%n", &hours, &minutes, &end) != 2 || string[1 + end] != '\0')
        return false;
    *ret = (hours * 3600 + minutes * 60) * (string[0] == '-' ? -1 : 1);
    return true;
}

uint64_t pod_json_time(const char *string)
{
    struct tm tm = {0};
    uint64_t fraction = 0, unit = NS_PER_SEC;
    int64_t seconds, offset;
    const char *rest;

    rest = string ? strptime(string, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    if (!rest)
        return 0;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9'; rest++) {
            unit /= 10;
            fraction += (uint64_t)(*rest - '0') * unit;
        }
    if (!zone_offset(rest, &offset))
        return 0;
    seconds = timegm(&tm) - offset;
    if (seconds <= 0 || (uint64_t)seconds > UINT64_MAX / NS_PER_SEC - 1)
        return 0;
    return (uint64_t)seconds * NS_PER_SEC + fraction;
}

typedef int add_pair_fn(struct pod *pod, const char *key, const char *value);

static int read_pairs(const json_t *object, struct pod *pod, add_pair_fn *add)
{
    const char *key;
    json_t *value;

    /* jansson's iteration takes a json_t * but changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *string = string_of(value);
        int r = string ? add(pod, key, string) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

/* The controller, else the first owner. */
static const json_t *find_owner(const json_t *metadata)
{
    const json_t *owners = json_object_get(metadata, "ownerReferences"), *owner;
    size_t i;

    json_array_foreach(owners, i, owner)
    {
        if (json_is_true(json_object_get(owner, "controller")))
            return owner;
    }
    return json_array_get(owners, 0);
}

static int read_workload(const json_t *metadata, struct pod *pod)
{
    const json_t *owner = find_owner(metadata), *labels = json_object_get(metadata, "labels");
    struct workload_facts facts = {.pod_name = pod->name,
        .owner_kind = pod_json_string(owner, "kind"),
        .owner_name = pod_json_string(owner, "name"),
        .template_hash = pod_json_string(labels, "pod-template-hash"),
        .rollout_hash = pod_json_string(labels, "rollouts-pod-template-hash")};
    struct workload workload;
    int r;

    workload_find(&facts, &workload);
    r = pod_set_string(&pod->workload, workload.name, WORKLOAD_NAME_MAX);
    if (r == 0)
        r = pod_set_string(&pod->workload_kind, workload.kind, WORKLOAD_KIND_MAX);
    return r;
}

static int read_metadata(const json_t *metadata, struct pod *pod)
{
    const json_t *annotations = json_object_get(metadata, "annotations");
    const char *uid = pod_json_string(metadata, "uid"),
               *hash = pod_json_string(annotations, "kubernetes.io/config.mirror");
    int r;

    if (!uid || !pod_uid_valid(uid))
        return -EINVAL;
    if (!hash)
        hash = pod_json_string(annotations, "kubernetes.io/config.hash");
    if (hash && !pod_uid_valid(hash))
        hash = NULL;
    r = pod_set_string(&pod->uid, uid, POD_UID_MAX);
    if (r == 0)
        r = pod_set_string(&pod->config_hash, hash, POD_UID_MAX);
    if (r == 0)
        r = pod_set_string(&pod->namespace_, pod_json_string(metadata, "namespace"), POD_MAX_NAME);
    if (r == 0)
        r = pod_set_string(&pod->name, pod_json_string(metadata, "name"), POD_MAX_NAME);
    if (r == 0)
        r = read_pairs(json_object_get(metadata, "labels"), pod, pod_add_label);
    if (r == 0)
        r = read_pairs(annotations, pod, pod_add_annotation);
    if (r == 0)
        r = read_workload(metadata, pod);
    return r;
}

/* NULL with *ret_error 0: the entry has no name, or there are too many. */
static struct pod_container *container_of_entry(const json_t *entry, struct pod *pod, int *ret_error)
{
    const char *name = pod_json_string(entry, "name");
    struct pod_container *container = pod_add_container(pod, name);

    *ret_error = !container && name && name[0] && strnlen(name, POD_MAX_NAME + 1) <= POD_MAX_NAME &&
                         pod->container_count < POD_MAX_CONTAINERS
                     ? -ENOMEM
                     : 0;
    return container;
}

static int read_specs(const json_t *array, struct pod *pod, enum pod_container_kind kind)
{
    const json_t *entry;
    size_t i;
    int r = 0;

    json_array_foreach(array, i, entry)
    {
        struct pod_container *container = container_of_entry(entry, pod, &r);

        if (r < 0)
            return r;
        if (!container)
            continue;
        container->kind = kind;
        container->privileged =
            json_is_true(json_object_get(json_object_get(entry, "securityContext"), "privileged"));
        r = pod_set_string(&container->image, pod_json_string(entry, "image"), POD_MAX_IMAGE);
        if (r < 0)
            return r;
    }
    return 0;
}

#define RUNTIME_MAX 63

/* "containerd://434fea…" → the part after "://"; NULL: not an id. *ret_runtime_size: the length of the part
 * before. */
static const char *split_id(const char *string, size_t *ret_runtime_size)
{
    const char *separator = string ? strstr(string, "://") : NULL;

    if (!separator || !pod_container_id_valid(separator + 3))
        return NULL;
    *ret_runtime_size = (size_t)(separator - string);
    return separator + 3;
}

/* The first id that is found is the newest, the others are older. */
static int take_id(struct pod_container *container, const char *string)
{
    char runtime[RUNTIME_MAX + 1];
    size_t size = 0;
    const char *id = split_id(string, &size);
    int r;

    if (!id)
        return 0;
    if (container->id)
        return pod_container_add_old_id(container, id);
    (void)snprintf(runtime, sizeof(runtime), "%.*s", (int)(size <= RUNTIME_MAX ? size : 0), string);
    r = pod_set_string(&container->id, id, CONTAINER_ID_MAX);
    if (r == 0)
        r = pod_set_string(&container->runtime, runtime, RUNTIME_MAX);
    return r;
}

/* containerd names some images only by digest; what the spec calls them says more. */
static int take_image(struct pod_container *container, const json_t *status)
{
    const char *image = pod_json_string(status, "image"), *id = pod_json_string(status, "imageID");
    int r = 0;

    if (image && image[0] && !(container->image && strncmp(image, "sha256:", 7) == 0))
        r = pod_set_string(&container->image, image, POD_MAX_IMAGE);
    if (r == 0)
        r = pod_set_string(&container->image_id, id, POD_MAX_IMAGE);
    return r;
}

static int read_status(const json_t *status, struct pod_container *container)
{
    const json_t *state = json_object_get(status, "state");
    const json_t *running = json_object_get(state, "running"),
                 *terminated = json_object_get(state, "terminated");
    const json_t *last = json_object_get(json_object_get(status, "lastState"), "terminated");
    int r = take_id(container, pod_json_string(status, "containerID"));

    if (r == 0)
        r = take_id(container, pod_json_string(terminated, "containerID"));
    if (r == 0)
        r = take_id(container, pod_json_string(last, "containerID"));
    if (r == 0)
        r = take_image(container, status);
    container->started_unix_ns = pod_json_time(pod_json_string(running, "startedAt"));
    if (container->started_unix_ns == 0)
        container->started_unix_ns = pod_json_time(pod_json_string(terminated, "startedAt"));
    return r;
}

static int read_statuses(const json_t *array, struct pod *pod, enum pod_container_kind kind)
{
    const json_t *entry;
    size_t i;
    int r = 0;

    json_array_foreach(array, i, entry)
    {
        size_t known = pod->container_count;
        struct pod_container *container = container_of_entry(entry, pod, &r);

        if (r == 0 && container) {
            if (pod->container_count > known)
                container->kind = kind;
            r = read_status(entry, container);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_containers(const json_t *spec, const json_t *status, struct pod *pod)
{
    int r = read_specs(json_object_get(spec, "containers"), pod, POD_CONTAINER_APP);

    if (r == 0)
        r = read_specs(json_object_get(spec, "initContainers"), pod, POD_CONTAINER_INIT);
    if (r == 0)
        r = read_specs(json_object_get(spec, "ephemeralContainers"), pod, POD_CONTAINER_EPHEMERAL);
    if (r == 0)
        r = read_statuses(json_object_get(status, "containerStatuses"), pod, POD_CONTAINER_APP);
    if (r == 0)
        r = read_statuses(json_object_get(status, "initContainerStatuses"), pod, POD_CONTAINER_INIT);
    if (r == 0)
        r = read_statuses(
            json_object_get(status, "ephemeralContainerStatuses"), pod, POD_CONTAINER_EPHEMERAL);
    return r;
}

int pod_json_read(const json_t *object, struct pod *ret)
{
    const json_t *spec = json_object_get(object, "spec");
    struct pod pod = {0};
    int r = read_metadata(json_object_get(object, "metadata"), &pod);

    if (r == 0)
        r = pod_set_string(&pod.node_name, pod_json_string(spec, "nodeName"), POD_MAX_NAME);
    if (r == 0)
        r = read_containers(spec, json_object_get(object, "status"), &pod);
    if (r < 0) {
        pod_clear(&pod);
        return r;
    }
    pod.host_network = json_is_true(json_object_get(spec, "hostNetwork"));
    *ret = pod;
    return 0;
}
