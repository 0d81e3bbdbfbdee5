/* SPDX-License-Identifier: Apache-2.0 */
/* Who belongs to which Pod and container, and in which role: on every event of exec, fork and exit. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/scene.h"

#define LATE_MS       300
#define PATIENCE_MS   30000
#define BEFORE_EXPIRY 3500 /* ms of waiting that no deadline (5 s) has ended */

static struct scene scene;

/* ---- Pods ------------------------------------------------------------------------------------------------- */

static struct test_pod *add_pod(enum pod_shape shape, const char *app)
{
    struct test_pod *pod = &scene.pods[scene.pod_count];

    if (!tap_expect_equal(test_pod_make(pod, shape, "shop", app, 0), 0, "making a Pod"))
        return NULL;
    scene.pod_count++;
    return pod;
}

static struct test_container *watched(struct test_container *container)
{
    if (!tap_expect(container != NULL, "making a container") ||
        !tap_expect_equal(oracle_watch(container), 0, "counting in the kernel"))
        return NULL;
    return container;
}

static struct test_container *add(struct test_pod *pod, enum test_container_kind kind, const char *name)
{
    return watched(test_pod_add(pod, kind, name));
}

static bool start(void)
{
    return scene_make(&scene, 0) && scene_start_collector(&scene) && scene_start_enricher(&scene, NULL);
}

/* ---- processes -------------------------------------------------------------------------------------------- */

/* Its binaries are on mounts of its own from here on: they are no longer the node's. */
static void enter_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(99);
}

static void work(void *arg)
{
    (void)arg;
    enter_mounts();
    workload_exec_true(2);
    (void)workload_spawn((const char *const[]){"/bin/sh", "-c", "exit 3 | exit 4", NULL});
}

static void run(const struct test_container *container)
{
    tap_expect_equal(workload_run(container, work, NULL), 0, "the workload's wait status");
}

static void pause_work(void *arg)
{
    (void)arg;
    enter_mounts();
    (void)execl("/bin/sleep", "pause", "60", (char *)NULL);
    _exit(98);
}

/* As runc exec does: a process of the node moves into the cgroup, into the mounts, and becomes the container's. */
static void run_from_outside(const struct test_container *container)
{
    pid_t pid;
    int status = -1;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (test_cgroup_join(container->cgroup_fd) < 0)
            _exit(97);
        enter_mounts();
        (void)execl("/bin/sh", "sh", "-c", "exit 3 | exit 4", (char *)NULL);
        _exit(98);
    }
    (void)waitpid(pid, &status, 0);
    tap_expect(WIFEXITED(status) && WEXITSTATUS(status) == 4, "the exec'd process: wait status %#x", status);
}

/* ---- what every event must say ---------------------------------------------------------------------------- */

/* This program in a container's cgroup is what runc is there: the node's. */
static const char *role_of(const struct event *event, const char *role)
{
    return strcmp(role, "monitor") != 0 && strstr(event->binary, "e2e-identity") ? "runtime" : role;
}

static bool is_right(
    const struct event *event, const struct test_pod *pod, const char *container, const char *role)
{
    return strcmp(event->state, "complete") == 0 && strcmp(event->namespace_, pod->namespace_) == 0 &&
           strcmp(event->pod, pod->name) == 0 && strcmp(event->uid, pod->uid) == 0 &&
           strcmp(event->container, container) == 0 && strcmp(event->app, pod->app) == 0 &&
           strcmp(event->workload, pod->workload) == 0 && strcmp(event->role, role_of(event, role)) == 0;
}

static void expect_named(
    const struct test_pod *pod, const struct test_container *container, const char *name, const char *role)
{
    size_t wrong = 0, others = 0;

    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (!event_is_of(event, container))
            continue;
        others += strcmp(event->role, "runtime") != 0;
        if (!is_right(event, pod, name, role) && wrong++ == 0)
            tap_note("first wrong: %s of %u %s: role '%s' state '%s' (%s), %s/%s %s container '%s', expected "
                     "'%s' as %s",
                event_type_name(event->type), event->pid, event->binary, event->role, event->state,
                event->reason, event->namespace_, event->pod, event->uid, event->container, name, role);
    }
    tap_expect_equal(wrong, 0, "events that say something else");
    tap_expect(others > 0, "no event but the runtime's");
    workload_expect_clean(&scene.events, container);
}

