/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From queue to file, on one core, with the real modules: a queue that is filled with records, the drain, the tables (100,000 processes in 300 containers, Pods known), rendering, the file sink
 * with rotation. Only the consumer's work is timed (CPU of the whole process, kernel included, while the producer rests). Prints nanoseconds and bytes an event.
 *
 *   bench_pipeline [SECONDS a round, default 2] [FOLDER for the file, default /tmp; -: no file] [KIND: only those whose name begins so] [epoll]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/queue.h"
#include "enricher/drain.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"
#include "tests/unit/make_record.h"

#define PROCESSES  100000
#define CONTAINERS 300
#define CHUNK      2000
#define ROUNDS     5

struct bench {
    struct pipeline_options options;
    struct render_options render;
    struct emit emit;
    struct pipeline pipeline;
    struct pod_table *pods;
    struct hold *hold;
    struct loop *loop;
    struct output *output;
    struct drain drain;
    struct queue_producer *producer;
    struct queue_consumer *consumer;
    struct make_record record;
    uint32_t next_tgid;
};

static struct bench bench;

static void fail(const char *what, int r)
{
    (void)fprintf(stderr, "bench_pipeline: %s: %s\n", what, strerror(-r));
    exit(1);
}

static void must(const char *what, int r)
{
    if (r < 0)
        fail(what, r);
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

static void open_all(const char *folder, enum loop_kind loop)
{
    const struct pod_table_limits pods = {
        .max_pods = 4096, .max_bytes = 64 << 20, .grace_ns = 300 * NS_PER_SEC};
    const struct hold_limits hold = {.max_events = 1000, .max_bytes = 1 << 20};
    struct queue_fds fds;
    char path[256];
    struct output_options output = OUTPUT_OPTIONS_DEFAULT;

    (void)snprintf(path, sizeof(path), "%s/podkin-bench-%d.json", folder, (int)getpid());
    output.path = strcmp(folder, "-") ? path : NULL;
    output.rotate_keep = 1;
    bench.options = (struct pipeline_options){.hold_timeout_ns = 30 * NS_PER_SEC,
        .container_timeout_ns = 5 * NS_PER_SEC,
        .process_grace_ns = 100 * NS_PER_MS,
        .max_exited = 16384,
        .cgroup_grace_ns = 300 * NS_PER_SEC,
        .max_cgroups = 65536,
        .retry = {NS_PER_SEC, NS_PER_SEC},
        .owed = {.container_max = 4096, .total_max = 65536},
        .own_events = true};
    bench.render =
        (struct render_options){.node_name = "worker-17", .own_fields = true, .image = {.own_fields = true}};
    must("loop", loop_new(&bench.loop, loop, NULL));
    must("output", output_new(&bench.output, bench.loop, &output));
    must("pods", pod_table_new(&bench.pods, &pods, on_changed, &bench.pipeline));
    must("hold", hold_new(&bench.hold, -1, &hold));
    must("emit", emit_init(&bench.emit, &bench.render, bench.output, "01234567-89ab-cdef-0123-456789abcdef"));
    bench.pipeline = (struct pipeline){.options = &bench.options,
        .pods = bench.pods,
        .hold = bench.hold,
        .emit = &bench.emit,
        .ask = no_ask};
    must("pipeline", pipeline_init(&bench.pipeline, clock_boot_ns()));
    must("queue", queue_producer_new(&bench.producer, 16 << 20));
    queue_producer_get_fds(bench.producer, &fds);
    must("consumer", queue_consumer_new(&bench.consumer, &fds));
    drain_init(&bench.drain, bench.loop, &bench.pipeline, bench.output);
    must("attach", drain_attach(&bench.drain, bench.consumer));
}

static void produce(const struct record_header *record)
{
    void *room = queue_producer_reserve(bench.producer, record->size, QUEUE_CLASS_LIFE);

    if (!room)
        fail("the queue is full", -ENOSPC);
    memcpy(room, record, record->size);
    queue_producer_commit(bench.producer);
}

/* What something took: of all threads (io_uring writes in a worker of the kernel's), and of this one. */
struct cost {
    uint64_t all_ns, own_ns;
};

/* Until everything published is read and written. */
static struct cost consume(void)
{
    uint64_t all_before = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), own_before = cpu_ns(CLOCK_THREAD_CPUTIME_ID);

    queue_producer_publish(bench.producer);
    for (;;) {
        bool more = drain_run(&bench.drain);

        pipeline_turn(&bench.pipeline, clock_boot_ns());
        if (!more) {
            output_flush(bench.output);
            if (queue_consumer_backlog_bytes(bench.consumer) == 0 &&
                output_durable(bench.output) >= output_mark(bench.output))
                break;
        }
        must("loop", loop_run_once(bench.loop, more ? 0 : clock_boot_ns() + NS_PER_MS));
    }
    (void)drain_run(&bench.drain); /* releases */
    must("cursor", queue_producer_refresh(bench.producer));
    return (struct cost){
        cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - all_before, cpu_ns(CLOCK_THREAD_CPUTIME_ID) - own_before};
}

