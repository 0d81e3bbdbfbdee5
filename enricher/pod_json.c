/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "enricher/pod.h"
#include "enricher/pod_json_read.h"
#include "enricher/pod_json_scan.h"

struct pod_json {
    struct pod_json_scan scan;
    pod_json_fn *fn;
    void *arg;
    size_t skipped;
    char version[POD_JSON_MAX_VERSION];
    bool partial;
};

static int fail_memory(struct pod_json *parser)
{
    (void)pod_json_scan_fail(&parser->scan, parser->scan.offset, "out of memory");
    return -ENOMEM;
}

/* jansson's own text quotes the input, which may hold anything: our words instead. */
static const char *describe(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "ends too early";
    case json_error_invalid_utf8:
        return "invalid UTF-8";
    case json_error_end_of_input_expected:
        return "expected ',' or the end";
    default:
        return "not valid JSON";
    }
}

/* JSON all right, but with what no Pod has: a NUL in a key, a number without end. One such Pod must not hide
 * the others. */
static bool is_unreadable(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);

    return code == json_error_null_byte_in_key || code == json_error_numeric_overflow ||
           code == json_error_stack_overflow;
}

/* Printable ASCII, cut. */
static void set_plain(char *to, size_t size, const char *from)
{
    size_t i = 0;

    for (; from[i] && i + 1 < size; i++)
        to[i] = (char)(from[i] >= ' ' && from[i] <= '~' ? from[i] : '?');
    to[i] = '\0';
}

static int refuse_kind(struct pod_json *parser, const json_t *head, const char *kind)
{
    const char *message = pod_json_string(head, "message");
    char plain[80];

    if (kind && strcmp(kind, "Status") == 0 && message) {
        set_plain(plain, sizeof(plain), message);
        return pod_json_scan_fail(&parser->scan, 0, "the answer is a Status: %s", plain);
    }
    set_plain(plain, sizeof(plain), kind ? kind : "");
    return pod_json_scan_fail(&parser->scan, 0, "expected the kind PodList, List or Pod, not \"%s\"", plain);
}

static int parse_head(struct pod_json *parser, const struct text *head, json_t **ret)
{
    json_error_t error;

    *ret = json_loadb(head->data, head->size, JSON_ALLOW_NUL, &error);
    if (*ret)
        return 0;
    if (json_error_code(&error) == json_error_out_of_memory)
        return fail_memory(parser);
    return pod_json_scan_fail(&parser->scan,
        pod_json_scan_head_offset(&parser->scan, (uint64_t)(error.position < 0 ? 0 : error.position)), "%s",
        describe(&error));
}

static bool is_list(const char *kind)
{
    return !kind || strcmp(kind, "PodList") == 0 || strcmp(kind, "List") == 0;
}

/* When the kind stands before the items, a list of something else is refused before any of it is taken for a
 * Pod. */
static int on_items(struct pod_json *parser, const struct text *so_far)
{
    struct text head = {0};
    json_t *object = NULL;
    const char *kind;
    int r;

    text_append(&head, so_far->data, so_far->size);
    text_append_string(&head, "]}");
    r = head.failed ? fail_memory(parser) : parse_head(parser, &head, &object);
    text_deinit(&head);
    if (r < 0)
        return r;
    kind = pod_json_string(object, "kind");
    if (!is_list(kind))
        r = refuse_kind(parser, object, kind);
    json_decref(object);
    return r;
}

static bool is_pod(const json_t *object)
{
    const char *kind = pod_json_string(object, "kind"), *version = pod_json_string(object, "apiVersion");

    return json_is_object(object) && (!kind || strcmp(kind, "Pod") == 0) &&
           (!version || strcmp(version, "v1") == 0);
}

static int give(struct pod_json *parser, const json_t *object)
{
    struct pod pod;
    int r = is_pod(object) ? pod_json_read(object, &pod) : -EINVAL;

    if (r == -EINVAL) {
        parser->skipped++;
        return 0;
    }
    if (r < 0)
        return fail_memory(parser);
    parser->fn(parser->arg, &pod);
    pod_clear(&pod);
    return 0;
}

static int on_item(struct pod_json *parser, const struct text *item)
{
    json_error_t error;
    json_t *object = json_loadb(item->data, item->size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    int r;

    if (object) {
        r = give(parser, object);
        json_decref(object);
        return r;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return fail_memory(parser);
    if (is_unreadable(&error)) {
        parser->skipped++;
        return 0;
    }
    return pod_json_scan_fail(&parser->scan,
        parser->scan.item_offset + (uint64_t)(error.position < 0 ? 0 : error.position), "%s",
        describe(&error));
}

static int on_part(void *arg, enum pod_json_part part, const struct text *data)
{
    struct pod_json *parser = arg;

    switch (part) {
    case POD_JSON_ITEMS:
        return on_items(parser, data);
    case POD_JSON_ITEM:
        return on_item(parser, data);
    case POD_JSON_OVERSIZE:
        parser->skipped++;
        return 0;
    }
    return 0;
}

int pod_json_new(struct pod_json **ret, pod_json_fn *fn, void *arg)
{
    struct pod_json *parser = calloc(1, sizeof(*parser));

    if (!parser)
        return -ENOMEM;
    parser->fn = fn;
    parser->arg = arg;
    pod_json_scan_init(&parser->scan, on_part, parser);
    *ret = parser;
    return 0;
}

struct pod_json *pod_json_free(struct pod_json *parser)
{
    if (parser)
        pod_json_scan_deinit(&parser->scan);
    free(parser);
    return NULL;
}

int pod_json_push(struct pod_json *parser, const char *data, size_t size)
{
    int r = pod_json_scan_push(&parser->scan, data, size);

    return r == -ENOMEM ? fail_memory(parser) : r;
}

/* A version that is too long is none: a cut one would be another. */
static void keep_version(struct pod_json *parser, const json_t *head)
{
    const json_t *metadata = json_object_get(head, "metadata");
    const char *version = pod_json_string(metadata, "resourceVersion");
    const char *rest = pod_json_string(metadata, "continue");

    if (version && strlen(version) < sizeof(parser->version))
        (void)snprintf(parser->version, sizeof(parser->version), "%s", version);
    parser->partial = rest && *rest;
}

int pod_json_finish(struct pod_json *parser)
{
    json_t *head = NULL, *items;
    const char *kind;
    int r = pod_json_scan_finish(&parser->scan);

    if (r == 0)
        r = parse_head(parser, &parser->scan.head, &head);
    if (r < 0)
        return r;
    kind = pod_json_string(head, "kind");
    items = json_object_get(head, "items");
    if (kind && strcmp(kind, "Pod") == 0 && !items)
        r = give(parser, head);
    else if (!is_list(kind) || (!kind && !items))
        r = refuse_kind(parser, head, kind);
    else if (!parser->scan.items_seen && items && !json_is_null(items)) /* Go writes null for none */
        r = pod_json_scan_fail(&parser->scan, 0, "expected an array as \"items\"");
    keep_version(parser, head);
    json_decref(head);
    return r;
}

const char *pod_json_error(const struct pod_json *parser)
{
    return parser->scan.error;
}

const char *pod_json_version(const struct pod_json *parser)
{
    return parser->version;
}

bool pod_json_is_partial(const struct pod_json *parser)
{
    return parser->partial;
}

size_t pod_json_skipped(const struct pod_json *parser)
{
    return parser->skipped;
}
