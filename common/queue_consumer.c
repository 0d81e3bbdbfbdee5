/* SPDX-License-Identifier: Apache-2.0 */
#include "common/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/queue_layout.h"
#include "common/queue_map.h"
#include "common/record.h"

struct queue_consumer {
    const struct queue_ring_page *ring;
    const uint8_t *data;
    uint64_t data_bytes, mask;
    struct queue_cursor_page *cursor;
    uint64_t position; /* behind the record last returned */
    uint64_t tail;     /* as last read */
    uint64_t head;     /* as last released */
    uint64_t limit;    /* not to be read beyond */
    uint32_t sleep_ticket;
    struct queue_fds fds; /* of a follower: only its doorbell */

    struct queue_consumer *leader; /* NULL: it has none */
    int wake_leader_fd;
    struct queue_consumer *first_follower, *next_follower;
    uint64_t given; /* leader: released to the producer */

    /* What other threads look at: a line for what is stored each batch, one for what is stored each sleep. */
    _Alignas(QUEUE_LINE_BYTES) _Atomic uint64_t released; /* follower: head [O7] [O8] */
    _Alignas(QUEUE_LINE_BYTES) _Atomic uint32_t asleep;   /* 1: wants to be woken [O6] [O8] */
};

static int map_ring(struct queue_consumer *q)
{
    int r = queue_map_ring(q->fds.ring, &q->ring, &q->data_bytes);

    if (r < 0)
        return r == -EPROTONOSUPPORT ? -EINVAL : r;
    q->data = (const uint8_t *)q->ring + QUEUE_PAGE_BYTES;
    q->mask = q->data_bytes - 1;
    return 0;
}

static int map_cursor(struct queue_consumer *q)
{
    void *map = NULL;
    int r = queue_map_cursor(q->fds.cursor, PROT_READ | PROT_WRITE, &map);

    if (r == 0)
        q->cursor = map;
    return r;
}

static uint64_t load_tail(const struct queue_consumer *q)
{
    /* acquire [O1]: pairs with the release in queue_producer_publish(); the bytes below the value are whole */
    return atomic_load_explicit(&q->ring->tail, memory_order_acquire);
}

/* Where an earlier consumer left off. relaxed [O5]: nobody else writes here any more. */
static int load_start(struct queue_consumer *q)
{
    uint64_t head = atomic_load_explicit(&q->cursor->head, memory_order_relaxed);
    uint64_t tail = load_tail(q);

    if (head > tail || tail - head > q->data_bytes || head % RECORD_ALIGN != 0) /* Q1 */
        return -EINVAL;
    q->position = q->head = q->given = head;
    q->tail = tail;
    /* An earlier consumer of this page may have died asleep: go on from an awake number. */
    q->sleep_ticket = atomic_load_explicit(&q->cursor->sleep_ticket, memory_order_relaxed);
    q->sleep_ticket += q->sleep_ticket % 2;
    atomic_store_explicit(&q->cursor->sleep_ticket, q->sleep_ticket, memory_order_relaxed);
    return 0;
}

static int duplicate_fds(struct queue_fds *ret, const struct queue_fds *fds)
{
    ret->ring = fd_duplicate(fds->ring);
    if (ret->ring < 0)
        return ret->ring;
    ret->cursor = fd_duplicate(fds->cursor);
    if (ret->cursor < 0)
        return ret->cursor;
    ret->doorbell = fd_duplicate(fds->doorbell);
    return ret->doorbell < 0 ? ret->doorbell : 0;
}

static struct queue_consumer *allocate(void)
{
    struct queue_consumer *q = aligned_alloc(QUEUE_LINE_BYTES, sizeof(*q));

    if (!q)
        return NULL;
    memset(q, 0, sizeof(*q));
    q->limit = UINT64_MAX;
    q->fds = (struct queue_fds){-1, -1, -1};
    return q;
}

