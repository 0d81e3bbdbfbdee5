/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Cgroups and the containers that they belong to: cgroup id → cgroup → container → Pod.
 *
 * Many cgroups may be of one container (crun's leaf, what a workload makes below its own): they share one struct container, keyed by what the path says (Pod UID,
 * container id, role). It carries what its processes share: the state of knowledge, the queue of events that wait for it, the timer that looks again, and the
 * rendered JSON of the Pod.
 *
 * C1  a container's identity never changes; a cgroup's container changes only when its path becomes known, or when the id turns out to be of another
 *     cgroup now: it was removed unseen, or the collector goes by another hierarchy, whose ids are its own
 * C2  a removed cgroup stays findable for the grace time: late events are its own
 * C3  the table is bounded (max_cgroups); beyond, the removed go first, then a new cgroup is refused: its processes inherit, and one that is
 *     moved there is told where by the record of its move
 * C4  one container, or all stand-ins together, take a sixteenth of it at most, the host a half: who makes cgroups without end below its own
 *     leaves room for the others
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "enricher/cgroup_path.h"
#include "enricher/coverage.h"
#include "enricher/hold.h"
#include "enricher/pod_table.h"
#include "enricher/wheel.h"

enum container_state {
    CONTAINER_HOST,     /* in no Pod: never waits */
    CONTAINER_PENDING,  /* Pod not known yet */
    CONTAINER_POD_ONLY, /* Pod known, the container's name (or the labels) not yet */
    CONTAINER_COMPLETE,
};

/* Rendered: "pod":{… ,"pid": | ns_pid | } … , in two halves around the one number that differs by process. */
struct container_fragment {
    char *data;
    uint32_t size, split; /* split == size: no number goes in between */
};

struct container {
    struct container *table_next, **table_link; /* among all that there are */
    struct container *uid_next, *id_next;       /* index chains */
    struct container *release_next;             /* on the list of those whose queue is being let go */
    struct cgroup_identity identity;
    uint64_t
        first_cgroup_id; /* the container's own cgroup, not one below it; grows with each that the kernel makes. 0: not known */
    struct pod *pod; /* referenced; NULL: not known */
    struct container_fragment fragment;
    uint64_t definition;       /* of the fragment as it is: emit_normalised.h */
    uint64_t fragment_version; /* pod->version that it was rendered from */
    uint64_t
        serial; /* no other container has it, nor this one with another Pod: what is remembered of a container is remembered under it */
    struct hold_queue held;
    struct wheel_node timer;
    uint64_t waiting_since_ns; /* 0: nothing has had to wait since the last news */
    uint64_t pod_since_ns;     /* when the Pod became known */
    uint64_t release_since_ns; /* when its queue began to be let go */
    unsigned attempts;
    uint32_t refs;
    uint32_t cgroup_count; /* that are there */
    uint8_t state;         /* enum container_state */
    bool given_up; /* negative cache: a deadline has passed; events go out as they are until there is news */
    bool evicted;  /* let go because the hold store was full */
    bool releasing;
    bool sandbox;                     /* the Pod's, by what stands beside it (resolve.c) */
    bool path_unknown;                /* stands for a cgroup of which only the id is known */
    bool dissolved;                   /* it did: its cgroup is known */
    bool updating;                    /* on the list of those whose corrections go out */
    uint64_t at_once[COVERAGE_TYPES]; /* events that left complete and had not waited; coverage.h */
    struct coverage_tally *tally;     /* all others; NULL: there are none */
    struct container *update_next;
    struct owed_list *owed; /* whom its processes' lines left without it (owed.h); NULL: nobody */
    struct container_table *table;
};

struct cgroup {
    struct cgroup *next, *removed_next;
    uint64_t id;
    uint64_t removed_ns; /* 0: there */
    struct container *container;
    uint32_t seen; /* generation of the last snapshot that had it */
    char *path;    /* NULL: not known */
};

struct container_table {
    struct cgroup **cgroups;
    struct container **by_uid, **by_id;
    size_t cgroup_count, container_count, max_cgroups;
    uint32_t hierarchy_id; /* that the ids are of */
    size_t unknown_count;  /* cgroups that are there and have a stand-in */
    struct cgroup *removed_first, **removed_last;
    struct container *first; /* of all that there are */
    struct container *host;  /* the one for everything outside Pods */
    uint64_t refused;
    uint64_t last_serial;
    void (*gone)(void *arg,
        struct container
            *container); /* before a container is freed: its timer is to be taken off the wheel */
    void *arg;
};

int container_table_init(struct container_table *table, size_t max_cgroups,
    void (*gone)(void *arg, struct container *), void *arg);
void container_table_deinit(struct container_table *table);

/* The ids that come are of this hierarchy: those of another one are forgotten. The containers stay, as long as something refers to them. */
void container_table_use_hierarchy(struct container_table *table, uint32_t hierarchy_id);
struct cgroup *container_table_find(const struct container_table *table, uint64_t cgroup_id);
/* A cgroup and its path. Known already without a path: it gets its container now, and *ret_was_unknown the stand-in whose queue must be placed anew (referenced; may be NULL).
 * NULL: C3. */
struct cgroup *container_table_add(struct container_table *table, uint64_t cgroup_id, const char *path,
    size_t size, struct container **ret_was_unknown);
/* A cgroup of this id has been made, or is there: one that had the id with another path is no more (C1). */
void container_table_forget_other(
    struct container_table *table, uint64_t cgroup_id, const char *path, size_t size);
/* A cgroup of which only the id is known, with a stand-in container that waits for the path. NULL: C3. */
struct cgroup *container_table_add_unknown(struct container_table *table, uint64_t cgroup_id);
/* The container that a path names, whether or not there is room for its cgroup. One reference for the caller; NULL when memory is short. */
struct container *container_table_get(struct container_table *table, const char *path, size_t size);
void container_table_mark_removed(struct container_table *table, struct cgroup *cgroup, uint64_t now_ns);
/* Marks as removed what is not in the snapshot of this generation: that it went was not told. */
void container_table_mark_unseen(struct container_table *table, uint32_t generation, uint64_t now_ns);
size_t container_table_expire(struct container_table *table, uint64_t before_ns, size_t budget);

/* Calls fn for each container that this Pod may be the Pod of: by UID, by config hash, by any container id. */
typedef void container_fn(void *arg, struct container *container);
void container_table_for_pod(
    struct container_table *table, const struct pod *pod, container_fn *fn, void *arg);
/* Calls fn for each container below the cgroup of this Pod UID (or config hash). */
void container_table_for_uid(struct container_table *table, const char *uid, container_fn *fn, void *arg);
/* Calls fn for every container that anything refers to: the host's, stand-ins, and those whose cgroup is no more included. */
void container_table_for_each(struct container_table *table, container_fn *fn, void *arg);

struct container *container_ref(struct container *container); /* NULL stays NULL */
void container_unref(struct container *container);
const char *container_state_name(
    const struct container *container); /* host complete pod_only pending pending_expired */
