// SPDX-License-Identifier: Apache-2.0
/* What a stream of normalised lines has defined so far. */
#include "enricher/cli/expander.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "enricher/cli/line.h"
#include "enricher/emit_normalised.h"

#define CAPACITY_FIRST 1024

static const char *const kind_names[] = {"image", "container", "process", "hook"};

static void forget(struct expander *expander)
{
    while (expander->latest) {
        struct expander_definition *definition = expander->latest;

        expander->latest = definition->earlier;
        expander->definitions[definition->number] = NULL;
        free(definition);
    }
    expander->bytes = 0;
    expander->in_section = false;
}

void expander_init(struct expander *expander)
{
    *expander = (struct expander){0};
}

void expander_reset(struct expander *expander)
{
    forget(expander);
}

void expander_deinit(struct expander *expander)
{
    forget(expander);
    free(expander->definitions);
    text_deinit(&expander->node);
    text_deinit(&expander->boot_id);
    text_deinit(&expander->line);
    *expander = (struct expander){0};
}

enum expander_result expander_refuse(struct expander *expander, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang 14 does not follow va_start() here */
    (void)vsnprintf(expander->why, sizeof(expander->why), format, arguments);
    va_end(arguments);
    return EXPANDER_WRONG;
}

const struct expander_definition *expander_find(
    struct expander *expander, enum expander_kind kind, int64_t number)
{
    const struct expander_definition *definition =
        number > 0 && (uint64_t)number < expander->capacity ? expander->definitions[number] : NULL;

    if (definition && definition->kind == kind)
        return definition;
    (void)expander_refuse(
        expander, "%s %lld is not defined in this section", kind_names[kind], (long long)number);
    return NULL;
}

/* ---- sections --------------------------------------------------------------------------------------------------- */

static enum expander_result begin_section(struct expander *expander, struct json_pull *json)
{
    struct slice key, node = {0}, boot_id = {0};
    int64_t format = 0;

    forget(expander);
    json_object_begin(json);
    while (json_object_next(json, &key)) {
        if (SLICE_IS(key, "format"))
            (void)json_i64(json, &format);
        else if (SLICE_IS(key, "node_name") && json_peek(json) == JSON_STRING)
            node = json_string(json);
        else if (SLICE_IS(key, "boot_id") && json_peek(json) == JSON_STRING)
            boot_id = json_string(json);
        else
            (void)json_skip(json);
    }
    if (json->failed || !node.data || !boot_id.data)
        return expander_refuse(expander, "the begin of a section without format, node_name and boot_id");
    if (format != NORMALISED_FORMAT)
        return expander_refuse(
            expander, "a section of format %lld, expected %d", (long long)format, NORMALISED_FORMAT);
    text_clear(&expander->node);
    text_append_string(&expander->node, "\"node_name\":\"");
    text_append(&expander->node, node.data, node.size);
    text_append_string(&expander->node, "\",");
    text_clear(&expander->boot_id);
    text_append(&expander->boot_id, boot_id.data, boot_id.size);
    text_append_char(&expander->boot_id, '-');
    expander->in_section = true;
    return EXPANDER_NOTHING;
}

/* ---- definitions ------------------------------------------------------------------------------------------------- */

/* What a definition's line says. */
struct said {
    int64_t number, image, container, ns_pid; /* -1: not said */
    struct slice members, behind, ns_pid_text;
};

static struct slice inner(struct slice object)
{
    return (struct slice){object.data + 1, object.size - 2};
}

static void read_members(struct json_pull *json, struct slice *ret)
{
    bool is_object = json_peek(json) == JSON_OBJECT;
    struct slice value = json_skip(json);

    if (is_object && value.data)
        *ret = inner(value);
}

static void read_number(struct json_pull *json, int64_t *ret, struct slice *ret_text)
{
    bool is_number = json_peek(json) == JSON_NUMBER;
    const char *start = json->at;

    if (!is_number)
        (void)json_skip(json);
    else if (json_i64(json, ret) && ret_text)
        *ret_text = (struct slice){start, (size_t)(json->at - start)};
}

