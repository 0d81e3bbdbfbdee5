/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to write what the collector trusts: the ring, the snapshot, its own memory; and to take away what it maps. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "common/queue_layout.h"
#include "tests/e2e/intruder.h"

#define RING(i)     ((i)->fds[HANDOFF_FD_RING])
#define CURSOR(i)   ((i)->fds[HANDOFF_FD_CURSOR])
#define HOLD(i)     ((i)->fds[HANDOFF_FD_HOLD])
#define SNAPSHOT(i) ((i)->fds[HANDOFF_FD_SNAPSHOT])

/* ---- the ring ------------------------------------------------------------------------------------------------- */

static long map_shared(int fd)
{
    return mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0;
}

static void *map_readable(struct intruder *intruder)
{
    return mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ, MAP_SHARED, RING(intruder), 0);
}

static long map_ring(struct intruder *intruder)
{
    return map_shared(RING(intruder));
}

static long protect_ring(struct intruder *intruder)
{
    void *page = map_readable(intruder);

    return page == MAP_FAILED ? 0 : mprotect(page, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE);
}

static long remove_pages(struct intruder *intruder)
{
    void *page = map_readable(intruder);

    return page == MAP_FAILED ? 0 : madvise(page, QUEUE_PAGE_BYTES, MADV_REMOVE);
}

/* A copy of one's own is nobody's loss, as long as it is one. */
static long write_private(struct intruder *intruder)
{
    volatile unsigned char *shared = map_readable(intruder), *own;

    own = mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, RING(intruder), 0);
    if ((void *)shared == MAP_FAILED || (void *)own == MAP_FAILED)
        return -1;
    own[0] = (unsigned char)~shared[0];
    errno = INTRUDER_DID_IT;
    return shared[0] == own[0] ? -1 : 0;
}

static long pwrite_ring(struct intruder *intruder)
{
    return pwrite(RING(intruder), "x", 1, 0);
}

static long writev_ring(struct intruder *intruder)
{
    struct iovec part = {.iov_base = (void *)"x", .iov_len = 1};

    return writev(RING(intruder), &part, 1);
}

static long uring_write_ring(struct intruder *intruder)
{
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe = NULL;

    if (!intruder->ring) { /* epoll: there is no other way than write(2) */
        errno = EPERM;
        return -1;
    }
    sqe = io_uring_get_sqe(intruder->ring);
    if (!sqe)
        return 0;
    io_uring_prep_write(sqe, RING(intruder), "x", 1, 0);
    if (io_uring_submit_and_wait(intruder->ring, 1) < 0 || io_uring_peek_cqe(intruder->ring, &cqe) < 0)
        return -1;
    errno = cqe->res < 0 ? -cqe->res : 0;
    return cqe->res;
}

static long cut_ring(struct intruder *intruder)
{
    return ftruncate(RING(intruder), 0);
}

static long grow_ring(struct intruder *intruder)
{
    struct stat st;

    return fstat(RING(intruder), &st) < 0 ? 0 : ftruncate(RING(intruder), st.st_size + QUEUE_PAGE_BYTES);
}

static long punch_ring(struct intruder *intruder)
{
    return fallocate(
        RING(intruder), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, QUEUE_PAGE_BYTES, QUEUE_PAGE_BYTES);
}

/* The collector writes through a mapping: F_SEAL_WRITE would not stop it, but nobody after it could take over. */
static long seal_ring(struct intruder *intruder)
{
    return fcntl(RING(intruder), F_ADD_SEALS, F_SEAL_WRITE);
}

static long reopen_ring(struct intruder *intruder)
{
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", RING(intruder));
    fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -1 : map_shared(fd);
}

static long mode_of_ring(struct intruder *intruder)
{
    return fchmod(RING(intruder), 0666);
}

/* ---- the other pages ------------------------------------------------------------------------------------------- */

static long cut_cursor(struct intruder *intruder)
{
    return ftruncate(CURSOR(intruder), 0);
}

static long grow_cursor(struct intruder *intruder)
{
    return ftruncate(CURSOR(intruder), 1 << 30);
}

static long seal_cursor(struct intruder *intruder)
{
    return fcntl(CURSOR(intruder), F_ADD_SEALS, F_SEAL_WRITE);
}

static long seal_hold(struct intruder *intruder)
{
    return fcntl(HOLD(intruder), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK);
}

static long map_snapshot(struct intruder *intruder)
{
    return map_shared(SNAPSHOT(intruder));
}

static long pwrite_snapshot(struct intruder *intruder)
{
    return pwrite(SNAPSHOT(intruder), "x", 1, 0);
}

static long cut_snapshot(struct intruder *intruder)
{
    return ftruncate(SNAPSHOT(intruder), 0);
}

/* ---- the collector's memory ---------------------------------------------------------------------------------------- */

static long open_of_collector(const struct intruder *intruder, const char *file, int flags)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)intruder->node->collector, file);
    return open(path, flags | O_CLOEXEC);
}

static long open_memory(struct intruder *intruder)
{
    return open_of_collector(intruder, "mem", O_RDWR);
}

