/* SPDX-License-Identifier: Apache-2.0 */
/* Fork, exec and exit as the kernel reports them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/assume/observe.h"

static const char *const true_argv[] = {"/bin/true", NULL};

static pid_t clone_into(int cgroup_fd)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)cgroup_fd,
    };

    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

Test(process, fork_has_the_final_cgroup_of_a_child_cloned_into_another)
{
    struct observer *o = observe_begin();
    char path[256];
    uint64_t cgroup = observe_make_cgroup(path, "into");
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pid_t pid = clone_into(fd);
    const struct record_fork *fork_record;

    if (pid == 0)
        _exit(0);
    cr_assert_gt(pid, 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    cr_assert_eq(rmdir(path), 0);
    observe_drain(o);
    fork_record = observe_find(o, RECORD_FORK, pid, 0);
    cr_assert_not_null(fork_record);
    cr_expect_eq(fork_record->header.cgroup_id, cgroup);
    cr_expect_neq(fork_record->parent_cgroup_id, cgroup);
    cr_expect_eq(observe_count(o, RECORD_CGROUP_ATTACH, pid), 0, "there is no move to be told of");
    observe_end(o);
}

Test(process, fork_names_the_forker_and_the_child)
{
    struct observer *o = observe_begin();
    int status;
    pid_t pid = observe_child(observe_exec, (void *)true_argv, &status);
    const struct record_fork *f;

    observe_drain(o);
    f = observe_find(o, RECORD_FORK, pid, 0);
    cr_assert_not_null(f);
    cr_expect_eq(f->parent_tgid, (uint32_t)getpid());
    cr_expect_eq(f->parent_tid, (uint32_t)gettid());
    cr_expect_eq(f->real_parent_tgid, (uint32_t)getpid());
    cr_expect_eq(f->header.tid, (uint32_t)pid);
    cr_expect_eq(f->ns_pid, (uint32_t)pid);
    cr_expect_eq(f->uid, 0);
    cr_expect_eq(f->flags, 0);
    cr_expect_leq(f->header.start_ns, f->header.time_ns);
    cr_expect_lt(f->parent_start_ns, f->header.start_ns);
    observe_end(o);
}

static void *fork_in_thread(void *arg)
{
    pid_t *ret = arg;
    int status;

    ret[0] = gettid();
    ret[1] = observe_child(observe_exec, (void *)true_argv, &status);
    return NULL;
}

Test(process, fork_by_a_thread_names_its_process_and_threads_are_no_forks)
{
    struct observer *o = observe_begin();
    pid_t pids[2] = {0};
    pthread_t thread;
    const struct record_fork *f;

    cr_assert_eq(pthread_create(&thread, NULL, fork_in_thread, pids), 0);
    pthread_join(thread, NULL);
    observe_drain(o);
    f = observe_find(o, RECORD_FORK, pids[1], 0);
    cr_assert_not_null(f);
    cr_expect_eq(f->parent_tgid, (uint32_t)getpid());
    cr_expect_eq(f->parent_tid, (uint32_t)pids[0]);
    for (size_t i = 0; i < o->count; i++)
        cr_expect(o->records[i]->type != RECORD_FORK || o->records[i]->tid != (uint32_t)pids[0]);
    observe_end(o);
}

static int clone_sibling(void *arg)
{
    (void)arg;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return pid < 0;
}

Test(process, fork_with_clone_parent_names_forker_and_real_parent)
{
    struct observer *o = observe_begin();
    int status;
    pid_t forker = observe_child(clone_sibling, NULL, &status), sibling = wait(NULL);
    const struct record_fork *f;

    observe_drain(o);
    f = observe_find(o, RECORD_FORK, sibling, 0);
    cr_assert_not_null(f);
    cr_expect_eq(f->parent_tgid, (uint32_t)forker);
    cr_expect_eq(f->real_parent_tgid, (uint32_t)getpid());
    observe_end(o);
}

static void *exec_in_thread(void *arg)
{
    observe_exec(arg);
    _exit(127);
}

static int exec_from_second_thread(void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, exec_in_thread, arg))
        return 126;
    for (;;)
        pause();
}

Test(process, exec_by_a_second_thread_keeps_the_process_key)
{
    struct observer *o = observe_begin();
    int status;
    pid_t pid = observe_child(exec_from_second_thread, (void *)true_argv, &status);
    const struct record_fork *f;
    const struct record_process *e;

    cr_assert_eq(status, 0);
    observe_drain(o);
    f = observe_find(o, RECORD_FORK, pid, 0);
    e = observe_find(o, RECORD_EXEC, pid, 0);
    cr_assert(f && e);
    cr_expect_eq(e->header.start_ns, f->header.start_ns);
    cr_expect_eq(e->header.tid, (uint32_t)pid);
    cr_expect_eq(observe_count(o, RECORD_EXIT, pid), 1);
    observe_end(o);
}

static int exec_over_exec(void *arg)
{
    const char *const argv[] = {"/bin/sh", "-c", "exec /bin/true again", NULL};

    (void)arg;
    return observe_exec((void *)argv);
}

Test(process, exec_over_exec_gives_two_images_of_one_process)
{
    struct observer *o = observe_begin();
    int status;
    pid_t pid = observe_child(exec_over_exec, NULL, &status);
    const struct record_process *first, *second;

    observe_drain(o);
    cr_assert_eq(observe_count(o, RECORD_EXEC, pid), 2);
    first = observe_find(o, RECORD_EXEC, pid, 0);
    second = observe_find(o, RECORD_EXEC, pid, 1);
    cr_expect_eq(first->header.start_ns, second->header.start_ns);
    cr_expect_lt(first->image_start_ns, second->image_start_ns);
    cr_expect_eq(first->image_start_ns, first->header.time_ns);
    cr_expect_str_eq(observe_text(second, second->args), "/bin/true|again");
    cr_expect_eq(observe_count(o, RECORD_FORK, pid), 1);
    observe_end(o);
}

Test(process, vfork_and_exec_are_a_fork_and_an_exec_of_one_key)
{
    struct observer *o = observe_begin();
    const struct record_fork *f;
    const struct record_process *e;
    pid_t pid;

    cr_assert_eq(posix_spawn(&pid, true_argv[0], NULL, NULL, (char *const *)true_argv, environ), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    observe_drain(o);
    f = observe_find(o, RECORD_FORK, pid, 0);
    e = observe_find(o, RECORD_EXEC, pid, 0);
    cr_assert(f && e);
    cr_expect_eq(f->parent_tgid, (uint32_t)getpid());
    cr_expect_eq(e->parent_tgid, (uint32_t)getpid());
    cr_expect_eq(e->parent_start_ns, f->parent_start_ns);
    cr_expect_eq(e->header.start_ns, f->header.start_ns);
    cr_expect_lt(f->header.time_ns, e->header.time_ns);
    observe_end(o);
}

static int exit_with(void *arg)
{
    return *(int *)arg;
}

static int die_of(void *arg)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(*(int *)arg, SIG_DFL);
    (void)raise(*(int *)arg);
    return 0;
}

static void expect_wait_status(struct observer *o, int (*fn)(void *arg), int value)
{
    int status;
    pid_t pid = observe_child(fn, &value, &status);
    const struct record_exit *e;

    observe_drain(o);
    e = observe_find(o, RECORD_EXIT, pid, 0);
    cr_assert_not_null(e);
    cr_expect_eq(e->wait_status, (uint32_t)status, "%x is not %x", e->wait_status, status);
    cr_expect_eq(observe_count(o, RECORD_EXIT, pid), 1);
}

Test(process, exit_has_the_status_that_wait_returns)
{
    struct observer *o = observe_begin();

    expect_wait_status(o, exit_with, 0);
    expect_wait_status(o, exit_with, 7);
    expect_wait_status(o, exit_with, 255);
    expect_wait_status(o, die_of, SIGKILL);
    expect_wait_status(o, die_of, SIGTERM);
    expect_wait_status(o, die_of, SIGSEGV);
    observe_end(o);
}

#define THREADS 6

static void *leave_together(void *arg)
{
    pthread_barrier_wait(arg);
    return NULL;
}

/* All threads leave in the same instant, the main one too, without exit_group(): each finds few or none
 * alive. */
