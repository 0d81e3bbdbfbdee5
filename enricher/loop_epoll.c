/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on epoll, level-triggered: where io_uring is not allowed. Writes are made at once: to a regular
 * file that may wait for the page cache, as any write(2); to anything that can be full for long (pipe,
 * socket, terminal) they are made without waiting.
 */
#include "enricher/loop_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

_Static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
                   EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP,
    "epoll and poll speak of the same bits");

struct epoll_state {
    int fd;
    bool no_pwait2; /* Linux before 5.11, or a seccomp filter that does not know it */
};

static int control(struct loop *loop, int verb, const struct loop_poll *poll)
{
    const struct epoll_state *state = loop->backend_state;
    struct epoll_event event = {.events = poll->events & LOOP_POLL_MASK, .data.u64 = poll->token};

    return epoll_ctl(state->fd, verb, poll->fd, &event) < 0 ? -errno : 0;
}

static int epoll_start(struct loop *loop, struct loop_poll *poll)
{
    return control(loop, EPOLL_CTL_ADD, poll);
}

static int epoll_change(struct loop *loop, struct loop_poll *poll, uint64_t old_token)
{
    (void)old_token;
    return control(loop, EPOLL_CTL_MOD, poll);
}

static void epoll_stop(struct loop *loop, const struct loop_poll *poll)
{
    (void)control(loop, EPOLL_CTL_DEL, poll);
}

/* ---- writes --------------------------------------------------------------------------------------- */

/* Our standard output may be a blocking pipe or terminal that others share, so O_NONBLOCK must not be set
 * on it. */
static ssize_t write_without_waiting(int fd, const void *data, size_t size)
{
    struct iovec part = {.iov_base = (void *)data, .iov_len = size};
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    ssize_t written = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);

    if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return written;
    /* Pipes before Linux 6.4, terminals: when POLLOUT is there, PIPE_BUF bytes have room. */
    if (poll(&room, 1, 0) < 0)
        return -1;
    if (!room.revents) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, data, size < PIPE_BUF ? size : PIPE_BUF);
}

static ssize_t write_now(const struct loop_write *write_)
{
    struct stat st;

    if (fstat(write_->fd, &st) < 0)
        return -1;
    if (write_->offset >= 0)
        return pwrite(write_->fd, write_->data, write_->size, write_->offset);
    if (S_ISSOCK(st.st_mode))
        return send(write_->fd, write_->data, write_->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        return write_without_waiting(write_->fd, write_->data, write_->size);
    return write(write_->fd, write_->data, write_->size);
}

static int epoll_write(struct loop *loop, struct loop_write *write)
{
    ssize_t written;

    (void)loop;
    do
        written = write_now(write);
    while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EAGAIN)
        return loop_write_wait_for_room(write);
    loop_write_finish_later(write, written < 0 ? -errno : written);
    return 0;
}

static void epoll_cancel(struct loop *loop, struct loop_write *write)
{
    (void)loop;
    (void)write; /* either waits for room, which loop.c ends, or is done */
}

/* ---- the turn ------------------------------------------------------------------------------------- */

/* Rounded up: woken early would be a turn for nothing. */
static int to_milliseconds(uint64_t timeout_ns)
{
    uint64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);

    if (timeout_ns == UINT64_MAX)
        return -1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int wait_for_events(struct epoll_state *state, struct epoll_event *events, uint64_t timeout_ns)
{
    struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / NS_PER_SEC), .tv_nsec = (long)(timeout_ns % NS_PER_SEC)};
    int count;

    if (!state->no_pwait2) {
        count = epoll_pwait2(
            state->fd, events, EVENTS_PER_TURN, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        state->no_pwait2 = true;
    }
    return epoll_wait(state->fd, events, EVENTS_PER_TURN, to_milliseconds(timeout_ns));
}

static int epoll_turn(struct loop *loop, uint64_t timeout_ns)
{
    struct epoll_state *state = loop->backend_state;
    struct epoll_event events[EVENTS_PER_TURN];
    int count = wait_for_events(state, events, timeout_ns);

    if (count < 0 && errno != EINTR)
        return -errno;
    loop_update_now(loop);
    for (int i = 0; i < count; i++) {
        struct loop_poll *poll = loop_token_poll(loop, events[i].data.u64);

        if (poll)
            poll->fn(poll->arg, events[i].events);
    }
    return 0;
}

/* ---- life ----------------------------------------------------------------------------------------- */

static void epoll_free(struct loop *loop)
{
    struct epoll_state *state = loop->backend_state;

    while (loop->writes.next != &loop->writes)
        loop_write_cancel(loop, loop->writes.next);
    (void)close(state->fd);
    free(state);
}

static const struct loop_backend epoll_backend = {
    .start = epoll_start,
    .change = epoll_change,
    .stop = epoll_stop,
    .write = epoll_write,
    .cancel = epoll_cancel,
    .turn = epoll_turn,
    .free = epoll_free,
};

int loop_epoll_init(struct loop *loop)
{
    struct epoll_state *state = calloc(1, sizeof(*state));

    if (!state)
        return -ENOMEM;
    state->fd = epoll_create1(EPOLL_CLOEXEC);
    if (state->fd < 0) {
        int r = -errno;

        free(state);
        return r;
    }
    loop->backend = &epoll_backend;
    loop->backend_state = state;
    (void)snprintf(loop->description, sizeof(loop->description), "epoll");
    return 0;
}
