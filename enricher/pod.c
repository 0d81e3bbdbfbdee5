/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t pod_strings[] = {
    offsetof(struct pod, uid),
    offsetof(struct pod, config_hash),
    offsetof(struct pod, namespace_),
    offsetof(struct pod, name),
    offsetof(struct pod, node_name),
    offsetof(struct pod, workload),
    offsetof(struct pod, workload_kind),
};

static const size_t container_strings[] = {
    offsetof(struct pod_container, name),
    offsetof(struct pod_container, id),
    offsetof(struct pod_container, runtime),
    offsetof(struct pod_container, image),
    offsetof(struct pod_container, image_id),
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static char **field_at(const void *base, size_t offset)
{
    return (char **)(void *)((char *)(uintptr_t)base + offset);
}

static bool strings_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void pairs_free(struct pod_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

void pod_container_clear_old_ids(struct pod_container *container)
{
    for (size_t i = 0; i < container->old_id_count; i++)
        free(container->old_ids[i]);
    free(container->old_ids);
    container->old_ids = NULL;
    container->old_id_count = 0;
}

static void container_clear(struct pod_container *container)
{
    for (size_t i = 0; i < COUNT_OF(container_strings); i++)
        free(*field_at(container, container_strings[i]));
    pod_container_clear_old_ids(container);
    *container = (struct pod_container){0};
}

void pod_clear(struct pod *pod)
{
    for (size_t i = 0; i < COUNT_OF(pod_strings); i++) {
        free(*field_at(pod, pod_strings[i]));
        *field_at(pod, pod_strings[i]) = NULL;
    }
    pairs_free(pod->labels, pod->label_count);
    pairs_free(pod->annotations, pod->annotation_count);
    for (size_t i = 0; i < pod->container_count; i++)
        container_clear(&pod->containers[i]);
    free(pod->containers);
    pod->labels = pod->annotations = NULL;
    pod->containers = NULL;
    pod->label_count = pod->annotation_count = pod->container_count = 0;
    pod->host_network = false;
}

int pod_set_string(char **field, const char *value, size_t max)
{
    char *copy = NULL;

    if (value && value[0] && strnlen(value, max + 1) <= max) {
        copy = strdup(value);
        if (!copy)
            return -ENOMEM;
    }
    free(*field);
    *field = copy;
    return 0;
}

static int add_pair(struct pod_pair **pairs, size_t *count, const char *key, const char *value)
{
    struct pod_pair pair = {strdup(key), strdup(value)};
    struct pod_pair *grown = reallocarray(*pairs, *count + 1, sizeof(**pairs));

    if (grown)
        *pairs = grown;
    if (!grown || !pair.key || !pair.value) {
        free(pair.key);
        free(pair.value);
        return -ENOMEM;
    }
    grown[(*count)++] = pair;
    return 0;
}

int pod_add_label(struct pod *pod, const char *key, const char *value)
{
    if (pod->label_count >= POD_MAX_LABELS || strnlen(key, POD_MAX_KEY + 1) > POD_MAX_KEY ||
        strnlen(value, POD_MAX_LABEL_VALUE + 1) > POD_MAX_LABEL_VALUE)
        return 0;
    return add_pair(&pod->labels, &pod->label_count, key, value);
}

int pod_add_annotation(struct pod *pod, const char *key, const char *value)
{
    if (pod->annotation_count >= POD_MAX_ANNOTATIONS || strnlen(key, POD_MAX_KEY + 1) > POD_MAX_KEY ||
        strnlen(value, POD_MAX_ANNOTATION_VALUE + 1) > POD_MAX_ANNOTATION_VALUE)
        return 0;
    return add_pair(&pod->annotations, &pod->annotation_count, key, value);
}

struct pod_container *pod_find_container_by_name(const struct pod *pod, const char *name)
{
    for (size_t i = 0; i < pod->container_count; i++)
        if (strcmp(pod->containers[i].name, name) == 0)
            return &pod->containers[i];
    return NULL;
}

struct pod_container *pod_add_container(struct pod *pod, const char *name)
{
    struct pod_container container = {0}, *found, *grown;

    if (!name || !name[0] || strnlen(name, POD_MAX_NAME + 1) > POD_MAX_NAME)
        return NULL;
    found = pod_find_container_by_name(pod, name);
    if (found || pod->container_count >= POD_MAX_CONTAINERS)
        return found;
    container.name = strdup(name);
    if (!container.name)
        return NULL;
    grown = reallocarray(pod->containers, pod->container_count + 1, sizeof(*grown));
    if (!grown) {
        free(container.name);
        return NULL;
    }
    pod->containers = grown;
    grown[pod->container_count] = container;
    return &grown[pod->container_count++];
}

bool pod_container_has_id(const struct pod_container *container, const char *id)
{
    if (container->id && strcmp(container->id, id) == 0)
        return true;
    for (size_t i = 0; i < container->old_id_count; i++)
        if (strcmp(container->old_ids[i], id) == 0)
            return true;
    return false;
}

int pod_container_add_old_id(struct pod_container *container, const char *id)
{
    char **grown, *copy;

    if (container->old_id_count >= POD_MAX_OLD_IDS || pod_container_has_id(container, id))
        return 0;
    grown = reallocarray(container->old_ids, container->old_id_count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    container->old_ids = grown;
    copy = strdup(id);
    if (!copy)
        return -ENOMEM;
    grown[container->old_id_count++] = copy;
    return 0;
}

static int copy_string(char **field, const char *value)
{
    if (!value)
        return 0;
    *field = strdup(value);
    return *field ? 0 : -ENOMEM;
}

static int copy_container(struct pod *pod, const struct pod_container *from)
{
    struct pod_container *to;
    int r = 0;

    /* Two containers of one name, or one without: not from a valid Pod. */
    if (!from->name || pod_find_container_by_name(pod, from->name) ||
        pod->container_count >= POD_MAX_CONTAINERS)
        return 0;
    to = pod_add_container(pod, from->name);
    if (!to)
        return strnlen(from->name, POD_MAX_NAME + 1) > POD_MAX_NAME || !from->name[0] ? 0 : -ENOMEM;
    for (size_t i = 1; i < COUNT_OF(container_strings) && r == 0; i++)
        r = copy_string(field_at(to, container_strings[i]), *field_at(from, container_strings[i]));
    for (size_t i = 0; i < from->old_id_count && r == 0; i++)
        r = pod_container_add_old_id(to, from->old_ids[i]);
    to->started_unix_ns = from->started_unix_ns;
    to->kind = from->kind;
    to->privileged = from->privileged;
    return r;
}

int pod_copy(struct pod *ret, const struct pod *pod)
{
    struct pod copy = {.host_network = pod->host_network};
    int r = 0;

    for (size_t i = 0; i < COUNT_OF(pod_strings) && r == 0; i++)
        r = copy_string(field_at(&copy, pod_strings[i]), *field_at(pod, pod_strings[i]));
    for (size_t i = 0; i < pod->label_count && r == 0; i++)
        r = pod_add_label(&copy, pod->labels[i].key, pod->labels[i].value);
    for (size_t i = 0; i < pod->annotation_count && r == 0; i++)
        r = pod_add_annotation(&copy, pod->annotations[i].key, pod->annotations[i].value);
    for (size_t i = 0; i < pod->container_count && r == 0; i++)
        r = copy_container(&copy, &pod->containers[i]);
    if (r < 0) {
        pod_clear(&copy);
        return r;
    }
    *ret = copy;
    return 0;
}

static bool pairs_equal(const struct pod_pair *a, size_t a_count, const struct pod_pair *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].value, b[i].value) != 0)
            return false;
    return true;
}

