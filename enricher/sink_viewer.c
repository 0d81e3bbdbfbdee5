/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/sink_viewer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CUT_LINE_BYTES (sizeof(SINK_VIEWER_CUT_LINE) - 1)

struct viewer {
    struct sink_viewers *all;
    struct viewer *next;
    int fd;
    struct loop_poll poll;
    struct loop_timer farewell;
    /* Made with the first backlog; buffer_bytes long, room for the last line is kept. */
    char *ring;
    uint64_t head, tail; /* positions of all bytes ever: read, written */
    bool half_closed;    /* the peer will not say more */
    bool waiting;        /* V4 */
    bool cut;            /* gets what is in the ring and no more */
};

static void viewer_free(struct viewer *viewer)
{
    struct sink_viewers *all = viewer->all;
    struct viewer **link = &all->first;

    while (*link != viewer)
        link = &(*link)->next;
    *link = viewer->next;
    all->count--;
    loop_poll_stop(all->loop, &viewer->poll);
    loop_timer_disarm(all->loop, &viewer->farewell);
    (void)close(viewer->fd);
    free(viewer->ring);
    free(viewer);
}

/* ---- the ring ------------------------------------------------------------------------------------- */

static size_t used_bytes(const struct viewer *viewer)
{
    return (size_t)(viewer->tail - viewer->head);
}

static void ring_put(struct viewer *viewer, const char *data, size_t size)
{
    size_t capacity = viewer->all->buffer_bytes, at = viewer->tail % capacity;
    size_t first = size < capacity - at ? size : capacity - at;

    memcpy(viewer->ring + at, data, first);
    memcpy(viewer->ring, data + first, size - first);
    viewer->tail += size;
}

/* 0 or negative errno; -EAGAIN: the socket is full. */
static int send_ring(struct viewer *viewer)
{
    size_t capacity = viewer->all->buffer_bytes;

    while (used_bytes(viewer)) {
        size_t at = viewer->head % capacity, size = used_bytes(viewer);
        size_t first = size < capacity - at ? size : capacity - at;
        struct iovec parts[2] = {{viewer->ring + at, first}, {viewer->ring, size - first}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > first ? 2 : 1};
        ssize_t sent = sendmsg(viewer->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR)
            return -errno;
        if (sent > 0)
            viewer->head += (uint64_t)sent;
    }
    return 0;
}

/* ---- one viewer ----------------------------------------------------------------------------------- */

/* A cut viewer without backlog has nothing to wait for. */
static void update_watch(struct viewer *viewer)
{
    uint32_t events = (viewer->half_closed ? 0 : POLLIN) | (used_bytes(viewer) ? POLLOUT : 0);

    if ((viewer->cut && !used_bytes(viewer)) ||
        loop_poll_change(viewer->all->loop, &viewer->poll, events) < 0)
        viewer_free(viewer);
}

/* Lines end at a newline; what of `data` has room in the ring, in whole lines. */
static size_t whole_lines_that_fit(const struct viewer *viewer, const char *data, size_t size)
{
    size_t room = viewer->all->buffer_bytes - CUT_LINE_BYTES - used_bytes(viewer);
    const char *edge;

    if (size <= room)
        return size;
    edge = room ? memrchr(data, '\n', room) : NULL;
    return edge ? (size_t)(edge + 1 - data) : 0;
}

/* false: there is no memory for it, and the viewer is gone. */
static bool has_ring(struct viewer *viewer)
{
    struct sink_viewers *all = viewer->all;

    if (!viewer->ring)
        viewer->ring = malloc(all->buffer_bytes); /* touched as far as it fills */
    if (viewer->ring)
        return true;
    all->cut++;
    viewer_free(viewer);
    return false;
}

static void cut(struct viewer *viewer)
{
    struct sink_viewers *all = viewer->all;

    ring_put(viewer, SINK_VIEWER_CUT_LINE, CUT_LINE_BYTES);
    viewer->cut = true;
    all->cut++;
    loop_timer_arm(all->loop, &viewer->farewell, loop_now(all->loop) + SINK_VIEWER_FAREWELL_NS);
}

