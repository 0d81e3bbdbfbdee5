/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/owed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "enricher/container_table.h"
#include "enricher/process_table.h"
#include "enricher/render.h"

#define OWED_BUCKETS 16384

int owed_book_init(struct owed_book *book)
{
    book->count = 0;
    book->buckets = calloc(OWED_BUCKETS, sizeof(struct owed *));
    return book->buckets ? 0 : -ENOMEM;
}

void owed_book_deinit(struct owed_book *book)
{
    free(book->buckets);
    *book = (struct owed_book){0};
}

static struct owed **bucket_of(const struct owed_book *book, uint32_t pid, uint64_t image_start_ns)
{
    uint64_t hash = (image_start_ns ^ (uint64_t)pid << 32) * UINT64_C(0x9e3779b97f4a7c15);

    return &book->buckets[(size_t)(hash >> 40) & (OWED_BUCKETS - 1)];
}

static struct owed *find(
    const struct owed_book *book, uint32_t pid, uint64_t image_start_ns, const struct container *container)
{
    struct owed *owed = *bucket_of(book, pid, image_start_ns);

    while (
        owed && (owed->pid != pid || owed->image_start_ns != image_start_ns || owed->container != container))
        owed = owed->hash_next;
    return owed;
}

static struct owed_list *list_of(struct container *container)
{
    if (!container->owed)
        container->owed = calloc(1, sizeof(*container->owed));
    return container->owed;
}

/* An empty list takes no memory. */
static void trim(struct container *container)
{
    if (container->owed && container->owed->count == 0 && !container->owed->has_others) {
        free(container->owed);
        container->owed = NULL;
    }
}

static void append(struct owed_list *list, struct owed *owed)
{
    struct owed_queue *queue = &list->queues[owed->step];

    owed->next = NULL;
    if (queue->first)
        queue->last->next = owed;
    else
        queue->first = owed;
    queue->last = owed;
    list->count++;
}

/* The first of those that were told this step last; NULL: there is none. */
static struct owed *take_first(struct owed_list *list, enum owed_step step)
{
    struct owed_queue *queue = &list->queues[step];
    struct owed *owed = queue->first;

    if (!owed)
        return NULL;
    queue->first = owed->next;
    list->count--;
    return owed;
}

static void owed_free(struct owed_book *book, struct owed *owed)
{
    struct owed **link = bucket_of(book, owed->pid, owed->image_start_ns);

    while (*link != owed)
        link = &(*link)->hash_next;
    *link = owed->hash_next;
    free(owed);
    book->count--;
}

static struct owed *owed_new(struct owed_book *book, const struct process *process,
    const struct container *container, enum owed_step step)
{
    struct owed **bucket = bucket_of(book, process->tgid, process->image_start_ns);
    size_t size;
    const char *exec_id = render_exec_id(process, &size);
    struct owed *owed = exec_id ? calloc(1, sizeof(*owed) + size) : NULL;

    if (!owed)
        return NULL;
    memcpy(owed->exec_id, exec_id, size);
    owed->exec_id_size = (uint16_t)size;
    owed->pid = process->tgid;
    owed->image_start_ns = process->image_start_ns;
    owed->ns_pid = process->ns_pid;
    owed->inherited = process->inherited;
    owed->step = (uint8_t)step;
    owed->container = container;
    owed->hash_next = *bucket;
    *bucket = owed;
    book->count++;
    return owed;
}

static void count_event(uint64_t events[OWED_TYPES], uint8_t type)
{
    if (type >= RECORD_FORK && type <= RECORD_HOOK)
        events[type - RECORD_FORK]++;
}

bool owed_add(struct owed_book *book, const struct owed_limits *limits, const struct process *process,
    struct container *container, enum owed_step step, uint8_t type)
{
    struct owed *owed = find(book, process->tgid, process->image_start_ns, container);
    struct owed_list *list;

    if (owed) {
        count_event(owed->events, type);
        return true;
    }
    list = list_of(container);
    if (!list)
        return false;
    if (list->count < limits->container_max && book->count < limits->total_max)
        owed = owed_new(book, process, container, step);
    if (!owed) {
        if (!list->has_others || step < list->others_step)
            list->others_step = (uint8_t)step;
        list->has_others = true;
        count_event(list->other_events, type);
        return false;
    }
    count_event(owed->events, type);
    append(list, owed);
    return true;
}

/* W1: the execution has one there already. */
static bool merge_into(struct owed_book *book, const struct owed *owed, const struct container *to)
{
    struct owed *there = find(book, owed->pid, owed->image_start_ns, to);

    if (!there)
        return false;
    for (size_t i = 0; i < OWED_TYPES; i++)
        there->events[i] += owed->events[i];
    return true;
}

void owed_move(struct owed_book *book, struct container *from, struct container *to)
{
    struct owed_list *source = from->owed, *target = source ? list_of(to) : NULL;
    struct owed *owed;

    if (!target)
        return;
    for (int step = OWED_NOTHING; step < OWED_COMPLETE; step++) {
        while ((owed = take_first(source, (enum owed_step)step))) {
            if (merge_into(book, owed, to)) {
                owed_free(book, owed);
            } else {
                owed->container = to;
                append(target, owed);
            }
        }
    }
    trim(from);
    trim(to);
}

struct owed *owed_due(const struct container *container, enum owed_step step)
{
    struct owed *owed = NULL;

    for (int told = OWED_NOTHING; container->owed && told < (int)step && !owed; told++)
        owed = container->owed->queues[told].first;
    return owed;
}

bool owed_others_due(const struct container *container, enum owed_step step)
{
    return container->owed && container->owed->has_others && container->owed->others_step < step;
}

void owed_told(struct owed_book *book, struct container *container, enum owed_step step)
{
    struct owed *owed = take_first(container->owed, (enum owed_step)owed_due(container, step)->step);

    if (step == OWED_COMPLETE) {
        owed_free(book, owed);
        trim(container);
        return;
    }
    owed->step = (uint8_t)step;
    append(container->owed, owed);
}

void owed_others_told(struct container *container, enum owed_step step)
{
    container->owed->others_step = (uint8_t)step;
    if (step != OWED_COMPLETE)
        return;
    container->owed->has_others = false;
    memset(container->owed->other_events, 0, sizeof(container->owed->other_events));
    trim(container);
}

size_t owed_drop(struct owed_book *book, struct container *container)
{
    struct owed *owed;
    size_t count;

    if (!container->owed)
        return 0;
    count = container->owed->count + container->owed->has_others;
    for (int step = OWED_NOTHING; step < OWED_COMPLETE; step++) {
        while ((owed = take_first(container->owed, (enum owed_step)step)))
            owed_free(book, owed);
    }
    container->owed->has_others = false;
    trim(container);
    return count;
}

static uint64_t sum_events(const uint64_t events[OWED_TYPES])
{
    uint64_t sum = 0;

    for (size_t i = 0; i < OWED_TYPES; i++)
        sum += events[i];
    return sum;
}

struct owed_sum owed_sum(const struct container *container, const struct process *process)
{
    const struct owed_list *list = container->owed;
    struct owed_sum sum = {0};

    if (!list)
        return sum;
    for (int step = OWED_NOTHING; step < OWED_COMPLETE; step++) {
        for (const struct owed *owed = list->queues[step].first; owed; owed = owed->next) {
            sum.executions++;
            sum.events += sum_events(owed->events);
            if (owed->pid == process->tgid && owed->image_start_ns == process->image_start_ns)
                sum.own = owed;
        }
    }
    sum.has_others = list->has_others;
    sum.other_events = sum_events(list->other_events);
    return sum;
}
