/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of process trees while the metadata is late: every exec, fork and exit gets its Pod, whoever exits, moves or is cloned elsewhere meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/scene.h"

#define LATE_MS 700

static struct scene scene;

/* What workloads tell the test, in memory that they share. */
struct told {
    _Atomic int pid[8];
    _Atomic unsigned reused;
    _Atomic int failure;
};
static struct told *told;

static bool start(unsigned pods)
{
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told != MAP_FAILED && scene_start(&scene, pods);
}

/* Reveals the Pods while the workload lives, waits for it and for what it left behind, checks all. */
static void reveal_and_check(pid_t pid)
{
    int status = -1;

    node_sleep_ms(LATE_MS);
    scene_reveal(&scene);
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    tap_expect_equal(status, 0, "the workload's wait status");
    tap_expect_equal(told->failure, 0, "the workload's own errno");
    node_sleep_ms(LATE_MS); /* what it left behind ends too */
    scene_check(&scene, 10000);
    (void)munmap(told, sizeof(*told));
}

static void late_true(void)
{
    node_sleep_ms(LATE_MS + 200);
    workload_exec_true(2);
}

static const struct event *find_event(enum event_type type, int pid, unsigned nth)
{
    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event->type == type && (int)event->pid == pid && nth-- == 0)
            return event;
    }
    return NULL;
}

/* ---- the shapes ----------------------------------------------------------------------------------------- */

static void grandchild_work(void *arg)
{
    (void)arg;
    if (fork() == 0) {
        if (fork() == 0) {
            late_true();
            _exit(0);
        }
        (void)wait(NULL);
        _exit(0);
    }
    (void)wait(NULL);
}

static void grandchild(void)
{
    if (start(1))
        reveal_and_check(workload_start(scene_container(&scene, 0), grandchild_work, NULL));
    scene_end(&scene);
}

static void parent_first_work(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            if (fork() == 0)
                late_true();
            _exit(0);
        }
    }
}

static void parent_first(void)
{
    if (start(1))
        reveal_and_check(workload_start(scene_container(&scene, 0), parent_first_work, NULL));
    scene_end(&scene);
}

static void daemon_work(void *arg)
{
    (void)arg;
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            late_true();
            (void)execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
        }
        _exit(0);
    }
    (void)wait(NULL);
}

static void double_fork(void)
{
    if (start(1))
        reveal_and_check(workload_start(scene_container(&scene, 0), daemon_work, NULL));
    scene_end(&scene);
}

static void vfork_work(void *arg)
{
    (void)arg;
    workload_vfork_true(20);
    late_true();
}

static void vfork_exec(void)
{
    if (start(1))
        reveal_and_check(workload_start(scene_container(&scene, 0), vfork_work, NULL));
    scene_end(&scene);
}

static void clone_into_work(void *arg)
{
    pid_t pid;

    told->pid[0] = getpid();
    pid = test_fork_into(*(int *)arg);
    if (pid == 0) {
        told->pid[1] = getpid();
        late_true();
        _exit(0);
    }
    if (pid < 0)
        told->failure = errno;
    (void)wait(NULL);
}

static void clone_into(void)
{
    if (start(2)) {
        int pid, parent;
        const struct event *event;

        pid = workload_start(
            scene_container(&scene, 0), clone_into_work, &scene_container(&scene, 1)->cgroup_fd);
        while (!told->pid[1])
            node_sleep_ms(1);
        parent = told->pid[0];
        pid_t child = told->pid[1];

        reveal_and_check(pid);
        event = find_event(EVENT_FORK, child, 0);
        tap_expect(event && strcmp(event->pod, scene.pods[1].name) == 0,
            "the child's fork is not of the Pod that it was born in");
        tap_expect(event && strcmp(event->parent_pod, scene.pods[0].name) == 0,
            "its parent is not of the Pod that cloned it");
        event = find_event(EVENT_EXIT, parent, 0);
        tap_expect(event && strcmp(event->pod, scene.pods[0].name) == 0, "the parent changed its Pod");
    }
    scene_end(&scene);
}

static void move_work(void *arg)
{
    workload_exec_true(2);
    if (test_cgroup_join(*(int *)arg) < 0)
        told->failure = errno;
    told->pid[0] = getpid();
    workload_exec_true(3);
    late_true();
}

