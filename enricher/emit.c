/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/emit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/record.h"
#include "common/record_check.h"
#include "common/text.h"
#include "enricher/container_table.h"
#include "enricher/emit_internal.h"
#include "enricher/emit_normalised.h"
#include "enricher/kernel_names.h"
#include "enricher/output.h"
#include "enricher/owed.h"
#include "enricher/process_table.h"
#include "enricher/put.h"
#include "enricher/render_hook.h"

int emit_init(
    struct emit *emit, const struct render_options *options, struct output *output, const char *boot_id)
{
    struct text node = {0};
    size_t used = 0, size;

    *emit = (struct emit){.render = {.options = options, .second = UINT64_MAX}, .output = output};
    for (; *boot_id && used < sizeof(emit->boot_id) - 1; boot_id++) {
        if (*boot_id != '-')
            emit->boot_id[used++] = *boot_id;
    }
    text_append_string(&node, "\"node_name\":");
    text_append_json_string(&node, options->node_name);
    emit->node_json = text_take(&node, &size);
    emit->node_json_size = (uint32_t)size;
    emit_update_clock(emit);
    return emit->node_json ? 0 : -ENOMEM;
}

void emit_deinit(struct emit *emit)
{
    free((char *)emit->node_json);
    emit->node_json = NULL;
    emit->normaliser = normaliser_free(emit->normaliser);
}

void emit_update_clock(struct emit *emit)
{
    emit->render.wall_offset_ns = clock_wall_offset_ns();
}

static const char *pod_state_reason(const struct container *container)
{
    if (container->evicted)
        return "hold store full";
    if (container->state == CONTAINER_POD_ONLY)
        return container->pod && !container->pod->complete ? "only the log directory knows the Pod"
                                                           : "container is in no status of the Pod";
    return container->path_unknown ? "cgroup unknown" : "no source knows the Pod";
}

static const char *role_of(const struct process *process, const struct container *container)
{
    if (container->identity.role == CGROUP_ROLE_MONITOR)
        return "monitor";
    if (process->image && process->image->flags & RECORD_PROCESS_BINARY_HOST_MNT)
        return "runtime"; /* runc-init and the like: not the container's own file system yet */
    if (container->sandbox)
        return "sandbox";
    return "workload";
}

static char *put_own_pod_fields(char *to, const struct process *process, const struct container *container)
{
    to = PUT(to, "\"pod_state\":\"");
    to = put_string(to, container_state_name(container));
    to = PUT(to, "\",");
    if (container->state == CONTAINER_HOST)
        return to;
    if (container->state != CONTAINER_COMPLETE) {
        to = PUT(to, "\"pod_state_reason\":\"");
        to = put_string(to, pod_state_reason(container));
        to = PUT(to, "\",");
    }
    if (container->pod) {
        to = PUT(to, "\"pod_source\":\"");
        to = put_string(to, process->inherited ? "inherited" : pod_source_name(container->pod->best_source));
        to = PUT(to, "\",");
    }
    to = PUT(to, "\"role\":\"");
    to = put_string(to, role_of(process, container));
    return PUT(to, "\",");
}

uint32_t emit_own_key(const struct process *process, const struct container *container)
{
    const struct pod *pod = container->pod;
    bool of_host = process->image && process->image->flags & RECORD_PROCESS_BINARY_HOST_MNT;
    uint32_t key = container->state | (uint32_t)container->evicted << 2 | (uint32_t)container->given_up << 3 |
                   (uint32_t)container->path_unknown << 4 | (uint32_t)container->sandbox << 5 |
                   (uint32_t)process->inherited << 6 |
                   (uint32_t)(container->identity.role == CGROUP_ROLE_MONITOR) << 7 | (uint32_t)of_host << 8;

    return pod ? key | 1 << 9 | (uint32_t)pod->complete << 10 | (uint32_t)pod->best_source << 11 : key;
}

char *emit_put_own_pod_fields(
    struct emit *emit, char *to, const struct process *process, const struct container *container)
{
    uint32_t key = emit_own_key(process, container) + 1; /* 0 is an empty slot */
    struct emit_own *own = &emit->own[(key ^ key >> 8) % EMIT_OWN_SLOTS];

