/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing into a buffer whose size the caller has made sure of: each takes where to write and returns where to go on. For the two hot places, lines (emit.c)
 * and process heads (render.c); everything else builds text with common/text.h.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline char *put(char *to, const void *data, size_t size)
{
    memcpy(to, data, size);
    return to + size;
}

/* The same for short ones: `room` bytes, a constant, are copied whatever the size, so that there must be as many at either place. No call, no branch. */
#define PUT_SHORT(to, data, size, room) (memcpy((to), (data), (room)), (to) + (size))

#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

static inline char *put_string(char *to, const char *string)
{
    return put(to, string, strlen(string));
}

#define PUT_U64_MAX 20 /* digits */

/* Digits that a number has. */
static inline size_t put_u64_size(uint64_t value)
{
    size_t size = 1;

    for (; value >= 10000; value /= 10000)
        size += 4;
    return size + (value >= 10) + (value >= 100) + (value >= 1000);
}

static inline char *put_u64(char *to, uint64_t value)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    char *end = to + put_u64_size(value);

    for (to = end; value >= 100; value /= 100) {
        to -= 2;
        memcpy(to, pairs + value % 100 * 2, 2);
    }
    if (value >= 10)
        memcpy(to - 2, pairs + value * 2, 2);
    else
        to[-1] = (char)('0' + value);
    return end;
}

/* RFC 4648, with padding. 4 bytes for each 3 begun. */
static inline char *put_base64(char *to, const char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)data;

    for (; size >= 3; size -= 3, from += 3) {
        uint32_t three = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

        *to++ = digits[three >> 18];
        *to++ = digits[three >> 12 & 63];
        *to++ = digits[three >> 6 & 63];
        *to++ = digits[three & 63];
    }
    if (size > 0) {
        uint32_t rest = (uint32_t)from[0] << 16 | (size > 1 ? (uint32_t)from[1] << 8 : 0);

        *to++ = digits[rest >> 18];
        *to++ = digits[rest >> 12 & 63];
        *to++ = size > 1 ? digits[rest >> 6 & 63] : '=';
        *to++ = '=';
    }
    return to;
}
