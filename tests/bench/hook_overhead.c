/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hooks cost the processes that they watch: a fork+exit loop and a posix_spawn loop, hooks on
 * against off, in short rounds that take turns, so that a busy machine disturbs both alike. The loop runs in
 * a process of its own; this one drains the ring, once with the round over (what the hooks alone cost) and
 * once every millisecond (what a collector adds by waking up). Not on a thread of the loop's process: each
 * fork would flush another CPU's TLB, 4 % by itself.
 *
 * Printed: medians of the rounds, in µs a process, and the median of each pair's ratio. "cpu" is the CPU time
 * of the loop and its children, "wall" what the loop took; on a busy machine only the first says something.
 * usage: hook_overhead [ROUNDS [KIND]]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/probe.h"
#include "common/clock.h"

#define ROUNDS_MAX   1000
#define WARM_UP      20
#define EXIT_SKIPPED 77

struct cost {
    double wall_us, cpu_us; /* a process */
};

static int on_record(const struct record_header *record, size_t size, void *arg)
{
    uint64_t *records = arg;

    (void)record;
    (void)size;
    ++*records;
    return 0;
}

static void run_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}

static void run_spawn(void)
{
    static const char *const argv[] = {"/bin/true", NULL};
    pid_t pid;

    if (posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) == 0)
        (void)waitpid(pid, NULL, 0);
}

static double cpu_us(void)
{
    struct rusage own, children;

    (void)getrusage(RUSAGE_THREAD, &own);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) *
               1e6 +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec);
}

static struct cost measure(void (*run)(void), int count)
{
    double cpu;
    uint64_t start;

    for (int i = 0; i < WARM_UP; i++)
        run();
    cpu = cpu_us();
    start = clock_boot_ns();
    for (int i = 0; i < count; i++)
        run();
    return (struct cost){
        .wall_us = (double)(clock_boot_ns() - start) / 1000 / count,
        .cpu_us = (cpu_us() - cpu) / count,
    };
}

struct workload {
    const char *name;
    void (*run)(void);
    int count;  /* a round */
    int nap_ms; /* between two drains; -1: one drain after the round */
};

/* One round in a process of its own; `probe` is drained meanwhile, unless it is NULL. */
static int run_round(
    struct probe *probe, const struct workload *workload, uint64_t *records, struct cost *ret)
{
    int ends[2];
    struct pollfd poll_fd;
    ssize_t n;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    pid = fork();
    if (pid == 0) {
        struct cost cost = measure(workload->run, workload->count);

        _exit(write(ends[1], &cost, sizeof(cost)) != sizeof(cost));
    }
    (void)close(ends[1]);
    poll_fd = (struct pollfd){.fd = ends[0], .events = POLLIN};
    while (poll(&poll_fd, 1, probe ? workload->nap_ms : -1) == 0)
        (void)probe_drain(probe, on_record, records, 0);
    n = read(ends[0], ret, sizeof(*ret));
    (void)close(ends[0]);
    (void)waitpid(pid, NULL, 0);
    return n == sizeof(*ret) ? 0 : -EIO;
}

static int run_round_with_hooks(
    struct probe *probe, const struct workload *workload, uint64_t *records, struct cost *ret)
{
    char error[PROBE_ERROR_MAX];
    int r = probe_attach(probe, error);

    if (r) {
        (void)fprintf(stderr, "hook_overhead: %s\n", error);
        return r;
    }
    r = run_round(probe, workload, records, ret);
    probe_detach(probe);
    (void)probe_drain(probe, on_record, records, 0);
    return r;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    double sorted[ROUNDS_MAX];

    memcpy(sorted, values, (size_t)count * sizeof(*values));
    qsort(sorted, (size_t)count, sizeof(*sorted), compare_doubles);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static int compare(struct probe *probe, const struct workload *workload, int rounds, uint64_t *records)
{
    static double off_cpu[ROUNDS_MAX], on_cpu[ROUNDS_MAX], ratio_cpu[ROUNDS_MAX];
    static double off_wall[ROUNDS_MAX], on_wall[ROUNDS_MAX], ratio_wall[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        struct cost off = {0}, on = {0};
        bool on_first = i % 2;
        int r = on_first ? run_round_with_hooks(probe, workload, records, &on) : 0;

        if (!r)
            r = run_round(NULL, workload, records, &off);
        if (!r && !on_first)
            r = run_round_with_hooks(probe, workload, records, &on);
        if (r)
            return r;
        off_cpu[i] = off.cpu_us;
        on_cpu[i] = on.cpu_us;
        ratio_cpu[i] = on.cpu_us / off.cpu_us;
        off_wall[i] = off.wall_us;
        on_wall[i] = on.wall_us;
        ratio_wall[i] = on.wall_us / off.wall_us;
    }
    (void)printf("%-24s cpu: off %7.1f on %7.1f us %+5.2f %%   wall: off %7.1f on %7.1f us %+5.2f %%\n",
        workload->name, median(off_cpu, rounds), median(on_cpu, rounds),
        (median(ratio_cpu, rounds) - 1) * 100, median(off_wall, rounds), median(on_wall, rounds),
        (median(ratio_wall, rounds) - 1) * 100);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {
        {.name = "fork+exit", .run = run_fork, .count = 300, .nap_ms = -1},
        {.name = "fork+exit, 1 ms drain", .run = run_fork, .count = 300, .nap_ms = 1},
        {.name = "posix_spawn", .run = run_spawn, .count = 100, .nap_ms = -1},
        {.name = "posix_spawn, 1 ms drain", .run = run_spawn, .count = 100, .nap_ms = 1},
    };
    struct probe_options options = {.epoch_ns = clock_boot_ns()};
    struct probe *probe;
    char error[PROBE_ERROR_MAX];
    uint64_t records = 0;
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 40, r;

    if (rounds < 1 || rounds > ROUNDS_MAX)
        rounds = 40;
    if (argc > 2)
        options.kind = strcmp(argv[2], "raw_tp") == 0 ? PROBE_KIND_RAW_TP : PROBE_KIND_TP_BTF;
    r = probe_new(&probe, &options, error);
    if (r) {
        (void)fprintf(stderr, "hook_overhead: skipped: %s\n", error);
        return EXIT_SKIPPED;
    }
    (void)printf("hooks: %s, %d rounds each way\n", probe_kind_name(probe), rounds);
    for (size_t i = 0; !r && i < sizeof(workloads) / sizeof(workloads[0]); i++)
        r = compare(probe, &workloads[i], rounds, &records);
    (void)printf("records drained: %llu\n", (unsigned long long)records);
    probe_free(probe);
    return r ? 1 : 0;
}
