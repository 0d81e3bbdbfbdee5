/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on io_uring (Linux 5.13 and later; io_uring_setup(2), io_uring_enter(2), io_uring_register(2)).
 *
 * Polls. A poll request looks at the file when it is armed, so a single-shot request that is armed again
 * after each callback is level-triggered as the contract wants, and costs no system call of its own: it is
 * submitted by the wait that follows. A multishot request tells edges only: it serves the watches that
 * promise to drain (LOOP_DRAINS). It can end by itself (no IORING_CQE_F_MORE: the completion queue
 * overflowed, memory was short); then it is armed again like the other kind, with the same look at the
 * file.
 *
 * The ring is created disabled, restricted to the operations below, and then enabled: neither this process
 * nor whoever takes it over can open, connect or send by it.
 */
#include "enricher/loop_internal.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define SUBMISSION_ENTRIES 256  /* what one turn starts; more is submitted in between */
#define COMPLETION_ENTRIES 4096 /* doorbells and viewers of a long turn without the kernel's overflow list */
#define IO_WORKERS         2    /* file writes that cannot be done at once: one sink, one in reserve */

static const uint8_t allowed_operations[] = {
    IORING_OP_POLL_ADD,
    IORING_OP_POLL_REMOVE,
    IORING_OP_WRITE,
    IORING_OP_ASYNC_CANCEL,
};
#define ALLOWED_COUNT (sizeof(allowed_operations) / sizeof(allowed_operations[0]))

struct uring_state {
    struct io_uring ring;
    /* No room in the submission queue, or a poll that the kernel gave up: look through the slots. */
    bool some_unarmed;
    bool closing; /* only the ends of writes matter */
};

/* ---- submissions ---------------------------------------------------------------------------------- */

/* NULL: the kernel takes nothing more at the moment. */
static struct io_uring_sqe *new_submission(struct uring_state *state)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);

    if (!sqe) {
        (void)io_uring_submit(&state->ring);
        sqe = io_uring_get_sqe(&state->ring);
    }
    return sqe;
}

static void arm_poll(struct loop *loop, struct loop_slot *slot, bool multishot)
{
    struct uring_state *state = loop->backend_state;
    const struct loop_poll *poll = slot->poll;
    struct io_uring_sqe *sqe = new_submission(state);
    unsigned mask = poll->events & LOOP_POLL_MASK;

    if (!sqe) {
        state->some_unarmed = true;
        return;
    }
    if (multishot)
        io_uring_prep_poll_multishot(sqe, poll->fd, mask);
    else
        io_uring_prep_poll_add(sqe, poll->fd, mask);
    io_uring_sqe_set_data64(sqe, poll->token);
    slot->armed = true;
}

static bool drains(const struct loop_slot *slot)
{
    return slot->poll->events & LOOP_DRAINS;
}

static void arm_what_is_unarmed(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;

    state->some_unarmed = false;
    for (uint32_t i = 0; i < loop->slot_count; i++)
        if (loop->slots[i].poll && !loop->slots[i].armed)
            arm_poll(loop, &loop->slots[i], drains(&loop->slots[i]));
}

/* Without room in the queue the request stays until it fires; its token is stale by then, so nobody is
 * called. */
static void remove_poll(struct uring_state *state, uint64_t token)
{
    struct io_uring_sqe *sqe = new_submission(state);

    if (!sqe)
        return;
    io_uring_prep_poll_remove(sqe, token);
    io_uring_sqe_set_data64(sqe, LOOP_TOKEN_IGNORED);
}

/* The kernel still knows the watch by old_token, if it is armed at all. */
static void arm_anew(struct loop *loop, struct loop_slot *slot, uint64_t old_token)
{
    if (slot->armed)
        remove_poll(loop->backend_state, old_token);
    slot->armed = false;
    arm_poll(loop, slot, drains(slot));
}

static int uring_start(struct loop *loop, struct loop_poll *poll)
{
    struct loop_slot *slot = loop_token_slot(loop, poll->token);

    arm_poll(loop, slot, drains(slot));
    return 0;
}

static int uring_change(struct loop *loop, struct loop_poll *poll, uint64_t old_token)
{
    arm_anew(loop, loop_token_slot(loop, poll->token), old_token);
    return 0;
}

static void uring_stop(struct loop *loop, const struct loop_poll *poll)
{
    if (loop_token_slot(loop, poll->token)->armed)
        remove_poll(loop->backend_state, poll->token);
}

static int uring_write(struct loop *loop, struct loop_write *write)
{
    struct io_uring_sqe *sqe = new_submission(loop->backend_state);

    if (!sqe)
        return -EBUSY;
    io_uring_prep_write(sqe, write->fd, write->data,
        (unsigned)(write->size < INT32_MAX ? write->size : INT32_MAX), (uint64_t)write->offset);
    io_uring_sqe_set_data64(sqe, loop_token_of_write(write));
    return 0;
}

