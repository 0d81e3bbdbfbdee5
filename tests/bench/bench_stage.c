/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench_stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define QUEUE_BYTES (16 << 20)

void stage_fail(const char *what, int r)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, strerror(-r));
    exit(1);
}

void stage_must(const char *what, int r)
{
    if (r < 0)
        stage_fail(what, r);
}

static void no_ask(void *arg)
{
    (void)arg;
}

static void on_changed(void *arg, struct pod *pod)
{
    pipeline_pod_changed(arg, pod, clock_boot_ns());
}

static uint64_t cpu_ns(clockid_t whose)
{
    struct timespec ts;

    (void)clock_gettime(whose, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void open_output(struct stage *stage, const struct stage_options *asked)
{
    struct output_options options = OUTPUT_OPTIONS_DEFAULT;

    if (strcmp(asked->folder, "-") != 0)
        (void)snprintf(stage->path, sizeof(stage->path), "%s/podkin-bench-%d-%u.json", asked->folder,
            (int)getpid(), asked->lane.index);
    options.path = stage->path[0] ? stage->path : NULL;
    options.rotate_keep = 1;
    options.sections = asked->normalised;
    if (asked->rotate_bytes)
        options.rotate_bytes = asked->rotate_bytes;
    stage_must("output", output_new(&stage->output, stage->loop, &options));
}

static void open_pipeline(struct stage *stage, const struct stage_options *options)
{
    const struct pod_table_limits pods = {
        .max_pods = 4096, .max_bytes = 64 << 20, .grace_ns = 300 * NS_PER_SEC};

    stage->options = (struct pipeline_options){.hold_timeout_ns = 30 * NS_PER_SEC,
        .container_timeout_ns = 5 * NS_PER_SEC,
        .process_grace_ns = 100 * NS_PER_MS,
        .max_exited = 16384,
        .cgroup_grace_ns = 300 * NS_PER_SEC,
        .max_cgroups = 65536,
        .retry = {NS_PER_SEC, NS_PER_SEC},
        .owed = {.container_max = 4096, .total_max = 65536},
        .own_events = true};
    stage->render =
        (struct render_options){.node_name = "worker-17", .own_fields = true, .image = {.own_fields = true}};
    stage_must("pods", pod_table_new(&stage->pods, &pods, on_changed, &stage->pipeline));
    stage_must("hold", hold_new(&stage->hold, options->hold_fd, &options->hold));
    stage_must("emit",
        emit_init(&stage->emit, &stage->render, stage->output, "01234567-89ab-cdef-0123-456789abcdef"));
    if (options->normalised)
        stage_must("format", emit_normalise(&stage->emit));
    stage->pipeline = (struct pipeline){.options = &stage->options,
        .lane = options->lane,
        .pods = stage->pods,
        .hold = stage->hold,
        .emit = &stage->emit,
        .ask = no_ask};
    stage_must("pipeline", pipeline_init(&stage->pipeline, clock_boot_ns()));
}

static void open_queue(struct stage *stage, const struct stage *leader)
{
    struct queue_fds fds;

    if (leader) {
        stage_must("follower", queue_consumer_new_follower(&stage->consumer, leader->consumer, -1));
        return;
    }
    stage_must("queue", queue_producer_new(&stage->producer, QUEUE_BYTES));
    queue_producer_get_fds(stage->producer, &fds);
    stage_must("consumer", queue_consumer_new(&stage->consumer, &fds));
}

void stage_open(struct stage *stage, const struct stage_options *options)
{
    *stage = (struct stage){0};
    stage_must("loop", loop_new(&stage->loop, options->loop, NULL));
    open_output(stage, options);
    open_pipeline(stage, options);
    open_queue(stage, options->leader);
    drain_init(&stage->drain, stage->loop, &stage->pipeline, stage->output);
    stage_must("attach", drain_attach(&stage->drain, stage->consumer));
}

void stage_close(struct stage *stage)
{
    char older[sizeof(stage->path) + 2];

    if (!stage->path[0])
        return;
    (void)unlink(stage->path);
    (void)snprintf(older, sizeof(older), "%s.1", stage->path);
    (void)unlink(older);
}

void stage_produce(struct stage *stage, const struct record_header *record)
{
    void *room = queue_producer_reserve(stage->producer, record->size, QUEUE_CLASS_LIFE);

    if (!room)
        stage_fail("the queue is full", -ENOSPC);
    memcpy(room, record, record->size);
    queue_producer_commit(stage->producer);
}

static void drain(struct stage *stage)
{
    for (;;) {
        bool more = drain_run(&stage->drain);

        pipeline_turn(&stage->pipeline, clock_boot_ns());
        if (!more) {
            output_flush(stage->output);
            if (queue_consumer_backlog_bytes(stage->consumer) == 0 &&
                !pipeline_is_blocked(&stage->pipeline) &&
                output_durable(stage->output) >= output_mark(stage->output))
                break;
        }
        stage_must("loop", loop_run_once(stage->loop, more ? 0 : clock_boot_ns() + NS_PER_MS));
    }
    (void)drain_run(&stage->drain); /* releases */
}

struct stage_cost stage_consume(struct stage *stage)
{
    struct stage_cost cost;

    queue_producer_publish(stage->producer);
    cost = stage_drain(stage);
    stage_must("cursor", queue_producer_refresh(stage->producer));
    return cost;
}

struct stage_cost stage_drain(struct stage *stage)
{
    uint64_t all = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), own = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t wall = clock_boot_ns();

    drain(stage);
    return (struct stage_cost){cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - all, cpu_ns(CLOCK_THREAD_CPUTIME_ID) - own,
        clock_boot_ns() - wall};
}

struct make_key stage_key(uint32_t i)
{
    return (struct make_key){10000 + i, 1000 + i};
}

uint64_t stage_cgroup(uint32_t container)
{
    return 100 + container % STAGE_CONTAINERS;
}

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

static void name_container(uint32_t i, char uid[64], char id[80])
{
    (void)snprintf(uid, 64, "11111111-1111-4111-8111-%012u", i);
    (void)snprintf(id, 80, "%064x", i + 1);
}

static void tell_pod(struct stage *stage, uint32_t i)
{
    struct pod_pair labels[] = {{STR("app"), STR("checkout")}, {STR("pod-template-hash"), STR("5d4f8c7b9d")}};
    char uid[64], id[80], name[64];
    struct pod_container container = {.name = STR("server"),
        .id = id,
        .runtime = STR("containerd"),
        .image = STR("images.example.net/shop/checkout:2026.11.3"),
        .started_unix_ns = UINT64_C(1790000000000000000)};
    struct pod pod = {.uid = uid,
        .namespace_ = STR("shop-production"),
        .name = name,
        .labels = labels,
        .label_count = 2,
        .containers = &container,
        .container_count = 1,
        .workload = STR("checkout"),
        .workload_kind = STR("Deployment")};

    name_container(i, uid, id);
    (void)snprintf(name, sizeof(name), "checkout-5d4f8c7b9d-%05u", i);
    stage_must("pod", pod_table_merge(stage->pods, POD_SOURCE_KUBELET, &pod, clock_boot_ns()));
}

void stage_tell_pods(struct stage *stage)
{
    for (uint32_t i = 0; i < STAGE_CONTAINERS; i++)
        tell_pod(stage, i);
}

void stage_name_path(uint32_t container, char path[256])
{
    char uid[64], id[80];

    name_container(container, uid, id);
    (void)snprintf(path, 256, "/kubepods/burstable/pod%s/%s", uid, id);
}

void stage_make_cgroups(struct stage *stage)
{
    for (uint32_t i = 0; i < STAGE_CONTAINERS; i++) {
        char path[256];

        stage_name_path(i, path);
        stage_produce(stage, make_cgroup(&stage->record, RECORD_CGROUP_MKDIR, stage_cgroup(i),
                                 (struct make_key){0, 0}, clock_boot_ns(), path));
    }
    (void)stage_consume(stage);
}

void stage_make_processes(struct stage *stage)
{
    for (uint32_t i = 0; i < STAGE_PROCESSES; i++) {
        stage_produce(stage,
            make_process(&stage->record, RECORD_EXEC, stage_key(i), stage_key(i / 100), stage_cgroup(i / 100),
                clock_boot_ns(), "/usr/local/bin/checkout", "checkout\0--listen=:8080", 23));
        if (i % STAGE_CHUNK == STAGE_CHUNK - 1)
            (void)stage_consume(stage);
    }
    (void)stage_consume(stage);
}
