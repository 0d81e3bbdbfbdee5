/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enricher that somebody has taken over, against a running collector: one row an attempt, with what stops it. During the hostile rows the collector is looked at from outside:
 * it goes on draining what the kernel counts, and has the fds, the memory and the idle processor that it had before.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/queue_layout.h"
#include "tests/e2e/intruder.h"
#include "tests/e2e/scene.h"

#define ANON_KB_MAX   4096 /* more than before: what an allocator keeps */
#define LOG_LINES_MAX 60   /* a row: 20 at once, then one a second, and what an honest one says */
#define IDLE_MS       400
#define IDLE_CPU_MS   200 /* of it; spinning is all of it */
#define PATIENCE_MS   5000
#define DURING        300 /* processes during an attack, so that there is something to drain */
#define AFTER         20

static struct scene scene;
static const struct queue_ring_page *ring; /* the collector's, seen from outside */

/* ---- the collector, from outside ---------------------------------------------------------------------------------- */

struct health {
    unsigned fds, anon_kb, log_lines;
    uint64_t cpu_ms, records; /* published or counted as refused */
};

static unsigned count_fds(void)
{
    CLEANUP_DIR DIR *dir = NULL;
    char path[64];
    unsigned count = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)scene.node.collector);
    dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    return count;
}

/* The number behind `key` in a file of /proc/PID. */
static unsigned read_status(const char *key)
{
    CLEANUP_FILE FILE *file = NULL;
    char path[64], line[256];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)scene.node.collector);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            return (unsigned)strtoul(line + strlen(key), NULL, 10);
    }
    return 0;
}

static uint64_t read_cpu_ms(void)
{
    CLEANUP_FILE FILE *file = NULL;
    char path[64], line[1024], *rest;
    unsigned long long user = 0, kernel = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)scene.node.collector);
    file = fopen(path, "re");
    rest = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    for (int field = 2; rest && field < 14; field++) /* the 14th and 15th */
        rest = strchr(rest + 1, ' ');
    if (rest) {
        user = strtoull(rest, &rest, 10);
        kernel = strtoull(rest, NULL, 10);
    }
    return (user + kernel) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static unsigned count_log_lines(void)
{
    CLEANUP_FILE FILE *file = fopen(scene.node.collector_log, "re");
    unsigned count = 0;
    int c;

    while (file && (c = fgetc(file)) != EOF)
        count += c == '\n';
    return count;
}

static uint64_t count_records(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < 16; i++)
        sum += ring->books.published[i] + ring->books.refused_ring[i] + ring->books.refused_queue[i];
    return sum;
}

static struct health look(void)
{
    return (struct health){.fds = count_fds(),
        .anon_kb = read_status("RssAnon:"),
        .log_lines = count_log_lines(),
        .cpu_ms = read_cpu_ms(),
        .records = count_records()};
}

/* Through its own fd, as only root can. */
static bool map_ring(void)
{
    for (int fd = 3; fd < 64; fd++) {
        char path[64], name[64];
        ssize_t size;
        int own;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)scene.node.collector, fd);
        size = readlink(path, name, sizeof(name) - 1);
        if (size <= 0)
            continue;
        name[size] = '\0';
        if (!strstr(name, "memfd:podkin-ring"))
            continue;
        own = open(path, O_RDONLY | O_CLOEXEC);
        ring = mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ, MAP_SHARED, own, 0);
        (void)close(own);
        return tap_expect((const void *)ring != MAP_FAILED, "the ring: %s", strerror(errno));
    }
    return tap_expect(false, "the collector has no ring");
}

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

static void vfork_some(void *arg)
{
    workload_vfork_true(*(unsigned *)arg);
}

static bool has_drained(uint64_t wanted)
{
    for (unsigned waited = 0; waited < PATIENCE_MS && count_records() < wanted; waited += 5)
        node_sleep_ms(5);
    return count_records() >= wanted;
}

static void expect_work(const struct health *before, uint64_t counted_before)
{
    unsigned count = AFTER;
    uint64_t counted;

    (void)workload_run(scene_container(&scene, 0), vfork_some, &count);
    counted = oracle_total(scene_container(&scene, 0)) - counted_before;
    tap_expect(has_drained(before->records + counted), "it does not drain: %llu of at least %llu records",
        (unsigned long long)(count_records() - before->records), (unsigned long long)counted);
}

