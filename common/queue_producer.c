/* SPDX-License-Identifier: Apache-2.0 */
#include "common/queue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/queue_layout.h"
#include "common/queue_map.h"
#include "common/record.h"

/* What belongs to one consumer and goes with it: a broken one may keep its page and its bell for ever. */
struct channel {
    const struct queue_cursor_page *cursor; /* hostile */
    int cursor_fd;
    int bell_fd;     /* our end */
    int doorbell_fd; /* the consumer's end */
    uint32_t rung;   /* the sleep that we rang for last */
};

struct queue_producer {
    struct queue_ring_page *ring;
    uint8_t *data;
    uint64_t data_bytes, mask, reserve_bytes;
    uint64_t tail;      /* behind the last committed record */
    uint64_t published; /* what the consumer sees of it */
    uint64_t head;      /* last accepted */
    /* Bit n: a record (or a pad) starts at data + n * RECORD_ALIGN. A head elsewhere would have the next consumer start amid a record. */
    uint64_t *starts;
    size_t pending_pad, pending_size; /* reserved, not committed */
    int ring_fd;
    struct channel channel;
};

#define CHANNEL_EMPTY ((struct channel){.cursor_fd = -1, .bell_fd = -1, .doorbell_fd = -1})

static void channel_close(struct channel *channel)
{
    if (channel->cursor)
        (void)munmap((void *)channel->cursor, QUEUE_PAGE_BYTES);
    channel->cursor = NULL;
    fd_close(&channel->cursor_fd);
    fd_close(&channel->bell_fd);
    fd_close(&channel->doorbell_fd);
}

/* The consumer's page, starting at `head`: written through a mapping that ends here; what stays is read-only. The size is sealed, else
 * the consumer could cut the page off and our next read would be a SIGBUS. */
static int cursor_open(uint64_t head, int *ret_fd, const struct queue_cursor_page **ret_page)
{
    CLEANUP_CLOSE int fd = fd_memfd_new("podkin-cursor", QUEUE_PAGE_BYTES);
    void *map = NULL;
    int r;

    if (fd < 0)
        return fd;
    if (pwrite(fd, &head, sizeof(head), offsetof(struct queue_cursor_page, head)) != (ssize_t)sizeof(head))
        return -EIO;
    r = fd_seal(fd, QUEUE_CURSOR_SEALS);
    if (r < 0)
        return r;
    r = fd_map_shared(fd, QUEUE_PAGE_BYTES, PROT_READ, &map);
    if (r < 0)
        return r;
    *ret_page = map;
    *ret_fd = take_fd(&fd);
    return 0;
}

/* The bell is a socket pair and no eventfd, because an fd that is passed is one open file for both sides: the consumer could clear
 * O_NONBLOCK and fill the counter, and our next ring would never return. Our end of a pair is ours alone, and MSG_DONTWAIT is asked for
 * each time. (A pipe will not do either: its reader can stall in a page fault while it holds the lock that the writer needs.) */
static int bell_open(int *ret_ours, int *ret_theirs)
{
    const int least = 1; /* the kernel makes it its minimum: a handful of rings can be on their way */
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    *ret_ours = pair[0];
    *ret_theirs = pair[1];
    return 0;
}

static int channel_open(struct channel *ret, uint64_t head)
{
    struct channel channel = CHANNEL_EMPTY;
    int r;

    r = cursor_open(head, &channel.cursor_fd, &channel.cursor);
    if (r == 0)
        r = bell_open(&channel.bell_fd, &channel.doorbell_fd);
    if (r < 0) {
        channel_close(&channel);
        return r;
    }
    *ret = channel;
    return 0;
}

/* Maps the ring writable, then seals it: from here on this mapping is the only one that can write. */
static int ring_open(struct queue_producer *q)
{
    void *map = NULL;
    int r;

    q->ring_fd = fd_memfd_new("podkin-ring", QUEUE_PAGE_BYTES + q->data_bytes);
    if (q->ring_fd < 0)
        return q->ring_fd;
    r = fd_map_shared(q->ring_fd, QUEUE_PAGE_BYTES + q->data_bytes, PROT_READ | PROT_WRITE, &map);
    if (r < 0)
        return r;
    q->ring = map;
    q->data = (uint8_t *)map + QUEUE_PAGE_BYTES;
    q->ring->magic = QUEUE_MAGIC;
    q->ring->version = QUEUE_VERSION;
    q->ring->record_version = RECORD_VERSION;
    q->ring->data_bytes = q->data_bytes;
    q->ring->reserve_bytes = q->reserve_bytes;
    return fd_seal(q->ring_fd, QUEUE_RING_SEALS);
}

