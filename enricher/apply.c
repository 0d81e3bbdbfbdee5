/* SPDX-License-Identifier: Apache-2.0 */
/* A record → the tables, and the event that it is. */
#include <errno.h>
#include <string.h>

#include "common/record.h"
#include "enricher/image.h"
#include "enricher/pipeline.h"

struct container *apply_find_container(struct pipeline *pipeline, struct process *process, uint64_t cgroup_id)
{
    struct cgroup *cgroup = container_table_find(&pipeline->containers, cgroup_id);
    struct process *parent = process->parent;
    struct container *container;

    if (!cgroup && process->container && process->cgroup_id == cgroup_id && !process->container->path_unknown)
        return process
            ->container; /* the table has no room for the cgroup, or not any more; the process knows */
    process->inherited = false;
    if (!cgroup || cgroup->container->path_unknown) {
        struct container *parents = parent && parent->cgroup_id == cgroup_id ? parent->container : NULL;

        if (parents && !parents->path_unknown) {
            process->inherited = true;
            process_set_container(process, parents);
            process->cgroup_id = cgroup_id;
            return parents;
        }
    }
    if (!cgroup)
        cgroup = container_table_add_unknown(&pipeline->containers, cgroup_id);
    container = cgroup ? cgroup->container : pipeline->overflow;
    process->cgroup_id = cgroup_id;
    if (process->container != container)
        process_set_container(process, container);
    return container;
}

struct container *apply_current_container(struct pipeline *pipeline, struct process *process)
{
    if (process->container && process->container->path_unknown)
        return apply_find_container(pipeline, process, process->cgroup_id);
    return process->container;
}

struct container *apply_container_of_event(
    struct pipeline *pipeline, struct process *process, uint64_t cgroup_id, struct container *before)
{
    const struct cgroup *cgroup;

    if (process->cgroup_id == cgroup_id)
        return apply_find_container(pipeline, process, cgroup_id);
    cgroup =
        container_table_find(&pipeline->containers, cgroup_id); /* it has moved on and stays where it is */
    return cgroup ? cgroup->container : before;
}

static void render_head(struct pipeline *pipeline, struct process *process, bool clone)
{
    if (render_process_head(&pipeline->emit->render, process, clone) < 0)
        pipeline->counters.memory_failures++;
}

/* A process that is only mentioned: as a parent, or by a record whose beginning was lost. */
static struct process *new_unknown(
    struct pipeline *pipeline, uint32_t tgid, uint64_t start_ns, uint64_t cgroup_id)
{
    struct process *process = process_new(tgid, start_ns, start_ns, PROCESS_UNKNOWN);

    if (!process) {
        pipeline->counters.memory_failures++;
        return NULL;
    }
    if (cgroup_id)
        apply_find_container(pipeline, process, cgroup_id);
    render_head(pipeline, process, false);
    return process;
}

static void set_parent_by_key(
    struct pipeline *pipeline, struct process *process, uint32_t tgid, uint64_t start_ns, uint64_t cgroup_id)
{
    struct process *parent = tgid ? process_table_find(&pipeline->processes, tgid, start_ns) : NULL;

    if (parent) {
        process_set_parent(process, parent);
    } else if (tgid) {
        parent = new_unknown(pipeline, tgid, start_ns, cgroup_id);
        if (parent)
            process_set_parent(process, parent);
        process_unref(parent);
    }
}

static void insert(struct pipeline *pipeline, struct process *process, uint64_t now_ns)
{
    struct process *old = process_table_find(&pipeline->processes, process->tgid, process->start_ns);

    if (old && old->behind)
        process_set_behind(process, old->behind); /* E1 holds over an exec */
    if (process_table_insert(&pipeline->processes, process, now_ns) < 0)
        pipeline->counters.memory_failures++;
}

static struct process *apply_fork(
    struct pipeline *pipeline, const struct record_fork *record, uint64_t now_ns)
{
    const struct record_header *header = &record->header;
    struct process *process = process_new(header->tgid, header->start_ns, header->start_ns, PROCESS_FORKED);

    if (!process)
        return NULL;
    process->uid = record->uid;
    process->ns_pid = record->ns_pid;
    process->in_init_tree = record->flags & RECORD_PROCESS_IN_INIT_TREE;
    set_parent_by_key(
        pipeline, process, record->parent_tgid, record->parent_start_ns, record->parent_cgroup_id);
    if (process->parent)
        process->image = image_ref(process->parent->image);
    render_head(pipeline, process, true);
    insert(pipeline, process, now_ns);
    return process;
}

