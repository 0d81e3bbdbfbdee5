/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/emit_normalised.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/record.h"
#include "enricher/container_table.h"
#include "enricher/emit_internal.h"
#include "enricher/output.h"
#include "enricher/policy_table.h"
#include "enricher/process_table.h"
#include "enricher/put.h"
#include "enricher/render_hook.h"

/* Keys and numbers of a definition. */
#define DEFINITION_OVERHEAD 128
/* A new viewer gets a section at once while few definitions would be written again; else one a second is enough. */
#define VIEWER_DEFINITIONS 4096
#define VIEWER_INTERVAL_NS NS_PER_SEC

struct normaliser {
    uint64_t base;     /* of the section's stamps: section << 32 | number */
    uint64_t number;   /* of the last definition */
    uint64_t bytes;    /* of the definitions */
    uint64_t begun_ns; /* when the section was */
    bool begin_due;    /* the output has begun one, its first line is not out */
};

struct normaliser *normaliser_new(void)
{
    struct normaliser *n = calloc(1, sizeof(*n));

    if (n)
        n->number = NORMALISED_DEFINITIONS_MAX; /* the first line begins a section */
    return n;
}

struct normaliser *normaliser_free(struct normaliser *normaliser)
{
    free(normaliser);
    return NULL;
}

int emit_normalise(struct emit *emit)
{
    emit->normaliser = normaliser_new();
    return emit->normaliser ? 0 : -ENOMEM;
}

/* ---- sections --------------------------------------------------------------------------------------------- */

static char *put_section(const struct emit *emit, char *to)
{
    to = PUT(to, "{\"podkin_section\":{\"format\":");
    to = put_u64(to, NORMALISED_FORMAT);
    to = PUT(to, ",");
    to = put(to, emit->node_json, emit->node_json_size);
    to = PUT(to, ",\"boot_id\":\"");
    to = put_string(to, emit->boot_id);
    return PUT(to, "\"}}\n");
}

static int begin_section(struct emit *emit, uint64_t now_ns)
{
    struct normaliser *n = emit->normaliser;
    char *line;
    int r = n->begin_due ? 0 : output_begin_section(emit->output);

    if (r < 0)
        return r;
    n->begin_due = true;
    line = output_reserve(emit->output, EMIT_LINE_OVERHEAD + emit->node_json_size);
    if (!line)
        return -EAGAIN;
    output_commit(emit->output, (size_t)(put_section(emit, line) - line));
    *n = (struct normaliser){.base = n->base + (UINT64_C(1) << 32), .begun_ns = now_ns};
    return 0;
}

static bool is_due(const struct emit *emit, uint64_t now_ns)
{
    const struct normaliser *n = emit->normaliser;

    if (n->begin_due || n->number >= NORMALISED_DEFINITIONS_MAX || n->bytes >= NORMALISED_BYTES_MAX)
        return true;
    switch (output_section_due(emit->output)) {
    case OUTPUT_SECTION_FILE:
        return true;
    case OUTPUT_SECTION_VIEWER:
        return n->number < VIEWER_DEFINITIONS || now_ns - n->begun_ns >= VIEWER_INTERVAL_NS;
    default:
        return false;
    }
}

int emit_normalised_begin(struct emit *emit, uint64_t now_ns)
{
    return __builtin_expect(is_due(emit, now_ns), 0) ? begin_section(emit, now_ns) : 0;
}

/* ---- definitions -------------------------------------------------------------------------------------------- */

/* {"define_KIND":{"ref":N, with the next number. */
static char *put_definition(char *to, const struct normaliser *n, const char *kind)
{
    to = PUT(to, "{\"define_");
    to = put_string(to, kind);
    to = PUT(to, "\":{\"ref\":");
    return put_u64(to, n->number + 1);
}

/* Returns the stamp. */
static uint64_t commit_definition(struct emit *emit, const char *line, const char *end)
{
    struct normaliser *n = emit->normaliser;

    output_commit(emit->output, (size_t)(end - line));
    n->bytes += (size_t)(end - line);
    return n->base + ++n->number;
}

static int define_image(struct emit *emit, struct image *image)
{
    char *line, *to;

    if (image->definition > emit->normaliser->base)
        return 0;
    line = output_reserve(emit->output, DEFINITION_OVERHEAD + image->size);
    if (!line)
        return -EAGAIN;
    to = put_definition(line, emit->normaliser, "image");
    to = PUT(to, ",\"members\":{");
    to = put(to, image->fragment, image->size - 1); /* it ends with a comma */
    image->definition = commit_definition(emit, line, PUT(to, "}}}\n"));
    return 0;
}

