/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which lines are shown. Values of one kind are alternatives, kinds are all required: --namespace a --namespace b --type exec is
 * "an exec in a or in b". A lost line is shown whatever Pod or process is asked for: the gap may hide what was asked for; only --type leaves it out.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "enricher/cli/line.h"

enum filter_key {
    FILTER_NAMESPACE,
    FILTER_POD,
    FILTER_CONTAINER,
    FILTER_BINARY,
    FILTER_POLICY,
    FILTER_PID,
    FILTER_KEY_COUNT
};

#define FILTER_VALUES_MAX 64

struct filter_values {
    const char *items[FILTER_VALUES_MAX]; /* borrowed */
    size_t count;
};

struct filter {
    bool by_type, types[LINE_TYPE_COUNT];
    bool unresolved; /* only events in a Pod's cgroup that do not name Pod and container */
    struct filter_values values[FILTER_KEY_COUNT];
    int64_t pids[FILTER_VALUES_MAX]; /* of FILTER_PID */
};

/* "exec,fork", "process_exec". -EINVAL: *ret_bad is the word that is no type (in `list`), and its length. */
int filter_add_types(struct filter *filter, const char *list, struct slice *ret_bad);
/* -EINVAL: a pid that is none; -ENOSPC: more than FILTER_VALUES_MAX. */
int filter_add(struct filter *filter, enum filter_key key, const char *value);

/* A look at the bytes alone: true when the line cannot match, so that it need not be parsed. */
bool filter_rules_out(const struct filter *filter, const char *data, size_t size);
bool filter_match(const struct filter *filter, const struct line *line);
