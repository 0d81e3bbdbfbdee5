/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "enricher/loop_internal.h"

/* ---- life ----------------------------------------------------------------------------------------- */

static int choose_backend(struct loop *loop, enum loop_kind kind)
{
    int refused, r;

    if (kind == LOOP_EPOLL)
        return loop_epoll_init(loop);
    refused = loop_uring_init(loop);
    if (refused == 0 || kind == LOOP_URING)
        return refused;
    r = loop_epoll_init(loop);
    if (r == 0)
        (void)snprintf(
            loop->description, sizeof(loop->description), "epoll (io_uring: %s)", strerrordesc_np(-refused));
    return r;
}

int loop_new(struct loop **ret, enum loop_kind kind, const struct clock *clock)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    int r;

    if (!loop)
        return -ENOMEM;
    loop->clock = clock;
    loop->writes.next = loop->writes.previous = &loop->writes;
    loop->done_end = &loop->done;
    loop_timers_init(&loop->timers);
    loop_update_now(loop);
    r = choose_backend(loop, kind);
    if (r < 0) {
        free(loop);
        return r;
    }
    *ret = loop;
    return 0;
}

struct loop *loop_free(struct loop *loop)
{
    if (!loop)
        return NULL;
    loop->backend->free(loop);
    for (struct loop_write *write = loop->done; write; write = write->next)
        write->in_flight = false;
    free(loop->slots);
    free(loop);
    return NULL;
}

const char *loop_describe(const struct loop *loop)
{
    return loop->description;
}

uint64_t loop_now(const struct loop *loop)
{
    return loop->now_ns;
}

void loop_update_now(struct loop *loop)
{
    loop->now_ns = clock_now(loop->clock);
}

/* ---- tokens --------------------------------------------------------------------------------------- */

uint64_t loop_token(const struct loop *loop, uint32_t slot)
{
    return (uint64_t)loop->slots[slot].generation << 32 | (uint64_t)slot << 3 | LOOP_TOKEN_POLL;
}

uint64_t loop_next_token(struct loop *loop, uint64_t token)
{
    uint32_t index = (uint32_t)token >> 3;

    loop->slots[index].generation++;
    return loop_token(loop, index);
}

struct loop_slot *loop_token_slot(const struct loop *loop, uint64_t token)
{
    struct loop_slot *slot = &loop->slots[(uint32_t)token >> 3];

    return slot->poll && slot->generation == token >> 32 ? slot : NULL;
}

struct loop_poll *loop_token_poll(const struct loop *loop, uint64_t token)
{
    struct loop_slot *slot = loop_token_slot(loop, token);

    return slot ? slot->poll : NULL;
}

uint64_t loop_token_of_write(struct loop_write *write)
{
    return (uint64_t)(uintptr_t)write | LOOP_TOKEN_WRITE;
}

struct loop_write *loop_token_write(uint64_t token)
{
    return (struct loop_write *)(uintptr_t)(token & ~(uint64_t)LOOP_TOKEN_KIND_MASK);
}

/* ---- watches -------------------------------------------------------------------------------------- */

static int grow_slots(struct loop *loop)
{
    uint32_t count = loop->slot_count ? loop->slot_count * 2 : 32;
    struct loop_slot *slots;

    if (count > LOOP_SLOT_MAX)
        return -EMFILE;
    slots = reallocarray(loop->slots, count, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + loop->slot_count, 0, (count - loop->slot_count) * sizeof(*slots));
    for (uint32_t i = count; i > loop->slot_count; i--) {
        slots[i - 1].next_free = loop->free_slot;
        loop->free_slot = i;
    }
    loop->slots = slots;
    loop->slot_count = count;
    return 0;
}

static void release_slot(struct loop *loop, struct loop_poll *poll)
{
    uint32_t index = (uint32_t)poll->token >> 3;
    struct loop_slot *slot = &loop->slots[index];

    slot->poll = NULL;
    slot->armed = false;
    slot->generation++;
    slot->next_free = loop->free_slot;
    loop->free_slot = index + 1;
    poll->fd = -1;
    poll->token = 0;
}

/* The same answers from both back-ends: epoll refuses what is always ready, io_uring would call for ever. */
static int check_pollable(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) ? -EPERM : 0;
}