static long list_fds(struct intruder *intruder)
{
    int folder = (int)open_of_collector(intruder, "fd", O_RDONLY | O_DIRECTORY);
    char bytes[256];

    return folder < 0 ? -1 : syscall(SYS_getdents64, folder, bytes, sizeof(bytes));
}

static long write_memory(struct intruder *intruder)
{
    char byte = 0;
    struct iovec local = {&byte, 1}, remote = {&byte, 1};

    return process_vm_writev(intruder->node->collector, &local, 1, &remote, 1, 0);
}

static long trace(struct intruder *intruder)
{
    return ptrace(PTRACE_ATTACH, intruder->node->collector, NULL, NULL);
}

static long seize(struct intruder *intruder)
{
    return ptrace(PTRACE_SEIZE, intruder->node->collector, NULL, NULL);
}

static long end_it(struct intruder *intruder)
{
    return kill(intruder->node->collector, SIGKILL);
}

#define MEMORY_ROWS(killed, processes)                                                                       \
    {"map the ring for writing", "the seal", map_ring, {0}, EPERM, false},                                   \
        {"make its readable mapping writable", "the seal", protect_ring, {0}, EACCES, false},                \
        {"MADV_REMOVE its pages", "the seal", remove_pages, {0}, EACCES, false},                             \
        {"write to a private mapping of it", "being a copy", write_private, {0}, 0, false},                  \
        {"pwrite to it", "the seal", pwrite_ring, {0}, EPERM, false},                                        \
        {"writev to it", "the seal", writev_ring, {0}, EPERM, false},                                        \
        {"ftruncate it to nothing", "the seal", cut_ring, {0}, EPERM, false},                                \
        {"make it longer", "the seal", grow_ring, {0}, EPERM, false},                                        \
        {"punch a hole into it", "the seal", punch_ring, {0}, EPERM, false},                                 \
        {"seal it further", "the seal SEAL", seal_ring, {0}, EPERM, false},                                  \
        {"open it anew through /proc/self/fd and map that", "the seal", reopen_ring, {0}, EPERM, false},     \
        {"change its mode", processes, mode_of_ring, {0}, EPERM, false},                                     \
        {"ftruncate the cursor page (SIGBUS in the collector)", "the seal", cut_cursor, {0}, EPERM, false},  \
        {"make the cursor page a gigabyte", "the seal", grow_cursor, {0}, EPERM, false},                     \
        {"seal the cursor page, so that no successor may write", "the seal SEAL", seal_cursor, {0}, EPERM,   \
            false},                                                                                          \
        {"seal the hold store, so that no successor may use it", "the seal SEAL", seal_hold, {0}, EPERM,     \
            false},                                                                                          \
        {"map the snapshot for writing", "the seal", map_snapshot, {0}, EPERM, false},                       \
        {"pwrite to the snapshot", "the seal", pwrite_snapshot, {0}, EPERM, false},                          \
        {"ftruncate the snapshot", "the seal", cut_snapshot, {0}, EPERM, false},                             \
        {"open the collector's /proc/PID/mem", "its user, Landlock", open_memory, {0}, EACCES, false},       \
        {"list the collector's fds", "its user", list_fds, {0}, EACCES, false},                              \
        {"process_vm_writev to the collector", processes, write_memory, {0},                                 \
            (killed) ? INTRUDER_KILLED : EPERM, false},                                                      \
        {"ptrace the collector", processes, trace, {0}, (killed) ? INTRUDER_KILLED : EPERM, false},          \
        {"PTRACE_SEIZE the collector", processes, seize, {0}, (killed) ? INTRUDER_KILLED : EPERM, false},    \
    {                                                                                                        \
        "SIGKILL to the collector", processes, end_it, {0}, EPERM, false                                     \
    }

const struct attempt_row intruder_bare_rows[] = {MEMORY_ROWS(false, "its user")};
const size_t intruder_bare_count = sizeof(intruder_bare_rows) / sizeof(intruder_bare_rows[0]);

const struct attempt_row intruder_memory_rows[] = {MEMORY_ROWS(true, "the filter of system calls"),
    {"write to the ring by io_uring", "the seal", uring_write_ring, {0}, EPERM, false},
    {"sendfile into the ring", "the filter of system calls", NULL, {SYS_sendfile}, EPERM, false},
    {"splice into the ring", "the filter of system calls", NULL, {SYS_splice}, EPERM, false},
    {"copy_file_range into the ring", "the filter of system calls", NULL, {SYS_copy_file_range}, EPERM,
        false},
    {"take the collector's fds by pidfd_getfd", "the filter of system calls", NULL, {SYS_pidfd_getfd}, EPERM,
        false},
    {"process_madvise of the collector", "the filter of system calls", NULL, {SYS_process_madvise}, EPERM,
        false},
    {"remap_file_pages", "the filter of system calls", NULL, {SYS_remap_file_pages}, EPERM, false}};
const size_t intruder_memory_count = sizeof(intruder_memory_rows) / sizeof(intruder_memory_rows[0]);
