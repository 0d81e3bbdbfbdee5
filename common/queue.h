/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A single-producer single-consumer ring of variable-length records in shared memory, lock-free, made of two memfds:
 *
 *   ring    producer read-write (mapped before the seal), consumer read-only: struct queue_ring_page, then data
 *   cursor  producer read-only, consumer read-write:                         struct queue_cursor_page
 *
 * The ring memfd is sealed SHRINK|GROW|FUTURE_WRITE|SEAL once the producer has mapped it: nobody can get a writable
 * mapping any more. The cursor page belongs to the consumer, so the producer takes it as hostile (Q3).
 *
 * Positions are byte counts since the start, 64 bit, never wrapped; offset in data = position & (data_bytes - 1).
 * No record wraps: a RECORD_PAD record fills the rest of the lap.
 *
 * Q1  head <= read position <= tail <= head + data_bytes
 * Q2  everything below tail is complete, checked by nobody, and unchanged until the consumer releases it
 * Q3  the producer reads `head` once a batch into a local; it must be in [last accepted head, published tail] and the start of
 *     a record; otherwise the consumer is broken: -EPROTO, and it is detached. So whatever it wrote, the next consumer starts at a record
 * Q4  hook records leave reserve_bytes free, so that process-life and cgroup records have room
 * Q5  the consumer announces its sleep, then looks once more; the producer publishes, then looks for sleepers: one of them sees
 *     the other. It is rung once a sleep. Rings may come late or for nothing
 * Q6  nothing that the consumer can do to its page, its doorbell or its fds makes the producer fault, wait or spin
 *
 * The doorbell is one end of a socket pair, not an eventfd: the fd that is passed would be the same open file on both sides, whose
 * O_NONBLOCK the consumer could clear (Q6). It is readable when it was rung.
 *
 * The pair table of memory orders: see the foot of this file.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_header;

enum queue_class {
    QUEUE_CLASS_LIFE, /* process life, cgroups, LOST */
    QUEUE_CLASS_HOOK, /* gives way: keeps the reserve free */
};

struct queue_producer;
struct queue_consumer;

/* Fds of a segment, each owned by whoever holds the struct; -1 is empty. */
struct queue_fds {
    int ring, cursor, doorbell;
};

/* ---- producer (queue_producer.c): collector, podkin-load ---------------------------------------------- */

/* data_bytes: a power of two, at least 64 KiB (-EINVAL). Makes memfds, maps, seals. 0 or negative errno. */
int queue_producer_new(struct queue_producer **ret, size_t data_bytes);

/*
 * Where a producer that was killed left off, from its ring and cursor: what it published and nobody released is in the new ring, at the same positions, and the
 * consumer that still reads the old one releases in both with the page that it has. There is no doorbell until queue_producer_renew_cursor(). Borrows the fds.
 *
 * The old ring cannot be mapped for writing any more, by nobody; so this is a copy. The ring is taken at its word, the cursor at none (Q3). A cursor that is
 * none is replaced by a page at the last head that the old producer accepted.
 *
 * -EPROTONOSUPPORT: another version; -EINVAL, -EPERM: it is not a ring; -EBADMSG: what is in it cannot be.
 */
int queue_producer_continue(struct queue_producer **ret, int ring_fd, int cursor_fd);

/* What such a producer left and its consumer has not released, by record type, when it cannot be gone on with. false: not even that can be told. */
bool queue_count_unread(int ring_fd, int cursor_fd, uint64_t ret_count[16]);

struct queue_producer *queue_producer_free(struct queue_producer *q);
/* What the consumer is given; borrowed until queue_producer_renew_cursor(). */
void queue_producer_get_fds(const struct queue_producer *q, struct queue_fds *ret);

/* Room for one record of `size` bytes (multiple of RECORD_ALIGN, sizeof(struct record_header) to RECORD_SIZE_MAX), NULL when there is
 * none as of the last refresh. Written by the caller, its header.size being `size`, then committed; not visible before
 * queue_producer_publish(). Not committing is giving up: the next reserve starts at the same place. */
void *queue_producer_reserve(struct queue_producer *q, size_t size, enum queue_class class);
void queue_producer_commit(struct queue_producer *q);

/* Makes the committed records visible with one release store; rings the doorbell when the consumer announced that it
 * sleeps. Cheap when nothing was committed. */
void queue_producer_publish(struct queue_producer *q);

/* Reads the consumer's head (Q3). 0, or -EPROTO: the value is refused and the last accepted one stays in force. */
int queue_producer_refresh(struct queue_producer *q);

/* For the next consumer after a broken or dead one: a new cursor memfd that starts at the last accepted head, and a new doorbell. What the
 * old consumer kept of the old ones is dead. Refresh first to take what it released last. On failure the old ones stay. */
int queue_producer_renew_cursor(struct queue_producer *q);

size_t queue_producer_data_bytes(const struct queue_producer *q);
size_t queue_producer_used_bytes(const struct queue_producer *q);
uint64_t queue_producer_head(const struct queue_producer *q); /* last accepted */
uint64_t queue_producer_tail(const struct queue_producer *q);

/* ---- consumer (queue_consumer.c): enricher --------------------------------------------------------------- */

