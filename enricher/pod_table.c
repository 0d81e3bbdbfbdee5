/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_table.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/clock.h"
#include "enricher/pod_index.h"
#include "enricher/pod_merge.h"

#define DEFAULT_MAX_PODS  4096
#define DEFAULT_MAX_BYTES (UINT64_C(64) << 20)
#define DEFAULT_GRACE_NS  (300 * NS_PER_SEC)

/* What one source told last. */
struct message {
    struct pod pod;
    bool present;
    bool gone;           /* the source said so; the fields stay for the grace time */
    uint64_t generation; /* of the source's lists: when it was last told */
    uint64_t first_ns, last_ns;
    uint64_t since_ns[POD_FIELD_CONTAINER]; /* of the fields that it has now; containers have their own */
};

struct pod_private {
    struct pod_table *table;
    struct pod *previous, *next; /* all Pods of the table */
    struct message messages[POD_SOURCE_COUNT];
    size_t bytes; /* as charged to the table */
};

struct pod_table {
    struct pod_table_limits limits;
    pod_changed_fn *changed;
    void *arg;
    pod_operation_fn *observe;
    void *observe_arg;
    struct pod_index uids;       /* UIDs and config hashes */
    struct pod_index containers; /* container ids, current and old */
    struct pod *pods;
    size_t bytes;
    uint64_t generation[POD_SOURCE_COUNT];
    bool listing[POD_SOURCE_COUNT];
    struct pod_table_stats stats;
};

const char *pod_source_name(enum pod_source source)
{
    static const char *const names[POD_SOURCE_COUNT] = {"", "logdir", "file", "kubelet", "apiserver"};

    return source > POD_SOURCE_NONE && source < POD_SOURCE_COUNT ? names[source] : "";
}

int pod_table_new(
    struct pod_table **ret, const struct pod_table_limits *limits, pod_changed_fn *changed, void *arg)
{
    struct pod_table *table = calloc(1, sizeof(*table));
    int r;

    if (!table)
        return -ENOMEM;
    if (limits)
        table->limits = *limits;
    else
        table->limits.grace_ns = DEFAULT_GRACE_NS;
    if (table->limits.max_pods == 0)
        table->limits.max_pods = DEFAULT_MAX_PODS;
    if (table->limits.max_bytes == 0)
        table->limits.max_bytes = DEFAULT_MAX_BYTES;
    table->changed = changed;
    table->arg = arg;
    r = pod_index_init(&table->uids);
    if (r == 0)
        r = pod_index_init(&table->containers);
    if (r < 0) {
        pod_table_free(table);
        return r;
    }
    *ret = table;
    return 0;
}

/* ---- one Pod's place in the table */

static void unlink_keys(struct pod *pod)
{
    struct pod_table *table = pod->private->table;

    for (int source = 0; source < POD_SOURCE_COUNT; source++)
        if (pod->private->messages[source].present)
            pod_index_remove(&table->uids, pod->private->messages[source].pod.uid, pod);
    if (pod->config_hash)
        pod_index_remove(&table->uids, pod->config_hash, pod);
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct pod_container *container = &pod->containers[i];

        if (container->id)
            pod_index_remove(&table->containers, container->id, pod);
        for (size_t j = 0; j < container->old_id_count; j++)
            pod_index_remove(&table->containers, container->old_ids[j], pod);
    }
}

/* The first owner keeps an id as long as it lives: a later claim is from a hostile or garbled message. */
static int link_container_id(struct pod *pod, const char *id)
{
    struct pod_table *table = pod->private->table;
    const struct pod *owner = pod_index_find(&table->containers, id);

    if (owner == pod)
        return 0;
    if (owner)
        table->stats.id_conflicts++;
    if (owner && owner->deleted_ns == 0)
        return 0;
    return pod_index_set(&table->containers, id, pod);
}