static void expect_as_before(const struct health *before)
{
    struct health now = look();
    uint64_t cpu_ms;

    for (unsigned waited = 0; waited < PATIENCE_MS && now.fds != before->fds; waited += 20) {
        node_sleep_ms(20);
        now = look();
    }
    cpu_ms = now.cpu_ms;
    node_sleep_ms(IDLE_MS);
    now = look();
    tap_expect_equal(now.fds, before->fds, "its fds");
    tap_expect(now.anon_kb <= before->anon_kb + ANON_KB_MAX, "its memory: %u KiB, %u before", now.anon_kb,
        before->anon_kb);
    tap_expect(now.cpu_ms - cpu_ms <= IDLE_CPU_MS, "it is busy with nothing: %llu of %d ms",
        (unsigned long long)(now.cpu_ms - cpu_ms), IDLE_MS);
    tap_expect(now.log_lines - before->log_lines <= LOG_LINES_MAX, "its log: %u lines more",
        now.log_lines - before->log_lines);
}

static void attack(const struct hostile_row *row, const struct health *idle)
{
    uint64_t counted = oracle_total(scene_container(&scene, 0)), began = node_now_ns();
    unsigned count = DURING;
    struct health before = look(), after;
    pid_t work = workload_start(scene_container(&scene, 0), vfork_some, &count);

    for (unsigned i = 0; i < row->processes; i++) {
        int result = intruder_wait(intruder_start(&scene.node, INTRUDER_CONFINED, row->fn, i));

        tap_expect(result == 0, "the attack itself: %s", result < 0 ? "ended" : strerror(result));
    }
    after = look();
    tap_note("%llu ms of processor in %llu ms, %u lines of log",
        (unsigned long long)(after.cpu_ms - before.cpu_ms),
        (unsigned long long)(node_now_ns() - began) / 1000000, after.log_lines - before.log_lines);
    tap_expect((after.cpu_ms - before.cpu_ms) * 4 <= (node_now_ns() - began) / 1000000 + 200,
        "more than a quarter of a processor");
    (void)node_stop(work, SIGKILL);
    if (!tap_expect(node_is_running(scene.node.collector), "the collector is gone"))
        return;
    expect_work(&before, counted);
    before.fds = idle->fds;
    before.anon_kb = idle->anon_kb;
    expect_as_before(&before);
}

static void try_hostile(void)
{
    struct health idle;

    node_sleep_ms(IDLE_MS); /* the last one's connection is closed */
    idle = look();
    for (size_t i = 0; i < intruder_hostile_count; i++) {
        const struct hostile_row *row = &intruder_hostile_rows[i];
        char name[256];

        if (intruder_no_filter())
            tap_skip("%s", intruder_no_filter());
        else
            attack(row, &idle);
        (void)snprintf(name, sizeof(name), "hostile: %s; stopped by %s", row->what, row->stopped_by);
        tap_report(name);
    }
}

/* After all of that an honest enricher has every event that the kernel counts from then on. */
static void work_honestly(void)
{
    unsigned count = DURING;

    scene_reveal(&scene);
    if (scene_start_enricher(&scene, NULL)) {
        struct test_container *container = scene_container(&scene, 0);

        tap_expect(
            node_wait_log(scene.node.enricher_log, "attached to the collector", 20000), "not attached");
        node_sleep_ms(1000); /* what waited in the queue */
        tap_expect_equal(oracle_watch(container), 0, "counting anew");
        events_read(&scene.events);
        size_t before = events_count(&scene.events, container, -1);

        (void)workload_run(container, vfork_some, &count);
        tap_expect(events_wait(&scene.events, container, before + oracle_total(container), 20000),
            "events are missing");
        tap_expect_equal(
            events_count(&scene.events, container, -1), before + oracle_total(container), "events");
    }
    tap_report("an honest enricher afterwards has every event that the kernel counts");
}

int main(void)
{
    const char *missing = tap_missing();

    if (missing) {
        printf("1..0 # SKIP %s\n", missing);
        return 0;
    }
    tap_plan(intruder_bare_count + intruder_memory_count + intruder_escape_count +
             intruder_count_rows(INTRUDER_LANE, intruder_escape_rows, intruder_escape_count) +
             intruder_hostile_count + 2);
    if (scene_make(&scene, 1) && scene_start_collector(&scene) && map_ring()) {
        intruder_try_rows(
            &scene.node, INTRUDER_BARE, "memory, no sandbox", intruder_bare_rows, intruder_bare_count);
        intruder_try_rows(
            &scene.node, INTRUDER_CONFINED, "memory", intruder_memory_rows, intruder_memory_count);
        intruder_try_rows(
            &scene.node, INTRUDER_CONFINED, "reach", intruder_escape_rows, intruder_escape_count);
        intruder_try_rows(
            &scene.node, INTRUDER_LANE, "reach, another lane", intruder_escape_rows, intruder_escape_count);
        try_hostile();
        work_honestly();
    }
    scene_end(&scene);
    tap_report("both daemons end when told");
    return tap_status();
}
