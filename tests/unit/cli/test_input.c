// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/input.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "enricher/cli/line.h"

static char folder[64], path[96];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-input-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/log", folder);
}

static void remove_folder(void)
{
    char name[128];

    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof(name), i ? "%s.%d" : "%s", path, i);
        (void)unlink(name);
    }
    (void)rmdir(folder);
}

TestSuite(input, .init = make_folder, .fini = remove_folder);

static void append(const char *text)
{
    FILE *file = fopen(path, "ae");

    cr_assert_not_null(file);
    cr_assert(ge(int, fputs(text, file), 0));
    cr_assert(eq(int, fclose(file), 0));
}

/* FILE.1 becomes FILE.2, FILE becomes FILE.1. */
static void rotate(void)
{
    char from[128], to[128];

    for (int i = 8; i >= 0; i--) {
        (void)snprintf(from, sizeof(from), i ? "%s.%d" : "%s", path, i);
        (void)snprintf(to, sizeof(to), "%s.%d", path, i + 1);
        (void)rename(from, to);
    }
}

static void open_path(struct input *input)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert(ge(int, fd, 0));
    input_init(input, fd);
}

/* All lines up to the end of the present file, joined by '|'. */
static const char *drain(struct input *input)
{
    static char all[4096];
    struct slice line;

    all[0] = '\0';
    do {
        while (input_next(input, &line))
            (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%.*s|", (int)line.size, line.data);
    } while (input_fill(input) > 0);
    return all;
}

static void follow_next(struct input *input, enum follow_result expected)
{
    int fd = -1;

    cr_assert(eq(int, follow_check(path, input->fd, &fd), (int)expected));
    if (expected == FOLLOW_NEXT || expected == FOLLOW_SKIPPED)
        input_replace(input, fd, expected == FOLLOW_NEXT);
}

Test(input, lines_come_whole_and_without_their_end)
{
    struct input input;
    struct slice last;

    append("one\ntwo\r\n\nthree");
    open_path(&input);
    cr_assert_str_eq(drain(&input), "one|two||");
    cr_assert(input_last(&input, &last));
    cr_assert(SLICE_IS(last, "three"));
    cr_assert_not(input_last(&input, &last));
    input_deinit(&input);
}

Test(input, a_line_above_the_limit_is_skipped_and_counted_and_the_next_is_read)
{
    char *big = malloc(LINE_SIZE_MAX + 2);
    struct input input;
    struct slice line;

    cr_assert_not_null(big);
    memset(big, 'x', LINE_SIZE_MAX + 1);
    big[LINE_SIZE_MAX + 1] = '\0';
    append("a\n");
    append(big);
    append(big);
    append(big);
    append("\nb\n");
    big[LINE_SIZE_MAX] = '\0'; /* exactly the limit */
    append(big);
    append("\nc\n");
    open_path(&input);
    while (!input_next(&input, &line))
        cr_assert(gt(i64, input_fill(&input), 0));
    cr_assert(SLICE_IS(line, "a"));
    while (!input_next(&input, &line))
        cr_assert(gt(i64, input_fill(&input), 0));
    cr_assert(SLICE_IS(line, "b"));
    while (!input_next(&input, &line))
        cr_assert(gt(i64, input_fill(&input), 0));
    cr_assert(eq(sz, line.size, LINE_SIZE_MAX));
    cr_assert_str_eq(drain(&input), "c|");
    cr_assert(eq(u64, input.too_long, 1));
    cr_assert(le(sz, input.capacity, 4 * LINE_SIZE_MAX));
    input_deinit(&input);
    free(big);
}

Test(input, following_reads_the_rest_then_the_successor)
{
    struct input input;

    append("1\n");
    open_path(&input);
    cr_assert_str_eq(drain(&input), "1|");
    follow_next(&input, FOLLOW_SAME);
    append("2\n");
    rotate();
    cr_assert_str_eq(drain(&input), "2|");
    follow_next(&input, FOLLOW_SAME); /* the successor is not there yet */
    append("3\n");
    follow_next(&input, FOLLOW_NEXT);
    cr_assert_str_eq(drain(&input), "3|");
    follow_next(&input, FOLLOW_SAME);
    input_deinit(&input);
}

Test(input, files_that_were_rotated_meanwhile_are_read_in_order)
{
    struct input input;

    append("1\n");
    open_path(&input);
    cr_assert_str_eq(drain(&input), "1|");
    rotate();
    append("2\n");
    rotate();
    append("3\n");
    rotate();
    append("4\n");
    follow_next(&input, FOLLOW_NEXT);
    cr_assert_str_eq(drain(&input), "2|");
    follow_next(&input, FOLLOW_NEXT);
    rotate(); /* once more, while reading */
    append("5\n");
    cr_assert_str_eq(drain(&input), "3|");
    follow_next(&input, FOLLOW_NEXT);
    cr_assert_str_eq(drain(&input), "4|");
    follow_next(&input, FOLLOW_NEXT);
    cr_assert_str_eq(drain(&input), "5|");
    follow_next(&input, FOLLOW_SAME);
    input_deinit(&input);
}

Test(input, a_file_that_was_removed_meanwhile_is_said_to_be_missing)
{
    struct input input;

    append("1\n");
    open_path(&input);
    cr_assert_str_eq(drain(&input), "1|");
    cr_assert(eq(int, unlink(path), 0));
    append("9\n");
    follow_next(&input, FOLLOW_SKIPPED);
    cr_assert_str_eq(drain(&input), "9|");
    input_deinit(&input);
}

Test(input, a_truncated_file_is_read_from_its_start)
{
    struct input input;

    append("a long first line\n");
    open_path(&input);
    cr_assert_str_eq(drain(&input), "a long first line|");
    cr_assert(eq(int, truncate(path, 0), 0));
    append("new\n");
    follow_next(&input, FOLLOW_RESTART);
    cr_assert_str_eq(drain(&input), "new|");
    input_deinit(&input);
}