static bool containers_equal(const struct pod_container *a, const struct pod_container *b)
{
    if (a->kind != b->kind || a->privileged != b->privileged || a->started_unix_ns != b->started_unix_ns ||
        a->old_id_count != b->old_id_count)
        return false;
    for (size_t i = 0; i < COUNT_OF(container_strings); i++)
        if (!strings_equal(*field_at(a, container_strings[i]), *field_at(b, container_strings[i])))
            return false;
    for (size_t i = 0; i < a->old_id_count; i++)
        if (strcmp(a->old_ids[i], b->old_ids[i]) != 0)
            return false;
    return true;
}

bool pod_equal(const struct pod *a, const struct pod *b)
{
    if (a->host_network != b->host_network || a->container_count != b->container_count)
        return false;
    for (size_t i = 0; i < COUNT_OF(pod_strings); i++)
        if (!strings_equal(*field_at(a, pod_strings[i]), *field_at(b, pod_strings[i])))
            return false;
    for (size_t i = 0; i < a->container_count; i++)
        if (!containers_equal(&a->containers[i], &b->containers[i]))
            return false;
    return pairs_equal(a->labels, a->label_count, b->labels, b->label_count) &&
           pairs_equal(a->annotations, a->annotation_count, b->annotations, b->annotation_count);
}

