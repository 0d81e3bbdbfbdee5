/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_json_scan.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A buffer above this is given back after its item: one huge Pod must not cost its size for ever. */
#define KEEP_BYTES (256u << 10)

void pod_json_scan_init(struct pod_json_scan *scan, pod_json_part_fn *fn, void *arg)
{
    *scan = (struct pod_json_scan){.fn = fn, .arg = arg};
}

void pod_json_scan_deinit(struct pod_json_scan *scan)
{
    text_deinit(&scan->head);
    text_deinit(&scan->item);
}

int pod_json_scan_fail(struct pod_json_scan *scan, uint64_t offset, const char *format, ...)
{
    int n = snprintf(scan->error, sizeof(scan->error), "byte %llu: ", (unsigned long long)offset);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(scan->error + n, sizeof(scan->error) - (size_t)n, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

uint64_t pod_json_scan_head_offset(const struct pod_json_scan *scan, uint64_t position)
{
    return position > scan->elided_at ? position + scan->elided : position;
}

/* Keeps bytes of the current part. */
static int keep(struct pod_json_scan *scan, const char *data, size_t size)
{
    struct text *text = scan->in_items ? &scan->item : &scan->head;

    if (size == 0 || (scan->in_items && scan->item_oversize))
        return 0;
    if (text->size + size > POD_JSON_MAX_POD) {
        if (!scan->in_items)
            return pod_json_scan_fail(
                scan, scan->offset, "more than %u bytes outside of \"items\"", POD_JSON_MAX_POD);
        scan->item_oversize = true;
        text_deinit(text);
        return 0;
    }
    text_append(text, data, size);
    return text->failed ? -ENOMEM : 0;
}

static void begin_item(struct pod_json_scan *scan)
{
    text_clear(&scan->item);
    scan->item_begun = scan->item_oversize = false;
    scan->item_offset = scan->offset + 1;
    scan->values = 0;
}

static int end_item(struct pod_json_scan *scan, char c)
{
    int r;

    if (!scan->item_begun) {
        if (c == ']' && !scan->any_item)
            return 0;
        return pod_json_scan_fail(scan, scan->offset, "expected a Pod before '%c'", c);
    }
    scan->any_item = true;
    r = scan->fn(scan->arg, scan->item_oversize ? POD_JSON_OVERSIZE : POD_JSON_ITEM, &scan->item);
    if (scan->item.capacity > KEEP_BYTES)
        text_deinit(&scan->item);
    return r;
}

static int open_bracket(struct pod_json_scan *scan, char c)
{
    if (scan->depth == 0 && c != '{')
        return pod_json_scan_fail(scan, scan->offset, "expected a JSON object, which begins with '{'");
    if (scan->depth >= POD_JSON_MAX_DEPTH && !scan->in_items)
        return pod_json_scan_fail(scan, scan->offset, "nested deeper than %d", POD_JSON_MAX_DEPTH);
    if (scan->depth >= POD_JSON_MAX_DEPTH)
        scan->item_oversize = true;
    else if (c == '[')
        scan->is_array |= UINT64_C(1) << scan->depth;
    else
        scan->is_array &= ~(UINT64_C(1) << scan->depth);
    scan->depth++;
    return 0;
}

static int close_bracket(struct pod_json_scan *scan, char c)
{
    scan->depth--;
    if (scan->depth < POD_JSON_MAX_DEPTH) {
        char expected = scan->is_array >> scan->depth & 1 ? ']' : '}';

        if (c != expected)
            return pod_json_scan_fail(scan, scan->offset, "expected '%c', not '%c'", expected, c);
    }
    if (scan->depth == 0)
        scan->done = true;
    return 0;
}

static bool is_items(const struct pod_json_scan *scan)
{
    return scan->key_size == 5 && memcmp(scan->key, "items", 5) == 0;
}

/* A byte of structure at depth 1, among the keys of the document. */
static void follow_keys(struct pod_json_scan *scan, char c)
{
    if (c == ',')
        scan->expect = POD_JSON_KEY;
    else if (c == ':' && scan->expect == POD_JSON_COLON)
        scan->expect = POD_JSON_VALUE;
}

static void begin_string(struct pod_json_scan *scan)
{
    scan->in_string = true;
    if (scan->depth == 1 && scan->expect == POD_JSON_KEY) {
        scan->in_key = true;
        scan->key_size = 0;
    }
}

static void end_string(struct pod_json_scan *scan)
{
    scan->in_string = false;
    if (scan->in_key) {
        scan->in_key = false;
        scan->expect = POD_JSON_COLON;
    }
}

/* Takes string bytes up to its end or the end of the data; returns how many. */
static size_t scan_string(struct pod_json_scan *scan, const char *data, size_t size)
{
    size_t i = 0;

    while (i < size && scan->in_string) {
        char c = data[i++];

        if (scan->escaped)
            scan->escaped = false;
        else if (c == '\\')
            scan->escaped = true;
        else if (c == '"')
            end_string(scan);
        /* Room for one more than "items" has, so that a longer key is not it. */
        if (scan->in_key && scan->key_size < sizeof(scan->key))
            scan->key[scan->key_size++] = c;
    }
    return i;
}

static int begin_items(struct pod_json_scan *scan)
{
    int r = scan->items_seen ? pod_json_scan_fail(scan, scan->offset, "a second \"items\"")
                             : scan->fn(scan->arg, POD_JSON_ITEMS, &scan->head);

    scan->in_items = scan->items_seen = true;
    scan->any_item = false;
    scan->elided_at = scan->head.size;
    begin_item(scan);
    return r;
}

/* What a byte outside of strings does to the state. `data[*run .. i)` is not kept yet; the byte itself goes
 * to the part that is current after. */
static int scan_structure(struct pod_json_scan *scan, const char *data, size_t i, size_t *run)
{
    char c = data[i];
    bool between = scan->in_items && scan->depth == 2;
    int r = 0;

    if (between && (c == ',' || c == ']')) {
        r = keep(scan, data + *run, i - *run);
        if (r == 0)
            r = end_item(scan, c);
        *run = i + (c == ',');
        if (r == 0 && c == ']') {
            scan->in_items = false;
            scan->elided = scan->offset - scan->elided_at;
            return close_bracket(scan, c);
        }
        begin_item(scan);
        return r;
    }
    if (scan->in_items)
        scan->item_begun = true;
    if (scan->in_items && (c == ',' || c == '[' || c == '{') && ++scan->values > POD_JSON_MAX_VALUES)
        scan->item_oversize = true;
    if (c == '"' && scan->depth > 0) {
        begin_string(scan);
    } else if (c == '{' || c == '[') {
        bool items = scan->depth == 1 && c == '[' && scan->expect == POD_JSON_VALUE && is_items(scan);

        r = open_bracket(scan, c);
        if (r == 0 && items) {
            r = keep(scan, data + *run, i + 1 - *run);
            *run = i + 1;
            if (r == 0)
                r = begin_items(scan);
        }
    } else if ((c == '}' || c == ']') && scan->depth > 0) {
        r = close_bracket(scan, c);
    } else if (scan->depth == 0) {
        r = pod_json_scan_fail(scan, scan->offset, "expected a JSON object, which begins with '{'");
    } else if (scan->depth == 1) {
        follow_keys(scan, c);
    }
    return r;
}

int pod_json_scan_push(struct pod_json_scan *scan, const char *data, size_t size)
{
    uint64_t base = scan->offset;
    size_t run = 0;
    int r = 0;

    for (size_t i = 0; i < size && r == 0;) {
        char c = data[i];

        scan->offset = base + i;
        if (scan->in_string) {
            i += scan_string(scan, data + i, size - i);
            continue;
        }
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            if (scan->done)
                return pod_json_scan_fail(scan, scan->offset, "expected the end of the document");
            r = scan_structure(scan, data, i, &run);
        }
        i++;
    }
    if (r == 0)
        r = keep(scan, data + run, size - run);
    if (r == 0)
        scan->offset = base + size;
    return r;
}

int pod_json_scan_finish(struct pod_json_scan *scan)
{
    if (scan->done)
        return 0;
    if (scan->depth == 0)
        return pod_json_scan_fail(scan, scan->offset, "empty: expected a JSON object");
    if (scan->in_string)
        return pod_json_scan_fail(scan, scan->offset, "ends within a string");
    return pod_json_scan_fail(scan, scan->offset, "ends too early: expected '%c'",
        scan->depth <= POD_JSON_MAX_DEPTH && (scan->is_array >> (scan->depth - 1) & 1) ? ']' : '}');
}