static void moved(void)
{
    if (start(2)) {
        struct oracle_counts counts;
        const struct event *event;
        pid_t pid =
            workload_start(scene_container(&scene, 0), move_work, &scene_container(&scene, 1)->cgroup_fd);

        reveal_and_check(pid);
        counts = oracle_read(scene_container(&scene, 1));
        tap_expect_equal(counts.forks, 5, "forks after the move");
        tap_expect_equal(counts.exits, 6, "exits after the move");
        event = find_event(EVENT_EXIT, pid, 0);
        tap_expect(event && strcmp(event->pod, scene.pods[1].name) == 0,
            "its exit is not of the Pod it was moved to");
    }
    scene_end(&scene);
}

static void exec_chain_work(void *arg)
{
    (void)arg;
    (void)execl("/bin/sh", "sh", "-c", "sleep 1; exec /bin/sh -c \"exec $0\"", workload_true(), (char *)NULL);
}

static void exec_over_exec(void)
{
    if (start(1)) {
        pid_t pid = workload_start(scene_container(&scene, 0), exec_chain_work, NULL);
        const struct event *execs[3], *leave;

        reveal_and_check(pid);
        for (unsigned i = 0; i < 3; i++)
            execs[i] = find_event(EVENT_EXEC, pid, i);
        tap_expect(execs[0] && execs[1] && execs[2], "three execs of one pid are not there");
        if (execs[0] && execs[1] && execs[2]) {
            for (unsigned i = 1; i < 3; i++) {
                tap_expect(execs[i]->parent_exec_id == execs[i - 1]->exec_id,
                    "the parent of exec %u is not the image before it", i + 1);
                tap_expect(execs[i]->parent_id == execs[i - 1]->exec_id, "the parent shown is another");
            }
            leave = find_event(EVENT_EXIT, pid, 0);
            tap_expect(leave && leave->exec_id == execs[2]->exec_id, "the exit is not of the last image");
        }
    }
    scene_end(&scene);
}

static void *exec_in_thread(void *arg)
{
    (void)arg;
    (void)execl(workload_true(), "e2e-true", "5", (char *)NULL);
    return NULL;
}

static void *sleep_in_thread(void *arg)
{
    (void)pause();
    return arg;
}

static void thread_work(void *arg)
{
    pthread_t thread;

    (void)arg;
    for (int i = 0; i < 10; i++) {
        if (fork() == 0) {
            for (int t = 0; t < 4; t++)
                (void)pthread_create(&thread, NULL, sleep_in_thread, NULL);
            (void)pthread_create(&thread, NULL, exec_in_thread, NULL);
            (void)pause();
        }
        (void)wait(NULL);
    }
}

/* exec by a thread that does not lead: one fork, one exec, one exit a process, threads are no processes. */
static void exec_by_thread(void)
{
    if (start(1)) {
        struct test_container *container = scene_container(&scene, 0);

        (void)workload_run(container, thread_work, NULL);
        scene_reveal(&scene);
        (void)events_wait(&scene.events, container, 11 + 10 + 11, 10000);
        node_sleep_ms(50);
        events_read(&scene.events);
        tap_expect_equal(events_count(&scene.events, container, EVENT_FORK), 11, "forks");
        tap_expect_equal(events_count(&scene.events, container, EVENT_EXEC), 10, "execs");
        tap_expect_equal(events_count(&scene.events, container, EVENT_EXIT), 11, "exits");
        workload_expect_complete(&scene.events, &scene.pods[0], container);
        workload_expect_clean(&scene.events, container);
    }
    scene_end(&scene);
}

/* ---- pids ----------------------------------------------------------------------------------------------- */

static int write_file(const char *path, int value)
{
    char text[16];
    int fd = open(path, O_WRONLY | O_CLOEXEC), n = snprintf(text, sizeof(text), "%d", value);
    int r = fd < 0 || write(fd, text, (size_t)n) != n ? -errno : 0;

    if (fd >= 0)
        (void)close(fd);
    return r;
}

