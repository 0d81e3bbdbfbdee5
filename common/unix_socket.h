/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Unix sockets as both sides use them: one message a call, fds as ancillary data, never a wait that was not asked for, never SIGPIPE.
 * Fds returned are non-blocking, close on exec, and owned by the caller.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UNIX_FDS_MAX 16

/* A SOCK_SEQPACKET listener at `path`, mode 0660, of `group` ((gid_t)-1: left as it is). Nobody can connect before mode and group are
 * right. A socket there that nobody listens on is replaced. -EADDRINUSE: somebody listens; -EEXIST: there is something that is no socket;
 * -ENAMETOOLONG; other negative errno. */
int unix_listen(const char *path, gid_t group);

/* 0, -ENAMETOOLONG or -EINVAL (empty): whether `path` can name a socket at all. */
int unix_check_path(const char *path);

/* A SOCK_SEQPACKET connection. fd or negative errno (-EAGAIN: the listener's backlog is full). */
int unix_connect(const char *path);

/* The uid at the other end when it connected. 0 or negative errno. */
int unix_get_peer_uid(int fd, uid_t *ret);

/* The process that connected, as a pid fd of the caller's: readable once the process has ended, whoever else may hold its end of the connection. From the
 * kernel (SO_PEERPIDFD, Linux 6.5: *ret_exact), else by SO_PEERCRED's pid, which may have been given to another process since. -ESRCH: it has ended; -ENOSYS:
 * the kernel has neither; other negative errno. */
int unix_get_peer_pidfd(int fd, bool *ret_exact);
/* The kernel tells it itself, so that pidfd_open(2) is not needed. */
bool unix_has_peer_pidfd(void);

/* One whole message. 0 or negative errno. */
int unix_send(int fd, const void *data, size_t size, const int *fds, size_t fd_count);

/*
 * One message of at most `size` bytes with at most `fd_max` fds, all owned by the caller. Bytes received, 0: end of file, -EMSGSIZE: the message was
 * longer, or had more fds (none is kept; with fd_max 0 not one enters this process); other negative errno. *ret_fd_count may be NULL when fd_max is 0.
 */
ssize_t unix_receive(int fd, void *data, size_t size, int *ret_fds, size_t fd_max, size_t *ret_fd_count);
