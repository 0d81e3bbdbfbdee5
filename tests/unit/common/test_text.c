/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/neutral.h"
#include "common/utf8.h"

static uint64_t random_state = 1;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void expect_text(struct text *text, const char *expected)
{
    cr_expect_str_eq(text_terminate(text), expected);
    text_clear(text);
}

/* ---- building ---- */

Test(text, appended_pieces_stand_in_order)
{
    CLEANUP(text_deinit) struct text text = {0};

    text_append(&text, "ab\0c", 4);
    text_append(&text, NULL, 0);
    text_append_string(&text, "");
    text_append_char(&text, 'd');
    text_append_string(&text, "ef");
    cr_expect_eq(text.size, 7);
    cr_expect_arr_eq(text.data, "ab\0cdef", 7);
}

Test(text, empty_text_terminates_to_an_empty_string)
{
    CLEANUP(text_deinit) struct text text = {0};

    cr_expect_str_eq(text_terminate(&text), "");
    cr_expect_eq(text.size, 0);
}

Test(text, terminating_does_not_add_to_the_size)
{
    CLEANUP(text_deinit) struct text text = {0};

    for (unsigned i = 0; i < 1000; i++) {
        text_append_char(&text, 'x');
        cr_expect_eq(strlen(text_terminate(&text)), i + 1);
        cr_expect_eq(text.size, i + 1);
    }
}

Test(text, numbers_are_decimal)
{
    CLEANUP(text_deinit) struct text text = {0};
    const uint64_t values[] = {0, 9, 10, 99, 100, 101, 12345, 1000000, UINT32_MAX, UINT64_MAX};
    char expected[32];

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        (void)snprintf(expected, sizeof(expected), "%lu", values[i]);
        text_append_u64(&text, values[i]);
        expect_text(&text, expected);
        (void)snprintf(expected, sizeof(expected), "%ld", (long)values[i]);
        text_append_i64(&text, (int64_t)values[i]);
        expect_text(&text, expected);
    }
    text_append_i64(&text, INT64_MIN);
    expect_text(&text, "-9223372036854775808");
}

Test(text, format_grows_to_what_it_needs)
{
    CLEANUP(text_deinit) struct text text = {0};

    for (int width = 0; width < 2000; width += 7) {
        text_append_format(&text, "%*d|", width, 5);
        cr_expect_eq(text.size, (size_t)(width < 1 ? 2 : width + 1));
        cr_expect_eq(text.data[text.size - 1], '|');
        text_deinit(&text);
    }
}

Test(text, take_hands_the_memory_over)
{
    CLEANUP(text_deinit) struct text text = {0};
    CLEANUP_FREE char *taken = NULL;
    size_t size;

    text_append_string(&text, "abc");
    taken = text_take(&text, &size);
    cr_expect_str_eq(taken, "abc");
    cr_expect_eq(size, 3);
    cr_expect_null(text.data);
    cr_expect_eq(text.size, 0);
}

Test(text, failed_allocation_is_kept_until_cleared)
{
    CLEANUP(text_deinit) struct text text = {0};

    text_append_string(&text, "before");
    cr_expect_null(text_reserve(&text, SIZE_MAX));
    cr_expect(text.failed);
    text_append_string(&text, "after");
    text_append_char(&text, 'x');
    text_append_u64(&text, 1);
    text_append_format(&text, "%d", 1);
    text_append_time(&text, 1);
    text_append_base64(&text, "a", 1);
    cr_expect_eq(text_append_json(&text, "a", 1, 100), 0);
    cr_expect_eq(text.size, 6);
    cr_expect_null(text_take(&text, NULL));
    text_append_string(&text, "again");
    expect_text(&text, "again");
}

/* ---- JSON ---- */

static void expect_json(const char *input, size_t size, const char *expected)
{
    CLEANUP(text_deinit) struct text text = {0};

    cr_expect_eq(text_append_json(&text, input, size, SIZE_MAX), size);
    cr_expect_str_eq(text_terminate(&text), expected);
}
#define EXPECT_JSON(literal, expected) expect_json(literal, sizeof(literal) - 1, expected)