/* What malloc adds to a block, and what an index entry of an id costs. */
#define BLOCK_BYTES 16
#define INDEX_BYTES 112

static size_t string_bytes(const char *string)
{
    return string ? strlen(string) + 1 + BLOCK_BYTES : 0;
}

size_t pod_bytes(const struct pod *pod)
{
    size_t bytes = sizeof(*pod) + 2 * INDEX_BYTES;

    for (size_t i = 0; i < COUNT_OF(pod_strings); i++)
        bytes += string_bytes(*field_at(pod, pod_strings[i]));
    for (size_t i = 0; i < pod->label_count; i++)
        bytes +=
            sizeof(struct pod_pair) + string_bytes(pod->labels[i].key) + string_bytes(pod->labels[i].value);
    for (size_t i = 0; i < pod->annotation_count; i++)
        bytes += sizeof(struct pod_pair) + string_bytes(pod->annotations[i].key) +
                 string_bytes(pod->annotations[i].value);
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct pod_container *container = &pod->containers[i];

        bytes += sizeof(*container) + INDEX_BYTES;
        for (size_t j = 0; j < COUNT_OF(container_strings); j++)
            bytes += string_bytes(*field_at(container, container_strings[j]));
        for (size_t j = 0; j < container->old_id_count; j++)
            bytes += sizeof(char *) + string_bytes(container->old_ids[j]) + INDEX_BYTES;
    }
    return bytes;
}

const struct pod_container *pod_find_container(const struct pod *pod, const char *container_id)
{
    for (size_t i = 0; i < pod->container_count; i++)
        if (pod_container_has_id(&pod->containers[i], container_id))
            return &pod->containers[i];
    return NULL;
}

bool pod_uid_valid(const char *uid)
{
    size_t size = strnlen(uid, POD_UID_MAX + 1);

    if (size == 0 || size > POD_UID_MAX || uid[0] == '.')
        return false;
    for (size_t i = 0; i < size; i++)
        if (uid[i] <= ' ' || uid[i] > '~' || uid[i] == '/')
            return false;
    return true;
}

static bool is_hex(char c, bool upper_too)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (upper_too && c >= 'A' && c <= 'F');
}

bool pod_uid_is_uuid(const char *uid)
{
    if (strnlen(uid, 37) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? uid[i] != '-' : !is_hex(uid[i], true))
            return false;
    }
    return true;
}

bool pod_container_id_valid(const char *id)
{
    size_t size = strnlen(id, CONTAINER_ID_MAX + 1);

    if (size == 0 || size > CONTAINER_ID_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_hex(id[i], false))
            return false;
    return true;
}