/* What an exec or the snapshot tells of a process, without its parent. */
static struct process *new_from_image(struct pipeline *pipeline, const struct record_process *record,
    uint64_t image_start_ns, enum process_origin origin)
{
    struct process *process =
        process_new(record->header.tgid, record->header.start_ns, image_start_ns, origin);

    if (!process)
        return NULL;
    process->image = image_table_get(&pipeline->images, record, &pipeline->emit->render.options->image);
    if (!process->image)
        pipeline->counters.memory_failures++;
    process->uid = record->uid;
    process->ns_pid = record->ns_pid;
    process->in_init_tree = record->flags & RECORD_PROCESS_IN_INIT_TREE;
    return process;
}

static struct process *apply_exec(
    struct pipeline *pipeline, const struct record_process *record, uint64_t now_ns)
{
    const struct record_header *header = &record->header;
    struct process *old = process_table_find(&pipeline->processes, header->tgid, header->start_ns);
    struct process *process = new_from_image(pipeline, record, header->time_ns, PROCESS_EXECED);
    bool again = old && old->image_start_ns == header->time_ns &&
                 old->origin != PROCESS_FORKED; /* told before: snapshot, recovery */
    bool clone = old && old->origin == PROCESS_FORKED;

    if (!process)
        return NULL;
    if (old && !again && (old->origin == PROCESS_EXECED || old->origin == PROCESS_SNAPSHOT))
        process_set_parent(process, old); /* exec over exec: the previous image of the same pid */
    else if (old && old->parent)
        process_set_parent(process, old->parent);
    else
        set_parent_by_key(pipeline, process, record->parent_tgid, record->parent_start_ns, 0);
    render_head(pipeline, process, clone);
    insert(pipeline, process, now_ns);
    return process;
}

/* The current execution of the key; made when its beginning was lost. One reference for the caller. */
static struct process *find_or_make(
    struct pipeline *pipeline, const struct record_header *header, uint64_t now_ns)
{
    struct process *process = process_table_find(&pipeline->processes, header->tgid, header->start_ns);

    if (process)
        return process_ref(process);
    process = new_unknown(pipeline, header->tgid, header->start_ns, header->cgroup_id);
    if (process)
        insert(pipeline, process, now_ns);
    return process;
}

/* Else its id is of another tree. */
static bool is_of_our_hierarchy(const struct pipeline *pipeline, const struct record_cgroup *record)
{
    return record->hierarchy_id == pipeline->containers.hierarchy_id;
}

static void apply_cgroup(struct pipeline *pipeline, const struct record_cgroup *record, uint64_t now_ns)
{
    const char *path = (const char *)record + record->path.offset;
    struct container *stand_in, *container = NULL;
    struct cgroup *cgroup;

    if (!is_of_our_hierarchy(pipeline, record))
        return;
    if (record->header.cgroup_id == 0 || record->path.size == 0) /* no cgroup's number; could not be read */
        return;
    if (record->header.type == RECORD_CGROUP_MKDIR || record->header.type == RECORD_SNAPSHOT_CGROUP)
        container_table_forget_other(
            &pipeline->containers, record->header.cgroup_id, path, record->path.size);
    cgroup = container_table_add(
        &pipeline->containers, record->header.cgroup_id, path, record->path.size, &stand_in);
    if (cgroup) {
        container = container_ref(cgroup->container);
        if (record->header.type == RECORD_CGROUP_RMDIR)
            container_table_mark_removed(&pipeline->containers, cgroup, now_ns);
        resolve_container(pipeline, container, now_ns);
    }
    if (stand_in) {
        if (container)
            update_dissolve(pipeline, stand_in, container);
        resolve_dissolve(pipeline, stand_in, now_ns);
        container_unref(stand_in);
        (void)release_run(pipeline, now_ns); /* may drop the cgroup; -EAGAIN: the next call goes on */
    }
    if (container && record->header.type == RECORD_CGROUP_RMDIR)
        place_note(pipeline, container, &record->header, now_ns);
    container_unref(container);
}

