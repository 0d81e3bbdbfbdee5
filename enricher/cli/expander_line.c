// SPDX-License-Identifier: Apache-2.0
/* One normalised event → its full line. */
#include <string.h>
#include "enricher/cli/expander.h"

static void append_slice(struct text *out, struct slice slice)
{
    if (slice.size)
        text_append(out, slice.data, slice.size);
}

/* Behind a comma, unless it is the first of its object or empty. */
static void append_members(struct text *out, struct slice members)
{
    if (!members.size)
        return;
    if (out->size && out->data[out->size - 1] != '{')
        text_append_char(out, ',');
    append_slice(out, members);
}

/* Members with another number in them; none: the one that they have. */
static void append_with_number(
    struct text *out, const struct expander_definition *definition, struct slice number)
{
    struct slice members = definition->members;

    if (!number.size || definition->number_at == definition->number_end) {
        append_members(out, members);
        return;
    }
    append_members(out, (struct slice){members.data, definition->number_at});
    append_slice(out, number);
    append_slice(
        out, (struct slice){members.data + definition->number_end, members.size - definition->number_end});
}

static void append_process(struct text *out, const struct expander_definition *process, struct slice tid)
{
    text_append_char(out, '{');
    append_with_number(out, process, tid);
    if (process->image)
        append_members(out, process->image->members);
    if (process->container)
        append_with_number(out, process->container, process->ns_pid);
    append_members(out, process->behind);
    text_append_char(out, '}');
}

/* The value of "process" or "parent": by number, or written out. */
static enum expander_result add_process(struct expander *expander, struct slice value)
{
    const struct expander_definition *process;
    struct slice key, tid = {0};
    struct json_pull json;
    int64_t number = 0, ignored;
    bool by_number = false;

    json_init(&json, value.data, value.size);
    json_object_begin(&json);
    while (json_object_next(&json, &key)) {
        const char *start = json.at;
        bool is_number = json_peek(&json) == JSON_NUMBER;

        if (SLICE_IS(key, "ref") && is_number)
            by_number = json_i64(&json, &number);
        else if (SLICE_IS(key, "tid") && is_number && json_i64(&json, &ignored))
            tid = (struct slice){start, (size_t)(json.at - start)};
        else
            (void)json_skip(&json);
    }
    if (json.failed)
        return expander_refuse(expander, "no JSON object");
    if (!by_number) {
        append_slice(&expander->line, value);
        return EXPANDER_LINE;
    }
    process = expander_find(expander, EXPANDER_PROCESS, number);
    if (!process)
        return EXPANDER_WRONG;
    append_process(&expander->line, process, tid);
    return EXPANDER_LINE;
}

/* The policy's names stand behind what the hook saw and did, in front of what is podkin's own. */
static bool is_in_front_of_policy(struct slice key)
{
    return SLICE_IS(key, "args") || SLICE_IS(key, "return") || SLICE_IS(key, "action") ||
           SLICE_IS(key, "kernel_stack_trace");
}

static enum expander_result add_member(struct expander *expander, struct json_pull *json, struct slice key,
    const struct expander_definition **hook)
{
    struct text *out = &expander->line;
    bool is_process = SLICE_IS(key, "process") || SLICE_IS(key, "parent");
    enum json_kind kind = json_peek(json);
    int64_t number = 0;
    struct slice value;

    if (SLICE_IS(key, "hook") && kind == JSON_NUMBER && !*hook) {
        (void)json_i64(json, &number);
        *hook = expander_find(expander, EXPANDER_HOOK, number);
        if (*hook)
            append_members(out, (*hook)->members);
        return *hook ? EXPANDER_LINE : EXPANDER_WRONG;
    }
    value = json_skip(json);
    if (json->failed)
        return expander_refuse(expander, "no JSON object");
    if (!is_process || kind != JSON_OBJECT) {
        append_members(out, (struct slice){key.data - 1, (size_t)(value.data + value.size - (key.data - 1))});
        return EXPANDER_LINE;
    }
    append_members(out, (struct slice){key.data - 1, key.size + 2});
    text_append_char(out, ':');
    return add_process(expander, value);
}

static enum expander_result add_body(struct expander *expander, struct slice body)
{
    const struct expander_definition *hook = NULL, *due = NULL; /* due: its policy is not written yet */
    struct json_pull json;
    struct slice key;

    json_init(&json, body.data, body.size);
    json_object_begin(&json);
    text_append_char(&expander->line, '{');
    while (json_object_next(&json, &key)) {
        const struct expander_definition *before = hook;
        enum expander_result result;

        if (due && !is_in_front_of_policy(key)) {
            append_members(&expander->line, due->behind);
            due = NULL;
        }
        result = add_member(expander, &json, key, &hook);
        if (result != EXPANDER_LINE)
            return result;
        if (hook != before)
            due = hook;
    }
    if (due)
        append_members(&expander->line, due->behind);
    text_append_char(&expander->line, '}');
    return json.failed ? expander_refuse(expander, "no JSON object") : EXPANDER_LINE;
}

/* Time, id, held_ms; the id gets the boot's part. */
static enum expander_result add_rest(struct expander *expander, struct slice rest)
{
    struct json_pull json = {.at = rest.data, .end = rest.data + rest.size, .first = true};
    struct slice key, id = {0};
    struct text *out = &expander->line;

    while (json_object_next(&json, &key)) {
        if (SLICE_IS(key, "id") && json_peek(&json) == JSON_STRING)
            id = json_string(&json);
        else
            (void)json_skip(&json);
    }
    if (!json_done(&json))
        return expander_refuse(expander, "no JSON object");
    if (id.data) {
        append_slice(out, (struct slice){rest.data, (size_t)(id.data - rest.data)});
        append_slice(out, (struct slice){expander->boot_id.data, expander->boot_id.size});
        rest = (struct slice){id.data, (size_t)(rest.data + rest.size - id.data)};
    }
    append_slice(out, rest);
    return out->failed ? expander_refuse(expander, "out of memory") : EXPANDER_LINE;
}

enum expander_result expander_compose(
    struct expander *expander, struct slice name, struct slice body, struct slice rest)
{
    struct text *out = &expander->line;
    enum expander_result result;

    out->failed = false;
    text_clear(out);
    text_append(out, "{\"", 2);
    append_slice(out, name);
    text_append(out, "\":", 2);
    result = add_body(expander, body);
    if (result != EXPANDER_LINE)
        return result;
    text_append_char(out, ',');
    append_slice(out, (struct slice){expander->node.data, expander->node.size});
    return add_rest(expander, rest);
}