static void uring_cancel(struct loop *loop, struct loop_write *write)
{
    struct io_uring_sqe *sqe = new_submission(loop->backend_state);

    if (!sqe)
        return;
    io_uring_prep_cancel64(sqe, loop_token_of_write(write), 0);
    io_uring_sqe_set_data64(sqe, LOOP_TOKEN_IGNORED);
}

/* ---- completions ---------------------------------------------------------------------------------- */

static void on_poll(struct loop *loop, uint64_t token, int32_t result, bool more)
{
    struct uring_state *state = loop->backend_state;
    struct loop_slot *slot = loop_token_slot(loop, token);
    uint32_t events;

    if (!slot)
        return; /* stopped or changed while this was on its way (L4) */
    slot->armed = more;
    if (result == -EBADF) { /* closed while watched: said once, as there is nothing to watch */
        slot->poll->fn(slot->poll->arg, POLLERR | POLLNVAL);
        return;
    }
    if (result < 0) {
        state->some_unarmed = true;
        return;
    }
    events = (uint32_t)result & (slot->poll->events | POLLERR | POLLHUP | POLLNVAL);
    if (!events) {
        /* POLLRDHUP: io_uring tells it to those too who did not ask, and it stays: a single-shot poll would
         * tell it for ever. A multishot one tells it once and then waits for a change. */
        if (!slot->armed)
            arm_poll(loop, slot, true);
        return;
    }
    slot->poll->fn(slot->poll->arg, events);
    slot = loop_token_slot(loop, token); /* the callback may have stopped it, and the table may have moved */
    if (slot && !slot->armed) {
        arm_poll(loop, slot, drains(slot));
    } else if (slot && !drains(slot)) { /* one of those multishot polls: look at the file again */
        slot->poll->token = loop_next_token(loop, token);
        arm_anew(loop, slot, token);
    }
}

static void on_write(struct loop *loop, struct loop_write *write, int32_t result)
{
    const struct uring_state *state = loop->backend_state;
    int r;

    if (state->closing) {
        loop_write_finish_later(write, result);
        return;
    }
    if (result == -EAGAIN) { /* the file is O_NONBLOCK */
        r = loop_write_wait_for_room(write);
        if (r == 0)
            return;
        result = r;
    }
    loop_write_finish(write, result);
}

static void dispatch(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;

    /* What callbacks bring about is left to the next turn, so that timers have theirs. */
    for (unsigned count = io_uring_cq_ready(&state->ring); count > 0; count--) {
        struct io_uring_cqe *cqe;
        uint64_t token;
        uint32_t flags;
        int32_t result;

        if (io_uring_peek_cqe(&state->ring, &cqe) < 0)
            break;
        token = io_uring_cqe_get_data64(cqe);
        result = cqe->res;
        flags = cqe->flags;
        io_uring_cqe_seen(&state->ring, cqe);
        if (loop_token_kind(token) == LOOP_TOKEN_WRITE)
            on_write(loop, loop_token_write(token), result);
        else if (loop_token_kind(token) == LOOP_TOKEN_POLL && !state->closing)
            on_poll(loop, token, result, flags & IORING_CQE_F_MORE);
    }
}