static void set_container_by_path(
    struct pipeline *pipeline, struct process *process, const struct record_cgroup *record, uint64_t now_ns)
{
    struct container *container = container_table_get(
        &pipeline->containers, (const char *)record + record->path.offset, record->path.size);

    if (!container)
        return;
    resolve_container(pipeline, container, now_ns);
    process_set_container(process, container);
    process->cgroup_id = record->header.cgroup_id;
    process->inherited = false;
    container_unref(container);
}

/* The path comes with it: that the cgroup was made may have been lost. */
static void apply_attach(struct pipeline *pipeline, const struct record_cgroup *record, uint64_t now_ns)
{
    const struct record_header *header = &record->header;
    struct process *process = process_table_find(&pipeline->processes, header->tgid, header->start_ns);

    apply_cgroup(pipeline, record, now_ns);
    if (!process || !is_of_our_hierarchy(pipeline, record))
        return;
    if (header->cgroup_id && record->path.size &&
        !container_table_find(&pipeline->containers, header->cgroup_id)) /* C3 */
        set_container_by_path(pipeline, process, record, now_ns);
    (void)apply_find_container(pipeline, process, header->cgroup_id);
}

/* Places the event; keeps it, with references, when the output is full (E4). */
static int place_or_park(struct pipeline *pipeline, const struct event *event, uint64_t now_ns)
{
    int r = place_event(pipeline, event, now_ns);

    if (r == -EAGAIN) {
        pipeline->parked = *event;
        pipeline->has_parked = true;
        process_ref(event->process);
        container_ref(event->container);
        policy_ref(event->policy);
    }
    return r;
}

static int unpark(struct pipeline *pipeline, uint64_t now_ns)
{
    int r = place_event(pipeline, &pipeline->parked, now_ns);

    if (r == -EAGAIN)
        return r;
    pipeline->has_parked = false;
    process_unref(pipeline->parked.process);
    container_unref(pipeline->parked.container);
    policy_unref(pipeline->parked.policy);
    return r;
}

static int apply_event(struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns)
{
    struct event event = {.record = record,
        .held_since_ns = pipeline->recovering_since_ns,
        .held_sequence = pipeline->recovering_sequence};
    int r;

    if (record->type == RECORD_FORK)
        event.process = apply_fork(pipeline, (const struct record_fork *)record, now_ns);
    else if (record->type == RECORD_EXEC)
        event.process = apply_exec(pipeline, (const struct record_process *)record, now_ns);
    else
        event.process = find_or_make(pipeline, record, now_ns);
    if (!event.process) {
        pipeline->counters.memory_failures++;
        pipeline->counters.dropped_no_memory++;
        pipeline->counters.dropped[record->type]++;
        return 0;
    }
    event.container = apply_find_container(pipeline, event.process, record->cgroup_id);
    if (record->type == RECORD_EXIT) {
        if (event.process->exit_told) {
            pipeline->counters.exits_duplicate++;
            pipeline->counters.dropped[RECORD_EXIT]++;
            process_unref(event.process);
            return 0;
        }
        event.process->exit_told = true;
        process_table_mark_exited(&pipeline->processes, event.process, now_ns);
    }
    event.policy = hook_find_policy(pipeline, record, now_ns);
    r = hook_drop(pipeline, &event) ? 0 : place_or_park(pipeline, &event, now_ns);
    process_unref(event.process);
    return r;
}

/* The event itself is another lane's. */
static void apply_foreign(struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns)
{
    struct process *process;

    if (record->type == RECORD_HOOK)
        return;
    if (record->type == RECORD_FORK)
        process = apply_fork(pipeline, (const struct record_fork *)record, now_ns);
    else if (record->type == RECORD_EXEC)
        process = apply_exec(pipeline, (const struct record_process *)record, now_ns);
    else
        process = find_or_make(pipeline, record, now_ns);
    if (!process) {
        pipeline->counters.memory_failures++;
        return;
    }
    (void)apply_find_container(pipeline, process, record->cgroup_id);
    if (record->type == RECORD_EXIT && !process->exit_told) {
        process->exit_told = true;
        process_table_mark_exited(&pipeline->processes, process, now_ns);
    }
    process_unref(process);
}

/* Without these the tables are no longer true: the dead stay, a process runs what it ran before, a cgroup has no path, a hook no
 * policy. */