/* Every event that the kernel counted there. */
static void check(
    const struct test_pod *pod, const struct test_container *container, const char *name, const char *role)
{
    if (!oracle_expect_equal(&scene.events, container, PATIENCE_MS))
        node_show_status(&scene.node);
    expect_named(pod, container, name, role);
}

static void check_workload(const struct test_pod *pod, const struct test_container *container)
{
    check(pod, container, container->name, "workload");
}

static void expect_none(const struct test_container *container, unsigned ms)
{
    node_sleep_ms(ms);
    events_read(&scene.events);
    tap_expect_equal(
        events_count(&scene.events, container, -1), 0, "events that left before their container was known");
}

/* ---- the sandbox ------------------------------------------------------------------------------------------ */

static uint64_t longest_hold(const struct test_container *container)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < scene.events.count; i++) {
        if (event_is_of(&scene.events.list[i], container) && scene.events.list[i].held_ms > longest)
            longest = scene.events.list[i].held_ms;
    }
    return longest;
}

static void sandbox_in(enum pod_shape shape)
{
    struct test_pod *pod;
    struct test_container *sandbox, *app;
    pid_t pid;

    if (!start() || !(pod = add_pod(shape, "web")) || !(sandbox = add(pod, TEST_SANDBOX, "")))
        return scene_end(&scene);
    pid = workload_start(sandbox, pause_work, NULL);
    app = add(pod, TEST_APP, "main");
    if (app) {
        run(app);
        expect_none(sandbox, LATE_MS);
        scene_reveal(&scene);
        (void)events_wait(&scene.events, sandbox, 2, PATIENCE_MS);
        tap_expect(longest_hold(sandbox) < BEFORE_EXPIRY, "the sandbox waited %llu ms",
            (unsigned long long)longest_hold(sandbox));
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        check(pod, sandbox, "", "sandbox");
        check_workload(pod, app);
    }
    scene_end(&scene);
}

static void sandbox_systemd(void)
{
    sandbox_in(POD_SHAPE_SYSTEMD);
}

static void sandbox_cgroupfs(void)
{
    sandbox_in(POD_SHAPE_CGROUPFS);
}

/* Everything ran before the daemons came. */
static void sandbox_before(void)
{
    struct test_pod *pod;
    struct test_container *sandbox, *app;
    pid_t pids[2];

    if (!scene_make(&scene, 0) || !(pod = add_pod(POD_SHAPE_SYSTEMD, "web")) ||
        !(sandbox = add(pod, TEST_SANDBOX, "")) || !(app = add(pod, TEST_APP, "main")))
        return scene_end(&scene);
    pids[0] = workload_start(sandbox, pause_work, NULL);
    pids[1] = workload_start(app, pause_work, NULL);
    node_sleep_ms(100);
    scene_reveal(&scene);
    if (scene_start_collector(&scene) && scene_start_enricher(&scene, NULL)) {
        for (unsigned i = 0; i < 2; i++) {
            (void)kill(pids[i], SIGKILL);
            (void)waitpid(pids[i], NULL, 0);
        }
        (void)events_wait(&scene.events, sandbox, 1, PATIENCE_MS);
        (void)events_wait(&scene.events, app, 1, PATIENCE_MS);
        expect_named(pod, sandbox, "", "sandbox");
        expect_named(pod, app, "main", "workload");
        tap_expect(longest_hold(sandbox) < BEFORE_EXPIRY, "the sandbox waited");
    }
    scene_end(&scene);
}

static void monitor(void)
{
    struct test_container *app, conmon;
    struct test_pod *pod;
    char name[96];

    if (!start() || !(pod = add_pod(POD_SHAPE_CRIO, "web")) || !(app = add(pod, TEST_APP, "main")))
        return scene_end(&scene);
    (void)snprintf(name, sizeof(name), "crio-conmon-%s.scope", app->id);
    if (tap_expect_equal(test_container_below(&conmon, app, pod->path, name), 0, "making conmon's cgroup") &&
        watched(&conmon)) {
        scene_reveal(&scene);
        run(&conmon);
        check(pod, &conmon, "main", "monitor");
        (void)close(conmon.cgroup_fd);
    }
    scene_end(&scene);
}