static bool read_said(struct json_pull *json, struct said *ret)
{
    struct slice key;

    *ret = (struct said){-1, -1, -1, -1, {0}, {0}, {0}};
    json_object_begin(json);
    while (json_object_next(json, &key)) {
        if (SLICE_IS(key, "ref"))
            read_number(json, &ret->number, NULL);
        else if (SLICE_IS(key, "image"))
            read_number(json, &ret->image, NULL);
        else if (SLICE_IS(key, "container"))
            read_number(json, &ret->container, NULL);
        else if (SLICE_IS(key, "ns_pid"))
            read_number(json, &ret->ns_pid, &ret->ns_pid_text);
        else if (SLICE_IS(key, "members") || SLICE_IS(key, "function"))
            read_members(json, &ret->members);
        else if (SLICE_IS(key, "own") || SLICE_IS(key, "policy"))
            read_members(json, &ret->behind);
        else
            (void)json_skip(json);
    }
    return !json->failed && ret->number > 0 && ret->members.data;
}

/* The value of `key` among members. */
static struct slice find_member(struct slice members, const char *name)
{
    /* As an object's rest: in front of its first member. */
    struct json_pull json = {.at = members.data, .end = members.data + members.size + 1, .first = true};
    struct slice key;

    while (json_object_next(&json, &key)) {
        struct slice value = json_skip(&json);

        if (slice_is(key, name, strlen(name)))
            return value;
    }
    return (struct slice){0};
}

static struct slice find_in_object(struct slice object, const char *name)
{
    return object.size > 2 && object.data[0] == '{' ? find_member(inner(object), name) : (struct slice){0};
}

/* The number in the members that is not the same for all who name the definition. */
static struct slice find_number(enum expander_kind kind, struct slice members)
{
    if (kind == EXPANDER_PROCESS)
        return find_member(members, "tid");
    if (kind == EXPANDER_CONTAINER)
        return find_in_object(find_in_object(find_member(members, "pod"), "container"), "pid");
    return (struct slice){0};
}

static bool make_room(struct expander *expander, size_t number)
{
    size_t capacity = expander->capacity ? expander->capacity : CAPACITY_FIRST;
    struct expander_definition **definitions;

    while (capacity <= number)
        capacity *= 2;
    if (capacity == expander->capacity)
        return true;
    definitions = realloc(expander->definitions, capacity * sizeof(struct expander_definition *));
    if (!definitions)
        return false;
    memset(definitions + expander->capacity, 0,
        (capacity - expander->capacity) * sizeof(struct expander_definition *));
    expander->definitions = definitions;
    expander->capacity = capacity;
    return true;
}

static struct slice keep(char **to, struct slice what)
{
    struct slice kept = {*to, what.size};

    if (what.size)
        memcpy(*to, what.data, what.size);
    *to += what.size;
    return kept;
}

static enum expander_result take(struct expander *expander, enum expander_kind kind, const struct said *said,
    const struct expander_definition *image, const struct expander_definition *container)
{
    size_t bytes =
        sizeof(struct expander_definition) + said->members.size + said->behind.size + said->ns_pid_text.size;
    struct slice number = find_number(kind, said->members);
    struct expander_definition *definition = malloc(bytes);
    char *to;

    if (!definition)
        return expander_refuse(expander, "out of memory");
    *definition = (struct expander_definition){.earlier = expander->latest,
        .number = said->number,
        .kind = kind,
        .image = image,
        .container = container};
    to = definition->data;
    definition->number_at = number.data ? (size_t)(number.data - said->members.data) : said->members.size;
    definition->number_end = definition->number_at + number.size;
    definition->members = keep(&to, said->members);
    definition->behind = keep(&to, said->behind);
    definition->ns_pid = keep(&to, said->ns_pid_text);
    expander->definitions[said->number] = expander->latest = definition;
    expander->bytes += bytes;
    return EXPANDER_NOTHING;
}

static enum expander_result define(struct expander *expander, enum expander_kind kind, struct json_pull *json)
{
    const struct expander_definition *image = NULL, *container = NULL;
    struct said said;

