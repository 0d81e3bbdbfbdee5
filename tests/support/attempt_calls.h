/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What somebody who has taken over a daemon would try whatever the daemon is: each as a system call, negative and errno on failure. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

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

static inline long try_terminal(void)
{
    return ioctl(0, TIOCSTI, "x");
}

static inline long try_signal_thread(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}
