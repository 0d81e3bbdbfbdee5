// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/hook_args.h"
#include <string.h>

#define BYTES_SHOWN_MAX 96

static struct json_pull pull_of(struct slice raw)
{
    struct json_pull json;

    json_init(&json, raw.data, raw.size);
    return json;
}

static enum json_kind kind_of(struct slice raw)
{
    struct json_pull json = pull_of(raw);

    return json_peek(&json);
}

/* Raw string value: its contents; anything else: its text. */
static struct slice contents(struct slice raw)
{
    if (raw.size >= 2 && raw.data[0] == '"')
        return (struct slice){raw.data + 1, raw.size - 2};
    return raw;
}

/* The member `name` of a raw object, contents of a string; absent: {NULL, 0}. */
static struct slice member(struct slice object, const char *name)
{
    struct json_pull json = pull_of(object);
    struct slice key, value;

    if (kind_of(object) != JSON_OBJECT)
        return (struct slice){0};
    json_object_begin(&json);
    while (json_object_next(&json, &key)) {
        value = json_skip(&json);
        if (slice_is(key, name, strlen(name)))
            return contents(value);
    }
    return (struct slice){0};
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static void show_bytes(struct row *row, struct slice base64)
{
    char bytes[BYTES_SHOWN_MAX];
    size_t size = 0, digits = 0;
    uint32_t bits = 0;
    bool more = false;

    for (size_t i = 0; i < base64.size && !more; i++) {
        int digit = base64_digit(base64.data[i]);

        if (digit < 0)
            break;
        bits = bits << 6 | (uint32_t)digit;
        if (++digits % 4 == 1)
            continue;
        more = size == sizeof(bytes);
        if (!more)
            bytes[size++] = (char)(bits >> (digits % 4 == 2 ? 4 : digits % 4 == 3 ? 2 : 0));
    }
    row_own(row, ROW_PLAIN, "\"");
    row_outside(row, ROW_PLAIN, bytes, size);
    row_own(row, ROW_PLAIN, more ? "\"+" : "\"");
}

static void show_truncated_bytes(struct row *row, struct slice value)
{
    show_bytes(row, member(value, "bytes_arg"));
    row_own(row, ROW_DIM, " of ");
    row_json(row, ROW_DIM, member(value, "orig_size"));
}

static void show_path(struct row *row, struct slice value)
{
    struct slice permission = member(value, "permission"), flags = member(value, "flags");
    struct slice open_flags = member(value, "open_flags"), fd = member(value, "fd");

    if (fd.size) {
        row_own(row, ROW_DIM, "fd ");
        row_json(row, ROW_PLAIN, fd);
        row_own(row, ROW_PLAIN, member(value, "path").size ? " " : "");
    }
    row_json(row, ROW_PLAIN, member(value, "mount"));
    row_json(row, ROW_PLAIN, member(value, "path"));
    if (permission.size) {
        row_own(row, ROW_DIM, " ");
        row_json(row, ROW_DIM, permission);
    }
    if (flags.size) {
        row_own(row, ROW_DIM, " ");
        row_json(row, ROW_DIM, flags);
    }
    if (open_flags.size) {
        row_own(row, ROW_DIM, " ");
        row_json(row, ROW_DIM, open_flags);
    }
}

static void show_endpoint(struct row *row, struct slice address, struct slice port)
{
    bool v6 = address.data && memchr(address.data, ':', address.size);

    row_own(row, ROW_PLAIN, v6 ? "[" : "");
    row_json(row, ROW_PLAIN, address);
    row_own(row, ROW_PLAIN, v6 ? "]:" : ":");
    if (port.size)
        row_json(row, ROW_PLAIN, port);
    else
        row_own(row, ROW_PLAIN, "0");
}

static void show_socket(struct row *row, struct slice value)
{
    struct slice protocol = member(value, "protocol"), state = member(value, "state");

    if (protocol.size) {
        row_json(row, ROW_DIM,
            slice_has_prefix(protocol, "IPPROTO_") ? (struct slice){protocol.data + 8, protocol.size - 8}
                                                   : protocol);
        row_own(row, ROW_DIM, " ");
    }
    show_endpoint(row, member(value, "saddr"), member(value, "sport"));
    row_own(row, ROW_DIM, " > ");
    show_endpoint(row, member(value, "daddr"), member(value, "dport"));
    if (state.size) {
        row_own(row, ROW_DIM, " ");
        row_json(row, ROW_DIM, state);
    }
}

static void show_address(struct row *row, struct slice value)
{
    show_endpoint(row, member(value, "addr"), member(value, "port"));
}

/* By its name, or by its number where it has none. */
static void show_capability(struct row *row, struct slice value)
{
    struct slice name = member(value, "name");

    if (!name.size)
        row_own(row, ROW_DIM, "capability ");
    row_json(row, ROW_PLAIN, name.size ? name : member(value, "value"));
}

static void show_syscall(struct row *row, struct slice value)
{
    row_own(row, ROW_DIM, "syscall ");
    row_json(row, ROW_PLAIN, member(value, "id"));
    row_own(row, ROW_DIM, " ");
    row_json(row, ROW_DIM, member(value, "abi"));
}

/* Who it is for the kernel, and what more it may than others; the other ids are in the JSON. */
static void show_credentials(struct row *row, struct slice value)
{
    static const char *const ids[] = {"uid", "gid", "euid", "egid"};
    struct slice effective = member(member(value, "caps"), "effective");
    const char *between = "";

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct slice id = member(value, ids[i]);

        if (!id.size)
            continue;
        row_own(row, ROW_DIM, between);
        row_own(row, ROW_DIM, ids[i]);
        row_own(row, ROW_DIM, "=");
        row_json(row, ROW_PLAIN, id);
        between = " ";
    }
    if (effective.size > 2) {
        row_own(row, ROW_DIM, " caps=");
        row_outside(row, ROW_PLAIN, effective.data, effective.size);
    }
}