Test(text, json_escapes_what_must_not_stand)
{
    EXPECT_JSON("", "");
    EXPECT_JSON("plain /path-1.0", "plain /path-1.0");
    EXPECT_JSON("a\"b\\c", "a\\\"b\\\\c");
    EXPECT_JSON("\b\f\n\r\t", "\\b\\f\\n\\r\\t");
    EXPECT_JSON("\0\x01\x1f\x7f", "\\u0000\\u0001\\u001f\\u007f");
    EXPECT_JSON("\xc2\x80\xc2\x9f\xc2\xa0", "\\u0080\\u009f\xc2\xa0");
    EXPECT_JSON("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaf", "\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaf");
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is the point */
    EXPECT_JSON("\xe2\x80\xae\xd8\x9c\xef\xbb\xbf\xc2\xad", "\\u202e\\u061c\\ufeff\\u00ad");
    EXPECT_JSON("\xf3\xa0\x80\x81\xf0\x9f\xbf\xbf", "\\udb40\\udc01\\ud83f\\udfff");
    EXPECT_JSON("gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80");
}

Test(text, json_has_one_replacement_for_each_maximal_subpart)
{
    EXPECT_JSON("\x80", "\\ufffd");
    EXPECT_JSON("a\xffz", "a\\ufffdz");
    EXPECT_JSON("\xc0\xaf", "\\ufffd\\ufffd");                       /* overlong */
    EXPECT_JSON("\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd");            /* overlong */
    EXPECT_JSON("\xf0\x82\x82\xac", "\\ufffd\\ufffd\\ufffd\\ufffd"); /* overlong */
    EXPECT_JSON("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");            /* surrogate */
    EXPECT_JSON("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"); /* above U+10FFFF */
    EXPECT_JSON("\xf5\x80", "\\ufffd\\ufffd");
    EXPECT_JSON("\xe2\x82", "\\ufffd"); /* cut at the end */
    EXPECT_JSON("\xf0\x9f\x9a", "\\ufffd");
    EXPECT_JSON("\xf0\x9f\x9ax", "\\ufffdx");
    EXPECT_JSON("\xe2\x82\xe2\x82\xac", "\\ufffd\xe2\x82\xac");
    EXPECT_JSON("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64",
        "a\\ufffd\\ufffd\\ufffdb\\ufffdc\\ufffd\\ufffdd"); /* Unicode 15, table 3-11 */
}

Test(text, json_finds_special_bytes_at_every_place_of_a_block)
{
    static const char specials[] = {'"', '\\', '\n', 0x1f, 0x7f, (char)0x80, (char)0xff};

    for (size_t size = 1; size < 70; size++) {
        for (size_t at = 0; at < size; at++) {
            for (size_t s = 0; s < sizeof(specials); s++) {
                CLEANUP(text_deinit) struct text text = {0};
                char input[70];

                memset(input, 'a', sizeof(input));
                input[at] = specials[s];
                cr_assert_eq(text_append_json(&text, input, size, SIZE_MAX), size);
                cr_assert_eq(text.size, size - 1 + (s < 3 ? 2 : 6));
                cr_assert_eq(text.data[at], '\\');
            }
        }
    }
}

/* Bytes of all kinds, often enough valid. */
static size_t random_bytes(uint8_t *to, size_t max)
{
#define PIECE(literal)                                                                                       \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }
    static const struct {
        const char *data;
        size_t size;
    } pieces[] = {PIECE("\xc3\xa9"), PIECE("\xe2\x82\xac"), PIECE("\xf0\x9f\x9a\x80"), PIECE("\""),
        PIECE("\\"), PIECE("\n"), PIECE("\x7f"), PIECE("0123456789abcdefghij"), PIECE("\xed\xa0\x80"),
        PIECE("\xe2\x80\xa8")};
    size_t size = 0;

    while (size + 24 < max && next_random() % 40) {
        uint64_t r = next_random();

        if (r % 3 == 0) {
            to[size++] = (uint8_t)(r >> 8);
        } else {
            size_t i = (r >> 8) % (sizeof(pieces) / sizeof(pieces[0]));

            memcpy(to + size, pieces[i].data, pieces[i].size);
            size += pieces[i].size;
        }
    }
    return size;
}

