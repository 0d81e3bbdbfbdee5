/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/container_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_BUCKETS    16384
#define CONTAINER_BUCKETS 4096
/* Paths are kept for explain; what a workload nests below its own cgroup need not be whole. */
#define CGROUP_PATH_KEPT 512
/* Less than this is nobody's flood. */
#define ALLOWANCE_LEAST 128

static size_t id_bucket(uint64_t id)
{
    return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & (CGROUP_BUCKETS - 1);
}

/* FNV-1a (draft-eastlake-fnv). The names hashed are the kubelet's, not a workload's; chains are bounded by max_cgroups anyway. */
static size_t name_bucket(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return (size_t)(hash >> 24) & (CONTAINER_BUCKETS - 1);
}

static struct container *container_new(struct container_table *table, const struct cgroup_identity *identity)
{
    struct container *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->identity = *identity;
    c->table = table;
    c->serial = ++table->last_serial;
    c->refs = 1;
    c->state = identity->role == CGROUP_ROLE_NONE ? CONTAINER_HOST : CONTAINER_PENDING;
    table->container_count++;
    c->table_next = table->first;
    c->table_link = &table->first;
    if (table->first)
        table->first->table_link = &c->table_next;
    table->first = c;
    if (identity->pod_uid[0]) {
        struct container **bucket = &table->by_uid[name_bucket(identity->pod_uid)];

        c->uid_next = *bucket;
        *bucket = c;
    }
    if (identity->container_id[0]) {
        struct container **bucket = &table->by_id[name_bucket(identity->container_id)];

        c->id_next = *bucket;
        *bucket = c;
    }
    return c;
}

static void unindex(struct container *container)
{
    struct container_table *table = container->table;

    if (container->identity.pod_uid[0]) {
        struct container **link = &table->by_uid[name_bucket(container->identity.pod_uid)];

        while (*link != container)
            link = &(*link)->uid_next;
        *link = container->uid_next;
    }
    if (container->identity.container_id[0]) {
        struct container **link = &table->by_id[name_bucket(container->identity.container_id)];

        while (*link != container)
            link = &(*link)->id_next;
        *link = container->id_next;
    }
}

struct container *container_ref(struct container *container)
{
    if (container)
        container->refs++;
    return container;
}

void container_unref(struct container *container)
{
    if (!container || --container->refs > 0)
        return;
    unindex(container);
    *container->table_link = container->table_next;
    if (container->table_next)
        container->table_next->table_link = container->table_link;
    container->table->container_count--;
    if (container->table->gone)
        container->table->gone(container->table->arg, container);
    if (container->pod)
        pod_unref(container->pod);
    free(container->fragment.data);
    free(container);
}

int container_table_init(
    struct container_table *table, size_t max_cgroups, void (*gone)(void *arg, struct container *), void *arg)
{
    const struct cgroup_identity none = {.role = CGROUP_ROLE_NONE};

    *table = (struct container_table){.max_cgroups = max_cgroups, .gone = gone, .arg = arg};
    table->removed_last = &table->removed_first;
    table->cgroups = calloc(CGROUP_BUCKETS, sizeof(struct cgroup *));
    table->by_uid = calloc(CONTAINER_BUCKETS, sizeof(struct container *));
    table->by_id = calloc(CONTAINER_BUCKETS, sizeof(struct container *));
    if (table->cgroups && table->by_uid && table->by_id)
        table->host = container_new(table, &none);
    if (table->host)
        return 0;
    container_table_deinit(table);
    return -ENOMEM;
}

static void cgroup_free(struct container_table *table, struct cgroup *cgroup)
{
    table->cgroup_count--;
    container_unref(cgroup->container);
    free(cgroup->path);
    free(cgroup);
}

void container_table_deinit(struct container_table *table)
{
    for (size_t i = 0; table->cgroups && i < CGROUP_BUCKETS; i++) {
        while (table->cgroups[i]) {
            struct cgroup *cgroup = table->cgroups[i];

            table->cgroups[i] = cgroup->next;
            cgroup_free(table, cgroup);
        }
    }
    container_unref(table->host);
    free(table->cgroups);
    free(table->by_uid);
    free(table->by_id);
    *table = (struct container_table){0};
}

struct cgroup *container_table_find(const struct container_table *table, uint64_t cgroup_id)
{
    struct cgroup *cgroup = table->cgroups[id_bucket(cgroup_id)];

    while (cgroup && cgroup->id != cgroup_id)
        cgroup = cgroup->next;
    return cgroup;
}

static bool same_identity(const struct cgroup_identity *a, const struct cgroup_identity *b)
{
    return a->role == b->role && !strcmp(a->pod_uid, b->pod_uid) && !strcmp(a->container_id, b->container_id);
}

/* The container of that identity: a new reference to one that is there, or a new one. */
static struct container *container_get(struct container_table *table, const struct cgroup_identity *identity)
{
    bool by_uid = identity->pod_uid[0];
    struct container *c;

