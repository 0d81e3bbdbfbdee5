/* SPDX-License-Identifier: Apache-2.0 */
/* What `podkin explain PID` shows: how this process was (or was not) given its Pod, step by step. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "enricher/enricher.h"
#include "enricher/image.h"

static void step(struct text *out, const char *name, const char *missing)
{
    text_append_string(out, out->data[out->size - 1] == '[' ? "{\"step\":" : ",{\"step\":");
    text_append_json_string(out, name);
    if (missing) {
        text_append_string(out, ",\"missing\":");
        text_append_json_string(out, missing);
    }
}

static void value(struct text *out, const char *text)
{
    text_append_string(out, ",\"value\":");
    text_append_json_string(out, text);
}

/* Boot time, as every time here; 0: there is none. */
static void time_ns(struct text *out, const char *prefix, const char *name, uint64_t ns)
{
    if (ns)
        text_append_format(out, ",\"%s%s_ns\":%" PRIu64, prefix, name, ns);
}

static const char *origin_name(const struct process *process)
{
    switch (process->origin) {
    case PROCESS_FORKED:
        return "forked, the fork was seen";
    case PROCESS_EXECED:
        return "its exec was seen";
    case PROCESS_SNAPSHOT:
        return "was running before, found by the snapshot";
    default:
        return "its beginning was not seen";
    }
}

static void explain_cgroup(const struct lane *lane, const struct process *process, struct text *out)
{
    const struct cgroup *cgroup = container_table_find(&lane->pipeline.containers, process->cgroup_id);
    const char *path = cgroup ? cgroup->path : NULL;
    struct cgroup_shape shape = {0};
    char id[32];

    (void)snprintf(id, sizeof(id), "%" PRIu64, process->cgroup_id);
    step(out, "cgroup id", NULL);
    value(out, id);
    text_append_char(out, '}');
    step(out, "cgroup path", path ? NULL : "no cgroup_mkdir was seen and the snapshot did not have it");
    if (path) {
        value(out, path);
        shape = cgroup_path_shape(path, strlen(path));
    }
    text_append_char(out, '}');
    if (shape.driver) {
        step(out, "cgroup driver by path", NULL);
        value(out, shape.driver);
        text_append_char(out, '}');
    }
    if (shape.runtime) {
        step(out, "runtime by path", NULL);
        value(out, shape.runtime);
        text_append_char(out, '}');
    }
}

static void explain_container(const struct container *container, struct text *out)
{
    const struct cgroup_identity *identity = &container->identity;

    step(out, "role by path", NULL);
    value(out, cgroup_role_name(identity->role));
    text_append_char(out, '}');
    if (container->state == CONTAINER_HOST)
        return;
    step(out, "pod uid by path", identity->pod_uid[0] ? NULL : "the path names no Pod");
    value(out, identity->pod_uid);
    text_append_char(out, '}');
    step(out, "container id by path", identity->container_id[0] ? NULL : "the path names no container");
    value(out, identity->container_id);
    text_append_char(out, '}');
}

/* ---- who told what */

/* From which source a field is (the best that has it), and since when it tells it. */
static void origin(const struct container *container, enum pod_field field, struct text *out)
{
    struct pod_told told;

    for (int source = POD_SOURCE_COUNT - 1; source > POD_SOURCE_NONE; source--) {
        if (!pod_get_told(container->pod, (enum pod_source)source, container->identity.container_id, &told) ||
            !told.has[field])
            continue;
        text_append_string(out, ",\"source\":");
        text_append_json_string(out, pod_source_name((enum pod_source)source));
        time_ns(out, "", "since", told.since_ns[field]);
        return;
    }
}

static void explain_name(const struct container *container, struct text *out)
{
    const struct pod *pod = container->pod;
    char name[512];

    step(out, "pod", pod ? NULL : "no source knows a Pod of this UID or with this container");
    if (pod) {
        (void)snprintf(
            name, sizeof(name), "%s/%s", pod->namespace_ ? pod->namespace_ : "", pod->name ? pod->name : "");
        value(out, name);
        origin(container, POD_FIELD_NAME, out);
    }
    text_append_char(out, '}');
}

static void explain_container_name(const struct container *container, struct text *out)
{
    const struct pod_container *status = pod_find_container(container->pod, container->identity.container_id);

    step(out, "container",
        status || container->sandbox
            ? NULL
            : "in no status of the Pod: the sandbox, or the kubelet has not told yet");
    if (status && status->name) {
        value(out, status->name);
        origin(container, POD_FIELD_CONTAINER, out);
    } else if (container->sandbox) {
        value(out, "the Pod's sandbox: a younger container is in its status, this one is not");
    }
    text_append_char(out, '}');
}

static void explain_rest(const struct container *container, struct text *out)
{
    const struct pod *pod = container->pod;
    bool whole = pod->best_source > POD_SOURCE_LOGDIR;
    char text[640];

    step(out, "labels", whole ? NULL : "only the log directory knows this Pod");
    if (whole) {
        (void)snprintf(
            text, sizeof(text), "%zu labels, %zu annotations", pod->label_count, pod->annotation_count);
        value(out, text);
        origin(container, POD_FIELD_LABELS, out);
    }
    text_append_char(out, '}');
    if (!pod->workload)
        return;
    step(out, "workload", NULL);
    (void)snprintf(text, sizeof(text), "%s/%s", pod->workload_kind ? pod->workload_kind : "", pod->workload);
    value(out, text);
    origin(container, POD_FIELD_WORKLOAD, out);
    text_append_char(out, '}');
}

