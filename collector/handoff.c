/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/handoff.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/record.h"
#include "common/unix_socket.h"

static enum handoff_event say(struct handoff *handoff, enum handoff_event event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum handoff_event say(struct handoff *handoff, enum handoff_event event, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(handoff->line, sizeof(handoff->line), format, args);
    va_end(args);
    return event;
}

const char *handoff_line(const struct handoff *handoff)
{
    return handoff->line;
}

/* /run is empty after every boot: the folder of our socket is ours to make there, and nowhere else. The peer puts its own
 * sockets there, too, and by the sticky bit cannot touch ours. */
static int make_folder(const char *path, gid_t peer_gid)
{
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *folder = NULL;

    if (!slash || slash == path)
        return 0;
    folder = strndup(path, (size_t)(slash - path));
    if (!folder)
        return -ENOMEM;
    if (strncmp(folder, "/run/", 5) != 0 || strchr(folder + 5, '/'))
        return 0;
    if (mkdir(folder, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;
    if (chown(folder, (uid_t)-1, peer_gid) < 0 || chmod(folder, 01775) < 0)
        return -errno;
    return 0;
}

/* The peer may make files in our folder, so also one of our name: nothing of its is a reason not to start. */
static void remove_squatter(const char *path, uid_t peer_uid)
{
    struct stat status;

    if (peer_uid != geteuid() && lstat(path, &status) == 0 && status.st_uid == peer_uid &&
        !S_ISDIR(status.st_mode))
        (void)unlink(path);
}

int handoff_open(struct handoff *handoff, const char *path, uid_t peer_uid, gid_t peer_gid)
{
    CLEANUP_FREE char *copy = strdup(path);
    int listener, r;

    if (!copy)
        return -ENOMEM;
    r = make_folder(path, peer_gid);
    if (r < 0)
        return r;
    remove_squatter(path, peer_uid);
    listener = unix_listen(path, peer_gid);
    if (listener < 0)
        return listener;
    *handoff = HANDOFF_EMPTY;
    handoff->path = TAKE_POINTER(copy);
    handoff->peer_uid = peer_uid;
    handoff->hello_timeout_ns = HANDOFF_HELLO_TIMEOUT_NS;
    handoff->listener = listener;
    return 0;
}

void handoff_close(struct handoff *handoff)
{
    handoff_close_connection(handoff);
    if (handoff->listener >= 0)
        (void)unlink(handoff->path);
    fd_close(&handoff->listener);
    free(handoff->path);
    *handoff = HANDOFF_EMPTY;
}

void handoff_close_connection(struct handoff *handoff)
{
    fd_close(&handoff->connection);
    fd_close(&handoff->peer);
    handoff->state = HANDOFF_IDLE;
}

/* Tells why, as far as that goes without waiting. What the peer has sent is thrown away first: closing a unix socket with unread data
 * resets the connection, and the peer would see that before the reason. */
static void send_refusal(int fd, enum handoff_refusal reason)
{
    const struct handoff_refuse refuse = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_REFUSE, reason};
    char byte;

    for (int i = 0; i < 16 && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0; i++)
        ;
    (void)unix_send(fd, &refuse, sizeof(refuse), NULL, 0);
}

enum peer { PEER_SILENT, PEER_SPEAKS, PEER_GONE };

static enum peer look_at_peer(const struct handoff *handoff)
{
    char byte;
    ssize_t r = recv(handoff->connection, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

    if (r > 0)
        return PEER_SPEAKS;
    return r < 0 && (errno == EAGAIN || errno == EINTR) ? PEER_SILENT : PEER_GONE;
}

static enum handoff_event connection_ended(struct handoff *handoff, const char *how)
{
    enum handoff_state state = handoff->state;

    handoff_close_connection(handoff);
    switch (state) {
    case HANDOFF_ATTACHED:
        return say(handoff, HANDOFF_GONE, "consumer %s", how);
    case HANDOFF_PREPARING:
        return say(handoff, HANDOFF_GONE, "consumer %s before it was attached", how);
    default:
        return say(handoff, HANDOFF_REFUSED, "consumer %s before its hello", how);
    }
}

/* H5. 0 or negative errno: it is not to be served. */
static int watch_peer(struct handoff *handoff, int fd)
{
    int peer = unix_get_peer_pidfd(fd, &handoff->peer_exact);

    if (peer < 0 && peer != -ENOSYS)
        return peer;
    handoff->peer = peer < 0 ? -1 : peer;
    return 0;
}

const char *handoff_peer_words(const struct handoff *handoff)
{
    if (handoff->peer < 0)
        return "its process not watched, as this kernel has no pid fds";
    return handoff->peer_exact ? "its process watched" : "its process watched by number";
}

enum handoff_event handoff_on_listener(struct handoff *handoff, uint64_t now_ns)
{
    CLEANUP_CLOSE int fd = -1;
    enum handoff_event event;
    uid_t uid;
    int r;

    /* H4. The consumer that was served may be gone without our having looked: then the one who comes is not too early. He is accepted
     * at the next call. */
    if (handoff->state != HANDOFF_IDLE && look_at_peer(handoff) == PEER_GONE)
        return connection_ended(handoff, "went away");
    event = handoff_on_peer(handoff);
    if (event != HANDOFF_NOTHING)
        return event;
    fd = accept4(handoff->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return HANDOFF_NOTHING;
        return say(handoff, HANDOFF_REFUSED, "cannot accept a consumer: %s", strerror(errno));
    }
    r = unix_get_peer_uid(fd, &uid);
    if (r < 0)
        return say(handoff, HANDOFF_REFUSED, "refused a consumer of unknown uid: %s", strerror(-r));
    if (uid != handoff->peer_uid) {
        send_refusal(fd, HANDOFF_REFUSED_PEER);
        return say(handoff, HANDOFF_REFUSED, "refused a consumer of uid %u: only uid %u may attach",
            (unsigned)uid, (unsigned)handoff->peer_uid);
    }
    if (handoff->state != HANDOFF_IDLE) {
        send_refusal(fd, HANDOFF_REFUSED_BUSY);
        return say(handoff, HANDOFF_REFUSED, "refused a second consumer: one is being served");
    }
    r = watch_peer(handoff, fd);
    if (r == -ESRCH) {
        send_refusal(fd, HANDOFF_REFUSED_PEER);
        return say(handoff, HANDOFF_REFUSED, "refused a consumer: the process that connected has ended");
    }
    if (r < 0)
        return say(
            handoff, HANDOFF_REFUSED, "refused a consumer whose process cannot be watched: %s", strerror(-r));
    handoff->connection = take_fd(&fd);
    handoff->state = HANDOFF_GREETING;
    handoff->deadline_ns = now_ns + handoff->hello_timeout_ns;
    return HANDOFF_NOTHING;
}

static enum handoff_event refuse_hello(struct handoff *handoff, enum handoff_refusal reason, const char *why)
{
    send_refusal(handoff->connection, reason);
    handoff_close_connection(handoff);
    return say(handoff, HANDOFF_REFUSED, "refused a consumer: %s", why);
}

static enum handoff_event read_hello(struct handoff *handoff)
{
    struct handoff_hello hello;
    /* H2, H3: no room for fds, and a longer message is an error, not a cut one */
    ssize_t size = unix_receive(handoff->connection, &hello, sizeof(hello), NULL, 0, NULL);

    if (size == -EAGAIN || size == -EINTR)
        return HANDOFF_NOTHING;
    if (size == -EMSGSIZE)
        return refuse_hello(
            handoff, HANDOFF_REFUSED_MESSAGE, "its hello is too long or carries file descriptors");
    if (size <= 0)
        return connection_ended(handoff, "went away");
    if ((size_t)size != sizeof(hello))
        return refuse_hello(handoff, HANDOFF_REFUSED_MESSAGE, "its hello is too short");
    if (hello.magic != HANDOFF_MAGIC || hello.type != HANDOFF_HELLO)
        return refuse_hello(handoff, HANDOFF_REFUSED_MESSAGE, "its hello is not one");
    if (hello.version != HANDOFF_VERSION || hello.record_version != RECORD_VERSION)
        return refuse_hello(handoff, HANDOFF_REFUSED_VERSION, "it speaks another version");
    handoff->state = HANDOFF_PREPARING;
    return say(handoff, HANDOFF_WANTED, "a consumer asks to be attached");
}

enum handoff_event handoff_on_connection(struct handoff *handoff)
{
    if (handoff->state == HANDOFF_IDLE)
        return HANDOFF_NOTHING;
    if (handoff->state == HANDOFF_GREETING)
        return read_hello(handoff);
    switch (look_at_peer(handoff)) {
    case PEER_SILENT:
        return HANDOFF_NOTHING;
    case PEER_SPEAKS: /* after HELLO there is nothing to say: whatever this is, it is not read */
        return connection_ended(handoff, "was cut off, as it said what nobody asked,");
    case PEER_GONE:
    default:
        return connection_ended(handoff, "went away");
    }
}

enum handoff_event handoff_on_peer(struct handoff *handoff)
{
    struct pollfd fd = {.fd = handoff->peer, .events = POLLIN};

    if (handoff->state == HANDOFF_IDLE || handoff->peer < 0 ||
        ppoll(&fd, 1, &(struct timespec){0}, NULL) <= 0)
        return HANDOFF_NOTHING;
    return connection_ended(handoff, "went away (its process has ended)");
}

enum handoff_event handoff_on_time(struct handoff *handoff, uint64_t now_ns)
{
    if (handoff->state != HANDOFF_GREETING || now_ns < handoff->deadline_ns)
        return HANDOFF_NOTHING;
    return refuse_hello(handoff, HANDOFF_REFUSED_MESSAGE, "no hello in time");
}

int handoff_send_attach(
    struct handoff *handoff, const struct handoff_attach *attach, const int fds[HANDOFF_FD_COUNT])
{
    int r;

    assert(handoff->state == HANDOFF_PREPARING);
    r = unix_send(handoff->connection, attach, sizeof(*attach), fds, HANDOFF_FD_COUNT);
    if (r < 0) {
        handoff_close_connection(handoff);
        return r;
    }
    handoff->state = HANDOFF_ATTACHED;
    return 0;
}
