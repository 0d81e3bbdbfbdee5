/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/wheel.h"

#include <stddef.h>

#include "common/clock.h"

#define SLOT_BITS 6
#define TICK_NS   NS_PER_MS

/*
 * A tick is a number in base 64, a level a digit of it. A node stands at the highest level whose digit
 * differs between its tick and now_tick, in the slot of its own digit there. So at every level
 *
 *   all digits above are those of now_tick, and the node's own digit is greater than now_tick's
 *
 * and that stays true while now_tick moves, as long as it does not pass the start of an occupied slot. The
 * first occupied slot of the lowest occupied level is therefore the next thing to happen.
 */
_Static_assert(1u << SLOT_BITS == WHEEL_SLOTS, "a slot is a digit");
_Static_assert(UINT64_MAX / TICK_NS >> (SLOT_BITS * WHEEL_LEVELS) == 0, "any deadline has a level");

static uint64_t tick_of_deadline(uint64_t deadline_ns)
{
    return deadline_ns / TICK_NS + (deadline_ns % TICK_NS != 0); /* up: never early */
}

static void link_node(struct wheel_node **head, struct wheel_node *node)
{
    node->next = *head;
    if (node->next)
        node->next->link = &node->next;
    node->link = head;
    *head = node;
}

static void unlink_node(struct wheel_node *node)
{
    *node->link = node->next;
    if (node->next)
        node->next->link = node->link;
    node->next = NULL;
    node->link = NULL;
}

static void place(struct wheel *wheel, struct wheel_node *node)
{
    uint64_t tick = tick_of_deadline(node->deadline_ns);
    unsigned level, slot;

    if (tick <= wheel->now_tick) {
        link_node(&wheel->due, node);
        return;
    }
    level = (63u - (unsigned)__builtin_clzll(tick ^ wheel->now_tick)) / SLOT_BITS;
    slot = (unsigned)(tick >> (level * SLOT_BITS)) % WHEEL_SLOTS;
    node->level = (uint8_t)level;
    node->slot = (uint8_t)slot;
    link_node(&wheel->slots[level][slot], node);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

/* The next occupied slot and the tick at which it starts; false: there is none. */
static bool next_slot(const struct wheel *wheel, unsigned *ret_level, unsigned *ret_slot, uint64_t *ret_tick)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        unsigned slot, shift = level * SLOT_BITS;

        if (!wheel->occupied[level])
            continue;
        slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
        *ret_level = level;
        *ret_slot = slot;
        *ret_tick = (wheel->now_tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS)) | (uint64_t)slot << shift;
        return true;
    }
    return false;
}

/* Turns to the start of the slot; what stood in it is due or goes to a lower level. */
static void open_slot(struct wheel *wheel, unsigned level, unsigned slot, uint64_t tick)
{
    struct wheel_node *node = wheel->slots[level][slot];

    wheel->now_tick = tick;
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    if (level == 0 && !wheel->due) { /* all of one tick: the list changes hands as it is */
        wheel->due = node;
        node->link = &wheel->due;
        return;
    }
    while (node) {
        struct wheel_node *next = node->next;

        place(wheel, node);
        node = next;
    }
}

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    *wheel = (struct wheel){.now_tick = now_ns / TICK_NS};
}

void wheel_arm(struct wheel *wheel, struct wheel_node *node, uint64_t deadline_ns)
{
    wheel_disarm(wheel, node);
    node->deadline_ns = deadline_ns;
    place(wheel, node);
    wheel->count++;
}

void wheel_disarm(struct wheel *wheel, struct wheel_node *node)
{
    if (!wheel_node_armed(node))
        return;
    unlink_node(node);
    /* A due node still names the slot that it came from: empty by now, or rightly marked for others. */
    if (!wheel->slots[node->level][node->slot])
        wheel->occupied[node->level] &= ~(UINT64_C(1) << node->slot);
    wheel->count--;
}

struct wheel_node *wheel_pull(struct wheel *wheel, uint64_t now_ns)
{
    uint64_t target = now_ns / TICK_NS, tick;
    unsigned level, slot;
    struct wheel_node *node;

    if (target < wheel->now_tick)
        return NULL;
    while (!wheel->due && next_slot(wheel, &level, &slot, &tick) && tick <= target)
        open_slot(wheel, level, slot, tick);
    node = wheel->due;
    if (!node) {
        wheel->now_tick = target;
        return NULL;
    }
    __builtin_prefetch(node->next);
    unlink_node(node);
    wheel->count--;
    return node;
}

uint64_t wheel_next(const struct wheel *wheel)
{
    unsigned level, slot;
    uint64_t tick;

    if (wheel->due)
        return wheel->now_tick * TICK_NS;
    if (!next_slot(wheel, &level, &slot, &tick))
        return UINT64_MAX;
    return tick > UINT64_MAX / TICK_NS ? UINT64_MAX : tick * TICK_NS;
}

/* Counts a list whose links hold; -1: they do not, or a node stands where it should not. */
static int64_t check_list(const struct wheel *wheel, struct wheel_node *const *head, int level, int slot)
{
    int64_t count = 0;

    for (const struct wheel_node *node = *head; node; head = &node->next, node = node->next, count++) {
        uint64_t tick = tick_of_deadline(node->deadline_ns);

        if (node->link != head || count > (int64_t)wheel->count)
            return -1;
        if (level < 0) {
            if (tick > wheel->now_tick)
                return -1;
        } else if (node->level != level || node->slot != slot || tick <= wheel->now_tick ||
                   (tick >> (level * SLOT_BITS)) % WHEEL_SLOTS != (unsigned)slot ||
                   (tick ^ wheel->now_tick) >> (level * SLOT_BITS) == 0 ||
                   (tick ^ wheel->now_tick) >> (level * SLOT_BITS) >= WHEEL_SLOTS) {
            return -1;
        }
    }
    return count;
}

bool wheel_check(const struct wheel *wheel)
{
    int64_t total = check_list(wheel, &wheel->due, -1, -1);

    if (total < 0)
        return false;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        for (int slot = 0; slot < WHEEL_SLOTS; slot++) {
            int64_t count = check_list(wheel, &wheel->slots[level][slot], level, slot);

            if (count < 0 || (count > 0) != (wheel->occupied[level] >> slot & 1))
                return false;
            total += count;
        }
    }
    return (uint64_t)total == wheel->count;
}
