/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a collector must know of the one that was killed before it, in a memfd that the service manager keeps: how far it came in the ring buffer, what it counted, what it has still to
 * tell of losses, which numbers it used. Written while records flow, so that a kill between any two instructions leaves a whole state.
 *
 *   checkpoint_prepare() ─► queue_producer_publish() ─► checkpoint_commit() ─► probe_release()
 *        stamp n                the queue's tail             committed = n         the ring's
 *
 * All that a publish changes has two places, and is written to the one that does not count yet, with the number n of the publish. It counts when `committed` is n, or when the queue's
 * tail is the one that n was to store: the one store that makes records visible is the one that settles everything else. So each record of the ring is in the queue once, each refusal
 * in the counts once.
 *
 * CP1  what checkpoint_open() gives is of one publish: tail, position in the ring, books, and each CPU's row
 * CP2  a checkpoint whose form is not ours is refused; its contents are our own predecessor's, and only checked where a wrong number could do harm
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/loss.h"
#include "common/queue.h"

#define CHECKPOINT_ROWS_MAX 8193 /* a CPU each, and the collector's own */

/* Whose records, and whose maps. All of it must be the same for the next collector to go on. */
struct checkpoint_identity {
    uint32_t record_version, queue_version, bpf_layout;
    uint32_t cgroup_hierarchy_id;
    char cgroup_hierarchy[16];
};

struct checkpoint_loss {
    uint64_t first_seq, last_seq;
    uint64_t count[RECORD_TYPE_SLOTS];
};

struct checkpoint_row {
    struct loss_seen seen;             /* of the ring buffer's refusals */
    struct checkpoint_loss waiting[2]; /* refused by the ring buffer, by the queue: not told yet */
};

struct checkpoint_totals {
    uint64_t tail;          /* of the queue */
    uint64_t ring_position; /* of the BPF ring buffer: everything before it is in the queue, or counted */
    struct queue_books books;
};

struct checkpoint;

/* Empty, with the sequence epoch of a new collector. 0 or negative errno. */
int checkpoint_new(struct checkpoint **ret, const struct checkpoint_identity *identity, uint64_t epoch_ns,
    unsigned row_count);
/* Duplicates the fd. -EINVAL: it is no checkpoint of this form; -EPROTONOSUPPORT: it is another version of it; other negative errno. */
int checkpoint_open(struct checkpoint **ret, int fd);
struct checkpoint *checkpoint_close(struct checkpoint *checkpoint); /* NULL is fine; returns NULL */

int checkpoint_fd(const struct checkpoint *checkpoint); /* borrowed */
void checkpoint_get_identity(const struct checkpoint *checkpoint, struct checkpoint_identity *ret);
uint64_t checkpoint_epoch_ns(const struct checkpoint *checkpoint);
unsigned checkpoint_row_count(const struct checkpoint *checkpoint);

/* Of one that was opened, with the tail that its queue has: which publish was the last. Then what it left. */
void checkpoint_settle(struct checkpoint *checkpoint, uint64_t queue_tail);
void checkpoint_get_totals(const struct checkpoint *checkpoint, struct checkpoint_totals *ret);
bool checkpoint_get_row(
    const struct checkpoint *checkpoint, unsigned row, struct checkpoint_row *ret); /* false: never written */

/* The row is to be written at the next checkpoint_prepare(). */
void checkpoint_touch(struct checkpoint *checkpoint, unsigned row);
typedef void checkpoint_fill_fn(void *arg, unsigned row, struct checkpoint_row *ret);
/* false: nothing has changed since the last; there is nothing to commit. */
bool checkpoint_prepare(struct checkpoint *checkpoint, const struct checkpoint_totals *totals,
    checkpoint_fill_fn *fill, void *arg);
void checkpoint_commit(struct checkpoint *checkpoint);

/* Numbers that are used once, over all collectors: the next generation of programs; the next hook ids. */
uint32_t checkpoint_next_generation(struct checkpoint *checkpoint);
uint32_t checkpoint_next_hook(struct checkpoint *checkpoint);
void checkpoint_begin_hooks_at(struct checkpoint *checkpoint, uint32_t id);