/* No system call when there is nothing to submit and the kernel has nothing to run for us. */
static int look(struct uring_state *state)
{
    uint32_t flags = __atomic_load_n(state->ring.sq.kflags, __ATOMIC_RELAXED);

    if (io_uring_sq_ready(&state->ring))
        return io_uring_submit_and_get_events(&state->ring);
    if (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
        return io_uring_get_events(&state->ring);
    return 0;
}

static int wait_for_completion(struct uring_state *state, uint64_t timeout_ns)
{
    struct __kernel_timespec timeout = {
        .tv_sec = (int64_t)(timeout_ns / NS_PER_SEC), .tv_nsec = (int64_t)(timeout_ns % NS_PER_SEC)};
    struct io_uring_cqe *cqe;
    int r;

    if (timeout_ns == 0)
        r = look(state);
    else
        r = io_uring_submit_and_wait_timeout(
            &state->ring, &cqe, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
    /* EBUSY, EAGAIN: the kernel wants completions taken, or memory, before it takes more; the next turn
     * tries again. */
    return r >= 0 || r == -ETIME || r == -EINTR || r == -EBUSY || r == -EAGAIN ? 0 : r;
}

static int uring_turn(struct loop *loop, uint64_t timeout_ns)
{
    struct uring_state *state = loop->backend_state;
    int r;

    if (state->some_unarmed)
        arm_what_is_unarmed(loop);
    r = wait_for_completion(state, timeout_ns);
    if (r < 0)
        return r;
    loop_update_now(loop);
    dispatch(loop);
    return 0;
}

/* ---- life ----------------------------------------------------------------------------------------- */

/* The kernel reads the buffers of writes in flight: they belong to the callers again when we return. */
static void end_writes(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;

    state->closing = true;
    for (struct loop_write *write = loop->writes.next, *next; write != &loop->writes; write = next) {
        next = write->next;
        loop_write_cancel(loop, write);
    }
    while (loop->writes.next != &loop->writes) {
        if (wait_for_completion(state, UINT64_MAX) < 0)
            break;
        dispatch(loop);
    }
}

static void uring_free(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;

    end_writes(loop);
    io_uring_queue_exit(&state->ring);
    free(state);
}

static const struct loop_backend uring_backend = {
    .start = uring_start,
    .change = uring_change,
    .stop = uring_stop,
    .write = uring_write,
    .cancel = uring_cancel,
    .turn = uring_turn,
    .free = uring_free,
};

struct io_uring *loop_uring_ring(struct loop *loop)
{
    return loop->backend == &uring_backend ? &((struct uring_state *)loop->backend_state)->ring : NULL;
}

/* The best set of flags that this kernel takes; it answers EINVAL to one that it does not know. */
static int create_ring(struct io_uring *ring, struct io_uring_params *ret_params)
{
    static const uint32_t sets[] = {
        /* 6.1: completions are made ready when we ask for them, in our wait: no interruption of a batch,
         * one wake-up for many. Needs a single issuer. TASKRUN_FLAG says in shared memory that there is
         * something to ask for, so that look() seldom enters the kernel. */
        IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        /* 5.19: at least no interrupt between processors to run completions; they run at our next system
         * call. */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        /* 5.18: one refused submission does not hold up those behind it. */
        IORING_SETUP_SUBMIT_ALL,
        0,
    };
    int r = -EINVAL;

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]) && r == -EINVAL; i++) {
        *ret_params = (struct io_uring_params){
            /* R_DISABLED: restrictions can only be set on a ring that does not run yet. CLAMP: sizes are
             * wishes. */
            .flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | sets[i],
            .cq_entries = COMPLETION_ENTRIES,
        };
        r = io_uring_queue_init_params(SUBMISSION_ENTRIES, ring, ret_params);
    }
    return r;
}

/* Timeouts in io_uring_enter() came with 5.11, multishot polls with 5.13. The latter have no feature bit, but
 * resource tags came with the same kernel and have one. */
static int check_features(struct io_uring *ring, uint32_t features)
{
    CLEANUP_FREE struct io_uring_probe *probe = io_uring_get_probe_ring(ring);

    const uint32_t needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;

    if (!probe || (features & needed) != needed)
        return -EOPNOTSUPP;
    for (size_t i = 0; i < ALLOWED_COUNT; i++)
        if (!io_uring_opcode_supported(probe, allowed_operations[i]))
            return -EOPNOTSUPP;
    return 0;
}

/* The shared library of liburing 2.3 does not export its own functions for these two operations. */
static int register_ring(const struct io_uring *ring, unsigned operation, const void *data, unsigned count)
{
    return syscall(__NR_io_uring_register, ring->ring_fd, operation, data, count) < 0 ? -errno : 0;
}

/* No register operation and no submission flag is named, so all of them are refused from here on. */
static int restrict_and_enable(const struct io_uring *ring)
{
    struct io_uring_restriction restrictions[ALLOWED_COUNT] = {0};
    int r;

    for (size_t i = 0; i < ALLOWED_COUNT; i++) {
        restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
        restrictions[i].sqe_op = allowed_operations[i];
    }
    r = register_ring(ring, IORING_REGISTER_RESTRICTIONS, restrictions, ALLOWED_COUNT);
    return r < 0 ? r : register_ring(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int loop_uring_init(struct loop *loop)
{
    CLEANUP_FREE struct uring_state *state = calloc(1, sizeof(*state));
    unsigned workers[2] = {IO_WORKERS, IO_WORKERS};
    struct io_uring_params params;
    int r;

    if (!state)
        return -ENOMEM;
    r = create_ring(&state->ring, &params);
    if (r < 0)
        return r;
    (void)io_uring_register_iowq_max_workers(&state->ring, workers); /* 5.15; only a limit */
    r = check_features(&state->ring, params.features);
    if (r == 0)
        r = restrict_and_enable(&state->ring);
    if (r < 0) {
        io_uring_queue_exit(&state->ring);
        return r;
    }
    (void)snprintf(loop->description, sizeof(loop->description), "io_uring (multishot poll, restricted)");
    loop->backend = &uring_backend;
    loop->backend_state = TAKE_POINTER(state);
    return 0;
}
