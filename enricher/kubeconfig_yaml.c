/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/kubeconfig_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/cleanup.h"

int yaml_reader_fail(struct yaml_reader *reader, const struct yaml_place *place, const char *format, ...)
{
    int n = snprintf(reader->error, reader->error_size, "%s:%zu: %s%s", reader->path, place->line, place->key,
        place->key[0] ? ": " : "");
    va_list args;

    if (n < 0 || (size_t)n >= reader->error_size)
        return -EINVAL;
    va_start(args, format);
    (void)vsnprintf(reader->error + n, reader->error_size - (size_t)n, format, args);
    va_end(args);
    return -EINVAL;
}

/* ---- the document ---- */

/* What libyaml has read and decoded so far. */
static void wipe_parser(yaml_parser_t *parser)
{
    if (parser->raw_buffer.start)
        explicit_bzero(parser->raw_buffer.start, (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
    if (parser->buffer.start)
        explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
    yaml_parser_delete(parser);
}

static void node_place(struct yaml_place *place, yaml_node_t *node)
{
    place->node = node;
    place->line = node->start_mark.line + 1;
}

int yaml_reader_open(struct yaml_reader *reader, const char *data, size_t size, struct yaml_place *ret_root)
{
    struct yaml_place root = {.line = 1};
    yaml_parser_t parser;
    int loaded;

    if (!yaml_parser_initialize(&parser))
        return yaml_reader_fail(reader, &root, "out of memory"), -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)data, size);
    loaded = yaml_parser_load(&parser, &reader->document);
    if (!loaded) {
        root.line = parser.problem_mark.line + 1;
        (void)yaml_reader_fail(
            reader, &root, "not YAML: %s", parser.problem ? parser.problem : "out of memory");
    }
    wipe_parser(&parser);
    if (!loaded)
        return -EINVAL;
    root.node = yaml_document_get_root_node(&reader->document);
    if (root.node && root.node->type == YAML_MAPPING_NODE) {
        node_place(&root, root.node);
        *ret_root = root;
        return 0;
    }
    (void)yaml_reader_fail(
        reader, &root, root.node ? "expected a kubeconfig: keys and values" : "the file is empty");
    yaml_reader_close(reader);
    return -EINVAL;
}

void yaml_reader_close(struct yaml_reader *reader)
{
    for (yaml_node_t *node = reader->document.nodes.start; node < reader->document.nodes.top; node++)
        if (node->type == YAML_SCALAR_NODE)
            explicit_bzero(node->data.scalar.value, node->data.scalar.length);
    yaml_document_delete(&reader->document);
}

/* ---- values ---- */

static bool scalar_is(const yaml_node_t *node, const char *string)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == strlen(string) &&
           memcmp(node->data.scalar.value, string, node->data.scalar.length) == 0;
}

static bool is_nothing(const yaml_node_t *node)
{
    if (scalar_is(node, ""))
        return true;
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (scalar_is(node, "~") || scalar_is(node, "null"));
}

int yaml_find(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct yaml_place *ret)
{
    struct yaml_place found = {.line = map->line};

    (void)snprintf(found.key, sizeof(found.key), "%.100s%s%.50s", map->key, map->key[0] ? "." : "", key);
    for (yaml_node_pair_t *pair = map->node->data.mapping.pairs.start;
         pair < map->node->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(&reader->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);

        if (!name || !value || !scalar_is(name, key))
            continue;
        if (found.node) {
            found.line = name->start_mark.line + 1;
            return yaml_reader_fail(reader, &found, "given twice");
        }
        node_place(&found, value);
    }
    if (found.node && is_nothing(found.node))
        found.node = NULL;
    *ret = found;
    return 0;
}

int yaml_find_map(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct yaml_place *ret)
{
    int r = yaml_find(reader, map, key, ret);

    if (r == 0 && ret->node && ret->node->type != YAML_MAPPING_NODE)
        return yaml_reader_fail(reader, ret, "expected keys and values");
    return r;
}

static int find_scalar(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct yaml_place *ret)
{
    int r = yaml_find(reader, map, key, ret);

    if (r == 0 && ret->node && ret->node->type != YAML_SCALAR_NODE)
        return yaml_reader_fail(reader, ret, "expected a string");
    return r;
}

