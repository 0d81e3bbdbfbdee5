/* SPDX-License-Identifier: Apache-2.0 */
/* What the snapshot finds. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/assume/observe.h"

#define FIRST_SEQ 1000

struct taken {
    struct snapshot *snapshot;
    uint64_t seq;
    const uint8_t *data;
};

static void take(struct observer *o, struct taken *ret)
{
    struct snapshot_options options = {
        .probe = o->probe, .cgroup_root = observe_cgroup_root(), .seq = &ret->seq};
    char error[PROBE_ERROR_MAX] = "";
    int r;

    *ret = (struct taken){.seq = FIRST_SEQ};
    cr_assert_eq(snapshot_start(&ret->snapshot, &options, error), 0, "%s", error);
    do
        r = snapshot_step(ret->snapshot);
    while (r == SNAPSHOT_MORE);
    cr_assert_eq(r, SNAPSHOT_DONE);
    ret->data =
        mmap(NULL, snapshot_bytes(ret->snapshot), PROT_READ, MAP_SHARED, snapshot_fd(ret->snapshot), 0);
    cr_assert_neq(ret->data, MAP_FAILED);
}

static void drop(struct taken *taken)
{
    (void)munmap((void *)taken->data, snapshot_bytes(taken->snapshot));
    taken->snapshot = snapshot_free(taken->snapshot);
}

/* The record at an offset, checked; NULL at the end. */
static const struct record_header *next(const struct taken *taken, uint64_t *offset)
{
    const struct record_header *record = (const void *)(taken->data + *offset);

    if (*offset >= snapshot_bytes(taken->snapshot))
        return NULL;
    cr_assert_eq(record_check(record, snapshot_bytes(taken->snapshot) - *offset), 0);
    *offset += record->size;
    return record;
}

static const struct record_process *find_process(const struct taken *taken, pid_t pid)
{
    const struct record_header *record;

    for (uint64_t offset = 0; (record = next(taken, &offset));)
        if (record->type == RECORD_SNAPSHOT_PROCESS && record->tgid == (uint32_t)pid)
            return (const void *)record;
    return NULL;
}

Test(snapshot, is_sealed_counted_and_numbered)
{
    struct observer *o = observe_begin();
    struct taken taken;
    const struct record_header *record, *last = NULL;
    uint32_t processes = 0, cgroups = 0;
    uint64_t seq = FIRST_SEQ;

    take(o, &taken);
    for (uint64_t offset = 0; (record = next(&taken, &offset)); last = record) {
        cr_expect_eq(record->cpu, RECORD_CPU_COLLECTOR);
        cr_expect_eq(record->seq, seq++);
        processes += record->type == RECORD_SNAPSHOT_PROCESS;
        cgroups += record->type == RECORD_SNAPSHOT_CGROUP;
    }
    cr_assert_not_null(last);
    cr_expect_eq(taken.seq, seq);
    cr_expect_eq(last->type, RECORD_SNAPSHOT_END);
    cr_expect_eq(((const struct record_snapshot_end *)last)->process_count, processes);
    cr_expect_eq(((const struct record_snapshot_end *)last)->cgroup_count, cgroups);
    cr_expect_gt(processes, 0);
    cr_expect_gt(cgroups, 0);
    cr_expect_eq(
        fd_check_seals(snapshot_fd(taken.snapshot), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL),
        0);
    cr_expect_eq(snapshot_step(taken.snapshot), SNAPSHOT_DONE);
    drop(&taken);
    observe_end(o);
}

Test(snapshot, finds_a_process_with_arguments_and_the_time_of_its_exec)
{
    struct observer *o = observe_begin();
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    struct taken taken;
    const struct record_process *p, *e;
    pid_t pid;

    cr_assert_eq(posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)argv, environ), 0);
    while (!observe_find(o, RECORD_EXEC, pid, 0)) /* posix_spawn() returns in the middle of the exec */
        observe_drain(o);
    take(o, &taken);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    e = observe_find(o, RECORD_EXEC, pid, 0);
    p = find_process(&taken, pid);
    cr_assert(p && e);
    cr_expect_str_eq(observe_text(p, p->args), "/bin/sleep|1000");
    cr_expect_eq(p->image_start_ns, e->image_start_ns);
    cr_expect_eq(p->header.start_ns, e->header.start_ns);
    cr_expect_eq(p->header.cgroup_id, e->header.cgroup_id);
    cr_expect_eq(p->parent_tgid, (uint32_t)getpid());
    cr_expect_eq(p->parent_start_ns, e->parent_start_ns);
    cr_expect_eq(p->binary_ino, e->binary_ino);
    cr_expect_eq(memcmp(&p->ns, &e->ns, sizeof(p->ns)), 0);
    cr_expect_str_eq(observe_text(p, p->cwd), observe_text(e, e->cwd));
    cr_expect_neq(
        strstr(observe_text(p, p->filename), "/bin/sleep"), NULL, "%s", observe_text(p, p->filename));
    drop(&taken);
    observe_end(o);
}

