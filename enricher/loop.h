/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one loop of the enricher: readiness of fds, timers, and file writes that do not stop it. Two
 * back-ends behind this interface, chosen once at the start: io_uring (loop_uring.c) and epoll
 * (loop_epoll.c). Everything is intrusive: the caller owns the watch, timer or write and keeps it alive
 * until it is stopped or has completed. Callbacks run only inside loop_run_once(); a callback may start
 * and stop anything, itself included.
 *
 * L1  a poll callback means "try until EAGAIN": spurious calls are allowed, lost ones are not
 * L2  a timer is never early; timers due in the same turn run in the order of their deadlines
 * L3  at most one write per struct loop_write is in flight; its buffer stays untouched until its callback
 * L4  after loop_poll_stop() returns, its callback does not run again
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/clock.h"

/* Flag in `events` of loop_poll_start(): the callback always goes on until EAGAIN, so it need not be
 * called again for what it left. io_uring then keeps one multishot poll for the watch's life instead of
 * arming a single-shot one after each callback. */
#define LOOP_DRAINS (UINT32_C(1) << 31)

struct loop;
struct loop_poll;
struct loop_timer;
struct loop_write;

enum loop_kind { LOOP_AUTO, LOOP_URING, LOOP_EPOLL };

typedef void loop_poll_fn(void *arg, uint32_t events); /* POLLIN POLLOUT POLLERR POLLHUP */
typedef void loop_timer_fn(void *arg, uint64_t now_ns);
typedef void loop_write_fn(void *arg, int64_t result); /* bytes written (may be short) or negative errno */

struct loop_poll {
    loop_poll_fn *fn;
    void *arg;
    int fd;          /* -1: not started */
    uint32_t events; /* what is watched */
    uint64_t token;  /* the loop's own */
};

struct loop_timer {
    loop_timer_fn *fn;
    void *arg;
    uint64_t deadline_ns; /* boot clock */
    /* the loop's own: place in its pairing heap */
    struct loop_timer *child, *next, *previous;
    uint64_t sequence;
    enum { LOOP_TIMER_IDLE, LOOP_TIMER_ARMED, LOOP_TIMER_DUE } state;
};

struct loop_write {
    loop_write_fn *fn;
    void *arg;
    bool in_flight;
    /* the loop's own, while in flight */
    int fd;
    const void *data;
    size_t size;
    int64_t offset, result;
    struct loop *loop;
    struct loop_poll room;
    struct loop_write *next, *previous;
};

/* clock: NULL for the real one; with a clock of its own (tests) the loop never waits: it polls once and
 * returns. LOOP_AUTO takes io_uring when the kernel lets us, epoll otherwise; LOOP_URING fails where AUTO
 * would fall back. 0 or negative errno. */
int loop_new(struct loop **ret, enum loop_kind kind, const struct clock *clock);
struct loop *loop_free(struct loop *loop);
/* "io_uring (multishot poll, restricted)" or "epoll (io_uring: Operation not permitted)"; lives as long as
 * the loop. */
const char *loop_describe(const struct loop *loop);
uint64_t loop_now(const struct loop *loop); /* boot ns, read once a turn */

/* Level-like: while the condition holds the callback keeps coming (LOOP_DRAINS: at least once after each
 * change). One watch per fd. 0 or negative errno: -EBADF; -EPERM for what is always ready (regular files).
 * After a stop the kernel lets go of the fd within the next turn, closed or not. */
int loop_poll_start(struct loop *loop, struct loop_poll *poll, int fd, uint32_t events);
int loop_poll_change(struct loop *loop, struct loop_poll *poll, uint32_t events);
void loop_poll_stop(struct loop *loop, struct loop_poll *poll); /* idempotent */

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns); /* re-arms */
void loop_timer_disarm(struct loop *loop, struct loop_timer *timer);                    /* idempotent */

/* One write(2)-like operation; offset -1: the file's own position (O_APPEND, pipes). Where the fd has no
 * room (pipe, socket, terminal; blocking or not) the write waits, the loop does not. The callback comes in
 * a later turn, never out of this call. SIGPIPE is the caller's to ignore. */
int loop_write_start(
    struct loop *loop, struct loop_write *write, int fd, const void *data, size_t size, int64_t offset);
/* Asks for an early end: the callback still comes, with -ECANCELED or with the result that it had before.
 * Idempotent. */
void loop_write_cancel(struct loop *loop, struct loop_write *write);

/* Waits for the next completion or timer, at most until `until_ns` (0: do not wait; UINT64_MAX: no limit),
 * runs the callbacks. A signal ends the wait. 0 or negative errno. */
int loop_run_once(struct loop *loop, uint64_t until_ns);
