/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_generate.h"

#include <stdio.h>

static int add_container(json_t *specs, json_t *statuses, unsigned pod, unsigned at)
{
    char name[24], image[48], id[80];

    (void)snprintf(name, sizeof(name), "c%u", at);
    (void)snprintf(image, sizeof(image), "registry.example/app-%u:1", at);
    (void)snprintf(id, sizeof(id), "containerd://%032u%032u", pod + 1, at + 1);
    return json_array_append_new(specs, json_pack("{ss ss}", "name", name, "image", image)) < 0 ||
                   json_array_append_new(
                       statuses, json_pack("{ss ss ss s{s{ss}}}", "name", name, "containerID", id, "image",
                                     image, "state", "running", "startedAt", "2026-01-01T00:00:00Z")) < 0
               ? -1
               : 0;
}

static json_t *make_pod(unsigned pod, unsigned containers)
{
    char app[24], name[48], namespace[24], uid[40];
    json_t *specs = json_array(), *statuses = json_array();
    int r = specs && statuses ? 0 : -1;

    for (unsigned i = 0; r == 0 && i < containers; i++)
        r = add_container(specs, statuses, pod, i);
    if (r < 0) {
        json_decref(specs);
        json_decref(statuses);
        return NULL;
    }
    (void)snprintf(app, sizeof(app), "app-%u", pod);
    (void)snprintf(name, sizeof(name), "app-%u-5d4f9c7b8-x%04x", pod, pod & 0xffff);
    (void)snprintf(namespace, sizeof(namespace), "team-%u", pod % 10);
    (void)snprintf(uid, sizeof(uid), "5eed0000-0000-4000-8000-%012u", pod);
    return json_pack("{s{ss ss ss s{ss}} s{so} s{ss so}}", "metadata", "name", name, "namespace", namespace,
        "uid", uid, "labels", "app", app, "spec", "containers", specs, "status", "phase", "Running",
        "containerStatuses", statuses);
}

json_t *standin_generate(unsigned pods, unsigned containers)
{
    json_t *items = json_array();

    for (unsigned i = 0; items && i < pods; i++)
        if (json_array_append_new(items, make_pod(i, containers)) < 0) {
            json_decref(items);
            items = NULL;
        }
    return items ? json_pack("{ss ss so}", "kind", "PodList", "apiVersion", "v1", "items", items) : NULL;
}
