/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The fields of a tracepoint, from its "format" file (kernel documentation, trace/events.rst). */
#include <stdint.h>
#include <stdio.h>

#include "collector/hook_compile.h"

#define HOOK_FIELDS_MAX 64

struct hook_format_field {
    char name[64];
    char type[96]; /* as written, without the name */
    uint16_t offset, size;
    bool is_signed, is_array;
};

struct hook_format {
    struct hook_format_field fields[HOOK_FIELDS_MAX];
    uint32_t count;
};

/* 0, or -EBADMSG: it is none. */
int hook_format_read(struct hook_format *ret, FILE *file);

/* The source of field `index` for the argument that is the `word`th; word HOOK_WORD_NONE: there is no such field. */
void hook_format_source(
    struct hook_source *ret, const struct hook_format *format, uint32_t index, uint8_t word);