static int leave_by_threads(void *arg)
{
    pthread_barrier_t barrier;
    pthread_t thread;

    (void)arg;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 1; i < THREADS; i++)
        if (pthread_create(&thread, NULL, leave_together, &barrier))
            return 1;
    pthread_barrier_wait(&barrier);
    syscall(SYS_exit, 0);
    return 1;
}

static int leave_by_group(void *arg)
{
    static pthread_barrier_t
        barrier; /* outlives this function: the threads wait at it until they are killed */
    pthread_t thread;

    (void)arg;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 1; i < THREADS; i++)
        if (pthread_create(&thread, NULL, leave_together, &barrier))
            return 1;
    return 5;
}

Test(process, exit_of_many_threads_is_told_once)
{
    enum { ROUNDS = 200 };
    struct observer *o = observe_begin();
    pid_t pids[ROUNDS * 2];
    int status;

    for (int i = 0; i < ROUNDS; i++) {
        pids[i * 2] = observe_child(leave_by_threads, NULL, &status);
        cr_assert_eq(status, 0);
        pids[i * 2 + 1] = observe_child(leave_by_group, NULL, &status);
        cr_assert_eq(WEXITSTATUS(status), 5);
    }
    observe_drain(o);
    for (int i = 0; i < ROUNDS * 2; i++) {
        const struct record_exit *e = observe_find(o, RECORD_EXIT, pids[i], 0);

        cr_expect_eq(observe_count(o, RECORD_EXIT, pids[i]), 1);
        cr_expect_eq(observe_count(o, RECORD_FORK, pids[i]), 1);
        cr_assert_not_null(e);
        cr_expect_eq(e->wait_status, i % 2 ? 0x500 : 0);
    }
    observe_end(o);
}

