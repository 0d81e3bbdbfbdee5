/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/process_table.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "enricher/container_table.h"
#include "enricher/image.h"

#define SLOTS_FIRST 4096

/* Fibonacci hashing: pids are dense, the multiplier spreads them (Knuth, TAOCP 3, 6.4). */
static size_t home_of(const struct process_table *table, uint32_t tgid)
{
    return (size_t)((tgid * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & table->mask;
}

int process_table_init(struct process_table *table)
{
    *table = (struct process_table){.mask = SLOTS_FIRST - 1};
    table->slots = calloc(SLOTS_FIRST, sizeof(*table->slots));
    table->exited_last = &table->exited_first;
    return table->slots ? 0 : -ENOMEM;
}

void process_table_prefetch(const struct process_table *table, uint32_t tgid)
{
    __builtin_prefetch(&table->slots[home_of(table, tgid)]);
}

void process_table_prefetch_process(const struct process_table *table, uint32_t tgid)
{
    for (size_t i = home_of(table, tgid); table->slots[i].process; i = (i + 1) & table->mask) {
        const char *process = (const char *)table->slots[i].process;

        if (table->slots[i].tgid != tgid)
            continue;
        __builtin_prefetch(process);
        __builtin_prefetch(process + 64);
        __builtin_prefetch(process + sizeof(struct process) - 1);
    }
}

struct process *process_table_find(const struct process_table *table, uint32_t tgid, uint64_t start_ns)
{
    struct process *exited = NULL;

    for (size_t i = home_of(table, tgid); table->slots[i].process; i = (i + 1) & table->mask) {
        const struct process_slot *slot = &table->slots[i];

        if (slot->tgid != tgid || slot->start_low != (uint32_t)start_ns ||
            slot->process->start_ns != start_ns)
            continue;
        if (!slot->process->exited_ns)
            return slot->process;
        exited = slot->process; /* told again after its exit, it may be there twice: the living one counts */
    }
    return exited;
}

struct process *process_table_find_pid(const struct process_table *table, uint32_t tgid)
{
    struct process *found = NULL;

    for (size_t i = home_of(table, tgid); table->slots[i].process; i = (i + 1) & table->mask) {
        struct process *p = table->slots[i].process;

        if (table->slots[i].tgid == tgid && (!found || p->start_ns > found->start_ns))
            found = p;
    }
    return found;
}

static void put_slot(struct process_table *table, struct process *process)
{
    size_t i = home_of(table, process->tgid);

    while (table->slots[i].process)
        i = (i + 1) & table->mask;
    table->slots[i] = (struct process_slot){process->tgid, (uint32_t)process->start_ns, process};
}

/* Half full at most, so that probes stay short. 0 or -ENOMEM. */
static int grow(struct process_table *table)
{
    struct process_table grown = *table;

    grown.mask = table->mask * 2 + 1;
    grown.slots = calloc(grown.mask + 1, sizeof(*grown.slots));
    if (!grown.slots)
        return -ENOMEM;
    for (size_t i = 0; i <= table->mask; i++) {
        if (table->slots[i].process)
            put_slot(&grown, table->slots[i].process);
    }
    free(table->slots);
    table->slots = grown.slots;
    table->mask = grown.mask;
    return 0;
}

/* Empties slot i and moves up what was pushed behind it (Knuth, TAOCP 3, 6.4, algorithm R). */
static void clear_slot(struct process_table *table, size_t i)
{
    for (size_t j = (i + 1) & table->mask; table->slots[j].process; j = (j + 1) & table->mask) {
        size_t home = home_of(table, table->slots[j].tgid);

        if (((j - home) & table->mask) >= ((j - i) & table->mask)) {
            table->slots[i] = table->slots[j];
            i = j;
        }
    }
    table->slots[i].process = NULL;
}

/* T2 */
static void drop_parent_when_past(struct process *process)
{
    if (!process->current && process->held == 0)
        process_set_parent(process, NULL);
}

/* Out of the table; the slot is the caller's to reuse or clear. */
static void let_past(struct process_table *table, struct process *process)
{
    process->current = false;
    table->count--;
    drop_parent_when_past(process);
    process_unref(process);
}

int process_table_insert(struct process_table *table, struct process *process, uint64_t now_ns)
{
    size_t i;

    if (table->count * 2 > table->mask && grow(table) < 0 && table->count >= table->mask)
        return -ENOMEM;
    process_ref(process);
    process->current = true;
    table->count++;
    for (i = home_of(table, process->tgid); table->slots[i].process; i = (i + 1) & table->mask) {
        struct process *p = table->slots[i].process;

        if (table->slots[i].tgid != process->tgid || p->exited_ns)
            continue;
        if (p->start_ns == process->start_ns) { /* the next execution of the same process takes its slot */
            table->slots[i].process = process;
            let_past(table, p);
            return 0;
        }
        if (p->start_ns < process->start_ns)
            process_table_mark_exited(table, p, now_ns); /* T3 */
    }
    table->slots[i] = (struct process_slot){process->tgid, (uint32_t)process->start_ns, process};
    return 0;
}

void process_table_mark_exited(struct process_table *table, struct process *process, uint64_t now_ns)
{
    if (process->exited_ns || !process->current)
        return;
    process->exited_ns = now_ns ? now_ns : 1;
    process->exited_next = NULL;
    *table->exited_last = process;
    table->exited_last = &process->exited_next;
    table->exited_count++;
}

size_t process_table_mark_unseen(struct process_table *table, uint32_t generation, uint64_t now_ns)
{
    size_t before = table->exited_count;

    for (size_t i = 0; i <= table->mask; i++) {
        struct process *p = table->slots[i].process;

        if (p && p->seen != generation)
            process_table_mark_exited(table, p, now_ns);
    }
    return table->exited_count - before;
}

static struct process *pop_exited(struct process_table *table)
{
    struct process *p = table->exited_first;

    table->exited_first = p->exited_next;
    if (!table->exited_first)
        table->exited_last = &table->exited_first;
    table->exited_count--;
    return p;
}

/* Lets go of the one that exited first. false: it stays (T4), as if it had exited at `again_ns`. */
static bool drop_first_exited(struct process_table *table, uint64_t again_ns)
{
    struct process *p = pop_exited(table);
    size_t i;

    if (p->behind && p->behind->held.count > 0) {
        p->exited_ns = 0;
        process_table_mark_exited(table, p, again_ns);
        return false;
    }
    for (i = home_of(table, p->tgid); table->slots[i].process != p;)
        i = (i + 1) & table->mask;
    clear_slot(table, i);
    let_past(table, p);
    return true;
}

size_t process_table_expire(struct process_table *table, uint64_t before_ns, size_t budget)
{
    size_t gone = 0;

    for (; budget > 0 && table->exited_first && table->exited_first->exited_ns < before_ns; budget--)
        gone += drop_first_exited(table, before_ns + NS_PER_SEC);
    return gone;
}

size_t process_table_trim(struct process_table *table, size_t max_exited, uint64_t now_ns, size_t budget)
{
    size_t gone = 0;

    for (; budget > 0 && table->exited_count > max_exited; budget--)
        gone += drop_first_exited(table, now_ns);
    return gone;
}

void process_table_deinit(struct process_table *table)
{
    for (size_t i = 0; table->slots && i <= table->mask; i++) {
        if (table->slots[i].process)
            let_past(table, table->slots[i].process);
    }
    free(table->slots);
    *table = (struct process_table){0};
}

struct process *process_new(
    uint32_t tgid, uint64_t start_ns, uint64_t image_start_ns, enum process_origin origin)
{
    struct process *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->tgid = tgid;
    p->start_ns = start_ns;
    p->image_start_ns = image_start_ns;
    p->origin = (uint8_t)origin;
    p->refs = 1;
    return p;
}

struct process *process_ref(struct process *process)
{
    process->refs++;
    return process;
}

void process_unref(struct process *process)
{
    /* A loop, not a recursion: the last reference to a child may be the last one to its parent, and so on up. */
    while (process && --process->refs == 0) {
        struct process *parent = process->parent;

        image_unref(process->image);
        container_unref(process->container);
        container_unref(process->behind);
        free(process->head);
        free(process);
        process = parent;
    }
}

void process_set_parent(struct process *process, struct process *parent)
{
    struct process *old = process->parent;

    process->parent = parent ? process_ref(parent) : NULL;
    process_unref(old);
}

void process_set_container(struct process *process, struct container *container)
{
    struct container *old = process->container;

    process->container = container_ref(container);
    container_unref(old);
}

void process_set_behind(struct process *process, struct container *container)
{
    struct container *old = process->behind;

    process->behind = container_ref(container);
    container_unref(old);
}

void process_hold(struct process *process)
{
    process_ref(process);
    process->held++;
}

void process_release(struct process *process)
{
    process->held--;
    drop_parent_when_past(process);
    process_unref(process);
}
