/* SPDX-License-Identifier: Apache-2.0 */
#include "common/neutral.h"

#include "common/text.h"
#include "common/utf8.h"

/* In order; the C0 controls are seen to without it. */
static const struct {
    uint32_t first, last;
} unsafe_ranges[] = {
    {0x007f, 0x009f}, {0x00ad, 0x00ad}, /* soft hyphen */
    {0x061c, 0x061c},                   /* Arabic letter mark */
    {0x115f, 0x1160},                   /* Hangul fillers: look like nothing */
    {0x180e, 0x180e},                   /* Mongolian vowel separator */
    {0x200b, 0x200f},                   /* zero width, left-to-right and right-to-left marks */
    {0x2028, 0x202e},                   /* separators, bidi embeddings and overrides */
    {0x2060, 0x206f},                   /* invisible operators, bidi isolates */
    {0x3164, 0x3164},                   /* Hangul filler */
    {0xfdd0, 0xfdef},                   /* noncharacters */
    {0xfeff, 0xfeff},                   /* byte order mark */
    {0xffa0, 0xffa0},                   /* halfwidth Hangul filler */
    {0xfff0, 0xfffb},                   /* interlinear annotation and unassigned */
    {0xe0000, 0xe0fff},                 /* tags, variation selectors supplement */
};

bool neutral_is_unsafe(uint32_t code)
{
    if (code < 0x7f)
        return code < 0x20;
    if ((code & 0xfffe) == 0xfffe)
        return true;
    for (size_t i = 0; i < sizeof(unsafe_ranges) / sizeof(unsafe_ranges[0]); i++) {
        if (code < unsafe_ranges[i].first)
            return false;
        if (code <= unsafe_ranges[i].last)
            return true;
    }
    return false;
}

static void append_bytes_visible(struct text *text, const uint8_t *data, size_t size)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        char shown[4] = {'\\', 'x', hex[data[i] >> 4], hex[data[i] & 15]};
        text_append(text, shown, sizeof(shown));
    }
}

static void append_char_visible(struct text *text, uint32_t code, const uint8_t *data)
{
    if (code == '\n')
        text_append(text, "\\n", 2);
    else if (code == '\t')
        text_append(text, "\\t", 2);
    else if (code == '\r')
        text_append(text, "\\r", 2);
    else if (code < 0x80)
        append_bytes_visible(text, data, 1);
    else if (code < 0x10000)
        text_append_format(text, "\\u%04x", code);
    else
        text_append_format(text, "\\U%08x", code);
}

void text_append_neutral(struct text *text, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    size_t start = 0, at = 0; /* [start, at): clean, not yet appended */

    while (at < size) {
        struct utf8_char c = utf8_decode(bytes + at, size - at);

        if (c.valid && !neutral_is_unsafe(c.code)) {
            at += c.size;
            continue;
        }
        text_append(text, bytes + start, at - start);
        if (c.valid)
            append_char_visible(text, c.code, bytes + at);
        else
            append_bytes_visible(text, bytes + at, c.size);
        at += c.size;
        start = at;
    }
    if (at > start)
        text_append(text, bytes + start, at - start);
}
