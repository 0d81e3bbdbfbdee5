/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command line of `podkin events`. */
#include <stdbool.h>
#include <stdint.h>
#include "enricher/cli/compact.h"
#include "enricher/cli/filter.h"

struct events_options {
    const char *file;        /* NULL: live; "-": stdin */
    char *const *more_files; /* read behind it, in this order; ends with NULL */
    const char *socket_path;
    bool json, follow, summary, reconnect;
    uint64_t count; /* 0: no end */
    struct filter filter;
    struct compact_options compact;
};

/* 0, or the exit status after the mistake was said. Reads the environment (NO_COLOR, TERM, COLUMNS) and what stdout is. */
int events_options_parse(struct events_options *ret, int argc, char **argv);
/* Columns of the terminal on stdout; 0: it is none. */
unsigned events_terminal_columns(void);