    if (identity->role == CGROUP_ROLE_NONE)
        return container_ref(table->host);
    c = by_uid ? table->by_uid[name_bucket(identity->pod_uid)]
               : table->by_id[name_bucket(identity->container_id)];
    while (c && !same_identity(&c->identity, identity))
        c = by_uid ? c->uid_next : c->id_next;
    return c ? container_ref(c) : container_new(table, identity);
}

/* Whether the path ends with the container's own cgroup: what is above is the Pod's. */
static bool is_own_cgroup(const struct container *container, const char *path, size_t size)
{
    struct cgroup_identity above;

    if (container->identity.role == CGROUP_ROLE_NONE)
        return false;
    while (size > 0 && path[size - 1] != '/')
        size--;
    cgroup_path_parse(path, size, &above);
    return !same_identity(&above, &container->identity);
}

/* How many cgroups that are there count against the same allowance. */
static size_t count_with(const struct container_table *table, const struct container *container)
{
    return container->path_unknown ? table->unknown_count : container->cgroup_count;
}

/* C4 */
static size_t allowance_of(const struct container_table *table, const struct container *container)
{
    size_t allowance = container == table->host ? table->max_cgroups / 2 : table->max_cgroups / 16;

    return allowance > ALLOWANCE_LEAST ? allowance : ALLOWANCE_LEAST;
}

static void count_cgroup(struct container_table *table, struct container *container, bool in)
{
    if (container->path_unknown)
        table->unknown_count += in ? 1 : (size_t)-1;
    else
        container->cgroup_count += in ? 1 : (uint32_t)-1;
}

static struct cgroup *cgroup_insert(
    struct container_table *table, uint64_t cgroup_id, struct container *container)
{
    struct cgroup **bucket = &table->cgroups[id_bucket(cgroup_id)];
    struct cgroup *cgroup;

    if (count_with(table, container) >= allowance_of(table, container) ||
        (table->cgroup_count >= table->max_cgroups && container_table_expire(table, UINT64_MAX, 1) == 0)) {
        table->refused++;
        return NULL;
    }
    cgroup = calloc(1, sizeof(*cgroup));
    if (!cgroup)
        return NULL;
    cgroup->id = cgroup_id;
    cgroup->container = container;
    cgroup->next = *bucket;
    *bucket = cgroup;
    table->cgroup_count++;
    count_cgroup(table, container, true);
    return cgroup;
}

static bool has_path(const struct cgroup *cgroup, const char *path, size_t size)
{
    size_t kept = strnlen(path, size < CGROUP_PATH_KEPT ? size : CGROUP_PATH_KEPT);

    return strlen(cgroup->path) == kept && memcmp(cgroup->path, path, kept) == 0;
}

/* Takes a cgroup off the table. */
static void forget(struct container_table *table, struct cgroup *cgroup)
{
    struct cgroup **link = &table->cgroups[id_bucket(cgroup->id)];

    while (*link != cgroup)
        link = &(*link)->next;
    *link = cgroup->next;
    if (!cgroup->removed_ns) {
        count_cgroup(table, cgroup->container, false);
        cgroup_free(table, cgroup);
        return;
    }
    link = &table->removed_first;
    while (*link != cgroup)
        link = &(*link)->removed_next;
    *link = cgroup->removed_next;
    if (!*link)
        table->removed_last = link;
    cgroup_free(table, cgroup);
}

void container_table_forget_other(
    struct container_table *table, uint64_t cgroup_id, const char *path, size_t size)
{
    struct cgroup *cgroup = container_table_find(table, cgroup_id);

    if (cgroup && cgroup->path && !has_path(cgroup, path, size))
        forget(table, cgroup);
}

struct cgroup *container_table_add(struct container_table *table, uint64_t cgroup_id, const char *path,
    size_t size, struct container **ret_was_unknown)
{
    struct cgroup *cgroup = container_table_find(table, cgroup_id);
    struct cgroup_identity identity;
    struct container *container;

    *ret_was_unknown = NULL;
    if (cgroup && cgroup->path)
        return cgroup; /* C1: the snapshot and the stream tell the same */
    cgroup_path_parse(path, size, &identity);
    container = container_get(table, &identity);
    if (!container)
        return NULL;
    if (cgroup) {
        *ret_was_unknown = cgroup->container;
        if (!cgroup->removed_ns) {
            count_cgroup(table, cgroup->container, false);
            count_cgroup(table, container, true);
        }
        cgroup->container = container;
    } else {
        cgroup = cgroup_insert(table, cgroup_id, container);
        if (!cgroup) {
            container_unref(container);
            return NULL;
        }
    }
    if ((!container->first_cgroup_id || container->first_cgroup_id > cgroup_id) &&
        is_own_cgroup(container, path, size))
        container->first_cgroup_id = cgroup_id;
    cgroup->path = strndup(path, size < CGROUP_PATH_KEPT ? size : CGROUP_PATH_KEPT);
    return cgroup;
}

