/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/scene.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

#define OPTIONS_MAX 16
#define PATIENCE_MS                                                                                          \
    30000 /* a disk under load may stop the output for as long; costs nothing when all is well */

bool scene_make(struct scene *scene, unsigned pods)
{
    static const char *const apps[] = {"cart", "web", "db", "queue"};
    bool fine = true;

    memset(scene, 0, sizeof(*scene));
    node_init(&scene->node);
    (void)snprintf(scene->source, sizeof(scene->source), "file:%s", scene->node.pods);
    for (unsigned i = 0; i < pods && fine; i++) {
        fine &=
            tap_expect_equal(test_pod_make(&scene->pods[i], (enum pod_shape)(i % 3), "shop", apps[i % 4], 1),
                0, "making a Pod");
        fine &= tap_expect_equal(oracle_watch(scene_container(scene, i)), 0, "counting in the kernel");
        scene->pod_count++;
    }
    return fine;
}

bool scene_start_collector(struct scene *scene)
{
    return node_start_collector(&scene->node, NULL);
}

bool scene_start_enricher(struct scene *scene, ...)
{
    const char *options[OPTIONS_MAX] = {0};
    va_list ap;
    bool fine;

    va_start(ap, scene);
    for (size_t i = 0; i + 1 < OPTIONS_MAX && (options[i] = va_arg(ap, const char *)); i++)
        ;
    va_end(ap);
    fine = node_start_enricher(&scene->node, "--source", scene->source, options[0], options[1], options[2],
        options[3], options[4], options[5], options[6], options[7], NULL);
    if (scene->node.to_pipe)
        events_open_pipe(&scene->events, scene->node.output_fd);
    else if (!scene->events.private)
        events_open_file(&scene->events, scene->node.output);
    return fine;
}

bool scene_start(struct scene *scene, unsigned pods)
{
    return scene_make(scene, pods) && scene_start_collector(scene) && scene_start_enricher(scene, NULL);
}

void scene_reveal_some(struct scene *scene, unsigned count)
{
    const struct test_pod *list[SCENE_PODS_MAX];

    for (unsigned i = 0; i < count; i++)
        list[i] = &scene->pods[i];
    tap_expect_equal(test_pods_write(scene->node.pods, list, count), 0, "writing the Pod file");
    scene->revealed_ns = node_now_ns();
}

void scene_reveal(struct scene *scene)
{
    scene_reveal_some(scene, scene->pod_count);
}

void scene_check_pod(struct scene *scene, unsigned pod, unsigned timeout_ms)
{
    struct test_container *container = scene_container(scene, pod);

    if (!oracle_expect_equal(&scene->events, container, timeout_ms))
        node_show_status(&scene->node);
    workload_expect_complete(&scene->events, &scene->pods[pod], container);
    workload_expect_clean(&scene->events, container);
}

void scene_check(struct scene *scene, unsigned timeout_ms)
{
    if (timeout_ms < PATIENCE_MS)
        timeout_ms = PATIENCE_MS;
    for (unsigned i = 0; i < scene->pod_count; i++)
        scene_check_pod(scene, i, timeout_ms);
}

void scene_end(struct scene *scene)
{
    if (scene->node.enricher > 0)
        tap_expect_equal(node_stop_enricher(&scene->node, SIGTERM), 0, "enricher's exit status");
    if (scene->node.collector > 0)
        tap_expect_equal(node_stop_collector(&scene->node, SIGTERM), 0, "collector's exit status");
    for (unsigned i = 0; i < scene->pod_count; i++)
        test_pod_remove(&scene->pods[i]);
    events_close(&scene->events);
    node_end(&scene->node);
}
