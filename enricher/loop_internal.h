/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What loop.c shares with its back-ends and its timers. Nobody else includes this.
 *
 * A watch is known to the kernel by a token, never by its address: slot of the loop's table + generation.
 * Stopping or changing a watch takes the next generation, so that a completion that is already on its way
 * finds nobody (L4). loop_token() and loop_token_poll() are the one encoder and decoder.
 */
#include <sys/types.h>
#include "enricher/loop.h"

#define LOOP_POLL_MASK (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLERR | POLLHUP)

struct loop_slot {
    struct loop_poll *poll; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
    bool armed; /* io_uring: a poll request of this generation is in the kernel or in the submission queue */
};

struct loop_timers {
    struct loop_timer *root; /* pairing heap by (deadline, sequence) */
    struct loop_timer due;   /* ring of those that run in this turn */
    uint64_t sequence;
};

struct loop_backend {
    /* poll->token and poll->events are set. */
    int (*start)(struct loop *loop, struct loop_poll *poll);
    /* old_token is what the kernel still knows the watch by. */
    int (*change)(struct loop *loop, struct loop_poll *poll, uint64_t old_token);
    void (*stop)(struct loop *loop, const struct loop_poll *poll);
    int (*write)(struct loop *loop, struct loop_write *write);
    void (*cancel)(struct loop *loop, struct loop_write *write);
    /* Waits (UINT64_MAX: no limit), reads the clock by loop_update_now(), dispatches what is there. */
    int (*turn)(struct loop *loop, uint64_t timeout_ns);
    void (*free)(struct loop *loop);
};

struct loop {
    const struct loop_backend *backend;
    void *backend_state;
    const struct clock *clock;
    uint64_t now_ns;
    struct loop_slot *slots;
    uint32_t slot_count, free_slot; /* free_slot: index + 1 */
    struct loop_timers timers;
    struct loop_write writes;            /* ring of all in flight */
    struct loop_write *done, **done_end; /* finished, callback not yet run */
    char description[160];
};

/*
 * Tokens: bits 0-2 kind, 3-31 slot, 32-63 generation (POLL); or an address with the kind in its free bits
 * (WRITE).
 */
enum loop_token_kind { LOOP_TOKEN_IGNORED, LOOP_TOKEN_POLL, LOOP_TOKEN_WRITE, LOOP_TOKEN_KIND_MASK = 7 };
#define LOOP_SLOT_MAX ((UINT32_C(1) << 29) - 1)

static inline enum loop_token_kind loop_token_kind(uint64_t token)
{
    return (enum loop_token_kind)(token & LOOP_TOKEN_KIND_MASK);
}
uint64_t loop_token(const struct loop *loop, uint32_t slot);
/* Of the same slot: completions of the old one find nobody from here on. */
uint64_t loop_next_token(struct loop *loop, uint64_t token);
/* NULL: the watch was stopped or changed since. */
struct loop_poll *loop_token_poll(const struct loop *loop, uint64_t token);
struct loop_slot *loop_token_slot(const struct loop *loop, uint64_t token);
uint64_t loop_token_of_write(struct loop_write *write);
struct loop_write *loop_token_write(uint64_t token);

void loop_update_now(struct loop *loop);

/* The write has its result: takes it out of flight and runs its callback (finish), or leaves that to the
 * next turn (finish_later). */
void loop_write_finish(struct loop_write *write, int64_t result);
void loop_write_finish_later(struct loop_write *write, int64_t result);
/* Calls backend->write() again when the fd has room. */
int loop_write_wait_for_room(struct loop_write *write);

/* ---- loop_timer.c --------------------------------------------------------------------------------- */
void loop_timers_init(struct loop_timers *timers);
uint64_t loop_timers_next(const struct loop_timers *timers); /* deadline, UINT64_MAX: none */
/* Runs what is due; what the callbacks arm waits for the next turn, even if it is due at once. */
void loop_timers_run(struct loop *loop);

/* ---- back-ends: fill backend, backend_state and description --------------------------------------- */
int loop_epoll_init(struct loop *loop);
int loop_uring_init(struct loop *loop);

/* For the tests of the restrictions; NULL on another back-end. */
struct io_uring;
struct io_uring *loop_uring_ring(struct loop *loop);
