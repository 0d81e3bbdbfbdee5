/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/neutral.h"
#include "common/utf8.h"

#define ESCAPE_MAX   12 /* \udb40\udc01 */
#define SPECIAL_ROOM 64 /* reserved at once for characters that are not clean */

static bool is_clean(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes at the start go out as they are: printable ASCII but quote and backslash. */
static size_t clean_run(const uint8_t *data, size_t size)
{
    size_t at = 0;

#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(0x20), quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\'), del = _mm_set1_epi8(0x7f);

    for (; size - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        /* The comparison is signed: below space are the controls and all of 0x80 and above. */
        __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(block, space), _mm_cmpeq_epi8(block, del)),
            _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);

        if (mask)
            return at + (size_t)__builtin_ctz(mask);
    }
#endif
    while (at < size && is_clean(data[at]))
        at++;
    return at;
}

static size_t put_unicode_escape(char *to, uint32_t code)
{
    static const char hex[] = "0123456789abcdef";

    to[0] = '\\';
    to[1] = 'u';
    to[2] = hex[code >> 12 & 15];
    to[3] = hex[code >> 8 & 15];
    to[4] = hex[code >> 4 & 15];
    to[5] = hex[code & 15];
    return 6;
}

/* Beyond 16 bits as a pair of surrogates. */
static size_t put_escape(char *to, uint32_t code)
{
    if (code < 0x10000)
        return put_unicode_escape(to, code);
    code -= 0x10000;
    (void)put_unicode_escape(to, 0xd800 | code >> 10);
    (void)put_unicode_escape(to + 6, 0xdc00 | (code & 0x3ff));
    return 12;
}

static size_t put_short_escape(char *to, char letter)
{
    to[0] = '\\';
    to[1] = letter;
    return 2;
}

/* One character that is not clean, as it stands in JSON. Escaped beyond RFC 8259: what must not reach a terminal as it is (neutral.h), as logs are looked at with
 * cat(1), too. Returns the size written, at most ESCAPE_MAX. */
static size_t put_char(char *to, struct utf8_char c, const uint8_t *from)
{
    if (!c.valid)
        return put_unicode_escape(to, 0xfffd);
    switch (c.code) {
    case '"':
    case '\\':
        return put_short_escape(to, (char)c.code);
    case '\b':
        return put_short_escape(to, 'b');
    case '\f':
        return put_short_escape(to, 'f');
    case '\n':
        return put_short_escape(to, 'n');
    case '\r':
        return put_short_escape(to, 'r');
    case '\t':
        return put_short_escape(to, 't');
    default:
        break;
    }
    if (neutral_is_unsafe(c.code))
        return put_escape(to, c.code);
    memcpy(to, from, c.size);
    return c.size;
}

/* Characters that are not clean, up to the first that is or until the room is used; at least one, unless it
 * would pass the limit. Returns the bytes taken. */
static size_t append_special(struct text *text, const uint8_t *from, size_t size, size_t *limit)
{
    char *to = text->data + text->size;
    size_t at = 0, used = 0;

    while (at < size && used + ESCAPE_MAX <= SPECIAL_ROOM && !is_clean(from[at])) {
        struct utf8_char c = utf8_decode(from + at, size - at);
        size_t written =
            put_char(to + used, c, from + at); /* there is room for it, whether it is kept or not */

        if (written > *limit) {
            *limit = 0;
            break;
        }
        used += written;
        *limit -= written;
        at += c.size;
    }
    text_commit(text, used);
    return at;
}

size_t text_append_json(struct text *text, const void *data, size_t size, size_t limit)
{
    const uint8_t *from = data;
    size_t at = 0;

    while (at < size && limit > 0) {
        size_t run = clean_run(from + at, size - at < limit ? size - at : limit);
        char *to = text_reserve(text, run + SPECIAL_ROOM);

        if (!to)
            break;
        if (run > 0) {
            memcpy(to, from + at, run);
            text_commit(text, run);
            at += run;
            limit -= run;
        }
        if (at < size && limit > 0)
            at += append_special(text, from + at, size - at, &limit);
    }
    return at;
}

char *text_put_json(char *to, size_t limit, const void *data, size_t size, size_t *ret_taken)
{
    const uint8_t *from = data;
    const char *end = to + limit;
    size_t at = 0;

    while (at < size) {
        size_t room = (size_t)(end - to), written;
        size_t run = clean_run(from + at, size - at < room ? size - at : room);
        char escaped[ESCAPE_MAX];
        struct utf8_char c;

        memcpy(to, from + at, run);
        to += run;
        at += run;
        if (at == size)
            break;
        c = utf8_decode(from + at, size - at);
        written = put_char(escaped, c, from + at);
        if (written > (size_t)(end - to))
            break;
        memcpy(to, escaped, written);
        to += written;
        at += c.size;
    }
    *ret_taken = at;
    return to;
}

size_t text_json_size(const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t written = 0;

    for (size_t at = 0; at < size;) {
        size_t run = clean_run(from + at, size - at);
        char escaped[ESCAPE_MAX];
        struct utf8_char c;

        written += run;
        at += run;
        if (at == size)
            break;
        c = utf8_decode(from + at, size - at);
        written += put_char(escaped, c, from + at);
        at += c.size;
    }
    return written;
}

void text_append_json_string(struct text *text, const char *string)
{
    text_append_char(text, '"');
    (void)text_append_json(text, string, strlen(string), SIZE_MAX);
    text_append_char(text, '"');
}