/* Another hierarchy's order says nothing in this one; a stand-in's path will never come. */
static void forget_hierarchy(void *arg, struct container *container)
{
    (void)arg;
    container->first_cgroup_id = 0;
    container->cgroup_count = 0;
}

void container_table_use_hierarchy(struct container_table *table, uint32_t hierarchy_id)
{
    if (table->hierarchy_id == hierarchy_id)
        return;
    table->hierarchy_id = hierarchy_id;
    for (size_t i = 0; i < CGROUP_BUCKETS; i++) {
        while (table->cgroups[i]) {
            struct cgroup *cgroup = table->cgroups[i];

            table->cgroups[i] = cgroup->next;
            cgroup->container->path_unknown = false;
            cgroup_free(table, cgroup);
        }
    }
    container_table_for_each(table, forget_hierarchy, NULL);
    table->host->cgroup_count = 0;
    table->unknown_count = 0;
    table->removed_first = NULL;
    table->removed_last = &table->removed_first;
}

struct container *container_table_get(struct container_table *table, const char *path, size_t size)
{
    struct cgroup_identity identity;

    cgroup_path_parse(path, size, &identity);
    return container_get(table, &identity);
}

struct cgroup *container_table_add_unknown(struct container_table *table, uint64_t cgroup_id)
{
    const struct cgroup_identity unknown = {.role = CGROUP_ROLE_POD};
    struct container *container = container_new(table, &unknown);
    struct cgroup *cgroup;

    if (!container)
        return NULL;
    container->path_unknown = true;
    cgroup = cgroup_insert(table, cgroup_id, container);
    if (!cgroup)
        container_unref(container);
    return cgroup;
}

void container_table_mark_removed(struct container_table *table, struct cgroup *cgroup, uint64_t now_ns)
{
    if (cgroup->removed_ns)
        return;
    cgroup->removed_ns = now_ns ? now_ns : 1;
    count_cgroup(table, cgroup->container, false);
    cgroup->removed_next = NULL;
    *table->removed_last = cgroup;
    table->removed_last = &cgroup->removed_next;
}

void container_table_mark_unseen(struct container_table *table, uint32_t generation, uint64_t now_ns)
{
    for (size_t i = 0; i < CGROUP_BUCKETS; i++) {
        for (struct cgroup *cgroup = table->cgroups[i]; cgroup; cgroup = cgroup->next) {
            if (cgroup->seen != generation && cgroup->id != 0)
                container_table_mark_removed(table, cgroup, now_ns);
        }
    }
}

size_t container_table_expire(struct container_table *table, uint64_t before_ns, size_t budget)
{
    size_t gone = 0;

    while (gone < budget && table->removed_first && table->removed_first->removed_ns < before_ns) {
        struct cgroup *cgroup = table->removed_first;
        struct cgroup **link = &table->cgroups[id_bucket(cgroup->id)];

        table->removed_first = cgroup->removed_next;
        if (!table->removed_first)
            table->removed_last = &table->removed_first;
        while (*link != cgroup)
            link = &(*link)->next;
        *link = cgroup->next;
        cgroup_free(table, cgroup);
        gone++;
    }
    return gone;
}

static void for_uid(struct container_table *table, const char *uid, container_fn *fn, void *arg)
{
    struct container *next;

    for (struct container *c = uid ? table->by_uid[name_bucket(uid)] : NULL; c; c = next) {
        next = c->uid_next;
        if (!strcmp(c->identity.pod_uid, uid))
            fn(arg, c);
    }
}

void container_table_for_uid(struct container_table *table, const char *uid, container_fn *fn, void *arg)
{
    for_uid(table, uid, fn, arg);
}

static void for_id(struct container_table *table, const char *id, container_fn *fn, void *arg)
{
    struct container *next;

    for (struct container *c = id ? table->by_id[name_bucket(id)] : NULL; c; c = next) {
        next = c->id_next;
        if (!strcmp(c->identity.container_id, id))
            fn(arg, c);
    }
}

void container_table_for_pod(
    struct container_table *table, const struct pod *pod, container_fn *fn, void *arg)
{
    for_uid(table, pod->uid, fn, arg);
    for_uid(table, pod->config_hash, fn, arg);
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct pod_container *container = &pod->containers[i];

        for_id(table, container->id, fn, arg);
        for (size_t j = 0; j < container->old_id_count; j++)
            for_id(table, container->old_ids[j], fn, arg);
    }
}

void container_table_for_each(struct container_table *table, container_fn *fn, void *arg)
{
    struct container *next;

    for (struct container *c = table->first; c; c = next) {
        next = c->table_next;
        fn(arg, c);
    }
}

const char *container_state_name(const struct container *container)
{
    switch (container->state) {
    case CONTAINER_HOST:
        return "host";
    case CONTAINER_COMPLETE:
        return "complete";
    case CONTAINER_POD_ONLY:
        return "pod_only";
    default:
        return container->given_up || container->evicted ? "pending_expired" : "pending";
    }
}