/* A UID beats a config hash: who claims another Pod's UID as its hash does not get it. */
static bool told_uid(const struct pod *pod, const char *uid)
{
    for (int source = 0; source < POD_SOURCE_COUNT; source++) {
        const struct message *message = &pod->private->messages[source];

        if (message->present && strcmp(message->pod.uid, uid) == 0)
            return true;
    }
    return false;
}

static int link_keys(struct pod *pod)
{
    struct pod_table *table = pod->private->table;
    int r = 0;

    for (int source = 0; source < POD_SOURCE_COUNT && r == 0; source++)
        if (pod->private->messages[source].present)
            r = pod_index_set(&table->uids, pod->private->messages[source].pod.uid, pod);
    if (r == 0 && pod->config_hash) {
        const struct pod *owner = pod_index_find(&table->uids, pod->config_hash);

        if (!owner || owner == pod || (owner->deleted_ns && !told_uid(owner, pod->config_hash)))
            r = pod_index_set(&table->uids, pod->config_hash, pod);
        else
            table->stats.hash_conflicts++;
    }
    for (size_t i = 0; i < pod->container_count && r == 0; i++) {
        const struct pod_container *container = &pod->containers[i];

        if (container->id)
            r = link_container_id(pod, container->id);
        for (size_t j = 0; j < container->old_id_count && r == 0; j++)
            r = link_container_id(pod, container->old_ids[j]);
    }
    return r;
}

static void drop(struct pod *pod)
{
    struct pod_private *own = pod->private;
    struct pod_table *table = own->table;
    struct pod **link = own->previous ? &own->previous->private->next : &table->pods;

    unlink_keys(pod);
    *link = own->next;
    if (own->next)
        own->next->private->previous = own->previous;
    table->stats.pods--;
    table->bytes -= own->bytes;
    for (int source = 0; source < POD_SOURCE_COUNT; source++)
        pod_clear(&own->messages[source].pod);
    pod_clear(pod);
    free(own);
    free(pod);
}

static struct pod *add(struct pod_table *table)
{
    struct pod *pod = calloc(1, sizeof(*pod));
    struct pod_private *own = calloc(1, sizeof(*own));

    if (!pod || !own) {
        free(pod);
        free(own);
        return NULL;
    }
    pod->private = own;
    own->table = table;
    own->next = table->pods;
    if (table->pods)
        table->pods->private->previous = pod;
    table->pods = pod;
    table->stats.pods++;
    return pod;
}

struct pod_table *pod_table_free(struct pod_table *table)
{
    if (!table)
        return NULL;
    while (table->pods)
        drop(table->pods);
    pod_index_deinit(&table->uids);
    pod_index_deinit(&table->containers);
    free(table);
    return NULL;
}

/* ---- limits (P5) */

/* The longest deleted one that nobody refers to goes. */
static bool evict_one(struct pod_table *table, const struct pod *keep)
{
    struct pod *oldest = NULL;

    for (struct pod *pod = table->pods; pod; pod = pod->private->next)
        if (pod != keep && pod->deleted_ns && pod->refs == 0 &&
            (!oldest || pod->deleted_ns < oldest->deleted_ns))
            oldest = pod;
    if (!oldest)
        return false;
    drop(oldest);
    table->stats.evicted++;
    return true;
}

/* `pod` (NULL: a new one) will cost `bytes`. */
static bool make_room(struct pod_table *table, const struct pod *pod, size_t bytes)
{
    size_t now = pod ? pod->private->bytes : 0;

    while ((!pod && table->stats.pods >= table->limits.max_pods) ||
           (bytes > now && table->bytes - now + bytes > table->limits.max_bytes))
        if (!evict_one(table, pod))
            return false;
    return true;
}

/* ---- which Pod a message is about */

/* The mirror Pod's UID differs from the static Pod's, which is the config hash: one Pod under two names
 * (docs/metadata.md). They carry the same namespace and name; who only borrows the annotation does not. A
 * UUID is never taken for a hash, or an ordinary Pod's UID could be claimed. */
