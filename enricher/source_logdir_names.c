/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_logdir_names.h"
#include <stdio.h>
#include <string.h>

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* RFC 1123: lower-case letters, digits and '-', at both ends no '-'; with `dots` several such labels. */
static bool is_dns_name(const char *name, size_t size, size_t max, bool dots)
{
    if (size == 0 || size > max)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool edge = i == 0 || i + 1 == size || (dots && (name[i - 1] == '.' || name[i + 1] == '.'));

        if (!is_alphanumeric(name[i]) && (edge || (name[i] != '-' && !(dots && name[i] == '.'))))
            return false;
    }
    return true;
}

/* A UUID, a config hash, or what an administrator wrote into a static Pod's manifest. */
static bool is_uid(const char *name, size_t size)
{
    if (size == 0 || size > POD_UID_MAX || !(is_alphanumeric(name[0]) || (name[0] >= 'A' && name[0] <= 'Z')))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_alphanumeric(name[i]) && !(name[i] >= 'A' && name[i] <= 'Z') && name[i] != '-' &&
            name[i] != '.')
            return false;
    return true;
}

static void take(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    to[size] = '\0';
}

static bool parse_pod(const char *name, size_t size, struct logdir_pod_name *ret)
{
    const char *end = name + size, *pod, *uid;

    pod = memchr(name, '_', size);
    uid = pod ? memchr(pod + 1, '_', (size_t)(end - pod - 1)) : NULL;
    if (!uid || !is_dns_name(name, (size_t)(pod - name), LOGDIR_NAMESPACE_MAX, false) ||
        !is_dns_name(pod + 1, (size_t)(uid - pod - 1), LOGDIR_POD_MAX, true) ||
        !is_uid(uid + 1, (size_t)(end - uid - 1)))
        return false;
    take(ret->namespace_, name, (size_t)(pod - name));
    take(ret->pod, pod + 1, (size_t)(uid - pod - 1));
    take(ret->uid, uid + 1, (size_t)(end - uid - 1));
    return true;
}

bool logdir_parse_pod(const char *name, struct logdir_pod_name *ret)
{
    return parse_pod(name, strlen(name), ret);
}

bool logdir_is_container(const char *name)
{
    return is_dns_name(name, strlen(name), LOGDIR_CONTAINER_MAX, false);
}

/* The component that ends at *end, which moves in front of its slash. */
static const char *last_component(const char *path, const char **end, size_t *ret_size)
{
    const char *stop = *end, *start = stop;

    while (start > path && start[-1] != '/')
        start--;
    *ret_size = (size_t)(stop - start);
    *end = start > path ? start - 1 : path;
    return start;
}

/* "3.log" → 3. */
static unsigned parse_restarts(const char *name, size_t size)
{
    unsigned restarts = 0;

    for (size_t i = 0; i < size && i < 6 && name[i] >= '0' && name[i] <= '9'; i++)
        restarts = restarts * 10 + (unsigned)(name[i] - '0');
    return restarts;
}

static bool parse_target(const char *target, struct logdir_link *ret)
{
    const char *end = target + strlen(target), *file, *container, *pod;
    size_t file_size, container_size, pod_size;

    file = last_component(target, &end, &file_size);
    container = last_component(target, &end, &container_size);
    pod = last_component(target, &end, &pod_size);
    if (!is_dns_name(container, container_size, LOGDIR_CONTAINER_MAX, false) ||
        !parse_pod(pod, pod_size, &ret->pod))
        return false;
    take(ret->container, container, container_size);
    ret->restarts = parse_restarts(file, file_size);
    return true;
}

bool logdir_parse_link(const char *name, const char *target, struct logdir_link *ret)
{
    char expected[LOGDIR_POD_MAX + LOGDIR_NAMESPACE_MAX + LOGDIR_CONTAINER_MAX + CONTAINER_ID_MAX + 16];
    const char *id;
    size_t size = strlen(name), id_size;

    if (!parse_target(target, ret))
        return false;
    if (size < 5 || strcmp(name + size - 4, ".log") != 0)
        return false;
    id = memrchr(name, '-', size);
    if (!id)
        return false;
    id++;
    id_size = (size_t)(name + size - 4 - id);
    if (id_size != CONTAINER_ID_MAX || strspn(id, "0123456789abcdef") != CONTAINER_ID_MAX)
        return false;
    take(ret->id, id, id_size);
    /* The name and the target must tell the same. */
    (void)snprintf(expected, sizeof(expected), "%s_%s_%s-%s.log", ret->pod.pod, ret->pod.namespace_,
        ret->container, ret->id);
    return strcmp(name, expected) == 0;
}
