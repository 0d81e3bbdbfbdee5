// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/json_pull.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "common/text.h"

void json_init(struct json_pull *json, const char *data, size_t size)
{
    if (!data)
        data = ""; /* an absent slice: there is no arithmetic on NULL */
    *json = (struct json_pull){.at = data, .end = data + size};
}

static void fail(struct json_pull *json)
{
    json->failed = true;
    json->at = json->end;
}

static void skip_space(struct json_pull *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
}

enum json_kind json_peek(struct json_pull *json)
{
    skip_space(json);
    if (json->at == json->end)
        return JSON_NONE;
    switch (*json->at) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    case '-':
    case '0' ... '9':
        return JSON_NUMBER;
    default:
        return JSON_NONE;
    }
}

/* The closing quote of the string whose contents begin at `at`; NULL: there is none. */
static const char *find_quote(const char *at, const char *end)
{
    for (;;) {
#ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"');
        const __m128i backslash = _mm_set1_epi8('\\');

        while (end - at >= 16) {
            __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
            int hits = _mm_movemask_epi8(
                _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)));

            if (hits) {
                at += __builtin_ctz((unsigned)hits);
                break;
            }
            at += 16;
        }
#endif
        while (at < end && *at != '"' && *at != '\\')
            at++;
        if (at == end)
            return NULL;
        if (*at == '"')
            return at;
        if (end - at < 2)
            return NULL;
        at += 2;
    }
}

static bool begin(struct json_pull *json, char bracket)
{
    skip_space(json);
    if (json->at == json->end || *json->at != bracket) {
        fail(json);
        return false;
    }
    json->at++;
    json->first = true;
    return true;
}

/* Whether another member follows; steps over the comma or the closing bracket. */
static bool next(struct json_pull *json, char bracket)
{
    bool first = json->first;

    json->first = false;
    skip_space(json);
    if (json->at == json->end) {
        fail(json);
        return false;
    }
    if (*json->at == bracket) {
        json->at++;
        return false;
    }
    if (first)
        return true;
    if (*json->at != ',') {
        fail(json);
        return false;
    }
    json->at++;
    return true;
}

bool json_object_begin(struct json_pull *json)
{
    return begin(json, '{');
}

bool json_array_begin(struct json_pull *json)
{
    return begin(json, '[');
}

bool json_array_next(struct json_pull *json)
{
    if (!next(json, ']'))
        return false;
    if (json_peek(json) == JSON_NONE)
        fail(json);
    return !json->failed;
}

bool json_object_next(struct json_pull *json, struct slice *ret_key)
{
    struct slice key;

    if (!next(json, '}'))
        return false;
    key = json_string(json);
    skip_space(json);
    if (json->failed || json->at == json->end || *json->at != ':') {
        fail(json);
        return false;
    }
    json->at++;
    if (json_peek(json) == JSON_NONE) {
        fail(json);
        return false;
    }
    *ret_key = key;
    return true;
}

struct slice json_string(struct json_pull *json)
{
    const char *start, *quote;

    skip_space(json);
    if (json->at == json->end || *json->at != '"') {
        fail(json);
        return (struct slice){0};
    }
    start = json->at + 1;
    quote = find_quote(start, json->end);
    if (!quote) {
        fail(json);
        return (struct slice){0};
    }
    json->at = quote + 1;
    return (struct slice){start, (size_t)(quote - start)};
}

static void skip_scalar(struct json_pull *json)
{
    while (json->at < json->end) {
        char c = *json->at;

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
                c == 'E'))
            return;
        json->at++;
    }
}

/* From an opening bracket to the one that closes it. `objects` has a bit a level: set for an object. */
static void skip_brackets(struct json_pull *json)
{
    uint64_t objects = 0;
    unsigned depth = 0;

    while (json->at < json->end) {
        char c = *json->at++;

        if (c == '"') {
            const char *quote = find_quote(json->at, json->end);

            if (!quote)
                break;
            json->at = quote + 1;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                break;
            objects = objects << 1 | (c == '{');
        } else if (c == '}' || c == ']') {
            if ((objects & 1) != (c == '}'))
                break;
            objects >>= 1;
            if (--depth == 0)
                return;
        }
    }
    fail(json);
}

