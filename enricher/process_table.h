/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The processes of the node, by process key (tgid, start time).
 *
 * A struct process is one *execution*: what an exec_id names. fork makes one (with the parent's image), exec makes the next one
 * under the same key; the table finds the current one. Executions are counted by reference: a child keeps its parent, a held event keeps its
 * subject, the table keeps the current one until its process has exited and the grace time is over.
 *
 * T1  the living are never evicted; the exited make room
 * T2  the parent link of an execution that is no longer current and has no held event is dropped, so that chains do not grow
 * T3  a record of a tgid with a newer start time proves that the older holder of that tgid has exited
 * T4  an exited process whose events may still be held stays: it keeps their order (looked at again each second)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct container;
struct image;

enum process_origin {
    PROCESS_FORKED,   /* made by a fork that was seen; runs its parent's image */
    PROCESS_EXECED,   /* made by an exec that was seen */
    PROCESS_SNAPSHOT, /* was there before */
    PROCESS_UNKNOWN,  /* only mentioned: as a parent, or by a record whose beginning was lost */
};

/* In the order of use: an event of a known process touches the first lines. */
struct process {
    uint64_t start_ns;  /* key, with tgid */
    uint64_t exited_ns; /* 0: alive */
    uint64_t cgroup_id;
    struct container *container; /* where it is now; NULL: not known */
    struct container
        *behind; /* its latest held event went into that container's queue; NULL: none was held */
    struct process *parent;
    struct image *image; /* NULL: not known */
    char *head; /* rendered: exec_id, parent's exec_id, words of "flags", start time (render_head.c) */
    uint16_t head_size, exec_id_size, parent_id_size;
    uint8_t words_size;
    uint8_t origin;
    bool current;   /* in the table */
    bool exit_told; /* its EXIT has been an event; exited_ns alone may be a conclusion */
    bool in_init_tree;
    bool inherited; /* container taken from the parent, its own cgroup being unknown */
    uint32_t tgid;
    uint32_t ns_pid;
    uint32_t uid;
    uint32_t refs;
    uint32_t held;               /* events of this execution in the hold store */
    uint32_t seen;               /* generation of the last snapshot that had it */
    uint32_t defined_bytes;      /* what its object takes at most in a full line, by its definition, */
    uint32_t defined_own;        /* what that says of the container's state, */
    uint64_t defined_container;  /* and which of the container's definitions it names */
    uint64_t definition;         /* emit_normalised.h; 0: none */
    uint64_t image_start_ns;     /* key of the execution, with tgid */
    struct process *exited_next; /* FIFO of the exited */
};

/* Open addressing with linear probing: what a look-up compares stands in the slot, so that a miss touches no process. */
struct process_slot {
    uint32_t tgid, start_low; /* low half of start_ns */
    struct process *process;  /* NULL: empty */
};

struct process_table {
    struct process_slot *slots;
    size_t mask;  /* number of slots - 1, a power of two less one */
    size_t count; /* in the table, exited ones included */
    size_t exited_count;
    struct process *exited_first, **exited_last;
};

int process_table_init(struct process_table *table);
void process_table_deinit(struct process_table *table);

struct process *process_table_find(const struct process_table *table, uint32_t tgid, uint64_t start_ns);
/* Brings the slot of a tgid towards the cache. */
void process_table_prefetch(const struct process_table *table, uint32_t tgid);
/* The same for the processes with this tgid, once the slot is there. */
void process_table_prefetch_process(const struct process_table *table, uint32_t tgid);
/* The one with this tgid that started last: for questions by people, who have only a pid. */
struct process *process_table_find_pid(const struct process_table *table, uint32_t tgid);
/* Puts an execution in as the current one of its key, in place of an earlier one; the table takes a reference. T3 is applied with `now_ns`.
 * 0 or -ENOMEM: not inserted. */
int process_table_insert(struct process_table *table, struct process *process, uint64_t now_ns);
void process_table_mark_exited(struct process_table *table, struct process *process, uint64_t now_ns);
/* Marks as exited what is alive and was not in the snapshot of this generation. Returns how many. */
size_t process_table_mark_unseen(struct process_table *table, uint32_t generation, uint64_t now_ns);
/* Lets go of at most `budget` executions that exited before `before_ns`. Returns how many. */
size_t process_table_expire(struct process_table *table, uint64_t before_ns, size_t budget);
/* The same for those that exited first, while there are more than `max_exited` of them: a storm of short lives is not kept for its whole grace time. */
size_t process_table_trim(struct process_table *table, size_t max_exited, uint64_t now_ns, size_t budget);

/* One reference for the caller; container and parent are referenced, image is taken. NULL when memory is short. */
struct process *process_new(
    uint32_t tgid, uint64_t start_ns, uint64_t image_start_ns, enum process_origin origin);
struct process *process_ref(struct process *process);
void process_unref(struct process *process);
void process_set_parent(struct process *process, struct process *parent);
void process_set_container(struct process *process, struct container *container);
void process_set_behind(struct process *process, struct container *container);
/* Counts held events; the last one lets T2 take effect. */
void process_hold(struct process *process);
void process_release(struct process *process);