static bool is_twin(const struct pod *pod, const struct pod *told)
{
    if (!told->namespace_ || !told->name)
        return false;
    for (int source = 0; source < POD_SOURCE_COUNT; source++) {
        const struct message *message = &pod->private->messages[source];

        if (message->present && (!message->pod.namespace_ || !message->pod.name ||
                                    strcmp(message->pod.namespace_, told->namespace_) != 0 ||
                                    strcmp(message->pod.name, told->name) != 0))
            return false;
    }
    return true;
}

static struct pod *find_subject(struct pod_table *table, const struct pod *told)
{
    struct pod *pod = pod_index_find(&table->uids, told->uid);

    if (pod && (told_uid(pod, told->uid) || (!pod_uid_is_uuid(told->uid) && is_twin(pod, told))))
        return pod;
    if (!told->config_hash || pod_uid_is_uuid(told->config_hash))
        return NULL;
    pod = pod_index_find(&table->uids, told->config_hash);
    return pod && is_twin(pod, told) ? pod : NULL;
}

/* ---- merging */

/* The best source that has told of the Pod decides whether it lives: a slower one may list it a little
 * longer, or a restarted kubelet not yet. */
static void update_deleted(struct pod *pod, uint64_t now_ns)
{
    bool gone = pod->private->messages[pod->best_source].gone;

    if (!gone)
        pod->deleted_ns = 0;
    else if (pod->deleted_ns == 0)
        pod->deleted_ns = now_ns ? now_ns : 1;
}

static void take_view(struct pod *pod, struct pod *view)
{
    struct pod old = *pod;

    *pod = *view;
    pod->deleted_ns = old.deleted_ns;
    pod->version = old.version;
    pod->refs = old.refs;
    pod->private = old.private;
    pod_clear(&old);
}

/* The view as it would be with `message` from `source`, and what the Pod would cost then. */
static int compute_view(const struct pod *pod, enum pod_source source, const struct pod *message,
    struct pod *ret_view, size_t *ret_bytes)
{
    const struct pod *messages[POD_SOURCE_COUNT] = {0};
    size_t bytes = sizeof(struct pod_private);
    int r;

    for (int i = 0; i < POD_SOURCE_COUNT; i++) {
        if (i == (int)source)
            messages[i] = message;
        else if (pod && pod->private->messages[i].present)
            messages[i] = &pod->private->messages[i].pod;
        if (messages[i])
            bytes += pod_bytes(messages[i]);
    }
    r = pod_merge_view(ret_view, messages);
    if (r < 0)
        return r;
    *ret_bytes = bytes + pod_bytes(ret_view);
    return 0;
}

static bool has_field(const struct pod *pod, enum pod_source source, enum pod_field field)
{
    switch (field) {
    case POD_FIELD_NAME:
        return pod->namespace_ && pod->name;
    case POD_FIELD_LABELS:
        return source > POD_SOURCE_LOGDIR;
    default:
        return pod->workload;
    }
}

/* Since when the source has told what it tells now. `slot` still has what it told before. */
static void date_message(struct message *slot, enum pod_source source, struct pod *message, uint64_t now_ns)
{
    if (!slot->present)
        slot->first_ns = now_ns;
    slot->last_ns = now_ns;
    for (int field = 0; field < POD_FIELD_CONTAINER; field++) {
        if (!has_field(message, source, (enum pod_field)field))
            slot->since_ns[field] = 0;
        else if (slot->since_ns[field] == 0)
            slot->since_ns[field] = now_ns;
    }
    for (size_t i = 0; i < message->container_count; i++) {
        struct pod_container *now = &message->containers[i];
        const struct pod_container *before =
            slot->present ? pod_find_container_by_name(&slot->pod, now->name) : NULL;
        bool same = before && before->id && now->id && strcmp(before->id, now->id) == 0;

        now->id_since_ns = same ? before->id_since_ns : now->id ? now_ns : 0;
    }
}