int yaml_find_string(struct yaml_reader *reader, const struct yaml_place *map, const char *key, char **ret)
{
    struct yaml_place place = {0};
    int r = find_scalar(reader, map, key, &place);
    const unsigned char *value;

    if (r < 0 || !place.node)
        return r;
    value = place.node->data.scalar.value;
    for (size_t i = 0; i < place.node->data.scalar.length; i++)
        if (value[i] < ' ' || value[i] == 0x7f)
            return yaml_reader_fail(reader, &place, "expected one line without control characters");
    *ret = strdup((const char *)value);
    return *ret ? 0 : -ENOMEM;
}

int yaml_find_bool(struct yaml_reader *reader, const struct yaml_place *map, const char *key, bool *ret)
{
    struct yaml_place place = {0};
    int r = find_scalar(reader, map, key, &place);

    if (r < 0 || !place.node)
        return r;
    if (!scalar_is(place.node, "true") && !scalar_is(place.node, "false"))
        return yaml_reader_fail(reader, &place, "expected true or false");
    *ret = scalar_is(place.node, "true");
    return 0;
}

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648, padded; blanks and line ends between (a folded scalar) are passed over. Size, or -EINVAL. `out`
 * holds 3/4 of the size. */
static ssize_t base64_decode(const unsigned char *data, size_t size, unsigned char *out)
{
    size_t count = 0, used = 0, padding = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < size; i++) {
        int value = base64_value(data[i]);

        if (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t')
            continue;
        if (data[i] == '=' ? ++padding > 2 : value < 0 || padding > 0)
            return -EINVAL;
        bits = (bits << 6) | (uint32_t)(value < 0 ? 0 : value);
        if (++count % 4 != 0)
            continue;
        for (size_t byte = 0; byte < 3 - padding; byte++)
            out[used++] = (unsigned char)(bits >> (16 - 8 * byte));
    }
    return count % 4 == 0 ? (ssize_t)used : -EINVAL;
}

int yaml_find_pem(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct http_blob *ret)
{
    struct yaml_place place = {0};
    struct http_blob blob = {0};
    int r = find_scalar(reader, map, key, &place);
    ssize_t size;

    if (r < 0 || !place.node)
        return r;
    blob.data = malloc(place.node->data.scalar.length + 1);
    if (!blob.data)
        return -ENOMEM;
    size = base64_decode(place.node->data.scalar.value, place.node->data.scalar.length, blob.data);
    blob.size = size < 0 ? place.node->data.scalar.length : (size_t)size;
    if (size >= 0 && memmem(blob.data, blob.size, "-----BEGIN ", 11)) {
        *ret = blob;
        return 0;
    }
    explicit_bzero(blob.data, blob.size);
    free(blob.data);
    return yaml_reader_fail(reader, &place, size < 0 ? "expected base64" : "expected base64 of PEM");
}

int yaml_find_entry(struct yaml_reader *reader, const struct yaml_place *root, const char *list,
    const char *name, const char *body, struct yaml_place *ret)
{
    struct yaml_place items = {0};
    int r = yaml_find(reader, root, list, &items);

    *ret = items;
    ret->node = NULL;
    if (r < 0 || !items.node)
        return r;
    if (items.node->type != YAML_SEQUENCE_NODE)
        return yaml_reader_fail(reader, &items, "expected a list");
    for (yaml_node_item_t *item = items.node->data.sequence.items.start;
         item < items.node->data.sequence.items.top; item++) {
        CLEANUP_FREE char *own = NULL;
        struct yaml_place entry = {0};

        node_place(&entry, yaml_document_get_node(&reader->document, *item));
        (void)snprintf(
            entry.key, sizeof(entry.key), "%s[%td]", list, item - items.node->data.sequence.items.start);
        if (entry.node->type != YAML_MAPPING_NODE)
            return yaml_reader_fail(reader, &entry, "expected keys and values");
        r = yaml_find_string(reader, &entry, "name", &own);
        if (r < 0)
            return r;
        if (own && strcmp(own, name) == 0)
            return yaml_find_map(reader, &entry, body, ret);
    }
    return 0;
}
