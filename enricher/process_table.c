/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/process_table.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "enricher/container_table.h"
#include "enricher/image.h"

#define BUCKETS_FIRST 4096

/* Fibonacci hashing: pids are dense, the multiplier spreads them (Knuth, TAOCP 3, 6.4). */
static size_t bucket_of(const struct process_table *table, uint32_t tgid)
{
    return (size_t)((tgid * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (table->bucket_count - 1);
}

int process_table_init(struct process_table *table)
{
    *table = (struct process_table){.bucket_count = BUCKETS_FIRST};
    table->buckets = calloc(BUCKETS_FIRST, sizeof(*table->buckets));
    table->exited_last = &table->exited_first;
    return table->buckets ? 0 : -ENOMEM;
}

struct process *process_table_find(const struct process_table *table, uint32_t tgid, uint64_t start_ns)
{
    struct process *p = table->buckets[bucket_of(table, tgid)];

    while (p && (p->tgid != tgid || p->start_ns != start_ns))
        p = p->next;
    return p;
}

struct process *process_table_find_pid(const struct process_table *table, uint32_t tgid)
{
    struct process *found = NULL;

    for (struct process *p = table->buckets[bucket_of(table, tgid)]; p; p = p->next) {
        if (p->tgid == tgid && (!found || p->start_ns > found->start_ns))
            found = p;
    }
    return found;
}

static void grow(struct process_table *table)
{
    size_t wide = table->bucket_count * 2;
    struct process **buckets = calloc(wide, sizeof(*buckets));
    struct process_table grown = {.buckets = buckets, .bucket_count = wide};

    if (!buckets)
        return; /* longer chains, nothing worse */
    for (size_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i]) {
            struct process *p = table->buckets[i];
            size_t to = bucket_of(&grown, p->tgid);

            table->buckets[i] = p->next;
            p->next = buckets[to];
            buckets[to] = p;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = wide;
}

/* T2 */
static void drop_parent_when_past(struct process *process)
{
    if (!process->current && process->held == 0)
        process_set_parent(process, NULL);
}

static void unlink_current(struct process_table *table, struct process **link)
{
    struct process *p = *link;

    *link = p->next;
    p->next = NULL;
    p->current = false;
    table->count--;
    drop_parent_when_past(p);
    process_unref(p);
}

void process_table_insert(struct process_table *table, struct process *process, uint64_t now_ns)
{
    struct process **link = &table->buckets[bucket_of(table, process->tgid)];

    process_ref(process);
    process->current = true;
    for (struct process **l = link; *l;) {
        struct process *p = *l;

        if (p->tgid == process->tgid && p->start_ns == process->start_ns && !p->exited_ns) {
            unlink_current(table, l);
            continue;
        }
        if (p->tgid == process->tgid && p->start_ns < process->start_ns && !p->exited_ns)
            process_table_mark_exited(table, p, now_ns); /* T3 */
        l = &p->next;
    }
    process->next = *link;
    *link = process;
    if (++table->count > table->bucket_count)
        grow(table);
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

static struct process *pop_exited(struct process_table *table)
{
    struct process *p = table->exited_first;

    table->exited_first = p->exited_next;
    if (!table->exited_first)
        table->exited_last = &table->exited_first;
    table->exited_count--;
    return p;
}

size_t process_table_expire(struct process_table *table, uint64_t before_ns, size_t budget)
{
    size_t gone = 0;

    for (; budget > 0 && table->exited_first && table->exited_first->exited_ns < before_ns; budget--) {
        struct process *p = pop_exited(table);
        struct process **link = &table->buckets[bucket_of(table, p->tgid)];

        if (p->behind && p->behind->held.count > 0) { /* T4 */
            p->exited_ns = 0;
            process_table_mark_exited(table, p, before_ns + NS_PER_SEC);
            continue;
        }
        while (*link != p)
            link = &(*link)->next;
        unlink_current(table, link);
        gone++;
    }
    return gone;
}

void process_table_deinit(struct process_table *table)
{
    for (size_t i = 0; table->buckets && i < table->bucket_count; i++) {
        while (table->buckets[i])
            unlink_current(table, &table->buckets[i]);
    }
    free(table->buckets);
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
