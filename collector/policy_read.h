/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside policy_file.c and its parts: walking a document by a table of the keys that a map may have. A value knows the way to it, so that each
 * fault names it. Nothing here returns an error: faults go to the report, and the document is refused at the end when there is one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/policy.h"
#include "collector/policy_report.h"
#include "collector/policy_yaml.h"

/* spec.lists[]: names for groups of calls. */
struct policy_call_list {
    const char *name; /* of the document */
    bool is_of_syscalls;
    const struct policy_node *values; /* NULL: none, or at fault */
};

/* What is known while one document is read. */
struct policy_reading {
    struct policy_report *report;
    struct policy *policy;
    struct policy_call_list *lists;
    size_t list_count;
};

/* A value and the way to it; on the stack of who reads it. */
struct policy_at {
    struct policy_reading *reading;
    const struct policy_at *up; /* NULL: the document */
    const char *key;            /* NULL: item `index` of a list */
    size_t index;
    struct policy_place key_place; /* of the key; of the value in a list */
    const struct policy_node *node;
};

void policy_fail(const struct policy_at *at, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* At the key, not at the value. */
void policy_fail_key(const struct policy_at *at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Of `name` below `at`, which is not there. */
void policy_fail_missing(const struct policy_at *at, const char *name, const char *why);
void policy_fail_memory(const struct policy_at *at);

/* A key that a map may have. Its value is read when it is there and not null. */
struct policy_field {
    const char *name;
    void (*read)(const struct policy_at *at, void *out); /* NULL: podkin cannot do it */
    const char *reason;                                  /* why it cannot */
    bool is_required;
};

/* Reads the fields in the order of the table, whatever the order in the file; keys that are in no field are faults. */
void policy_read_map(
    const struct policy_at *at, const struct policy_field *fields, size_t field_count, void *out);
/* A list of at most `max` items. */
void policy_read_list(
    const struct policy_at *at, size_t max, void (*read)(const struct policy_at *at, void *out), void *out);

/* False: it was none, which is told. */
bool policy_read_bool(const struct policy_at *at, bool *ret);
bool policy_read_integer(const struct policy_at *at, int64_t low, int64_t high, int64_t *ret);
/* The bytes of a scalar, borrowed: numbers and booleans are taken as they are written. Not empty, at most `max` bytes, no NUL. */
bool policy_read_word(const struct policy_at *at, size_t max, const char **ret);
/* Owned copies of the same. */
void policy_take_text(const struct policy_at *at, size_t max, char **ret);
void policy_take_string(const struct policy_at *at, size_t max, struct policy_string *ret);

/* Which of the names it is; the fault lists them. Names end with NULL. False: none. */
bool policy_read_choice(const struct policy_at *at, const char *const *names, size_t *ret);

/* One more item of `size` bytes at the end of an array, zeroed. NULL: no memory, which is told. */
void *policy_grow(const struct policy_at *at, void *items_pointer, size_t *count, size_t size);
