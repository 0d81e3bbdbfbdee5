/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A hierarchical timing wheel (Varghese & Lauck 1987), intrusive. Insert and cancel are O(1), a node is moved
 * at most once a level before it expires. It never reads a clock: the caller says what time it is and pulls
 * what is due. Late is allowed, early is not. Ticks are 1 ms; 8 levels of 64 slots hold any 64-bit deadline.
 *
 * W1  a node is in exactly one slot list or none (wheel_node_armed)
 * W2  wheel_pull() never returns a node whose deadline is later than `now`
 * W3  wheel_next() is never later than the earliest deadline rounded up to a tick (for one already past: the
 *     wheel's time). It may be earlier, the next cascade: who pulls then gets a node or moves it, so that no
 *     one spins
 *
 * The wheel must not move in memory while a node is armed.
 */
#include <stdbool.h>
#include <stdint.h>

struct wheel_node {
    struct wheel_node *next, **link; /* link: what points to us; NULL when not armed */
    uint64_t deadline_ns;
    uint8_t level, slot;
};

#define WHEEL_LEVELS 8
#define WHEEL_SLOTS  64

struct wheel {
    uint64_t now_tick;
    uint64_t occupied[WHEEL_LEVELS]; /* a bit a slot */
    struct wheel_node *slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct wheel_node *due;
    uint64_t count;
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);
void wheel_arm(
    struct wheel *wheel, struct wheel_node *node, uint64_t deadline_ns); /* re-arms an armed node */
void wheel_disarm(struct wheel *wheel, struct wheel_node *node);         /* idempotent */
static inline bool wheel_node_armed(const struct wheel_node *node)
{
    return node->link;
}
/* Turns the wheel to `now_ns` and gives one due node, disarmed; NULL: nothing more is due. Nodes of an
 * earlier tick come first; within one there is no order. A node that is armed again for a time not after
 * `now_ns` comes again in the same round. A clock that went back gives nothing. */
struct wheel_node *wheel_pull(struct wheel *wheel, uint64_t now_ns);
uint64_t wheel_next(const struct wheel *wheel); /* boot ns; UINT64_MAX when empty */
bool wheel_check(const struct wheel *wheel);    /* W1, counts and bitmaps hold; for tests */
