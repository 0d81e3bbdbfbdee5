/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From queue to file, on one core: tables of 100,000 processes in 300 containers whose Pods are known (bench_stage.h). CPU of the whole process, kernel included. Prints nanoseconds and
 * bytes an event.
 *
 *   bench-pipeline [SECONDS a round, default 2] [FOLDER for the file, default /tmp; -: no file] [KIND: only those whose name begins so] [uring|epoll]
 *                  [full|normalised] [PROCESSES that events are of, default all] [MEBIBYTES of a file, default 64]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_stage.h"

#define ROUNDS 5

static struct stage stage;
static uint32_t next_tgid, processes = STAGE_PROCESSES;

enum kind {
    KIND_FORK_EXIT,
    KIND_EXEC,
    KIND_CHURN,
    KIND_HOOK_OPEN,
    KIND_HOOK_CONNECT,
    KIND_HOOK_SELECTED,
    KIND_COUNT
};
static const char *const kind_names[] = {"fork + exit of a worker", "exec over exec",
    "churn: fork + exec + exit", "hook of a known process: file", "hook of a known process: sock",
    "the same, with a selector"};

static void tell_policies(void)
{
    static const char selector[] = "pod\0app\0In\0002\0cart\0checkout\0container\0name\0In\0001\0server";

    stage_produce(&stage, make_policy(&stage.record,
                              &(struct make_policy){.hook_id = KIND_HOOK_OPEN,
                                  .kind = RECORD_HOOK_LSM,
                                  .name = "file-monitoring",
                                  .function = "file_open"},
                              clock_boot_ns()));
    for (uint32_t id = KIND_HOOK_CONNECT; id <= KIND_HOOK_SELECTED; id++)
        stage_produce(&stage, make_policy(&stage.record,
                                  &(struct make_policy){.hook_id = id,
                                      .kind = RECORD_HOOK_KPROBE,
                                      .name = "connections",
                                      .function = "tcp_connect",
                                      .message = "Outgoing connection",
                                      .selector = id == KIND_HOOK_SELECTED ? selector : NULL,
                                      .selector_size = id == KIND_HOOK_SELECTED ? sizeof(selector) - 1 : 0},
                                  clock_boot_ns()));
    (void)stage_consume(&stage);
}

static void produce_hook(enum kind kind, uint32_t who)
{
    static const struct record_arg_sock sock = {.cookie = UINT64_C(4711474711),
        .family = 2,
        .type = 1,
        .protocol = 6,
        .state = 2,
        .sport = 40112,
        .dport = 443,
        .saddr = {10, 244, 0, 7},
        .daddr = {104, 198, 14, 52}};
    struct record_hook *hook =
        make_hook(&stage.record, stage_key(who), stage_cgroup(who / 100), clock_boot_ns(), (uint32_t)kind);

    if (kind == KIND_HOOK_OPEN)
        make_arg_path(
            &stage.record, 0, RECORD_ARG_FILE, "/var/lib/checkout/sessions/4711.json", 0100640, 02, -1);
    else
        make_arg(&stage.record, 0, RECORD_ARG_SOCK, &sock, sizeof(sock), NULL, 0);
    stage_produce(&stage, &hook->header);
}

static void produce_exec(struct make_key who, struct make_key parent, uint64_t cgroup)
{
    stage_produce(&stage, make_process(&stage.record, RECORD_EXEC, who, parent, cgroup, clock_boot_ns(),
                              "/usr/local/bin/checkout", "checkout\0--listen=:8080", 23));
}

/* Returns how many events. */
static unsigned produce_life(bool with_exec, uint32_t parent)
{
    struct make_key child = {200000 + next_tgid++ % 1000000, clock_boot_ns()};
    uint64_t cgroup = stage_cgroup(parent / 100);

    stage_produce(&stage, make_fork(&stage.record, child, stage_key(parent), cgroup, clock_boot_ns()));
    if (with_exec)
        produce_exec(child, stage_key(parent), cgroup);
    stage_produce(&stage, make_exit(&stage.record, child, cgroup, clock_boot_ns(), 0));
    return with_exec ? 3 : 2;
}

/* One chunk of records. Returns how many events. */
static unsigned produce_chunk(enum kind kind, unsigned *seed)
{
    unsigned count = 0;

    for (unsigned i = 0; i < STAGE_CHUNK; i++) {
        uint32_t who;

        *seed = *seed * 1664525u + 1013904223u;
        who = (*seed >> 4) % processes;
        if (kind == KIND_FORK_EXIT || kind == KIND_CHURN) {
            count += produce_life(kind == KIND_CHURN, who);
            continue;
        }
        count++;
        if (kind == KIND_EXEC)
            produce_exec(stage_key(who), stage_key(who / 100), stage_cgroup(who / 100));
        else
            produce_hook(kind, who);
    }
    return count;
}

static void measure(enum kind kind, double seconds)
{
    double ns[ROUNDS], own_ns[ROUNDS];
    uint64_t bytes = 0, events = 0;
    unsigned seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct output_state before, after;
        uint64_t end = clock_boot_ns() + (uint64_t)(seconds * 1e9), count = 0;
        struct stage_cost sum = {0, 0, 0};

        output_get_state(stage.output, &before);
        while (clock_boot_ns() < end) {
            struct stage_cost cost;

            count += produce_chunk(kind, &seed);
            cost = stage_consume(&stage);
            sum.all_ns += cost.all_ns;
            sum.own_ns += cost.own_ns;
        }
        output_get_state(stage.output, &after);
        ns[round] = (double)sum.all_ns / (double)count;
        own_ns[round] = (double)sum.own_ns / (double)count;
        bytes += after.bytes - before.bytes;
        events += count;
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), bench_compare);
    qsort(own_ns, ROUNDS, sizeof(own_ns[0]), bench_compare);
    printf("%-30s %6.0f ns an event (%.0f to %.0f), %7.0f events/s a core, own thread %6.0f ns, %llu bytes a "
           "line\n",
        kind_names[kind], ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1], 1e9 / ns[ROUNDS / 2], own_ns[ROUNDS / 2],
        (unsigned long long)(bytes / events));
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    const char *only = argc > 3 ? argv[3] : "";
    const struct stage_options options = {.folder = argc > 2 ? argv[2] : "/tmp",
        .loop = argc > 4 && !strcmp(argv[4], "epoll") ? LOOP_EPOLL : LOOP_AUTO,
        .hold_fd = -1,
        .rotate_bytes = argc > 7 ? strtoull(argv[7], NULL, 10) << 20 : 0,
        .normalised = argc > 5 && !strcmp(argv[5], "normalised"),
        .hold = {.max_events = 1000, .max_bytes = 1 << 20}};
    const struct counters *counters = &stage.pipeline.counters;

    if (argc > 6)
        processes = 1 + ((uint32_t)strtoul(argv[6], NULL, 10) - 1) % STAGE_PROCESSES;
    stage_open(&stage, &options);
    stage_make_cgroups(&stage);
    stage_tell_pods(&stage);
    stage_make_processes(&stage);
    tell_policies();
    printf("loop %s; %zu processes, %zu containers, %zu Pods\n", loop_describe(stage.loop),
        stage.pipeline.processes.count, stage.pipeline.containers.container_count,
        pod_table_count(stage.pods));
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (!strncmp(kind_names[kind], only, strlen(only)))
            measure((enum kind)kind, seconds);
    }
    stage_close(&stage);
    if (counters->emitted_without_pod || counters->records_malformed || counters->hooks_unnamed ||
        counters->hooks_not_selected)
        stage_fail("events without Pod or policy, or records malformed", -EBADMSG);
    return 0;
}
