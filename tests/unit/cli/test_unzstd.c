/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/cli/unzstd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "enricher/cli/input.h"

Test(unzstd, recognises_what_such_files_begin_with)
{
    cr_expect(unzstd_recognise("\x28\xb5\x2f\xfd rest", 9));
    cr_expect_not(unzstd_recognise("\x28\xb5\x2f", 3));
    cr_expect_not(unzstd_recognise("{\"process_exec\"", 15));
    cr_expect_not(unzstd_recognise("", 0));
}

#ifdef HAVE_ZSTD

#include <zstd.h>

/* A file that holds these bytes, at its beginning. */
static int file_of(const char *data, size_t size)
{
    char name[] = "/tmp/podkin-unzstd-XXXXXX";
    int fd = mkstemp(name);

    cr_assert_geq(fd, 0);
    (void)unlink(name);
    cr_assert_eq(write(fd, data, size), (ssize_t)size);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Numbered lines, compressed; they shrink to very little. */
static char *compressed_lines(unsigned count, size_t *ret_size)
{
    size_t room = (size_t)count * 100, bound = ZSTD_compressBound(room);
    char *lines = malloc(room), *out = malloc(bound);

    cr_assert(lines && out);

    for (unsigned i = 0; i < count; i++) {
        memset(lines + (size_t)i * 100, 'x', 99);
        (void)snprintf(lines + (size_t)i * 100, 100, "%u", i);
        lines[(size_t)i * 100 + strlen(lines + (size_t)i * 100)] = ' ';
        lines[(size_t)i * 100 + 99] = '\n';
    }
    *ret_size = ZSTD_compress(out, bound, lines, room, 3);
    cr_assert_not(ZSTD_isError(*ret_size));
    free(lines);
    return out;
}

/* How many lines come before the end, which is *ret_end. */
static unsigned read_lines(int fd, ssize_t *ret_end)
{
    struct input input;
    struct slice line;
    unsigned count = 0;

    input_init(&input, fd);
    while ((*ret_end = input_fill(&input)) > 0) {
        while (input_next(&input, &line))
            cr_assert_eq(strtoul(line.data, NULL, 10), count++);
    }
    input_deinit(&input);
    return count;
}

Test(unzstd, lines_come_out_however_much_they_shrank)
{
    ssize_t end;
    size_t size;
    char *data = compressed_lines(200000, &size);

    cr_expect_lt(size, 2000000);
    cr_expect_eq(read_lines(file_of(data, size), &end), 200000);
    cr_expect_eq(end, 0);
    free(data);
}

Test(unzstd, frames_behind_one_another_are_one_stream)
{
    ssize_t end;
    size_t size;
    char *data = compressed_lines(1, &size), *twice = malloc(size * 2);
    struct input input;
    struct slice line;

    memcpy(twice, data, size);
    memcpy(twice + size, data, size);
    input_init(&input, file_of(twice, size * 2));
    end = input_fill(&input);
    cr_expect_gt(end, 0);
    while (input_fill(&input) > 0)
        ;
    cr_expect(input_next(&input, &line));
    cr_expect(input_next(&input, &line));
    input_deinit(&input);
    free(data);
    free(twice);
}

Test(unzstd, what_is_torn_or_damaged_is_told)
{
    ssize_t end;
    size_t size;
    char *data = compressed_lines(100000, &size);

    cr_expect_lt(read_lines(file_of(data, size - 3), &end), 100001);
    cr_expect_eq(end, -EILSEQ);
    memset(data + size / 2, 0xff, 100);
    (void)read_lines(file_of(data, size), &end);
    cr_expect_eq(end, -EILSEQ);
    cr_expect_str_eq(input_error(end), "its zstd compression is damaged, or ends too early");
    (void)read_lines(file_of("\x28\xb5\x2f\xfd", 4), &end);
    cr_expect_eq(end, -EILSEQ);
    free(data);
}

#endif
