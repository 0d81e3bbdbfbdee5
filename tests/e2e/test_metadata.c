/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata that never comes, comes for some, twice, late, goes again; and a hundred thousand events that wait for it. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/scene.h"
#include "tests/e2e/standin.h"

#define MEDIAN_MAX_MS 5.0

static struct scene scene;
static struct standin standin;

static void exec_some(void *arg)
{
    workload_exec_true(*(unsigned *)arg);
}

static void vfork_some(void *arg)
{
    workload_vfork_true(*(unsigned *)arg);
}

/* Expects that the events of the container are out without Pod: with its id, marked, and having waited that long at least. */
static void expect_expired(unsigned pod, uint64_t held_min_ms)
{
    struct test_container *container = scene_container(&scene, pod);
    size_t wrong = 0, early = 0;

    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (!event_is_of(event, container))
            continue;
        wrong += strcmp(event->state, "pending_expired") != 0 || event->pod[0] || !event->reason[0];
        early += event->held_ms < held_min_ms;
        if (wrong == 1)
            tap_note("%s of %u: state '%s' reason '%s' Pod '%s'", event_type_name(event->type), event->pid,
                event->state, event->reason, event->pod);
    }
    tap_expect_equal(wrong, 0, "events that are not marked as pending_expired with a reason");
    tap_expect_equal(early, 0, "events that left before the deadline");
}

static void never(void)
{
    unsigned count = 50;
    struct test_container *container;
    size_t before;
    uint64_t begin;

    if (!scene_make(&scene, 1) || !scene_start_collector(&scene) ||
        !scene_start_enricher(&scene, "--hold-timeout", "2s", NULL))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, exec_some, &count);
    oracle_expect_equal(&scene.events, container, 10000);
    /* The first to be held reaches its deadline; those of the same container leave with it. */
    expect_expired(0, 500);
    workload_expect_clean(&scene.events, container);

    /* The container is remembered: nothing waits again. */
    before = scene.events.count;
    begin = node_now_ns();
    (void)workload_run(container, exec_some, &count);
    oracle_expect_equal(&scene.events, container, 1500);
    tap_expect(node_now_ns() - begin < 1900000000u, "later events waited again");
    for (size_t i = before; i < scene.events.count; i++) {
        if (event_is_of(&scene.events.list[i], container) &&
            !tap_expect(scene.events.list[i].held_ms < 1000,
                "an event of a container given up was held for %llu ms",
                (unsigned long long)scene.events.list[i].held_ms))
            break;
    }
    scene_end(&scene);
}

static void half(void)
{
    unsigned count = 30;

    if (!scene_make(&scene, 6) || !scene_start_collector(&scene) ||
        !scene_start_enricher(&scene, "--hold-timeout", "4s", NULL))
        return scene_end(&scene);
    for (unsigned i = 0; i < 6; i++)
        (void)workload_run(scene_container(&scene, i), exec_some, &count);
    scene_reveal_some(&scene, 3);
    for (unsigned i = 0; i < 3; i++)
        scene_check_pod(&scene, i, 2000);
    for (unsigned i = 3; i < 6; i++)
        tap_expect_equal(
            events_count(&scene.events, scene_container(&scene, i), -1), 0, "events of a Pod not known yet");
    for (unsigned i = 3; i < 6; i++) {
        oracle_expect_equal(&scene.events, scene_container(&scene, i), 8000);
        expect_expired(i, 2000);
    }
    scene_end(&scene);
}

static void twice(void)
{
    unsigned count = 30;

    if (!scene_start(&scene, 2))
        return scene_end(&scene);
    (void)workload_run(scene_container(&scene, 0), exec_some, &count);
    (void)workload_run(scene_container(&scene, 1), exec_some, &count);
    scene_reveal_some(&scene, 1);
    scene_reveal(&scene);
    scene_reveal(&scene);
    scene_check(&scene, 5000);
    scene_reveal(&scene);
    (void)workload_run(scene_container(&scene, 0), exec_some, &count);
    scene_check(&scene, 5000);
    scene_end(&scene);
}

/* Known without its container's id, so that events wait for that; then deleted. They leave with what was known. */
static void deleted(void)
{
    unsigned count = 20;
    struct test_container *container;
    size_t wrong = 0;

    if (!scene_make(&scene, 1) || !scene_start_collector(&scene) ||
        !scene_start_enricher(&scene, "--hold-timeout", "6s", NULL))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    scene.pods[0].without_status = true;
    scene_reveal(&scene);
    node_sleep_ms(200);
    (void)workload_run(container, exec_some, &count);
    node_sleep_ms(300);
    scene_reveal_some(&scene, 0);
    oracle_expect_equal(&scene.events, container, 10000);
    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event_is_of(event, container) &&
            (strcmp(event->state, "pod_only") != 0 || strcmp(event->pod, scene.pods[0].name) != 0) &&
            wrong++ == 0)
            tap_note("%s: state '%s' (%s) Pod '%s'", event_type_name(event->type), event->state,
                event->reason, event->pod);
    }
    tap_expect_equal(wrong, 0, "events without the Pod that was deleted meanwhile");
    workload_expect_clean(&scene.events, container);
    scene_end(&scene);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median over the container's events of their way out after the kubelet's answer; negative: nothing came. */