Test(text, json_limit_cuts_between_characters_and_escapes)
{
    uint8_t input[400];

    for (unsigned round = 0; round < 3000; round++) {
        CLEANUP(text_deinit) struct text whole = {0};
        size_t size = random_bytes(input, sizeof(input)), limit;

        (void)text_append_json(&whole, input, size, SIZE_MAX);
        limit = whole.size ? next_random() % (whole.size + 2) : 0;
        {
            CLEANUP(text_deinit) struct text cut = {0}, rest = {0};
            size_t taken = text_append_json(&cut, input, size, limit);

            cr_assert_leq(cut.size, limit);
            cr_assert(taken == size || cut.size + 6 > limit, "room was left");
            /* What was taken and what was not are together what there is: nothing torn, nothing twice. */
            text_append(&rest, cut.data, cut.size);
            cr_assert_eq(text_append_json(&rest, input + taken, size - taken, SIZE_MAX), size - taken);
            cr_assert_eq(rest.size, whole.size);
            if (whole.size > 0)
                cr_assert_arr_eq(rest.data, whole.data, whole.size);
        }
    }
}

Test(text, json_of_any_bytes_is_read_by_another_parser)
{
    uint8_t input[600];

    for (unsigned round = 0; round < 3000; round++) {
        CLEANUP(text_deinit) struct text text = {0};
        size_t size = random_bytes(input, sizeof(input));
        json_error_t error;
        json_t *value;

        text_append_char(&text, '"');
        (void)text_append_json(&text, input, size, SIZE_MAX);
        text_append_char(&text, '"');
        value = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        cr_assert_not_null(value, "%s: %.*s", error.text, (int)text.size, text.data);
        for (size_t i = 0; i < text.size; i++)
            cr_assert(text.data[i] >= 0x20 || (text.data[i] & 0x80));
        json_decref(value);
    }
}

Test(text, json_string_has_quotes)
{
    CLEANUP(text_deinit) struct text text = {0};

    text_append_json_string(&text, "a\"b");
    expect_text(&text, "\"a\\\"b\"");
}

/* ---- base64 (RFC 4648, section 10) ---- */

Test(text, base64_is_that_of_the_rfc)
{
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"}};
    CLEANUP(text_deinit) struct text text = {0};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        text_append_base64(&text, pairs[i][0], strlen(pairs[i][0]));
        expect_text(&text, pairs[i][1]);
    }
}

/* ---- time ---- */

Test(text, time_drops_trailing_zeroes)
{
    CLEANUP(text_deinit) struct text text = {0};

    text_append_time(&text, 0);
    expect_text(&text, "1970-01-01T00:00:00Z");
    text_append_time(&text, UINT64_C(1795467300123456789));
    expect_text(&text, "2026-11-23T20:55:00.123456789Z");
    text_append_time(&text, UINT64_C(1795467300100000000));
    expect_text(&text, "2026-11-23T20:55:00.1Z");
    text_append_time(&text, UINT64_C(1795467300000000001));
    expect_text(&text, "2026-11-23T20:55:00.000000001Z");
    text_append_time(&text, UINT64_C(951782399) * NS_PER_SEC);
    expect_text(&text, "2000-02-28T23:59:59Z");
    text_append_time(&text, UINT64_C(951782400) * NS_PER_SEC);
    expect_text(&text, "2000-02-29T00:00:00Z");
}

Test(text, time_agrees_with_libc_on_every_day_to_the_end)
{
    CLEANUP(text_deinit) struct text text = {0};
    char expected[64];

    for (uint64_t seconds = 0; seconds < UINT64_MAX / NS_PER_SEC; seconds += 86399) {
        time_t t = (time_t)seconds;
        struct tm tm;

        (void)gmtime_r(&t, &tm);
        (void)strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm);
        text_append_time(&text, seconds * NS_PER_SEC);
        cr_assert_str_eq(text_terminate(&text), expected);
        text_clear(&text);
    }
    text_append_time(&text, UINT64_MAX);
    expect_text(&text, "2554-07-21T23:34:33.709551615Z");
}

