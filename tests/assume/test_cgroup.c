/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of cgroups, as the hooks and as the walk show it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/assume/observe.h"

/* The record of a cgroup, whatever else goes on on the machine. */
static const struct record_cgroup *find_cgroup(const struct observer *o, enum record_type type, uint64_t id)
{
    const struct record_cgroup *record;

    for (size_t i = 0; (record = observe_find(o, type, 0, i)); i++)
        if (record->header.cgroup_id == id)
            return record;
    return NULL;
}

Test(cgroup, mkdir_and_rmdir_tell_id_path_and_level)
{
    struct observer *o = observe_begin();
    char path[256], inner[300];
    const char *relative = path + strlen(observe_cgroup_root());
    uint64_t id = observe_make_cgroup(path, "made"), inner_id;
    const struct record_cgroup *made, *removed;

    (void)snprintf(inner, sizeof(inner), "%s/inner", path);
    cr_assert_eq(mkdir(inner, 0755), 0);
    inner_id = observe_inode(inner);
    cr_assert(rmdir(inner) == 0 && rmdir(path) == 0);
    observe_drain(o);
    made = find_cgroup(o, RECORD_CGROUP_MKDIR, id);
    removed = find_cgroup(o, RECORD_CGROUP_RMDIR, id);
    cr_assert(made && removed);
    cr_expect_str_eq(observe_text(made, made->path), relative);
    cr_expect_str_eq(observe_text(removed, removed->path), relative);
    cr_expect_eq(made->hierarchy_id, 0);
    cr_expect_eq(made->header.tgid, 0);
    made = find_cgroup(o, RECORD_CGROUP_MKDIR, inner_id);
    cr_assert_not_null(made);
    cr_expect_eq(made->level, removed->level + 1);
    cr_expect_str_eq(observe_text(made, made->path), inner + strlen(observe_cgroup_root()));
    observe_end(o);
}

/* A v1 hierarchy next to the unified one, as on hybrid hosts. */
static const char *find_v1_root(void)
{
    static const char *const candidates[] = {
        "/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/systemd"};

    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        char procs[128];

        (void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", candidates[i]);
        if (access(procs, W_OK) == 0)
            return candidates[i];
    }
    cr_skip_test("needs a v1 hierarchy");
    return NULL;
}

Test(cgroup, v1_hierarchies_are_not_reported)
{
    struct observer *o = observe_begin();
    char path[256];
    const struct record_cgroup *record;

    (void)snprintf(path, sizeof(path), "%s/podkin-assume-%d-v1", find_v1_root(), (int)getpid());
    cr_assert_eq(mkdir(path, 0755), 0, "%s", strerror(errno));
    cr_assert_eq(rmdir(path), 0);
    observe_drain(o);
    for (int type = RECORD_CGROUP_MKDIR; type <= RECORD_CGROUP_ATTACH; type++)
        for (size_t i = 0; (record = observe_find(o, (enum record_type)type, 0, i)); i++)
            cr_expect(
                !strstr(observe_text(record, record->path), "-v1"), "%s", observe_text(record, record->path));
    observe_end(o);
}

/* Moves itself, then execs. */
static int move_and_exec(void *arg)
{
    static const char *const argv[] = {"/bin/true", NULL};

    observe_write(arg, "cgroup.procs", "0");
    return observe_exec((void *)argv);
}

Test(cgroup, attach_tells_the_process_and_where_it_is_now)
{
    struct observer *o = observe_begin();
    char path[256];
    uint64_t id = observe_make_cgroup(path, "to");
    const struct record_cgroup *attach;
    const struct record_fork *f;
    const struct record_process *e;
    int status;
    pid_t pid = observe_child(move_and_exec, path, &status);

    cr_assert_eq(status, 0);
    cr_assert_eq(rmdir(path), 0);
    observe_drain(o);
    attach = observe_find(o, RECORD_CGROUP_ATTACH, pid, 0);
    f = observe_find(o, RECORD_FORK, pid, 0);
    e = observe_find(o, RECORD_EXEC, pid, 0);
    cr_assert(attach && f && e);
    cr_expect_eq(attach->header.cgroup_id, id);
    cr_expect_eq(attach->header.start_ns, f->header.start_ns);
    cr_expect_str_eq(observe_text(attach, attach->path), path + strlen(observe_cgroup_root()));
    cr_expect_neq(f->header.cgroup_id, id);
    cr_expect_eq(e->header.cgroup_id, id, "the exec is of the cgroup it happened in");
    cr_expect_eq(observe_count(o, RECORD_CGROUP_ATTACH, pid), 1);
    observe_end(o);
}

static void *move_thread(void *arg)
{
    char tid[16];

    (void)snprintf(tid, sizeof(tid), "%d", (int)gettid());
    observe_write(arg, "cgroup.threads", tid);
    return NULL;
}

/* A thread that was joined may not have left its cgroup yet. */
static int remove_once_empty(const char *path)
{
    int r;

    while ((r = rmdir(path)) < 0 && errno == EBUSY)
        (void)sched_yield();
    return r;
}

