/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One event as one line for people:
 *
 *   time  icon verb  namespace/pod:container  pid <parent  binary arguments  result  marks
 *
 * Columns widen with what they meet, up to a limit, and never shrink. Whatever a workload controls is neutralised (row.h).
 */
#include <stdbool.h>
#include <stdint.h>
#include "enricher/cli/line.h"
#include "enricher/cli/row.h"

enum compact_time { COMPACT_TIME_LOCAL, COMPACT_TIME_UTC, COMPACT_TIME_NONE, COMPACT_TIME_RELATIVE };

struct compact_options {
    bool color, ascii;
    bool day_first;   /* also say the day before the first event */
    unsigned columns; /* of the terminal; 0: lines are never cut */
    enum compact_time time;
};

struct compact {
    struct compact_options options;
    struct row row;
    unsigned source_width, pid_width;
    int64_t first_ns;                /* time of the first event, for COMPACT_TIME_RELATIVE */
    int64_t minute, minute_offset_s; /* cached: local time of that minute */
    int64_t day;                     /* of the last event, in the zone shown; -1: none yet */
};

void compact_init(struct compact *compact, const struct compact_options *options);
void compact_deinit(struct compact *compact);
/* Appends one line (sometimes the day in a line before it), newline included. */
void compact_show(struct compact *compact, const struct line *line, struct text *out);
/* A line of our own between the events, dim. */
void compact_note(struct compact *compact, const char *note, struct text *out);
