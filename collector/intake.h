/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From the BPF ring buffer into the queue: copies records, publishes in batches, and keeps the books of what was refused.
 *
 *   intake_begin() ─► intake_put() a record ─► intake_put_loss() a CPU that lost in the kernel ─► intake_end()
 *
 * I1  a record is either published or counted as refused, by type, and its (cpu, seq) lies within a LOST record that goes out later
 * I2  the counts of all LOST records published and waiting = all refusals, exact by CPU, place and type
 * I3  LOST goes out as soon as there is room: it may use the reserve when it tells of anything but hook records, else it waits for
 *     the room that hook records need (or a stalled consumer would have its reserve eaten by reports of what did not fit)
 * I5  with intake_keep(): a kill at any moment leaves I1 and I2 to the next collector, and each record of the ring buffer once: what was put and not published is in the ring still,
 *     unless what was counted with it is, too (checkpoint.h)
 * I4  the consumer's head is read once a batch of INTAKE_BATCH, and only while there is a consumer (intake_follow())
 *
 * The records are the kernel's; only their framing is looked at.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/queue.h"
#include "common/record.h"

#define INTAKE_BATCH   64
#define INTAKE_CPU_MAX 8192 /* the kernel's own limit (NR_CPUS) */

/* Sees each record that comes, whether the queue has room for it or not, and a LOST record for what the ring refused. */
typedef void intake_tee_fn(const struct record_header *record, void *arg);

struct checkpoint;
struct probe;
struct intake_loss; /* refused and not yet reported, of one CPU and place */

struct intake {
    struct queue_producer *queue;  /* borrowed */
    uint64_t *seq;                 /* the collector's own count, borrowed: each LOST takes one */
    struct checkpoint *checkpoint; /* borrowed; NULL: none is kept */
    struct probe *source;          /* whose ring buffer is released with each publish, borrowed; NULL: none */
    struct intake_loss
        *losses;         /* by CPU and place, the last the collector's own; untouched pages cost nothing */
    uint32_t first_loss; /* list of those that wait: index + 1, 0: none */
    unsigned batch;      /* committed since the last publish */
    bool follow, consumer_broken;
    bool books_changed;
    struct queue_books books;
    uint64_t refused_count; /* all refusals since the start, both places */
    intake_tee_fn *tee;     /* NULL: nobody */
    void *tee_arg;
    uint64_t malformed_count; /* records whose framing cannot be: a bug of ours */
};

/* 0 or -ENOMEM. */
int intake_init(struct intake *intake, struct queue_producer *queue, uint64_t *seq);
void intake_deinit(struct intake *intake);

/* From now on each publish is a checkpoint, and releases what it took from the ring buffer of `source`, which is read by probe_read(). What the checkpoint's last owner left (settled:
 * checkpoint_settle()) is taken over: losses not told, what was seen of the ring buffer's, books. */
void intake_keep(struct intake *intake, struct checkpoint *checkpoint, struct probe *source);

/* Records that a predecessor left and nobody can read: refused, by type. */
void intake_give_up(struct intake *intake, const uint64_t count[16]);

/* Takes the room that was released and lets waiting LOST records out first. */
void intake_begin(struct intake *intake);

/* A probe_record_fn: copies one record of the ring buffer (`size`: what the ring buffer says), or one that the collector made itself. Always
 * 0. */
int intake_put(const struct record_header *record, size_t size, void *intake);

/* A probe_lost_fn: what the ring buffer refused on one CPU. */
void intake_put_loss(const struct record_lost *lost, void *intake);

/* Sequence numbers used so far, for the books. */
void intake_set_made(struct intake *intake, uint64_t count);

/* Lets LOST records out, publishes, stores the books. */
void intake_end(struct intake *intake);

/* There is a consumer now, or there is none: its page is not looked at. Forgets what the last one broke. */
void intake_follow(struct intake *intake, bool follow);