/* ---- for terminals ---- */

static void expect_neutral(const char *input, size_t size, const char *expected)
{
    CLEANUP(text_deinit) struct text text = {0};

    text_append_neutral(&text, input, size);
    cr_expect_str_eq(text_terminate(&text), expected);
}
#define EXPECT_NEUTRAL(literal, expected) expect_neutral(literal, sizeof(literal) - 1, expected)

Test(text, neutral_shows_what_a_terminal_would_obey)
{
    EXPECT_NEUTRAL("", "");
    EXPECT_NEUTRAL("plain gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80", "plain gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80");
    EXPECT_NEUTRAL("\x1b[31m", "\\x1b[31m");
    EXPECT_NEUTRAL("a\0b\x7f", "a\\x00b\\x7f");
    EXPECT_NEUTRAL("1\n2\r3\t4", "1\\n2\\r3\\t4");
    EXPECT_NEUTRAL("\xc2\x9b"
                   "31m",
        "\\u009b31m");
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what is tested */
    EXPECT_NEUTRAL("\xe2\x80\xaegpj.exe", "\\u202egpj.exe");
    EXPECT_NEUTRAL("\xe2\x81\xa6x\xe2\x81\xa9", "\\u2066x\\u2069");
    EXPECT_NEUTRAL("\xf3\xa0\x81\x81", "\\U000e0041");
    EXPECT_NEUTRAL("\xff\xed\xa0\x80", "\\xff\\xed\\xa0\\x80");
    EXPECT_NEUTRAL("back\\slash", "back\\slash");
}

Test(text, neutral_output_is_safe_for_any_bytes)
{
    uint8_t input[400];

    for (unsigned round = 0; round < 2000; round++) {
        CLEANUP(text_deinit) struct text text = {0};
        size_t size = random_bytes(input, sizeof(input));

        text_append_neutral(&text, input, size);
        for (size_t at = 0; at < text.size;) {
            struct utf8_char c = utf8_decode((const uint8_t *)text.data + at, text.size - at);

            cr_assert(c.valid && !neutral_is_unsafe(c.code));
            at += c.size;
        }
    }
}

/* ---- JSON into memory of the caller's ---------------------------------------------------------------------- */

/* At every limit the same as the growing text, and never a byte behind it. */
Test(text, json_put_into_memory_is_the_same_at_every_limit)
{
    static const char hostile[] =
        "plain text that is longer than a vector, \"quoted\\\" \x01\x7f\n\xff\xc3\xa4 \xe2\x80\xa8 "
        "\xf0\x9f\x9a\x80 and more plain text behind it\xc3";

    for (size_t limit = 0; limit < 2 * sizeof(hostile); limit++) {
        struct text expected = {0};
        size_t wanted = text_append_json(&expected, hostile, sizeof(hostile) - 1, limit), taken = 0;
        char memory[4 * sizeof(hostile)], *end;

        memset(memory, '#', sizeof(memory));
        end = text_put_json(memory, limit, hostile, sizeof(hostile) - 1, &taken);
        cr_expect_eq(taken, wanted, "limit %zu", limit);
        cr_expect_eq((size_t)(end - memory), expected.size, "limit %zu", limit);
        cr_expect_eq(
            memcmp(memory, expected.data ? expected.data : "", expected.size), 0, "limit %zu", limit);
        cr_expect_eq(memory[limit], '#', "limit %zu", limit);
        if (taken == sizeof(hostile) - 1)
            cr_expect_eq(text_json_size(hostile, sizeof(hostile) - 1), expected.size);
        text_deinit(&expected);
    }
}

Test(text, json_size_is_that_of_the_worst)
{
    char controls[64];

    memset(controls, 1, sizeof(controls));
    cr_expect_eq(text_json_size(controls, sizeof(controls)), 6 * sizeof(controls));
    cr_expect_eq(text_json_size(NULL, 0), 0);
}
