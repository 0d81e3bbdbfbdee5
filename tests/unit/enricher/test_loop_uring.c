/* SPDX-License-Identifier: Apache-2.0 */
/* What only io_uring can do or be refused: restrictions, refusals, an unprivileged user, a completion
 * queue that overflows. */
#include "enricher/loop_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *new_uring(void)
{
    struct loop *loop = NULL;
    int r = loop_new(&loop, LOOP_URING, NULL);

    if (r < 0)
        cr_skip_test("io_uring is refused here: %s", strerror(-r));
    return loop;
}

/* ---- restrictions --------------------------------------------------------------------------------- */

/* Submits behind the loop's back; the result of the operation. */
static int result_of(struct io_uring *ring, void (*prepare)(struct io_uring_sqe *sqe))
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    struct io_uring_cqe *cqe = NULL;
    int result;

    if (!sqe)
        return -EBUSY;
    prepare(sqe);
    io_uring_sqe_set_data64(sqe, LOOP_TOKEN_IGNORED);
    (void)io_uring_submit(ring);
    cr_assert_eq(io_uring_wait_cqe(ring, &cqe), 0);
    result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

static void prepare_nop(struct io_uring_sqe *sqe)
{
    io_uring_prep_nop(sqe);
}

static void prepare_openat(struct io_uring_sqe *sqe)
{
    io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
}

static void prepare_connect(struct io_uring_sqe *sqe)
{
    io_uring_prep_connect(sqe, 0, NULL, 0);
}

static void prepare_read(struct io_uring_sqe *sqe)
{
    static char buffer[8];

    io_uring_prep_read(sqe, 0, buffer, sizeof(buffer), 0);
}

static void prepare_linked_write(struct io_uring_sqe *sqe)
{
    io_uring_prep_write(sqe, -1, "x", 1, 0);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
}

static void prepare_write(struct io_uring_sqe *sqe)
{
    io_uring_prep_write(sqe, -1, "x", 1, 0);
}

Test(loop_uring, only_the_operations_of_the_loop_are_allowed)
{
    struct loop *loop = new_uring();
    struct io_uring *ring = loop_uring_ring(loop);

    cr_assert_eq(result_of(ring, prepare_nop), -EACCES);
    cr_assert_eq(result_of(ring, prepare_openat), -EACCES);
    cr_assert_eq(result_of(ring, prepare_connect), -EACCES);
    cr_assert_eq(result_of(ring, prepare_read), -EACCES);
    cr_assert_eq(result_of(ring, prepare_linked_write), -EACCES);
    cr_assert_eq(result_of(ring, prepare_write), -EBADF); /* allowed: it fails by its fd */
    loop_free(loop);
}

Test(loop_uring, nothing_can_be_registered_any_more)
{
    struct loop *loop = new_uring();
    int fd = loop_uring_ring(loop)->ring_fd, files[1] = {0};

    cr_assert_eq(syscall(__NR_io_uring_register, fd, IORING_REGISTER_FILES, files, 1), -1);
    cr_assert_eq(errno, EACCES);
    cr_assert_eq(syscall(__NR_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, NULL, 0), -1);
    cr_assert(errno == EACCES || errno == EBADFD);
    loop_free(loop);
}

