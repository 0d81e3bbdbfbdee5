// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/json_pull.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include "common/text.h"

static struct json_pull pull(const char *text)
{
    struct json_pull json;

    json_init(&json, text, strlen(text));
    return json;
}

static bool skips_whole(const char *text)
{
    struct json_pull json = pull(text);

    json_skip(&json);
    return json_done(&json);
}

Test(json_pull, members_come_in_order_and_nested_ones_can_be_entered_or_skipped)
{
    struct json_pull json = pull(" { \"a\" : {\"x\":[1,2,{}]} , \"b\":\"s\", \"c\": [ \"1\" , 2 ] } \n");
    struct slice key, value;
    int64_t number, sum = 0;

    cr_assert(json_object_begin(&json));
    cr_assert(json_object_next(&json, &key) && SLICE_IS(key, "a"));
    value = json_skip(&json);
    cr_assert(SLICE_IS(value, "{\"x\":[1,2,{}]}"));
    cr_assert(json_object_next(&json, &key) && SLICE_IS(key, "b"));
    value = json_string(&json);
    cr_assert(SLICE_IS(value, "s"));
    cr_assert(json_object_next(&json, &key) && SLICE_IS(key, "c"));
    cr_assert(json_array_begin(&json));
    while (json_array_next(&json)) {
        cr_assert(json_i64(&json, &number));
        sum += number;
    }
    cr_assert(eq(i64, sum, 3));
    cr_assert_not(json_object_next(&json, &key));
    cr_assert(json_done(&json));
}

Test(json_pull, empty_object_and_array_have_no_members)
{
    struct json_pull object = pull("{}"), array = pull("[ ]");
    struct slice key;

    cr_assert(json_object_begin(&object));
    cr_assert_not(json_object_next(&object, &key));
    cr_assert(json_done(&object));
    cr_assert(json_array_begin(&array));
    cr_assert_not(json_array_next(&array));
    cr_assert(json_done(&array));
}

static bool reads_object(const char *text)
{
    struct json_pull json = pull(text);
    struct slice key;

    json_object_begin(&json);
    while (json_object_next(&json, &key))
        json_skip(&json);
    return json_done(&json);
}

Test(json_pull, what_cannot_be_json_fails)
{
    static const char *const bad[] = {"", " ", "{", "{\"a\"", "{\"a\":", "{\"a\":}", "{\"a\":1", "{\"a\":1,}",
        "{,\"a\":1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{a:1}", "{\"a\":1}}", "{\"a\":1} x", "{\"a\":\"b}",
        "{\"a\":\"b\\\"}", "{\"a\":[1,2}", "{\"a\":{]}", "[]", "1", "\"x\"", "{\"a\":?}", "{1:2}"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(reads_object(bad[i]), "%s", bad[i]);
}

Test(json_pull, every_prefix_of_a_line_fails_and_reads_no_further)
{
    static const char text[] = "{\"process_exec\":{\"process\":{\"pid\":1,\"args\":[\"a\\\"b\",\"\\\\\"],"
                               "\"x\":null}},\"t\":\"2026\",\"n\":-1.5e3}";

    cr_assert(reads_object(text));
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        char *copy = strndup(text, size); /* its end is where a sanitizer looks */

        cr_expect_not(reads_object(copy), "%s", copy);
        free(copy);
    }
}

Test(json_pull, nesting_deeper_than_the_limit_fails)
{
    char text[2 * (JSON_DEPTH_MAX + 1) + 1] = "";

    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    cr_assert(skips_whole(text));
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    cr_assert_not(skips_whole(text));
}

Test(json_pull, a_string_ends_at_its_own_quote_wherever_escapes_stand)
{
    static const char rest[] = {'\\', '\\', '\\', '"', '"', 't', 'a', 'i', 'l'};

    for (size_t before = 0; before < 40; before++) {
        char text[96];
        struct json_pull json;
        struct slice value;

        memset(text, 'x', sizeof(text));
        text[0] = '"';
        memcpy(text + 1 + before, rest, sizeof(rest));
        json_init(&json, text, 1 + before + sizeof(rest));
        value = json_string(&json);
        cr_assert_not(json.failed);
        cr_assert(eq(sz, value.size, before + 4));
    }
}

Test(json_pull, integers_come_as_numbers_or_strings)
{
    static const struct {
        const char *text;
        bool valid;
        int64_t value;
    } cases[] = {{"0", true, 0}, {"-17", true, -17},
        {"\"18446612686395834112\"", true, (int64_t)UINT64_C(18446612686395834112)}, {"1.9", true, 1},
        {"\"\"", false, 0}, {"\"x\"", false, 0}, {"null", false, 0}, {"{}", false, 0}, {"[1]", false, 0},
        {"99999999999999999999", false, 0}, {"-", false, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_pull json = pull(cases[i].text);
        int64_t value = 0;

        cr_expect(eq(int, json_i64(&json, &value), cases[i].valid), "%s", cases[i].text);
        cr_expect(eq(i64, value, cases[i].value), "%s", cases[i].text);
        cr_expect(json_done(&json), "%s", cases[i].text);
    }
}

Test(json_pull, unescape_gives_what_is_meant)
{
    static const struct {
        const char *raw, *meant;
    } cases[] = {{"plain", "plain"}, {"a\\\"b\\\\c\\/d", "a\"b\\c/d"}, {"\\b\\f\\n\\r\\t", "\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u20ac", "Aé€"}, {"\\ud83d\\ude80", "🚀"}, {"\\ud83d", "\xef\xbf\xbd"},
        {"\\ude80x", "\xef\xbf\xbdx"},
        {"\\ud83d\\u0041", "\xef\xbf\xbd"
                           "A"},
        {"\\uD83Dxx", "\xef\xbf\xbd"
                      "xx"},
        {"\\u00g0", "\\u00g0"}, {"\\u12", "\\u12"}, {"\\q", "\\q"}, {"end\\", "end\\"}, {"", ""}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text text = {0};

        json_unescape(&text, (struct slice){cases[i].raw, strlen(cases[i].raw)});
        cr_expect(eq(str, (char *)text_terminate(&text), (char *)cases[i].meant));
        text_deinit(&text);
    }
}