/* Bits [first, first + count) off, then the first one on. */
static void mark_start(uint64_t *starts, size_t first, size_t count)
{
    size_t word = first / 64, last = first + count - 1;
    uint64_t from = UINT64_MAX << (first % 64), to = UINT64_MAX >> (63 - last % 64);

    if (word == last / 64) {
        starts[word] &= ~(from & to);
    } else {
        starts[word] &= ~from;
        for (size_t i = word + 1; i < last / 64; i++)
            starts[i] = 0;
        starts[last / 64] &= ~to;
    }
    starts[word] |= UINT64_C(1) << (first % 64);
}

static struct queue_producer *producer_alloc(uint64_t data_bytes)
{
    struct queue_producer *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->ring_fd = -1;
    q->channel = CHANNEL_EMPTY;
    q->data_bytes = data_bytes;
    q->mask = data_bytes - 1;
    q->reserve_bytes = data_bytes / 8;
    q->starts = calloc(data_bytes / RECORD_ALIGN / 64, sizeof(*q->starts));
    return q->starts ? q : queue_producer_free(q);
}

int queue_producer_new(struct queue_producer **ret, size_t data_bytes)
{
    struct queue_producer *q;
    int r;

    if (data_bytes < QUEUE_DATA_BYTES_MIN || data_bytes > QUEUE_DATA_BYTES_MAX ||
        (data_bytes & (data_bytes - 1)) != 0)
        return -EINVAL;
    q = producer_alloc(data_bytes);
    if (!q)
        return -ENOMEM;
    r = ring_open(q);
    if (r == 0)
        r = channel_open(&q->channel, 0);
    if (r < 0) {
        queue_producer_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

/* The consumer of the old ring keeps its page. */
static int channel_keep(struct channel *ret, int cursor_fd, uint64_t head)
{
    struct channel channel = CHANNEL_EMPTY;
    void *map = NULL;

    if (cursor_fd < 0 || queue_map_cursor(cursor_fd, PROT_READ, &map) < 0)
        return channel_open(ret, head);
    channel.cursor = map;
    channel.cursor_fd = fd_duplicate(cursor_fd);
    if (channel.cursor_fd < 0) {
        int r = channel.cursor_fd;

        channel_close(&channel);
        return r;
    }
    *ret = channel;
    return 0;
}

/* Each record to where it was. */
static int copy_remains(struct queue_producer *q, const struct queue_ring_page *old)
{
    const struct queue_books_shared *books = &old->books;
    const struct record_header *record;
    struct queue_remains remains;
    bool broken = false;

    if (!queue_remains_init(&remains, old, q->data_bytes))
        return -EBADMSG;
    q->head = q->tail = remains.position;
    while ((record = queue_remains_next(&remains, &broken))) {
        memcpy(q->data + (q->tail & q->mask), record, record->size);
        mark_start(q->starts, (q->tail & q->mask) / RECORD_ALIGN, record->size / RECORD_ALIGN);
        q->tail = remains.position;
    }
    if (broken)
        return -EBADMSG;
    q->published = q->tail;
    /* relaxed: nobody else has this ring yet */
    atomic_store_explicit(&q->ring->released, q->head, memory_order_relaxed);
    atomic_store_explicit(&q->ring->tail, q->tail, memory_order_relaxed);
    memcpy(&q->ring->books, books, sizeof(*books));
    return 0;
}

int queue_producer_continue(struct queue_producer **ret, int ring_fd, int cursor_fd)
{
    const struct queue_ring_page *old = NULL;
    struct queue_producer *q;
    uint64_t data_bytes = 0;
    int r = queue_map_ring(ring_fd, &old, &data_bytes);

    if (r < 0)
        return r;
    q = producer_alloc(data_bytes);
    r = q ? ring_open(q) : -ENOMEM;
    if (r == 0)
        r = copy_remains(q, old);
    if (r == 0)
        r = channel_keep(&q->channel, cursor_fd, q->head);
    (void)munmap((void *)old, QUEUE_PAGE_BYTES + data_bytes);
    if (r < 0) {
        queue_producer_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

/* Where the consumer says that it is, if a record starts there. */
static bool count_from(struct queue_remains remains, uint64_t head, uint64_t ret_count[16])
{
    uint64_t count[RECORD_TYPE_SLOTS] = {0};
    const struct record_header *record;
    bool broken = false;

    while (remains.position < head && queue_remains_next(&remains, &broken))
        ;
    if (remains.position != head)
        return false;
    while ((record = queue_remains_next(&remains, &broken))) {
        if (record->type != RECORD_PAD)
            count[record->type % RECORD_TYPE_SLOTS]++;
    }
    memcpy(ret_count, count, sizeof(count));
    return !broken;
}

bool queue_count_unread(int ring_fd, int cursor_fd, uint64_t ret_count[16])
{
    const struct queue_ring_page *ring = NULL;
    struct queue_remains remains;
    uint64_t data_bytes = 0, head = 0;
    void *cursor = NULL;
    bool counted = false;

    if (queue_map_old_ring(ring_fd, &ring, &data_bytes) < 0)
        return false;
    if (cursor_fd >= 0 && queue_map_cursor(cursor_fd, PROT_READ, &cursor) == 0) {
        head = atomic_load_explicit(
            &((const struct queue_cursor_page *)cursor)->head, memory_order_acquire); /* [O2] */
        (void)munmap(cursor, QUEUE_PAGE_BYTES);
    }
    if (queue_remains_init(&remains, ring, data_bytes))
        counted = count_from(remains, head, ret_count) || count_from(remains, remains.position, ret_count);
    (void)munmap((void *)ring, QUEUE_PAGE_BYTES + data_bytes);
    return counted;
}

struct queue_producer *queue_producer_free(struct queue_producer *q)
{
    if (!q)
        return NULL;
    channel_close(&q->channel);
    if (q->ring)
        (void)munmap(q->ring, QUEUE_PAGE_BYTES + q->data_bytes);
    fd_close(&q->ring_fd);
    free(q->starts);
    free(q);
    return NULL;
}

void queue_producer_get_fds(const struct queue_producer *q, struct queue_fds *ret)
{
    *ret = (struct queue_fds){
        .ring = q->ring_fd, .cursor = q->channel.cursor_fd, .doorbell = q->channel.doorbell_fd};
}

static bool is_start(const struct queue_producer *q, uint64_t position)
{
    size_t bit = (position & q->mask) / RECORD_ALIGN;

    return q->starts[bit / 64] & (UINT64_C(1) << (bit % 64));
}

void *queue_producer_reserve(struct queue_producer *q, size_t size, enum queue_class class)
{
    uint64_t offset = q->tail & q->mask, to_end = q->data_bytes - offset;
    uint64_t free_bytes = q->data_bytes - (q->tail - q->head), needed;

    assert(size >= sizeof(struct record_header) && size <= RECORD_SIZE_MAX && size % RECORD_ALIGN == 0);
    q->pending_pad = size > to_end ? to_end : 0;
    q->pending_size = 0;
    needed = q->pending_pad + size;
    if (class == QUEUE_CLASS_HOOK) /* Q4 */
        needed += q->reserve_bytes;
    if (needed > free_bytes)
        return NULL;
    q->pending_size = size;
    return q->data + (q->pending_pad ? 0 : offset);
}

void queue_producer_commit(struct queue_producer *q)
{
    const struct record_header *record;

    assert(q->pending_size > 0);
    if (q->pending_pad > 0) {
        /* As short as RECORD_ALIGN: the first eight bytes of a header are all of it. */
        struct {
            uint32_t size;
            uint8_t type, version;
            uint16_t cpu;
        } pad = {.size = (uint32_t)q->pending_pad, .type = RECORD_PAD, .version = RECORD_VERSION};

        memcpy(q->data + (q->tail & q->mask), &pad, sizeof(pad));
        mark_start(q->starts, (q->tail & q->mask) / RECORD_ALIGN, q->pending_pad / RECORD_ALIGN);
        q->tail += q->pending_pad;
    }
    record = (const void *)(q->data + (q->tail & q->mask));
    assert(record->size == q->pending_size && record->type != RECORD_PAD);
    (void)record;
    mark_start(q->starts, (q->tail & q->mask) / RECORD_ALIGN, q->pending_size / RECORD_ALIGN);
    q->tail += q->pending_size;
    q->pending_pad = q->pending_size = 0;
}

/* Once a sleep. A bell that cannot take another ring is one that rings already; any other failure is a consumer that broke its own
 * bell, and it is its own loss. */
static void ring_sleeper(struct queue_producer *q)
{
    uint32_t ticket;

    /* fence [O3]: our store of tail comes before the load of sleep_ticket; pairs with the fence in queue_consumer_sleep_begin().
     * Either the consumer sees the new tail and stays awake, or we see that it sleeps. */
    atomic_thread_fence(memory_order_seq_cst);
    ticket = atomic_load_explicit(&q->channel.cursor->sleep_ticket, memory_order_relaxed);
    if (ticket % 2 == 0 || ticket == q->channel.rung)
        return;
    q->channel.rung = ticket;
    if (q->channel.bell_fd < 0) /* a consumer of the producer before us: it waits for no record of ours */
        return;
    (void)send(q->channel.bell_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void queue_producer_publish(struct queue_producer *q)
{
    if (q->published == q->tail)
        return;
    /* release [O1]: pairs with the acquire in the consumer's load_tail(); makes the bytes of the records visible */
    atomic_store_explicit(&q->ring->tail, q->tail, memory_order_release);
    q->published = q->tail;
    ring_sleeper(q);
}

int queue_producer_refresh(struct queue_producer *q)
{
    /* acquire [O2]: pairs with the release in queue_consumer_release(); what we write from now on comes after its reads.
     * Read once: the page may hold something else a moment later. */
    uint64_t head = atomic_load_explicit(&q->channel.cursor->head, memory_order_acquire);

    if (head == q->head)
        return 0;
    if (head < q->head || head > q->published || head % RECORD_ALIGN != 0) /* Q3 */
        return -EPROTO;
    if (head != q->tail && !is_start(q, head))
        return -EPROTO;
    q->head = head;
    /* release [O9]: before a byte is written over what this frees */
    atomic_store_explicit(&q->ring->released, head, memory_order_release);
    return 0;
}

int queue_producer_renew_cursor(struct queue_producer *q)
{
    struct channel fresh;
    int r;

    r = channel_open(&fresh, q->head);
    if (r < 0)
        return r;
    channel_close(&q->channel);
    q->channel = fresh;
    return 0;
}

size_t queue_producer_data_bytes(const struct queue_producer *q)
{
    return (size_t)q->data_bytes;
}

size_t queue_producer_used_bytes(const struct queue_producer *q)
{
    return (size_t)(q->tail - q->head);
}

uint64_t queue_producer_head(const struct queue_producer *q)
{
    return q->head;
}

uint64_t queue_producer_tail(const struct queue_producer *q)
{
    return q->tail;
}

void queue_producer_load_books(const struct queue_producer *q, struct queue_books *ret)
{
    const struct queue_books_shared *shared = &q->ring->books;

    /* relaxed [O4]: our own */
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        ret->published[i] = atomic_load_explicit(&shared->published[i], memory_order_relaxed);
        ret->refused_ring[i] = atomic_load_explicit(&shared->refused_ring[i], memory_order_relaxed);
        ret->refused_queue[i] = atomic_load_explicit(&shared->refused_queue[i], memory_order_relaxed);
    }
    ret->made = atomic_load_explicit(&shared->made, memory_order_relaxed);
}

void queue_producer_store_books(struct queue_producer *q, const struct queue_books *books)
{
    struct queue_books_shared *shared = &q->ring->books;

    /* relaxed [O4]: each number is exact by itself, they order nothing */
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        atomic_store_explicit(&shared->published[i], books->published[i], memory_order_relaxed);
        atomic_store_explicit(&shared->refused_ring[i], books->refused_ring[i], memory_order_relaxed);
        atomic_store_explicit(&shared->refused_queue[i], books->refused_queue[i], memory_order_relaxed);
    }
    atomic_store_explicit(&shared->made, books->made, memory_order_relaxed);
}