static bool breaks_tables(const struct record_lost *record)
{
    return record->count[RECORD_FORK] || record->count[RECORD_EXEC] || record->count[RECORD_EXIT] ||
           record->count[RECORD_CGROUP_MKDIR] || record->count[RECORD_CGROUP_RMDIR] ||
           record->count[RECORD_CGROUP_ATTACH] || record->count[RECORD_POLICY];
}

static int apply_lost(struct pipeline *pipeline, const struct record_lost *record, uint64_t now_ns)
{
    int r = pipeline->options->own_events ? emit_lost(pipeline->emit, record) : 0;

    if (r < 0)
        return r;
    if (!pipeline->gap_since_ns && breaks_tables(record))
        pipeline->gap_since_ns = now_ns;
    pipeline->counters.emitted[RECORD_LOST]++;
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++)
        pipeline->counters.lost_records += record->count[i];
    return 0;
}

static int apply(struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns)
{
    switch (record->type) {
    case RECORD_FORK:
    case RECORD_EXEC:
    case RECORD_EXIT:
    case RECORD_HOOK:
        if (lane_of_owns(pipeline->lane, record))
            return apply_event(pipeline, record, now_ns);
        apply_foreign(pipeline, record, now_ns);
        return 0;
    case RECORD_CGROUP_MKDIR:
    case RECORD_CGROUP_RMDIR:
        apply_cgroup(pipeline, (const struct record_cgroup *)record, now_ns);
        return 0;
    case RECORD_CGROUP_ATTACH:
        apply_attach(pipeline, (const struct record_cgroup *)record, now_ns);
        return 0;
    case RECORD_LOST:
        return lane_of_owns(pipeline->lane, record)
                   ? apply_lost(pipeline, (const struct record_lost *)record, now_ns)
                   : 0;
    case RECORD_POLICY:
        hook_apply_policy(pipeline, (const struct record_policy *)record, 0, now_ns);
        return 0;
    default:
        pipeline->counters.records_unknown_type += lane_of_owns(pipeline->lane, record);
        return 0;
    }
}

void pipeline_prefetch_slots(const struct pipeline *pipeline, const struct record_header *record)
{
    process_table_prefetch(&pipeline->processes, record->tgid);
    if (record->type == RECORD_FORK)
        process_table_prefetch(&pipeline->processes, ((const struct record_fork *)record)->parent_tgid);
}

/* Whose text the line of this record will have. */
static uint32_t tgid_of_text(const struct record_header *record)
{
    return record->type == RECORD_FORK ? ((const struct record_fork *)record)->parent_tgid : record->tgid;
}

void pipeline_prefetch_processes(const struct pipeline *pipeline, const struct record_header *record)
{
    process_table_prefetch_process(&pipeline->processes, tgid_of_text(record));
}

/* Wherever in a line of the cache it begins. */
static void prefetch_bytes(const void *data, size_t size)
{
    for (size_t i = 0; i < size; i += 64)
        __builtin_prefetch((const char *)data + i);
    __builtin_prefetch((const char *)data + size - (size > 0));
}

static const struct process *find_for_text(
    const struct pipeline *pipeline, const struct record_header *record)
{
    const struct record_fork *fork = (const struct record_fork *)record;

    return record->type == RECORD_FORK
               ? process_table_find(&pipeline->processes, fork->parent_tgid, fork->parent_start_ns)
               : process_table_find(&pipeline->processes, record->tgid, record->start_ns);
}

/* A normalised line has the exec_id, most often no more. */
static void prefetch_names(const struct process *process)
{
    __builtin_prefetch(process->head);
    if (process->container)
        __builtin_prefetch(&process->container->pod);
    if (process->parent) {
        __builtin_prefetch(process->parent);
        __builtin_prefetch((const char *)process->parent + sizeof(struct process) - 1);
    }
}

static void prefetch_own_text(const struct process *process)
{
    prefetch_bytes(process->head, process->head_size);
    if (process->image)
        prefetch_bytes(process->image, 256);
}

const struct process *pipeline_prefetch_text(
    const struct pipeline *pipeline, const struct record_header *record)
{
    const struct process *process = find_for_text(pipeline, record);

    if (!process)
        return NULL;
    if (pipeline->emit->normaliser) {
        prefetch_names(process);
        return NULL;
    }
    prefetch_own_text(process);
    if (process->parent)
        prefetch_bytes(process->parent, 128);
    if (process->container)
        __builtin_prefetch(&process->container->fragment);
    return process;
}