/* Its threads live, its main thread does not. */
static void *linger(void *arg)
{
    while (pause() == -1)
        ;
    return arg;
}

static void lose_main_thread(void)
{
    pthread_t thread;

    (void)pthread_create(&thread, NULL, linger, NULL);
    syscall(SYS_exit, 0);
}

static void wait_for_state(pid_t pid, char state)
{
    char path[64], line[256], seen = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 1000 && seen != state; i++) {
        FILE *stat = fopen(path, "re");

        cr_assert_not_null(stat);
        cr_assert_not_null(fgets(line, sizeof(line), stat));
        (void)fclose(stat);
        seen = strrchr(line, ')')[2];
        (void)usleep(1000);
    }
    cr_assert_eq(seen, state);
}

Test(snapshot, has_what_lives_without_its_main_thread_and_not_what_is_dead)
{
    struct observer *o = observe_begin();
    struct taken taken;
    pid_t alive = fork(), dead = alive ? fork() : 0;

    if (alive == 0)
        lose_main_thread();
    if (dead == 0)
        _exit(0);
    wait_for_state(alive, 'Z');
    wait_for_state(dead, 'Z');
    take(o, &taken);
    (void)kill(alive, SIGKILL);
    (void)waitpid(alive, NULL, 0);
    (void)waitpid(dead, NULL, 0);
    cr_expect_not_null(find_process(&taken, alive));
    cr_expect_null(find_process(&taken, dead));
    drop(&taken);
    observe_end(o);
}

Test(snapshot, has_this_process_as_never_seen_to_exec)
{
    struct observer *o = observe_begin();
    struct taken taken;
    const struct record_process *p;

    take(o, &taken);
    p = find_process(&taken, getpid());
    cr_assert_not_null(p);
    cr_expect_eq(p->image_start_ns, p->header.start_ns);
    cr_expect_neq(p->args.size, 0);
    cr_expect_eq(p->flags & RECORD_PROCESS_ARGS_ERROR, 0);
    drop(&taken);
    observe_end(o);
}

Test(snapshot, has_every_cgroup_with_its_path)
{
    struct observer *o = observe_begin();
    struct taken taken;
    char path[256];
    uint64_t id = observe_make_cgroup(path, "there");
    const struct record_header *record;
    const struct record_cgroup *found = NULL, *root = NULL;

    take(o, &taken);
    cr_assert_eq(rmdir(path), 0);
    for (uint64_t offset = 0; (record = next(&taken, &offset));) {
        if (record->type == RECORD_SNAPSHOT_CGROUP && record->cgroup_id == id)
            found = (const void *)record;
        if (record->type == RECORD_SNAPSHOT_CGROUP && ((const struct record_cgroup *)record)->level == 0)
            root = (const void *)record;
    }
    cr_assert(found && root);
    cr_expect_str_eq(observe_text(found, found->path), path + strlen(observe_cgroup_root()));
    cr_expect_eq(found->level, 1);
    cr_expect_str_eq(observe_text(root, root->path), "/");
    drop(&taken);
    observe_end(o);
}

Test(snapshot, of_many_processes_has_each_once)
{
    enum { COUNT = 1500 }; /* more than a few reads of the iterator */
    struct observer *o = observe_begin();
    struct taken taken;
    pid_t pids[COUNT];
    const struct record_header *record;
    size_t found = 0;

    for (int i = 0; i < COUNT; i++) {
        pids[i] = fork();
        cr_assert_geq(pids[i], 0);
        if (pids[i] == 0)
            for (;;)
                pause();
    }
    take(o, &taken);
    for (int i = 0; i < COUNT; i++)
        (void)kill(pids[i], SIGKILL);
    for (int i = 0; i < COUNT; i++)
        (void)waitpid(pids[i], NULL, 0);
    for (uint64_t offset = 0; (record = next(&taken, &offset));)
        if (record->type == RECORD_SNAPSHOT_PROCESS &&
            ((const struct record_process *)record)->parent_tgid == (uint32_t)getpid())
            found++;
    cr_expect_eq(found, COUNT, "%zu", found);
    drop(&taken);
    observe_end(o);
}

Test(snapshot, refuses_a_folder_that_is_no_cgroup2_mount)
{
    struct observer *o = observe_begin();
    uint64_t seq = 0;
    struct snapshot_options options = {.probe = o->probe, .cgroup_root = "/tmp", .seq = &seq};
    struct snapshot *snapshot = NULL;
    char error[PROBE_ERROR_MAX] = "";

    cr_expect_eq(snapshot_start(&snapshot, &options, error), -EINVAL);
    cr_expect_null(snapshot);
    cr_expect_neq(strstr(error, "/tmp: not the mount point"), NULL, "%s", error);
    observe_end(o);
}
