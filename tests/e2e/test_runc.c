/* SPDX-License-Identifier: Apache-2.0 */
/* A real runc makes a container in a Pod's cgroup: the node's part of it is plumbing, the rest the workload's, all of it the Pod's. */
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/scene.h"

#define LATE_MS     300
#define PATIENCE_MS 30000

static struct scene scene;
static char bundle[128];

/* Our folders in every hierarchy: runc makes the cgroup in all of them. */
static void remove_everywhere(void)
{
    char pattern[96];

    for (int depth = 0; depth < 2; depth++) {
        glob_t found = {0};

        (void)snprintf(pattern, sizeof(pattern), "/sys/fs/cgroup/%spodkin-e2e-%d.slice", depth ? "*/" : "",
            (int)getpid());
        if (glob(pattern, 0, NULL, &found) == 0) {
            for (size_t at = 0; at < found.gl_pathc; at++)
                test_cgroup_remove(found.gl_pathv[at]);
        }
        globfree(&found);
    }
}

/* A line of the shell; its exit status. */
__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
    char command[2048];
    va_list arguments;
    int status;

    va_start(arguments, format);
    (void)vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    status = system(command); /* NOLINT(cert-env33-c,bugprone-command-processor): what is put in is our own */
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool write_config(const struct test_container *container)
{
    char path[160];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/config.json", bundle);
    file = fopen(path, "we");
    return file &&
           fprintf(file,
               "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":false,\"user\":{\"uid\":0,\"gid\":0},"
               "\"args\":[\"/bin/e2e-container\"],\"env\":[\"PATH=/bin\"],\"cwd\":\"/"
               "\",\"noNewPrivileges\":true},"
               "\"root\":{\"path\":\"rootfs\"},\"hostname\":\"e2e\",\"mounts\":[{\"destination\":\"/"
               "proc\",\"type\":\"proc\","
               "\"source\":\"proc\"}],\"linux\":{\"cgroupsPath\":\"%s\",\"namespaces\":[{\"type\":\"pid\"},{"
               "\"type\":\"ipc\"},"
               "{\"type\":\"uts\"},{\"type\":\"mount\"}]}}\n",
               container->path + strlen(test_cgroup_root())) > 0;
}

static bool make_bundle(const struct test_container *container)
{
    (void)snprintf(bundle, sizeof(bundle), "%s.bundle", scene.node.dir);
    return tap_expect(
        shell("mkdir -p %s/rootfs/bin %s/rootfs/proc && cp %s %s %s/rootfs/bin/", bundle, bundle,
            node_program("tests/e2e/e2e-true"), node_program("tests/e2e/e2e-container"), bundle) == 0 &&
            write_config(container),
        "making a bundle in %s", bundle);
}

static int runc(const char *verb, const struct test_container *container, const char *rest)
{
    return shell(
        "runc --root %s/state %s %s %s >%s/log 2>&1 </dev/null", bundle, verb, container->id, rest, bundle);
}

static const struct event *find(
    const struct test_container *container, enum event_type type, const char *binary)
{
    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event_is_of(event, container) && event->type == type && strcmp(event->binary, binary) == 0)
            return event;
    }
    return NULL;
}

/* The workload's binaries are those of its root; all else in the cgroup is runc. */
static void check_roles(const struct test_container *container)
{
    size_t runtime = 0, wrong = 0;

    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];
        bool own = strncmp(event->binary, "/bin/e2e-", 9) == 0;

        if (!event_is_of(event, container))
            continue;
        if (!own && runtime++ == 0)
            tap_note("runc's first event there: %s of %s", event_type_name(event->type), event->binary);
        if (strcmp(event->role, own ? "workload" : "runtime") != 0 && wrong++ == 0)
            tap_note("%s of %s has the role '%s'", event_type_name(event->type), event->binary, event->role);
    }
    tap_expect_equal(wrong, 0, "events with a role that is not theirs");
    tap_expect(runtime > 0, "runc was not seen in the container's cgroup");
}

static void check_events(struct test_pod *pod, struct test_container *container)
{
    const struct event *first;

    if (!oracle_expect_equal(&scene.events, container, PATIENCE_MS))
        node_show_status(&scene.node);
    workload_expect_complete(&scene.events, pod, container);
    workload_expect_clean(&scene.events, container);
    check_roles(container);
    first = find(container, EVENT_EXEC, "/bin/e2e-container");
    tap_expect(first && strcmp(first->state, "complete") == 0 && strcmp(first->role, "workload") == 0,
        "the container's first exec is not there, or is not complete");
    tap_expect(find(container, EVENT_FORK, "/bin/e2e-container") != NULL,
        "no fork of the container's first process");
    tap_expect(find(container, EVENT_EXEC, "/bin/e2e-true") != NULL, "no exec of its children");
    tap_expect(find(container, EVENT_EXIT, "/bin/e2e-container") != NULL,
        "no exit of the container's first process");
}

static void run(struct test_pod *pod, struct test_container *container)
{
    if (!tap_expect(shell("runc --root %s/state run --detach --bundle %s %s >%s/log 2>&1 </dev/null", bundle,
                        bundle, container->id, bundle) == 0,
            "runc run failed"))
        (void)shell("sed 's/^/# runc: /' %s/log", bundle);
    tap_expect_equal(runc("exec", container, "/bin/e2e-true 3"), 3, "what runc exec gave back");
    node_sleep_ms(LATE_MS);
    scene_reveal(&scene);
    tap_expect_equal(runc("exec", container, "/bin/e2e-true 4"), 4, "what runc exec gave back");
    tap_expect_equal(runc("kill", container, "KILL"), 0, "runc kill");
    node_sleep_ms(LATE_MS);
    tap_expect_equal(runc("delete --force", container, ""), 0, "runc delete");
    check_events(pod, container);
}

static void in_hierarchy(const char *hierarchy)
{
    struct test_container *container;
    struct test_pod *pod = &scene.pods[0];

    if (shell("command -v runc >/dev/null") != 0)
        return tap_skip("needs runc");
    if (!test_cgroup_use(hierarchy)) {
        (void)test_cgroup_use("v2");
        return tap_skip("%s is not mounted", hierarchy);
    }
    if (scene_make(&scene, 0) &&
        tap_expect_equal(test_pod_make(pod, POD_SHAPE_CGROUPFS, "shop", "web", 0), 0, "making a Pod") &&
        (container = test_pod_add(pod, TEST_APP, "main"))) {
        scene.pod_count = 1;
        if (tap_expect_equal(oracle_watch(container), 0, "counting in the kernel") &&
            make_bundle(container) && scene_start_collector(&scene) && scene_start_enricher(&scene, NULL))
            run(pod, container);
        (void)runc("delete --force", container, "");
        (void)shell("rm -rf %s", bundle);
    }
    scene_end(&scene);
    remove_everywhere();
    tap_expect(test_cgroup_use("v2"), "v2 is not mounted any more");
}

static void v2(void)
{
    in_hierarchy("v2");
}

static void v1(void)
{
    in_hierarchy("pids");
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"a container of runc is the Pod's from its first exec, runc itself is plumbing: v2", v2},
        {"a container of runc is the Pod's from its first exec, runc itself is plumbing: v1", v1},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
