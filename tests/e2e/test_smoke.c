/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest way through everything: a few processes in one container whose Pod is known from the start. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/events.h"
#include "tests/e2e/node.h"
#include "tests/e2e/oracle.h"
#include "tests/e2e/pod.h"
#include "tests/e2e/tap.h"
#include "tests/e2e/workload.h"

static struct node node;
static struct events events;
static char source[128];

static bool start(void)
{
    node_init(&node);
    (void)snprintf(source, sizeof(source), "file:%s", node.pods);
    if (!node_start_collector(&node, NULL) || !node_start_enricher(&node, "--source", source, NULL))
        return false;
    events_open_file(&events, node.output);
    return true;
}

static void stop(void)
{
    if (node.enricher > 0)
        tap_expect_equal(node_stop_enricher(&node, SIGTERM), 0, "enricher's exit status");
    if (node.collector > 0)
        tap_expect_equal(node_stop_collector(&node, SIGTERM), 0, "collector's exit status");
    events_close(&events);
    node_end(&node);
}

static void fork_exec_exit(void *arg)
{
    (void)arg;
    workload_exec_true(3);
    (void)workload_spawn((const char *const[]){"/bin/sh", "-c", "exit 7", NULL});
    if (fork() == 0)
        raise(SIGKILL);
    (void)wait(NULL);
}

static void check_details(const struct test_container *container)
{
    bool shell = false, seven = false, killed = false;

    for (size_t i = 0; i < events.count; i++) {
        const struct event *event = &events.list[i];

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

static void in_shape(enum pod_shape shape)
{
    struct test_pod pod;
    const struct test_pod *list[] = {&pod};
    struct test_container *container = &pod.containers[0];

    if (!start())
        return;
    tap_expect_equal(test_pod_make(&pod, shape, "shop", "cart", 1), 0, "making the Pod");
    tap_expect_equal(test_pods_write(node.pods, list, 1), 0, "writing the Pod file");
    tap_expect_equal(oracle_watch(container), 0, "watching the cgroup");
    tap_expect_equal(workload_run(container, fork_exec_exit, NULL), 0, "the workload");
    oracle_expect_equal(&events, container, 10000);
    tap_expect_equal(oracle_total(container), 6 + 4 + 6, "what the kernel counted");
    workload_expect_complete(&events, &pod, container);
    workload_expect_clean(&events, container);
    check_details(container);
    test_pod_remove(&pod);
    stop();
}

static void systemd_shape(void)
{
    in_shape(POD_SHAPE_SYSTEMD);
}

static void cgroupfs_shape(void)
{
    in_shape(POD_SHAPE_CGROUPFS);
}

static void crio_shape(void)
{
    in_shape(POD_SHAPE_CRIO);
}

static void host_process(void)
{
    size_t found = 0;

    if (!start())
        return;
    (void)workload_spawn((const char *const[]){"/bin/sh", "-c", "exit 0 # podkin-e2e-host", NULL});
    for (unsigned i = 0; i < 1000 && !found; i++) {
        events_read(&events);
        for (size_t at = 0; at < events.count; at++) {
            const struct event *event = &events.list[at];

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
    stop();
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"every event of a container in systemd's shape has its Pod", systemd_shape},
        {"every event of a container in cgroupfs' shape has its Pod", cgroupfs_shape},
        {"every event of a container one level deeper has its Pod", crio_shape},
        {"a host process is emitted at once without Pod", host_process},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