struct slice json_skip(struct json_pull *json)
{
    enum json_kind kind = json_peek(json);
    const char *start = json->at;

    switch (kind) {
    case JSON_NONE:
        fail(json);
        break;
    case JSON_STRING:
        json_string(json);
        break;
    case JSON_OBJECT:
    case JSON_ARRAY:
        skip_brackets(json);
        break;
    case JSON_NULL:
    case JSON_BOOL:
    case JSON_NUMBER:
        skip_scalar(json);
        break;
    }
    if (json->failed)
        return (struct slice){0};
    return (struct slice){start, (size_t)(json->at - start)};
}

bool json_i64(struct json_pull *json, int64_t *ret)
{
    enum json_kind kind = json_peek(json);
    struct slice raw = json_skip(json);
    bool negative = false;
    uint64_t value = 0;
    size_t i = 0, start;

    if (json->failed || (kind != JSON_NUMBER && kind != JSON_STRING))
        return false;
    if (kind == JSON_STRING)
        raw = (struct slice){raw.data + 1, raw.size - 2};
    if (i < raw.size && raw.data[i] == '-') {
        negative = true;
        i++;
    }
    for (start = i; i < raw.size && raw.data[i] >= '0' && raw.data[i] <= '9'; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(raw.data[i] - '0'), &value))
            return false;
    }
    if (i == start)
        return false;
    *ret = (int64_t)(negative ? -value : value);
    return true;
}

bool json_done(struct json_pull *json)
{
    skip_space(json);
    return !json->failed && json->at == json->end;
}

static int hex4(const char *at)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        char c = at[i];

        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static void append_code_point(struct text *text, uint32_t c)
{
    char out[4];
    size_t size;

    if (c < 0x80) {
        out[0] = (char)c;
        size = 1;
    } else if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        size = 2;
    } else if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        size = 3;
    } else {
        out[0] = (char)(0xf0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3f));
        out[2] = (char)(0x80 | (c >> 6 & 0x3f));
        out[3] = (char)(0x80 | (c & 0x3f));
        size = 4;
    }
    text_append(text, out, size);
}

/* `at` is behind "\u". Returns how many bytes it took. */
static size_t unescape_unicode(struct text *text, const char *at, const char *end)
{
    int high = end - at >= 4 ? hex4(at) : -1;
    int low;

    if (high < 0) {
        text_append(text, "\\u", 2);
        return 0;
    }
    if (high < 0xd800 || high > 0xdfff) {
        append_code_point(text, (uint32_t)high);
        return 4;
    }
    low = high < 0xdc00 && end - at >= 10 && at[4] == '\\' && at[5] == 'u' ? hex4(at + 6) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        append_code_point(text, 0xfffd);
        return 4;
    }
    append_code_point(text, 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
    return 10;
}

void json_unescape(struct text *text, struct slice raw)
{
    static const char meaning[256] = {['"'] = '"',
        ['\\'] = '\\',
        ['/'] = '/',
        ['b'] = '\b',
        ['f'] = '\f',
        ['n'] = '\n',
        ['r'] = '\r',
        ['t'] = '\t'};
    const char *at = raw.data, *end = raw.data + raw.size;

    while (at < end) {
        const char *backslash = memchr(at, '\\', (size_t)(end - at));

        if (!backslash || end - backslash < 2)
            break;
        text_append(text, at, (size_t)(backslash - at));
        at = backslash + 2;
        if (backslash[1] == 'u')
            at += unescape_unicode(text, at, end);
        else if (meaning[(unsigned char)backslash[1]])
            text_append_char(text, meaning[(unsigned char)backslash[1]]);
        else
            text_append(text, backslash, 2);
    }
    if (at < end)
        text_append(text, at, (size_t)(end - at));
}

bool slice_has_prefix(struct slice slice, const char *prefix)
{
    size_t size = strlen(prefix);

    return slice.size >= size && memcmp(slice.data, prefix, size) == 0;
}