static void show_error(struct row *row, struct slice value)
{
    row_own(row, ROW_WARN, "?");
    row_json(row, ROW_WARN, member(value, "message"));
}

/* Any value at all; an object as {key=value …}. */
static void show_value(struct row *row, struct slice raw)
{
    struct json_pull json = pull_of(raw);
    struct slice key;
    const char *between = "{";

    if (kind_of(raw) != JSON_OBJECT) {
        row_json(row, ROW_PLAIN, contents(raw));
        return;
    }
    json_object_begin(&json);
    while (json_object_next(&json, &key)) {
        row_own(row, ROW_PLAIN, between);
        row_json(row, ROW_DIM, key);
        row_own(row, ROW_DIM, "=");
        row_json(row, ROW_PLAIN, contents(json_skip(&json)));
        between = " ";
    }
    row_own(row, ROW_PLAIN, *between == '{' ? "{}" : "}");
}

static const struct {
    const char *kind;
    void (*show)(struct row *row, struct slice value);
} kinds[] = {
    {"bytes_arg", show_bytes},
    {"truncated_bytes_arg", show_truncated_bytes},
    {"path_arg", show_path},
    {"file_arg", show_path},
    {"linux_binprm_arg", show_path},
    {"sock_arg", show_socket},
    {"skb_arg", show_socket},
    {"sockaddr_arg", show_address},
    {"capability_arg", show_capability},
    {"syscall_id", show_syscall},
    {"process_credentials_arg", show_credentials},
    {"error_arg", show_error},
};

static void show_by_kind(struct row *row, struct slice kind, struct slice raw)
{
    static const char suffix[] = "_arg";

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (slice_is(kind, kinds[i].kind, strlen(kinds[i].kind))) {
            kinds[i].show(row, contents(raw));
            return;
        }
    }
    if (kind_of(raw) == JSON_STRING && SLICE_IS(kind, "string_arg")) {
        row_own(row, ROW_PLAIN, "\"");
        row_json(row, ROW_PLAIN, contents(raw));
        row_own(row, ROW_PLAIN, "\"");
        return;
    }
    if (kind_of(raw) == JSON_OBJECT && kind.size > sizeof(suffix) - 1 &&
        !memcmp(kind.data + kind.size - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1))
        row_json(row, ROW_DIM, (struct slice){kind.data, kind.size - (sizeof(suffix) - 1)});
    show_value(row, raw);
}

