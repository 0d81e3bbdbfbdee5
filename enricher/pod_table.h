/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is known of Pods, merged by field from the sources. Owns every struct pod. Indexed by Pod UID, by
 * config hash (static Pods: the cgroup carries the hash and the mirror Pod has another UID) and by container
 * id, current and previous ones.
 *
 * P1  the result does not depend on the order in which sources report: each field is taken from the best
 *     source that has it (API server > kubelet > file > log directory), and within one source from the newest
 *     message
 * P2  a container id once learned is never unlearned by an older message; restarted containers keep old and
 *     new id
 * P3  a deleted Pod stays findable for the grace time, and as long as it is referenced
 * P4  a Pod recreated under the same name has another UID and is another Pod
 * P5  pods and bytes are bounded; beyond, the deleted go first, then a new Pod is refused and counted
 * P6  `changed` is called after each merge that changed what an event would show, with the Pod
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "enricher/cgroup_path.h"

enum pod_source {
    POD_SOURCE_NONE,
    POD_SOURCE_LOGDIR,
    POD_SOURCE_FILE,
    POD_SOURCE_KUBELET,
    POD_SOURCE_APISERVER,
    POD_SOURCE_COUNT
};
const char *pod_source_name(enum pod_source source); /* logdir file kubelet apiserver */

enum pod_container_kind { POD_CONTAINER_APP, POD_CONTAINER_INIT, POD_CONTAINER_EPHEMERAL };

/* One container of a Pod. Strings are owned by the Pod, NULL when not known. */
struct pod_container {
    char *name;
    char *id;       /* hex, without the runtime's prefix; newest */
    char *runtime;  /* "containerd", "cri-o", "docker" … */
    char **old_ids; /* earlier incarnations, newest first, bounded */
    size_t old_id_count;
    char *image; /* as the status names it, else as the spec does */
    char *image_id;
    uint64_t started_unix_ns; /* 0: not known */
    uint64_t id_since_ns;     /* the table's own: since when the source tells this id; 0: not known */
    enum pod_container_kind kind;
    bool privileged;
};

struct pod_pair {
    char *key, *value;
};

/* A Pod as one source told it, and as merged. */
struct pod {
    char *uid; /* as in metadata.uid */
    char *config_hash;
    char *namespace_, *name;
    char *node_name;
    struct pod_pair *labels, *annotations;
    size_t label_count, annotation_count;
    char *workload, *workload_kind; /* by the name rule in docs/metadata.md; a bare Pod: itself, "Pod" */
    struct pod_container *containers;
    size_t container_count;
    bool host_network;

    enum pod_source best_source; /* the best that has contributed */
    /* Namespace, name, labels and containers' names come from a source that has the whole Pod (not only the
     * log directory). */
    bool complete;
    uint64_t deleted_ns;         /* 0: alive */
    uint64_t version;            /* grows with every change that an event would show */
    unsigned refs;               /* by the container table */
    struct pod_private *private; /* the table's own: messages by source, index links */
};

struct pod_table;
typedef void pod_changed_fn(void *arg, struct pod *pod);

struct pod_table_limits {
    size_t max_pods;   /* 0: 4096 */
    size_t max_bytes;  /* 0: 64 MiB */
    uint64_t grace_ns; /* deleted Pods; 0: none */
};

/* limits: NULL for the defaults, with a grace time of 5 min. `changed` may look Pods up and take references,
 * but must not merge, remove or expire. */
int pod_table_new(
    struct pod_table **ret, const struct pod_table_limits *limits, pod_changed_fn *changed, void *arg);
struct pod_table *pod_table_free(struct pod_table *table);

/* One Pod as `source` tells it now. `pod` is the caller's and copied (only the fields above the blank line
 * are read). 0 (also when nothing changed), -EINVAL: no UID, -ENOSPC: refused by P5. */
int pod_table_merge(struct pod_table *table, enum pod_source source, const struct pod *pod, uint64_t now_ns);
/* The source says that it is gone. */
void pod_table_remove(struct pod_table *table, enum pod_source source, const char *uid, uint64_t now_ns);
/* A full list of one source: merge each between begin and end; those of that source not merged since begin
 * are gone. abort: the list broke off. */
void pod_table_list_begin(struct pod_table *table, enum pod_source source);
void pod_table_list_end(struct pod_table *table, enum pod_source source, uint64_t now_ns);
void pod_table_list_abort(struct pod_table *table, enum pod_source source);
/* The above as data: what one table was told can be told to others. `pod` and `uid` are borrowed. */
enum pod_operation_kind {
    POD_OPERATION_MERGE,
    POD_OPERATION_REMOVE,
    POD_OPERATION_LIST_BEGIN,
    POD_OPERATION_LIST_END,
    POD_OPERATION_LIST_ABORT
};
struct pod_operation {
    enum pod_operation_kind kind;
    enum pod_source source;
    const struct pod *pod; /* MERGE */
    const char *uid;       /* REMOVE */
    uint64_t now_ns;
};
void pod_table_apply(struct pod_table *table, const struct pod_operation *operation);
/* `fn` is called before each of them, whatever comes of it. */
typedef void pod_operation_fn(void *arg, const struct pod_operation *operation);
void pod_table_observe(struct pod_table *table, pod_operation_fn *fn, void *arg);
/* Drops what is past its grace time and unreferenced. */
void pod_table_expire(struct pod_table *table, uint64_t now_ns);

/* `uid`: a Pod UID or a config hash. Borrowed; valid until it expires: take a ref to keep it. What it points
 * to (strings, containers) is valid until the next merge only: `version` says whether it changed. */
struct pod *pod_table_find(struct pod_table *table, const char *uid);
struct pod *pod_table_find_by_container(struct pod_table *table, const char *container_id);
/* The container of this Pod that has or had this id; NULL: not in any status yet. */
const struct pod_container *pod_find_container(const struct pod *pod, const char *container_id);
/* Whether a source that tells all of a Pod's containers together has told this id: not the log directory, where one name
 * comes after the other. Of a Pod of the table. */
bool pod_status_has(const struct pod *pod, const char *container_id);
/* What one source contributes to a Pod of the table, and since when (boot time) without a break. */
enum pod_field { POD_FIELD_NAME, POD_FIELD_LABELS, POD_FIELD_WORKLOAD, POD_FIELD_CONTAINER, POD_FIELD_COUNT };
const char *pod_field_name(enum pod_field field); /* name labels workload container */
struct pod_told {
    uint64_t first_ns, last_ns;         /* it told of the Pod at all */
    bool gone;                          /* it says that the Pod is */
    bool has[POD_FIELD_COUNT];          /* LABELS: it decides on them, even when there are none */
    uint64_t since_ns[POD_FIELD_COUNT]; /* 0: it has not, or (the id of an earlier run) not kept */
};
/* false: it has told nothing. CONTAINER is the one of container_id; NULL or "": none. */
bool pod_get_told(
    const struct pod *pod, enum pod_source source, const char *container_id, struct pod_told *ret);
void pod_ref(struct pod *pod);
void pod_unref(struct pod *pod);
size_t pod_table_count(const struct pod_table *table);

struct pod_table_stats {
    size_t pods, bytes;      /* now */
    uint64_t refused;        /* messages: no room (P5) */
    uint64_t evicted;        /* deleted Pods that went before their grace time */
    uint64_t id_conflicts;   /* messages that claimed a container id of another Pod */
    uint64_t hash_conflicts; /* messages that claimed a config hash of another Pod */
};
void pod_table_get_stats(const struct pod_table *table, struct pod_table_stats *ret);