int queue_consumer_new(struct queue_consumer **ret, const struct queue_fds *fds)
{
    struct queue_consumer *q = allocate();
    int r;

    if (!q)
        return -ENOMEM;
    r = duplicate_fds(&q->fds, fds);
    if (r == 0)
        r = map_ring(q);
    if (r == 0)
        r = map_cursor(q);
    if (r == 0)
        r = load_start(q);
    if (r < 0) {
        queue_consumer_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

static void unlink_follower(struct queue_consumer *q)
{
    struct queue_consumer **link = &q->leader->first_follower;

    while (*link != q)
        link = &(*link)->next_follower;
    *link = q->next_follower;
}

struct queue_consumer *queue_consumer_free(struct queue_consumer *q)
{
    if (!q)
        return NULL;
    assert(!q->first_follower);
    if (q->leader)
        unlink_follower(q);
    if (q->ring && !q->leader)
        (void)munmap((void *)q->ring, QUEUE_PAGE_BYTES + q->data_bytes);
    if (q->cursor)
        (void)munmap(q->cursor, QUEUE_PAGE_BYTES);
    fd_close(&q->fds.ring);
    fd_close(&q->fds.cursor);
    fd_close(&q->fds.doorbell);
    free(q);
    return NULL;
}

int queue_consumer_new_follower(
    struct queue_consumer **ret, struct queue_consumer *leader, int wake_leader_fd)
{
    struct queue_consumer *q = allocate();

    if (!q)
        return -ENOMEM;
    q->fds.doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fds.doorbell < 0) {
        int r = -errno;

        free(q);
        return r;
    }
    q->leader = leader;
    q->wake_leader_fd = wake_leader_fd;
    q->ring = leader->ring;
    q->data = leader->data;
    q->data_bytes = leader->data_bytes;
    q->mask = leader->mask;
    q->position = q->head = leader->head;
    q->tail = leader->tail;
    atomic_init(&q->released, q->head);
    q->next_follower = leader->first_follower;
    leader->first_follower = q;
    *ret = q;
    return 0;
}

int queue_consumer_doorbell_fd(const struct queue_consumer *q)
{
    return q->fds.doorbell;
}

/* R1 without the type: within what is published and within the lap. */
static bool size_is_sane(const struct queue_consumer *q, uint64_t size, uint64_t least)
{
    return size >= least && size % RECORD_ALIGN == 0 && size <= q->tail - q->position &&
           size <= q->data_bytes - (q->position & q->mask);
}

const struct record_header *queue_consumer_next(struct queue_consumer *q, bool *ret_broken)
{
    *ret_broken = false;
    while (q->position != q->limit) {
        const struct record_header *record;
        uint32_t size;

        if (q->position == q->tail) {
            uint64_t tail = load_tail(q);

            if (tail == q->tail)
                return NULL;
            if (tail < q->tail || tail - q->head > q->data_bytes || tail % RECORD_ALIGN != 0) { /* Q1 */
                *ret_broken = true;
                return NULL;
            }
            q->tail = tail;
        }
        record = (const void *)(q->data + (q->position & q->mask));
        size = record->size;
        if (record->type == RECORD_PAD) {
            if (!size_is_sane(q, size, RECORD_ALIGN)) {
                *ret_broken = true;
                return NULL;
            }
            q->position += size; /* at most to the end of the lap: this loop is short */
            continue;
        }
        if (size > RECORD_SIZE_MAX || !size_is_sane(q, size, sizeof(*record))) {
            *ret_broken = true;
            return NULL;
        }
        q->position += size;
        return record;
    }
    return NULL;
}

void queue_consumer_set_limit(struct queue_consumer *q, uint64_t position)
{
    assert(position >= q->position);
    q->limit = position;
}

uint64_t queue_consumer_position(const struct queue_consumer *q)
{
    return q->position;
}

uint64_t queue_consumer_backlog_bytes(const struct queue_consumer *q)
{
    return load_tail(q) - q->position;
}

bool queue_consumer_has_room(const struct queue_consumer *q)
{
    return load_tail(q) - q->given <= q->data_bytes / 2;
}

bool queue_consumer_has_followers(const struct queue_consumer *q)
{
    return q->first_follower;
}

bool queue_consumer_at_limit(const struct queue_consumer *q)
{
    return q->position == q->limit;
}

/* ---- giving back ------------------------------------------------------------------------------------------------ */

static void give_back(struct queue_consumer *q, uint64_t position)
{
    if (position == q->given)
        return;
    q->given = position;
    /* release [O2]: pairs with the acquire in queue_producer_refresh(); our reads of the records are over */
    atomic_store_explicit(&q->cursor->head, position, memory_order_release);
}

/* Wakes who said that it sleeps, once. */
static void wake(_Atomic uint32_t *asleep, int fd)
{
    const uint64_t one = 1;

    if (atomic_load_explicit(asleep, memory_order_relaxed) &&
        atomic_exchange_explicit(asleep, 0, memory_order_relaxed))
        (void)!write(fd, &one, sizeof(one)); /* full: it is readable */
}

/* What all have released. */
static uint64_t least_released(const struct queue_consumer *leader)
{
    uint64_t least = leader->head;

    for (const struct queue_consumer *f = leader->first_follower; f; f = f->next_follower) {
        /* acquire [O7]: pairs with the release in queue_consumer_release(); the follower's reads are over */
        uint64_t released = atomic_load_explicit(&f->released, memory_order_acquire);

        least = released < least ? released : least;
    }
    return least;
}

void queue_consumer_release(struct queue_consumer *q, uint64_t position)
{
    assert(position >= q->head && position <= q->position);
    if (position == q->head)
        return;
    q->head = position;
    if (!q->leader) {
        give_back(q, least_released(q));
        return;
    }
    /* release [O7] */
    atomic_store_explicit(&q->released, position, memory_order_release);
    /* fence [O8]: our store of released comes before the load of asleep; pairs with the fence in queue_consumer_gather() */
    atomic_thread_fence(memory_order_seq_cst);
    wake(&q->leader->asleep, q->wake_leader_fd);
}

void queue_consumer_gather(struct queue_consumer *leader)
{
    if (!leader->first_follower)
        return;
    if (leader->sleep_ticket % 2 == 1) {
        atomic_store_explicit(&leader->asleep, 1, memory_order_relaxed);
        /* fence [O8]: our store of asleep comes before the loads of released */
        atomic_thread_fence(memory_order_seq_cst);
    }
    give_back(leader, least_released(leader));
}

/* ---- sleeping --------------------------------------------------------------------------------------------------- */

void queue_consumer_wake_followers(struct queue_consumer *leader)
{
    if (!leader->first_follower)
        return;
    /* fence [O6]: our load of tail, which was new, comes before the load of asleep; pairs with the fence in follower_sleep_begin() */
    atomic_thread_fence(memory_order_seq_cst);
    for (struct queue_consumer *f = leader->first_follower; f; f = f->next_follower)
        wake(&f->asleep, f->fds.doorbell);
}

static bool follower_sleep_begin(struct queue_consumer *q)
{
    atomic_store_explicit(&q->asleep, 1, memory_order_relaxed);
    /* fence [O6]: our store of asleep comes before the load of tail */
    atomic_thread_fence(memory_order_seq_cst);
    if (load_tail(q) == q->position || q->position == q->limit)
        return true;
    queue_consumer_sleep_end(q);
    return false;
}

static void follower_sleep_end(struct queue_consumer *q)
{
    uint64_t rings;

    atomic_store_explicit(&q->asleep, 0, memory_order_relaxed);
    (void)!read(q->fds.doorbell, &rings, sizeof(rings)); /* EAGAIN: nobody rang */
}

bool queue_consumer_sleep_begin(struct queue_consumer *q)
{
    if (q->leader)
        return follower_sleep_begin(q);
    if (q->sleep_ticket % 2 == 0)
        q->sleep_ticket++;
    atomic_store_explicit(&q->cursor->sleep_ticket, q->sleep_ticket, memory_order_relaxed);
    /* fence [O3]: our store of sleep_ticket comes before the load of tail; pairs with the fence in ring_sleeper(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (load_tail(q) == q->position) {
        queue_consumer_gather(q);
        return true;
    }
    queue_consumer_sleep_end(q);
    return false;
}

void queue_consumer_sleep_end(struct queue_consumer *q)
{
    char rings[64]; /* more than can be on their way, and one more read tells when not */

    if (q->leader) {
        follower_sleep_end(q);
        return;
    }
    if (q->sleep_ticket % 2 == 1)
        q->sleep_ticket++;
    /* relaxed [O5]: late news cost the producer one ring for nothing */
    atomic_store_explicit(&q->cursor->sleep_ticket, q->sleep_ticket, memory_order_relaxed);
    atomic_store_explicit(&q->asleep, 0, memory_order_relaxed);
    while (recv(q->fds.doorbell, rings, sizeof(rings), MSG_DONTWAIT) == (ssize_t)sizeof(rings))
        ;
}

void queue_consumer_load_books(const struct queue_consumer *q, struct queue_books *ret)
{
    const struct queue_books_shared *shared = &q->ring->books;

    /* relaxed [O4]: each number is exact by itself, they order nothing */
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        ret->published[i] = atomic_load_explicit(&shared->published[i], memory_order_relaxed);
        ret->refused_ring[i] = atomic_load_explicit(&shared->refused_ring[i], memory_order_relaxed);
        ret->refused_queue[i] = atomic_load_explicit(&shared->refused_queue[i], memory_order_relaxed);
    }
    ret->made = atomic_load_explicit(&shared->made, memory_order_relaxed);
}