/* ---- containers that come, go and come again ---------------------------------------------------------------- */

static void from_outside(void)
{
    static const enum pod_shape shapes[] = {POD_SHAPE_SYSTEMD, POD_SHAPE_CGROUPFS, POD_SHAPE_CRIO};

    if (!start())
        return scene_end(&scene);
    for (size_t i = 0; i < 3; i++) {
        struct test_pod *pod = add_pod(shapes[i], "web");

        if (!pod || !add(pod, TEST_APP, "main"))
            return scene_end(&scene);
        run_from_outside(&pod->containers[0]); /* a probe that is faster than the status */
    }
    node_sleep_ms(LATE_MS);
    scene_reveal(&scene);
    for (size_t i = 0; i < 3; i++) {
        run_from_outside(&scene.pods[i].containers[0]);
        tap_expect_equal(oracle_read(&scene.pods[i].containers[0]).execs, 2, "execs that the kernel counted");
        tap_expect_equal(oracle_read(&scene.pods[i].containers[0]).forks, 4, "forks that the kernel counted");
        check_workload(&scene.pods[i], &scene.pods[i].containers[0]);
    }
    scene_end(&scene);
}

static void kinds(void)
{
    struct test_pod *pod;
    struct test_container *list[4];

    if (!start() || !(pod = add_pod(POD_SHAPE_SYSTEMD, "web")))
        return scene_end(&scene);
    pod->host_network = true;
    /* As the kubelet starts them: an init container that ends, a sidecar (an init container that stays), then the app. */
    list[0] = add(pod, TEST_INIT, "setup");
    list[1] = add(pod, TEST_INIT, "proxy");
    list[2] = add(pod, TEST_APP, "main");
    for (unsigned i = 0; i < 3 && list[i]; i++)
        run(list[i]);
    node_sleep_ms(LATE_MS);
    scene_reveal(&scene);
    for (unsigned i = 0; i < 3 && list[i]; i++)
        check_workload(pod, list[i]);
    list[3] = add(pod, TEST_EPHEMERAL, "debugger");
    if (list[3]) {
        run(list[3]);
        expect_none(list[3], LATE_MS);
        scene_reveal(&scene);
        check_workload(pod, list[3]);
    }
    scene_end(&scene);
}