static int move_a_thread(void *arg)
{
    char inner[300];
    pthread_t thread;

    (void)snprintf(inner, sizeof(inner), "%s/threads", (const char *)arg);
    if (mkdir(inner, 0755))
        return 1;
    observe_write(inner, "cgroup.type", "threaded");
    observe_write(arg, "cgroup.procs", "0");
    if (pthread_create(&thread, NULL, move_thread, inner))
        return 2;
    pthread_join(thread, NULL);
    observe_write(observe_cgroup_root(), "cgroup.procs", "0");
    return remove_once_empty(inner) ? 3 : 0;
}

Test(cgroup, a_single_thread_that_moves_is_not_its_process_moving)
{
    struct observer *o = observe_begin();
    char path[256];
    int status;
    pid_t pid;

    (void)observe_make_cgroup(path, "domain");
    pid = observe_child(move_a_thread, path, &status);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(status, 0);
    observe_drain(o);
    cr_expect_eq(observe_count(o, RECORD_CGROUP_ATTACH, pid), 2, "in and out again, and nothing in between");
    observe_end(o);
}

/* ---- v1 ------------------------------------------------------------------------------------------------- */

static int move_main_thread_and_exec(void *arg)
{
    static const char *const argv[] = {"/bin/true", NULL};

    observe_write(arg, "tasks", "0");
    return observe_exec((void *)argv);
}

static const char *const v1_controllers[] = {"memory", "pids", "cpu", "freezer", "blkio", "devices"};

/* Everything that tells a cgroup, for a process that is moved there as runtimes do it. */
static void check_v1(const char *controller, int (*fn)(void *arg))
{
    CLEANUP_FREE char *root = NULL;
    uint32_t hierarchy_id;
    struct observer *o = observe_begin_v1(controller, &root, &hierarchy_id);
    const struct record_cgroup *made, *attach;
    const struct record_process *e;
    const struct record_exit *x;
    char path[256];
    uint64_t id;
    pid_t pid;
    int status;

    (void)snprintf(path, sizeof(path), "%s/podkin-assume-%d-v1", root, (int)getpid());
    cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
    id = observe_inode(path);
    pid = observe_child(fn, path, &status);
    cr_expect_eq(status, 0);
    cr_assert_eq(rmdir(path), 0);
    observe_drain(o);
    made = find_cgroup(o, RECORD_CGROUP_MKDIR, id);
    attach = observe_find(o, RECORD_CGROUP_ATTACH, pid, 0);
    e = observe_find(o, RECORD_EXEC, pid, 0);
    x = observe_find(o, RECORD_EXIT, pid, 0);
    cr_assert(made && attach && e && x, "%s", controller);
    cr_expect_str_eq(observe_text(made, made->path), path + strlen(root));
    cr_expect_eq(made->hierarchy_id, hierarchy_id);
    cr_expect_neq(made->hierarchy_id, 0);
    cr_expect_not_null(find_cgroup(o, RECORD_CGROUP_RMDIR, id));
    cr_expect_eq(attach->header.cgroup_id, id);
    cr_expect_str_eq(observe_text(attach, attach->path), path + strlen(root));
    cr_expect_eq(e->header.cgroup_id, id, "%s: the exec is of the cgroup it happened in", controller);
    cr_expect_eq(x->header.cgroup_id, id, "%s: and so is the exit", controller);
    observe_end(o);
}

Test(cgroup, of_each_v1_controller_decides_when_it_is_chosen)
{
    for (size_t i = 0; i < sizeof(v1_controllers) / sizeof(v1_controllers[0]); i++)
        check_v1(v1_controllers[i], move_and_exec);
}

Test(cgroup, a_main_thread_moved_alone_in_v1_is_its_process_moving)
{
    check_v1("pids", move_main_thread_and_exec);
}

static int born_there(void *arg)
{
    int status;

    observe_write(arg, "cgroup.procs", "0");
    if (fork() == 0)
        _exit(0);
    return wait(&status) < 0 ? 1 : status;
}

Test(cgroup, a_fork_in_v1_tells_the_cgroup_of_both)
{
    CLEANUP_FREE char *root = NULL;
    uint32_t hierarchy_id;
    struct observer *o = observe_begin_v1("pids", &root, &hierarchy_id);
    const struct record_fork *f, *found = NULL;
    char path[256];
    uint64_t id;
    pid_t pid;
    int status;

    (void)snprintf(path, sizeof(path), "%s/podkin-assume-%d-fork", root, (int)getpid());
    cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
    id = observe_inode(path);
    pid = observe_child(born_there, path, &status);
    cr_assert_eq(rmdir(path), 0);
    observe_drain(o);
    for (size_t i = 0; (f = observe_find(o, RECORD_FORK, 0, i)); i++) {
        if (f->parent_tgid == (uint32_t)pid)
            found = f;
    }
    cr_assert_not_null(found);
    cr_expect_eq(found->header.cgroup_id, id);
    cr_expect_eq(found->parent_cgroup_id, id);
    observe_end(o);
}
