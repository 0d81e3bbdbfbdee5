/* SPDX-License-Identifier: Apache-2.0 */
/* What `podkin explain PID` shows: how this process was (or was not) given its Pod, step by step. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

static void explain_cgroup(struct enricher *e, const struct process *process, struct text *out)
{
    const struct cgroup *cgroup = container_table_find(&e->pipeline.containers, process->cgroup_id);
    char id[32];

    (void)snprintf(id, sizeof(id), "%" PRIu64, process->cgroup_id);
    step(out, "cgroup id", NULL);
    value(out, id);
    text_append_char(out, '}');
    step(out, "cgroup path",
        cgroup && cgroup->path ? NULL : "no cgroup_mkdir was seen and the snapshot did not have it");
    if (cgroup && cgroup->path)
        value(out, cgroup->path);
    text_append_char(out, '}');
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

static void explain_pod(const struct container *container, struct text *out)
{
    const struct pod *pod = container->pod;
    const struct pod_container *status =
        pod ? pod_find_container(pod, container->identity.container_id) : NULL;
    char name[512];

    step(out, "pod", pod ? NULL : "no source knows a Pod of this UID or with this container");
    if (pod) {
        (void)snprintf(
            name, sizeof(name), "%s/%s", pod->namespace_ ? pod->namespace_ : "", pod->name ? pod->name : "");
        value(out, name);
        text_append_string(out, ",\"source\":");
        text_append_json_string(out, pod_source_name(pod->best_source));
    }
    text_append_char(out, '}');
    if (!pod)
        return;
    step(out, "container",
        status || container->sandbox
            ? NULL
            : "in no status of the Pod: the sandbox, or the kubelet has not told yet");
    if (status && status->name)
        value(out, status->name);
    else if (container->sandbox)
        value(out, "the Pod's sandbox: a younger container is in its status, this one is not");
    text_append_char(out, '}');
    if (!pod->complete) {
        step(out, "labels", "only the log directory knows this Pod");
        text_append_char(out, '}');
    }
}

static void explain_waiting(
    const struct pipeline *pipeline, const struct container *container, struct text *out)
{
    uint64_t now_ns = clock_boot_ns(), deadline_ns;
    char text[160];

    step(out, "state", NULL);
    value(out, container_state_name(container));
    text_append_char(out, '}');
    if (container->held.count == 0)
        return;
    (void)snprintf(text, sizeof(text), "%" PRIu64 " events, the first for %" PRIu64 " ms, asked %u times",
        container->held.count, (clock_boot_ns() - container->held.first_since_ns) / NS_PER_MS,
        container->attempts + 1);
    step(out, "held", NULL);
    value(out, text);
    text_append_char(out, '}');
    if (!container->waiting_since_ns)
        return;
    deadline_ns = resolve_deadline_ns(pipeline, container);
    (void)snprintf(text, sizeof(text), "%" PRIu64 " ms more for the %s, then they go as they are",
        deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_MS : 0,
        container->state == CONTAINER_POD_ONLY ? "container's name" : "Pod");
    step(out, "waits", NULL);
    value(out, text);
    text_append_char(out, '}');
}

void explain_write(struct enricher *e, const char *argument, struct text *reply)
{
    char *end = NULL;
    unsigned long pid = argument && *argument ? strtoul(argument, &end, 10) : 0;
    struct process *process;

    if (!pid || pid > UINT32_MAX || *end) {
        text_append_string(reply, "{\"error\":\"explain: expected a pid\"}");
        return;
    }
    process = process_table_find_pid(&e->pipeline.processes, (uint32_t)pid);
    text_append_format(reply, "{\"pid\":%lu,\"steps\":[", pid);
    if (!process) {
        step(reply, "process",
            "not in the table: it has exited, or started before and the snapshot missed it");
        text_append_string(reply, "}]}");
        return;
    }
    step(reply, "process", NULL);
    value(reply, origin_name(process));
    text_append_char(reply, '}');
    explain_cgroup(e, process, reply);
    if (process->inherited) {
        step(reply, "inherited", NULL);
        value(reply, "its cgroup is unknown; it was forked by a process of the same cgroup");
        text_append_char(reply, '}');
    }
    if (process->container) {
        explain_container(process->container, reply);
        if (process->container->state != CONTAINER_HOST)
            explain_pod(process->container, reply);
        explain_waiting(&e->pipeline, process->container, reply);
    }
    text_append_string(reply, "]}");
}
