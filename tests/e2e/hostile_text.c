/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/hostile_text.h"

#include <stdint.h>
#include <string.h>
#include "common/neutral.h"
#include "common/utf8.h"

#define FFFD "\xef\xbf\xbd"

const struct hostile_text hostile_texts[] = {
    {"escapes that clear, colour and name a terminal",
        "\033[2J\033[1;1H\033[31mred\033]0;owned\007\033P\033\\", NULL},
    {"a line of its own", "x\n{\"process_exec\":{\"process\":{\"pid\":1,\"pod\":{\"name\":\"victim\"}}}}\ny",
        NULL},
    {"the end of the string and a Pod", "\",\"pod\":{\"namespace\":\"shop\",\"name\":\"victim\"},\"x\":\"",
        NULL},
    {"backslashes", "\\", NULL},
    {"an escape sequence of JSON", "\\u0000\\n\\\"", NULL},
    {"control characters", "\001\b\t\v\f\r\016\037\177", NULL},
    {"C1 controls",
        "\xc2\x9b"
        "31m\xc2\x85\xc2\x90\xc2\x9d",
        NULL},
    {"U+2028 and U+2029",
        "a\xe2\x80\xa8"
        "b\xe2\x80\xa9"
        "c",
        NULL},
    {"bidi overrides and isolates",
        "\xe2\x80\xae"
        "gpj\xe2\x80\xac\xe2\x81\xa6x\xe2\x81\xa9\xe2\x80\x8f\xd8\x9c",
        NULL},
    {"invisible characters and tags", "a\xe2\x80\x8b\xef\xbb\xbf\xc2\xad\xf3\xa0\x80\x81z", NULL},
    {"noncharacters", "\xef\xbf\xbe\xf0\x9f\xbf\xbf", NULL},
    {"bytes that are no UTF-8", "\xff\xfe\x80", FFFD FFFD FFFD},
    {"overlong forms", "\xc0\xaf\xe0\x80\xaf", FFFD FFFD FFFD FFFD FFFD},
    {"surrogates", "\xed\xa0\x80\xed\xb0\x80", FFFD FFFD FFFD FFFD FFFD FFFD},
    {"above U+10FFFF", "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD},
    {"a character that is cut", "\xf0\x9f\x9a", FFFD},
    {"formats", "%s%n%1000000d$(id)`id`${IFS};&|<>*?~!#", NULL},
    {"spaces", "  a  ", NULL},
};
const size_t hostile_text_count = sizeof(hostile_texts) / sizeof(hostile_texts[0]);

/* The length of ESC [ … m at `data`, 0: it is something else. */
static size_t color_size(const char *data, size_t size)
{
    size_t at = 2;

    if (size < 3 || data[0] != '\033' || data[1] != '[')
        return 0;
    while (at < size && strchr("0123456789;", data[at]) && data[at])
        at++;
    return at < size && data[at] == 'm' ? at + 1 : 0;
}

size_t hostile_find(const char *data, size_t size, bool colors)
{
    size_t at = 0;

    while (at < size) {
        struct utf8_char c = utf8_decode((const uint8_t *)data + at, size - at);
        size_t color = colors ? color_size(data + at, size - at) : 0;

        if (!color && (!c.valid || (c.code != '\n' && neutral_is_unsafe(c.code))))
            return at;
        at += color ? color : c.size;
    }
    return size;
}
