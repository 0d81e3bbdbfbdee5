/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What came out of the enricher, read while it is written: from the output file through its rotations, or from a pipe by a thread that stamps each line as it arrives. Of
 * each line only the fields that tests ask about are kept, with equal strings kept once.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tests/e2e/pod.h"

enum event_type {
    EVENT_FORK,
    EVENT_EXEC,
    EVENT_EXIT,
    EVENT_LOST,
    EVENT_POD_UPDATE,
    EVENT_HOOK, /* of a policy on a tracepoint */
    EVENT_OTHER,
    EVENT_TYPE_COUNT
};

/* A pod_update has what it tells where an event has its process; the reason of a lost event is where. Strings are interned: "" when absent, comparable by ==. */
struct event {
    enum event_type type;
    const char *id, *exec_id, *parent_exec_id; /* of .process */
    const char *docker, *state, *reason, *source, *role;
    const char *namespace_, *pod, *uid, *container, *app, *workload;
    const char *binary, *arguments, *signal;
    const char *parent_binary, *parent_pod, *parent_state, *parent_docker,
        *parent_id; /* of .parent; id: its exec_id */
    uint32_t pid, status;
    uint32_t corrected; /* pod_update: how many events it corrects */
    uint64_t held_ms;
    uint64_t stamp_ns; /* boot clock when the reader saw it; pipe only exact */
};

struct events {
    struct event *list;
    size_t count, capacity;
    size_t bad_lines; /* not JSON, or longer than 64 KiB */
    struct events_private *private;
};

void events_open_file(struct events *events, const char *path);
void events_open_pipe(struct events *events, int fd); /* borrowed, until close */
void events_close(struct events *events);
/* Takes in what is there now. */
void events_read(struct events *events);
/* A pipe: its writer has closed it. */
bool events_at_end(const struct events *events);

/* How many events of the container; -1: all types that are fork, exec or exit. */
size_t events_count(const struct events *events, const struct test_container *container, int type);
/* Reads until the container has `wanted` events (or more), at most so long. */
bool events_wait(
    struct events *events, const struct test_container *container, size_t wanted, unsigned timeout_ms);
bool event_is_of(const struct event *event, const struct test_container *container);
/* Events that say that something was lost. */
size_t events_lost(const struct events *events);
/* Distinct ids among the container's events; duplicates = count - distinct. */
size_t events_distinct(const struct events *events, const struct test_container *container);

const char *event_type_name(enum event_type type);
