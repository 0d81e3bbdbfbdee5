/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes whose containers live in the hierarchy of a v1 controller. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/scene.h"

static struct scene scene;
static unsigned ten = 10;

static void exec_some(void *arg)
{
    workload_exec_true(*(unsigned *)arg);
}

static bool use(const char *controller)
{
    if (test_cgroup_use(controller))
        return true;
    tap_skip("the %s controller is not mounted as v1", controller);
    (void)test_cgroup_use("v2");
    return false;
}

static void end(void)
{
    scene_end(&scene);
    tap_expect(test_cgroup_use("v2"), "v2 is not mounted any more");
}

static void run_and_check(void)
{
    for (unsigned i = 0; i < scene.pod_count; i++)
        tap_expect_equal(
            workload_run(scene_container(&scene, i), exec_some, &ten), 0, "the workload's wait status");
    node_sleep_ms(300);
    scene_reveal(&scene);
    scene_check(&scene, 10000);
    /* The first fork happens outside: v1 moves a process in, it cannot be born there. */
    tap_expect_equal(oracle_read(scene_container(&scene, 0)).forks, 10, "forks that the kernel counted");
    tap_expect_equal(oracle_read(scene_container(&scene, 0)).exits, 11, "exits that the kernel counted");
}

static void check_controller(const char *controller)
{
    if (!use(controller))
        return;
    if (scene_start(&scene, 3))
        run_and_check();
    end();
}

static void pids(void)
{
    check_controller("pids");
}

static void memory(void)
{
    check_controller("memory");
}

/* Pods that this test has not made, in any hierarchy. */
static bool others_have_pods(void)
{
    static const char *const patterns[] = {
        "/sys/fs/cgroup/kubepods*", "/sys/fs/cgroup/*/kubepods*", "/sys/fs/cgroup/*/*/kubepods*"};
    char own[64];
    size_t count = 0;

    (void)snprintf(own, sizeof(own), "podkin-e2e-%d.slice", (int)getpid());
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        glob_t found = {0};

        if (glob(patterns[i], 0, NULL, &found) == 0) {
            for (size_t at = 0; at < found.gl_pathc; at++)
                count += strstr(found.gl_pathv[at], own) == NULL;
        }
        globfree(&found);
    }
    return count > 0;
}

static void found_by_itself(void)
{
    if (!use("pids"))
        return;
    if (scene_make(&scene, 2)) {
        scene.node.cgroup_hierarchy = "auto";
        if (scene_start_collector(&scene) && scene_start_enricher(&scene, NULL)) {
            bool found = node_log_contains(scene.node.collector_log, "cgroup hierarchy: pids at ");

            if (!found && others_have_pods())
                tap_skip("there are other Pods on this machine");
            else if (tap_expect(found, "the collector did not choose the hierarchy that has Pods"))
                run_and_check();
        }
    }
    end();
}

/* Leaves memory and pids of the node's hierarchies, in a mount namespace of our own. */
static bool unmount_the_others(void)
{
    static const char *const others[] = {"unified", "cpu", "cpuacct", "cpu,cpuacct", "cpuset", "devices",
        "freezer", "blkio", "systemd", "net_cls", "net_cls,net_prio", "net_prio", "perf_event", "hugetlb",
        "rdma", "misc"};
    char path[64];

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", others[i]);
        if (umount2(path, MNT_DETACH) < 0 && errno != ENOENT && errno != EINVAL)
            return false;
    }
    return true;
}

/* The last case: what it unmounts stays so for this program. */
static void without_v2(void)
{
    if (strcmp(test_cgroup_root(), "/sys/fs/cgroup") == 0) {
        tap_skip("v2 is all there is here");
        return;
    }
    if (!use("pids"))
        return;
    if (tap_expect(unmount_the_others(), "unmounting: %s", strerror(errno)) && scene_make(&scene, 2)) {
        scene.node.cgroup_hierarchy = "auto";
        if (scene_start_collector(&scene) && scene_start_enricher(&scene, NULL) &&
            tap_expect(node_log_contains(scene.node.collector_log, "cgroup hierarchy: pids at "),
                "the collector did not choose the hierarchy that has Pods"))
            run_and_check();
    }
    scene_end(&scene);
}

static void wait_for_it(void *arg)
{
    while (access(arg, F_OK) < 0)
        (void)usleep(5000);
    workload_exec_true(5);
}

/* Runs before the collector does: the snapshot says where it is. */
static void before(void)
{
    char go[128];
    pid_t pid;
    int status = -1;

    if (!use("pids"))
        return;
    if (scene_make(&scene, 1)) {
        (void)snprintf(go, sizeof(go), "%s/go", scene.node.dir);
        pid = workload_start(scene_container(&scene, 0), wait_for_it, go);
        node_sleep_ms(100);
        if (scene_start_collector(&scene) && scene_start_enricher(&scene, NULL)) {
            scene_reveal(&scene);
            (void)close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
            (void)waitpid(pid, &status, 0);
            scene_check(&scene, 10000);
            tap_expect_equal(oracle_total(scene_container(&scene, 0)), 16, "events that the kernel counted");
        } else {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
    }
    end();
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"events of containers that are in v1 only are complete: pids", pids},
        {"events of containers that are in v1 only are complete: memory", memory},
        {"the v1 hierarchy that has the Pods is found", found_by_itself},
        {"what ran in v1 before the collector started has its Pod", before},
        {"a node without v2 will do, and the hierarchy that has the Pods is found", without_v2},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
