// SPDX-License-Identifier: Apache-2.0
/* The compact lines against tests/golden: PODKIN_UPDATE_GOLDEN=1 writes them anew, to be read before they are committed. */
#include "enricher/cli/compact.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void use_utf8(void)
{
    cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

TestSuite(compact, .init = use_utf8);

static char *golden_path(const char *name)
{
    static char path[4096];
    const char *root = getenv("PODKIN_SOURCE_ROOT");

    (void)snprintf(path, sizeof(path), "%s/tests/golden/%s", root ? root : ".", name);
    return path;
}

static char *read_golden(const char *name)
{
    FILE *file = fopen(golden_path(name), "re");
    char *data = calloc(1, 1 << 20);

    cr_assert_not_null(data);
    cr_assert_not_null(file, "%s", golden_path(name));
    cr_assert(lt(sz, fread(data, 1, (1 << 20) - 1, file), (1 << 20) - 1));
    (void)fclose(file);
    return data;
}

static char *rendered(const char *lines, const struct compact_options *options)
{
    struct compact compact;
    struct text out = {0};

    compact_init(&compact, options);
    for (const char *at = lines; *at;) {
        size_t size = strcspn(at, "\n");
        struct line line;

        cr_assert(eq(int, line_parse(&line, at, size), 0));
        compact_show(&compact, &line, &out);
        at += size + (at[size] == '\n');
    }
    compact_deinit(&compact);
    return text_take(&out, NULL);
}

static void compare(const char *input, const char *expected, const struct compact_options *options)
{
    char *lines = read_golden(input), *shown = rendered(lines, options), *golden;

    if (getenv("PODKIN_UPDATE_GOLDEN")) {
        FILE *file = fopen(golden_path(expected), "we");

        cr_assert_not_null(file);
        (void)fputs(shown, file);
        (void)fclose(file);
    }
    golden = read_golden(expected);
    cr_assert(eq(str, shown, golden));
    free(golden);
    free(shown);
    free(lines);
}

Test(compact, our_lines_look_as_agreed)
{
    compare("podkin.jsonl", "podkin.compact",
        &(struct compact_options){.time = COMPACT_TIME_UTC, .day_first = true});
}

Test(compact, tetragons_lines_look_as_agreed)
{
    compare("tetragon.jsonl", "tetragon.compact", &(struct compact_options){.time = COMPACT_TIME_UTC});
}

Test(compact, hooks_look_as_agreed)
{
    compare("hooks.jsonl", "hooks.compact", &(struct compact_options){.time = COMPACT_TIME_UTC});
}

Test(compact, on_a_terminal_of_100_columns)
{
    compare("podkin.jsonl", "podkin.terminal",
        &(struct compact_options){.time = COMPACT_TIME_UTC, .columns = 100, .color = true});
}

Test(compact, ascii_and_relative_time)
{
    compare("tetragon.jsonl", "tetragon.ascii",
        &(struct compact_options){.time = COMPACT_TIME_RELATIVE, .columns = 120, .ascii = true});
}

Test(compact, a_line_is_never_wider_than_the_terminal)
{
    static const char *const inputs[] = {"podkin.jsonl", "tetragon.jsonl", "hooks.jsonl"};

    for (unsigned columns = 20; columns < 200; columns += 9) {
        for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
            char *lines = read_golden(inputs[i]);
            char *shown =
                rendered(lines, &(struct compact_options){.time = COMPACT_TIME_UTC, .columns = columns});

            for (const char *at = shown; *at; at += strcspn(at, "\n") + 1)
                cr_expect(le(u32, row_text_width(at, strcspn(at, "\n")), columns), "%.*s",
                    (int)strcspn(at, "\n"), at);
            free(shown);
            free(lines);
        }
    }
}

