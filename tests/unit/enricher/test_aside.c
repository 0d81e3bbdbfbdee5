/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "enricher/compressor.h"

#define SUITE aside
#include "tests/unit/enricher/both_loops.h"

struct bench {
    struct loop *loop;
    struct aside aside;
    char folder[64], path[96];
};

static void bench_open(struct bench *bench, enum loop_kind kind, unsigned keep, bool compress)
{
    if (compress && !compressor_is_available())
        cr_skip_test("built without libzstd");
    *bench = (struct bench){.loop = new_loop(kind, NULL)};
    (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/podkin-test-aside.XXXXXX");
    cr_assert_not_null(mkdtemp(bench->folder));
    (void)snprintf(bench->path, sizeof(bench->path), "%s/log", bench->folder);
    cr_assert_eq(aside_init(&bench->aside, bench->loop, bench->path, keep, 0600, compress), 0);
}

static void bench_close(struct bench *bench)
{
    char command[128];

    aside_deinit(&bench->aside);
    loop_free(bench->loop);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->folder);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

static const char *name(const struct bench *bench, const char *suffix)
{
    static char text[128];

    (void)snprintf(text, sizeof(text), "%s%s", bench->path, suffix);
    return text;
}

static bool is_there(const struct bench *bench, const char *suffix)
{
    return access(name(bench, suffix), F_OK) == 0;
}

/* The line again and again, so that it is large and can be made small. */
static void make(const struct bench *bench, const char *suffix, const char *line, unsigned times)
{
    FILE *file = fopen(name(bench, suffix), "we");

    cr_assert_not_null(file);
    while (times-- > 0)
        (void)fputs(line, file);
    (void)fclose(file);
}

static void expect_content(const struct bench *bench, const char *suffix, const char *line)
{
    char command[256], got[64] = "";
    FILE *pipe;

    (void)snprintf(
        command, sizeof(command), strstr(suffix, ".zst") ? "zstd -dcq %s" : "cat %s", name(bench, suffix));
    pipe = popen(command, "re"); /* NOLINT(cert-env33-c) */
    cr_assert_not_null(pipe);
    cr_expect_not_null(fgets(got, sizeof(got), pipe));
    cr_expect_str_eq(got, line, "%s", suffix);
    while (fgets(got, sizeof(got), pipe))
        ;
    cr_expect_eq(pclose(pipe), 0);
}

static void run_until_idle(struct bench *bench)
{
    uint64_t end_ns = clock_boot_ns() + 20 * NS_PER_SEC;

    while (compressor_is_busy(bench->aside.compressor) && clock_boot_ns() < end_ns)
        cr_assert_eq(loop_run_once(bench->loop, end_ns), 0);
    cr_assert_not(compressor_is_busy(bench->aside.compressor));
}

static void put_one(struct bench *bench, const char *line)
{
    make(bench, "", line, 1000);
    cr_assert_eq(aside_put(&bench->aside), 0);
}

BOTH(files_move_on_and_the_oldest_goes)
{
    struct bench bench;

    bench_open(&bench, kind, 2, false);
    put_one(&bench, "one\n");
    put_one(&bench, "two\n");
    make(&bench, ".1.zst", "left by another configuration\n", 1);
    put_one(&bench, "three\n");
    expect_content(&bench, ".1", "three\n");
    expect_content(&bench, ".2", "two\n");
    cr_expect(is_there(&bench, ".2.zst"));
    put_one(&bench, "four\n");
    cr_expect_not(is_there(&bench, ".3"));
    cr_expect_not(is_there(&bench, ".2.zst"));
    bench_close(&bench);
}

BOTH(all_but_the_latest_are_compressed_and_count)
{
    struct bench bench;

    bench_open(&bench, kind, 3, true);
    put_one(&bench, "one\n");
    aside_compress(&bench.aside);
    cr_expect_not(compressor_is_busy(bench.aside.compressor));
    put_one(&bench, "two\n");
    put_one(&bench, "three\n");
    aside_compress(&bench.aside);
    run_until_idle(&bench);
    cr_expect_eq(bench.aside.compressed, 2);
    expect_content(&bench, ".1", "three\n");
    expect_content(&bench, ".2.zst", "two\n");
    expect_content(&bench, ".3.zst", "one\n");
    cr_expect_not(is_there(&bench, ".2"));
    cr_expect_not(is_there(&bench, ".3"));
    cr_expect_not(is_there(&bench, ".zst.part"));
    put_one(&bench, "four\n");
    cr_expect_not(is_there(&bench, ".4.zst"));
    expect_content(&bench, ".3.zst", "two\n");
    expect_content(&bench, ".2", "three\n");
    bench_close(&bench);
}

BOTH(one_that_moves_on_meanwhile_is_found_again_and_one_that_goes_is_forgotten)
{
    struct bench bench;

    bench_open(&bench, kind, 3, true);
    make(&bench, ".2", "moves\n", 100000);
    aside_compress(&bench.aside);
    cr_assert(compressor_is_busy(bench.aside.compressor));
    put_one(&bench, "latest\n");
    run_until_idle(&bench);
    expect_content(&bench, ".3.zst", "moves\n");
    make(&bench, ".2", "goes\n", 100000);
    aside_compress(&bench.aside);
    cr_assert(compressor_is_busy(bench.aside.compressor));
    for (int i = 0; i < 3; i++)
        put_one(&bench, "later\n");
    cr_expect_not(is_there(&bench, ".3.zst"));
    run_until_idle(&bench); /* and the later ones, whose turn it is then */
    expect_content(&bench, ".3.zst", "later\n");
    cr_expect_eq(bench.aside.failures, 0);
    bench_close(&bench);
}

BOTH(stopped_in_the_middle_it_leaves_the_file_as_it_was)
{
    struct bench bench;

    bench_open(&bench, kind, 3, true);
    make(&bench, ".2", "large\n", 1000000);
    aside_compress(&bench.aside);
    aside_deinit(&bench.aside);
    expect_content(&bench, ".2", "large\n");
    cr_expect_not(is_there(&bench, ".2.zst"));
    cr_expect_not(is_there(&bench, ".zst.part"));
    /* Killed: part of one, and one whose plain file was still there. */
    make(&bench, ".zst.part", "part", 1);
    make(&bench, ".3", "stays plain until seen\n", 1);
    make(&bench, ".3.zst", "whole\n", 1);
    cr_assert_eq(aside_init(&bench.aside, bench.loop, bench.path, 3, 0600, true), 0);
    cr_expect_not(is_there(&bench, ".zst.part"));
    aside_compress(&bench.aside);
    run_until_idle(&bench);
    expect_content(&bench, ".2.zst", "large\n");
    cr_expect_not(is_there(&bench, ".3"));
    cr_expect(is_there(&bench, ".3.zst"));
    bench_close(&bench);
}

BOTH(a_file_that_cannot_be_written_leaves_the_plain_one_and_is_counted)
{
    struct bench bench;

    bench_open(&bench, kind, 3, true);
    make(&bench, ".2", "stays\n", 1000);
    cr_assert_eq(mkdir(name(&bench, ".zst.part"), 0700), 0);
    aside_compress(&bench.aside);
    run_until_idle(&bench);
    cr_expect_eq(bench.aside.failures, 1);
    expect_content(&bench, ".2", "stays\n");
    cr_expect_not(is_there(&bench, ".2.zst"));
    bench_close(&bench);
}

static void on_done(void *arg, int result)
{
    *(int *)arg = result;
}

BOTH(a_full_disk_is_told)
{
    struct loop *loop;
    struct compressor *compressor = NULL;
    int result = 1;

    if (!compressor_is_available())
        cr_skip_test("built without libzstd");
    loop = new_loop(kind, NULL);
    cr_assert_eq(compressor_new(&compressor, loop, on_done, &result), 0);
    cr_assert_eq(compressor_start(compressor, open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
                     open("/dev/full", O_WRONLY | O_CLOEXEC)),
        0);
    for (uint64_t end_ns = clock_boot_ns() + 20 * NS_PER_SEC; result == 1 && clock_boot_ns() < end_ns;)
        cr_assert_eq(loop_run_once(loop, end_ns), 0);
    cr_expect_eq(result, -ENOSPC);
    compressor_free(compressor);
    loop_free(loop);
}
