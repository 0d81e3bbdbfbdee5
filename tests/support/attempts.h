/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What somebody who has taken over a daemon would try, each in a process of its own that has been confined as the daemon confines itself. The rows are the
 * same for both sides; what each may do beyond is its own test's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#define ATTEMPT_KILLED (-1000) /* the kernel ended the process: SIGSYS */
#define ATTEMPT_BROKEN (-1001) /* something else happened */

struct attempt {
    const char *name;
    long (*fn)(void); /* as a system call: negative and errno on failure */
    int expected;     /* 0: it may; errno; ATTEMPT_KILLED */
};

/* 0, errno, or one of the above. `confine` is run first; where it returns positive this kernel or build cannot do it. */
static inline int attempt_run(int (*confine)(void), const struct attempt *attempt)
{
    pid_t pid = fork();
    int status;

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        int r = confine();

        if (r != 0)
            _exit(r > 0 ? 254 : 255);
        errno = 0;
        _exit(attempt->fn() < 0 ? errno : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? ATTEMPT_KILLED : ATTEMPT_BROKEN;
    if (WEXITSTATUS(status) == 254)
        cr_skip_test("system calls are not filtered here (sanitizer or kernel)");
    return WEXITSTATUS(status) == 255 ? ATTEMPT_BROKEN : WEXITSTATUS(status);
}

static inline void attempt_all(int (*confine)(void), const struct attempt *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int result = attempt_run(confine, &attempts[i]);

        cr_expect_eq(result, attempts[i].expected, "%s: %s, expected %s", attempts[i].name,
            result == ATTEMPT_KILLED   ? "killed"
            : result == ATTEMPT_BROKEN ? "broken"
                                       : strerror(result),
            attempts[i].expected == ATTEMPT_KILLED ? "killed" : strerror(attempts[i].expected));
    }
}

/* ---- what neither side may -------------------------------------------------------------------------------------- */

static inline long try_execve(void)
{
    static char *const argv[] = {(char *)"/bin/true", NULL};

    return execve(argv[0], argv, argv + 1);
}

static inline long try_fork(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static inline long try_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static inline long try_read_memory(void)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {&byte, 1};

    return process_vm_readv(getppid(), &local, 1, &remote, 1, 0);
}

static inline long try_kill(void)
{
    return kill(getppid(), 0);
}

static inline long try_pidfd(void)
{
    return syscall(SYS_pidfd_open, getppid(), 0);
}

static inline long try_setuid(void)
{
    return syscall(SYS_setuid, 0);
}

static inline long try_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static inline long try_listen(void)
{
    return listen(0, 1);
}

static inline long try_code_in_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static inline long try_code_after_all(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static inline long try_bpf_program(void)
{
    union bpf_attr attributes = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};

    return syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

static inline long try_perf(void)
{
    struct perf_event_attr attributes = {.size = sizeof(attributes)};

    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static inline long try_io_uring(void)
{
    struct io_uring_params parameters = {0};

    return syscall(SYS_io_uring_setup, 4, &parameters);
}

static inline long try_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static inline long try_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static inline long try_chmod(void)
{
    return syscall(SYS_fchmodat, AT_FDCWD, "/tmp", 0777);
}

static inline long try_symlink(void)
{
    return syscall(SYS_symlinkat, "/etc/passwd", AT_FDCWD, "/tmp/podkin-attempt");
}

static inline long try_mknod(void)
{
    return syscall(SYS_mknodat, AT_FDCWD, "/tmp/podkin-attempt", S_IFIFO | 0600, 0);
}

static inline long try_chroot(void)
{
    return chroot("/");
}

static inline long try_module(void)
{
    return syscall(SYS_finit_module, 0, "", 0);
}

static inline long try_reboot(void)
{
    return reboot(RB_DISABLE_CAD);
}

static inline long try_clock(void)
{
    return syscall(SYS_clock_settime, 0, NULL);
}

static inline long try_write_file(void)
{
    return open("/tmp/podkin-attempt", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

#define ATTEMPTS_OF_BOTH                                                                                     \
    {"execute a program", try_execve, ATTEMPT_KILLED}, {"fork", try_fork, EPERM},                            \
        {"trace a process", try_ptrace, ATTEMPT_KILLED},                                                     \
        {"read another process's memory", try_read_memory, ATTEMPT_KILLED},                                  \
        {"send a signal", try_kill, EPERM}, {"open a process", try_pidfd, EPERM},                            \
        {"become root", try_setuid, EPERM}, {"a raw socket", try_packet_socket, EPERM},                      \
        {"listen", try_listen, EPERM}, {"map memory with code", try_code_in_memory, EPERM},                  \
        {"make memory code", try_code_after_all, EPERM}, {"load a BPF program", try_bpf_program, EPERM},     \
        {"open a perf event", try_perf, EPERM}, {"make an io_uring", try_io_uring, EPERM},                   \
        {"a new user namespace", try_unshare, ATTEMPT_KILLED}, {"mount", try_mount, ATTEMPT_KILLED},         \
        {"change a mode", try_chmod, EPERM}, {"make a link", try_symlink, EPERM},                            \
        {"make a device", try_mknod, EPERM}, {"chroot", try_chroot, EPERM},                                  \
        {"load a module", try_module, ATTEMPT_KILLED}, {"reboot", try_reboot, EPERM},                        \
    {                                                                                                        \
        "set the clock", try_clock, EPERM                                                                    \
    }
