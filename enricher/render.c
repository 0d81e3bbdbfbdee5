/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/render.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/record.h"
#include "common/text.h"
#include "enricher/container_table.h"
#include "enricher/process_table.h"
#include "enricher/put.h"

/* Tetragon cuts ids to this many characters in "docker". */
#define DOCKER_ID_SIZE 31

char *render_time(struct render_context *context, char *to, uint64_t boot_ns)
{
    uint64_t unix_ns = boot_ns + (uint64_t)context->wall_offset_ns;
    uint64_t second = unix_ns / NS_PER_SEC, fraction = unix_ns % NS_PER_SEC;

    if (second != context->second) { /* most of the work, once a second */
        struct text whole = {0};

        text_append_time(&whole, second * NS_PER_SEC);
        if (whole.size >= 19)
            memcpy(context->prefix, whole.data, 19);
        text_deinit(&whole);
        context->second = second;
    }
    to = put(to, context->prefix, 19);
    to[0] = '.';
    for (int i = 9; i > 0; i--) {
        to[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    to[10] = 'Z';
    return to + 11;
}

/* A comma unless it is the first of its object. */
static void append_comma(struct text *out)
{
    if (out->size > 0 && out->data[out->size - 1] != '{')
        text_append_char(out, ',');
}

static void append_member(struct text *out, const char *key, const char *value, size_t budget)
{
    if (!value || !*value)
        return;
    append_comma(out);
    text_append_format(out, "\"%s\":\"", key);
    (void)text_append_json(out, value, strlen(value), budget);
    text_append_char(out, '"');
}

/* What comes behind the labels and annotations: their marks, the container's closing braces, "docker". */
#define PAIRS_RESERVE 160

static void append_pairs(
    struct text *out, const char *key, const struct pod_pair *pairs, size_t count, bool mark)
{
    size_t last = RENDER_POD_BUDGET - PAIRS_RESERVE;
    bool truncated = false;

    if (count == 0)
        return;
    text_append_format(out, ",\"%s\":{", key);
    for (size_t i = 0; i < count; i++) {
        size_t before = out->size;

        append_comma(out);
        text_append_json_string(out, pairs[i].key);
        text_append_char(out, ':');
        text_append_json_string(out, pairs[i].value);
        if (out->size > last) {
            out->size = before;
            truncated = true;
        }
    }
    text_append_char(out, '}');
    if (truncated && mark)
        text_append_format(out, ",\"%s_truncated\":true", key);
}

/* The container object; *ret_split is where its pid goes. */
static void append_container(struct text *out, const struct container *container,
    const struct pod_container *status, size_t *ret_split)
{
    text_append_string(out, ",\"container\":{\"id\":\"");
    if (status && status->runtime && *status->runtime) {
        text_append_json(out, status->runtime, strlen(status->runtime), 64);
        text_append_string(out, "://");
    }
    text_append_string(out, container->identity.container_id);
    text_append_char(out, '"');
    if (status) {
        append_member(out, "name", status->name, RENDER_NAME_BUDGET);
        if (status->image || status->image_id) {
            text_append_string(out, ",\"image\":{");
            append_member(out, "id", status->image_id, RENDER_IMAGE_BUDGET);
            append_member(out, "name", status->image, RENDER_IMAGE_BUDGET);
            text_append_char(out, '}');
        }
        if (status->started_unix_ns) {
            text_append_string(out, ",\"start_time\":\"");
            text_append_time(out, status->started_unix_ns);
            text_append_char(out, '"');
        }
        if (status->privileged)
            text_append_string(out, ",\"security_context\":{\"privileged\":true}");
    }
    text_append_string(out, ",\"pid\":");
    *ret_split = out->size;
    text_append_char(out, '}');
}

static size_t build_container(
    struct text *out, const struct render_context *context, const struct container *container)
{
    const struct cgroup_identity *identity = &container->identity;
    const struct pod *pod = container->pod;
    size_t split = SIZE_MAX;

    if (pod) {
        text_append_string(out, "\"pod\":{");
        append_member(out, "namespace", pod->namespace_, RENDER_NAME_BUDGET);
        append_member(out, "name", pod->name, RENDER_NAME_BUDGET);
        append_member(out, "uid", pod->uid, RENDER_NAME_BUDGET);
    } else if (identity->pod_uid[0]) {
        text_append_format(out, "\"pod\":{\"uid\":\"%s\"", identity->pod_uid);
    }
    if (identity->container_id[0] && (pod || identity->pod_uid[0]))
        append_container(
            out, container, pod ? pod_find_container(pod, identity->container_id) : NULL, &split);
    if (pod) {
        append_member(out, "workload", pod->workload, RENDER_NAME_BUDGET);
        append_member(out, "workload_kind", pod->workload_kind, RENDER_NAME_BUDGET);
        append_pairs(out, "pod_labels", pod->labels, pod->label_count, context->options->own_fields);
        if (context->options->annotations)
            append_pairs(out, "pod_annotations", pod->annotations, pod->annotation_count,
                context->options->own_fields);
    }
    if (pod || identity->pod_uid[0])
        text_append_string(out, "},");
    if (identity->container_id[0])
        text_append_format(out, "\"docker\":\"%.*s\",", DOCKER_ID_SIZE, identity->container_id);
    return split;
}

int render_container(const struct render_context *context, struct container *container)
{
    struct text out = {0};
    size_t split = build_container(&out, context, container), size;
    char *data;

    if (out.size == 0 && !out.failed) {
        free(container->fragment.data);
        container->fragment = (struct container_fragment){0};
        container->definition = 0;
        return 0;
    }
    data = text_take(&out, &size);
    if (!data)
        return -ENOMEM;
    free(container->fragment.data);
    container->fragment =
        (struct container_fragment){data, (uint32_t)size, (uint32_t)(split == SIZE_MAX ? size : split)};
    container->definition = 0;
    container->fragment_version = container->pod ? container->pod->version : 0;
    return 0;
}
