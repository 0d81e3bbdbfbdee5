/* SPDX-License-Identifier: Apache-2.0 */
#include "common/options_layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/neutral.h"
#include "common/utf8.h"

#define FILE_MAX_BYTES (UINT32_C(1) << 20)

/* The place of a line, for errors. */
struct place {
    const char *path;
    unsigned line;
};

static int fail_errno(const struct options_state *state, const char *path, int r)
{
    (void)options_fail(state, "%s: %s", path, strerror(-r));
    return r;
}

/* Text that reads as it looks: valid UTF-8 without controls, invisible characters and bidi overrides. */
static int check_printable(
    const struct options_state *state, struct place place, const char *line, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)line;

    for (size_t at = 0; at < size;) {
        struct utf8_char c = utf8_decode(bytes + at, size - at);

        if (!c.valid || (neutral_is_unsafe(c.code) && c.code != '\t'))
            return options_fail(state, "%s:%u: byte 0x%02x at column %zu: expected printable UTF-8",
                place.path, place.line, bytes[at], at + 1);
        at += c.size;
    }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *trim(char *text)
{
    size_t size;

    while (is_blank(*text))
        text++;
    size = strlen(text);
    while (size > 0 && is_blank(text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

/* Takes a comment (# at the start or behind a blank) off the end; a value in double quotes may contain
 * anything but a quote. */
static int cut_value(const struct options_state *state, struct place place, char **value)
{
    char *text = trim(*value);

    if (*text == '"') {
        char *end = strchr(text + 1, '"');
        const char *rest;

        if (!end)
            return options_fail(state, "%s:%u: expected a closing '\"'", place.path, place.line);
        rest = trim(end + 1);
        if (*rest && *rest != '#')
            return options_fail(state, "%s:%u: expected nothing behind the closing '\"', not '%.40s'",
                place.path, place.line, rest);
        *end = '\0';
        *value = text + 1;
        return 0;
    }
    for (char *at = text; *at; at++) {
        if (*at == '#' && (at == text || is_blank(at[-1]))) {
            *at = '\0';
            break;
        }
    }
    *value = trim(text);
    return 0;
}

static int fail_unknown(const struct options_state *state, struct place place, const char *key)
{
    const char *near = options_suggest(state, key, strlen(key));

    if (near)
        return options_fail(
            state, "%s:%u: unknown key '%.80s'; did you mean '%s'?", place.path, place.line, key, near);
    return options_fail(state, "%s:%u: unknown key '%.80s'", place.path, place.line, key);
}

static int apply_pair(struct options_state *state, struct place place, const char *key, const char *value)
{
    char where[OPTIONS_ERROR_MAX];
    int index = options_find(state, key, strlen(key));
    enum option_kind kind;

    if (index < 0)
        return fail_unknown(state, place, key);
    kind = state->specs[index].kind;
    if (kind == OPTION_FLAG || strcmp(key, "config") == 0)
        return options_fail(
            state, "%s:%u: key '%s' is for the command line only", place.path, place.line, key);
    if (kind != OPTION_STRINGS && state->set_by[index] == state->layer)
        return options_fail(state, "%s:%u: key '%s' is set twice in this file", place.path, place.line, key);
    (void)snprintf(where, sizeof(where), "%s:%u: key '%s'", place.path, place.line, key);
    return options_apply(state, (size_t)index, where, value);
}

/* One line without its end; written to. */
static int apply_line(struct options_state *state, struct place place, char *line, size_t size)
{
    char *key, *value, *equals;
    int r;

    if (size > 0 && line[size - 1] == '\r')
        line[--size] = '\0';
    r = check_printable(state, place, line, size);
    if (r < 0)
        return r;
    key = trim(line);
    if (*key == '\0' || *key == '#')
        return 0;
    equals = strchr(key, '=');
    if (!equals)
        return options_fail(state, "%s:%u: expected 'key = value', not '%.80s'", place.path, place.line, key);
    *equals = '\0';
    value = equals + 1;
    r = cut_value(state, place, &value);
    if (r < 0)
        return r;
    return apply_pair(state, place, trim(key), value);
}

int options_read_file(struct options_state *state, const char *path, bool missing_ok)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    CLEANUP_FREE char *data = NULL;
    struct place place = {path, 0};
    size_t size = 0, start = 0;
    int r;

    if (fd < 0) {
        r = -errno;
        return missing_ok && r == -ENOENT ? r : fail_errno(state, path, r);
    }
    r = fd_read_whole(fd, FILE_MAX_BYTES, &data, &size);
    if (r == -EFBIG)
        return options_fail(state, "%s: expected at most 1 MiB", path);
    if (r < 0)
        return fail_errno(state, path, r);
    state->layer++;
    while (start < size) {
        char *end = memchr(data + start, '\n', size - start);
        size_t length = end ? (size_t)(end - (data + start)) : size - start;

        data[start + length] =
            '\0'; /* there is a byte behind the last: the buffer holds one more than a file may */
        place.line++;
        r = apply_line(state, place, data + start, length);
        if (r < 0)
            return r;
        start += length + 1;
    }
    return 0;
}

static int is_drop_in(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return size > strlen(".conf") && entry->d_name[0] != '.' &&
           strcmp(entry->d_name + size - strlen(".conf"), ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort: the order must not depend on the locale */
}

static int read_drop_in(struct options_state *state, const char *folder, const char *name)
{
    CLEANUP_FREE char *path = NULL;

    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    return options_read_file(state, path, false);
}

int options_read_drop_ins(struct options_state *state, const char *path)
{
    CLEANUP_FREE char *folder = NULL;
    CLEANUP_FREE struct dirent **entries = NULL;
    int count, r = 0;

    if (asprintf(&folder, "%s.d", path) < 0) {
        folder = NULL;
        return -ENOMEM;
    }
    count = scandir(folder, &entries, is_drop_in, by_name);
    if (count < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : fail_errno(state, folder, -errno);
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = read_drop_in(state, folder, entries[i]->d_name);
        free(entries[i]);
    }
    return r;
}