Test(process, every_process_has_one_fork_one_exec_one_exit)
{
    enum { COUNT = 500 };
    struct observer *o = observe_begin();
    const unsigned count = observe_rounds(COUNT);
    pid_t pids[COUNT];

    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(posix_spawn(&pids[i], true_argv[0], NULL, NULL, (char *const *)true_argv, environ), 0);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(waitpid(pids[i], NULL, 0), pids[i]);
    observe_drain(o);
    for (unsigned i = 0; i < count; i++) {
        cr_expect_eq(observe_count(o, RECORD_FORK, pids[i]), 1);
        cr_expect_eq(observe_count(o, RECORD_EXEC, pids[i]), 1);
        cr_expect_eq(observe_count(o, RECORD_EXIT, pids[i]), 1);
    }
    cr_expect_eq(o->lost_count, 0);
    observe_end(o);
}

/* ---- pid namespaces ------------------------------------------------------------------------------------ */

static int run_two_children(void *arg)
{
    int status;

    (void)observe_child(observe_exec, arg, &status);
    return status;
}

Test(process, a_pid_namespace_shows_as_ns_pid_and_in_init_tree)
{
    struct observer *o = observe_begin();
    struct clone_args args = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
    pid_t init = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    const struct record_fork *f, *grandchild = NULL;
    const struct record_process *e;

    if (init == 0)
        _exit(run_two_children((void *)true_argv));
    cr_assert_gt(init, 0);
    cr_assert_eq(waitpid(init, NULL, 0), init);
    observe_drain(o);
    f = observe_find(o, RECORD_FORK, init, 0);
    cr_assert_not_null(f);
    cr_expect_eq(f->ns_pid, 1);
    cr_expect(f->flags & RECORD_PROCESS_IN_INIT_TREE);
    for (size_t i = 0; (f = observe_find(o, RECORD_FORK, 0, i)); i++)
        if (f->parent_tgid == (uint32_t)init)
            grandchild = f;
    cr_assert_not_null(grandchild);
    cr_expect_eq(grandchild->ns_pid, 2);
    cr_expect(grandchild->flags & RECORD_PROCESS_IN_INIT_TREE);
    e = observe_find(o, RECORD_EXEC, (pid_t)grandchild->header.tgid, 0);
    cr_assert_not_null(e);
    cr_expect_eq(e->ns_pid, 2);
    cr_expect(e->flags & RECORD_PROCESS_IN_INIT_TREE);
    cr_expect_neq(e->ns.pid, observe_inode("/proc/self/ns/pid"));
    cr_expect_eq(e->ns.pid, e->ns.pid_for_children);
    observe_end(o);
}

static int enter_and_run(void *arg)
{
    int status;

    if (setns(*(int *)arg, CLONE_NEWPID))
        return 1;
    (void)observe_child(observe_exec, (void *)true_argv, &status);
    return status;
}

Test(process, entering_a_pid_namespace_is_not_being_of_its_init_tree)
{
    struct observer *o = observe_begin();
    struct clone_args args = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
    pid_t init = (pid_t)syscall(SYS_clone3, &args, sizeof(args)), enterer;
    const struct record_process *e, *entered = NULL;
    CLEANUP_CLOSE int fd = -1;
    char path[64];
    int status;

    if (init == 0)
        for (;;)
            pause();
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)init);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    enterer = observe_child(enter_and_run, &fd, &status);
    (void)kill(init, SIGKILL);
    cr_assert_eq(waitpid(init, NULL, 0), init);
    cr_assert_eq(status, 0);
    observe_drain(o);
    for (size_t i = 0; (e = observe_find(o, RECORD_EXEC, 0, i)); i++)
        if (e->parent_tgid == (uint32_t)enterer)
            entered = e;
    cr_assert_not_null(entered);
    cr_expect_eq(entered->ns_pid, 2);
    cr_expect_not(entered->flags & RECORD_PROCESS_IN_INIT_TREE);
    observe_end(o);
}
