/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd_store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/unix_socket.h"

static struct notify notify = NOTIFY_EMPTY, nobody = NOTIFY_EMPTY;
static struct fd_store store;
static int manager = -1;

static void setup(void)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    notify.fd = pair[0];
    manager = pair[1];
    store = (struct fd_store){.notify = &notify};
}

static void teardown(void)
{
    fd_store_deinit(&store);
    notify_close(&notify);
    fd_close(&manager);
}

TestSuite(fd_store, .init = setup, .fini = teardown);

/* The next message and its fds; "" when there is none. */
static const char *told(int fds[UNIX_FDS_MAX], size_t *ret_count)
{
    static char message[512];
    ssize_t n = unix_receive(manager, message, sizeof(message) - 1, fds, UNIX_FDS_MAX, ret_count);

    message[n > 0 ? n : 0] = '\0';
    return message;
}

static bool is_same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* In a process whose fds from 3 on are memfds, named so: what it was given. Exit status of `look`. */
static int with_fds(const char *names, const char *pid, unsigned count, int (*look)(void))
{
    char text[32];
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        for (unsigned i = 0; i < count; i++) {
            int fd = fd_memfd_new("given", i + 1);

            if (dup2(fd, 100 + (int)i) < 0)
                _exit(100);
        }
        for (unsigned i = 0; i < count; i++)
            (void)dup2(100 + (int)i, 3 + (int)i);
        (void)snprintf(text, sizeof(text), "%d", (int)getpid());
        (void)setenv("LISTEN_PID", pid ? pid : text, 1);
        (void)snprintf(text, sizeof(text), "%u", count);
        (void)setenv("LISTEN_FDS", text, 1);
        (void)setenv("LISTEN_FDNAMES", names, 1);
        _exit(look());
    }
    (void)waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static off_t size_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_size : -1;
}

static int look_at_four(void)
{
    uint64_t number = 0;
    int fd;

    if (fd_store_take(&store, &nobody) != 0 || store.count != 4)
        return 1;
    if (getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES"))
        return 2;
    fd = fd_store_use(&store, "ring");
    if (size_of(fd) != 2 || (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
        return 3;
    fd = fd_store_use_newest(&store, "queue", &number);
    if (size_of(fd) != 3 || number != 10)
        return 4;
    if (fd_store_use(&store, "none") != -1 || fd_store_use_newest(&store, "ring", &number) != -1)
        return 5;
    fd_store_remove_unused(&store);
    return fcntl(3, F_GETFD) >= 0 || fcntl(6, F_GETFD) >= 0 || fcntl(4, F_GETFD) < 0 || fcntl(5, F_GETFD) < 0;
}

Test(fd_store, what_is_handed_over_is_found_by_name_and_the_greatest_number_and_the_rest_closed)
{
    cr_assert_eq(with_fds("queue-9:ring:queue-10:queue-x", NULL, 4, look_at_four), 0);
}

static int look_for_nothing(void)
{
    return fd_store_take(&store, &nobody) != 0 || store.count != 0 || fcntl(3, F_GETFD) < 0;
}

Test(fd_store, what_is_another_process_s_is_not_touched)
{
    cr_assert_eq(with_fds("ring", "1", 1, look_for_nothing), 0);
}

static int look_for_refusal(void)
{
    (void)setenv("LISTEN_FDS", "3x", 1);
    return fd_store_take(&store, &nobody) != -EINVAL || store.count != 0;
}

Test(fd_store, numbers_that_are_none_are_refused)
{
    cr_assert_eq(with_fds("ring", NULL, 1, look_for_refusal), 0);
}

static int look_at_more_fds_than_names(void)
{
    return fd_store_take(&store, &nobody) != 0 || store.count != 3 || fd_store_use(&store, "ring") != 3;
}

Test(fd_store, fds_without_a_name_are_taken_to_be_closed)
{
    cr_assert_eq(with_fds("ring", NULL, 3, look_at_more_fds_than_names), 0);
}

Test(fd_store, manager_gets_the_fds_with_their_name_and_does_not_watch_them)
{
    int fds[20], got[UNIX_FDS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < 20; i++)
        fds[i] = fd_memfd_new("x", 0);
    cr_assert_eq(fd_store_put(&store, "links-1", fds, 20), 0);
    for (size_t sent = 0; sent < 20; sent += count) {
        cr_assert_str_eq(told(got, &count), "FDSTORE=1\nFDPOLL=0\nFDNAME=links-1");
        cr_assert_gt(count, 0);
        for (size_t i = 0; i < count; i++) {
            cr_expect(is_same_file(got[i], fds[sent + i]));
            fd_close(&got[i]);
        }
    }
    cr_assert_str_eq(told(got, &count), "");
    for (size_t i = 0; i < 20; i++)
        fd_close(&fds[i]);
}

Test(fd_store, replacing_removes_first)
{
    int fd = fd_memfd_new("x", 0), got[UNIX_FDS_MAX];
    size_t count = 0;

    cr_assert_eq(fd_store_replace(&store, "ring", fd), 0);
    cr_assert_str_eq(told(got, &count), "FDSTOREREMOVE=1\nFDNAME=ring");
    cr_assert_eq(count, 0);
    cr_assert_str_eq(told(got, &count), "FDSTORE=1\nFDPOLL=0\nFDNAME=ring");
    cr_assert_eq(count, 1);
    fd_close(&got[0]);
    fd_close(&fd);
}

Test(fd_store, waiting_ends_when_the_manager_lets_go_of_the_barrier)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        struct pollfd poll_fd = {.fd = manager, .events = POLLIN};
        int got[UNIX_FDS_MAX];
        size_t count = 0;

        (void)poll(&poll_fd, 1, 5000);
        _exit(strcmp(told(got, &count), "BARRIER=1") != 0 || count != 1); /* and so closes it */
    }
    cr_expect_eq(fd_store_wait(&store), 0);
    (void)waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
}

Test(fd_store, manager_that_is_gone_is_an_error_that_is_remembered)
{
    int fd = fd_memfd_new("x", 0);

    fd_close(&manager);
    cr_expect_lt(fd_store_put(&store, "ring", &fd, 1), 0);
    cr_expect_lt(store.error, 0);
    fd_close(&fd);
}

Test(fd_store, without_a_manager_all_succeeds)
{
    int fd = fd_memfd_new("x", 0);

    notify_close(&notify);
    cr_expect_eq(fd_store_put(&store, "ring", &fd, 1), 0);
    cr_expect_eq(fd_store_replace(&store, "ring", fd), 0);
    cr_expect_eq(fd_store_remove(&store, "ring"), 0);
    cr_expect_eq(fd_store_wait(&store), 0);
    fd_store_remove_unused(&store);
    cr_expect_eq(store.error, 0);
    fd_close(&fd);
}
