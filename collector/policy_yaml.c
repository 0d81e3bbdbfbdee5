/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/cleanup.h"
#include "common/utf8.h"

struct anchor {
    char *name;
    struct policy_node *node;
    bool is_open; /* still being read: an alias of it would be in itself */
};

struct builder {
    yaml_parser_t parser;
    struct policy_report *report;
    struct anchor anchors[POLICY_YAML_ANCHORS_MAX];
    size_t anchor_count, node_count;
    bool stopped;
};

static struct policy_place place_of(yaml_mark_t mark)
{
    return (struct policy_place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static struct policy_place place_of_byte(const char *text, size_t offset)
{
    struct policy_place place = {1, 1};

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n')
            place = (struct policy_place){place.line + 1, 1};
        else if (((unsigned char)text[i] & 0xc0) != 0x80)
            place.column++;
    }
    return place;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static void node_free(struct policy_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++) {
        free(node->entries[i].key);
        node_free(node->entries[i].value);
    }
    free(node->entries);
    free(node->text);
    free(node);
}

static void stop_without_memory(struct builder *b)
{
    b->report->out_of_memory = true;
    b->stopped = true;
}

#define STOP(b, place, ...)                                                                                  \
    do {                                                                                                     \
        policy_report_add((b)->report, place, NULL, __VA_ARGS__);                                            \
        (b)->stopped = true;                                                                                 \
    } while (0)

/* NULL: stopped. */
static struct policy_node *node_new(struct builder *b, struct policy_place place, unsigned depth)
{
    struct policy_node *node;

    if (++b->node_count > POLICY_YAML_NODES_MAX) {
        STOP(b, place, "more than %d values, counting what aliases stand for", POLICY_YAML_NODES_MAX);
        return NULL;
    }
    if (depth > POLICY_YAML_DEPTH_MAX) {
        STOP(b, place, "nested deeper than %d", POLICY_YAML_DEPTH_MAX);
        return NULL;
    }
    node = calloc(1, sizeof(*node));
    if (!node)
        stop_without_memory(b);
    else
        node->place = place;
    return node;
}

/* An entry at the end, empty. Room grows by doubling, at the powers of two. */
static struct policy_entry *entry_add(struct builder *b, struct policy_node *node)
{
    struct policy_entry *entries = node->entries;

    if ((node->count & (node->count - 1)) == 0) {
        entries = reallocarray(entries, node->count ? node->count * 2 : 1, sizeof(*entries));
        if (!entries) {
            stop_without_memory(b);
            return NULL;
        }
        node->entries = entries;
    }
    entries[node->count] = (struct policy_entry){0};
    return &entries[node->count++];
}

static char *copy_bytes(struct builder *b, const char *data, size_t size)
{
    char *copy = calloc(1, size + 1);

    if (!copy) {
        stop_without_memory(b);
        return NULL;
    }
    memcpy(copy, data, size);
    return copy;
}

static struct policy_node *node_copy(struct builder *b, const struct policy_node *from, unsigned depth)
{
    struct policy_node *node = node_new(b, from->place, depth);