/* The pid in the container is each process's own: 0 here. */
static int define_container(struct emit *emit, struct container *container)
{
    const struct container_fragment *fragment = &container->fragment;
    bool has_pid = fragment->split < fragment->size;
    char *line, *to;

    if (fragment->size == 0 || container->definition > emit->normaliser->base)
        return 0;
    line = output_reserve(emit->output, DEFINITION_OVERHEAD + fragment->size);
    if (!line)
        return -EAGAIN;
    to = put_definition(line, emit->normaliser, "container");
    to = PUT(to, ",\"members\":{");
    to = put(to, fragment->data, fragment->split);
    if (has_pid) {
        to = PUT(to, "0");
        to = put(to, fragment->data + fragment->split, fragment->size - fragment->split);
    }
    container->definition = commit_definition(emit, line, PUT(to - 1, "}}}\n"));
    return 0;
}

#define OWN_KEY_NONE UINT32_MAX /* in no container that is known: there are none */

static char *put_process(
    struct emit *emit, char *to, const struct process *process, const struct container *container)
{
    to = put_definition(to, emit->normaliser, "process");
    if (process->image) {
        to = PUT(to, ",\"image\":");
        to = put_u64(to, (uint32_t)process->image->definition);
    }
    if (container && container->fragment.size) {
        to = PUT(to, ",\"container\":");
        to = put_u64(to, (uint32_t)container->definition);
        to = PUT(to, ",\"ns_pid\":");
        to = put_u64(to, process->ns_pid);
    }
    to = PUT(to, ",\"members\":{");
    to = render_put_head(to, process, process->tgid, false) - 1;
    to = PUT(to, "}");
    if (container && emit->render.options->own_fields) {
        to = PUT(to, ",\"own\":{");
        to = emit_put_own_pod_fields(emit, to, process, container) - 1;
        to = PUT(to, "}");
    }
    return PUT(to, "}}\n");
}

static int define_process_anew(
    struct emit *emit, struct process *process, struct container *container, uint32_t own)
{
    int r = process->image ? define_image(emit, process->image) : 0;
    char *line;

    if (r == 0 && container)
        r = define_container(emit, container);
    if (r < 0)
        return r;
    line = output_reserve(emit->output,
        DEFINITION_OVERHEAD + EMIT_PROCESS_OVERHEAD + RENDER_HEAD_OVERHEAD + process->head_size);
    if (!line)
        return -EAGAIN;
    process->definition = commit_definition(emit, line, put_process(emit, line, process, container));
    process->defined_container = container ? container->definition : 0;
    process->defined_own = own;
    process->defined_bytes = (uint32_t)emit_process_bound(process, container, true);
    return 0;
}

static inline bool is_defined(
    const struct emit *emit, const struct process *process, const struct container *container, uint32_t own)
{
    return process->definition > emit->normaliser->base && process->defined_own == own &&
           process->defined_container == (container ? container->definition : 0);
}

static inline uint32_t own_key_of(const struct process *process, const struct container *container)
{
    return container ? emit_own_key(process, container) : OWN_KEY_NONE;
}

static int define_process(struct emit *emit, struct process *process, struct container *container)
{
    uint32_t own = own_key_of(process, container);

    if (is_defined(emit, process, container, own) || !process->head)
        return 0;
    return define_process_anew(emit, process, container, own);
}

/* Pieces begin with a comma where they are not empty. */
static char *put_piece(char *to, const char *key, const struct policy_piece *piece)
{
    to = PUT(to, ",\"");
    to = put_string(to, key);
    to = PUT(to, "\":{");
    if (piece->size)
        to = put(to, piece->data + 1, piece->size - 1);
    return PUT(to, "}");
}

static int define_hook(struct emit *emit, struct policy_entry *policy)
{
    char *line, *to;

    if (policy->definition > emit->normaliser->base)
        return 0;
    line = output_reserve(emit->output, DEFINITION_OVERHEAD + policy->function.size + policy->names.size);
    if (!line)
        return -EAGAIN;
    to = put_definition(line, emit->normaliser, "hook");
    to = put_piece(to, "function", &policy->function);
    to = put_piece(to, "policy", &policy->names);
    policy->definition = commit_definition(emit, line, PUT(to, "}}\n"));
    return 0;
}

/* ---- events --------------------------------------------------------------------------------------------------- */

static bool is_named(const struct process *process, bool whole)
{
    return whole && process->head; /* N4 */
}

