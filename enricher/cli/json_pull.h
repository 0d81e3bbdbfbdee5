/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reads JSON text in place, front to back, once: no tree, no allocation. Strings are given as they stand between their quotes, escapes
 * included; json_unescape() is for those that are shown.
 *
 * The bytes are outside bytes. Anything that cannot be JSON sets `failed`, which stays set and makes every further call a harmless no.
 * What is skipped is checked for balanced brackets and whole strings only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text;

/* Borrowed bytes; {NULL, 0}: absent. */
struct slice {
    const char *data;
    size_t size;
};

enum json_kind { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_OBJECT, JSON_ARRAY };

struct json_pull {
    const char *at, *end;
    bool first; /* an object or array was just begun: no comma comes before its first member */
    bool failed;
};

#define JSON_DEPTH_MAX 64

void json_init(struct json_pull *json, const char *data, size_t size);
enum json_kind json_peek(
    struct json_pull *json); /* of the value that comes next; JSON_NONE: no value can begin here */

/* Enters; then json_*_next() before each member, until it says no (the end, or failure). Each member must be read or skipped. */
bool json_object_begin(struct json_pull *json);
bool json_object_next(struct json_pull *json, struct slice *ret_key);
bool json_array_begin(struct json_pull *json);
bool json_array_next(struct json_pull *json);

struct slice json_string(struct json_pull *json); /* data is not NULL for an empty string */
struct slice json_skip(struct json_pull *json);   /* any value: its text, quotes and brackets included */
/* A number, or a string that holds one (64-bit integers are strings in the export); a fraction is cut off. false: another kind, skipped. */
bool json_i64(struct json_pull *json, int64_t *ret);
bool json_done(struct json_pull *json); /* nothing but white space is left, and nothing failed */

/* Appends what the raw string contents mean. A broken escape stays as it stands; a lone surrogate becomes U+FFFD. */
void json_unescape(struct text *text, struct slice raw);

static inline bool slice_is(struct slice slice, const char *string, size_t size)
{
    return slice.size == size && __builtin_memcmp(slice.data, string, size) == 0;
}
#define SLICE_IS(slice, literal) slice_is(slice, "" literal, sizeof(literal) - 1)
bool slice_has_prefix(struct slice slice, const char *prefix);