    if (!node)
        return NULL;
    node->kind = from->kind;
    node->is_quoted = from->is_quoted;
    if (from->text) {
        node->text = copy_bytes(b, from->text, from->size);
        node->size = from->size;
    }
    for (size_t i = 0; i < from->count && !b->stopped; i++) {
        struct policy_entry *entry = entry_add(b, node);

        if (!entry)
            break;
        entry->key_place = from->entries[i].key_place;
        if (from->entries[i].key)
            entry->key = copy_bytes(b, from->entries[i].key, strlen(from->entries[i].key));
        entry->value = node_copy(b, from->entries[i].value, depth + 1);
    }
    return node;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void stop_with_problem(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    const char *problem = parser->problem ? parser->problem : "unknown";

    if (parser->error == YAML_MEMORY_ERROR)
        stop_without_memory(b);
    else if (parser->error == YAML_READER_ERROR)
        STOP(b, place_of(parser->mark), "not YAML: %s", problem);
    else if (parser->context)
        STOP(b, place_of(parser->problem_mark), "not YAML: %s, %s", problem, parser->context);
    else
        STOP(b, place_of(parser->problem_mark), "not YAML: %s", problem);
}

/* False: stopped, and there is no event to delete. */
static bool next_event(struct builder *b, yaml_event_t *event)
{
    if (b->stopped)
        return false;
    if (yaml_parser_parse(&b->parser, event))
        return true;
    stop_with_problem(b);
    return false;
}

static void add_anchor(struct builder *b, const yaml_char_t *name, struct policy_node *node)
{
    struct anchor *anchor = NULL;

    if (!name)
        return;
    for (size_t i = 0; i < b->anchor_count; i++) {
        if (strcmp(b->anchors[i].name, (const char *)name) == 0)
            anchor = &b->anchors[i]; /* given anew: the later one holds from here on */
    }
    if (!anchor) {
        if (b->anchor_count == POLICY_YAML_ANCHORS_MAX) {
            STOP(b, node->place, "more than %d anchors", POLICY_YAML_ANCHORS_MAX);
            return;
        }
        anchor = &b->anchors[b->anchor_count];
        anchor->name = strdup((const char *)name);
        if (!anchor->name) {
            stop_without_memory(b);
            return;
        }
        b->anchor_count++;
    }
    anchor->node = node;
    anchor->is_open = true;
}

static void close_anchor(struct builder *b, const struct policy_node *node)
{
    for (size_t i = 0; i < b->anchor_count; i++) {
        if (b->anchors[i].node == node)
            b->anchors[i].is_open = false;
    }
}

static void drop_anchors(struct builder *b)
{
    while (b->anchor_count > 0)
        free(b->anchors[--b->anchor_count].name);
}

static struct policy_node *take_alias(struct builder *b, const yaml_event_t *event, unsigned depth)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct policy_place place = place_of(event->start_mark);

    for (size_t i = 0; i < b->anchor_count; i++) {
        if (strcmp(b->anchors[i].name, name) != 0)
            continue;
        if (b->anchors[i].is_open)
            break;
        return node_copy(b, b->anchors[i].node, depth);
    }
    STOP(b, place, "alias *%s: expected the name of an anchor (&%s) that is complete before it", name, name);
    return NULL;
}

/* Of a value that its style does not make text. */
static bool is_null_word(const char *text, size_t size)
{
    return size == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

static void check_tag(struct builder *b, struct policy_place place, const yaml_char_t *tag)
{
    static const char own[] = "tag:yaml.org,2002:";

    if (tag && strcmp((const char *)tag, "!") != 0 && strncmp((const char *)tag, own, strlen(own)) != 0)
        policy_report_add(
            b->report, place, NULL, "tag %.60s: expected none, or one of YAML's own", (const char *)tag);
}

static struct policy_node *take_scalar(struct builder *b, const yaml_event_t *event, unsigned depth)
{
    const char *tag = (const char *)event->data.scalar.tag;
    struct policy_node *node = node_new(b, place_of(event->start_mark), depth);

    if (!node)
        return NULL;
    check_tag(b, node->place, event->data.scalar.tag);
    node->text = copy_bytes(b, (const char *)event->data.scalar.value, event->data.scalar.length);
    node->size = event->data.scalar.length;
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                      (tag && strcmp(tag, "tag:yaml.org,2002:str") == 0);
    node->kind = node->text && !node->is_quoted && is_null_word(node->text, node->size) ? POLICY_NODE_NULL
                                                                                        : POLICY_NODE_SCALAR;
    add_anchor(b, event->data.scalar.anchor, node);
    close_anchor(b, node);
    return node;
}

static struct policy_node *take_value(struct builder *b, const yaml_event_t *event, unsigned depth);

/* The next value, unless it is the end that is given. */
static struct policy_node *next_value(
    struct builder *b, yaml_event_type_t end, unsigned depth, bool *ret_is_end)
{
    struct policy_node *node = NULL;
    yaml_event_t event;

    *ret_is_end = false;
    if (!next_event(b, &event))
        return NULL;
    if (event.type == end)
        *ret_is_end = true;
    else
        node = take_value(b, &event, depth);
    yaml_event_delete(&event);
    return node;
}

static void fill_list(struct builder *b, struct policy_node *list, unsigned depth)
{
    for (;;) {
        bool is_end;
        struct policy_node *value = next_value(b, YAML_SEQUENCE_END_EVENT, depth + 1, &is_end);
        struct policy_entry *entry = value ? entry_add(b, list) : NULL;

        if (!entry) {
            node_free(value);
            return;
        }
        entry->value = value;
    }
}

/* A map's key; NULL: stopped, or the end. */
static char *next_key(struct builder *b, struct policy_place *ret_place)
{
    yaml_event_t event;
    char *key = NULL;

    if (!next_event(b, &event))
        return NULL;
    *ret_place = place_of(event.start_mark);
    if (event.type == YAML_SCALAR_EVENT) {
        if (event.data.scalar.anchor ||
            strlen((const char *)event.data.scalar.value) != event.data.scalar.length)
            STOP(b, *ret_place, "expected a key without an anchor and without NUL");
        else
            key = copy_bytes(b, (const char *)event.data.scalar.value, event.data.scalar.length);
    } else if (event.type != YAML_MAPPING_END_EVENT) {
        STOP(b, *ret_place, "expected a key: text, not a list, a map or an alias");
    }
    yaml_event_delete(&event);
    return key;
}

static const struct policy_entry *find_key(const struct policy_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->entries[i].key, key) == 0)
            return &map->entries[i];
    }
    return NULL;
}