static double median_after_answer(const struct test_container *container)
{
    CLEANUP_FREE double *delays = calloc(scene.events.count + 1, sizeof(*delays));
    double visible_ms = (double)standin_visible_ns(&standin) / 1e6;
    size_t held = 0;

    for (size_t i = 0; delays && i < scene.events.count; i++) {
        if (event_is_of(&scene.events.list[i], container))
            delays[held++] = (double)scene.events.list[i].stamp_ns / 1e6 - visible_ms;
    }
    if (!tap_expect(held > 0 && visible_ms > 0, "nothing was held") || !delays)
        return -1;
    qsort(delays, held, sizeof(*delays), compare_doubles);
    tap_note("%zu held events left %.2f ms (median, last %.2f) after the kubelet's answer", held,
        delays[held / 2], delays[held - 1]);
    return delays[held / 2];
}

/* By the kubelet, whose answer has a moment that both sides know. Back-off grows meanwhile: it must not matter. */
static double hold_and_release(void)
{
    unsigned count = 200;
    double median = -1;

    (void)scene_make(&scene, 1);
    scene_reveal(&scene);
    scene.node.to_pipe = true;
    if (scene_start_collector(&scene) && standin_start(&standin, &scene.node, "--delay", "3s", NULL) &&
        node_start_enricher(&scene.node, "--source", standin.source, NULL)) {
        events_open_pipe(&scene.events, scene.node.output_fd);
        (void)workload_run(scene_container(&scene, 0), exec_some, &count);
        scene_check(&scene, 10000);
        median = median_after_answer(scene_container(&scene, 0));
    }
    standin_stop(&standin);
    scene_end(&scene);
    return median;
}

static void leave_at_once(void)
{
    double best = 1e9;

    /* Three tries: when the machine is busy, the scheduler's naps are no fault of ours. */
    for (unsigned i = 0; i < 3 && best > MEDIAN_MAX_MS && !tap_failed(); i++) {
        double median = hold_and_release();

        best = median < best ? median : best;
    }
    tap_expect(best <= MEDIAN_MAX_MS, "median %.2f ms at best", best);
}

/* While so many wait, another Pod's events pass without delay. */
static void hundred_thousand(void)
{
    unsigned count = 33400, few = 1;
    struct test_container *waiting, *other;
    uint64_t slowest_ns = 0;
    pid_t pid;
    int status;

    if (!scene_make(&scene, 2) || !scene_start_collector(&scene) ||
        !scene_start_enricher(&scene, "--hold-timeout", "300s", NULL))
        return scene_end(&scene);
    waiting = scene_container(&scene, 1);
    other = scene_container(&scene, 0);
    scene_reveal_some(&scene, 1);
    pid = workload_start(waiting, vfork_some, &count);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        uint64_t begin = node_now_ns(), took;

        (void)workload_run(other, exec_some, &few);
        if (!tap_expect(events_wait(&scene.events, other, oracle_total(other), 10000),
                "another Pod's events do not come"))
            break;
        took = node_now_ns() - begin;
        slowest_ns = took > slowest_ns ? took : slowest_ns;
        node_sleep_ms(20);
    }
    tap_note("another Pod's fork, exec and exit took %.0f ms at most to come out meanwhile",
        (double)slowest_ns / 1e6);
    tap_expect(
        slowest_ns < 1000000000u, "another Pod's events were delayed by %.0f ms", (double)slowest_ns / 1e6);
    tap_expect(oracle_total(waiting) >= 100000, "the kernel counted only %llu",
        (unsigned long long)oracle_total(waiting));
    tap_expect_equal(events_count(&scene.events, waiting, -1), 0, "events that left before the metadata");
    scene_reveal(&scene);
    scene_check(&scene, 30000);
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"held events leave within 5 ms (median) of the metadata", leave_at_once},
        {"events whose metadata never comes leave at the deadline, marked, and later ones do not wait",
            never},
        {"metadata for half of the Pods completes that half", half},
        {"metadata that comes twice changes nothing", twice},
        {"events of a Pod deleted while they are held leave with it", deleted},
        {"a hundred thousand held events are all released and delay nobody", hundred_thousand},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