int loop_poll_start(struct loop *loop, struct loop_poll *poll, int fd, uint32_t events)
{
    uint32_t index;
    int r = check_pollable(fd);

    if (r == 0 && !loop->free_slot)
        r = grow_slots(loop);
    if (r < 0)
        return r;
    index = loop->free_slot - 1;
    loop->free_slot = loop->slots[index].next_free;
    loop->slots[index].poll = poll;
    loop->slots[index].armed = false;
    poll->fd = fd;
    poll->events = events;
    poll->token = loop_token(loop, index);
    r = loop->backend->start(loop, poll);
    if (r < 0)
        release_slot(loop, poll);
    return r;
}

int loop_poll_change(struct loop *loop, struct loop_poll *poll, uint32_t events)
{
    uint64_t old_token = poll->token;

    if (!old_token)
        return -EBADF;
    if (poll->events == events)
        return 0;
    poll->events = events;
    poll->token = loop_next_token(loop, old_token);
    return loop->backend->change(loop, poll, old_token);
}

void loop_poll_stop(struct loop *loop, struct loop_poll *poll)
{
    if (!poll->token)
        return;
    loop->backend->stop(loop, poll);
    release_slot(loop, poll);
}

/* ---- writes --------------------------------------------------------------------------------------- */

static void unlink_write(struct loop_write *write)
{
    write->previous->next = write->next;
    write->next->previous = write->previous;
    write->next = write->previous = NULL;
    if (write->room.token) {
        int fd = write->room.fd;

        loop_poll_stop(write->loop, &write->room);
        (void)close(fd);
    }
}

void loop_write_finish(struct loop_write *write, int64_t result)
{
    unlink_write(write);
    write->in_flight = false;
    write->fn(write->arg, result);
}

void loop_write_finish_later(struct loop_write *write, int64_t result)
{
    struct loop *loop = write->loop;

    unlink_write(write);
    write->result = result;
    *loop->done_end = write;
    loop->done_end = &write->next;
}

static void on_room(void *arg, uint32_t events)
{
    struct loop_write *write = arg;
    int fd = write->room.fd, r;

    (void)events;
    loop_poll_stop(write->loop, &write->room);
    (void)close(fd);
    r = write->loop->backend->write(write->loop, write);
    if (r < 0)
        loop_write_finish(write, r);
}

int loop_write_wait_for_room(struct loop_write *write)
{
    /* A descriptor of our own: the caller may watch, or close, the one it gave. */
    CLEANUP_CLOSE int fd = fcntl(write->fd, F_DUPFD_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    write->room = (struct loop_poll){.fn = on_room, .arg = write, .fd = -1};
    r = loop_poll_start(write->loop, &write->room, fd, POLLOUT);
    if (r == 0)
        (void)take_fd(&fd);
    return r;
}

int loop_write_start(
    struct loop *loop, struct loop_write *write, int fd, const void *data, size_t size, int64_t offset)
{
    int r;

    if (write->in_flight)
        return -EBUSY;
    write->loop = loop;
    write->fd = fd;
    write->data = data;
    write->size = size;
    write->offset = offset;
    write->room = (struct loop_poll){.fd = -1};
    write->previous = loop->writes.previous;
    write->next = &loop->writes;
    loop->writes.previous->next = write;
    loop->writes.previous = write;
    write->in_flight = true;
    r = loop->backend->write(loop, write);
    if (r < 0) {
        unlink_write(write);
        write->in_flight = false;
    }
    return r;
}

void loop_write_cancel(struct loop *loop, struct loop_write *write)
{
    if (!write->in_flight || !write->next)
        return; /* not started, or finished and its callback is on its way */
    if (write->room.token)
        loop_write_finish_later(write, -ECANCELED);
    else
        loop->backend->cancel(loop, write);
}

static void run_done_writes(struct loop *loop)
{
    struct loop_write *write = loop->done;

    loop->done = NULL;
    loop->done_end = &loop->done;
    while (write) {
        struct loop_write *next = write->next;

        write->next = NULL;
        write->in_flight = false;
        write->fn(write->arg, write->result);
        write = next;
    }
}

/* ---- the turn ------------------------------------------------------------------------------------- */

static uint64_t time_to_wait(const struct loop *loop, uint64_t until_ns)
{
    uint64_t next = loop_timers_next(&loop->timers), now;

    if (loop->done || loop->clock || until_ns == 0)
        return 0;
    if (next < until_ns)
        until_ns = next;
    if (until_ns == UINT64_MAX)
        return UINT64_MAX;
    now = clock_now(loop->clock);
    return until_ns > now ? until_ns - now : 0;
}

int loop_run_once(struct loop *loop, uint64_t until_ns)
{
    int r = loop->backend->turn(loop, time_to_wait(loop, until_ns));

    if (r < 0)
        return r;
    run_done_writes(loop);
    loop_timers_run(loop);
    return 0;
}