/* A key that is there already stays as it was; the second is read and let go. */
static void fill_map(struct builder *b, struct policy_node *map, unsigned depth)
{
    for (;;) {
        struct policy_place place = {0};
        CLEANUP_FREE char *key = next_key(b, &place);
        const struct policy_entry *first = key ? find_key(map, key) : NULL;
        struct policy_node *value;
        struct policy_entry *entry = NULL;
        bool is_end;

        if (!key)
            return;
        if (first)
            policy_report_add(b->report, place, NULL, "key \"%.60s\" is given twice, first in line %u", key,
                first->key_place.line);
        if (map->count == POLICY_YAML_KEYS_MAX)
            STOP(b, place, "more than %d keys", POLICY_YAML_KEYS_MAX);
        value = next_value(b, YAML_NO_EVENT, depth + 1, &is_end);
        if (value) /* anchors may point to the second one too: it stays, under a key that nothing asks for */
            entry = entry_add(b, map);
        if (!entry) {
            node_free(value);
            return;
        }
        *entry = (struct policy_entry){.key = TAKE_POINTER(key), .key_place = place, .value = value};
    }
}

static struct policy_node *take_value(struct builder *b, const yaml_event_t *event, unsigned depth)
{
    struct policy_node *node;

    if (event->type == YAML_ALIAS_EVENT)
        return take_alias(b, event, depth);
    if (event->type == YAML_SCALAR_EVENT)
        return take_scalar(b, event, depth);
    node = node_new(b, place_of(event->start_mark), depth);
    if (!node)
        return NULL;
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = POLICY_NODE_LIST;
        check_tag(b, node->place, event->data.sequence_start.tag);
        add_anchor(b, event->data.sequence_start.anchor, node);
        fill_list(b, node, depth);
    } else {
        node->kind = POLICY_NODE_MAP;
        check_tag(b, node->place, event->data.mapping_start.tag);
        add_anchor(b, event->data.mapping_start.anchor, node);
        fill_map(b, node, depth);
    }
    close_anchor(b, node);
    return node;
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

static void add_document(struct builder *b, struct policy_documents *documents, struct policy_node *root)
{
    struct policy_node **roots;

    if (!root)
        return;
    if (b->stopped || root->kind == POLICY_NODE_NULL) {
        node_free(root);
        return;
    }
    roots = reallocarray(documents->roots, documents->count + 1, sizeof(*roots));
    if (!roots) {
        stop_without_memory(b);
        node_free(root);
        return;
    }
    documents->roots = roots;
    roots[documents->count++] = root;
}