void hook_arg_show(struct row *row, struct slice raw)
{
    struct json_pull json = pull_of(raw);
    struct slice key, label = member(raw, "label");

    if (kind_of(raw) != JSON_OBJECT) {
        show_value(row, raw);
        return;
    }
    if (label.size) {
        row_json(row, ROW_DIM, label);
        row_own(row, ROW_DIM, "=");
    }
    json_object_begin(&json);
    while (json_object_next(&json, &key)) {
        struct slice value = json_skip(&json);

        if (SLICE_IS(key, "truncated"))
            row_own(row, ROW_DIM, "+"); /* there was more of it */
        else if (!SLICE_IS(key, "label") && !json.failed)
            show_by_kind(row, key, value);
    }
}

void hook_args_show(struct row *row, struct slice raw)
{
    struct json_pull json = pull_of(raw);
    const char *between = "";

    if (!raw.data || kind_of(raw) != JSON_ARRAY)
        return;
    json_array_begin(&json);
    while (json_array_next(&json)) {
        struct slice value = json_skip(&json);

        row_own(row, ROW_PLAIN, between);
        if (!json.failed)
            hook_arg_show(row, value);
        between = ", ";
    }
}

enum quoting { QUOTE_NONE, QUOTE_SINGLE, QUOTE_DOUBLE };

/* As a shell would need it, as far as it can be shown on one line. */
static enum quoting quoting_for(const char *data, size_t size)
{
    static const bool special[256] = {[0 ... 0x20] = true,
        ['!'] = true,
        ['"'] = true,
        ['#'] = true,
        ['$'] = true,
        ['&'] = true,
        ['\''] = true,
        ['('] = true,
        [')'] = true,
        ['*'] = true,
        [';'] = true,
        ['<'] = true,
        ['>'] = true,
        ['?'] = true,
        ['['] = true,
        ['\\'] = true,
        [']'] = true,
        ['`'] = true,
        ['{'] = true,
        ['|'] = true,
        ['}'] = true,
        ['~'] = true,
        [0x7f] = true};
    bool single = false, any = size == 0;

    for (size_t i = 0; i < size; i++) {
        single |= data[i] == '\'';
        any |= special[(unsigned char)data[i]];
    }
    return !any ? QUOTE_NONE : single ? QUOTE_DOUBLE : QUOTE_SINGLE;
}

void hook_word_show(struct row *row, enum row_style style, struct slice raw)
{
    static const char *const marks[] = {[QUOTE_NONE] = "", [QUOTE_SINGLE] = "'", [QUOTE_DOUBLE] = "\""};
    struct text argument = {0};
    struct slice shown = raw;
    enum quoting quoting;

    if (memchr(raw.data, '\\', raw.size)) {
        json_unescape(&argument, raw);
        shown = (struct slice){argument.data, argument.size};
    }
    quoting = quoting_for(shown.data, shown.size);
    row_own(row, style, marks[quoting]);
    for (size_t at = 0; at < shown.size;) {
        const char *quote = quoting == QUOTE_DOUBLE ? memchr(shown.data + at, '"', shown.size - at) : NULL;
        size_t end = quote ? (size_t)(quote - shown.data) : shown.size;

        row_outside(row, style, shown.data + at, end - at);
        if (quote)
            row_own(row, style, "\\\"");
        at = end + (quote ? 1 : 0);
    }
    row_own(row, style, marks[quoting]);
    text_deinit(&argument);
}

void hook_argv_show(struct row *row, struct slice raw)
{
    struct json_pull json = pull_of(raw);
    const char *between = "";

    if (!raw.data || kind_of(raw) != JSON_ARRAY)
        return;
    json_array_begin(&json);
    while (json_array_next(&json)) {
        if (json_peek(&json) != JSON_STRING) {
            json_skip(&json);
            continue;
        }
        row_own(row, ROW_PLAIN, between);
        hook_word_show(row, ROW_PLAIN, json_string(&json));
        between = " ";
    }
}
