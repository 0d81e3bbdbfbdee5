/* SPDX-License-Identifier: Apache-2.0 */
/* Rendering: what is done once a process (image, head), once a container, and a line from them; nanoseconds each, median of 5 rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "enricher/container_table.h"
#include "enricher/emit.h"
#include "enricher/loop.h"
#include "enricher/output.h"
#include "enricher/process_table.h"
#include "tests/unit/make_record.h"

#define STR(literal) ((char *)(literal))
#define ROUNDS       5
#define TIMES        200000

struct bench {
    struct render_options options;
    struct emit emit;
    struct container_table table;
    struct pod_table *pods;
    struct container *container;
    struct process *process, *parent;
    struct loop *loop;
    struct output *output;
    struct make_record exec, exit;
};

static struct bench b;

static void must(int r)
{
    if (r < 0) {
        (void)fprintf(stderr, "bench_render: %s\n", strerror(-r));
        exit(1);
    }
}

static struct process *make(uint32_t tgid, struct process *parent)
{
    struct process *p = process_new(tgid, tgid * UINT64_C(1000000), tgid * UINT64_C(1000000), PROCESS_EXECED);

    p->image = image_new((const struct record_process *)(const void *)b.exec.bytes, &b.options.image);
    process_set_parent(p, parent);
    process_set_container(p, b.container);
    must(render_process_head(&b.emit.render, p, true));
    return p;
}

static void setup(void)
{
    const struct output_options output = OUTPUT_OPTIONS_DEFAULT;
    const struct pod_table_limits limits = {.max_pods = 10, .max_bytes = 1 << 20, .grace_ns = 1};
    struct pod_pair labels[] = {{STR("app"), STR("checkout")}, {STR("pod-template-hash"), STR("5d4f8c7b9d")}};
    struct pod_container status = {.name = STR("server"),
        .id = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        .runtime = STR("containerd"),
        .image = STR("images.example.net/shop/checkout:2026.11")};
    struct pod pod = {.uid = STR("11111111-1111-4111-8111-111111111111"),
        .namespace_ = STR("shop"),
        .name = STR("checkout-5d4f8c7b9d-x2k9p"),
        .labels = labels,
        .label_count = 2,
        .containers = &status,
        .container_count = 1,
        .workload = STR("checkout"),
        .workload_kind = STR("Deployment")};
    static const char path[] = "/kubepods/pod11111111-1111-4111-8111-111111111111/"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct container *stand_in;

    b.options =
        (struct render_options){.node_name = "worker-17", .own_fields = true, .image = {.own_fields = true}};
    must(loop_new(&b.loop, LOOP_AUTO, NULL));
    must(output_new(&b.output, b.loop, &output));
    must(emit_init(&b.emit, &b.options, b.output, "01234567-89ab-cdef-0123-456789abcdef"));
    must(container_table_init(&b.table, 10, NULL, NULL));
    must(pod_table_new(&b.pods, &limits, NULL, NULL));
    must(pod_table_merge(b.pods, POD_SOURCE_KUBELET, &pod, 1));
    b.container = container_table_add(&b.table, 5, path, sizeof(path) - 1, &stand_in)->container;
    b.container->pod = pod_table_find(b.pods, pod.uid);
    pod_ref(b.container->pod);
    b.container->state = CONTAINER_COMPLETE;
    must(render_container(&b.emit.render, b.container));
    (void)make_process(&b.exec, RECORD_EXEC, (struct make_key){4321, 99}, (struct make_key){1, 1}, 5,
        clock_boot_ns(), "/usr/local/bin/checkout", "checkout\0--listen=0.0.0.0:8080\0--verbose", 40);
    (void)make_exit(&b.exit, (struct make_key){4321, 99}, 5, clock_boot_ns(), 9);
    b.parent = make(4000, NULL);
    b.process = make(4321, b.parent);
}

static void do_image(void)
{
    image_unref(image_new((const struct record_process *)(const void *)b.exec.bytes, &b.options.image));
}

static void do_head(void)
{
    must(render_process_head(&b.emit.render, b.process, true));
}

static void do_container(void)
{
    must(render_container(&b.emit.render, b.container));
}

static void do_line(void)
{
    const struct event event = {.record = (const struct record_header *)(const void *)b.exit.bytes,
        .process = b.process,
        .container = b.container};

    must(emit_event(&b.emit, &event, 0));
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, c = *(const double *)y;

    return (a > c) - (a < c);
}

static void measure(const char *name, void (*fn)(void))
{
    double ns[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_boot_ns();

        for (int i = 0; i < TIMES; i++)
            fn();
        ns[round] = (double)(clock_boot_ns() - begin) / TIMES;
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    printf("%-42s %6.0f ns (%.0f to %.0f)\n", name, ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1]);
}

int main(void)
{
    struct output_state before, after;

    setup();
    measure("image of an exec", do_image);
    measure("head of a process", do_head);
    measure("Pod of a container", do_container);
    output_get_state(b.output, &before);
    measure("line of an exit with process, parent, Pods", do_line);
    output_get_state(b.output, &after);
    printf("%llu bytes a line\n",
        (unsigned long long)((after.bytes - before.bytes) / (after.lines - before.lines)));
    return 0;
}