static struct make_key key_of(uint32_t i)
{
    return (struct make_key){10000 + i, 1000 + i};
}

static uint64_t cgroup_of(uint32_t i)
{
    return 100 + i % CONTAINERS;
}

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

static void tell_pod(uint32_t i, const char *uid, const char *id)
{
    struct pod_pair labels[] = {{STR("app"), STR("checkout")}, {STR("pod-template-hash"), STR("5d4f8c7b9d")}};
    struct pod_container container = {.name = STR("server"),
        .id = (char *)id,
        .runtime = STR("containerd"),
        .image = STR("images.example.net/shop/checkout:2026.11.3"),
        .started_unix_ns = UINT64_C(1790000000000000000)};
    char name[64];
    struct pod pod = {.uid = (char *)uid,
        .namespace_ = STR("shop-production"),
        .name = name,
        .labels = labels,
        .label_count = 2,
        .containers = &container,
        .container_count = 1,
        .workload = STR("checkout"),
        .workload_kind = STR("Deployment")};

    (void)snprintf(name, sizeof(name), "checkout-5d4f8c7b9d-%05u", i);
    must("pod", pod_table_merge(bench.pods, POD_SOURCE_KUBELET, &pod, clock_boot_ns()));
}

static void fill_tables(void)
{
    for (uint32_t i = 0; i < CONTAINERS; i++) {
        char uid[64], id[80], path[256];

        (void)snprintf(uid, sizeof(uid), "11111111-1111-4111-8111-%012u", i);
        (void)snprintf(id, sizeof(id), "%064x", i + 1);
        (void)snprintf(path, sizeof(path), "/kubepods/burstable/pod%s/%s", uid, id);
        produce(make_cgroup(&bench.record, RECORD_CGROUP_MKDIR, cgroup_of(i), (struct make_key){0, 0},
            clock_boot_ns(), path));
        tell_pod(i, uid, id);
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        produce(make_process(&bench.record, RECORD_EXEC, key_of(i), key_of(i / 100), cgroup_of(i / 100),
            clock_boot_ns(), "/usr/local/bin/checkout", "checkout\0--listen=:8080", 23));
        if (i % CHUNK == CHUNK - 1)
            (void)consume();
    }
    (void)consume();
}

enum kind { KIND_FORK_EXIT, KIND_EXEC, KIND_HOOK_OPEN, KIND_HOOK_CONNECT, KIND_HOOK_SELECTED, KIND_COUNT };
static const char *const kind_names[] = {"fork + exit of a worker", "exec over exec",
    "hook of a known process: file", "hook of a known process: sock", "the same, with a selector"};

static void tell_policies(void)
{
    static const char selector[] = "pod\0app\0In\0002\0cart\0checkout\0container\0name\0In\0001\0server";

    produce(make_policy(&bench.record,
        &(struct make_policy){.hook_id = KIND_HOOK_OPEN,
            .kind = RECORD_HOOK_LSM,
            .name = "file-monitoring",
            .function = "file_open"},
        clock_boot_ns()));
    for (uint32_t id = KIND_HOOK_CONNECT; id <= KIND_HOOK_SELECTED; id++)
        produce(make_policy(&bench.record,
            &(struct make_policy){.hook_id = id,
                .kind = RECORD_HOOK_KPROBE,
                .name = "connections",
                .function = "tcp_connect",
                .message = "Outgoing connection",
                .selector = id == KIND_HOOK_SELECTED ? selector : NULL,
                .selector_size = id == KIND_HOOK_SELECTED ? sizeof(selector) - 1 : 0},
            clock_boot_ns()));
    (void)consume();
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
        make_hook(&bench.record, key_of(who), cgroup_of(who / 100), clock_boot_ns(), (uint32_t)kind);

    if (kind == KIND_HOOK_OPEN)
        make_arg_path(
            &bench.record, 0, RECORD_ARG_FILE, "/var/lib/checkout/sessions/4711.json", 0100640, 02, -1);
    else
        make_arg(&bench.record, 0, RECORD_ARG_SOCK, &sock, sizeof(sock), NULL, 0);
    produce(&hook->header);
}