    if (!expander->in_section)
        return expander_refuse(expander, "defines %s %s before a section begins",
            kind == EXPANDER_IMAGE ? "an" : "a", kind_names[kind]);
    if (!read_said(json, &said))
        return expander_refuse(expander, "a definition without ref and members");
    if (said.number >= EXPANDER_DEFINITIONS_MAX || expander->bytes > EXPANDER_BYTES_MAX)
        return expander_refuse(expander, "too much is defined in one section");
    if (!make_room(expander, (size_t)said.number))
        return expander_refuse(expander, "out of memory");
    if (expander->definitions[said.number])
        return expander_refuse(expander, "%lld is defined already", (long long)said.number);
    if (said.image >= 0 && !(image = expander_find(expander, EXPANDER_IMAGE, said.image)))
        return EXPANDER_WRONG;
    if (said.container >= 0 && !(container = expander_find(expander, EXPANDER_CONTAINER, said.container)))
        return EXPANDER_WRONG;
    return take(expander, kind, &said, image, container);
}

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

static const char define_prefix[] = "define_";

static int kind_of(struct slice key)
{
    const struct slice word = {key.data + sizeof(define_prefix) - 1, key.size - (sizeof(define_prefix) - 1)};

    for (int kind = EXPANDER_IMAGE; kind <= EXPANDER_HOOK; kind++) {
        if (slice_is(word, kind_names[kind], strlen(kind_names[kind])))
            return kind;
    }
    return -1;
}

/* Outside of a section most lines are full ones, or others', and need no closer look. */
static bool may_be_ours(struct slice line)
{
    static const char section[] = "{\"podkin_section\"", define[] = "{\"define_", ref[] = "\"ref\":";

    return slice_has_prefix(line, section) || slice_has_prefix(line, define) ||
           memmem(line.data, line.size, ref, sizeof(ref) - 1);
}

static bool names_by_number(struct slice body)
{
    return find_in_object(find_in_object(body, "process"), "ref").data ||
           find_in_object(find_in_object(body, "parent"), "ref").data;
}

static enum expander_result read_event(
    struct expander *expander, struct json_pull *json, struct slice name, struct slice *ret)
{
    struct slice body = json_skip(json), key, rest;
    enum expander_result result;

    if (json->failed)
        return expander_refuse(expander, "no JSON object");
    if (!json_object_next(json, &key) || SLICE_IS(key, "node_name"))
        return json->failed ? expander_refuse(expander, "no JSON object") : EXPANDER_AS_IS;
    if (!expander->in_section)
        return names_by_number(body) ? expander_refuse(expander, "names a process by number, but no section "
                                                                 "has begun: the file's beginning is missing")
                                     : EXPANDER_AS_IS;
    rest.data = key.data - 1;
    rest.size = (size_t)(json->end - rest.data);
    result = expander_compose(expander, name, body, rest);
    if (result == EXPANDER_LINE)
        *ret = (struct slice){expander->line.data, expander->line.size};
    return result;
}

enum expander_result expander_read(struct expander *expander, struct slice line, struct slice *ret)
{
    struct json_pull json;
    struct slice name;
    int kind;

    *ret = line;
    if (!expander->in_section && !may_be_ours(line))
        return EXPANDER_AS_IS;
    json_init(&json, line.data, line.size);
    if (!json_object_begin(&json) || !json_object_next(&json, &name))
        return json.failed ? expander_refuse(expander, "no JSON object") : EXPANDER_AS_IS;
    if (json_peek(&json) != JSON_OBJECT)
        return EXPANDER_AS_IS;
    if (SLICE_IS(name, "podkin_section"))
        return begin_section(expander, &json);
    if (!slice_has_prefix(name, define_prefix))
        return read_event(expander, &json, name, ret);
    kind = kind_of(name);
    return kind < 0 ? expander_refuse(expander, "defines what is not known here: %.*s",
                          (int)(name.size < 40 ? name.size : 40), name.data)
                    : define(expander, (enum expander_kind)kind, &json);
}
