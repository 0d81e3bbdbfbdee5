/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* UTF-8 as in RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct utf8_char {
    uint32_t code; /* when valid */
    uint8_t size;  /* bytes; of an invalid sequence its maximal subpart (Unicode 15, table 3-8): at least 1 */
    bool valid;
};

/* Decodes the character at `data`; size > 0. */
static inline struct utf8_char utf8_decode(const uint8_t *data, size_t size)
{
    uint8_t lead = data[0], low = 0x80, high = 0xbf;
    unsigned more;
    uint32_t code;

    if (lead < 0x80)
        return (struct utf8_char){lead, 1, true};
    if (lead < 0xc2 || lead > 0xf4)
        return (struct utf8_char){0, 1, false};
    more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    code = lead & (0x3fu >> more);
    /* What the second byte may be keeps out overlong forms, surrogates and codes that are too great. */
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    for (unsigned i = 1; i <= more; i++) {
        if (i >= size || data[i] < low || data[i] > high)
            return (struct utf8_char){0, (uint8_t)i, false};
        code = code << 6 | (data[i] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    return (struct utf8_char){code, (uint8_t)(more + 1), true};
}