/* Takes nothing: maps and keeps its own duplicates of the fds. -EINVAL: the geometry is not sane. -EPERM: the ring is not sealed. */
int queue_consumer_new(struct queue_consumer **ret, const struct queue_fds *fds);
struct queue_consumer *queue_consumer_free(struct queue_consumer *q);
int queue_consumer_doorbell_fd(const struct queue_consumer *q); /* borrowed */

/* The next record, borrowed until released; NULL: none published, or (*ret_broken) framing that cannot be true. Pads are skipped.
 * Only R1 of record.h is checked here (size, alignment, within published data). */
const struct record_header *queue_consumer_next(struct queue_consumer *q, bool *ret_broken);
uint64_t queue_consumer_position(const struct queue_consumer *q); /* behind the record last returned */
uint64_t queue_consumer_backlog_bytes(const struct queue_consumer *q);
/* Half of the queue, or more, is the producer's to write. */
bool queue_consumer_has_room(const struct queue_consumer *q);

/* Everything before `position` is done: its room goes back to the producer. */
void queue_consumer_release(struct queue_consumer *q, uint64_t position);

/*
 * Followers: more readers of the same queue, each in a thread of its own, that share the mapping of the consumer (their leader). Each reads every record and releases for
 * itself; the producer gets back what all have released, from the leader, who alone writes the cursor page. A follower sleeps on a doorbell of its own, which the leader rings.
 * Made and freed while none of them and not the leader runs; they go before their leader. `wake_leader_fd`: an eventfd, written when a sleeping leader may have room to give
 * back; borrowed.
 */
int queue_consumer_new_follower(
    struct queue_consumer **ret, struct queue_consumer *leader, int wake_leader_fd);
bool queue_consumer_has_followers(const struct queue_consumer *q);
/* Leader: has read; whoever sleeps is woken. Costs a fence, and nothing without followers. */
void queue_consumer_wake_followers(struct queue_consumer *leader);
/* Leader: gives back what all have released by now; asleep, it will be told of more. */
void queue_consumer_gather(struct queue_consumer *leader);
/* queue_consumer_next() goes no further than `position`, the end of a record that was published; UINT64_MAX: to the end. */
void queue_consumer_set_limit(struct queue_consumer *q, uint64_t position);
bool queue_consumer_at_limit(const struct queue_consumer *q);

/* Sleep protocol: announce, then look once more (Q5). true: may wait on the doorbell. */
bool queue_consumer_sleep_begin(struct queue_consumer *q);
void queue_consumer_sleep_end(struct queue_consumer *q); /* also drains the doorbell */

/* ---- counters that both sides see: in the ring page, written by the producer only ------------------------- */

/* The producer's own books, by record type. Any reader may map them; relaxed loads, each exact by itself. */
struct queue_books {
    uint64_t published[16];
    uint64_t refused_ring[16];  /* by the BPF ring buffer */
    uint64_t refused_queue[16]; /* by this queue */
    uint64_t made;              /* sequence numbers that the programs used, all CPUs; 0: not told */
};
void queue_producer_load_books(const struct queue_producer *q, struct queue_books *ret);
void queue_producer_store_books(struct queue_producer *q, const struct queue_books *books);
void queue_consumer_load_books(const struct queue_consumer *q, struct queue_books *ret);

/*
 * ---- memory orders: every atomic of the queue, each cites its row ------------------------------------------------
 *
 *      producer                                  consumer                              what breaks without it
 * O1   publish: store tail, release              load_tail: load tail, acquire         consumer reads a record that is not written yet
 * O2   refresh: load head, acquire               release: store head, release          producer overwrites a record that is being read
 * O3   publish: store tail; FENCE seq_cst;       sleep_begin: store sleep_ticket;      both look before the other's store is there:
 *      load sleep_ticket, relaxed                FENCE seq_cst; load tail              the consumer sleeps on published records
 * O4   store_books: relaxed                      load_books: relaxed                   nothing: each number is exact by itself
 * O5   refresh, publish: as above                consumer_new, sleep_end: relaxed      nothing: a late "awake" is one ring for nothing; head
 *                                                                                      is read back by the only process that writes it
 * O9   refresh: store released, release; then    queue_producer_continue(), once the   the next producer takes a record for whole that was
 *      records are written over what it freed    producer is dead: relaxed             being overwritten when its predecessor was killed
 *
 *      leader                                    follower
 * O6   wake_followers: load_tail was acquire;    sleep_begin: store asleep;            a follower sleeps on records that the leader has read
 *      FENCE seq_cst; load asleep, relaxed       FENCE seq_cst; load tail
 * O7   gather: load released, acquire            release: store released, release      producer overwrites a record that a follower reads
 * O8   sleep_begin, gather: store asleep;        release: store released;              room that was released last is given back only when
 *      FENCE seq_cst; load released              FENCE seq_cst; load the leader's      the leader wakes for something else
 *                                                asleep, relaxed
 *
 * O2 holds against an honest consumer. A hostile one may release what it still reads: then it is the one that reads torn records.
 * O1 and O2 carry data; O3 carries only the decision to ring, and both of its sides need the fence: a release store followed by a load of another
 * line may be reordered on every machine, x86 included.
 */