Test(loop_uring, the_ring_does_not_outlive_an_exec)
{
    struct loop *loop = new_uring();

    cr_assert(fcntl(loop_uring_ring(loop)->ring_fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_not_null(strstr(loop_describe(loop), "restricted"));
    loop_free(loop);
}

/* ---- refusals ------------------------------------------------------------------------------------- */

/* From here on this process gets `error` from system call `number`, with `argument` as its second argument
 * (-1: any). */
static void refuse_system_call(unsigned number, int argument, unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        /* any: greater or equal 0 is always true */
        BPF_JUMP(BPF_JMP | (argument < 0 ? BPF_JGE : BPF_JEQ) | BPF_K, argument < 0 ? 0 : (unsigned)argument,
            0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Polls, a timer and a write, so that the loop that was chosen is known to work. */
static unsigned polls, timers, writes;

static void on_poll(void *arg, uint32_t events)
{
    eventfd_t value;

    (void)events;
    polls += eventfd_read(*(int *)arg, &value) == 0;
}

static void on_timer(void *arg, uint64_t now_ns)
{
    (void)arg;
    (void)now_ns;
    timers++;
}

static void on_write(void *arg, int64_t result)
{
    (void)arg;
    writes += result == 8;
}

static bool works(struct loop *loop)
{
    static const uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct loop_poll poll = {.fn = on_poll, .arg = &fd, .fd = -1};
    struct loop_timer timer = {.fn = on_timer};
    struct loop_write write = {.fn = on_write};
    uint64_t end_ns = clock_boot_ns() + NS_PER_SEC;

    polls = timers = writes = 0;
    if (loop_poll_start(loop, &poll, fd, POLLIN) < 0 ||
        loop_write_start(loop, &write, fd, &one, sizeof(one), -1) < 0)
        return false;
    loop_timer_arm(loop, &timer, clock_boot_ns() + 2 * NS_PER_MS);
    while ((!polls || !timers || !writes) && clock_boot_ns() < end_ns)
        if (loop_run_once(loop, end_ns) < 0)
            return false;
    loop_poll_stop(loop, &poll);
    (void)close(fd);
    return polls == 1 && timers == 1 && writes == 1;
}

/* In a child, as filters cannot be taken off. The child's verdict. */
static int in_child(int (*body)(void))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(body());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "status 0x%x", (unsigned)status);
    return WEXITSTATUS(status);
}

static int check_fall_back(int expected, const char *description)
{
    struct loop *loop = NULL;

    if (loop_new(&loop, LOOP_URING, NULL) != expected || loop)
        return 1;
    if (loop_new(&loop, LOOP_AUTO, NULL) != 0)
        return 2;
    if (strcmp(loop_describe(loop), description) != 0)
        return 3;
    if (!works(loop))
        return 4;
    loop_free(loop);
    return 0;
}

static int set_up_refused(void)
{
    refuse_system_call(__NR_io_uring_setup, -1, EPERM);
    return check_fall_back(-EPERM, "epoll (io_uring: Operation not permitted)");
}

static int set_up_unknown(void)
{
    refuse_system_call(__NR_io_uring_setup, -1, ENOSYS);
    refuse_system_call(__NR_epoll_pwait2, -1, ENOSYS);
    return check_fall_back(-ENOSYS, "epoll (io_uring: Function not implemented)");
}

static int no_memory(void)
{
    refuse_system_call(__NR_io_uring_setup, -1, ENOMEM);
    return check_fall_back(-ENOMEM, "epoll (io_uring: Cannot allocate memory)");
}

static int restrictions_refused(void)
{
    refuse_system_call(__NR_io_uring_register, IORING_REGISTER_RESTRICTIONS, EPERM);
    return check_fall_back(-EPERM, "epoll (io_uring: Operation not permitted)");
}

static int probe_refused(void)
{
    refuse_system_call(__NR_io_uring_register, IORING_REGISTER_PROBE, EPERM);
    return check_fall_back(-EOPNOTSUPP, "epoll (io_uring: Operation not supported)");
}

Test(loop_uring, where_the_set_up_is_refused_auto_takes_epoll_and_says_why)
{
    cr_assert_eq(in_child(set_up_refused), 0);
    cr_assert_eq(in_child(set_up_unknown), 0);
    cr_assert_eq(in_child(no_memory), 0);
}

Test(loop_uring, a_ring_that_cannot_be_restricted_is_not_used)
{
    loop_free(new_uring());
    cr_assert_eq(in_child(restrictions_refused), 0);
    cr_assert_eq(in_child(probe_refused), 0);
}

/* kernel.io_uring_disabled=2 answers EPERM as well; turning the machine's own knob is not for a unit test. */

static int as_nobody(void)
{
    struct rlimit limit = {.rlim_cur = 8 << 20, .rlim_max = 8 << 20};
    struct loop *loop = NULL;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
        return 10;
    if (loop_new(&loop, LOOP_URING, NULL) != 0)
        return 1;
    if (!works(loop))
        return 2;
    loop_free(loop);
    return 0;
}

Test(loop_uring, an_unprivileged_user_gets_it_with_the_usual_limit_of_locked_memory)
{
    loop_free(new_uring());
    if (geteuid() != 0)
        cr_skip_test("needs root to become nobody");
    cr_assert_eq(in_child(as_nobody), 0);
}

static int no_descriptors(void)
{
    struct rlimit none = {0};
    struct loop *loop = NULL;

    if (setrlimit(RLIMIT_NOFILE, &none) < 0)
        return 10;
    return loop_new(&loop, LOOP_AUTO, NULL) == -EMFILE && !loop ? 0 : 1;
}

Test(loop_uring, without_either_back_end_the_error_is_returned)
{
    cr_assert_eq(in_child(no_descriptors), 0);
}

/* ---- multishot ------------------------------------------------------------------------------------ */

struct counter {
    int fd;
    uint64_t sum;
};

static void on_counter(void *arg, uint32_t events)
{
    struct counter *counter = arg;
    eventfd_t value;

    (void)events;
    while (eventfd_read(counter->fd, &value) == 0)
        counter->sum += value;
}

/* More completions than the queue has entries, between two turns: multishot polls end, and must be armed
 * again without losing what came meanwhile. */
Test(loop_uring, an_overflowing_completion_queue_loses_no_readiness)
{
    struct loop *loop = new_uring();
    static struct counter counters[64];
    static struct loop_poll watches[64];
    uint64_t sum = 0;

    for (int i = 0; i < 64; i++) {
        counters[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        watches[i] = (struct loop_poll){.fn = on_counter, .arg = &counters[i], .fd = -1};
        cr_assert_eq(loop_poll_start(loop, &watches[i], counters[i].fd, POLLIN | LOOP_DRAINS), 0);
    }
    cr_assert_eq(loop_run_once(loop, 0), 0);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 64; i++)
            cr_assert_eq(eventfd_write(counters[i].fd, 1), 0);
        for (int i = 0; i < 8; i++) /* completions are posted, a few a call; none is taken */
            (void)io_uring_get_events(loop_uring_ring(loop));
    }
    cr_assert_geq(io_uring_cq_ready(loop_uring_ring(loop)), 4096, "the queue is to be full");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(loop_run_once(loop, clock_boot_ns() + NS_PER_MS), 0);
    for (int i = 0; i < 64; i++)
        cr_assert_eq(eventfd_write(counters[i].fd, 1), 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(loop_run_once(loop, clock_boot_ns() + NS_PER_MS), 0);
    for (int i = 0; i < 64; i++)
        sum += counters[i].sum;
    cr_assert_eq(sum, 64 * 201);
    loop_free(loop);
}

Test(loop_uring, more_starts_in_a_turn_than_the_submission_queue_holds)
{
    struct loop *loop = new_uring();
    static struct counter counters[500];
    static struct loop_poll watches[500];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++) {
            counters[i] = (struct counter){.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};
            watches[i] = (struct loop_poll){.fn = on_counter, .arg = &counters[i], .fd = -1};
            cr_assert_eq(loop_poll_start(loop, &watches[i], counters[i].fd, POLLIN), 0);
            cr_assert_eq(loop_poll_change(loop, &watches[i], POLLIN | POLLPRI), 0);
        }
        for (int i = 0; i < 20; i++)
            cr_assert_eq(loop_run_once(loop, 0), 0);
        for (int i = 0; i < 500; i++) {
            cr_assert_eq(counters[i].sum, 1);
            loop_poll_stop(loop, &watches[i]);
            (void)close(counters[i].fd);
        }
    }
    loop_free(loop);
}
