/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: an intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986, two-pass), so that arming
 * never allocates and cannot fail. Links: child is the first child, next the next sibling, previous the
 * previous sibling or, for a first child, the parent.
 */
#include "enricher/loop_internal.h"

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->sequence < b->sequence;
}

/* Two roots, either may be NULL; the later becomes the first child of the earlier. */
static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (is_before(b, a)) {
        struct loop_timer *swap = a;

        a = b;
        b = swap;
    }
    b->next = a->child;
    b->previous = a;
    if (a->child)
        a->child->previous = b;
    a->child = b;
    return a;
}

/* Children of a removed node → one heap: meld in pairs from the left, then the pairs from the right. */
static struct loop_timer *merge_siblings(struct loop_timer *first)
{
    struct loop_timer *pairs = NULL, *root = NULL;

    while (first) {
        struct loop_timer *a = first, *b = first->next, *pair;

        first = b ? b->next : NULL;
        a->next = a->previous = NULL;
        if (b)
            b->next = b->previous = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct loop_timer *rest = pairs->next;

        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

static void heap_remove(struct loop_timers *timers, struct loop_timer *timer)
{
    struct loop_timer *below = merge_siblings(timer->child);

    if (timer == timers->root) {
        timers->root = below;
    } else {
        if (timer->previous->child == timer)
            timer->previous->child = timer->next;
        else
            timer->previous->next = timer->next;
        if (timer->next)
            timer->next->previous = timer->previous;
        timers->root = meld(timers->root, below);
    }
    timer->child = timer->next = timer->previous = NULL;
}

void loop_timers_init(struct loop_timers *timers)
{
    timers->root = NULL;
    timers->due.next = timers->due.previous = &timers->due;
}

uint64_t loop_timers_next(const struct loop_timers *timers)
{
    return timers->root ? timers->root->deadline_ns : UINT64_MAX;
}

void loop_timer_disarm(struct loop *loop, struct loop_timer *timer)
{
    if (timer->state == LOOP_TIMER_ARMED) {
        heap_remove(&loop->timers, timer);
    } else if (timer->state == LOOP_TIMER_DUE) {
        timer->previous->next = timer->next;
        timer->next->previous = timer->previous;
        timer->next = timer->previous = NULL;
    }
    timer->state = LOOP_TIMER_IDLE;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    loop_timer_disarm(loop, timer);
    timer->deadline_ns = deadline_ns;
    timer->sequence = ++loop->timers.sequence;
    timer->child = timer->next = timer->previous = NULL;
    timer->state = LOOP_TIMER_ARMED;
    loop->timers.root = meld(loop->timers.root, timer);
}

void loop_timers_run(struct loop *loop)
{
    struct loop_timers *timers = &loop->timers;
    struct loop_timer *due = &timers->due;
    uint64_t now_ns = loop->now_ns;

    while (timers->root && timers->root->deadline_ns <= now_ns) {
        struct loop_timer *timer = timers->root;

        heap_remove(timers, timer);
        timer->state = LOOP_TIMER_DUE;
        timer->previous = due->previous;
        timer->next = due;
        due->previous->next = timer;
        due->previous = timer;
    }
    while (due->next != due) {
        struct loop_timer *timer = due->next;

        loop_timer_disarm(loop, timer);
        timer->fn(timer->arg, now_ns);
    }
}