/* Takes `message` and `view`. */
static int apply(struct pod *pod, enum pod_source source, struct pod *message, struct pod *view, size_t bytes,
    uint64_t now_ns)
{
    struct pod_table *table = pod->private->table;
    struct message *slot = &pod->private->messages[source];
    bool changed = pod->version == 0 || !pod_equal(pod, view) || pod->best_source != view->best_source ||
                   pod->complete != view->complete;
    int r;

    unlink_keys(pod);
    date_message(slot, source, message, now_ns);
    pod_clear(&slot->pod);
    slot->pod = *message;
    slot->present = true;
    slot->gone = false;
    slot->generation = table->generation[source];
    take_view(pod, view);
    table->bytes += bytes - pod->private->bytes;
    pod->private->bytes = bytes;
    update_deleted(pod, now_ns);
    r = link_keys(pod);
    if (changed) {
        pod->version++;
        if (table->changed)
            table->changed(table->arg, pod);
    }
    return r;
}

void pod_table_observe(struct pod_table *table, pod_operation_fn *fn, void *arg)
{
    table->observe = fn;
    table->observe_arg = arg;
}

static void tell(const struct pod_table *table, const struct pod_operation *operation)
{
    if (table->observe)
        table->observe(table->observe_arg, operation);
}

void pod_table_apply(struct pod_table *table, const struct pod_operation *operation)
{
    switch (operation->kind) {
    case POD_OPERATION_MERGE:
        (void)pod_table_merge(table, operation->source, operation->pod, operation->now_ns);
        break;
    case POD_OPERATION_REMOVE:
        pod_table_remove(table, operation->source, operation->uid, operation->now_ns);
        break;
    case POD_OPERATION_LIST_BEGIN:
        pod_table_list_begin(table, operation->source);
        break;
    case POD_OPERATION_LIST_END:
        pod_table_list_end(table, operation->source, operation->now_ns);
        break;
    case POD_OPERATION_LIST_ABORT:
        pod_table_list_abort(table, operation->source);
        break;
    }
}

int pod_table_merge(struct pod_table *table, enum pod_source source, const struct pod *told, uint64_t now_ns)
{
    struct pod message, view;
    const struct message *before;
    struct pod *pod;
    size_t bytes;
    int r;

    if (source <= POD_SOURCE_NONE || source >= POD_SOURCE_COUNT || !told->uid || !pod_uid_valid(told->uid))
        return -EINVAL;
    tell(table, &(struct pod_operation){
                    .kind = POD_OPERATION_MERGE, .source = source, .pod = told, .now_ns = now_ns});
    pod = find_subject(table, told);
    before = pod && pod->private->messages[source].present ? &pod->private->messages[source] : NULL;
    r = pod_merge_message(&message, before ? &before->pod : NULL, told);
    if (r < 0)
        return r;
    r = compute_view(pod, source, &message, &view, &bytes);
    if (r < 0) {
        pod_clear(&message);
        return r;
    }
    if (!make_room(table, pod, bytes))
        r = -ENOSPC;
    else if (!pod && !(pod = add(table)))
        r = -ENOMEM;
    if (r == 0)
        return apply(pod, source, &message, &view, bytes, now_ns);
    if (r == -ENOSPC)
        table->stats.refused++;
    if (pod) /* too big now, but the source has it still */
        pod->private->messages[source].generation = table->generation[source];
    pod_clear(&message);
    pod_clear(&view);
    return r;
}

static void set_gone(struct pod *pod, enum pod_source source, uint64_t now_ns)
{
    pod->private->messages[source].gone = true;
    update_deleted(pod, now_ns);
}