/* All processes of the event are defined as they are now: what they take is known without a look at their text. */
static bool lay_out_defined(
    const struct emit *emit, const struct event *event, size_t hook_bound, struct emit_layout *ret)
{
    const struct process *process = event->process, *parent = process->parent;
    size_t bytes = EMIT_LINE_OVERHEAD + emit->node_json_size + hook_bound + process->defined_bytes;

    if (!is_defined(emit, process, event->container, own_key_of(process, event->container)))
        return false;
    if (parent) {
        if (!is_defined(emit, parent, parent->container, own_key_of(parent, parent->container)))
            return false;
        bytes += parent->defined_bytes;
    }
    *ret = (struct emit_layout){.bytes = bytes, .hook_room = hook_bound, .whole = true, .parent_whole = true};
    return bytes <= OUTPUT_LINE_MAX;
}

/* Room for the event, and all that it names. */
static int define(struct emit *emit, const struct event *event, size_t hook_bound, struct emit_layout *layout)
{
    struct process *parent = event->process->parent;
    int r;

    if (lay_out_defined(emit, event, hook_bound, layout))
        return event->policy ? define_hook(emit, event->policy) : 0;
    *layout = emit_lay_out(
        event, parent ? parent->container : NULL, EMIT_LINE_OVERHEAD + emit->node_json_size, hook_bound);
    r = layout->whole ? define_process(emit, event->process, event->container) : 0;

    if (r == 0 && parent && layout->parent_whole)
        r = define_process(emit, parent, parent->container);
    if (r == 0 && event->policy)
        r = define_hook(emit, event->policy);
    return r;
}

static char *put_subject(struct emit *emit, char *to, const struct event *event, bool whole)
{
    const struct process *process = event->process;
    uint32_t tid = event->policy ? event->record->tid : process->tgid;
    const char *exec_id;
    size_t size;

    if (!is_named(process, whole))
        return emit_put_process(emit, to, process, event->container, whole, tid);
    exec_id = render_exec_id(process, &size);
    to = PUT(to, "{\"exec_id\":\"");
    to = put(to, exec_id, size);
    to = PUT(to, "\",\"ref\":");
    to = put_u64(to, (uint32_t)process->definition);
    if (tid != process->tgid) {
        to = PUT(to, ",\"tid\":");
        to = put_u64(to, tid);
    }
    return PUT(to, "}");
}

static char *put_parent(struct emit *emit, char *to, const struct process *parent, bool whole)
{
    if (!is_named(parent, whole))
        return emit_put_process(emit, to, parent, parent->container, whole, parent->tgid);
    to = PUT(to, "{\"ref\":");
    to = put_u64(to, (uint32_t)parent->definition);
    return PUT(to, "}");
}

static char *put_line(struct emit *emit, char *to, const struct event *event,
    const struct emit_layout *layout, struct render_hook *hook, bool *cut)
{
    const struct process *parent = event->process->parent;

    to = PUT(to, "{\"");
    to = put_string(to, emit_event_name(event));
    to = PUT(to, "\":{\"process\":");
    to = put_subject(emit, to, event, layout->whole);
    if (parent) {
        to = PUT(to, ",\"parent\":");
        to = put_parent(emit, to, parent, layout->parent_whole);
    }
    if (event->record->type == RECORD_EXIT)
        return emit_put_exit(emit, to, (const struct record_exit *)event->record);
    if (!event->policy)
        return to;
    hook->reference = (uint32_t)event->policy->definition;
    return render_hook(to, layout->hook_room, hook, cut);
}

int emit_normalised_event(struct emit *emit, const struct event *event, uint64_t now_ns)
{
    struct render_hook hook = {.record = (const struct record_hook *)event->record,
        .policy = event->policy,
        .own_fields = emit->render.options->own_fields,
        .selector_undecided = event->selector_undecided};
    struct emit_layout layout = {0};
    int r = emit_normalised_begin(emit, now_ns);
    char *line, *to;
    bool cut = false;

    if (r == 0)
        r = define(emit, event, event->policy ? render_hook_bound(&hook) : 0, &layout);
    line = r == 0 ? output_reserve(emit->output, layout.bytes) : NULL;
    if (!line)
        return -EAGAIN;
    to = put_line(emit, line, event, &layout, &hook, &cut);
    to = emit_put_envelope(emit, to, event->record, now_ns - event->held_since_ns, event->held_since_ns != 0);
    output_commit(emit->output, (size_t)(to - line));
    if (!event->held_since_ns)
        output_note(emit->output, event->record->time_ns);
    return cut ? EMIT_CUT : 0;
}