    if (own->key != key) {
        own->size = (uint32_t)(put_own_pod_fields(own->text, process, container) - own->text);
        own->key = key;
    }
    return put(to, own->text, own->size);
}

size_t emit_process_bound(const struct process *process, const struct container *container, bool whole)
{
    size_t image = !process->image ? 0 : whole ? process->image->size : process->image->short_size;

    return process->head_size + RENDER_HEAD_OVERHEAD + image + (container ? container->fragment.size : 0) +
           EMIT_PROCESS_OVERHEAD;
}

static char *put_fragment(char *to, const struct container_fragment *fragment, uint32_t ns_pid)
{
    if (fragment->split)
        to = put(to, fragment->data, fragment->split);
    if (fragment->split < fragment->size) {
        to = put_u64(to, ns_pid);
        to = put(to, fragment->data + fragment->split, fragment->size - fragment->split);
    }
    return to;
}

/* {…}: head, image, Pod. Every fragment ends with a comma; the last one is overwritten by the brace. */
char *emit_put_process(struct emit *emit, char *to, const struct process *process,
    const struct container *container, bool whole, uint32_t tid)
{
    const struct image *image = process->image;

    to = PUT(to, "{");
    to = render_put_head(to, process, tid, !whole && image && image->size > image->short_size);
    if (image)
        to = put(to, image->fragment, whole ? image->size : image->short_size);
    if (container) {
        to = put_fragment(to, &container->fragment, process->ns_pid);
        if (emit->render.options->own_fields)
            to = emit_put_own_pod_fields(emit, to, process, container);
    }
    if (to[-1] == ',')
        to--;
    return PUT(to, "}");
}

char *emit_put_exit(struct emit *emit, char *to, const struct record_exit *record)
{
    uint32_t number = record->wait_status & 0x7f, status = record->wait_status >> 8 & 0xff;

    if (number) {
        const char *name = kernel_signal_name(number);

        to = PUT(to, ",\"signal\":\"");
        if (name) {
            to = put_string(to, name);
        } else {
            to = PUT(to, "SIGRT");
            to = put_u64(to, number);
        }
        to = PUT(to, "\"");
    }
    if (status) {
        to = PUT(to, ",\"status\":");
        to = put_u64(to, status);
    }
    to = PUT(to, ",\"time\":\"");
    to = render_time(&emit->render, to, record->header.time_ns);
    return PUT(to, "\"");
}

/* For a line that is the same in both formats but for its envelope. */
static char *reserve_line(struct emit *emit, size_t bound, uint64_t now_ns)
{
    if (emit->normaliser && emit_normalised_begin(emit, now_ns) < 0)
        return NULL;
    return output_reserve(emit->output, bound);
}

/* In a normalised line the section's first line has it, and the boot id. */
static char *put_node(const struct emit *emit, char *to)
{
    if (emit->normaliser)
        return to;
    to = put(to, emit->node_json, emit->node_json_size);
    return PUT(to, ",");
}

/* What stands around every event: }, node, time, id, held_ms } */
char *emit_put_envelope(
    struct emit *emit, char *to, const struct record_header *record, uint64_t held_ns, bool held)
{
    to = put_node(emit, PUT(to, "},"));
    to = PUT(to, "\"time\":\"");
    to = render_time(&emit->render, to, record->time_ns);
    to = PUT(to, "\"");
    if (emit->render.options->own_fields) {
        to = PUT(to, ",\"id\":\"");
        if (!emit->normaliser) {
            to = put_string(to, emit->boot_id);
            to = PUT(to, "-");
        }
        to = put_u64(to, record->cpu);
        to = PUT(to, "-");
        to = put_u64(to, record->seq);
        to = PUT(to, "\"");
        if (held) {
            to = PUT(to, ",\"held_ms\":");
            to = put_u64(to, held_ns / NS_PER_MS);
        }
    }
    return PUT(to, "}\n");
}

const char *emit_event_name(const struct event *event)
{
    switch (event->record->type) {
    case RECORD_FORK:
        return "process_fork";
    case RECORD_EXEC:
        return "process_exec";
    case RECORD_HOOK:
        return render_hook_event_name(event->policy);
    default:
        return "process_exit";
    }
}

