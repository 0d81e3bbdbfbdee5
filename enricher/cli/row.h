/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One line for a terminal, built from styled pieces: knows its width in columns, so that it can be aligned and cut without tearing a
 * character or a colour. What comes from outside goes through row_outside() or row_json(): nothing in it reaches the terminal as a control.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/text.h"
#include "enricher/cli/json_pull.h"

enum row_style {
    ROW_PLAIN,
    ROW_DIM,
    ROW_GOOD,
    ROW_NOTE,
    ROW_WARN,
    ROW_BAD,
    ROW_NAMESPACE,
    ROW_POD,
    ROW_CONTAINER,
    ROW_HOST,
    ROW_BINARY,
    ROW_FUNCTION,
    ROW_POLICY,
    ROW_STYLE_COUNT
};

#define ROW_SPANS_MAX 128 /* further pieces join the last one */

struct row_span {
    size_t offset, size;
    unsigned width;
    enum row_style style;
    bool flexible;
};

struct row {
    struct text bytes, scratch;
    struct row_span spans[ROW_SPANS_MAX];
    size_t count;
    unsigned width;
    bool flexible; /* of what is appended now: gives way first when the line is too wide */
    bool dim;      /* whatever is appended now is dim, but warnings */
};

void row_deinit(struct row *row);
void row_clear(struct row *row);
void row_own(struct row *row, enum row_style style, const char *string); /* our own words */
void row_format(struct row *row, enum row_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void row_outside(struct row *row, enum row_style style, const void *data, size_t size);
void row_json(struct row *row, enum row_style style, struct slice raw); /* raw contents of a JSON string */
void row_pad(struct row *row, unsigned columns); /* spaces until the row is that wide */
/* Without a newline. columns 0: whole. */
void row_print(const struct row *row, struct text *out, unsigned columns, bool color, const char *ellipsis);

/* Columns that UTF-8 text takes. Needs a UTF-8 LC_CTYPE for characters wider or narrower than one. */
unsigned row_text_width(const char *data, size_t size);
