/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest way through everything: a few processes in one container whose Pod is known from the start. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/scene.h"

static struct scene scene;

static void fork_exec_exit(void *arg)
{
    (void)arg;
    workload_exec_true(3);
    (void)workload_spawn((const char *const[]){"/bin/sh", "-c", "exit 7", NULL});
    if (fork() == 0)
        (void)raise(SIGKILL);
    (void)wait(NULL);
}

static void check_details(const struct test_container *container)
{
    bool shell = false, seven = false, killed = false;

    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (!event_is_of(event, container))
            continue;
        shell |= event->type == EVENT_EXEC && strstr(event->binary, "sh") &&
                 strcmp(event->arguments, "-c \"exit 7\"") == 0;
        seven |= event->type == EVENT_EXIT && event->status == 7;
        killed |= event->type == EVENT_EXIT && strcmp(event->signal, "SIGKILL") == 0;
    }
    tap_expect(shell, "no exec event of sh -c 'exit 7' with its arguments");
    tap_expect(seven, "no exit event with status 7");
    tap_expect(killed, "no exit event with SIGKILL");
}

static void known_pod(void)
{
    struct oracle_counts counts;

    if (!scene_start(&scene, 3)) /* one in each shape: systemd's, cgroupfs', one level deeper */
        return;
    scene_reveal(&scene);
    for (unsigned i = 0; i < 3; i++) {
        tap_expect_equal(workload_run(scene_container(&scene, i), fork_exec_exit, NULL), 0, "the workload");
        counts = oracle_read(scene_container(&scene, i));
        tap_expect_equal(counts.forks, 6, "forks that the kernel counted");
        tap_expect_equal(counts.execs, 4, "execs that the kernel counted");
        tap_expect_equal(counts.exits, 6, "exits that the kernel counted");
    }
    scene_check(&scene, 10000);
    for (unsigned i = 0; i < 3; i++)
        check_details(scene_container(&scene, i));
    scene_end(&scene);
}

static void late_pod(void)
{
    if (!scene_start(&scene, 3))
        return;
    for (unsigned i = 0; i < 3; i++)
        (void)workload_run(scene_container(&scene, i), fork_exec_exit, NULL);
    node_sleep_ms(500);
    events_read(&scene.events);
    tap_expect_equal(
        events_count(&scene.events, scene_container(&scene, 0), -1), 0, "events before the metadata");
    scene_reveal(&scene);
    scene_check(&scene, 10000);
    scene_end(&scene);
}

static void host_process(void)
{
    size_t found = 0;

    if (!scene_start(&scene, 0))
        return;
    (void)workload_spawn((const char *const[]){"/bin/sh", "-c", "exit 0 # podkin-e2e-host", NULL});
    for (unsigned i = 0; i < 1000 && !found; i++) {
        events_read(&scene.events);
        for (size_t at = 0; at < scene.events.count; at++) {
            const struct event *event = &scene.events.list[at];

            if (event->type != EVENT_EXEC || !strstr(event->arguments, "podkin-e2e-host"))
                continue;
            found++;
            tap_expect(strcmp(event->state, "host") == 0, "state is '%s'", event->state);
            tap_expect(!event->pod[0] && !event->docker[0], "has a Pod: %s", event->pod);
            tap_expect_equal(event->held_ms, 0, "held_ms");
        }
        node_sleep_ms(2);
    }
    tap_expect_equal(found, 1, "exec events of the host process");
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"every event of a known Pod is complete, in each shape of cgroup", known_pod},
        {"every event before the metadata is held and complete after", late_pod},
        {"a host process is emitted at once without Pod", host_process},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