/* One chunk of records. Returns how many events. */
static unsigned produce_chunk(enum kind kind, unsigned *seed)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        uint32_t who;

        *seed = *seed * 1664525u + 1013904223u;
        who = (*seed >> 4) % PROCESSES;
        if (kind == KIND_FORK_EXIT) {
            struct make_key child = {200000 + bench.next_tgid++ % 1000000, clock_boot_ns()};

            produce(make_fork(&bench.record, child, key_of(who), cgroup_of(who / 100), clock_boot_ns()));
            produce(make_exit(&bench.record, child, cgroup_of(who / 100), clock_boot_ns(), 0));
        } else if (kind >= KIND_HOOK_OPEN) {
            produce_hook(kind, who);
        } else {
            produce(
                make_process(&bench.record, RECORD_EXEC, key_of(who), key_of(who / 100), cgroup_of(who / 100),
                    clock_boot_ns(), "/usr/local/bin/checkout", "checkout\0--listen=:8080", 23));
        }
    }
    return kind == KIND_FORK_EXIT ? 2 * CHUNK : CHUNK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(enum kind kind, double seconds)
{
    double ns[ROUNDS], own_ns[ROUNDS];
    uint64_t bytes = 0, events = 0;
    unsigned seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct output_state before, after;
        uint64_t end = clock_boot_ns() + (uint64_t)(seconds * 1e9), count = 0;
        struct cost sum = {0, 0};

        output_get_state(bench.output, &before);
        while (clock_boot_ns() < end) {
            struct cost cost;

            count += produce_chunk(kind, &seed);
            cost = consume();
            sum.all_ns += cost.all_ns;
            sum.own_ns += cost.own_ns;
        }
        output_get_state(bench.output, &after);
        ns[round] = (double)sum.all_ns / (double)count;
        own_ns[round] = (double)sum.own_ns / (double)count;
        bytes += after.bytes - before.bytes;
        events += count;
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    qsort(own_ns, ROUNDS, sizeof(own_ns[0]), by_value);
    printf("%-30s %6.0f ns an event (%.0f to %.0f), %7.0f events/s a core, own thread %6.0f ns, %llu bytes a "
           "line\n",
        kind_names[kind], ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1], 1e9 / ns[ROUNDS / 2], own_ns[ROUNDS / 2],
        (unsigned long long)(bytes / events));
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    const char *folder = argc > 2 ? argv[2] : "/tmp", *only = argc > 3 ? argv[3] : "";
    char path[256];

    open_all(folder, argc > 4 && !strcmp(argv[4], "epoll") ? LOOP_EPOLL : LOOP_AUTO);
    fill_tables();
    tell_policies();
    printf("loop %s; %zu processes, %zu containers, %zu Pods\n", loop_describe(bench.loop),
        bench.pipeline.processes.count, bench.pipeline.containers.container_count,
        pod_table_count(bench.pods));
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (!strncmp(kind_names[kind], only, strlen(only)))
            measure((enum kind)kind, seconds);
    }
    if (bench.pipeline.counters.emitted_without_pod || bench.pipeline.counters.records_malformed ||
        bench.pipeline.counters.hooks_unnamed || bench.pipeline.counters.hooks_not_selected)
        fail("events without Pod or policy, or records malformed", -EBADMSG);
    (void)snprintf(path, sizeof(path), "%s/podkin-bench-%d.json", folder, (int)getpid());
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/podkin-bench-%d.json.1", folder, (int)getpid());
    (void)unlink(path);
    return 0;
}
