/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What options.c (command line, order of the layers), options_file.c (files) and options_parse.c (values)
 * share. A layer is the command line or one file: within a layer a repeatable option adds up, a later layer
 * replaces an earlier one.
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/options.h"

struct options_state {
    const struct option_spec *specs;
    size_t count;
    unsigned *set_by; /* by spec: number of the layer that set it last, 0: none (the default stands) */
    unsigned layer;   /* the one being applied, from 1 */
    char *error;      /* OPTIONS_ERROR_MAX */
};

/* Fills state->error; what is unsafe on a terminal is made visible. Returns -EINVAL. */
int options_fail(const struct options_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Index of the spec with this name, or -1. */
int options_find(const struct options_state *state, const char *name, size_t size);
/* The name that was meant, perhaps; NULL: nothing is near. */
const char *options_suggest(const struct options_state *state, const char *name, size_t size);

/* Sets the value of specs[index] from text. `where` ("--x" or "FILE:LINE: key 'x'") begins the error. 0,
 * -EINVAL or -ENOMEM. */
int options_apply(struct options_state *state, size_t index, const char *where, const char *text);

/* One file; a new layer. 0, or negative errno with the error filled; -ENOENT without, when missing_ok. */
int options_read_file(struct options_state *state, const char *path, bool missing_ok);
/* PATH.d/NAME.conf, in name order, a layer each. */
int options_read_drop_ins(struct options_state *state, const char *path);
