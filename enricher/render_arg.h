/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One argument of a hook → its object in args[], or in "return": {"int_arg":3,"label":"fd"}. Forms: docs/events.md; they follow Tetragon's export.
 * No allocation, one pass. The record is checked (record_check.h); what strings and numbers say is hostile.
 *
 * A1  at most render_arg_bound() bytes are written, and at most `room`
 * A2  what does not fit in `room` is cut, and the caller is told; with own fields it says so itself ("truncated":true)
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/record.h"

struct policy_piece;

/* With this much room each argument has its form at least. */
#define RENDER_ARG_MIN 256

struct render_arg {
    const struct record_header *record;
    const struct record_arg *arg;
    const struct policy_piece *end; /* its label and the brace */
    bool own_fields;                /* truncated, open_flags, fd */
};

/* What it can take at most, uncut. */
size_t render_arg_bound(const struct render_arg *arg);
/* room >= RENDER_ARG_MIN. Returns what is behind it; *cut is set when something was left out for lack of room. */
char *render_arg(char *to, size_t room, const struct render_arg *arg, bool *cut);