/* First the parent's arguments give way, then what a hook saw down to RENDER_HOOK_MIN, then the process's arguments. */
struct emit_layout emit_lay_out(
    const struct event *event, const struct container *parent_container, size_t overhead, size_t hook_bound)
{
    const struct process *process = event->process, *parent = process->parent;
    size_t own = emit_process_bound(process, event->container, true), room = OUTPUT_LINE_MAX - overhead;
    size_t parents = parent ? emit_process_bound(parent, parent_container, true) : 0;
    size_t least = hook_bound < RENDER_HOOK_MIN ? hook_bound : RENDER_HOOK_MIN;
    struct emit_layout layout = {.hook_room = hook_bound, .whole = true, .parent_whole = true};

    if (own + parents + hook_bound > room && parent) {
        layout.parent_whole = false;
        parents = emit_process_bound(parent, parent_container, false);
    }
    if (own + parents + least > room) {
        layout.whole = false;
        own = emit_process_bound(process, event->container, false);
    }
    if (own + parents + hook_bound > room && hook_bound)
        layout.hook_room = room - own - parents;
    layout.bytes = overhead + own + parents + layout.hook_room;
    return layout;
}

int emit_event(struct emit *emit, const struct event *event, uint64_t now_ns)
{
    const struct process *process = event->process, *parent = process->parent;
    const struct container *parent_container = parent ? parent->container : NULL;
    const struct render_hook hook = {.record = (const struct record_hook *)event->record,
        .policy = event->policy,
        .own_fields = emit->render.options->own_fields,
        .selector_undecided = event->selector_undecided};
    struct emit_layout layout;
    char *line, *to;
    bool cut = false;

    if (emit->normaliser)
        return emit_normalised_event(emit, event, now_ns);
    layout = emit_lay_out(event, parent_container, EMIT_LINE_OVERHEAD + emit->node_json_size,
        event->policy ? render_hook_bound(&hook) : 0);
    line = output_reserve(emit->output, layout.bytes);
    if (!line)
        return -EAGAIN;
    to = PUT(line, "{\"");
    to = put_string(to, emit_event_name(event));
    to = PUT(to, "\":{\"process\":");
    to = emit_put_process(emit, to, process, event->container, layout.whole,
        event->policy ? event->record->tid : process->tgid);
    if (parent) {
        to = PUT(to, ",\"parent\":");
        to = emit_put_process(emit, to, parent, parent_container, layout.parent_whole, parent->tgid);
    }
    if (event->record->type == RECORD_EXIT)
        to = emit_put_exit(emit, to, (const struct record_exit *)event->record);
    else if (event->policy)
        to = render_hook(to, layout.hook_room, &hook, &cut);
    to = emit_put_envelope(emit, to, event->record, now_ns - event->held_since_ns, event->held_since_ns != 0);
    output_commit(emit->output, (size_t)(to - line));
    if (!event->held_since_ns)
        output_note(emit->output, event->record->time_ns);
    return cut ? EMIT_CUT : 0;
}

/* Without the process's own pid in it, which stands between the halves. */
static char *put_fragment_of_all(char *to, const struct container_fragment *fragment)
{
    static const char key[] = ",\"pid\":";

    if (fragment->size == 0)
        return to;
    if (fragment->split == fragment->size)
        return put(to, fragment->data, fragment->size);
    to = put(to, fragment->data, fragment->split - (sizeof(key) - 1));
    return put(to, fragment->data + fragment->split, fragment->size - fragment->split);
}

static char *put_owed(char *to, const struct owed *owed)
{
    to = PUT(to, "\"exec_id\":\"");
    to = put(to, owed->exec_id, owed->exec_id_size);
    to = PUT(to, "\",\"pid\":");
    to = put_u64(to, owed->pid);
    return PUT(to, ",");
}

static uint64_t sum_events(const struct container *container, const struct owed *owed)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < OWED_TYPES; i++)
        sum += owed ? owed->events[i] : container->owed->other_events[i];
    return sum;
}