static void read_stream(struct builder *b, struct policy_documents *documents)
{
    bool is_end = false;

    while (!is_end) {
        yaml_event_t event;
        yaml_event_type_t type;

        if (!next_event(b, &event))
            return;
        type = event.type;
        yaml_event_delete(&event);
        is_end = type == YAML_STREAM_END_EVENT;
        if (type == YAML_DOCUMENT_START_EVENT) {
            bool is_none;

            add_document(b, documents, next_value(b, YAML_NO_EVENT, 1, &is_none));
            drop_anchors(b);
        }
    }
}

/* libyaml says of such bytes only how far it had read; UTF-16, which it would read, is not UTF-8 either. */
static bool check_bytes(const char *text, size_t size, struct policy_report *report)
{
    const uint8_t *bytes = (const uint8_t *)text;

    for (size_t at = 0; at < size;) {
        struct utf8_char c = utf8_decode(bytes + at, size - at);
        bool is_control = c.valid && (c.code < ' ' || (c.code >= 0x7f && c.code < 0xa0));

        if (!c.valid)
            policy_report_add(report, place_of_byte(text, at), NULL,
                "byte 0x%02x is not UTF-8: expected text in UTF-8", bytes[at]);
        else if (is_control && c.code != '\t' && c.code != '\n' && c.code != '\r' && c.code != 0x85)
            policy_report_add(
                report, place_of_byte(text, at), NULL, "control character U+%04X: expected text", c.code);
        if (!policy_report_is_empty(report))
            return false;
        at += c.size;
    }
    return true;
}

void policy_yaml_read(
    struct policy_documents *ret, const char *text, size_t size, struct policy_report *report)
{
    struct builder *b;

    *ret = (struct policy_documents){0};
    if (!check_bytes(text, size, report))
        return;
    b = calloc(1, sizeof(*b));
    if (!b || !yaml_parser_initialize(&b->parser)) {
        report->out_of_memory = true;
        free(b);
        return;
    }
    b->report = report;
    yaml_parser_set_input_string(&b->parser, (const unsigned char *)text, size);
    read_stream(b, ret);
    drop_anchors(b);
    yaml_parser_delete(&b->parser);
    free(b);
}

void policy_documents_deinit(struct policy_documents *documents)
{
    for (size_t i = 0; i < documents->count; i++)
        node_free(documents->roots[i]);
    free(documents->roots);
    *documents = (struct policy_documents){0};
}

const struct policy_entry *policy_node_find(const struct policy_node *map, const char *key)
{
    const struct policy_entry *entry = map->kind == POLICY_NODE_MAP ? find_key(map, key) : NULL;

    return entry && entry->value->kind != POLICY_NODE_NULL ? entry : NULL;
}

/* FNV-1a, 64 bits (draft-eastlake-fnv). */
static uint64_t digest_bytes(uint64_t digest, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++)
        digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return digest;
}

static uint64_t digest_number(uint64_t digest, uint64_t number)
{
    for (unsigned shift = 0; shift < 64; shift += 8)
        digest = (digest ^ (number >> shift & 0xff)) * UINT64_C(0x100000001b3);
    return digest;
}

static uint64_t digest_node(uint64_t digest, const struct policy_node *node)
{
    digest = digest_number(digest, (uint64_t)node->kind);
    digest = digest_number(digest, node->size);
    digest = digest_number(digest, node->count);
    if (node->text)
        digest = digest_bytes(digest, node->text, node->size);
    for (size_t i = 0; i < node->count; i++) {
        if (node->entries[i].key)
            digest = digest_bytes(digest, node->entries[i].key, strlen(node->entries[i].key) + 1);
        digest = digest_node(digest, node->entries[i].value);
    }
    return digest;
}

uint64_t policy_node_digest(const struct policy_node *node)
{
    return digest_node(UINT64_C(0xcbf29ce484222325), node);
}
