/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * JSON by fragments. What is the same for many events is rendered once and kept with what it describes:
 *
 *   process  head:      "exec_id":…,"pid":…,"uid":…,"flags":…,"start_time":…,"auid":…,"parent_exec_id":…,"tid":…,
 *   image    (image.h): "cwd":…,"binary":…,"arguments":…,
 *   container fragment: "pod":{…"pid": | …},"docker":…,
 *
 * An event is copies of these and a few numbers (emit.c). Field names and forms: docs/events.md; they follow Tetragon's export.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "enricher/image.h"

struct container;
struct process;
struct text;

/* A container's fragment is at most this long; labels that do not fit are left out and "pod_labels_truncated" says so. */
#define RENDER_POD_BUDGET 7000

struct render_options {
    const char *node_name;
    bool own_fields; /* pod_state, role, args, id, held_ms */
    bool annotations;
    struct image_options image;
};

struct render_context {
    const struct render_options *options;
    int64_t wall_offset_ns; /* boot clock → Unix time */
};

/* base64("NODE:START_NS:PID"), the name of an execution. */
void render_exec_id(struct text *out, const char *node_name, uint64_t image_start_ns, uint32_t tgid);
/* (Re)makes process->head. 0 or -ENOMEM; the old one stays then. */
int render_process_head(const struct render_context *context, struct process *process, bool clone);
/* (Re)makes container->fragment from its Pod. 0 or -ENOMEM. */
int render_container(const struct render_context *context, struct container *container);
