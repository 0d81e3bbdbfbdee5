/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One line of the export, taken apart in place: podkin's own and Tetragon's alike. Every field is a slice of the line (raw JSON: strings
 * without their quotes, escapes included) or a number; absent is {NULL, 0}, or 0.
 *
 * An event type that is not known is read like any other: LINE_OTHER, with whatever fields of ours it has. A wrong JSON type for a known
 * field counts as absent.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "enricher/cli/json_pull.h"

enum line_type {
    LINE_OTHER,
    LINE_EXEC,
    LINE_FORK,
    LINE_EXIT,
    LINE_KPROBE,
    LINE_TRACEPOINT,
    LINE_LSM,
    LINE_UPROBE,
    LINE_LOST,
    LINE_POD_UPDATE,
    LINE_TYPE_COUNT
};
const char *line_type_name(
    enum line_type type); /* as it is typed and summed up: exec fork … lost pod_update other */

enum line_pod_state {
    LINE_POD_UNSAID, /* Tetragon's lines, and those written without our own fields */
    LINE_POD_HOST,
    LINE_POD_COMPLETE,
    LINE_POD_ONLY,
    LINE_POD_PENDING_EXPIRED,
    LINE_POD_STATE_COUNT
};
const char *line_pod_state_name(enum line_pod_state state);

struct line_pod {
    struct slice namespace_, name, uid;
    struct slice container_id, container_name; /* id with the runtime's prefix */
};

struct line_process {
    bool present;
    int64_t pid, uid;
    struct slice exec_id, binary, arguments, args, cwd, flags; /* args: raw array */
    struct slice docker;
    struct slice pod_state_name, pod_state_reason, pod_source, role;
    enum line_pod_state pod_state;
    struct line_pod pod;
};

struct line {
    enum line_type type;
    struct slice type_name; /* "process_exec" … */
    struct slice body;      /* raw object of the event */
    struct slice node_name, time, id;
    struct slice error; /* no event: what the enricher's socket says instead of going on */
    int64_t held_ms;    /* -1: was not held */
    struct line_process process, parent;
    /* process_exit */
    struct slice signal;
    int64_t status;
    /* hooks */
    struct slice function_name, subsys, event, policy_name, message, action, return_action;
    struct slice args, return_;                     /* raw array, raw object */
    struct slice action_failed, selector_undecided; /* true, or absent */
    struct slice unknown_hook_id;                   /* its number: the policy is not known */
    int64_t action_value, suppressed;
    /* lost */
    struct slice from, to, where,
        by_type; /* from, to: sequence numbers of that CPU, or times; by_type: raw object */
    int64_t cpu; /* -1: not said */
    /* pod_update; what it tells of the execution and its Pod stands in process */
    int64_t events;
};

#define LINE_SIZE_MAX (1024 * 1024)

/* 0, or -EBADMSG: no JSON object. `data` without the newline; the line borrows it. */
int line_parse(struct line *ret, const char *data, size_t size);

/* How many records a lost line reports; also gives each to `fn` when that is not NULL. */
typedef void line_lost_fn(void *arg, struct slice type, uint64_t count);
uint64_t line_lost_count(const struct line *line, line_lost_fn *fn, void *arg);

/* In a Pod's cgroup, and the event does not name Pod and container. */
bool line_is_unresolved(const struct line *line);

/* RFC 3339 to Unix ns. 0 or -EBADMSG. */
int line_parse_time(struct slice time, int64_t *ret_unix_ns);
