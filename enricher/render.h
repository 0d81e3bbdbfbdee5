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

/* A container's fragment is at most this long, whatever the source tells; labels that do not fit are left out and "pod_labels_truncated" says so. */
#define RENDER_POD_BUDGET 7000
/* Rendered bytes of one string in it: what Kubernetes allows fits unless it is full of escapes. */
#define RENDER_NAME_BUDGET  512
#define RENDER_IMAGE_BUDGET 1024

#define RENDER_NODE_NAME_MAX 253 /* a DNS name */

struct render_options {
    const char *node_name; /* at most RENDER_NODE_NAME_MAX bytes of it are used */
    bool own_fields;       /* pod_state, role, args, id, held_ms, pod_labels_truncated */
    bool annotations;
    struct image_options image;
};

struct render_context {
    const struct render_options *options;
    int64_t wall_offset_ns; /* boot clock → Unix time */
    uint64_t second;        /* Unix time that prefix is of; UINT64_MAX: none */
    char prefix[20];        /* "2026-11-23T20:55:00" */
};

#define RENDER_TIME_SIZE 30
/* RFC 3339 with nine digits of a boot time, into a buffer of RENDER_TIME_SIZE bytes or more; returns what is behind it. */
char *render_time(struct render_context *context, char *to, uint64_t boot_ns);
/* (Re)makes process->head. 0 or -ENOMEM; the old one stays then. What else the head of a line tells (uid, image, in_init_tree) is set before. */
int render_process_head(struct render_context *context, struct process *process, bool clone);
/* Room for render_put_head(): process->head_size and this. */
#define RENDER_HEAD_OVERHEAD 224
/* "exec_id":… ,"in_init_tree":false, of the thread `tid`; nothing while there is no process->head. without_arguments: they are left out of the line, and "flags" says so. */
char *render_put_head(char *to, const struct process *process, uint32_t tid, bool without_arguments);
/* The exec_id in the head, without quotes; NULL: there is no head. */
const char *render_exec_id(const struct process *process, size_t *ret_size);
/* (Re)makes container->fragment from its Pod. 0 or -ENOMEM. */
int render_container(const struct render_context *context, struct container *container);
