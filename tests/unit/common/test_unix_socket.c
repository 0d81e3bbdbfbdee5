/* SPDX-License-Identifier: Apache-2.0 */
#include "common/unix_socket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"

static char folder[] = "/tmp/podkin-socket-XXXXXX";
static char path[64];
static int pair[2] = {-1, -1};

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static void end(void)
{
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    (void)unlink(path);
    cr_expect_eq(rmdir(folder), 0);
}

TestSuite(unix_socket, .init = begin, .fini = end);

static unsigned count_fds(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

Test(unix_socket, path_is_as_long_as_an_address)
{
    char name[200];
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    memset(name, 'n', sizeof(name));
    name[most] = '\0';
    cr_expect_eq(unix_check_path(name), 0);
    name[most] = 'n';
    name[most + 1] = '\0';
    cr_expect_eq(unix_check_path(name), -ENAMETOOLONG);
    cr_expect_eq(unix_check_path(""), -EINVAL);
    cr_expect_eq(unix_connect(name), -ENAMETOOLONG);
    cr_expect_eq(unix_listen(name, (gid_t)-1), -ENAMETOOLONG);
}

Test(unix_socket, listener_is_for_owner_and_group_only)
{
    struct stat st;
    int listener = unix_listen(path, (gid_t)-1);

    cr_assert_geq(listener, 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0660);
    cr_expect(fcntl(listener, F_GETFL) & O_NONBLOCK);
    fd_close(&listener);
}

Test(unix_socket, live_listener_is_not_replaced_and_a_dead_one_is)
{
    int listener = unix_listen(path, (gid_t)-1), second;

    cr_assert_geq(listener, 0);
    cr_expect_eq(unix_listen(path, (gid_t)-1), -EADDRINUSE);
    fd_close(&listener);
    cr_expect_eq(unix_connect(path), -ECONNREFUSED);
    second = unix_listen(path, (gid_t)-1);
    cr_expect_geq(second, 0);
    fd_close(&second);
}

Test(unix_socket, what_is_no_socket_is_left_alone)
{
    struct stat st;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    fd_close(&fd);
    cr_expect_eq(unix_listen(path, (gid_t)-1), -EEXIST);
    cr_assert_eq(lstat(path, &st), 0);
    cr_expect(S_ISREG(st.st_mode));
    (void)unlink(path);
    cr_assert_eq(symlink("/nonexistent", path), 0);
    cr_expect_eq(unix_listen(path, (gid_t)-1), -EEXIST);
}

Test(unix_socket, nobody_there_is_an_error)
{
    cr_expect_eq(unix_connect(path), -ENOENT);
    cr_expect_eq(unix_connect(""), -EINVAL);
}

Test(unix_socket, peer_is_who_connected)
{
    uid_t uid = (uid_t)-1;

    cr_expect_eq(unix_get_peer_uid(pair[0], &uid), 0);
    cr_expect_eq(uid, getuid());
}

/* ---- messages ----------------------------------------------------------------------------------------------------- */

Test(unix_socket, message_comes_whole_with_its_fds)
{
    int ends[2], fds[2] = {-1, -1};
    char data[8] = "";
    size_t count = 0;

    cr_assert_eq(pipe2(ends, 0), 0);
    cr_assert_eq(unix_send(pair[0], "hello", 6, ends, 2), 0);
    cr_assert_eq(unix_receive(pair[1], data, sizeof(data), fds, 2, &count), 6);
    cr_expect_str_eq(data, "hello");
    cr_assert_eq(count, 2);
    cr_expect(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    cr_expect_eq(write(ends[1], "x", 1), 1);
    cr_expect_eq(read(fds[0], data, 1), 1);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

Test(unix_socket, nothing_there_and_end_are_told_apart)
{
    char data[8];

    cr_expect_eq(unix_receive(pair[1], data, sizeof(data), NULL, 0, NULL), -EAGAIN);
    fd_close(&pair[0]);
    cr_expect_eq(unix_receive(pair[1], data, sizeof(data), NULL, 0, NULL), 0);
}

Test(unix_socket, longer_message_is_refused_and_the_next_one_is_whole)
{
    char data[4] = "";

    cr_assert_eq(unix_send(pair[0], "too long", 8, NULL, 0), 0);
    cr_assert_eq(unix_send(pair[0], "ok", 3, NULL, 0), 0);
    cr_expect_eq(unix_receive(pair[1], data, sizeof(data), NULL, 0, NULL), -EMSGSIZE);
    cr_expect_eq(unix_receive(pair[1], data, sizeof(data), NULL, 0, NULL), 3);
    cr_expect_str_eq(data, "ok");
}

Test(unix_socket, fds_that_nobody_wants_do_not_stay)
{
    int many[UNIX_FDS_MAX], fds[2] = {-1, -1};
    char data[8];
    size_t count = 77;
    unsigned before;

    for (size_t i = 0; i < UNIX_FDS_MAX; i++)
        many[i] = STDIN_FILENO;
    before = count_fds();
    for (size_t sent = 1; sent <= UNIX_FDS_MAX; sent++) {
        cr_assert_eq(unix_send(pair[0], "x", 1, many, sent), 0);
        cr_expect_eq(unix_receive(pair[1], data, sizeof(data), NULL, 0, NULL), -EMSGSIZE);
        if (sent > 2) {
            cr_assert_eq(unix_send(pair[0], "x", 1, many, sent), 0);
            cr_expect_eq(unix_receive(pair[1], data, sizeof(data), fds, 2, &count), -EMSGSIZE);
            cr_expect_eq(fds[0], -1);
            cr_expect_eq(fds[1], -1);
        }
        cr_expect_eq(count_fds(), before, "%zu sent", sent);
    }
    cr_expect_eq(unix_send(pair[0], "x", 1, many, UNIX_FDS_MAX + 1), -EINVAL);
}

Test(unix_socket, peer_that_has_gone_costs_no_signal)
{
    fd_close(&pair[1]);
    cr_expect_eq(unix_send(pair[0], "x", 1, NULL, 0), -EPIPE);
}

Test(unix_socket, reader_that_does_not_read_is_no_wait)
{
    char data[4096] = "";
    int r = 0;

    for (int i = 0; i < 10000 && r == 0; i++)
        r = unix_send(pair[0], data, sizeof(data), NULL, 0);
    cr_expect_eq(r, -EAGAIN);
}