/* Every byte that a workload or a policy may choose, in every string that is shown, is shown as something that a terminal takes for text. */
Test(compact, hostile_strings_reach_the_terminal_as_text)
{
    static const char *const shapes[] = {
        "{\"process_exec\":{\"process\":{\"pid\":1,\"binary\":\"%1$s\",\"args\":[\"%1$s\",\"a "
        "%1$s\"],\"pod\":{\"namespace\":\"%1$s\",\"name\":\"%1$s\","
        "\"container\":{\"name\":\"%1$s\"}},\"pod_state\":\"pod_only\",\"pod_state_reason\":\"%1$s\","
        "\"role\":\"%1$s\"}},\"node_name\":\"%1$s\"}",
        "{\"process_exit\":{\"process\":{\"pid\":1,\"binary\":\"b\",\"arguments\":\"%1$s\"},\"signal\":\"%1$"
        "s\"},\"node_name\":\"%1$s\"}",
        "{\"process_kprobe\":{\"process\":{\"pid\":1,\"binary\":\"b\"},\"function_name\":\"%1$s\",\"policy_"
        "name\":\"%1$s\",\"message\":\"%1$s\",\"action\":\"%1$s\","
        "\"args\":[{\"string_arg\":\"%1$s\",\"label\":\"%1$s\"},{\"file_arg\":{\"path\":\"%1$s\","
        "\"permission\":\"%1$s\"}},{\"x%1$s_arg\":{\"y%1$s\":\"%1$s\"}},"
        "{\"sock_arg\":{\"saddr\":\"%1$s\",\"protocol\":\"%1$s\"}},{\"bytes_arg\":\"G10wO293bmVkBw==\"}],"
        "\"return\":{\"string_arg\":\"%1$s\"}}}",
        "{\"process_tracepoint\":{\"process\":{\"pid\":1},\"subsys\":\"%1$s\",\"event\":\"%1$s\"}}",
        "{\"lost\":{\"by_type\":{\"%1$s\":1},\"where\":\"%1$s\",\"from\":\"%1$s\",\"to\":\"%1$s\"},\"node_"
        "name\":\"%1$s\"}",
        "{\"pod_update\":{\"id\":\"%1$s\",\"pod\":{\"name\":\"%1$s\"}}}",
        "{\"un%1$sknown\":{\"process\":{\"pid\":1,\"binary\":\"%1$s\"},\"z%1$s\":\"%1$s\"}}",
    };
    static const char *const strings[] = {"\\u001b[2J\\u001b]0;x\\u0007", "\033[2J", "a\\nb\\rc\\td",
        "\\u0000\\u009b31m", "\\u202egpj", "\xff\xc0", "\xc2\x9b;31m", "\\ud800", "\\u2028x\\u200bx"};

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (size_t k = 0; k < sizeof(strings) / sizeof(strings[0]); k++) {
            char text[4096], *shown;
            static const char bidi_override[] = {(char)0xe2, (char)0x80, (char)0xae};
            size_t size;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(text, sizeof(text), shapes[i], strings[k]);
#pragma GCC diagnostic pop
            shown = rendered(text, &(struct compact_options){.time = COMPACT_TIME_NONE});
            size = strlen(shown);
            cr_assert(gt(sz, size, 1));
            cr_expect(eq(sz, strcspn(shown, "\n"), size - 1), "one line only: %s", text);
            for (size_t at = 0; at + 1 < size; at++)
                cr_expect(ge(u32, (unsigned char)shown[at], 0x20), "control %d from %s", shown[at], text);
            cr_expect_null(strchr(shown, 0x7f));
            cr_expect(ne(sz, mbstowcs(NULL, shown, 0), (size_t)-1), "UTF-8: %s", text);
            cr_expect_null(memmem(shown, size, bidi_override, sizeof(bidi_override)));
            cr_expect_null(strstr(shown, "\xc2\x9b"));
            free(shown);
        }
    }
}

Test(compact, a_binary_with_spaces_does_not_pass_for_its_arguments)
{
    char *shown =
        rendered("{\"process_exec\":{\"process\":{\"pid\":1,\"binary\":\"/tmp/a b\",\"args\":[\"c\"]}}}",
            &(struct compact_options){.time = COMPACT_TIME_NONE, .ascii = true});

    cr_assert_not_null(strstr(shown, "'/tmp/a b' c\n"));
    free(shown);
}

static bool is_safe(const char *shown)
{
    for (const char *at = shown; *at; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f)
            return false;
    }
    return mbstowcs(NULL, shown, 0) != (size_t)-1;
}

/* Lines that are nearly right: cut, or with a byte changed to one that means something. Each in memory of its own size, for a sanitizer to watch. */
Test(compact, damaged_lines_are_refused_or_shown_as_text)
{
    static const char bytes[] = {'"', '\\', '{', '}', '[', ']', ',', ':', 0, 0x1b, (char)0xff, '9', '-', 'u'};
    static const char *const inputs[] = {"podkin.jsonl", "tetragon.jsonl"};
    struct compact compact;
    struct text out = {0};
    size_t parsed = 0;

    compact_init(&compact, &(struct compact_options){.time = COMPACT_TIME_UTC, .columns = 120});
    for (size_t i = 0; i < 2; i++) {
        char *lines = read_golden(inputs[i]);

        for (const char *at = lines; *at; at += strcspn(at, "\n") + 1) {
            size_t size = strcspn(at, "\n");

            for (size_t place = 0; place < size; place += 3) {
                size_t kept = place % 2 ? place : size;
                char *copy = malloc(kept ? kept : 1);
                struct line line;
                bool safe;

                cr_assert_not_null(copy);
                memcpy(copy, at, kept);
                if (kept > place)
                    copy[place] = bytes[place / 3 % sizeof(bytes)];
                text_clear(&out);
                if (line_parse(&line, copy, kept) == 0) {
                    compact_show(&compact, &line, &out);
                    parsed++;
                    safe = is_safe(text_terminate(&out));
                    cr_expect(safe, "%.*s", (int)kept, copy);
                }
                free(copy);
            }
        }
        free(lines);
    }
    cr_assert(gt(sz, parsed, 1000));
    text_deinit(&out);
    compact_deinit(&compact);
}