static void explain_source(
    const struct source_state *state, const struct container *container, struct text *out)
{
    struct pod_told told = {0};
    bool has_told =
        container->pod && pod_get_told(container->pod, state->kind, container->identity.container_id, &told);
    const char *missing = state->last_error[0] ? state->last_error
                          : !has_told          ? "it has told nothing of this Pod"
                          : told.gone          ? "it says that the Pod is gone"
                                               : NULL;
    char text[320];

    (void)snprintf(text, sizeof(text), "source %s:%s", pod_source_name(state->kind), state->where);
    step(out, text, missing);
    (void)snprintf(text, sizeof(text),
        "%" PRIu64 " requests, %" PRIu64 " failures, %" PRIu64 " pods, %" PRIu64 " ignored", state->requests,
        state->failures, state->pods_seen, state->ignored);
    value(out, text);
    time_ns(out, "", "asked", state->last_request_ns);
    time_ns(out, "", "answered", state->last_success_ns);
    time_ns(out, "told_pod_", "first", told.first_ns);
    time_ns(out, "told_pod_", "last", told.last_ns);
    for (int field = 0; field < POD_FIELD_COUNT; field++)
        time_ns(out, "told_", pod_field_name((enum pod_field)field), told.since_ns[field]);
    text_append_char(out, '}');
}

static void explain_sources(const struct enricher *e, const struct container *container, struct text *out)
{
    for (size_t i = 0; i < e->source_count; i++) {
        struct source_state state = {0};

        e->sources[i]->ops->get_state(e->sources[i], &state);
        explain_source(&state, container, out);
    }
}

/* ---- what is still to come */

static void explain_waiting(
    const struct pipeline *pipeline, const struct container *container, uint64_t now_ns, struct text *out)
{
    uint64_t deadline_ns;
    char text[160];

    step(out, "state",
        container->given_up ? "the time for it is over: events leave as they are until a source tells more"
                            : NULL);
    value(out, container_state_name(container));
    text_append_char(out, '}');
    if (container->held.count == 0)
        return;
    (void)snprintf(text, sizeof(text), "%" PRIu64 " events, the first for %" PRIu64 " ms, asked %u times",
        container->held.count, (now_ns - container->held.first_since_ns) / NS_PER_MS,
        container->attempts + 1);
    step(out, "held", NULL);
    value(out, text);
    text_append_char(out, '}');
    if (!container->waiting_since_ns)
        return;
    deadline_ns = resolve_deadline_ns(pipeline, container);
    (void)snprintf(text, sizeof(text), "%" PRIu64 " ms more for the %s, then they go as they are",
        deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_MS : 0,
        container->state != CONTAINER_POD_ONLY ? "Pod"
        : container->pod->complete             ? "container's name"
                                               : "labels");
    step(out, "waits", NULL);
    value(out, text);
    time_ns(out, "", "until", deadline_ns);
    text_append_char(out, '}');
}

/* Who left without all of its Pod and is told when a source tells it. */
static void explain_corrections(
    const struct container *container, const struct process *process, struct text *out)
{
    struct owed_sum sum = owed_sum(container, process);
    char text[160];

    if (!sum.executions && !sum.has_others)
        return;
    (void)snprintf(text, sizeof(text),
        "%" PRIu64 " executions with %" PRIu64 " events, this process %samong them; %" PRIu64
        " events for the container as a whole",
        sum.executions, sum.events, sum.own ? "" : "not ", sum.other_events);
    step(out, "corrections owed", NULL);
    value(out, text);
    text_append_char(out, '}');
}

static void explain_process(struct enricher *e, const struct lane *lane, const struct process *process,
    uint64_t now_ns, struct text *out)
{
    const struct container *container = process->container;

    step(out, "process", NULL);
    value(out, origin_name(process));
    text_append_char(out, '}');
    explain_cgroup(lane, process, out);
    if (process->inherited) {
        step(out, "inherited", NULL);
        value(out, "its cgroup is unknown; it was forked by a process of the same cgroup");
        text_append_char(out, '}');
    }
    if (!container)
        return;
    explain_container(container, out);
    if (container->state != CONTAINER_HOST) {
        explain_name(container, out);
        if (container->pod) {
            explain_container_name(container, out);
            explain_rest(container, out);
        }
        explain_sources(e, container, out);
    }
    explain_waiting(&lane->pipeline, container, now_ns, out);
    explain_corrections(container, process, out);
}

/* In the lane that its events leave through: there is what waits and what is owed. */
static const struct process *find_process(struct enricher *e, uint32_t pid, const struct lane **ret_lane)
{
    const struct process *found = NULL;

    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        const struct lane *lane = enricher_lane(e, i);
        const struct process *process = process_table_find_pid(&lane->pipeline.processes, pid);
        bool owns = process && (lane->of.count <= 1 ||
                                   lane_of_key(process->tgid, process->start_ns, lane->of.count) == i);

        if (owns || (process && !found)) {
            found = process;
            *ret_lane = lane;
        }
        if (owns)
            break;
    }
    return found;
}

void explain_write(struct enricher *e, const char *argument, struct text *reply)
{
    char *end = NULL;
    unsigned long pid = argument && *argument ? strtoul(argument, &end, 10) : 0;
    uint64_t now_ns = clock_boot_ns();
    const struct process *process;
    const struct lane *lane = NULL;

    if (!pid || pid > UINT32_MAX || *end) {
        text_append_string(reply, "{\"error\":\"explain: expected a pid\"}");
        return;
    }
    process = find_process(e, (uint32_t)pid, &lane);
    text_append_format(reply, "{\"pid\":%lu,\"now_ns\":%" PRIu64 ",\"steps\":[", pid, now_ns);
    if (process) {
        explain_process(e, lane, process, now_ns, reply);
    } else {
        step(reply, "process",
            "not in the table: it has exited, or started before and the snapshot missed it");
        text_append_char(reply, '}');
    }
    text_append_string(reply, "]}");
}
