/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/workload.h"

#include <spawn.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/node.h"
#include "tests/e2e/tap.h"

const char *workload_true(void)
{
    static char path[512];

    if (!path[0])
        (void)snprintf(path, sizeof(path), "%s", node_program("tests/e2e/e2e-true"));
    return path;
}

pid_t workload_start(const struct test_container *container, workload_fn *fn, void *arg)
{
    pid_t pid;

    (void)fflush(stdout);
    (void)workload_true();
    pid = test_fork_into(container->cgroup_fd);
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGINT, SIG_DFL);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn(arg);
        _exit(0);
    }
    tap_expect(pid > 0, "clone3 into %s failed", container->path);
    return pid;
}

int workload_run(const struct test_container *container, workload_fn *fn, void *arg)
{
    pid_t pid = workload_start(container, fn, arg);
    int status = -1;

    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    return status;
}

void workload_exec_true(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            (void)execl(workload_true(), "e2e-true", (char *)NULL);
            _exit(127);
        }
        (void)waitpid(pid, NULL, 0);
    }
}

static void vfork_true(const char *path)
{
    pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tested */

    if (pid == 0) {
        (void)execl(path, "e2e-true", (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

void workload_vfork_true(unsigned count)
{
    const char *path = workload_true();

    for (unsigned i = 0; i < count; i++)
        vfork_true(path);
}

int workload_spawn(const char *const argv[])
{
    pid_t pid;
    int status = -1;

    if (posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) == 0)
        (void)waitpid(pid, &status, 0);
    return status;
}

static bool is_complete(
    const struct event *event, const struct test_pod *pod, const struct test_container *container)
{
    return strcmp(event->state, "complete") == 0 && strcmp(event->namespace_, pod->namespace_) == 0 &&
           strcmp(event->pod, pod->name) == 0 && strcmp(event->uid, pod->uid) == 0 &&
           strcmp(event->container, container->name) == 0 && strcmp(event->app, pod->app) == 0 &&
           strcmp(event->workload, pod->workload) == 0;
}

void workload_expect_complete(
    const struct events *events, const struct test_pod *pod, const struct test_container *container)
{
    size_t incomplete = 0, parents = 0;

    for (size_t i = 0; i < events->count; i++) {
        const struct event *event = &events->list[i];

        if (!event_is_of(event, container))
            continue;
        if (!is_complete(event, pod, container) && incomplete++ == 0)
            tap_note(
                "first incomplete: %s of %u %s: state '%s' (%s), %s/%s container '%s' app '%s' workload '%s'",
                event_type_name(event->type), event->pid, event->binary, event->state, event->reason,
                event->namespace_, event->pod, event->container, event->app, event->workload);
        /* A parent in the same container is as complete as its child. */
        if (event->parent_docker[0] && strcmp(event->parent_docker, event->docker) == 0 &&
            strcmp(event->parent_pod, pod->name) != 0 && parents++ == 0)
            tap_note("first incomplete parent: of %s of %u %s: parent %s state '%s' Pod '%s'",
                event_type_name(event->type), event->pid, event->binary, event->parent_binary,
                event->parent_state, event->parent_pod);
    }
    tap_expect_equal(incomplete, 0, "events without namespace, Pod, container, labels or workload");
    tap_expect_equal(parents, 0, "events whose parent in the container lacks its Pod");
}

void workload_expect_clean(const struct events *events, const struct test_container *container)
{
    size_t without = 0;

    for (size_t i = 0; i < events->count; i++)
        without += events->list[i].type <= EVENT_EXIT && !events->list[i].id[0];
    tap_expect_equal(without, 0, "events without id");
    tap_expect_equal(
        events_count(events, container, -1) - events_distinct(events, container), 0, "duplicates");
    tap_expect_equal(events->bad_lines, 0, "lines that are not JSON or too long");
    tap_expect_equal(events_lost(events), 0, "loss reports");
}
