/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An event → one JSON line, composed straight into the output from fragments (render.h). No allocation, no formatted printing.
 */
#include <stdbool.h>
#include <stdint.h>

#include "enricher/render.h"

struct container;
struct normaliser;
struct output;
struct owed;
struct process;
struct policy_entry;
struct record_header;
struct record_lost;

struct event {
    const struct record_header *record;
    struct process *process;     /* borrowed */
    struct container *container; /* of the event: by the record's cgroup; borrowed */
    struct policy_entry *policy; /* of a hook, borrowed; NULL: no hook */
    uint64_t held_since_ns;      /* 0: not held */
    uint64_t held_sequence; /* its name in the hold store, 0: none; kept when it is held again (hold.h, H4) */
    bool selector_undecided; /* render_hook.h */
};

/* "pod_state" … "role" come in few ways: those used last, rendered. */
#define EMIT_OWN_SLOTS 16
struct emit_own {
    uint32_t key; /* emit_own_key() + 1; 0: none */
    uint32_t size;
    char text[248];
};

struct emit {
    struct render_context render;
    struct output *output;
    char boot_id[17];      /* 16 hex digits: names the boot in every id */
    const char *node_json; /* "\"node_name\":\"…\"" rendered once, with its size */
    uint32_t node_json_size;
    struct emit_own own[EMIT_OWN_SLOTS];
    struct normaliser *normaliser; /* NULL: full lines */
};

int emit_init(
    struct emit *emit, const struct render_options *options, struct output *output, const char *boot_id);
/* From now on normalised lines (emit_normalised.h); the output is to be one with sections. 0 or -ENOMEM. */
int emit_normalise(struct emit *emit);
void emit_deinit(struct emit *emit);
/* Follows the wall clock; called about once a second. */
void emit_update_clock(struct emit *emit);

/* 0, or -EAGAIN: the output has no room, try again later. emit_event(): EMIT_CUT: it is out, but a hook's argument did not fit whole. */
#define EMIT_CUT 1
int emit_event(struct emit *emit, const struct event *event, uint64_t now_ns);
/* What is known of the container by now; `owed`: the execution that it is told to, NULL: whoever of the container is not told by name. */
int emit_pod_update(
    struct emit *emit, const struct container *container, const struct owed *owed, uint64_t now_ns);
int emit_lost(struct emit *emit, const struct record_lost *lost);
/* The same for numbers that no report accounts for (ledger.h). */
int emit_unexplained(
    struct emit *emit, uint16_t cpu, uint64_t first_seq, uint64_t last_seq, uint64_t count, uint64_t now_ns);
