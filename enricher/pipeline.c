/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pipeline.h"

#include <errno.h>

/* How many entries one turn of the loop lets expire: bounds its length. */
#define EXPIRE_BUDGET 4096

static void on_container_gone(void *arg, struct container *container)
{
    struct pipeline *pipeline = arg;

    wheel_disarm(&pipeline->wheel, &container->timer);
    update_give_up(pipeline, container);
    coverage_fold(&pipeline->coverage, container);
}

int pipeline_init(struct pipeline *pipeline, uint64_t now_ns)
{
    struct cgroup *overflow;
    int r;

    pipeline->release_last = &pipeline->release_first;
    pipeline->update_last = &pipeline->update_first;
    pipeline->random = now_ns | 1;
    wheel_init(&pipeline->wheel, now_ns);
    coverage_init(&pipeline->coverage);
    r = container_table_init(
        &pipeline->containers, pipeline->options->max_cgroups, on_container_gone, pipeline);
    if (r == 0)
        r = process_table_init(&pipeline->processes);
    if (r == 0)
        r = image_table_init(&pipeline->images);
    if (r == 0)
        r = owed_book_init(&pipeline->owed);
    if (r < 0)
        return r;
    r = policy_table_init(&pipeline->policies);
    if (r < 0)
        return r;
    overflow = container_table_add_unknown(&pipeline->containers, 0); /* no cgroup has the id 0 */
    if (!overflow)
        return -ENOMEM;
    pipeline->overflow = overflow->container;
    pipeline->overflow->given_up = true;
    return 0;
}

static void forget_held(struct pipeline *pipeline)
{
    struct hold_queue *queue;

    while ((queue = hold_oldest(pipeline->hold)))
        place_pop(pipeline, queue);
}

void pipeline_deinit(struct pipeline *pipeline)
{
    if (pipeline->has_parked) {
        process_unref(pipeline->parked.process);
        container_unref(pipeline->parked.container);
        policy_unref(pipeline->parked.policy);
    }
    forget_held(pipeline);
    while (pipeline->release_first) {
        struct container *container = pipeline->release_first;

        pipeline->release_first = container->release_next;
        container_unref(container);
    }
    while (pipeline->update_first) {
        struct container *container = pipeline->update_first;

        pipeline->update_first = container->update_next;
        container_unref(container);
    }
    process_table_deinit(&pipeline->processes);
    image_table_deinit(&pipeline->images);
    policy_table_deinit(&pipeline->policies);
    container_table_deinit(&pipeline->containers);
    owed_book_deinit(&pipeline->owed);
    coverage_deinit(&pipeline->coverage);
}

uint64_t pipeline_held(const struct pipeline *pipeline)
{
    return hold_count(pipeline->hold) - pipeline->notes_held;
}

bool pipeline_is_blocked(const struct pipeline *pipeline)
{
    return pipeline->has_parked || pipeline->release_first || pipeline->update_first;
}

void pipeline_turn(struct pipeline *pipeline, uint64_t now_ns)
{
    const struct pipeline_options *options = pipeline->options;

    resolve_turn_wheel(pipeline, now_ns);
    (void)release_run(pipeline, now_ns);
    (void)update_run(pipeline, now_ns);
    if (now_ns > options->process_grace_ns)
        process_table_expire(&pipeline->processes, now_ns - options->process_grace_ns, EXPIRE_BUDGET);
    process_table_trim(&pipeline->processes, options->max_exited, now_ns, EXPIRE_BUDGET);
    if (now_ns > options->cgroup_grace_ns)
        container_table_expire(&pipeline->containers, now_ns - options->cgroup_grace_ns, EXPIRE_BUDGET);
    if (now_ns > options->cgroup_grace_ns)
        policy_table_expire(&pipeline->policies, now_ns - options->cgroup_grace_ns);
}

uint64_t pipeline_next_ns(const struct pipeline *pipeline)
{
    return wheel_next(&pipeline->wheel);
}
