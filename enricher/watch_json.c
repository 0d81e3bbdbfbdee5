/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/watch_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/text.h"
#include "enricher/pod.h"
#include "enricher/pod_json_read.h"
#include "enricher/pod_json_scan.h"

#define EVENT_MAX  (POD_JSON_MAX_POD + 4096u)
#define KEEP_BYTES (256u << 10) /* a larger buffer is given back after its event */

struct watch_json {
    watch_json_fn *fn;
    void *arg;
    struct text event;
    uint64_t offset; /* of the byte that is looked at */
    size_t depth, values;
    bool in_string, escaped, oversize;
    char error[96];
};

static int fail(struct watch_json *parser, uint64_t offset, const char *what)
{
    (void)snprintf(parser->error, sizeof(parser->error), "byte %llu: %s", (unsigned long long)offset, what);
    return -EINVAL;
}

/* ---- one event ---- */

static int give(struct watch_json *parser, const struct watch_event *event)
{
    return parser->fn(parser->arg, event) ? -ECANCELED : 0;
}

static int give_unreadable(struct watch_json *parser)
{
    return give(parser, &(struct watch_event){.type = WATCH_UNREADABLE});
}

static int give_pod(struct watch_json *parser, struct watch_event *event, const json_t *object)
{
    const char *kind = pod_json_string(object, "kind");
    struct pod pod;
    int r = !kind || strcmp(kind, "Pod") == 0 ? pod_json_read(object, &pod) : -EINVAL;

    if (r == -EINVAL) {
        event->type = WATCH_UNREADABLE; /* its version counts: it would come again otherwise */
        return give(parser, event);
    }
    if (r < 0)
        return r;
    event->pod = &pod;
    r = give(parser, event);
    pod_clear(&pod);
    return r;
}

static int give_error(struct watch_json *parser, const json_t *status)
{
    const json_t *code = json_object_get(status, "code");
    const char *reason = pod_json_string(status, "reason"), *message = pod_json_string(status, "message");
    json_int_t number = json_is_integer(code) ? json_integer_value(code) : 0;

    return give(parser, &(struct watch_event){
                            .type = WATCH_ERROR,
                            .code = number > 0 && number < 1000 ? (int)number : 0,
                            .reason = reason ? reason : "",
                            .message = message ? message : "",
                        });
}

static int read_event(struct watch_json *parser, const json_t *root)
{
    const char *type = pod_json_string(root, "type");
    const json_t *object = json_object_get(root, "object");
    const json_t *metadata = json_object_get(object, "metadata");
    const char *mark = pod_json_string(json_object_get(metadata, "annotations"), "k8s.io/initial-events-end");
    struct watch_event event = {.version = pod_json_string(metadata, "resourceVersion")};

    if (!type || !json_is_object(object))
        return fail(parser, parser->offset, "not a watch event: no type or no object");
    if (strcmp(type, "ERROR") == 0)
        return give_error(parser, object);
    if (strcmp(type, "BOOKMARK") == 0) {
        event.type = WATCH_BOOKMARK;
        event.initial_end = mark && strcmp(mark, "true") == 0;
        return give(parser, &event);
    }
    if (strcmp(type, "ADDED") == 0)
        event.type = WATCH_ADDED;
    else if (strcmp(type, "MODIFIED") == 0)
        event.type = WATCH_MODIFIED;
    else if (strcmp(type, "DELETED") == 0)
        event.type = WATCH_DELETED;
    else
        return give_unreadable(parser);
    return give_pod(parser, &event, object);
}

static int end_event(struct watch_json *parser)
{
    json_error_t error;
    json_t *root;
    int r;

    if (parser->oversize)
        return give_unreadable(parser);
    root = json_loadb(parser->event.data, parser->event.size, JSON_ALLOW_NUL, &error);
    if (!root) {
        switch (json_error_code(&error)) {
        case json_error_out_of_memory:
            return -ENOMEM;
        case json_error_null_byte_in_key: /* JSON, but of no Pod: the others still count */
        case json_error_numeric_overflow:
        case json_error_stack_overflow:
            return give_unreadable(parser);
        default:
            return fail(parser, parser->offset, "not valid JSON");
        }
    }
    r = read_event(parser, root);
    json_decref(root);
    return r;
}

/* ---- cutting ---- */

static int keep(struct watch_json *parser, const char *data, size_t size)
{
    if (size == 0 || parser->oversize)
        return 0;
    if (parser->event.size + size > EVENT_MAX || parser->values > POD_JSON_MAX_VALUES) {
        parser->oversize = true;
        text_deinit(&parser->event);
        return 0;
    }
    text_append(&parser->event, data, size);
    return parser->event.failed ? -ENOMEM : 0;
}

/* 1: this byte ends the event. 0, or -EINVAL. */
static int take_byte(struct watch_json *parser, char c)
{
    if (parser->in_string) {
        if (parser->escaped)
            parser->escaped = false;
        else if (c == '\\')
            parser->escaped = true;
        else if (c == '"')
            parser->in_string = false;
        return 0;
    }
    switch (c) {
    case '"':
        parser->in_string = true;
        return 0;
    case '{':
    case '[':
        parser->values++;
        if (++parser->depth > POD_JSON_MAX_DEPTH)
            return fail(parser, parser->offset, "nested too deep");
        return 0;
    case '}':
    case ']': /* which of the two it should be is the parser's to say */
        return --parser->depth == 0;
    case ',':
        parser->values++;
        return 0;
    default:
        return 0;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* From data[at] to the end of the event, or of the data. Where that was, or negative errno. */
static ssize_t push_event(struct watch_json *parser, const char *data, size_t size, size_t at)
{
    size_t begin = at;
    int r = 0;

    while (at < size && r == 0) {
        r = take_byte(parser, data[at++]);
        parser->offset++;
    }
    if (r >= 0 && keep(parser, data + begin, at - begin) < 0)
        return -ENOMEM;
    if (r == 1) {
        r = end_event(parser);
        if (parser->event.capacity > KEEP_BYTES)
            text_deinit(&parser->event);
        else
            text_clear(&parser->event);
        parser->oversize = false;
        parser->values = 0;
    }
    return r < 0 ? r : (ssize_t)at;
}

int watch_json_push(struct watch_json *parser, const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t next;

        if (parser->depth == 0 && is_blank(data[at])) {
            parser->offset++;
            at++;
            continue;
        }
        if (parser->depth == 0 && data[at] != '{')
            return fail(parser, parser->offset, "not a watch event: expected '{'");
        next = push_event(parser, data, size, at);
        if (next == -ENOMEM)
            (void)fail(parser, parser->offset, "out of memory");
        if (next < 0)
            return (int)next;
        at = (size_t)next;
    }
    return 0;
}

bool watch_json_is_between(const struct watch_json *parser)
{
    return parser->depth == 0;
}

const char *watch_json_error(const struct watch_json *parser)
{
    return parser->error;
}

int watch_json_new(struct watch_json **ret, watch_json_fn *fn, void *arg)
{
    struct watch_json *parser = calloc(1, sizeof(*parser));

    if (!parser)
        return -ENOMEM;
    parser->fn = fn;
    parser->arg = arg;
    *ret = parser;
    return 0;
}

struct watch_json *watch_json_free(struct watch_json *parser)
{
    if (parser)
        text_deinit(&parser->event);
    free(parser);
    return NULL;
}
