/* SPDX-License-Identifier: Apache-2.0 */
/* Output with sections: every file, and what every viewer gets, begins with the begin of one. */
#include "enricher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SUITE output_sections
#include "tests/unit/enricher/both_loops.h"

struct bench {
    struct loop *loop;
    struct output *output;
    char folder[64], path[96];
    unsigned section; /* the one that the lines are of; 0: none was begun */
    unsigned number;  /* of the last line */
};

static void bench_folder(struct bench *bench, enum loop_kind kind)
{
    *bench = (struct bench){.loop = new_loop(kind, NULL)};
    (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/podkin-test-sections.XXXXXX");
    cr_assert_not_null(mkdtemp(bench->folder));
    (void)snprintf(bench->path, sizeof(bench->path), "%s/out", bench->folder);
}

static void bench_open(struct bench *bench, const char *path, uint64_t rotate_bytes, uint64_t rotate_age_ns)
{
    struct output_options options = OUTPUT_OPTIONS_DEFAULT;

    options.path = path;
    options.sections = true;
    options.rotate_bytes = rotate_bytes;
    options.rotate_age_ns = rotate_age_ns;
    options.rotate_keep = 1000;
    cr_assert_eq(output_new(&bench->output, bench->loop, &options), 0);
    bench->section = 0;
}

static void bench_close(struct bench *bench)
{
    char command[128];

    output_free(bench->output);
    loop_free(bench->loop);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->folder);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

static bool put(struct bench *bench, char kind, size_t size)
{
    char *line = output_reserve(bench->output, size);

    if (!line)
        return false;
    memset(line, 'x', size);
    (void)!snprintf(line, size, "%c %u %u", kind, bench->section, bench->number);
    line[strlen(line)] = ' ';
    line[size - 1] = '\n';
    output_commit(bench->output, size);
    return true;
}

/* As emit_normalised.c does: false: no room, to be called again. */
static bool put_line(struct bench *bench, size_t size)
{
    static bool begun;

    if (!begun && (bench->section == 0 || output_section_due(bench->output) != OUTPUT_SECTION_NONE)) {
        if (output_begin_section(bench->output) == -EAGAIN)
            return false;
        begun = true;
        bench->section++;
    }
    if (begun && !put(bench, 'S', 40))
        return false;
    begun = false;
    bench->number++;
    if (put(bench, 'L', size))
        return true;
    bench->number--;
    return false;
}

static void put_lines(struct bench *bench, unsigned count, size_t size)
{
    while (count > 0) {
        if (put_line(bench, size))
            count--;
        else
            cr_assert_eq(loop_run_once(bench->loop, clock_boot_ns() + NS_PER_SEC), 0);
    }
}

static void write_out(struct bench *bench)
{
    uint64_t end_ns = clock_boot_ns() + 5 * NS_PER_SEC;

    output_flush(bench->output);
    while (output_durable(bench->output) < output_mark(bench->output) && clock_boot_ns() < end_ns) {
        cr_assert_eq(loop_run_once(bench->loop, end_ns), 0);
        output_flush(bench->output);
    }
    cr_assert_eq(output_durable(bench->output), output_mark(bench->output));
}

/* Lines whose section was begun in the same stream. Returns the number of the last one; *number: of the one before the first. */
static unsigned check_stream(FILE *file, unsigned before)
{
    CLEANUP_FREE char *line = NULL;
    size_t room = 0;
    unsigned in = 0;

    while (getline(&line, &room, file) > 0) {
        char *end;
        unsigned section = (unsigned)strtoul(line + 2, &end, 10), number = (unsigned)strtoul(end, NULL, 10);

        if (line[0] == 'S') {
            in = section;
            continue;
        }
        cr_assert_eq(in, section, "a line of section %u in %u", section, in);
        if (before != UINT32_MAX)
            cr_assert_eq(number, before + 1, "%u behind %u", number, before);
        before = number;
    }
    return before;
}

/* FILE.count … FILE.1, FILE. */
static void expect_files(const struct bench *bench, unsigned least, unsigned most)
{
    unsigned files = 0, number = 0;
    char name[128];

    for (struct stat st;
         (void)snprintf(name, sizeof(name), "%s.%u", bench->path, files + 1), stat(name, &st) == 0;)
        files++;
    cr_assert(files >= least && files <= most, "%u files", files);
    for (unsigned i = files + 1; i-- > 0;) {
        FILE *file;

        (void)snprintf(name, sizeof(name), i ? "%s.%u" : "%s", bench->path, i);
        file = fopen(name, "re");
        cr_assert_not_null(file, "%s", name);
        number = check_stream(file, number);
        (void)fclose(file);
    }
    cr_assert_eq(number, bench->number);
}

BOTH(each_file_begins_with_a_section_when_rotated_by_size)
{
    static const uint64_t sizes[] = {5000, 100000, 300000, 1 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bench bench;
        unsigned files = (unsigned)(20000 * 150 / sizes[i]);

        bench_folder(&bench, kind);
        bench_open(&bench, bench.path, sizes[i], 0);
        for (unsigned n = 0; n < 20000; n += 500) {
            put_lines(&bench, 500, 150);
            if (n % 3000 == 0)
                write_out(&bench);
        }
        write_out(&bench);
        expect_files(&bench, files / 3, files + 2);
        bench_close(&bench);
    }
}

BOTH(a_file_that_is_there_goes_on_with_a_section_of_its_own)
{
    struct bench bench;

    bench_folder(&bench, kind);
    bench_open(&bench, bench.path, 1 << 20, 0);
    put_lines(&bench, 100, 150);
    bench.output = output_free(bench.output);
    bench_open(&bench, bench.path, 1 << 20, 0);
    put_lines(&bench, 100, 150);
    bench.output = output_free(bench.output);
    bench_open(&bench, bench.path, 1000, 0); /* full: it is put aside first */
    put_lines(&bench, 5, 150);
    write_out(&bench);
    expect_files(&bench, 1, 1);
    bench_close(&bench);
}

BOTH(an_old_file_is_put_aside_at_once_when_nothing_is_under_way)
{
    struct bench bench;
    struct output_state state = {0};

    bench_folder(&bench, kind);
    bench_open(&bench, bench.path, 0, 100 * NS_PER_MS);
    put_lines(&bench, 10, 150);
    write_out(&bench);
    for (uint64_t end_ns = clock_boot_ns() + 5 * NS_PER_SEC;
         state.rotations == 0 && clock_boot_ns() < end_ns;) {
        cr_assert_eq(loop_run_once(bench.loop, end_ns), 0);
        output_get_state(bench.output, &state);
    }
    cr_expect_eq(state.rotations, 1);
    put_lines(&bench, 10, 150);
    write_out(&bench);
    expect_files(&bench, 1, 1);
    bench_close(&bench);
}

static void move_aside(const struct bench *bench)
{
    char name[128];

    (void)snprintf(name, sizeof(name), "%s.1", bench->path);
    cr_assert_eq(rename(bench->path, name), 0);
}

BOTH(reopened_where_nothing_is_under_way_at_once_and_else_with_the_next_section)
{
    for (int busy = 0; busy < 2; busy++) {
        struct bench bench;
        struct stat st;

        bench_folder(&bench, kind);
        bench_open(&bench, bench.path, 0, 0);
        put_lines(&bench, 2000, 150);
        if (busy)
            output_flush(bench.output);
        else
            write_out(&bench);
        move_aside(&bench);
        output_reopen(bench.output);
        if (!busy)
            cr_expect_eq(stat(bench.path, &st), 0);
        put_lines(&bench, 2000, 150);
        write_out(&bench);
        expect_files(&bench, 1, 1);
        bench_close(&bench);
    }
}

BOTH(reopened_without_another_line_once_all_is_written)
{
    struct bench bench;
    struct stat st;

    bench_folder(&bench, kind);
    bench_open(&bench, bench.path, 0, 0);
    put_lines(&bench, 100, 150);
    move_aside(&bench);
    output_reopen(bench.output);
    write_out(&bench);
    cr_expect_eq(stat(bench.path, &st), 0);
    put_lines(&bench, 1, 150);
    write_out(&bench);
    expect_files(&bench, 1, 1);
    bench_close(&bench);
}

BOTH(the_disk_full_loses_no_section)
{
    struct bench bench;

    bench_folder(&bench, kind);
    bench_open(&bench, "/dev/full", 1 << 20, 0);
    for (unsigned i = 0; i < 30000 && put_line(&bench, 150); i++)
        ;
    cr_assert_eq(output_begin_section(bench.output), 0); /* no regular file: nothing to turn to */
    cr_expect_null(output_reserve(bench.output, OUTPUT_LINE_MAX));
    bench_close(&bench);
}

static FILE *add_viewer(struct bench *bench)
{
    int pair[2], room = 1 << 20;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    cr_assert_eq(output_add_viewer(bench->output, pair[0]), 0);
    return fdopen(pair[1], "r");
}

BOTH(each_viewer_begins_with_a_section)
{
    struct bench bench;
    FILE *first, *second;

    bench_folder(&bench, kind);
    bench_open(&bench, bench.path, 0, 0);
    put_lines(&bench, 100, 150);
    first = add_viewer(&bench);
    cr_expect_eq(output_section_due(bench.output), OUTPUT_SECTION_VIEWER);
    put_lines(&bench, 100, 150);
    second = add_viewer(&bench);
    put_lines(&bench, 100, 150);
    write_out(&bench);
    cr_expect_eq(check_stream(first, 100), 300);
    cr_expect_eq(check_stream(second, 200), 300);
    expect_files(&bench, 0, 0); /* nothing of it turns the file */
    (void)fclose(first);
    (void)fclose(second);
    bench_close(&bench);
}

BOTH(without_sections_none_is_ever_due)
{
    struct bench bench;
    struct output_options options = OUTPUT_OPTIONS_DEFAULT;
    FILE *viewer;

    bench_folder(&bench, kind);
    options.path = bench.path;
    options.rotate_bytes = 100;
    cr_assert_eq(output_new(&bench.output, bench.loop, &options), 0);
    viewer = add_viewer(&bench);
    cr_expect_eq(output_section_due(bench.output), OUTPUT_SECTION_NONE);
    cr_assert(put(&bench, 'L', 150) && put(&bench, 'L', 150));
    output_reopen(bench.output);
    cr_expect_eq(output_section_due(bench.output), OUTPUT_SECTION_NONE);
    (void)fclose(viewer);
    bench_close(&bench);
}
