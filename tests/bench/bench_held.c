/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 100,000 events held for late metadata, of processes that were there before: what the hold store takes above their records, and how long it takes from the arrival of 300 Pods until the last
 * line is written (bench_stage.h). Medians of five rounds; each has other containers' Pods to wait for: the tables are made anew.
 *
 *   bench-held [FOLDER for the file, default /tmp; -: no file] [epoll]
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_stage.h"

#define ROUNDS 5
#define HELD   STAGE_PROCESSES

struct result {
    double append_ns, wall_ms, cpu_ms, bytes_above;
};

static struct stage stage;

static void tell_snapshot(void)
{
    static const enum pipeline_snapshot_pass passes[] = {PIPELINE_SNAPSHOT_TABLES, PIPELINE_SNAPSHOT_PARENTS};

    for (size_t pass = 0; pass < sizeof(passes) / sizeof(passes[0]); pass++)
        for (uint32_t i = 0; i < STAGE_PROCESSES; i++)
            pipeline_snapshot(&stage.pipeline,
                make_process(&stage.record, RECORD_SNAPSHOT_PROCESS, stage_key(i), stage_key(i / 100),
                    stage_cgroup(i / 100), 1000 + i, "/usr/local/bin/checkout", "checkout\0--listen=:8080",
                    23),
                passes[pass]);
}

/* Returns what it took to hold them. *ret_bytes: of their records. */
static uint64_t hold_events(uint64_t *ret_bytes)
{
    uint64_t ns = 0;

    *ret_bytes = 0;
    for (uint32_t i = 0; i < HELD; i++) {
        struct record_hook *hook =
            make_hook(&stage.record, stage_key(i), stage_cgroup(i / 100), clock_boot_ns(), 1);

        make_arg_path(
            &stage.record, 0, RECORD_ARG_FILE, "/var/lib/checkout/sessions/4711.json", 0100640, 02, -1);
        stage_produce(&stage, &hook->header);
        *ret_bytes += hook->header.size;
        if (i % STAGE_CHUNK == STAGE_CHUNK - 1)
            ns += stage_consume(&stage).own_ns;
    }
    return ns;
}

/* Of the heap and of the store's memfd. */
static uint64_t memory_bytes(int hold_fd)
{
    struct mallinfo2 heap = mallinfo2();
    struct stat st;

    stage_must("fstat", fstat(hold_fd, &st));
    return heap.uordblks + heap.hblkhd + (uint64_t)st.st_blocks * 512;
}

static struct result run(const char *folder, enum loop_kind loop)
{
    int hold_fd = fd_memfd_new("bench-hold", 0);
    const struct stage_options options = {.folder = folder,
        .loop = loop,
        .hold_fd = hold_fd,
        .hold = {.max_events = HELD + 1, .max_bytes = UINT64_C(1) << 30}};
    uint64_t before, record_bytes, append_ns, start_ns;
    struct stage_cost cost;
    struct result result;

    stage_must("memfd", hold_fd);
    stage_open(&stage, &options);
    stage_make_cgroups(&stage);
    tell_snapshot();
    stage_produce(
        &stage, make_policy(&stage.record,
                    &(struct make_policy){
                        .hook_id = 1, .kind = RECORD_HOOK_LSM, .name = "files", .function = "file_open"},
                    clock_boot_ns()));
    (void)stage_consume(&stage);
    before = memory_bytes(hold_fd);
    append_ns = hold_events(&record_bytes);
    if (pipeline_held(&stage.pipeline) != HELD)
        stage_fail("not all are held", -EBADMSG);
    result.bytes_above = ((double)memory_bytes(hold_fd) - (double)before - (double)record_bytes) / HELD;
    result.append_ns = (double)append_ns / HELD;
    start_ns = clock_boot_ns();
    result.cpu_ms = (double)bench_cpu_ns();
    stage_tell_pods(&stage);
    result.cpu_ms = ((double)bench_cpu_ns() - result.cpu_ms) / 1e6;
    cost = stage_consume(&stage);
    result.cpu_ms += (double)cost.all_ns / 1e6;
    result.wall_ms = (double)(clock_boot_ns() - start_ns) / 1e6;
    if (pipeline_held(&stage.pipeline) != 0 || stage.pipeline.counters.emitted_without_pod)
        stage_fail("events are held yet, or left without their Pod", -EBADMSG);
    stage_close(&stage);
    return result;
}

/* In a process of its own, so that the heap is as a fresh one. */
static struct result run_apart(const char *folder, enum loop_kind loop)
{
    struct result result;
    int ends[2], status;
    pid_t pid;

    stage_must("pipe", pipe(ends));
    pid = fork();
    stage_must("fork", pid);
    if (pid == 0) {
        result = run(folder, loop);
        _exit(write(ends[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
    }
    (void)close(ends[1]);
    if (read(ends[0], &result, sizeof(result)) != sizeof(result) || waitpid(pid, &status, 0) < 0)
        exit(1);
    (void)close(ends[0]);
    return result;
}

static void print(const char *what, double *rounds, const char *unit)
{
    qsort(rounds, ROUNDS, sizeof(*rounds), bench_compare);
    printf("%-52s %8.1f %s  (%.1f to %.1f)\n", what, rounds[ROUNDS / 2], unit, rounds[0], rounds[ROUNDS - 1]);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "/tmp";
    enum loop_kind loop = argc > 2 && !strcmp(argv[2], "epoll") ? LOOP_EPOLL : LOOP_AUTO;
    double append[ROUNDS], wall[ROUNDS], cpu[ROUNDS], above[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        struct result result = run_apart(folder, loop);

        append[i] = result.append_ns;
        wall[i] = result.wall_ms;
        cpu[i] = result.cpu_ms;
        above[i] = result.bytes_above;
    }
    print("100,000 held: taken into the store", append, "ns each");
    print("100,000 held: arrival to last line, by the clock", wall, "ms");
    print("100,000 held: arrival to last line, CPU", cpu, "ms");
    print("100,000 held: memory above the records", above, "bytes each");
    return 0;
}
