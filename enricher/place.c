/* SPDX-License-Identifier: Apache-2.0 */
/* Goes out now, or joins a queue. */
#include <errno.h>
#include <stddef.h>

#include "common/record.h"
#include "enricher/pipeline.h"

/* Where the order of a process is kept: the current execution of its key. A held event may be of an earlier one. */
static struct process *order_keeper(const struct pipeline *pipeline, struct process *process)
{
    struct process *current =
        process->current ? process
                         : process_table_find(&pipeline->processes, process->tgid, process->start_ns);

    return current ? current : process;
}

struct container *place_find_queue(
    struct pipeline *pipeline, const struct event *event, const struct container *leaving)
{
    struct process *process = event->process, *keeper = order_keeper(pipeline, process);
    struct container *own = event->container;
    struct container *parents = process->parent ? apply_current_container(pipeline, process->parent) : NULL;

    if (keeper->behind && keeper->behind != leaving) {
        if (keeper->behind->held.count > 0)
            return keeper->behind; /* E1: its earlier events wait there */
        process_set_behind(keeper, NULL);
    }
    if (leaving && leaving->evicted) /* to make room: where else it would wait does not count */
        return NULL;
    if (own != leaving && (own->held.count > 0 || resolve_is_pending(own)))
        return own;
    if (parents && parents != own && parents != leaving && resolve_is_pending(parents))
        return parents; /* so that the parent is complete in the line too */
    return NULL;
}

/* Makes room by letting go what has waited longest. */
static int evict(struct pipeline *pipeline, uint64_t now_ns)
{
    struct hold_queue *oldest = hold_oldest(pipeline->hold);
    struct container *container;

    if (!oldest)
        return -ENOSPC;
    container = (struct container *)(void *)((char *)oldest - offsetof(struct container, held));
    if (!container->releasing) {
        container->given_up = true;
        container->evicted = true;
        release_schedule(pipeline, container, now_ns);
    }
    return release_run(pipeline, now_ns);
}

int place_into_queue(struct pipeline *pipeline, struct container *queue, struct container *leaving,
    const struct event *event, uint64_t now_ns)
{
    struct hold_entry entry = {
        .sequence = event->held_sequence,
        .since_ns = event->held_since_ns ? event->held_since_ns : now_ns,
        .subject = event->process,
        .context = event->container,
        .attributes = (uintptr_t)event->policy,
    };
    struct process *keeper;
    int r = leaving ? hold_move_first(pipeline->hold, &leaving->held, &queue->held, &entry)
                    : hold_append(pipeline->hold, &queue->held, event->record, &entry);

    if (r < 0)
        return r;
    process_hold(event->process);
    container_ref(event->container);
    policy_ref(event->policy);
    keeper = order_keeper(pipeline, event->process);
    if (keeper->behind != queue)
        process_set_behind(keeper, queue);
    if (!event->held_since_ns)
        pipeline->counters.events_held++;
    if (!queue->waiting_since_ns && resolve_is_pending(queue))
        resolve_start_waiting(
            pipeline, queue, pipeline->recovering_since_ns ? now_ns : entry.since_ns, now_ns);
    return 0;
}

void place_note(struct pipeline *pipeline, struct container *container, const struct record_header *record,
    uint64_t now_ns)
{
    const struct hold_entry entry = {
        .sequence = pipeline->recovering_sequence, .since_ns = now_ns, .context = container};

    if (container->held.count == 0 || hold_append(pipeline->hold, &container->held, record, &entry) < 0)
        return;
    container_ref(container);
    pipeline->notes_held++;
}

struct policy_entry *place_policy_of(const struct hold_entry *entry)
{
    return (struct policy_entry *)(uintptr_t)
        entry->attributes; /* NOLINT(performance-no-int-to-ptr): place_into_queue() */
}

void place_pop(struct pipeline *pipeline, struct hold_queue *queue)
{
    const struct hold_entry *entry = hold_first(pipeline->hold, queue);
    struct process *process = entry->subject;
    struct container *context = entry->context;
    struct policy_entry *policy = place_policy_of(entry);

    hold_pop(pipeline->hold, queue);
    if (process)
        process_release(process);
    else
        pipeline->notes_held--;
    container_unref(context);
    policy_unref(policy);
}

static enum coverage_outcome outcome_of(const struct pipeline *pipeline, const struct event *event)
{
    const struct container *container = event->container;

    if (container->state == CONTAINER_COMPLETE || container->state == CONTAINER_HOST)
        return event->held_since_ns ? COVERAGE_WAITED : COVERAGE_AT_ONCE;
    if (container->evicted)
        return COVERAGE_EVICTED;
    if (container->state == CONTAINER_POD_ONLY)
        return container->pod->complete ? COVERAGE_NO_CONTAINER : COVERAGE_NO_LABELS;
    if (container->path_unknown)
        return COVERAGE_NO_CGROUP;
    if (event->held_since_ns)
        return COVERAGE_NOT_KNOWN;
    return pipeline->options->hold_timeout_ns ? COVERAGE_GIVEN_UP : COVERAGE_NO_WAIT;
}

static void count_outcome(struct pipeline *pipeline, const struct event *event, uint64_t now_ns)
{
    enum coverage_outcome outcome = outcome_of(pipeline, event);
    uint8_t type = event->record->type;

    if (outcome == COVERAGE_AT_ONCE)
        event->container->at_once[type - RECORD_FORK]++;
    else
        coverage_count(&pipeline->coverage, event->container, type, outcome, now_ns - event->held_since_ns);
}

int place_emit(struct pipeline *pipeline, const struct event *event, uint64_t now_ns)
{
    const struct container *container = event->container;
    uint8_t type = event->record->type;
    int r = 0;

    if (event->policy && hook_drop(pipeline, event))
        return 0;
    if (event->policy)
        r = hook_emit(pipeline, event, now_ns);
    else if (pipeline->options->own_events || type != RECORD_FORK)
        r = emit_event(pipeline->emit, event, now_ns);
    if (r < 0)
        return r;
    pipeline->counters.emitted[type]++;
    count_outcome(pipeline, event, now_ns);
    update_owe_event(pipeline, event);
    if (container->state == CONTAINER_PENDING)
        pipeline->counters.emitted_without_pod++;
    else if (container->state == CONTAINER_POD_ONLY)
        pipeline->counters.emitted_pod_only++;
    return 0;
}

int place_event(struct pipeline *pipeline, const struct event *event, uint64_t now_ns)
{
    for (;;) {
        struct container *queue = place_find_queue(pipeline, event, NULL);
        int r;

        if (!queue)
            return place_emit(pipeline, event, now_ns);
        r = place_into_queue(pipeline, queue, NULL, event, now_ns);
        if (r != -ENOSPC)
            return r;
        r = evict(pipeline, now_ns);
        if (r == -ENOSPC) /* the store cannot take this one at all: it goes as it is */
            return place_emit(pipeline, event, now_ns);
        if (r < 0)
            return r;
    }
}
