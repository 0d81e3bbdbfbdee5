/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"
#include "common/unix_socket.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define BIT(cap)    (UINT64_C(1) << (cap))

static const struct sandbox_call steady[] = {
    /* the loop */
    {.name = "ppoll"},
    {.name = "epoll_wait"},
    {.name = "epoll_pwait"},
    {.name = "epoll_ctl"},
    {.name = "read"},
    {.name = "write"},
    {.name = "writev"},
    {.name = "clock_gettime"},
    {.name = "restart_syscall"},
    {.name = "rt_sigreturn"},
    {.name = "rt_sigprocmask"},
    {.name = "sched_yield"},
    /* the consumer */
    {.name = "accept4"},
    {.name = "getsockopt"},
    {.name = "setsockopt"},
    {.name = "sendmsg"},
    {.name = "sendto"},
    {.name = "recvmsg"},
    {.name = "recvfrom"},
    {.name = "shutdown"},
    {.name = "socketpair", .argument = 0, .compare = SANDBOX_EQUAL, .value = AF_UNIX},
    {.name = "fcntl"},
    {.name = "close"},
    /* its snapshot: a memfd, the task iterator, the tree of cgroups */
    {.name = "memfd_create"},
    {.name = "ftruncate"},
    {.name = "pwrite64"},
    {.name = "pread64"},
    {.name = "lseek"},
    {.name = "bpf", .argument = 0, .compare = SANDBOX_EQUAL, .value = BPF_ITER_CREATE},
    {.name = "openat", .argument = 2, .compare = SANDBOX_NO_BITS, .value = O_WRONLY | O_RDWR | O_CREAT},
    {.name = "getdents64"},
    {.name = "newfstatat"},
    {.name = "fstat"},
    {.name = "statx"},
    {.name = "statfs"},
    {.name = "fstatfs"},
    {.name = "name_to_handle_at"},
    /* memory; none that can be executed */
    {.name = "brk"},
    {.name = "mmap", .argument = 2, .compare = SANDBOX_NO_BITS, .value = PROT_EXEC},
    {.name = "mremap"},
    {.name = "munmap"},
    {.name = "madvise"},
    {.name = "futex"},
    {.name = "getrandom"},
    /* the end */
    {.name = "unlink"},
    {.name = "unlinkat"},
    {.name = "exit"},
    {.name = "exit_group"},
    {.name = "getpid"},
    {.name = "gettid"},
};

/* The process behind a connection, where the kernel has no SO_PEERPIDFD. */
static const struct sandbox_call peers[] = {{.name = "pidfd_open"}};

/* Reading, loading and attaching policies: libbpf's, on the way to bpf(2) and perf_event_open(2). */
static const struct sandbox_call policies[] = {
    {.name = "bpf"},
    {.name = "perf_event_open"},
    {.name = "ioctl"},
    {.name = "access"},
    {.name = "faccessat"},
    {.name = "faccessat2"},
    {.name = "readlink"},
    {.name = "readlinkat"},
    {.name = "uname"},
    {.name = "prlimit64"},
    {.name = "dup"},
    {.name = "dup3"},
    {.name = "epoll_create1"},
    {.name = "stat"},
    {.name = "getuid"},
    {.name = "geteuid"},
    {.name = "sysinfo"},
    {.name = "membarrier"},
    {.name = "mprotect", .argument = 2, .compare = SANDBOX_NO_BITS, .value = PROT_EXEC},
};

static int fail(int r, const char *what)
{
    log_error("%s: %s", what, strerror(-r));
    return r;
}

int confine_collector(bool has_policies)
{
    /* Signals to itself alone: abort(3). */
    const struct sandbox_call own[] = {
        {.name = "tgkill", .argument = 0, .compare = SANDBOX_EQUAL, .value = (uint64_t)getpid()}};
    const struct sandbox_call *lists[4] = {steady, own};
    size_t counts[4] = {COUNT(steady), COUNT(own)}, count = 2;
    int r;

    if (has_policies) {
        lists[count] = policies;
        counts[count++] = COUNT(policies);
    }
    if (!unix_has_peer_pidfd()) {
        lists[count] = peers;
        counts[count++] = COUNT(peers);
    }
    r = sandbox_begin();

    if (r < 0)
        return fail(r, "giving up new privileges");
    r = sandbox_keep_capabilities(has_policies ? BIT(CAP_BPF) | BIT(CAP_PERFMON) : 0);
    if (r < 0)
        return fail(r, "giving up capabilities");
    r = sandbox_allow_calls(lists, counts, count);
    if (r == -EOPNOTSUPP) {
        log_warning("this kernel has no filter of system calls: the collector goes on without");
        return 0;
    }
    return r < 0 ? fail(r, "filtering system calls") : 0;
}
