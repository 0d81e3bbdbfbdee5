/* SPDX-License-Identifier: Apache-2.0 */
#include "common/unix_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define BACKLOG 8

static int make_address(struct sockaddr_un *ret, socklen_t *ret_size, const char *path)
{
    size_t length = strlen(path);

    if (length == 0)
        return -EINVAL;
    if (length >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, length);
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

int unix_check_path(const char *path)
{
    struct sockaddr_un address;
    socklen_t size;

    return make_address(&address, &size, path);
}

static int new_socket(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

/* 0: nothing is there any more. */
static int remove_stale(const char *path)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat status;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    fd = unix_connect(path);
    if (fd >= 0 || fd == -EAGAIN)
        return -EADDRINUSE;
    if (fd != -ECONNREFUSED)
        return fd;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int unix_listen(const char *path, gid_t group)
{
    CLEANUP_CLOSE int fd = -1;
    struct sockaddr_un address;
    socklen_t size;
    int r;

    r = make_address(&address, &size, path);
    if (r == 0)
        r = remove_stale(path);
    if (r < 0)
        return r;
    fd = new_socket(SOCK_SEQPACKET);
    if (fd < 0)
        return fd;
    /* bind(2) makes the file with the mode of the socket: closed to all others until its group is set. */
    if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&address, size) < 0)
        return -errno;
    if ((group != (gid_t)-1 && lchown(path, (uid_t)-1, group) < 0) || chmod(path, 0660) < 0 ||
        listen(fd, BACKLOG) < 0) {
        r = -errno;
        (void)unlink(path);
        return r;
    }
    return take_fd(&fd);
}

int unix_connect(const char *path)
{
    CLEANUP_CLOSE int fd = -1;
    struct sockaddr_un address;
    socklen_t size;
    int r;

    r = make_address(&address, &size, path);
    if (r < 0)
        return r;
    fd = new_socket(SOCK_SEQPACKET);
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&address, size) < 0)
        return -errno;
    return take_fd(&fd);
}

int unix_get_peer_uid(int fd, uid_t *ret)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    if (size != sizeof(peer))
        return -EINVAL;
    *ret = peer.uid;
    return 0;
}

/* Room for the fds of one message, aligned as the kernel wants it. */
union control {
    char bytes[CMSG_SPACE(UNIX_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

/* sys/socket.h and sys/pidfd.h of newer C libraries have them. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static bool has_ended(int pidfd)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};

    return ppoll(&fd, 1, &(struct timespec){0}, NULL) != 0;
}

bool unix_has_peer_pidfd(void)
{
    CLEANUP_CLOSE int fd = new_socket(SOCK_SEQPACKET);
    socklen_t size = sizeof(int);
    int pidfd;

    /* Without a peer there is none to tell: what counts is which error it is. */
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0 && errno != ENOPROTOOPT;
}

int unix_get_peer_pidfd(int fd, bool *ret_exact)
{
    CLEANUP_CLOSE int pidfd = -1;
    socklen_t size = sizeof(pidfd);
    struct ucred peer;

    *ret_exact = true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0) {
        if (errno != ENOPROTOOPT)
            return errno == EINVAL || errno == ENODATA ? -ESRCH : -errno; /* as kernels before 6.16 say it */
        *ret_exact = false;
        size = sizeof(peer);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
            return -errno;
        pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
        if (pidfd < 0)
            return errno == EINVAL ? -ESRCH : -errno;
    }
    return has_ended(pidfd) ? -ESRCH : take_fd(&pidfd);
}

int unix_send(int fd, const void *data, size_t size, const int *fds, size_t fd_count)
{
    struct iovec part = {.iov_base = (void *)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {0};
    ssize_t sent;

    if (fd_count > UNIX_FDS_MAX)
        return -EINVAL;
    if (fd_count > 0) {
        struct cmsghdr *header;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    return (size_t)sent == size ? 0 : -EMSGSIZE;
}

/* Moves the fds of a message to `fds`, those beyond fd_max are closed. Returns how many there were. */
static size_t take_fds(struct msghdr *message, int *fds, size_t fd_max)
{
    struct cmsghdr *header;
    size_t total = 0;

    for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        size_t count;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++, total++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (total < fd_max)
                fds[total] = fd;
            else
                (void)close(fd);
        }
    }
    return total;
}

ssize_t unix_receive(int fd, void *data, size_t size, int *ret_fds, size_t fd_max, size_t *ret_fd_count)
{
    struct iovec part = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {0};
    ssize_t received;
    size_t count;

    if (fd_max > UNIX_FDS_MAX)
        return -EINVAL;
    /* Without room for them the kernel drops what fds there are and says so: none ever enters this process. */
    if (fd_max > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
    }
    received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (received < 0)
        return -errno;
    count = fd_max > 0 ? take_fds(&message, ret_fds, fd_max) : 0;
    if (count > fd_max || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (size_t i = 0; i < count && i < fd_max; i++)
            fd_close(&ret_fds[i]);
        return -EMSGSIZE;
    }
    if (ret_fd_count)
        *ret_fd_count = count;
    return received;
}
