/* SPDX-License-Identifier: Apache-2.0 */
/* What an exec record says of the image: arguments, folder, credentials, binary, namespaces. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/assume/observe.h"

static const char *const true_argv[] = {"/bin/true", NULL};

/* Runs fn in a child that execs; returns the record of its last exec. */
static const struct record_process *exec_of(struct observer *o, int (*fn)(void *arg), void *arg)
{
    const struct record_process *e;
    int status;
    pid_t pid = observe_child(fn, arg, &status);
    size_t count;

    cr_assert_eq(status, 0, "the child failed: %x", status);
    observe_drain(o);
    count = observe_count(o, RECORD_EXEC, pid);
    cr_assert_gt(count, 0);
    e = observe_find(o, RECORD_EXEC, pid, count - 1);
    return e;
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

/* One argument of `size` bytes behind "/bin/true": with its NUL, size + 10 bytes in all. */
static const struct record_process *exec_with_argument(struct observer *o, size_t size)
{
    CLEANUP_FREE char *word = malloc(size + 1);
    const char *argv[] = {"/bin/true", word, NULL};

    memset(word, 'x', size);
    word[size] = '\0';
    return exec_of(o, observe_exec, argv);
}

Test(image, arguments_are_whole_up_to_8_kib_and_cut_and_flagged_beyond)
{
    struct observer *o = observe_begin();
    const struct record_process *fits = exec_with_argument(o, RECORD_ARGS_MAX - 10);
    const struct record_process *cut = exec_with_argument(o, RECORD_ARGS_MAX - 9);
    const struct record_process *huge = exec_with_argument(o, 100000);

    cr_expect_eq(fits->args.size, RECORD_ARGS_MAX);
    cr_expect_not(fits->flags & RECORD_PROCESS_ARGS_TRUNCATED);
    cr_expect_eq(cut->args.size, RECORD_ARGS_MAX);
    cr_expect(cut->flags & RECORD_PROCESS_ARGS_TRUNCATED);
    cr_expect_eq(huge->args.size, RECORD_ARGS_MAX);
    cr_expect(huge->flags & RECORD_PROCESS_ARGS_TRUNCATED);
    cr_expect_eq(strspn(observe_text(huge, huge->args) + 10, "x"), RECORD_ARGS_MAX - 10);
    observe_end(o);
}

Test(image, arguments_keep_empty_words)
{
    struct observer *o = observe_begin();
    const char *argv[] = {"/bin/true", "", "a b", "", NULL};
    const struct record_process *e = exec_of(o, observe_exec, argv);

    cr_expect_str_eq(observe_text(e, e->args), "/bin/true||a b|");
    cr_expect_eq(e->flags & (RECORD_PROCESS_ARGS_ERROR | RECORD_PROCESS_ARGS_TRUNCATED), 0);
    observe_end(o);
}

static int exec_without_arguments(void *arg)
{
    char *const none[] = {NULL};

    (void)execve(arg, none, environ);
    return 127;
}

Test(image, arguments_may_be_none_at_all)
{
    struct observer *o = observe_begin();
    char program[] = "/bin/true";
    const struct record_process *e = exec_of(o, exec_without_arguments, program);

    cr_expect_eq(e->args.size, 0);
    cr_expect_eq(e->flags & RECORD_PROCESS_ARGS_ERROR, 0);
    cr_expect_str_eq(observe_text(e, e->filename), "/bin/true");
    observe_end(o);
}

/* ---- the folder ---------------------------------------------------------------------------------------- */

struct place {
    char root[64]; /* a folder made for the test */
    const char *inside;
};

static void make_place(struct place *place)
{
    (void)snprintf(place->root, sizeof(place->root), "/tmp/podkin-assume-XXXXXX");
    cr_assert_not_null(mkdtemp(place->root));
}

static int exec_in(void *folder)
{
    return chdir(folder) ? 126 : observe_exec((void *)true_argv);
}

Test(image, cwd_is_the_folder_and_the_root_is_a_slash)
{
    struct observer *o = observe_begin();
    char bin[] = "/usr/bin", root[] = "/", sys[] = "/proc/sys/kernel";
    const struct record_process *e = exec_of(o, exec_in, bin);

    cr_expect_str_eq(observe_text(e, e->cwd), "/usr/bin");
    cr_expect_eq(
        e->flags & (RECORD_PROCESS_CWD_UNREACHABLE | RECORD_PROCESS_CWD_ERROR | RECORD_PROCESS_CWD_TRUNCATED),
        0);
    e = exec_of(o, exec_in, root);
    cr_expect_str_eq(observe_text(e, e->cwd), "/");
    e = exec_of(o, exec_in, sys); /* over a mount point */
    cr_expect_str_eq(observe_text(e, e->cwd), "/proc/sys/kernel");
    cr_expect_eq(e->flags & RECORD_PROCESS_CWD_UNREACHABLE, 0);
    observe_end(o);
}

static int exec_in_deleted(void *folder)
{
    return chdir(folder) || rmdir(folder) ? 126 : observe_exec((void *)true_argv);
}

Test(image, cwd_that_is_deleted_is_flagged)
{
    struct observer *o = observe_begin();
    struct place place;
    const struct record_process *e;

    make_place(&place);
    e = exec_of(o, exec_in_deleted, place.root);
    cr_expect_str_eq(observe_text(e, e->cwd), place.root);
    cr_expect(e->flags & RECORD_PROCESS_CWD_UNREACHABLE);
    observe_end(o);
}

/* A root folder that holds the host's programs: /bin, /lib … are bind mounts of the host's. */
static int exec_in_chroot(void *arg)
{
    struct place *place = arg;

    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("/", place->root, NULL, MS_BIND | MS_REC, NULL))
        return 125;
    if (chroot(place->root) || chdir(place->inside))
        return 124;
    return observe_exec((void *)true_argv);
}

