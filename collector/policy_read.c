/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/policy_number.h"
#include "common/cleanup.h"
#include "common/text.h"

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void append_path(const struct policy_at *at, struct text *text)
{
    if (at->up)
        append_path(at->up, text);
    if (at->key) {
        if (text->size > 0)
            text_append_char(text, '.');
        text_append(text, at->key, strnlen(at->key, 80));
    } else if (at->up) {
        text_append_format(text, "[%zu]", at->index);
    }
}

static void fail_at(const struct policy_at *at, struct policy_place place, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void fail_at(const struct policy_at *at, struct policy_place place, const char *format, va_list args)
{
    CLEANUP_FREE char *message = NULL;
    struct text path = {0};

    append_path(at, &path);
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    if (!message || path.failed)
        policy_fail_memory(at);
    else
        policy_report_add(at->reading->report, place, text_terminate(&path), "%s", message);
    text_deinit(&path);
}

void policy_fail(const struct policy_at *at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fail_at(at, at->node ? at->node->place : at->key_place, format, args);
    va_end(args);
}

void policy_fail_key(const struct policy_at *at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fail_at(at, at->key_place, format, args);
    va_end(args);
}

void policy_fail_missing(const struct policy_at *at, const char *name, const char *why)
{
    const struct policy_at missing = {
        .reading = at->reading, .up = at, .key = name, .key_place = at->node->place};

    policy_fail_key(&missing, "missing: %s", why);
}

void policy_fail_memory(const struct policy_at *at)
{
    at->reading->report->out_of_memory = true;
}

/* ---- maps and lists ---------------------------------------------------------------------------------------------- */

static const char *kind_words(const struct policy_node *node)
{
    switch (node->kind) {
    case POLICY_NODE_NULL:
        return "nothing";
    case POLICY_NODE_SCALAR:
        return "a single value";
    case POLICY_NODE_LIST:
        return "a list";
    case POLICY_NODE_MAP:
        return "keys and values";
    }
    return "?";
}

/* F3: what asks for nothing needs no refusal. */
static bool asks_for_nothing(const struct policy_node *node)
{
    if (node->kind == POLICY_NODE_NULL)
        return true;
    if (node->kind == POLICY_NODE_SCALAR)
        return node->size == 0 || strcmp(node->text, "false") == 0 || strcmp(node->text, "0") == 0;
    return node->count == 0;
}

static const struct policy_field *find_field(
    const struct policy_field *fields, size_t field_count, const char *name)
{
    for (size_t i = 0; i < field_count; i++) {
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

static void fail_unknown(const struct policy_at *at, const struct policy_field *fields, size_t field_count)
{
    struct text known = {0};

    for (size_t i = 0; i < field_count; i++) {
        if (!fields[i].read)
            continue;
        text_append_string(&known, known.size > 0 ? ", " : "");
        text_append_string(&known, fields[i].name);
    }
    policy_fail_key(at, "unknown key: expected one of %s", text_terminate(&known));
    text_deinit(&known);
}

/* Keys that nobody reads. */
static void check_keys(const struct policy_at *at, const struct policy_field *fields, size_t field_count)
{
    for (size_t i = 0; i < at->node->count; i++) {
        const struct policy_entry *entry = &at->node->entries[i];
        const struct policy_field *field = find_field(fields, field_count, entry->key);
        const struct policy_at below = {.reading = at->reading,
            .up = at,
            .key = entry->key,
            .key_place = entry->key_place,
            .node = entry->value};

        if (!field)
            fail_unknown(&below, fields, field_count);
        else if (!field->read && !asks_for_nothing(entry->value))
            policy_fail_key(&below, "not supported: %s", field->reason);
    }
}

void policy_read_map(
    const struct policy_at *at, const struct policy_field *fields, size_t field_count, void *out)
{
    if (at->node->kind != POLICY_NODE_MAP) {
        policy_fail(at, "expected keys and values, not %s", kind_words(at->node));
        return;
    }
    check_keys(at, fields, field_count);
    for (size_t i = 0; i < field_count; i++) {
        const struct policy_entry *entry = policy_node_find(at->node, fields[i].name);
        struct policy_at below = {.reading = at->reading, .up = at, .key = fields[i].name};

        if (!entry || entry->value->kind == POLICY_NODE_NULL) {
            if (fields[i].is_required)
                policy_fail_missing(at, fields[i].name, "it is required");
        } else if (fields[i].read) {
            below.key_place = entry->key_place;
            below.node = entry->value;
            fields[i].read(&below, out);
        }
    }
}

void policy_read_list(
    const struct policy_at *at, size_t max, void (*read)(const struct policy_at *at, void *out), void *out)
{
    if (at->node->kind != POLICY_NODE_LIST) {
        policy_fail(at, "expected a list, not %s", kind_words(at->node));
        return;
    }
    if (at->node->count > max) {
        policy_fail(at, "%zu items: expected at most %zu", at->node->count, max);
        return;
    }
    for (size_t i = 0; i < at->node->count; i++) {
        const struct policy_node *item = at->node->entries[i].value;
        const struct policy_at below = {
            .reading = at->reading, .up = at, .index = i, .key_place = item->place, .node = item};

        if (item->kind == POLICY_NODE_NULL)
            policy_fail(&below, "there is nothing: expected an item of the list");
        else
            read(&below, out);
    }
}

/* ---- single values ----------------------------------------------------------------------------------------------- */

bool policy_read_bool(const struct policy_at *at, bool *ret)
{
    static const char *const words[] = {"false", "true", "False", "True", "FALSE", "TRUE"};

    for (size_t i = 0; at->node->kind == POLICY_NODE_SCALAR && i < 6; i++) {
        if (at->node->is_quoted || strcmp(at->node->text, words[i]) != 0)
            continue;
        *ret = i & 1;
        return true;
    }
    if (at->node->kind == POLICY_NODE_SCALAR)
        policy_fail(at, "\"%.60s\": expected true or false%s", at->node->text,
            at->node->is_quoted ? " without quotes" : "");
    else
        policy_fail(at, "expected true or false, not %s", kind_words(at->node));
    return false;
}

bool policy_read_integer(const struct policy_at *at, int64_t low, int64_t high, int64_t *ret)
{
    uint64_t value = 0;

    if (at->node->kind != POLICY_NODE_SCALAR) {
        policy_fail(at, "expected a whole number, not %s", kind_words(at->node));
        return false;
    }
    if (at->node->is_quoted ||
        policy_parse_number(at->node->text, at->node->size, true, 64, &value) != POLICY_NUMBER_FINE ||
        (int64_t)value < low || (int64_t)value > high) {
        policy_fail(at, "\"%.60s\": expected a whole number from %lld to %lld%s", at->node->text,
            (long long)low, (long long)high, at->node->is_quoted ? ", without quotes" : "");
        return false;
    }
    *ret = (int64_t)value;
    return true;
}

bool policy_read_word(const struct policy_at *at, size_t max, const char **ret)
{
    const struct policy_node *node = at->node;
    const char *found = NULL;

    *ret = NULL;
    if (node->kind != POLICY_NODE_SCALAR) {
        policy_fail(at, "expected text, not %s", kind_words(node));
        return false;
    }
    if (node->size == 0)
        policy_fail(at, "expected text that is not empty");
    else if (node->size > max)
        policy_fail(at, "%zu bytes: expected at most %zu", node->size, max);
    else if (memchr(node->text, '\0', node->size))
        policy_fail(at, "expected text without NUL");
    else
        found = node->text;
    *ret = found;
    return found != NULL;
}

void policy_take_text(const struct policy_at *at, size_t max, char **ret)
{
    const char *word;

    if (!policy_read_word(at, max, &word))
        return;
    *ret = strdup(word);
    if (!*ret)
        policy_fail_memory(at);
}

void policy_take_string(const struct policy_at *at, size_t max, struct policy_string *ret)
{
    policy_take_text(at, max, &ret->data);
    ret->size = ret->data ? strlen(ret->data) : 0;
    ret->place = at->node->place;
}

bool policy_read_choice(const struct policy_at *at, const char *const *names, size_t *ret)
{
    struct text known = {0};
    const char *word;
    size_t i;

    if (!policy_read_word(at, SIZE_MAX, &word))
        return false;
    for (i = 0; names[i] && strcmp(names[i], word) != 0; i++) {
        text_append_string(&known, i > 0 ? ", " : "");
        text_append_string(&known, names[i]);
    }
    if (!names[i])
        policy_fail(
            at, i == 1 ? "\"%.60s\": expected %s" : "\"%.60s\" is none of %s", word, text_terminate(&known));
    text_deinit(&known);
    *ret = names[i] ? i : 0;
    return names[i] != NULL;
}

void *policy_grow(const struct policy_at *at, void *items_pointer, size_t *count, size_t size)
{
    char *items;

    memcpy(&items, items_pointer, sizeof(items)); /* a pointer to a pointer of any type */
    items = reallocarray(items, *count + 1, size);
    if (!items) {
        policy_fail_memory(at);
        return NULL;
    }
    memcpy(items_pointer, &items, sizeof(items));
    memset(items + *count * size, 0, size);
    return items + (*count)++ * size;
}
