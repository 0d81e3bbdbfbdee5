/* SPDX-License-Identifier: Apache-2.0 */
/* Both daemons are told to end, the collector first, as their units' order has it: what it had published is written, and what waited for its Pod, too. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/scene.h"

#define HELD_MS 500

static struct scene scene;

static void exec_some(void *arg)
{
    (void)arg;
    workload_exec_true(20);
}

/* More than the enricher reads in a turn. */
static void vfork_many(void *arg)
{
    (void)arg;
    workload_vfork_true(1500);
}

static void run(void)
{
    (void)workload_run(scene_container(&scene, 0), exec_some, NULL);
}

/* Nothing more is written than there is now: the daemons are gone. */
static void expect_all(void)
{
    struct test_container *container = scene_container(&scene, 0);

    events_read(&scene.events);
    tap_expect_equal(events_count(&scene.events, container, -1), oracle_total(container), "events");
    workload_expect_clean(&scene.events, container);
}

/* The enricher does not run while the collector ends; both signals find it then. */
static void stop_both(void)
{
    tap_expect_equal(kill(scene.node.enricher, SIGSTOP), 0, "stopping the enricher");
    (void)workload_run(scene_container(&scene, 0), vfork_many, NULL);
    node_sleep_ms(200); /* the collector drains every few ms: all of it is in the queue */
    tap_expect_equal(node_stop_collector(&scene.node, SIGTERM), 0, "collector's exit status");
    tap_expect_equal(kill(scene.node.enricher, SIGTERM), 0, "SIGTERM");
    tap_expect_equal(kill(scene.node.enricher, SIGCONT), 0, "SIGCONT");
    tap_expect_equal(node_stop_enricher(&scene.node, 0), 0, "enricher's exit status");
}

static void known(void)
{
    if (!scene_make(&scene, 1))
        return scene_end(&scene);
    scene_reveal(&scene);
    if (scene_start_collector(&scene) && scene_start_enricher(&scene, NULL)) {
        run();
        scene_check(&scene, 5000);
        stop_both();
        expect_all();
        workload_expect_complete(&scene.events, &scene.pods[0], scene_container(&scene, 0));
    }
    scene_end(&scene);
}

static void held(void)
{
    if (scene_start(&scene, 1)) {
        run();
        node_sleep_ms(HELD_MS);
        events_read(&scene.events);
        tap_expect_equal(
            events_count(&scene.events, scene_container(&scene, 0), -1), 0, "events of an unknown Pod");
        stop_both();
        expect_all();
        tap_expect(node_log_contains(scene.node.enricher_log, "held events were written as they are"),
            "no word of it");
    }
    scene_end(&scene);
}

/* The collector was gone already, its queue read. */
static void held_and_detached(void)
{
    if (scene_start(&scene, 1)) {
        run();
        node_sleep_ms(HELD_MS);
        tap_expect_equal(node_stop_collector(&scene.node, SIGTERM), 0, "collector's exit status");
        tap_expect(node_wait_log(scene.node.enricher_log, "read to the end", 5000), "no word of the end");
        tap_expect_equal(node_stop_enricher(&scene.node, SIGTERM), 0, "enricher's exit status");
        expect_all();
    }
    scene_end(&scene);
}

/* As after SIGKILL: somebody comes for them. */
static void held_for_a_successor(void)
{
    if (scene_start(&scene, 1)) {
        run();
        node_sleep_ms(HELD_MS);
        tap_expect_equal(node_stop_enricher(&scene.node, SIGTERM), 0, "enricher's exit status");
        events_read(&scene.events);
        tap_expect_equal(
            events_count(&scene.events, scene_container(&scene, 0), -1), 0, "events that left early");
        scene_reveal(&scene);
        if (scene_start_enricher(&scene, NULL))
            scene_check(&scene, 10000);
    }
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"what is in the queue of a collector that ended is written before the enricher ends", known},
        {"what is held is written as it is when the collector ended first", held},
        {"what is held is written as it is when the collector's queue was read before", held_and_detached},
        {"what is held stays for the next enricher when the collector goes on", held_for_a_successor},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