Test(image, cwd_is_as_seen_from_the_root_of_the_process)
{
    struct observer *o = observe_begin();
    struct place place = {.inside = "/usr/lib"};
    const struct record_process *e;

    make_place(&place);
    e = exec_of(o, exec_in_chroot, &place);
    cr_expect_str_eq(observe_text(e, e->cwd), "/usr/lib");
    cr_expect_eq(e->flags & RECORD_PROCESS_CWD_UNREACHABLE, 0);
    cr_expect_eq(rmdir(place.root), 0);
    observe_end(o);
}

static int exec_outside_chroot(void *arg)
{
    struct place *place = arg;

    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("/", place->root, NULL, MS_BIND | MS_REC, NULL) || chdir("/usr") || chroot(place->root))
        return 125;
    return observe_exec((void *)true_argv);
}

Test(image, cwd_outside_the_root_of_the_process_is_flagged)
{
    struct observer *o = observe_begin();
    struct place place;
    const struct record_process *e;

    make_place(&place);
    e = exec_of(o, exec_outside_chroot, &place);
    cr_expect_str_eq(observe_text(e, e->cwd), "/usr");
    cr_expect(e->flags & RECORD_PROCESS_CWD_UNREACHABLE);
    cr_expect_eq(rmdir(place.root), 0);
    observe_end(o);
}

static int exec_in_bind_mount(void *arg)
{
    struct place *place = arg;
    char inside[128];

    (void)snprintf(inside, sizeof(inside), "%s/bin", place->root);
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("/usr", place->root, NULL, MS_BIND, NULL) || chdir(inside))
        return 125;
    return observe_exec((void *)true_argv);
}

Test(image, cwd_in_a_bind_mount_is_the_path_of_the_mount)
{
    struct observer *o = observe_begin();
    struct place place;
    const struct record_process *e;
    char expected[128];

    make_place(&place);
    e = exec_of(o, exec_in_bind_mount, &place);
    (void)snprintf(expected, sizeof(expected), "%s/bin", place.root);
    cr_expect_str_eq(observe_text(e, e->cwd), expected);
    cr_expect_eq(e->flags & RECORD_PROCESS_CWD_UNREACHABLE, 0);
    cr_expect_eq(rmdir(place.root), 0);
    observe_end(o);
}

/* Down `depth` folders with names of 200 bytes. */
static int exec_deep(void *arg)
{
    char name[201];
    int status = 126;
    int depth = *(int *)arg;

    memset(name, 'd', 200);
    name[200] = '\0';
    for (int i = 0; i < depth; i++)
        if (mkdir(name, 0700) || chdir(name))
            return 125;
    (void)observe_child(observe_exec, (void *)true_argv, &status);
    for (int i = 0; i < depth; i++)
        if (chdir("..") || rmdir(name))
            return 124;
    return status;
}

