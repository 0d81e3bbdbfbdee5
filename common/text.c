/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define FIRST_CAPACITY 256

static const char digit_pairs[] = "0001020304050607080910111213141516171819"
                                  "2021222324252627282930313233343536373839"
                                  "4041424344454647484950515253545556575859"
                                  "6061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

void text_deinit(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

void text_clear(struct text *text)
{
    text->size = 0;
    text->failed = false;
}

static bool grow(struct text *text, size_t size)
{
    size_t capacity = text->capacity ? text->capacity : FIRST_CAPACITY;
    size_t wanted;
    char *data;

    if (__builtin_add_overflow(text->size, size, &wanted) || wanted > SIZE_MAX / 2)
        return false;
    while (capacity < wanted)
        capacity *= 2;
    data = realloc(text->data, capacity);
    if (!data)
        return false;
    text->data = data;
    text->capacity = capacity;
    return true;
}

char *text_reserve(struct text *text, size_t size)
{
    if (text->failed)
        return NULL;
    if ((!text->data || size > text->capacity - text->size) && !grow(text, size)) {
        text->failed = true;
        return NULL;
    }
    return text->data + text->size;
}

void text_append(struct text *text, const void *data, size_t size)
{
    char *room;

    if (size == 0)
        return;
    room = text_reserve(text, size);
    if (!room)
        return;
    memcpy(room, data, size);
    text_commit(text, size);
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_append_char(struct text *text, char c)
{
    char *room = text_reserve(text, 1);

    if (!room)
        return;
    *room = c;
    text_commit(text, 1);
}

void text_append_u64(struct text *text, uint64_t value)
{
    char digits[20]; /* 2^64 - 1 has 20 */
    size_t at = sizeof(digits);

    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, digit_pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    text_append(text, digits + at, sizeof(digits) - at);
}

void text_append_i64(struct text *text, int64_t value)
{
    if (value < 0)
        text_append_char(text, '-');
    text_append_u64(text, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void text_append_format(struct text *text, const char *format, ...)
{
    size_t room;
    va_list args;
    int size;

    if (!text_reserve(text, 1))
        return;
    room = text->capacity - text->size;
    va_start(args, format);
    size = vsnprintf(text->data + text->size, room, format, args);
    va_end(args);
    if (size < 0) {
        text->failed = true;
        return;
    }
    if ((size_t)size >= room) {
        if (!text_reserve(text, (size_t)size + 1))
            return;
        va_start(args, format);
        (void)vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
        va_end(args);
    }
    text_commit(text, (size_t)size);
}

const char *text_terminate(struct text *text)
{
    char *room = text_reserve(text, 1);

    if (!room)
        return "";
    *room = '\0';
    return text->data;
}

char *text_take(struct text *text, size_t *ret_size)
{
    char *data = NULL;

    if (text->failed || !text_reserve(text, 1)) {
        text_deinit(text);
        return NULL;
    }
    data = text->data;
    data[text->size] = '\0';
    if (ret_size)
        *ret_size = text->size;
    *text = (struct text){0};
    return data;
}

void text_append_base64(struct text *text, const void *data, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = data;
    size_t groups = size / 3 + (size % 3 != 0);
    char *to;

    if (groups == 0)
        return;
    to = groups > SIZE_MAX / 8 ? NULL : text_reserve(text, groups * 4);
    if (!to) {
        text->failed = true;
        return;
    }
    for (; size >= 3; size -= 3, from += 3, to += 4) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

        to[0] = alphabet[bits >> 18];
        to[1] = alphabet[bits >> 12 & 63];
        to[2] = alphabet[bits >> 6 & 63];
        to[3] = alphabet[bits & 63];
    }
    if (size > 0) {
        uint32_t bits = (uint32_t)from[0] << 16 | (size == 2 ? (uint32_t)from[1] << 8 : 0);

        to[0] = alphabet[bits >> 18];
        to[1] = alphabet[bits >> 12 & 63];
        to[2] = size == 2 ? alphabet[bits >> 6 & 63] : '=';
        to[3] = '=';
    }
    text_commit(text, groups * 4);
}

struct date {
    unsigned year, month, day;
};

/* Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap day is the
 * last of its year; a month's first day is then (153·m + 2) / 5. */
static struct date date_of_days(uint64_t days)
{
    uint64_t shifted = days + 719468; /* since 0000-03-01 */
    uint64_t era = shifted / 146097;  /* 400 years */
    unsigned day_of_era = (unsigned)(shifted % 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    struct date date;

    date.day = day_of_year - (153 * month + 2) / 5 + 1;
    date.month = month < 10 ? month + 3 : month - 9;
    date.year = (unsigned)(era * 400) + year_of_era + (date.month <= 2);
    return date;
}

static char *put_two(char *to, unsigned value)
{
    memcpy(to, digit_pairs + (size_t)value * 2, 2);
    return to + 2;
}

void text_append_time(struct text *text, uint64_t unix_ns)
{
    uint64_t seconds = unix_ns / NS_PER_SEC;
    uint32_t fraction = (uint32_t)(unix_ns % NS_PER_SEC);
    unsigned second_of_day = (unsigned)(seconds % 86400);
    struct date date = date_of_days(seconds / 86400);
    char *start = text_reserve(text, sizeof("2026-11-23T20:55:00.123456789Z"));
    char *to = start;

    if (!start)
        return;
    to = put_two(to, date.year / 100); /* 64 bits of ns end in 2554: always four digits */
    to = put_two(to, date.year % 100);
    *to++ = '-';
    to = put_two(to, date.month);
    *to++ = '-';
    to = put_two(to, date.day);
    *to++ = 'T';
    to = put_two(to, second_of_day / 3600);
    *to++ = ':';
    to = put_two(to, second_of_day / 60 % 60);
    *to++ = ':';
    to = put_two(to, second_of_day % 60);
    if (fraction) {
        *to++ = '.';
        for (uint32_t unit = NS_PER_SEC / 10; fraction > 0; unit /= 10) {
            *to++ = (char)('0' + fraction / unit);
            fraction %= unit;
        }
    }
    *to++ = 'Z';
    text_commit(text, (size_t)(to - start));
}
