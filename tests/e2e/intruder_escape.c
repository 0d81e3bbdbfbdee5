/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to reach further than the enricher's work does: files, sockets, other processes, the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/e2e/intruder.h"
#include "tests/support/attempt_calls.h"

#define FILTER   "the filter of system calls"
#define LANDLOCK "Landlock"

/* ---- files ----------------------------------------------------------------------------------------------------- */

static long open_file(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC, 0600);
}

static long read_passwords(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/etc/shadow", O_RDONLY);
}

static long read_users(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/etc/passwd", O_RDONLY);
}

static long list_root(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/", O_RDONLY | O_DIRECTORY);
}

static long write_configuration(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/etc/podkin-intruder", O_WRONLY | O_CREAT);
}

static long write_temporary(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/tmp/podkin-intruder", O_WRONLY | O_CREAT);
}

static long write_source(struct intruder *intruder)
{
    return open_file(intruder->node->pods, O_WRONLY);
}

static long read_init(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/proc/1/environ", O_RDONLY);
}

static long read_collectors_environment(struct intruder *intruder)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)intruder->node->collector);
    return open_file(path, O_RDONLY);
}

static long write_sysctl(struct intruder *intruder)
{
    (void)intruder;
    return open_file("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static long remove_socket(struct intruder *intruder)
{
    return unlink(intruder->node->socket);
}

static long replace_socket(struct intruder *intruder)
{
    char own[128];
    int fd;

    (void)snprintf(own, sizeof(own), "%s/out/own", intruder->node->dir);
    fd = (int)open_file(own, O_WRONLY | O_CREAT);
    return fd < 0 ? 0 : rename(own, intruder->node->socket);
}

/* Its own folder is the one place that it may write to; what it writes there never runs. */
static long map_own_file_as_code(struct intruder *intruder)
{
    char own[128];
    int fd;

    (void)snprintf(own, sizeof(own), "%s/out/code", intruder->node->dir);
    fd = (int)open_file(own, O_RDWR | O_CREAT);
    if (fd < 0 || ftruncate(fd, 4096) < 0)
        return 0;
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0;
}

/* ---- sockets --------------------------------------------------------------------------------------------------- */

static long open_socket(int family, int type, int protocol)
{
    return socket(family, type | SOCK_CLOEXEC, protocol);
}

static long packet_socket(struct intruder *intruder)
{
    (void)intruder;
    return open_socket(AF_PACKET, SOCK_RAW, 0);
}

static long vsock(struct intruder *intruder)
{
    (void)intruder;
    return open_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static long crypto_socket(struct intruder *intruder)
{
    (void)intruder;
    return open_socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static long key_socket(struct intruder *intruder)
{
    (void)intruder;
    return open_socket(AF_KEY, SOCK_RAW, 2);
}

static long xdp_socket(struct intruder *intruder)
{
    (void)intruder;
    return open_socket(AF_XDP, SOCK_RAW, 0);
}

static long raw_ip(struct intruder *intruder)
{
    (void)intruder;
    return open_socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
}

static long serve(struct intruder *intruder)
{
    int fd = (int)open_socket(AF_INET, SOCK_STREAM, 0);

    (void)intruder;
    return fd < 0 ? 0 : listen(fd, 1);
}

static long low_port(struct intruder *intruder)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    int fd = (int)open_socket(AF_INET, SOCK_DGRAM, 0);

    (void)intruder;
    return fd < 0 ? 0 : bind(fd, (struct sockaddr *)&address, sizeof(address));
}

/* The family is open to it: the resolver asks for addresses. To change something takes more. */
static long take_loopback_down(struct intruder *intruder)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } request = {.header = {.nlmsg_len = sizeof(request),
                     .nlmsg_type = RTM_NEWLINK,
                     .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .body = {.ifi_index = 1, .ifi_change = 1 /* IFF_UP */}};
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
    } answer;
    int fd = (int)open_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

    (void)intruder;
    if (fd < 0)
        return -1;
    if (send(fd, &request, sizeof(request), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
        return -1;
    errno = -answer.error.error;
    return answer.error.error;
}

/* ---- processes ------------------------------------------------------------------------------------------------- */

static long signal_thread(struct intruder *intruder)
{
    return syscall(SYS_tgkill, intruder->node->collector, intruder->node->collector, SIGTERM);
}

/* The kernel sends what is asked for when the socket becomes readable, to whom it is told. */
static long signal_by_fcntl(struct intruder *intruder)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
        fcntl(ends[0], F_SETSIG, SIGKILL) < 0 || fcntl(ends[0], F_SETOWN, intruder->node->collector) < 0 ||
        fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
        return -1;
    (void)send(ends[1], "x", 1, MSG_NOSIGNAL);
    node_sleep_ms(20); /* the test looks whether the collector lives */
    return 0;
}

static long new_namespace_by_clone(struct intruder *intruder)
{
    (void)intruder;
    return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}

static long run_code_of_memfd(struct intruder *intruder)
{
    int fd = memfd_create("code", MFD_CLOEXEC);

    (void)intruder;
    return fd < 0 ? 0 : syscall(SYS_execveat, fd, "", NULL, NULL, AT_EMPTY_PATH);
}

static long type_into_terminal(struct intruder *intruder)
{
    (void)intruder;
    return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static long code_in_memory(struct intruder *intruder)
{
    (void)intruder;
    return try_code_in_memory();
}

static long code_after_all(struct intruder *intruder)
{
    (void)intruder;
    return try_code_after_all();
}

static long run_program(struct intruder *intruder)
{
    (void)intruder;
    return try_execve();
}

static long fork_one(struct intruder *intruder)
{
    (void)intruder;
    return try_fork();
}

/* ---- io_uring --------------------------------------------------------------------------------------------------- */

static long submit(struct intruder *intruder, void (*prepare)(struct io_uring_sqe *sqe))
{
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe = NULL;

    if (!intruder->ring) { /* epoll: it has none */
        errno = EACCES;
        return -1;
    }
    sqe = io_uring_get_sqe(intruder->ring);
    if (!sqe)
        return 0;
    prepare(sqe);
    if (io_uring_submit_and_wait(intruder->ring, 1) < 0 || io_uring_peek_cqe(intruder->ring, &cqe) < 0)
        return -1;
    errno = cqe->res < 0 ? -cqe->res : 0;
    return cqe->res;
}

static void prepare_openat(struct io_uring_sqe *sqe)
{
    io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
}

static void prepare_socket(struct io_uring_sqe *sqe)
{
    io_uring_prep_rw(IORING_OP_SOCKET, sqe, AF_PACKET, NULL, 0, SOCK_RAW);
}

static void prepare_unlink(struct io_uring_sqe *sqe)
{
    io_uring_prep_unlinkat(sqe, AT_FDCWD, "/etc/passwd", 0);
}

static long uring_openat(struct intruder *intruder)
{
    return submit(intruder, prepare_openat);
}

static long uring_socket(struct intruder *intruder)
{
    return submit(intruder, prepare_socket);
}

static long uring_unlink(struct intruder *intruder)
{
    return submit(intruder, prepare_unlink);
}

static long second_ring(struct intruder *intruder)
{
    (void)intruder;
    return try_io_uring();
}

/* ------------------------------------------------------------------------------------------------------------------- */

#define BY_FILTER(what, number)                                                                              \
    {                                                                                                        \
        what, FILTER, NULL, {number}, EPERM, false                                                           \
    }
#define DEADLY(what, number)                                                                                 \
    {                                                                                                        \
        what, FILTER, NULL, {number}, INTRUDER_KILLED, false                                                 \
    }

const struct attempt_row intruder_escape_rows[] = {
    /* files */
    {"read /etc/shadow", LANDLOCK, read_passwords, {0}, EACCES, true},
    {"read /etc/passwd", LANDLOCK, read_users, {0}, EACCES, true},
    {"list /", LANDLOCK, list_root, {0}, EACCES, true},
    {"make a file in /etc", "its user, Landlock", write_configuration, {0}, EACCES, false},
    {"make a file in /tmp", LANDLOCK, write_temporary, {0}, EACCES, true},
    {"write to a source of its own", "its user, Landlock", write_source, {0}, EACCES, false},
    {"read the environment of process 1", "its user", read_init, {0}, EACCES, false},
    {"read the environment of the collector", "its user", read_collectors_environment, {0}, EACCES, false},
    {"write to /proc/sys", "its user, Landlock", write_sysctl, {0}, EACCES, false},
    {"remove the collector's socket", "its user, Landlock", remove_socket, {0}, EACCES, false},
    {"put a file in the place of the collector's socket", "its user, Landlock", replace_socket, {0}, EACCES,
        false},
    BY_FILTER("make a hard link", SYS_linkat),
    BY_FILTER("make a symbolic link", SYS_symlinkat),
    BY_FILTER("make a folder", SYS_mkdirat),
    BY_FILTER("make a device", SYS_mknodat),
    BY_FILTER("change a mode", SYS_fchmodat),
    BY_FILTER("change an owner", SYS_fchownat),
    BY_FILTER("set an extended attribute", SYS_setxattr),
    BY_FILTER("set a file's times", SYS_utimensat),
    BY_FILTER("open by handle, past the folders", SYS_open_by_handle_at),
    BY_FILTER("openat2", SYS_openat2),
    BY_FILTER("watch the whole system by fanotify", SYS_fanotify_init),
    /* sockets */
    {"a packet socket", FILTER, packet_socket, {0}, EPERM, false},
    {"a vsock socket", FILTER, vsock, {0}, EPERM, false},
    {"a crypto socket", FILTER, crypto_socket, {0}, EPERM, false},
    {"a key socket", FILTER, key_socket, {0}, EPERM, false},
    {"an XDP socket", FILTER, xdp_socket, {0}, EPERM, false},
    {"a raw IP socket", "having no capability", raw_ip, {0}, EPERM, false},
    {"serve on a port", FILTER, serve, {0}, EPERM, false},
    {"take a port below 1024", "having no capability", low_port, {0}, EACCES, false},
    {"take the loopback interface down by netlink", "having no capability", take_loopback_down, {0}, EPERM,
        false},
    /* processes */
    {"execute a program", FILTER, run_program, {0}, INTRUDER_KILLED, false},
    {"execute a memfd", FILTER, run_code_of_memfd, {0}, INTRUDER_KILLED, false},
    {"fork", FILTER, fork_one, {0}, EPERM, false},
    DEADLY("vfork", SYS_vfork),
    {"clone3", FILTER, NULL, {SYS_clone3}, ENOSYS, false},
    {"clone into a new user namespace", FILTER, new_namespace_by_clone, {0}, EPERM, false},
    DEADLY("unshare", SYS_unshare),
    DEADLY("setns", SYS_setns),
    {"SIGTERM to a thread of the collector", FILTER, signal_thread, {0}, EPERM, false},
    {"SIGKILL to the collector by F_SETOWN and F_SETSIG", "its user", signal_by_fcntl, {0}, 0, false},
    BY_FILTER("rt_sigqueueinfo", SYS_rt_sigqueueinfo),
    BY_FILTER("pidfd_open", SYS_pidfd_open),
    BY_FILTER("pidfd_send_signal", SYS_pidfd_send_signal),
    BY_FILTER("kcmp", SYS_kcmp),
    BY_FILTER("prlimit of another process", SYS_prlimit64),
    BY_FILTER("setpriority of another process", SYS_setpriority),
    BY_FILTER("sched_setaffinity of another process", SYS_sched_setaffinity),
    BY_FILTER("sched_setscheduler", SYS_sched_setscheduler),
    BY_FILTER("ioprio_set", SYS_ioprio_set),
    {"map memory with code", FILTER, code_in_memory, {0}, EPERM, false},
    {"make memory code", FILTER, code_after_all, {0}, EPERM, false},
    {"map a file of its own as code", FILTER, map_own_file_as_code, {0}, EPERM, false},
    BY_FILTER("pkey_mprotect", SYS_pkey_mprotect),
    BY_FILTER("System V shared memory", SYS_shmget),
    BY_FILTER("a message queue", SYS_mq_open),
    {"type into the terminal that it was started from", FILTER, type_into_terminal, {0}, EPERM, false},
    /* identity */
    BY_FILTER("setuid(0)", SYS_setuid),
    BY_FILTER("setgid(0)", SYS_setgid),
    BY_FILTER("setgroups", SYS_setgroups),
    BY_FILTER("capset", SYS_capset),
    BY_FILTER("personality", SYS_personality),
    {"become traceable by prctl", FILTER, NULL, {SYS_prctl, PR_SET_DUMPABLE, 1}, EPERM, false},
    {"a filter of its own", FILTER, NULL, {SYS_seccomp}, EPERM, false},
    DEADLY("keyctl", SYS_keyctl),
    DEADLY("add_key", SYS_add_key),
    BY_FILTER("request_key", SYS_request_key),
    /* the kernel */
    BY_FILTER("bpf", SYS_bpf),
    BY_FILTER("perf_event_open", SYS_perf_event_open),
    DEADLY("userfaultfd", SYS_userfaultfd),
    {"a second io_uring", FILTER, second_ring, {0}, EPERM, false},
    BY_FILTER("io_uring_register", SYS_io_uring_register),
    {"open a file by io_uring", "its restrictions", uring_openat, {0}, EACCES, false},
    {"make a socket by io_uring", "its restrictions", uring_socket, {0}, EACCES, false},
    {"remove a file by io_uring", "its restrictions", uring_unlink, {0}, EACCES, false},
    DEADLY("mount", SYS_mount),
    DEADLY("pivot_root", SYS_pivot_root),
    BY_FILTER("umount", SYS_umount2),
    BY_FILTER("fsopen", SYS_fsopen),
    BY_FILTER("open_tree", SYS_open_tree),
    BY_FILTER("move_mount", SYS_move_mount),
    BY_FILTER("chroot", SYS_chroot),
    DEADLY("load a module", SYS_finit_module),
    BY_FILTER("remove a module", SYS_delete_module),
    DEADLY("kexec_load", SYS_kexec_load),
    BY_FILTER("reboot", SYS_reboot),
    BY_FILTER("swapon", SYS_swapon),
    BY_FILTER("read the kernel's log", SYS_syslog),
    BY_FILTER("set the clock", SYS_clock_settime),
    BY_FILTER("set the host's name", SYS_sethostname),
    BY_FILTER("accounting", SYS_acct),
};
const size_t intruder_escape_count = sizeof(intruder_escape_rows) / sizeof(intruder_escape_rows[0]);