Test(image, cwd_beyond_4_kib_keeps_its_end_and_is_flagged)
{
    struct observer *o = observe_begin();
    struct place place;
    const struct record_process *e;
    int depth = 19, status;

    make_place(&place);
    cr_assert_eq(chdir(place.root), 0);
    (void)observe_child(exec_deep, &depth, &status); /* 19 * 201 + 25 < 4096 */
    cr_assert_eq(status, 0);
    depth = 22;
    (void)observe_child(exec_deep, &depth, &status);
    cr_assert_eq(status, 0);
    cr_assert_eq(chdir("/"), 0);
    cr_expect_eq(rmdir(place.root), 0);
    observe_drain(o);
    e = observe_find(o, RECORD_EXEC, 0, 0);
    for (size_t i = 0; e && e->cwd.size < 3000; i++)
        e = observe_find(o, RECORD_EXEC, 0, i);
    cr_assert_not_null(e);
    cr_expect_eq(e->cwd.size, 19 * 201 + strlen(place.root));
    cr_expect_eq(strncmp(observe_text(e, e->cwd), place.root, strlen(place.root)), 0);
    cr_expect_not(e->flags & RECORD_PROCESS_CWD_TRUNCATED);
    for (size_t i = 0; e && !(e->flags & RECORD_PROCESS_CWD_TRUNCATED); i++)
        e = observe_find(o, RECORD_EXEC, 0, i);
    cr_assert_not_null(e);
    cr_expect_eq(e->cwd.size, 20 * 201);
    cr_expect_eq(observe_text(e, e->cwd)[0], '/');
    observe_end(o);
}

/* Renames `from` to `to` and back until it is killed. */
static pid_t start_renaming(const char *from, const char *to)
{
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    while (pid == 0) {
        if (rename(from, to) || rename(to, from))
            _exit(1);
    }
    return pid;
}

/* A name's length and its address change one after the other: what is read in between must not be taken
 * together. */
