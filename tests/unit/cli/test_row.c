// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/row.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <locale.h>
#include <string.h>

static void use_utf8(void)
{
    cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

TestSuite(row, .init = use_utf8);

static char *printed(const struct row *row, unsigned columns)
{
    struct text out = {0};
    char *result;

    row_print(row, &out, columns, false, "…");
    result = text_take(&out, NULL);
    cr_assert_not_null(result);
    return result;
}

Test(row, width_counts_columns_not_bytes)
{
    cr_assert(eq(u32, row_text_width("abc", 3), 3));
    cr_assert(eq(u32, row_text_width("é", 2), 1));
    cr_assert(eq(u32, row_text_width("日本", 6), 4));
    cr_assert(eq(u32, row_text_width("🚀", 4), 2));
    cr_assert(eq(u32, row_text_width("e\xcc\x81", 3), 1));
}

Test(row, the_flexible_part_gives_way_first)
{
    struct row row = {0};
    char *line;

    row_own(&row, ROW_DIM, "head ");
    row.flexible = true;
    row_own(&row, ROW_BINARY, "/usr/bin/program");
    row_own(&row, ROW_PLAIN, " with many arguments");
    row.flexible = false;
    row_own(&row, ROW_BAD, " tail");
    line = printed(&row, 0);
    cr_assert_str_eq(line, "head /usr/bin/program with many arguments tail");
    free(line);
    line = printed(&row, 30);
    cr_assert_str_eq(line, "head /usr/bin/program wi… tail");
    free(line);
    line = printed(&row, 26); /* exactly the first flexible piece has room: it ends in the mark */
    cr_assert_str_eq(line, "head /usr/bin/progra… tail");
    free(line);
    line = printed(&row, 10); /* below the least that the flexible part keeps, all of the line is cut */
    cr_assert_str_eq(line, "head /usr…");
    free(line);
    row_deinit(&row);
}

Test(row, never_wider_than_asked_and_no_character_is_torn)
{
    struct row row = {0};

    row_own(&row, ROW_DIM, "日本語 ");
    row.flexible = true;
    row_outside(&row, ROW_PLAIN, "🚀é日本語 with words", strlen("🚀é日本語 with words"));
    row.flexible = false;
    row_own(&row, ROW_BAD, " 終");
    for (unsigned columns = 1; columns < 60; columns++) {
        char *line = printed(&row, columns);
        size_t size = strlen(line);

        cr_expect(le(u32, row_text_width(line, size), columns), "%u: %s", columns, line);
        cr_expect(ne(sz, mbstowcs(NULL, line, 0), (size_t)-1), "%u: %s", columns, line);
        free(line);
    }
    row_deinit(&row);
}

Test(row, colours_are_closed_even_when_cut)
{
    struct row row = {0};
    struct text out = {0};

    row_own(&row, ROW_BAD, "red and long");
    row_print(&row, &out, 5, true, "…");
    cr_assert_str_eq(text_terminate(&out), "\033[1;31mred …\033[0m");
    text_deinit(&out);
    row_deinit(&row);
}

Test(row, more_pieces_than_spans_lose_no_text)
{
    struct row row = {0};
    char *line;

    for (int i = 0; i < 3 * ROW_SPANS_MAX; i++)
        row_own(&row, i % 2 ? ROW_DIM : ROW_PLAIN, "x");
    line = printed(&row, 0);
    cr_assert(eq(sz, strlen(line), 3 * ROW_SPANS_MAX));
    cr_assert(eq(u32, row.width, 3 * ROW_SPANS_MAX));
    free(line);
    row_deinit(&row);
}

Test(row, padding_fills_up_to_a_width_and_no_further)
{
    struct row row = {0};
    char *line;

    row_own(&row, ROW_PLAIN, "日");
    row_pad(&row, 4);
    row_pad(&row, 2);
    row_own(&row, ROW_PLAIN, "|");
    line = printed(&row, 0);
    cr_assert_str_eq(line, "日  |");
    free(line);
    row_deinit(&row);
}
