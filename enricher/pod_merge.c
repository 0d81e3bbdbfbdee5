/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_merge.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fill_string(char **field, const char *value)
{
    if (*field || !value)
        return 0;
    *field = strdup(value);
    return *field ? 0 : -ENOMEM;
}

/* Every id of `from` that `to` has not got; when `to` has none at all, the newest of `from` is its newest. */
static int fill_ids(struct pod_container *to, const struct pod_container *from)
{
    int r = 0;

    if (!to->id && from->id && !pod_container_has_id(to, from->id)) {
        r = fill_string(&to->id, from->id);
        if (r == 0)
            r = fill_string(&to->runtime, from->runtime);
        if (to->started_unix_ns == 0)
            to->started_unix_ns = from->started_unix_ns;
    } else if (from->id) {
        r = pod_container_add_old_id(to, from->id);
    }
    for (size_t i = 0; i < from->old_id_count && r == 0; i++)
        r = pod_container_add_old_id(to, from->old_ids[i]);
    return r;
}

static int fill_container(struct pod_container *to, const struct pod_container *from)
{
    bool same = !to->id || !from->id || strcmp(to->id, from->id) == 0;
    int r = fill_ids(to, from);

    if (r == 0 && same) {
        if (to->started_unix_ns == 0)
            to->started_unix_ns = from->started_unix_ns;
        r = fill_string(&to->runtime, from->runtime);
    }
    if (r == 0)
        r = fill_string(&to->image, from->image);
    if (r == 0)
        r = fill_string(&to->image_id, from->image_id);
    return r;
}

static int fill_containers(struct pod *to, const struct pod *from)
{
    for (size_t i = 0; i < from->container_count; i++) {
        const struct pod_container *source = &from->containers[i];
        struct pod_container *target = pod_find_container_by_name(to, source->name);
        int r;

        if (!target) {
            if (to->container_count >= POD_MAX_CONTAINERS)
                continue;
            target = pod_add_container(to, source->name);
            if (!target)
                return -ENOMEM;
            target->kind = source->kind;
            target->privileged = source->privileged;
        }
        r = fill_container(target, source);
        if (r < 0)
            return r;
    }
    return 0;
}

int pod_merge_message(struct pod *ret, const struct pod *before, const struct pod *told)
{
    struct pod message;
    int r = pod_copy(&message, told);

    if (r < 0)
        return r;
    for (size_t i = 0; before && i < before->container_count && r == 0; i++) {
        const struct pod_container *old = &before->containers[i];
        struct pod_container *now = pod_find_container_by_name(&message, old->name);

        if (!now && !old->id && old->old_id_count == 0)
            continue; /* nothing learned that could be lost */
        if (!now && message.container_count >= POD_MAX_CONTAINERS)
            continue;
        if (!now) {
            now = pod_add_container(&message, old->name);
            if (!now) {
                r = -ENOMEM;
                break;
            }
            now->kind = old->kind;
            now->privileged = old->privileged;
        }
        r = fill_container(now, old);
    }
    if (r < 0) {
        pod_clear(&message);
        return r;
    }
    *ret = message;
    return 0;
}

static int fill_pairs(struct pod *to, const struct pod *from)
{
    int r = 0;

    for (size_t i = 0; i < from->label_count && r == 0; i++)
        r = pod_add_label(to, from->labels[i].key, from->labels[i].value);
    for (size_t i = 0; i < from->annotation_count && r == 0; i++)
        r = pod_add_annotation(to, from->annotations[i].key, from->annotations[i].value);
    return r;
}

static int fill_strings(struct pod *to, const struct pod *from)
{
    int r = fill_string(&to->uid, from->uid);

    if (r == 0)
        r = fill_string(&to->config_hash, from->config_hash);
    if (r == 0)
        r = fill_string(&to->namespace_, from->namespace_);
    if (r == 0)
        r = fill_string(&to->name, from->name);
    if (r == 0)
        r = fill_string(&to->node_name, from->node_name);
    /* A name and its kind belong together. */
    if (r == 0 && !to->workload && !to->workload_kind) {
        r = fill_string(&to->workload, from->workload);
        if (r == 0)
            r = fill_string(&to->workload_kind, from->workload_kind);
    }
    return r;
}

int pod_merge_view(struct pod *ret, const struct pod *const messages[POD_SOURCE_COUNT])
{
    struct pod view = {0};
    bool have_whole = false;
    int r = 0;

    for (int source = POD_SOURCE_COUNT - 1; source > POD_SOURCE_NONE && r == 0; source--) {
        const struct pod *message = messages[source];

        if (!message)
            continue;
        if (view.best_source == POD_SOURCE_NONE)
            view.best_source = (enum pod_source)source;
        r = fill_strings(&view, message);
        /* A Pod without labels is news too: the best source that could know decides alone, or a removed label
         * would come back from a slower one. */
        if (source > POD_SOURCE_LOGDIR && !have_whole && r == 0) {
            have_whole = true;
            view.host_network = message->host_network;
            r = fill_pairs(&view, message);
        }
        if (r == 0)
            r = fill_containers(&view, message);
        if (source > POD_SOURCE_LOGDIR && message->namespace_ && message->name && message->container_count)
            view.complete = true;
    }
    if (r < 0) {
        pod_clear(&view);
        return r;
    }
    *ret = view;
    return 0;
}
