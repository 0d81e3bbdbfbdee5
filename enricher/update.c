/* SPDX-License-Identifier: Apache-2.0 */
/* Late corrections: who left without all of its Pod, and is told when it is known. */
#include <errno.h>

#include "common/record.h"
#include "enricher/pipeline.h"

static enum owed_step step_of(const struct container *container)
{
    switch (container->state) {
    case CONTAINER_PENDING:
        return OWED_NOTHING;
    case CONTAINER_POD_ONLY:
        return OWED_POD;
    default:
        return OWED_COMPLETE;
    }
}

static void owe(
    struct pipeline *pipeline, const struct process *process, struct container *container, uint8_t type)
{
    if (container == pipeline->overflow) /* stands for many cgroups: no path will ever dissolve it */
        pipeline->counters.pod_updates_never++;
    else if (!owed_add(
                 &pipeline->owed, &pipeline->options->owed, process, container, step_of(container), type))
        pipeline->counters.pod_updates_merged += type != 0;
}

void update_owe_event(struct pipeline *pipeline, const struct event *event)
{
    const struct process *parent = event->process->parent;

    if (!pipeline->options->own_events)
        return;
    if (step_of(event->container) != OWED_COMPLETE)
        owe(pipeline, event->process, event->container, event->record->type);
    if (parent && parent->container && step_of(parent->container) != OWED_COMPLETE)
        owe(pipeline, parent, parent->container, 0);
}

static bool is_due(const struct container *container)
{
    return owed_due(container, step_of(container)) || owed_others_due(container, step_of(container));
}

void update_schedule(struct pipeline *pipeline, struct container *container)
{
    if (!container->owed || container->updating || !is_due(container))
        return;
    container->updating = true;
    container->update_next = NULL;
    *pipeline->update_last = container_ref(container);
    pipeline->update_last = &container->update_next;
}

static int update_container(struct pipeline *pipeline, struct container *container, uint64_t now_ns)
{
    enum owed_step step = step_of(container);
    const struct owed *owed;

    while ((owed = owed_due(container, step))) {
        int r = emit_pod_update(pipeline->emit, container, owed, now_ns);

        if (r < 0)
            return r;
        pipeline->counters.pod_updates++;
        if (step == OWED_COMPLETE)
            coverage_correct(&pipeline->coverage, container, owed->events);
        owed_told(&pipeline->owed, container, step);
    }
    if (owed_others_due(container, step)) {
        int r = emit_pod_update(pipeline->emit, container, NULL, now_ns);

        if (r < 0)
            return r;
        pipeline->counters.pod_updates++;
        if (step == OWED_COMPLETE)
            coverage_correct(&pipeline->coverage, container, container->owed->other_events);
        owed_others_told(container, step);
    }
    return 0;
}

int update_run(struct pipeline *pipeline, uint64_t now_ns)
{
    while (pipeline->update_first) {
        struct container *container = pipeline->update_first;
        int r = update_container(pipeline, container, now_ns);

        if (r < 0)
            return r;
        pipeline->update_first = container->update_next;
        if (!pipeline->update_first)
            pipeline->update_last = &pipeline->update_first;
        container->updating = false;
        container_unref(container);
    }
    return 0;
}

void update_dissolve(struct pipeline *pipeline, struct container *stand_in, struct container *container)
{
    coverage_dissolve(&pipeline->coverage, stand_in, container);
    owed_move(&pipeline->owed, stand_in, container);
    update_schedule(pipeline, container);
}

void update_give_up(struct pipeline *pipeline, struct container *container)
{
    pipeline->counters.pod_updates_never += owed_drop(&pipeline->owed, container);
}