/* In a pid namespace with 400 pids: 1,500 processes, half of them exec. */
static void small_namespace_work(void *arg)
{
    (void)arg;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
        told->failure = errno;
        return;
    }
    if (fork() == 0) {
        (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        (void)mount("proc", "/proc", "proc", 0, NULL);
        (void)write_file("/proc/sys/kernel/pid_max", 400);
        for (int i = 0; i < 1500; i++) {
            pid_t pid = fork();

            if (pid == 0) {
                if (i % 2)
                    (void)execl(workload_true(), "e2e-true", (char *)NULL);
                _exit(0);
            }
            if (pid == 399)
                told->reused++;
            (void)waitpid(pid, NULL, 0);
        }
        _exit(0);
    }
    (void)wait(NULL);
}

static void pid_reuse_in_namespace(void)
{
    if (start(1)) {
        pid_t pid = workload_start(scene_container(&scene, 0), small_namespace_work, NULL);
        int reused;

        node_sleep_ms(LATE_MS * 3);
        reused = (int)told->reused;
        reveal_and_check(pid);
        tap_note("the last pid of the namespace was used %d times", reused);
        if (reused < 2)
            tap_skip("pid_max belongs to no namespace on this kernel (before 6.14): nothing was reused");
    }
    scene_end(&scene);
}

/* The same pid of the node again and again, with another image each time. */
static void same_pid_work(void *arg)
{
    pid_t last = 0;

    (void)arg;
    for (int i = 0; i < 300; i++) {
        pid_t pid;

        if (last)
            (void)write_file("/proc/sys/kernel/ns_last_pid", last - 1);
        pid = fork();
        if (pid == 0) {
            if (i % 3 == 1)
                (void)execl(workload_true(), "first-image", (char *)NULL);
            if (i % 3 == 2)
                (void)execl(workload_true(), "second-image", "0", (char *)NULL);
            _exit(0);
        }
        (void)waitpid(pid, NULL, 0);
        if (pid == last)
            told->reused++;
        last = pid;
    }
}

static void pid_reuse_on_node(void)
{
    if (start(1)) {
        int reused;
        pid_t pid;

        if (access("/proc/sys/kernel/ns_last_pid", W_OK) < 0) {
            tap_skip("the kernel has no ns_last_pid");
            scene_end(&scene);
            return;
        }
        pid = workload_start(scene_container(&scene, 0), same_pid_work, NULL);
        node_sleep_ms(LATE_MS);
        reused = (int)told->reused;
        reveal_and_check(pid);
        tap_note("a pid was used again at once %d times", reused);
        /* A process that only forked shows no image of one that had its pid before: it is still the runner's. */
        for (size_t i = 0; i < scene.events.count; i++) {
            const struct event *event = &scene.events.list[i];

            if (event->type == EVENT_FORK && event_is_of(event, scene_container(&scene, 0)) &&
                strstr(event->binary, "e2e-true")) {
                tap_expect(
                    false, "fork of %u shows the image of an earlier process: %s", event->pid, event->binary);
                break;
            }
        }
    }
    scene_end(&scene);
}

static void short_lives_work(void *arg)
{
    workload_vfork_true(*(unsigned *)arg);
}

static void short_lives(void)
{
    unsigned count = 10000;

    if (start(1)) {
        pid_t pid = workload_start(scene_container(&scene, 0), short_lives_work, &count);

        reveal_and_check(pid);
        tap_expect(
            oracle_total(scene_container(&scene, 0)) >= 3 * (uint64_t)count, "the kernel counted too few");
    }
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"a grandchild forked before the metadata gets the Pod", grandchild},
        {"children of a parent that exits first get the Pod", parent_first},
        {"a daemon that forked twice gets the Pod", double_fork},
        {"vfork and exec get the Pod", vfork_exec},
        {"a child cloned into another container is of that one", clone_into},
        {"a process that is moved is of the other container from then on", moved},
        {"an exec over an exec has the image before it as parent", exec_over_exec},
        {"an exec by another thread is one exec and one exit", exec_by_thread},
        {"pids that are used again in a small pid namespace are kept apart", pid_reuse_in_namespace},
        {"a pid of the node that is used again at once is another process", pid_reuse_on_node},
        {"ten thousand processes of under a millisecond are all there", short_lives},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