void pipeline_prefetch_context(const struct process *process)
{
    if (process->parent)
        prefetch_own_text(process->parent);
    if (process->container)
        prefetch_bytes(process->container->fragment.data, process->container->fragment.size);
}

int pipeline_record(struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns)
{
    int r = release_run(pipeline, now_ns); /* E1: what is being let go goes first, all of it */

    if (r == 0 && pipeline->update_first) /* or new events would take all the room there is */
        r = update_run(pipeline, now_ns);
    if (r == 0)
        r = pipeline->has_parked ? unpark(pipeline, now_ns) : apply(pipeline, record, now_ns);
    if (r == -EAGAIN)
        return r;
    if (record->type < RECORD_TYPE_SLOTS && lane_of_owns(pipeline->lane, record))
        pipeline->counters.received[record->type]++;
    return 0;
}

static bool same_image(const struct image *a, const struct image *b)
{
    return a && b && a->size == b->size && !memcmp(a->fragment, b->fragment, a->size);
}

static void snapshot_cgroup(struct pipeline *pipeline, const struct record_cgroup *record)
{
    struct cgroup *cgroup;

    container_table_use_hierarchy(&pipeline->containers, record->hierarchy_id);
    apply_cgroup(pipeline, record, record->header.time_ns);
    cgroup = container_table_find(&pipeline->containers, record->header.cgroup_id);
    if (cgroup)
        cgroup->seen = pipeline->snapshot_generation;
}

static void snapshot_process(struct pipeline *pipeline, const struct record_process *record)
{
    struct process *old =
        process_table_find(&pipeline->processes, record->header.tgid, record->header.start_ns);
    struct process *process = new_from_image(pipeline, record, record->image_start_ns, PROCESS_SNAPSHOT);
    struct process *current;

    if (!process) {
        pipeline->counters.memory_failures++;
        return;
    }
    if (old && !old->exited_ns && same_image(old->image, process->image)) {
        current = old; /* known by its exec_id already: that one stays */
    } else {
        insert(pipeline, process, record->header.time_ns);
        current = process;
    }
    current->seen = pipeline->snapshot_generation;
    apply_find_container(
        pipeline, current, record->header.cgroup_id); /* it may have moved while nobody looked */
    process_unref(process);
}

static void snapshot_parent(struct pipeline *pipeline, const struct record_process *record)
{
    struct process *process =
        process_table_find(&pipeline->processes, record->header.tgid, record->header.start_ns);

    if (!process || process->head)
        return;
    set_parent_by_key(pipeline, process, record->parent_tgid, record->parent_start_ns, 0);
    render_head(pipeline, process, false);
}

void pipeline_collector_changed(struct pipeline *pipeline)
{
    policy_table_forget(&pipeline->policies);
}

void pipeline_snapshot_begin(struct pipeline *pipeline)
{
    pipeline->snapshot_generation++;
    pipeline->gap_since_ns = 0;
}

void pipeline_snapshot(
    struct pipeline *pipeline, const struct record_header *record, enum pipeline_snapshot_pass pass)
{
    if (record->type == RECORD_SNAPSHOT_CGROUP && pass == PIPELINE_SNAPSHOT_TABLES)
        snapshot_cgroup(pipeline, (const struct record_cgroup *)record);
    else if (record->type == RECORD_POLICY && pass == PIPELINE_SNAPSHOT_TABLES)
        hook_apply_policy(
            pipeline, (const struct record_policy *)record, pipeline->snapshot_generation, record->time_ns);
    else if (record->type == RECORD_SNAPSHOT_PROCESS && pass == PIPELINE_SNAPSHOT_TABLES)
        snapshot_process(pipeline, (const struct record_process *)record);
    else if (record->type == RECORD_SNAPSHOT_PROCESS)
        snapshot_parent(pipeline, (const struct record_process *)record);
}

void pipeline_snapshot_missed(struct pipeline *pipeline, uint64_t now_ns)
{
    process_table_mark_unseen(&pipeline->processes, pipeline->snapshot_generation, now_ns);
    container_table_mark_unseen(&pipeline->containers, pipeline->snapshot_generation, now_ns);
    policy_table_mark_unseen(&pipeline->policies, pipeline->snapshot_generation, now_ns);
}
