/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a container, and until when its events wait. */
#include <stddef.h>

#include "common/clock.h"
#include "enricher/pipeline.h"

static uint64_t next_random(struct pipeline *pipeline)
{
    /* xorshift64* (Vigna 2016): jitter only. */
    uint64_t x = pipeline->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    pipeline->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

bool resolve_is_pending(const struct container *container)
{
    return (container->state == CONTAINER_PENDING || container->state == CONTAINER_POD_ONLY) &&
           !container->given_up;
}

static struct pod *find_pod(const struct pipeline *pipeline, const struct container *container)
{
    const struct cgroup_identity *identity = &container->identity;
    struct pod *pod = identity->pod_uid[0] ? pod_table_find(pipeline->pods, identity->pod_uid) : NULL;

    if (!pod && identity->container_id[0])
        pod = pod_table_find_by_container(pipeline->pods, identity->container_id);
    return pod;
}

struct siblings {
    const struct container *of;
    bool older, younger_known;
};

static void on_sibling(void *arg, struct container *sibling)
{
    struct siblings *siblings = arg;
    const struct container *of = siblings->of;

    if (sibling == of || !sibling->first_cgroup_id)
        return;
    if (sibling->identity.role == of->identity.role && sibling->cgroup_count > 0 &&
        sibling->first_cgroup_id < of->first_cgroup_id)
        siblings->older = true;
    if (sibling->identity.role == CGROUP_ROLE_CONTAINER && sibling->first_cgroup_id > of->first_cgroup_id &&
        pod_status_has(of->pod, sibling->identity.container_id))
        siblings->younger_known = true;
}

/*
 * A sandbox looks like any container and is in no status, as is a container that has just started. The kubelet tells
 * them apart: it starts a Pod's containers one after the other and lists all of them in each status that it writes. So
 * one that is missing there while a younger one is listed is none of them. That it is the oldest that is still there
 * keeps an earlier run of a container, which no status names any more, from being taken for it.
 */
static bool is_sandbox(struct pipeline *pipeline, const struct container *container)
{
    struct siblings siblings = {.of = container};
    enum cgroup_role role = container->identity.role;

    if (role == CGROUP_ROLE_SANDBOX)
        return true; /* its path says so */
    if (!container->pod || (role != CGROUP_ROLE_CONTAINER && role != CGROUP_ROLE_MONITOR) ||
        pod_find_container(container->pod, container->identity.container_id))
        return false;
    if (container->sandbox)
        return true; /* it stays one, when its containers are gone too */
    if (!container->identity.pod_uid[0] || !container->first_cgroup_id || container->cgroup_count == 0)
        return false;
    container_table_for_uid(&pipeline->containers, container->identity.pod_uid, on_sibling, &siblings);
    return siblings.younger_known && !siblings.older;
}

static enum container_state state_with(const struct pipeline *pipeline, const struct container *container)
{
    const struct pod *pod = container->pod;
    const char *id = container->identity.container_id;

    if (!pod)
        return CONTAINER_PENDING;
    if (!pod->complete && !pipeline->options->names_suffice)
        return CONTAINER_POD_ONLY;
    if (id[0] && !container->sandbox && !pod_find_container(pod, id))
        return CONTAINER_POD_ONLY;
    return CONTAINER_COMPLETE;
}

static void set_pod(struct container *container, struct pod *pod)
{
    if (container->pod == pod)
        return;
    if (pod)
        pod_ref(pod);
    if (container->pod)
        pod_unref(container->pod);
    container->pod = pod;
    container->serial = ++container->table->last_serial;
    container->fragment_version = 0;
}

/* The deadline of the events that wait: one for all of them, from the first. */
uint64_t resolve_deadline_ns(const struct pipeline *pipeline, const struct container *container)
{
    uint64_t last = container->waiting_since_ns + pipeline->options->hold_timeout_ns, by_name;

    if (container->state != CONTAINER_POD_ONLY)
        return last;
    by_name = (container->pod_since_ns > container->waiting_since_ns ? container->pod_since_ns
                                                                     : container->waiting_since_ns) +
              pipeline->options->container_timeout_ns;
    return by_name < last ? by_name : last;
}

static void arm(struct pipeline *pipeline, struct container *container, uint64_t now_ns)
{
    uint64_t deadline = resolve_deadline_ns(pipeline, container);
    uint64_t retry =
        now_ns + retry_delay_ns(&pipeline->options->retry, container->attempts, next_random(pipeline));

    wheel_arm(&pipeline->wheel, &container->timer, retry < deadline ? retry : deadline);
}

void resolve_start_waiting(
    struct pipeline *pipeline, struct container *container, uint64_t since_ns, uint64_t now_ns)
{
    container->waiting_since_ns = since_ns;
    container->attempts = 0;
    arm(pipeline, container, now_ns);
    pipeline->counters.asks++;
    pipeline->ask(pipeline->arg);
}

void resolve_stop_waiting(struct pipeline *pipeline, struct container *container)
{
    wheel_disarm(&pipeline->wheel, &container->timer);
    container->waiting_since_ns = 0;
}

static bool never_waits(const struct pipeline *pipeline, enum container_state state)
{
    return state == CONTAINER_PENDING
               ? pipeline->options->hold_timeout_ns == 0
               : pipeline->options->container_timeout_ns == 0 || pipeline->options->hold_timeout_ns == 0;
}

struct news {
    struct pipeline *pipeline;
    uint64_t now_ns;
};

static void on_unnamed_sibling(void *arg, struct container *sibling)
{
    const struct news *news = arg;

    if (sibling->state == CONTAINER_POD_ONLY)
        resolve_container(news->pipeline, sibling, news->now_ns);
}

/* What is learned of one container may tell what another one is. */
static void resolve_siblings(struct pipeline *pipeline, const struct container *container, uint64_t now_ns)
{
    struct news news = {pipeline, now_ns};

    if (container->identity.role == CGROUP_ROLE_CONTAINER && container->identity.pod_uid[0])
        container_table_for_uid(
            &pipeline->containers, container->identity.pod_uid, on_unnamed_sibling, &news);
}

void resolve_container(struct pipeline *pipeline, struct container *container, uint64_t now_ns)
{
    enum container_state before = container->state, state;

    if (before == CONTAINER_HOST || container->path_unknown) {
        container->given_up |= never_waits(pipeline, CONTAINER_PENDING);
        return;
    }
    if (!container->pod || container->pod->deleted_ns) {
        struct pod *pod = find_pod(pipeline, container);

        if (pod)
            set_pod(container, pod);
    }
    container->sandbox = is_sandbox(pipeline, container);
    state = state_with(pipeline, container);
    container->state = (uint8_t)state;
    if (!container->fragment.data ||
        (container->pod && container->fragment_version != container->pod->version)) {
        if (render_container(&pipeline->emit->render, container) < 0)
            pipeline->counters.memory_failures++;
    }
    if (state == before && before != CONTAINER_COMPLETE) {
        container->given_up |= never_waits(pipeline, state); /* nothing new: what was given up stays so */
        return;
    }
    container->evicted = false;
    container->given_up = state != CONTAINER_COMPLETE && never_waits(pipeline, state);
    if (before == CONTAINER_PENDING && state != CONTAINER_PENDING)
        container->pod_since_ns = now_ns;
    update_schedule(pipeline, container);
    if (!resolve_is_pending(container))
        release_schedule(pipeline, container, now_ns);
    else if (container->waiting_since_ns)
        arm(pipeline, container, now_ns); /* the Pod has come: the shorter deadline holds */
    if (state == CONTAINER_COMPLETE)
        resolve_siblings(pipeline, container, now_ns);
}

void resolve_dissolve(struct pipeline *pipeline, struct container *stand_in, uint64_t now_ns)
{
    stand_in->given_up = true;
    release_schedule(pipeline, stand_in, now_ns);
}

static void on_pod_container(void *arg, struct container *container)
{
    const struct news *news = arg;

    resolve_container(news->pipeline, container, news->now_ns);
}

static void on_due(struct pipeline *pipeline, struct container *container, uint64_t now_ns)
{
    resolve_container(pipeline, container, now_ns);
    if (!container->waiting_since_ns || !resolve_is_pending(container))
        return;
    if (now_ns >= resolve_deadline_ns(pipeline, container)) {
        container->given_up = true;
        release_schedule(pipeline, container, now_ns);
        return;
    }
    container->attempts++;
    arm(pipeline, container, now_ns);
    pipeline->counters.asks++;
    pipeline->ask(pipeline->arg);
}

void resolve_turn_wheel(struct pipeline *pipeline, uint64_t now_ns)
{
    struct wheel_node *node;

    while ((node = wheel_pull(&pipeline->wheel, now_ns))) {
        struct container *container =
            (struct container *)(void *)((char *)node - offsetof(struct container, timer));

        on_due(pipeline, container, now_ns);
    }
}

void pipeline_pod_changed(struct pipeline *pipeline, struct pod *pod, uint64_t now_ns)
{
    struct news news = {pipeline, now_ns};

    container_table_for_pod(&pipeline->containers, pod, on_pod_container, &news);
}