Test(image, cwd_that_is_renamed_meanwhile_has_nothing_of_the_kernels_memory)
{
    struct observer *o = observe_begin();
    char root[] = "/dev/shm/podkin-rename-XXXXXX"; /* where renaming is fast */
    char short_path[128], long_path[512], name[231];
    const unsigned rounds = observe_rounds(1000);
    size_t seen = 0;
    pid_t renamer;

    cr_assert_not_null(mkdtemp(root));
    memset(name, 'L', 230);
    name[230] = '\0';
    (void)snprintf(short_path, sizeof(short_path), "%s/s", root);
    (void)snprintf(long_path, sizeof(long_path), "%s/%s", root, name);
    cr_assert_eq(mkdir(short_path, 0700), 0);
    cr_assert_eq(chdir(short_path), 0);
    renamer = start_renaming(short_path, long_path);
    for (unsigned i = 0; i < rounds; i++) {
        int status;
        pid_t pid;

        cr_assert_eq(posix_spawn(&pid, true_argv[0], NULL, NULL, (char *const *)true_argv, environ), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        if (i % 100 == 0)
            observe_drain(o);
    }
    (void)kill(renamer, SIGKILL);
    (void)waitpid(renamer, NULL, 0);
    observe_drain(o);
    for (size_t i = 0; i < o->count; i++) {
        const struct record_process *e = (const void *)o->records[i];
        const char *cwd;

        if (e->header.type != RECORD_EXEC)
            continue;
        seen++;
        cwd = observe_text(e, e->cwd);
        if (strncmp(cwd, root, strlen(root)) == 0 && cwd[strlen(root)] == '/')
            cr_expect(strcmp(cwd, short_path) == 0 || strcmp(cwd, long_path) == 0, "%s", cwd);
    }
    cr_expect_geq(seen, rounds);
    cr_assert_eq(chdir("/"), 0);
    (void)rmdir(short_path);
    (void)rmdir(long_path);
    cr_expect_eq(rmdir(root), 0);
    observe_end(o);
}

/* ---- credentials --------------------------------------------------------------------------------------- */

static int exec_as_somebody(void *arg)
{
    (void)arg;
    if (setresgid(4, 5, 6) || setresuid(1, 2, 3))
        return 125;
    return observe_exec((void *)true_argv);
}

Test(image, credentials_are_those_of_the_new_image)
{
    struct observer *o = observe_begin();
    const struct record_process *e = exec_of(o, exec_as_somebody, NULL);

    /* exec makes saved and file-system ids follow the effective ones */
    cr_expect(
        e->uid == 1 && e->euid == 2 && e->suid == 2 && e->fsuid == 2, "%u %u %u", e->uid, e->euid, e->suid);
    cr_expect(
        e->gid == 4 && e->egid == 5 && e->sgid == 5 && e->fsgid == 5, "%u %u %u", e->gid, e->egid, e->sgid);
    cr_expect_eq(e->cap_effective, 0);
    cr_expect_eq(e->cap_permitted, 0);
    observe_end(o);
}

static int exec_in_user_namespace(void *arg)
{
    (void)arg;
    if (setresgid(7, 7, 7) || setresuid(7, 7, 7) || unshare(CLONE_NEWUSER))
        return 125;
    return observe_exec((void *)true_argv);
}

Test(image, credentials_are_in_terms_of_the_initial_user_namespace)
{
    struct observer *o = observe_begin();
    const struct record_process *e;
    int status;
    pid_t pid = observe_child(exec_in_user_namespace, NULL, &status);

    if (WEXITSTATUS(status) == 125)
        cr_skip_test("needs user namespaces");
    observe_drain(o);
    e = observe_find(o, RECORD_EXEC, pid, 0);
    cr_assert_not_null(e);
    cr_expect(e->uid == 7 && e->gid == 7);
    cr_expect_neq(e->ns.user, observe_inode("/proc/self/ns/user"));
    observe_end(o);
}

static uint64_t own_capabilities(const char *label)
{
    CLEANUP_FILE FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long bits = ~0ULL;

    while (status && fgets(line, sizeof(line), status))
        if (strncmp(line, label, strlen(label)) == 0)
            bits = strtoull(line + strlen(label), NULL, 16);
    return bits;
}

Test(image, capabilities_and_login_uid_are_as_proc_shows_them)
{
    struct observer *o = observe_begin();
    const struct record_process *e = exec_of(o, observe_exec, (void *)true_argv);
    CLEANUP_FILE FILE *loginuid = fopen("/proc/self/loginuid", "re");
    unsigned int auid = ~0u;

    cr_expect_eq(e->cap_effective, own_capabilities("CapEff:"));
    cr_expect_eq(e->cap_permitted, own_capabilities("CapPrm:"));
    cr_expect_eq(e->cap_inheritable, own_capabilities("CapInh:"));
    if (loginuid)
        cr_assert_eq(fscanf(loginuid, "%u", &auid), 1);
    cr_expect_eq(e->auid, auid);
    observe_end(o);
}

/* ---- namespaces ---------------------------------------------------------------------------------------- */

Test(image, namespaces_are_as_proc_shows_them)
{
    struct observer *o = observe_begin();
    const struct record_process *e = exec_of(o, observe_exec, (void *)true_argv);

    cr_expect_eq(e->ns.uts, observe_inode("/proc/self/ns/uts"));
    cr_expect_eq(e->ns.ipc, observe_inode("/proc/self/ns/ipc"));
    cr_expect_eq(e->ns.mnt, observe_inode("/proc/self/ns/mnt"));
    cr_expect_eq(e->ns.pid, observe_inode("/proc/self/ns/pid"));
    cr_expect_eq(e->ns.pid_for_children, observe_inode("/proc/self/ns/pid_for_children"));
    cr_expect_eq(e->ns.net, observe_inode("/proc/self/ns/net"));
    cr_expect_eq(e->ns.cgroup, observe_inode("/proc/self/ns/cgroup"));
    cr_expect_eq(e->ns.user, observe_inode("/proc/self/ns/user"));
    if (access("/proc/self/ns/time", F_OK) == 0) {
        cr_expect_eq(e->ns.time, observe_inode("/proc/self/ns/time"));
        cr_expect_eq(e->ns.time_for_children, observe_inode("/proc/self/ns/time_for_children"));
    }
    observe_end(o);
}

/* ---- the binary ---------------------------------------------------------------------------------------- */

Test(image, binary_is_the_file_that_stat_shows)
{
    struct observer *o = observe_begin();
    const struct record_process *e = exec_of(o, observe_exec, (void *)true_argv);
    struct stat status;

    cr_assert_eq(stat("/bin/true", &status), 0);
    cr_expect_eq(e->binary_ino, status.st_ino);
    cr_expect_eq(e->binary_dev, status.st_dev);
    cr_expect_eq(e->flags & RECORD_PROCESS_BINARY_UNLINKED, 0);
    cr_expect_str_eq(observe_text(e, e->filename), "/bin/true");
    cr_expect_eq(strncmp((const char *)e->comm, "true", RECORD_COMM_MAX), 0);
    observe_end(o);
}

Test(image, script_has_its_own_name_and_the_binary_of_its_interpreter)
{
    struct observer *o = observe_begin();
    char path[] = "/tmp/podkin-assume-XXXXXX";
    const char *argv[] = {path, "word", NULL};
    const struct record_process *e;
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "#!/bin/true opt\n", 16), 16);
    cr_assert_eq(fchmod(fd, 0700), 0);
    (void)close(fd);
    e = exec_of(o, observe_exec, argv);
    cr_expect_str_eq(observe_text(e, e->filename), path);
    cr_expect_eq(
        strncmp(observe_text(e, e->args), "/bin/true|opt|/tmp/", 19), 0, "%s", observe_text(e, e->args));
    cr_expect_eq((uint32_t)e->binary_ino, observe_inode("/bin/true"));
    cr_expect_eq(unlink(path), 0);
    observe_end(o);
}

