/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "enricher/loop.h"
#include "enricher/source_file.h"

static char folder[64], path[128];
static uint64_t now_ns;
static struct loop *loop;
static struct pod_table *table;
static struct source *source;

static uint64_t fake_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static void setup(void)
{
    static const struct clock clock = {.now = fake_now};

    now_ns = NS_PER_SEC;
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-source-file-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/pods.json", folder);
    cr_assert_eq(loop_new(&loop, LOOP_EPOLL, &clock), 0);
    cr_assert_eq(pod_table_new(&table, NULL, NULL, NULL), 0);
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(name);
}

static void teardown(void)
{
    if (source)
        source = source->ops->free(source);
    table = pod_table_free(table);
    loop = loop_free(loop);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(source_file, .init = setup, .fini = teardown);

/* A second of the loop. */
static void pass(void)
{
    for (int i = 0; i < 100; i++) {
        now_ns += 10 * NS_PER_MS;
        cr_assert_eq(loop_run_once(loop, 0), 0);
    }
}

static void write_file(const char *name, const char *content)
{
    FILE *file = fopen(name, "we");

    cr_assert_not_null(file);
    cr_assert_geq(fputs(content, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static void write_pods(const char *name, const char *uid)
{
    char content[512];

    (void)snprintf(content, sizeof(content),
        "{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"uid\":\"%s\",\"name\":\"n\",\"namespace\":\"d\"}}]"
        "}",
        uid);
    write_file(name, content);
}

static struct source_state state(void)
{
    struct source_state ret;

    source->ops->get_state(source, &ret);
    return ret;
}

static void start(void)
{
    cr_assert_eq(source_file_new(&source, loop, table, path), 0);
    pass();
}

static bool alive(const char *uid)
{
    const struct pod *pod = pod_table_find(table, uid);

    return pod && pod->deleted_ns == 0;
}

Test(source_file, reads_what_is_there)
{
    write_pods(path, "u1");
    start();
    cr_assert(alive("u1"));
    cr_assert(state().ready);
    cr_assert_str_eq(state().last_error, "");
    cr_assert_str_eq(state().where, path);
    cr_assert_eq(state().kind, POD_SOURCE_FILE);
    cr_assert_eq(state().pods_seen, 1);
    cr_assert_eq(state().requests, 1);
    cr_assert_gt(state().last_request_ns, 0);
    cr_assert_geq(state().last_success_ns, state().last_request_ns);
    pass();
    cr_assert_eq(state().requests, 1, "nothing changed, nothing is read");
}

Test(source_file, notices_a_file_that_comes_later)
{
    start();
    cr_assert_not(state().ready);
    cr_assert_not_null(strstr(state().last_error, "No such file"), "%s", state().last_error);
    cr_assert_not_null(strstr(state().last_error, "pods.json: "));
    write_pods(path, "u1");
    pass();
    cr_assert(alive("u1"));
    cr_assert_str_eq(state().last_error, "");
}

Test(source_file, notices_a_folder_that_comes_later)
{
    (void)snprintf(path, sizeof(path), "%s/later/pods.json", folder);
    start();
    cr_assert_gt(state().failures, 0);
    path[strlen(path) - strlen("/pods.json")] = '\0';
    cr_assert_eq(mkdir(path, 0700), 0);
    path[strlen(path)] = '/';
    write_pods(path, "u1");
    pass();
    pass();
    cr_assert(alive("u1"));
    /* And from then on it is watched. */
    write_pods(path, "u2");
    pass();
    cr_assert(alive("u2"));
}

/* inotify wants to read the folder; to open a file whose name is known, it is enough to enter it. */
Test(source_file, notices_a_change_in_a_folder_that_cannot_be_watched)
{
    char next[160];

    teardown();
    if (geteuid() == 0)
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    setup();
    write_pods(path, "u1");
    cr_assert_eq(chmod(folder, 0300), 0);
    start();
    cr_assert(alive("u1"));
    (void)snprintf(next, sizeof(next), "%s.new", path);
    write_pods(next, "u2");
    cr_assert_eq(rename(next, path), 0);
    pass();
    cr_assert(alive("u2"));
    cr_assert_eq(chmod(folder, 0700), 0);
}

Test(source_file, notices_a_replacement_and_a_write_in_place)
{
    char next[160];

    write_pods(path, "u1");
    start();
    (void)snprintf(next, sizeof(next), "%s.new", path);
    write_pods(next, "u2");
    cr_assert_eq(rename(next, path), 0);
    pass();
    cr_assert(alive("u2"));
    cr_assert_not(alive("u1"), "a list without it says that it is gone");
    write_pods(path, "u3");
    pass();
    cr_assert(alive("u3"));
}

Test(source_file, notices_a_link_that_is_switched)
{
    char first[160], second[160], link[160];

    (void)snprintf(first, sizeof(first), "%s/..1", folder);
    (void)snprintf(second, sizeof(second), "%s/..2", folder);
    (void)snprintf(link, sizeof(link), "%s/..new", folder);
    write_pods(first, "u1");
    write_pods(second, "u22");
    cr_assert_eq(symlink("..1", path), 0);
    start();
    cr_assert(alive("u1"));
    cr_assert_eq(symlink("..2", link), 0);
    cr_assert_eq(rename(link, path), 0);
    pass();
    cr_assert(alive("u22"));
}

Test(source_file, bad_content_keeps_what_was_known)
{
    write_pods(path, "u1");
    start();
    write_file(path, "{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"uid\":\"u2\"}},oops]}");
    pass();
    cr_assert(alive("u1"));
    cr_assert_null(pod_table_find(table, "u2"));
    cr_assert_not_null(strstr(state().last_error, "pods.json: byte 57: "), "%s", state().last_error);
    cr_assert_eq(state().failures, 1);
    cr_assert_eq(unlink(path), 0);
    pass();
    cr_assert(alive("u1"));
    write_pods(path, "u3");
    pass();
    cr_assert(alive("u3"));
    cr_assert_not(alive("u1"));
    cr_assert_str_eq(state().last_error, "");
}

Test(source_file, items_that_are_no_pods_are_told)
{
    write_file(path, "{\"kind\":\"List\",\"items\":[{\"kind\":\"Node\"},{\"metadata\":{\"uid\":\"u1\"}}]}");
    start();
    cr_assert(alive("u1"));
    cr_assert_eq(state().ignored, 1);
    cr_assert_eq(state().failures, 0);
    cr_assert_not_null(strstr(state().last_error, "1 items left out"), "%s", state().last_error);
}

Test(source_file, a_fifo_or_a_folder_does_not_stop_it)
{
    cr_assert_eq(mkfifo(path, 0600), 0);
    start();
    cr_assert_not_null(strstr(state().last_error, "expected a regular file"), "%s", state().last_error);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    pass();
    cr_assert_not_null(strstr(state().last_error, "expected a regular file"), "%s", state().last_error);
}

Test(source_file, a_large_file_is_read_over_several_turns)
{
    FILE *file = fopen(path, "we");
    unsigned turns = 0;

    cr_assert_not_null(file);
    (void)fputs("{\"items\":[", file);
    for (unsigned i = 0; i < 2000; i++)
        (void)fprintf(file, "%s{\"metadata\":{\"uid\":\"u%u\"},\"padding\":\"%0500d\"}", i ? "," : "", i, 0);
    (void)fputs("]}", file);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(source_file_new(&source, loop, table, path), 0);
    while (pod_table_count(table) == 0 && turns++ < 100) {
        now_ns += NS_PER_MS;
        cr_assert_eq(loop_run_once(loop, 0), 0);
    }
    cr_assert_geq(turns, 8);
    cr_assert_eq(pod_table_count(table), 2000);
}

Test(source_file, too_large_a_file_is_refused)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "{\"items\":[\"", 11), 11);
    /* A hole of NULs: within a string, one item that is skipped. */
    cr_assert_eq(ftruncate(fd, (off_t)SOURCE_FILE_MAX_BYTES + 10), 0);
    (void)close(fd);
    start();
    for (int i = 0; i < 8; i++)
        pass();
    cr_assert_not_null(strstr(state().last_error, strerror(EFBIG)), "%s", state().last_error);
}

Test(source_file, ask_looks_at_most_once_a_second)
{
    char target[160];
    struct stat before;

    /* A change that no event of the folder tells. */
    (void)snprintf(target, sizeof(target), "%s/elsewhere", folder);
    cr_assert_eq(mkdir(target, 0700), 0);
    (void)snprintf(target, sizeof(target), "%s/elsewhere/pods.json", folder);
    write_pods(target, "u1");
    cr_assert_eq(symlink(target, path), 0);
    start();
    cr_assert_eq(stat(target, &before), 0);
    write_pods(target, "u22");
    pass();
    cr_assert_not(alive("u22"));
    source->ops->ask(source);
    pass();
    cr_assert(alive("u22"));
}

static void *write_without_end(void *arg)
{
    int fd = open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    for (;;) {
        (void)!pwrite(fd, "x", 1, 0);
        pthread_testcancel();
    }
    return NULL;
}

Test(source_file, a_neighbour_that_is_written_without_end_does_not_stop_the_loop, .timeout = 60)
{
    enum { WRITERS = 3 };
    static char names[WRITERS][160];
    pthread_t writers[WRITERS];
    uint64_t turns = 0, end_ns;

    write_pods(path, "u1");
    start();
    for (size_t i = 0; i < WRITERS; i++) { /* in turns, so that their events are not merged into one */
        (void)snprintf(names[i], sizeof(names[i]), "%s/neighbour%zu", folder, i);
        cr_assert_eq(pthread_create(&writers[i], NULL, write_without_end, names[i]), 0);
    }
    for (end_ns = clock_boot_ns() + NS_PER_SEC; clock_boot_ns() < end_ns; turns++) {
        now_ns += NS_PER_MS;
        cr_assert_eq(loop_run_once(loop, 0), 0);
    }
    cr_expect_gt(turns, 100);
    write_pods(path, "u2");
    pass();
    cr_expect(alive("u2"));
    for (size_t i = 0; i < WRITERS; i++) {
        cr_assert_eq(pthread_cancel(writers[i]), 0);
        cr_assert_eq(pthread_join(writers[i], NULL), 0);
    }
}

Test(source_file, freed_while_it_reads)
{
    write_pods(path, "u1");
    cr_assert_eq(source_file_new(&source, loop, table, path), 0);
    cr_assert_eq(loop_run_once(loop, 0), 0);
    source = source->ops->free(source);
    cr_assert_null(source);
    pass();
}
