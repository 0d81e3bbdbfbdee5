/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that come late, and an enricher that is killed. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/scene.h"

static struct scene scene;

static void exec_some(void *arg)
{
    workload_exec_true(*(unsigned *)arg);
}

static void vfork_some(void *arg)
{
    workload_vfork_true(*(unsigned *)arg);
}

static void enricher_late(void)
{
    unsigned count = 500;

    if (!scene_make(&scene, 2) || !scene_start_collector(&scene))
        return scene_end(&scene);
    for (unsigned i = 0; i < 2; i++)
        (void)workload_run(scene_container(&scene, i), exec_some, &count);
    scene_reveal(&scene);
    if (scene_start_enricher(&scene, NULL))
        scene_check(&scene, 10000);
    scene_end(&scene);
}

/* Waits for a byte, then forks, execs and leaves: by then the collector is there. */
static void wait_then_work(void *arg)
{
    int *ends = arg;
    char byte;

    (void)close(ends[1]);
    if (fork() == 0) {
        (void)execl(
            "/bin/sh", "sh", "-c", "read line; \"$0\"; \"$0\"; exit 4", workload_true(), (char *)NULL);
        _exit(127);
    }
    (void)!read(ends[0], &byte, 1);
    workload_exec_true(5);
    (void)wait(NULL);
}

static void wait_on_stdin(void *arg)
{
    int *ends = arg;

    (void)dup2(ends[0], 0);
    wait_then_work(arg);
}

static void collector_late(void)
{
    int ends[2], status = -1;
    struct test_container *container;
    bool shell_left = false;
    pid_t pid;

    if (!scene_make(&scene, 1) || pipe2(ends, O_CLOEXEC) < 0)
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    pid = workload_start(container, wait_on_stdin, ends);
    node_sleep_ms(300);
    tap_expect_equal(oracle_total(container), 3, "births and execs before the collector");
    tap_expect_equal(oracle_watch(container), 0, "counting anew");
    scene_reveal(&scene);
    if (scene_start_collector(&scene) && scene_start_enricher(&scene, NULL)) {
        (void)!write(ends[1], "go\ngo\n", 6);
        (void)close(ends[1]);
        ends[1] = -1;
        (void)waitpid(pid, &status, 0);
        scene_check(&scene, 10000);
        for (size_t i = 0; i < scene.events.count; i++) {
            const struct event *event = &scene.events.list[i];

            if (event_is_of(event, container) && event->type == EVENT_EXIT && event->status == 4)
                shell_left = strstr(event->binary, "sh") && strstr(event->arguments, "exit 4");
            if (event_is_of(event, container) && !event->binary[0])
                tap_expect(false, "%s of %u has no binary", event_type_name(event->type), event->pid);
        }
        tap_expect(
            shell_left, "the shell that ran before the collector left without its binary and arguments");
    }
    if (ends[1] >= 0)
        (void)close(ends[1]);
    (void)close(ends[0]);
    scene_end(&scene);
}

/* Every event that the kernel counted is there at least once, and what is there twice has the same id. */
static void expect_at_least_once(unsigned pod, unsigned timeout_ms)
{
    struct test_container *container = scene_container(&scene, pod);
    uint64_t wanted = oracle_total(container), end = node_now_ns() + (uint64_t)timeout_ms * 1000000;
    size_t all, distinct;

    while (events_read(&scene.events), distinct = events_distinct(&scene.events, container),
        distinct < wanted && node_now_ns() < end)
        node_sleep_ms(20);
    node_sleep_ms(200);
    events_read(&scene.events);
    all = events_count(&scene.events, container, -1);
    tap_expect_equal(events_distinct(&scene.events, container), wanted, "distinct events in the output");
    tap_note("%zu lines for %llu events: %llu came twice", all, (unsigned long long)wanted,
        (unsigned long long)(all - wanted));
    workload_expect_complete(&scene.events, &scene.pods[pod], container);
    tap_expect_equal(scene.events.bad_lines, 0, "lines that are not JSON");
}

static void killed_while_holding(void)
{
    unsigned count = 3400;
    struct test_container *container;

    if (!scene_start(&scene, 1))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, vfork_some, &count);
    tap_expect(oracle_total(container) > 10000, "the kernel counted too few");
    node_sleep_ms(500);
    tap_expect_equal(node_stop_enricher(&scene.node, SIGKILL), 128 + SIGKILL, "the enricher's end");
    events_read(&scene.events);
    tap_expect_equal(events_count(&scene.events, container, -1), 0, "events that left before the metadata");
    (void)workload_run(container, vfork_some, &(unsigned){100}); /* with nobody there */
    if (scene_start_enricher(&scene, NULL)) {
        node_sleep_ms(300);
        scene_reveal(&scene);
        expect_at_least_once(0, 15000);
    }
    scene_end(&scene);
}

static void killed_again_and_again(void)
{
    unsigned count = 6000;
    struct test_container *container;
    pid_t pid;

    if (!scene_start(&scene, 1))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    scene_reveal(&scene);
    pid = workload_start(container, vfork_some, &count);
    for (unsigned i = 0; i < 5; i++) {
        node_sleep_ms(150 + 70 * i);
        (void)node_stop_enricher(&scene.node, SIGKILL);
        if (!scene_start_enricher(&scene, NULL))
            break;
    }
    (void)waitpid(pid, NULL, 0);
    expect_at_least_once(0, 15000);
    scene_end(&scene);
}

static void ended_in_order(void)
{
    unsigned count = 300;
    struct test_container *container;

    if (!scene_start(&scene, 1))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, vfork_some, &count);
    node_sleep_ms(200);
    tap_expect_equal(node_stop_enricher(&scene.node, SIGTERM), 0, "exit status on SIGTERM with events held");
    if (scene_start_enricher(&scene, NULL)) {
        scene_reveal(&scene);
        expect_at_least_once(0, 10000);
    }
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"an enricher that starts after the workload has everything since the collector's start",
            enricher_late},
        {"processes that ran before the collector have binary and Pod", collector_late},
        {"an enricher killed with ten thousand events held loses none", killed_while_holding},
        {"an enricher killed again and again loses none", killed_again_and_again},
        {"an enricher that is stopped and started loses none", ended_in_order},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
