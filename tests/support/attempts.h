/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What somebody who has taken over a daemon would try, each in a process of its own that has been confined as the daemon confines itself. The rows are the
 * same for both sides; what each may do beyond is its own test's.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>

#include <criterion/criterion.h>

#include "tests/support/attempt_calls.h"

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

/* What neither side may. */
#define ATTEMPTS_OF_BOTH                                                                                     \
    {"execute a program", try_execve, ATTEMPT_KILLED}, {"fork", try_fork, EPERM},                            \
        {"trace a process", try_ptrace, ATTEMPT_KILLED},                                                     \
        {"read another process's memory", try_read_memory, ATTEMPT_KILLED},                                  \
        {"send a signal", try_kill, EPERM}, {"open a process", try_pidfd, EPERM},                            \
        {"become root", try_setuid, EPERM}, {"a raw socket", try_packet_socket, EPERM},                      \
        {"listen", try_listen, EPERM}, {"map memory with code", try_code_in_memory, EPERM},                  \
        {"make memory code", try_code_after_all, EPERM}, {"load a BPF program", try_bpf_program, EPERM},     \
        {"open a perf event", try_perf, EPERM}, {"make an io_uring", try_io_uring, EPERM},                   \
        {"type into the terminal", try_terminal, EPERM},                                                     \
        {"send a signal to a thread", try_signal_thread, EPERM},                                             \
        {"a new user namespace", try_unshare, ATTEMPT_KILLED}, {"mount", try_mount, ATTEMPT_KILLED},         \
        {"change a mode", try_chmod, EPERM}, {"make a link", try_symlink, EPERM},                            \
        {"make a device", try_mknod, EPERM}, {"chroot", try_chroot, EPERM},                                  \
        {"load a module", try_module, ATTEMPT_KILLED}, {"reboot", try_reboot, EPERM},                        \
    {                                                                                                        \
        "set the clock", try_clock, EPERM                                                                    \
    }
