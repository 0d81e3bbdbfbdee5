/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Between emit.c and emit_normalised.c: the parts of a line that both formats have in common. Each takes where to write and returns where to go on. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "enricher/emit.h"

struct record_exit;

/* Everything in a line that is not a fragment: keys, numbers, time, id. Generous. */
#define EMIT_LINE_OVERHEAD 1024
/* The same for one process in a line. */
#define EMIT_PROCESS_OVERHEAD 320

/* What of an event a full line has room for. */
struct emit_layout {
    size_t bytes;     /* at most */
    size_t hook_room; /* of them for what a hook saw */
    bool whole, parent_whole;
};

struct emit_layout emit_lay_out(
    const struct event *event, const struct container *parent_container, size_t overhead, size_t hook_bound);
/* What the object of a process takes at most; not `whole`: without its arguments. */
size_t emit_process_bound(const struct process *process, const struct container *container, bool whole);
const char *emit_event_name(const struct event *event);
/* A whole object. */
char *emit_put_process(struct emit *emit, char *to, const struct process *process,
    const struct container *container, bool whole, uint32_t tid);
/* "pod_state" … "role", each with a comma behind it. */
char *emit_put_own_pod_fields(
    struct emit *emit, char *to, const struct process *process, const struct container *container);
/* All that they depend on. */
uint32_t emit_own_key(const struct process *process, const struct container *container);
char *emit_put_exit(struct emit *emit, char *to, const struct record_exit *record);
/* From the brace that ends the event to the end of the line. */
char *emit_put_envelope(
    struct emit *emit, char *to, const struct record_header *record, uint64_t held_ns, bool held);