static void keep_for_later(struct viewer *viewer, const char *data, size_t size)
{
    size_t fits;

    if (!has_ring(viewer))
        return;
    fits = whole_lines_that_fit(viewer, data, size);
    ring_put(viewer, data, fits);
    if (fits < size)
        cut(viewer);
    update_watch(viewer);
}

/* Straight from the block while the socket takes it; the ring only holds what it does not take. */
static void viewer_send(struct viewer *viewer, const char *data, size_t size)
{
    while (size && !used_bytes(viewer)) {
        ssize_t sent = send(viewer->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0 && errno != EINTR) {
            viewer_free(viewer);
            return;
        }
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        }
    }
    if (size)
        keep_for_later(viewer, data, size);
}

/* A viewer has said all in its request. What it says now is read, so that its end is seen, and forgotten. */
static int drop_input(struct viewer *viewer)
{
    char ignored[4096];
    ssize_t got = recv(viewer->fd, ignored, sizeof(ignored), MSG_DONTWAIT);

    if (got == 0)
        viewer->half_closed = true;
    return got < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

static void on_ready(void *arg, uint32_t events)
{
    struct viewer *viewer = arg;
    int r = events & (POLLHUP | POLLERR) ? -EPIPE : 0;

    if (r == 0 && (events & POLLIN))
        r = drop_input(viewer);
    if (r == 0)
        r = send_ring(viewer);
    if (r < 0 && r != -EAGAIN)
        viewer_free(viewer);
    else
        update_watch(viewer);
}

static void on_farewell(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    viewer_free(arg);
}

/* ---- all of them ---------------------------------------------------------------------------------- */

void sink_viewers_init(struct sink_viewers *viewers, struct loop *loop, uint64_t buffer_bytes, unsigned max)
{
    *viewers = (struct sink_viewers){
        .loop = loop,
        .buffer_bytes = buffer_bytes > SINK_VIEWER_BUFFER_MIN ? buffer_bytes : SINK_VIEWER_BUFFER_MIN,
        .max = max,
    };
}

void sink_viewers_deinit(struct sink_viewers *viewers)
{
    while (viewers->first)
        viewer_free(viewers->first);
}

int sink_viewers_add(struct sink_viewers *viewers, int fd)
{
    struct viewer *viewer;
    int r;

    if (viewers->count >= viewers->max)
        return -EUSERS;
    viewer = malloc(sizeof(*viewer));
    if (!viewer)
        return -ENOMEM;
    *viewer = (struct viewer){
        .all = viewers,
        .fd = fd,
        .waiting = viewers->sections,
        .poll = {.fn = on_ready, .arg = viewer, .fd = -1},
        .farewell = {.fn = on_farewell, .arg = viewer},
    };
    r = loop_poll_start(viewers->loop, &viewer->poll, fd, POLLIN);
    if (r < 0) {
        free(viewer);
        return r;
    }
    viewer->next = viewers->first;
    viewers->first = viewer;
    viewers->count++;
    viewers->waiting |= viewer->waiting;
    return 0;
}

void sink_viewers_start(struct sink_viewers *viewers)
{
    if (!viewers->waiting)
        return;
    viewers->waiting = false;
    for (struct viewer *viewer = viewers->first; viewer; viewer = viewer->next)
        viewer->waiting = false;
}

void sink_viewers_send(struct sink_viewers *viewers, const char *data, size_t size)
{
    for (struct viewer *viewer = viewers->first, *next; viewer; viewer = next) {
        next = viewer->next;
        if (!viewer->cut && !viewer->waiting)
            viewer_send(viewer, data, size);
    }
}

void sink_viewers_cut(struct sink_viewers *viewers)
{
    for (struct viewer *viewer = viewers->first, *next; viewer; viewer = next) {
        next = viewer->next;
        if (viewer->cut || !has_ring(viewer))
            continue;
        cut(viewer);
        update_watch(viewer);
    }
}