static void restarted(void)
{
    struct test_pod *pod;
    struct test_container *sandbox, *first, *second;
    pid_t pid;

    if (!start() || !(pod = add_pod(POD_SHAPE_CGROUPFS, "web")) || !(sandbox = add(pod, TEST_SANDBOX, "")) ||
        !(first = add(pod, TEST_APP, "main")))
        return scene_end(&scene);
    pid = workload_start(sandbox, pause_work, NULL);
    scene_reveal(&scene);
    run(first);
    check_workload(pod, first);
    (void)rmdir(first->path);
    second = watched(test_pod_restart(pod, first));
    if (second) {
        run(second);
        expect_none(second, 1000); /* no status knows it, and it is not taken for the sandbox */
        scene_reveal(&scene);
        check_workload(pod, second);
        tap_expect_equal(events_count(&scene.events, first, EVENT_EXEC), oracle_read(first).execs,
            "execs of the first run");
        expect_named(pod, first, "main", "workload");
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    check(pod, sandbox, "", "sandbox");
    scene_end(&scene);
}

/* A StatefulSet's: the same name, another UID. */
static void recreated(void)
{
    struct test_pod *old, *new;
    struct test_container *first, *second;

    if (!start() || !(old = add_pod(POD_SHAPE_SYSTEMD, "db")) || !(first = add(old, TEST_APP, "main")))
        return scene_end(&scene);
    (void)snprintf(old->name, sizeof(old->name), "db-0");
    scene_reveal(&scene);
    run(first);
    check_workload(old, first);
    new = add_pod(POD_SHAPE_SYSTEMD, "db");
    if (new && (second = add(new, TEST_APP, "main"))) {
        const struct test_pod *list[] = {new};

        (void)snprintf(new->name, sizeof(new->name), "db-0");
        run(first); /* its last ones, while the next is there */
        run(second);
        test_cgroup_remove(old->path);
        tap_expect_equal(test_pods_write(scene.node.pods, list, 1), 0, "writing the Pod file");
        check_workload(new, second);
        check_workload(old, first);
    }
    scene_end(&scene);
}

/* ---- what a workload makes below its own cgroup ------------------------------------------------------------- */

static void check_below(const struct test_pod *pod, const struct test_container *container,
    const struct test_container *below, size_t count)
{
    uint64_t total = oracle_total(container);

    for (size_t i = 0; i < count; i++)
        total += oracle_total(&below[i]);
    tap_expect(events_wait(&scene.events, container, total, PATIENCE_MS), "not all events came");
    node_sleep_ms(50);
    events_read(&scene.events);
    tap_expect_equal(events_count(&scene.events, container, -1), total, "events in the output");
    expect_named(pod, container, container->name, "workload");
}

static void hostile_in(enum pod_shape shape)
{
    struct test_pod *mine, *victim;
    struct test_container *container, *other, below[8] = {0};
    char names[8][256], escaped[40];
    size_t count = 0;

    if (!start() || !(mine = add_pod(shape, "evil")) || !(victim = add_pod(shape, "bank")) ||
        !(container = add(mine, TEST_APP, "main")) || !(other = add(victim, TEST_APP, "main")))
        return scene_end(&scene);
    (void)snprintf(escaped, sizeof(escaped), "%s", victim->uid);
    for (char *at = escaped; *at; at++)
        *at = *at == '-' ? '_' : *at;
    (void)snprintf(
        names[0], 256, "kubepods.slice/kubepods-pod%s.slice/cri-containerd-%s.scope", escaped, other->id);
    (void)snprintf(names[1], 256, "kubepods/burstable/pod%s/%s", victim->uid, other->id);
    (void)snprintf(names[2], 256, "kubepods-pod%s.slice:cri-containerd:%s", escaped, other->id);
    (void)snprintf(names[3], 256, "%s", other->id);
    (void)snprintf(names[4], 256, "docker/%s", other->id);
    (void)snprintf(names[5], 256, "system.slice/docker-%s.scope/init.scope", other->id);
    (void)snprintf(names[6], 256, "init.scope");
    (void)snprintf(names[7], 256, "crio-conmon-%s.scope", other->id);
    scene_reveal(&scene);
    run(container);
    run(other);
    while (count < 8 &&
           tap_expect_equal(test_container_below(&below[count], container, container->path, names[count]), 0,
               names[count]) &&
           watched(&below[count])) {
        run(&below[count]);
        (void)close(below[count++].cgroup_fd);
    }
    check_below(mine, container, below, count);
    check_workload(victim, other); /* not one more than it had itself */
    scene_end(&scene);
}

static void hostile_systemd(void)
{
    hostile_in(POD_SHAPE_SYSTEMD);
}

static void hostile_cgroupfs(void)
{
    hostile_in(POD_SHAPE_CGROUPFS);
}

static void hostile_nested(void)
{
    hostile_in(POD_SHAPE_CRIO);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"the sandbox is told from the container, without waiting: systemd", sandbox_systemd},
        {"the sandbox is told from the container, without waiting: cgroupfs", sandbox_cgroupfs},
        {"a sandbox that was there before is known", sandbox_before},
        {"conmon in the Pod is its monitor", monitor},
        {"what is exec'd into a container from outside is of the container", from_outside},
        {"init, sidecar, app and ephemeral containers have their names, with the host's network too", kinds},
        {"a container that starts again waits for its new id and is no sandbox", restarted},
        {"a Pod that is made again under its name is another", recreated},
        {"cgroups made by a workload are its own, whatever they are called: systemd", hostile_systemd},
        {"cgroups made by a workload are its own, whatever they are called: cgroupfs", hostile_cgroupfs},
        {"cgroups made by a workload are its own, whatever they are called: crun's leaf", hostile_nested},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
