/* SPDX-License-Identifier: Apache-2.0 */
/* Lets the queues of containers go that need not wait any longer, each in its order. */
#include <errno.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/record.h"
#include "enricher/pipeline.h"

void release_schedule(struct pipeline *pipeline, struct container *container, uint64_t now_ns)
{
    resolve_stop_waiting(pipeline, container);
    if (container->held.count == 0 || container->releasing)
        return;
    container->releasing = true;
    container->release_since_ns = now_ns;
    container->release_next = NULL;
    *pipeline->release_last = container_ref(container);
    pipeline->release_last = &container->release_next;
}

/* `found`: it waited for the path of its cgroup, which has become known. */
static void count(struct pipeline *pipeline, const struct container *container, bool found)
{
    if (container->evicted) {
        pipeline->counters.released_evicted++;
    } else if (container->given_up && !found) {
        pipeline->counters.released_expired++;
    } else {
        pipeline->counters.released_on_arrival++;
        histogram_add(&pipeline->release_ns, clock_boot_ns() - container->release_since_ns);
    }
}

/* One entry: out, or on to the queue that it has to wait in now. */
static int let_go(
    struct pipeline *pipeline, struct container *from, const struct hold_entry *entry, uint64_t now_ns)
{
    struct process *process = entry->subject;
    struct container *context = entry->context, *queue;
    struct event event = {.record = hold_entry_record(entry),
        .process = process,
        .container = context,
        .policy = place_policy_of(entry),
        .held_since_ns = entry->since_ns,
        .held_sequence = entry->sequence};
    int r;

    if (context->path_unknown)
        event.container = apply_container_of_event(pipeline, process, event.record->cgroup_id, context);
    queue = place_find_queue(pipeline, &event, from);
    r = queue ? place_into_queue(pipeline, queue, from, &event, now_ns) : -ENOSPC;
    if (r == -ENOSPC) { /* nothing to wait for, or no room to wait in */
        r = place_emit(pipeline, &event, now_ns);
        if (r == 0)
            count(pipeline, from, event.container != context);
    }
    return r;
}

static int release_container(struct pipeline *pipeline, struct container *container, uint64_t now_ns)
{
    const struct hold_entry *entry;

    while ((entry = hold_first(pipeline->hold, &container->held))) {
        int r = entry->subject ? let_go(pipeline, container, entry, now_ns) : 0;

        if (r < 0)
            return r;
        place_pop(pipeline, &container->held);
    }
    return 0;
}

int release_run(struct pipeline *pipeline, uint64_t now_ns)
{
    while (pipeline->release_first) {
        struct container *container = pipeline->release_first;
        int r = release_container(pipeline, container, now_ns);

        if (r < 0)
            return r;
        pipeline->release_first = container->release_next;
        if (!pipeline->release_first)
            pipeline->release_last = &pipeline->release_first;
        container->releasing = false;
        /* Eviction is a moment, not a verdict: what comes next may wait again. */
        if (container->evicted) {
            container->evicted = false;
            container->given_up = false;
        }
        container_unref(container);
    }
    return 0;
}

int pipeline_let_go(struct pipeline *pipeline, uint64_t now_ns)
{
    struct hold_queue *oldest;
    int r = release_run(pipeline, now_ns);

    /* Whose time is over takes no event of another's queue: each is here once. */
    while (r == 0 && (oldest = hold_oldest(pipeline->hold))) {
        struct container *container =
            (struct container *)(void *)((char *)oldest - offsetof(struct container, held));

        container->given_up = true;
        release_schedule(pipeline, container, now_ns);
        r = release_run(pipeline, now_ns);
    }
    return r;
}