/* The program in a memfd, as runc runs itself. */
static int exec_memfd(void *arg)
{
    int memory = memfd_create("copy", MFD_CLOEXEC), file = open("/bin/true", O_RDONLY | O_CLOEXEC);
    struct stat status;

    (void)arg;
    if (memory < 0 || file < 0 || fstat(file, &status) ||
        sendfile(memory, file, NULL, (size_t)status.st_size) != status.st_size)
        return 125;
    (void)fexecve(memory, (char *const *)true_argv, environ);
    return 127;
}

static int exec_memfd_in_own_mounts(void *arg)
{
    return unshare(CLONE_NEWNS) ? 125 : exec_memfd(arg);
}

Test(image, memfd_binary_is_unlinked_and_of_no_mount_namespace_but_its_process_is)
{
    struct observer *o = observe_begin();
    const struct record_process *e = exec_of(o, observe_exec, (void *)true_argv);
    uint32_t host = e->flags & RECORD_PROCESS_BINARY_HOST_MNT;

    e = exec_of(o, exec_memfd, NULL);
    cr_expect(e->flags & RECORD_PROCESS_BINARY_UNLINKED);
    cr_expect_eq(e->binary_mnt_ns, 0);
    cr_expect_eq(e->flags & RECORD_PROCESS_BINARY_HOST_MNT, host);
    cr_expect_eq(strncmp(observe_text(e, e->filename), "/dev/fd/", 8), 0);
    e = exec_of(o, exec_memfd_in_own_mounts, NULL);
    cr_expect_eq(e->binary_mnt_ns, 0);
    cr_expect_not(e->flags & RECORD_PROCESS_BINARY_HOST_MNT);
    observe_end(o);
}

static int exec_in_own_mounts(void *arg)
{
    (void)arg;
    return unshare(CLONE_NEWNS) ? 125 : observe_exec((void *)true_argv);
}

static int exec_host_binary_in_own_mounts(void *arg)
{
    int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);

    (void)arg;
    if (fd < 0 || unshare(CLONE_NEWNS))
        return 125;
    (void)fexecve(fd, (char *const *)true_argv, environ);
    return 127;
}

/* This process itself is taken to be in the host's mount namespace, as the collector is. */
Test(image, binary_of_the_host_is_told_from_one_of_an_own_mount_namespace)
{
    struct observer *o = observe_begin();
    uint32_t host = observe_inode("/proc/self/ns/mnt");
    const struct record_process *e = exec_of(o, observe_exec, (void *)true_argv);

    cr_expect_eq(e->binary_mnt_ns, host);
    if (!(e->flags & RECORD_PROCESS_BINARY_HOST_MNT))
        cr_skip_test("runs in a mount namespace that is not the host's");
    e = exec_of(o, exec_in_own_mounts, NULL);
    cr_expect_neq(e->binary_mnt_ns, host);
    cr_expect_eq(e->binary_mnt_ns, e->ns.mnt);
    cr_expect_not(e->flags & RECORD_PROCESS_BINARY_HOST_MNT);
    e = exec_of(o, exec_host_binary_in_own_mounts, NULL);
    cr_expect_eq(e->binary_mnt_ns, host);
    cr_expect_neq(e->ns.mnt, host);
    cr_expect(e->flags & RECORD_PROCESS_BINARY_HOST_MNT);
    observe_end(o);
}