int emit_pod_update(
    struct emit *emit, const struct container *container, const struct owed *owed, uint64_t now_ns)
{
    size_t bound = EMIT_LINE_OVERHEAD + emit->node_json_size + container->fragment.size +
                   (owed ? owed->exec_id_size + EMIT_PROCESS_OVERHEAD : 0);
    uint64_t events = sum_events(container, owed);
    char *line = reserve_line(emit, bound, now_ns), *to;

    if (!line)
        return -EAGAIN;
    to = PUT(line, "{\"pod_update\":{");
    if (owed)
        to = put_owed(to, owed);
    to = owed ? put_fragment(to, &container->fragment, owed->ns_pid)
              : put_fragment_of_all(to, &container->fragment);
    to = PUT(to, "\"pod_state\":\"");
    to = put_string(to, container_state_name(container));
    to = PUT(to, "\"");
    if (container->pod) {
        to = PUT(to, ",\"pod_source\":\"");
        to = put_string(
            to, owed && owed->inherited ? "inherited" : pod_source_name(container->pod->best_source));
        to = PUT(to, "\"");
    }
    if (events) {
        to = PUT(to, ",\"events\":");
        to = put_u64(to, events);
    }
    to = put_node(emit, PUT(to, "},"));
    to = PUT(to, "\"time\":\"");
    to = render_time(&emit->render, to, now_ns);
    to = PUT(to, "\"}\n");
    output_commit(emit->output, (size_t)(to - line));
    return 0;
}

static char *put_count(char *to, const char *name, uint64_t count)
{
    to = to[-1] == '{' ? PUT(to, "\"") : PUT(to, ",\"");
    to = put_string(to, name);
    to = PUT(to, "\":");
    return put_u64(to, count);
}

static char *put_by_type(char *to, const __u64 count[RECORD_TYPE_SLOTS])
{
    uint64_t other = 0; /* types that this version does not know */

    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++) {
        if (!record_fixed_bytes(type))
            other += count[type];
        else if (count[type])
            to = put_count(to, record_type_name(type), count[type]);
    }
    return other ? put_count(to, "other", other) : to;
}

static char *put_lost_range(char *line, uint16_t cpu, uint64_t first_seq, uint64_t last_seq)
{
    char *to = PUT(line, "{\"lost\":{\"cpu\":");

    to = put_u64(to, cpu);
    to = PUT(to, ",\"from\":\"");
    to = put_u64(to, first_seq);
    to = PUT(to, "\",\"to\":\"");
    to = put_u64(to, last_seq);
    return PUT(to, "\",\"by_type\":{");
}

int emit_unexplained(
    struct emit *emit, uint16_t cpu, uint64_t first_seq, uint64_t last_seq, uint64_t count, uint64_t now_ns)
{
    char *line = reserve_line(emit, 2 * EMIT_LINE_OVERHEAD + emit->node_json_size, now_ns), *to;

    if (!line)
        return -EAGAIN;
    to = put_lost_range(line, cpu, first_seq, last_seq);
    to = put_count(to, "unknown", count);
    to = PUT(to, "},\"where\":\"unexplained\"");
    /* The number of a record that never came: no other line has it. */
    to = emit_put_envelope(
        emit, to, &(struct record_header){.time_ns = now_ns, .cpu = cpu, .seq = first_seq}, 0, false);
    output_commit(emit->output, (size_t)(to - line));
    return 0;
}

int emit_lost(struct emit *emit, const struct record_lost *lost)
{
    char *line = reserve_line(emit, 2 * EMIT_LINE_OVERHEAD + emit->node_json_size, lost->header.time_ns), *to;

    if (!line)
        return -EAGAIN;
    to = put_lost_range(line, lost->header.cpu, lost->first_seq, lost->last_seq);
    to = put_by_type(to, lost->count);
    to = PUT(to, "},\"where\":\"");
    to = put_string(to, lost->where == RECORD_LOST_BPF_RING ? "bpf_ring" : "queue");
    to = PUT(to, "\"");
    /* Its number is the collector's own count, its CPU the one it speaks of: the id names the counter. */
    to = emit_put_envelope(emit, to,
        &(struct record_header){
            .time_ns = lost->header.time_ns, .cpu = RECORD_CPU_COLLECTOR, .seq = lost->header.seq},
        0, false);
    output_commit(emit->output, (size_t)(to - line));
    return 0;
}
