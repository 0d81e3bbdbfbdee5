/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the ids of hooks stand for (RECORD_POLICY), rendered once: the JSON that all events of a hook have in common.
 *
 *   function:  ,"function_name":…   or  ,"subsys":…,"event":…   or  ,"path":…,"symbol":…
 *   names:     ,"policy_name":…,"message":…,"tags":[…]
 *   labels[i]: ,"label":…}   or   }        what ends an argument
 *
 * Entries are counted by reference: the table keeps those that may be asked for, each event under way its own.
 *
 * L1  an id of which nothing is known has a stand-in (known: false), which becomes known in place when its record comes: the events that are
 *     held meanwhile are named then
 * L2  what is gone can be found for the grace time, and lives as long as an event refers to it
 * L3  after policy_table_forget() no id finds an entry from before, while events keep theirs: another collector counts anew
 * L4  POLICY_TABLE_MAX entries, stand-ins included; beyond, what is gone goes first, then a new id gets the one stand-in that all others
 *     share, and is counted as refused
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

struct policy_match;

#define POLICY_TABLE_MAX     4096
#define POLICY_TABLE_BUCKETS 1024

/* Rendered bytes, most: what Kubernetes and Tetragon allow fits unless it is full of escapes. */
#define POLICY_NAME_BUDGET      512
#define POLICY_SUBSYSTEM_BUDGET 1024
#define POLICY_MESSAGE_BUDGET   512
#define POLICY_TAGS_BUDGET      1024
#define POLICY_LABEL_BUDGET     128
/* function and names together; one label. */
#define POLICY_PIECES_MAX                                                                                    \
    (3 * POLICY_NAME_BUDGET + POLICY_SUBSYSTEM_BUDGET + POLICY_MESSAGE_BUDGET + POLICY_TAGS_BUDGET + 256)
#define POLICY_LABEL_MAX (POLICY_LABEL_BUDGET + 16)

struct policy_piece {
    const char *data;
    uint32_t size;
};

struct policy_entry {
    struct policy_entry *next, *gone_next;
    uint64_t gone_ns; /* 0: attached */
    uint32_t hook_id;
    uint32_t refs;
    uint32_t seen; /* generation of the last snapshot that had it */
    uint8_t kind;  /* enum record_hook_kind; of a stand-in RECORD_HOOK_KPROBE */
    bool known;
    bool in_gone_list;
    uint64_t definition;        /* of function and names as they are: emit_normalised.h */
    struct policy_match *match; /* NULL: for all processes */
    struct policy_piece function, names, labels[RECORD_HOOK_ARGS_MAX + 1];
    char *text; /* what the pieces point into; NULL: literals */
};

struct policy_table {
    struct policy_entry *buckets[POLICY_TABLE_BUCKETS];
    struct policy_entry *gone_first, **gone_last;
    struct policy_entry *shared; /* L4 */
    size_t count;
};

/* 0 or -ENOMEM. */
int policy_table_init(struct policy_table *table);
void policy_table_deinit(struct policy_table *table);

enum policy_result {
    POLICY_TAKEN,
    POLICY_REFUSED,   /* L4, or no memory */
    POLICY_MALFORMED, /* taken, but its selector cannot be understood (policy_match.h, M3) */
};
/* A checked record of the stream or of a snapshot. `generation`: of the snapshot, 0: stream. */
enum policy_result policy_table_apply(
    struct policy_table *table, const struct record_policy *record, uint32_t generation, uint64_t now_ns);
/* The entry of an id, made when there is none: never NULL. Borrowed: policy_ref() keeps it. */
struct policy_entry *policy_table_get(struct policy_table *table, uint32_t hook_id, uint64_t now_ns);
/* L3 */
void policy_table_forget(struct policy_table *table);
/* What the snapshot of this generation did not have is gone. */
void policy_table_mark_unseen(struct policy_table *table, uint32_t generation, uint64_t now_ns);
/* Drops what went before `before_ns`. */
void policy_table_expire(struct policy_table *table, uint64_t before_ns);

struct policy_entry *policy_ref(struct policy_entry *entry); /* NULL stays NULL */
void policy_unref(struct policy_entry *entry);