void pod_table_remove(struct pod_table *table, enum pod_source source, const char *uid, uint64_t now_ns)
{
    struct pod *pod = pod_index_find(&table->uids, uid);

    tell(table, &(struct pod_operation){
                    .kind = POD_OPERATION_REMOVE, .source = source, .uid = uid, .now_ns = now_ns});
    if (!pod || source <= POD_SOURCE_NONE || source >= POD_SOURCE_COUNT ||
        !pod->private->messages[source].present || strcmp(pod->private->messages[source].pod.uid, uid) != 0)
        return;
    set_gone(pod, source, now_ns);
}

void pod_table_list_begin(struct pod_table *table, enum pod_source source)
{
    tell(table, &(struct pod_operation){.kind = POD_OPERATION_LIST_BEGIN, .source = source});
    table->generation[source]++;
    table->listing[source] = true;
}

void pod_table_list_end(struct pod_table *table, enum pod_source source, uint64_t now_ns)
{
    tell(table, &(struct pod_operation){.kind = POD_OPERATION_LIST_END, .source = source, .now_ns = now_ns});
    if (!table->listing[source])
        return;
    table->listing[source] = false;
    for (struct pod *pod = table->pods; pod; pod = pod->private->next) {
        const struct message *message = &pod->private->messages[source];

        if (message->present && !message->gone && message->generation != table->generation[source])
            set_gone(pod, source, now_ns);
    }
}

void pod_table_list_abort(struct pod_table *table, enum pod_source source)
{
    tell(table, &(struct pod_operation){.kind = POD_OPERATION_LIST_ABORT, .source = source});
    table->listing[source] = false;
}

void pod_table_expire(struct pod_table *table, uint64_t now_ns)
{
    struct pod *next;

    for (struct pod *pod = table->pods; pod; pod = next) {
        next = pod->private->next;
        if (pod->deleted_ns && pod->refs == 0 && now_ns >= pod->deleted_ns &&
            now_ns - pod->deleted_ns >= table->limits.grace_ns)
            drop(pod);
    }
}

/* ---- looking up */

struct pod *pod_table_find(struct pod_table *table, const char *uid)
{
    return pod_index_find(&table->uids, uid);
}

struct pod *pod_table_find_by_container(struct pod_table *table, const char *container_id)
{
    return pod_index_find(&table->containers, container_id);
}

bool pod_status_has(const struct pod *pod, const char *container_id)
{
    for (int source = POD_SOURCE_LOGDIR + 1; source < POD_SOURCE_COUNT; source++) {
        const struct message *message = &pod->private->messages[source];

        if (message->present && pod_find_container(&message->pod, container_id))
            return true;
    }
    return false;
}

const char *pod_field_name(enum pod_field field)
{
    static const char *const names[POD_FIELD_COUNT] = {"name", "labels", "workload", "container"};

    return names[field];
}

bool pod_get_told(
    const struct pod *pod, enum pod_source source, const char *container_id, struct pod_told *ret)
{
    const struct message *message = &pod->private->messages[source];
    const struct pod_container *container;

    *ret = (struct pod_told){0};
    if (!message->present)
        return false;
    ret->first_ns = message->first_ns;
    ret->last_ns = message->last_ns;
    ret->gone = message->gone;
    for (int field = 0; field < POD_FIELD_CONTAINER; field++) {
        ret->has[field] = has_field(&message->pod, source, (enum pod_field)field);
        ret->since_ns[field] = message->since_ns[field];
    }
    container = container_id && *container_id ? pod_find_container(&message->pod, container_id) : NULL;
    ret->has[POD_FIELD_CONTAINER] = container;
    if (container && container->id && strcmp(container->id, container_id) == 0)
        ret->since_ns[POD_FIELD_CONTAINER] = container->id_since_ns;
    return true;
}

void pod_ref(struct pod *pod)
{
    pod->refs++;
}

void pod_unref(struct pod *pod)
{
    pod->refs--;
}

size_t pod_table_count(const struct pod_table *table)
{
    return table->stats.pods;
}

void pod_table_get_stats(const struct pod_table *table, struct pod_table_stats *ret)
{
    *ret = table->stats;
    ret->bytes = table->bytes;
}
