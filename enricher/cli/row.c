// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/row.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include "common/utf8.h"

#define FLEXIBLE_MIN 12 /* columns that are left of the flexible part before the rest is cut too */

/* The sixteen colours of the user's own theme: legible on dark and light. */
static const char *const sgr[ROW_STYLE_COUNT] = {[ROW_PLAIN] = "",
    [ROW_DIM] = "\033[2m",
    [ROW_GOOD] = "\033[32m",
    [ROW_NOTE] = "\033[34m",
    [ROW_WARN] = "\033[33m",
    [ROW_BAD] = "\033[1;31m",
    [ROW_NAMESPACE] = "\033[36m",
    [ROW_POD] = "\033[1;36m",
    [ROW_CONTAINER] = "\033[36m",
    [ROW_HOST] = "\033[34m",
    [ROW_BINARY] = "\033[1m",
    [ROW_FUNCTION] = "\033[35m",
    [ROW_POLICY] = "\033[35m"};

void row_deinit(struct row *row)
{
    text_deinit(&row->bytes);
    text_deinit(&row->scratch);
    row->count = 0;
}

void row_clear(struct row *row)
{
    text_clear(&row->bytes);
    row->count = 0;
    row->width = 0;
    row->flexible = false;
    row->dim = false;
}

static unsigned char_width(uint32_t code)
{
    int width = code < 0x300 ? 1 : wcwidth((wchar_t)code);

    return width < 0 ? 1 : (unsigned)width;
}

unsigned row_text_width(const char *data, size_t size)
{
    unsigned width = 0;

    for (size_t at = 0; at < size;) {
        struct utf8_char c;

        if ((unsigned char)data[at] < 0x80) {
            width++;
            at++;
            continue;
        }
        c = utf8_decode((const uint8_t *)data + at, size - at);
        width += c.valid ? char_width(c.code) : 1;
        at += c.size ? c.size : 1;
    }
    return width;
}

/* Accounts for what was appended to `bytes` from `offset` on. */
static void close_span(struct row *row, enum row_style style, size_t offset)
{
    size_t size = row->bytes.size - offset;
    unsigned width;
    struct row_span *last = row->count ? &row->spans[row->count - 1] : NULL;

    if (!size)
        return;
    width = row_text_width(row->bytes.data + offset, size);
    row->width += width;
    if (row->dim && style != ROW_WARN && style != ROW_BAD)
        style = ROW_DIM;
    if (last && ((last->style == style && last->flexible == row->flexible) || row->count == ROW_SPANS_MAX)) {
        last->size += size;
        last->width += width;
        return;
    }
    row->spans[row->count++] = (struct row_span){offset, size, width, style, row->flexible};
}

void row_own(struct row *row, enum row_style style, const char *string)
{
    size_t offset = row->bytes.size;

    text_append_string(&row->bytes, string);
    close_span(row, style, offset);
}

void row_format(struct row *row, enum row_style style, const char *format, ...)
{
    char buffer[256];
    va_list list;

    va_start(list, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang 14 does not follow va_start() here */
    (void)vsnprintf(buffer, sizeof(buffer), format, list);
    va_end(list);
    row_own(row, style, buffer);
}

void row_outside(struct row *row, enum row_style style, const void *data, size_t size)
{
    size_t offset = row->bytes.size;

    text_append_neutral(&row->bytes, data, size);
    close_span(row, style, offset);
}

void row_json(struct row *row, enum row_style style, struct slice raw)
{
    if (!raw.size)
        return;
    if (!memchr(raw.data, '\\', raw.size)) {
        row_outside(row, style, raw.data, raw.size);
        return;
    }
    text_clear(&row->scratch);
    json_unescape(&row->scratch, raw);
    row_outside(row, style, row->scratch.data, row->scratch.size);
}

void row_pad(struct row *row, unsigned columns)
{
    size_t offset = row->bytes.size;

    for (unsigned i = row->width; i < columns; i++)
        text_append_char(&row->bytes, ' ');
    close_span(row, ROW_PLAIN, offset);
}

/* Bytes of the leading characters that fit into `columns`. */
static size_t fitting_bytes(const char *data, size_t size, unsigned columns)
{
    size_t at = 0;
    unsigned width = 0;

    while (at < size) {
        struct utf8_char c = utf8_decode((const uint8_t *)data + at, size - at);
        size_t step = c.size ? c.size : 1;

        width += row_text_width(data + at, step);
        if (width > columns)
            break;
        at += step;
    }
    return at;
}

/* ellipsis NULL: whole; else as much as leaves a column for that mark. */
static void print_span(const struct row *row, const struct row_span *span, struct text *out, bool color,
    unsigned columns, const char *ellipsis)
{
    const char *data = row->bytes.data + span->offset;
    const char *start = color ? sgr[span->style] : "";

    text_append_string(out, start);
    if (!ellipsis) {
        text_append(out, data, span->size);
    } else if (columns) {
        text_append(out, data, fitting_bytes(data, span->size, columns - 1));
        text_append_string(out, ellipsis);
    }
    if (*start)
        text_append(out, "\033[0m", 4);
}

void row_print(const struct row *row, struct text *out, unsigned columns, bool color, const char *ellipsis)
{
    unsigned flexible = 0, flexible_room, left, room = columns ? columns : UINT32_MAX;

    for (size_t i = 0; i < row->count; i++)
        flexible += row->spans[i].flexible ? row->spans[i].width : 0;
    flexible_room = flexible;
    if (row->width > room) {
        unsigned excess = row->width - room;
        unsigned least = flexible < FLEXIBLE_MIN ? flexible : FLEXIBLE_MIN;

        flexible_room = flexible - least > excess ? flexible - excess : least;
    }
    left = row->width - (flexible - flexible_room);
    for (size_t i = 0; i < row->count; i++) {
        const struct row_span *span = &row->spans[i];
        unsigned width = span->width;
        bool cut = false;

        if (span->flexible) {
            cut = flexible > flexible_room && width >= flexible_room;
            flexible -= width;
            if (cut)
                width = flexible_room;
            flexible_room -= width;
            if (!width)
                continue;
        }
        if (left > room && width >= room) { /* the last that is printed */
            print_span(row, span, out, color, room, ellipsis);
            return;
        }
        print_span(row, span, out, color, width, cut ? ellipsis : NULL);
        left -= width;
        room -= width;
    }
}
