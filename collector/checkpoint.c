/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

#define CHECKPOINT_MAGIC   UINT64_C(0x31544e504b444f50) /* "PODKPNT1" in memory */
#define CHECKPOINT_VERSION 1
#define ROWS_OFFSET        4096
#define SEALS              (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct slot {
    _Atomic uint64_t stamp; /* of the publish; 0: does not count */
    struct checkpoint_totals totals;
};

struct version {
    _Atomic uint64_t stamp;
    struct checkpoint_row row;
};

struct page {
    uint64_t magic;
    uint32_t version, row_count;
    struct checkpoint_identity identity;
    uint64_t epoch_ns;
    _Atomic uint32_t generation, next_hook;
    _Atomic uint64_t committed;
    struct slot slots[2]; /* by the publish's number modulo 2 */
};
_Static_assert(sizeof(struct page) <= ROWS_OFFSET, "a page");

struct checkpoint {
    int fd;
    struct page *page;
    struct version (*rows)[2];
    unsigned row_count;
    uint64_t pending;  /* the publish that was prepared; 0: none */
    uint8_t *is_dirty; /* by row */
    uint32_t *dirty;
    unsigned dirty_count;
};

static size_t file_bytes(unsigned row_count)
{
    return ROWS_OFFSET + (size_t)row_count * sizeof(struct version[2]);
}

static int map(struct checkpoint *checkpoint, unsigned row_count)
{
    void *base = NULL;
    int r = fd_map_shared(checkpoint->fd, file_bytes(row_count), PROT_READ | PROT_WRITE, &base);

    if (r < 0)
        return r;
    assert(base && row_count > 0);
    checkpoint->page = base;
    checkpoint->rows = (void *)((uint8_t *)base + ROWS_OFFSET);
    checkpoint->row_count = row_count;
    checkpoint->is_dirty = calloc(row_count, sizeof(*checkpoint->is_dirty));
    checkpoint->dirty = calloc(row_count, sizeof(*checkpoint->dirty));
    return checkpoint->is_dirty && checkpoint->dirty ? 0 : -ENOMEM;
}

int checkpoint_new(struct checkpoint **ret, const struct checkpoint_identity *identity, uint64_t epoch_ns,
    unsigned row_count)
{
    struct checkpoint *checkpoint;
    int r;

    if (row_count == 0 || row_count > CHECKPOINT_ROWS_MAX)
        return -EINVAL;
    checkpoint = calloc(1, sizeof(*checkpoint));
    if (!checkpoint)
        return -ENOMEM;
    checkpoint->fd = fd_memfd_new("podkin-checkpoint", file_bytes(row_count));
    r = checkpoint->fd < 0 ? checkpoint->fd : fd_seal(checkpoint->fd, SEALS);
    if (r == 0)
        r = map(checkpoint, row_count);
    if (r < 0) {
        checkpoint_close(checkpoint);
        return r;
    }
    assert(checkpoint->page);
    checkpoint->page->magic = CHECKPOINT_MAGIC;
    checkpoint->page->version = CHECKPOINT_VERSION;
    checkpoint->page->row_count = row_count;
    checkpoint->page->identity = *identity;
    checkpoint->page->epoch_ns = epoch_ns;
    atomic_store_explicit(&checkpoint->page->next_hook, 1, memory_order_relaxed);
    *ret = checkpoint;
    return 0;
}

/* The head of the file, before it is mapped: the size is sealed, so that a mapping cannot fault. */
static int check_form(int fd, unsigned *ret_row_count)
{
    struct page page;
    struct stat status;

    if (fd_check_seals(fd, SEALS) < 0 || pread(fd, &page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
        page.magic != CHECKPOINT_MAGIC)
        return -EINVAL;
    if (page.version != CHECKPOINT_VERSION)
        return -EPROTONOSUPPORT;
    if (page.row_count == 0 || page.row_count > CHECKPOINT_ROWS_MAX)
        return -EINVAL;
    if (fstat(fd, &status) < 0)
        return -errno;
    if ((uint64_t)status.st_size != file_bytes(page.row_count))
        return -EINVAL;
    *ret_row_count = page.row_count;
    return 0;
}

int checkpoint_open(struct checkpoint **ret, int fd)
{
    struct checkpoint *checkpoint;
    unsigned row_count = 0;
    int r = check_form(fd, &row_count);

    if (r < 0)
        return r;
    checkpoint = calloc(1, sizeof(*checkpoint));
    if (!checkpoint)
        return -ENOMEM;
    checkpoint->fd = fd_duplicate(fd);
    r = checkpoint->fd < 0 ? checkpoint->fd : map(checkpoint, row_count);
    if (r < 0) {
        checkpoint_close(checkpoint);
        return r;
    }
    *ret = checkpoint;
    return 0;
}

struct checkpoint *checkpoint_close(struct checkpoint *checkpoint)
{
    if (!checkpoint)
        return NULL;
    if (checkpoint->page)
        (void)munmap(checkpoint->page, file_bytes(checkpoint->row_count));
    fd_close(&checkpoint->fd);
    free(checkpoint->is_dirty);
    free(checkpoint->dirty);
    free(checkpoint);
    return NULL;
}

int checkpoint_fd(const struct checkpoint *checkpoint)
{
    return checkpoint->fd;
}

void checkpoint_get_identity(const struct checkpoint *checkpoint, struct checkpoint_identity *ret)
{
    *ret = checkpoint->page->identity;
}

uint64_t checkpoint_epoch_ns(const struct checkpoint *checkpoint)
{
    return checkpoint->page->epoch_ns;
}

unsigned checkpoint_row_count(const struct checkpoint *checkpoint)
{
    return checkpoint->row_count;
}

/* All orders are relaxed but where a store must come before another as a kill sees it: those are releases. One thread writes, and who reads comes when it is dead. */
static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_release);
}

static struct slot *slot_of(const struct checkpoint *checkpoint, uint64_t number)
{
    return &checkpoint->page->slots[number % 2];
}

/* What was prepared and never came about must not look like a later publish of the same number. */
void checkpoint_settle(struct checkpoint *checkpoint, uint64_t queue_tail)
{
    uint64_t committed = load(&checkpoint->page->committed);
    const struct slot *last = slot_of(checkpoint, committed), *next = slot_of(checkpoint, committed + 1);

    if (load(&next->stamp) == committed + 1 && next->totals.tail == queue_tail &&
        (load(&last->stamp) != committed || last->totals.tail != queue_tail))
        store(&checkpoint->page->committed, ++committed);
    for (unsigned i = 0; i < 2; i++) {
        if (load(&checkpoint->page->slots[i].stamp) > committed)
            store(&checkpoint->page->slots[i].stamp, 0);
    }
    for (unsigned row = 0; row < checkpoint->row_count; row++) {
        for (unsigned i = 0; i < 2; i++) {
            if (load(&checkpoint->rows[row][i].stamp) > committed)
                store(&checkpoint->rows[row][i].stamp, 0);
        }
    }
}

void checkpoint_get_totals(const struct checkpoint *checkpoint, struct checkpoint_totals *ret)
{
    uint64_t committed = load(&checkpoint->page->committed);
    const struct slot *slot = slot_of(checkpoint, committed);

    *ret = committed && load(&slot->stamp) == committed ? slot->totals : (struct checkpoint_totals){0};
}

/* The version of the row that counts, 0 or 1; -1: none. */
static int current_version(const struct checkpoint *checkpoint, unsigned row)
{
    uint64_t a = load(&checkpoint->rows[row][0].stamp), b = load(&checkpoint->rows[row][1].stamp);

    if (!a && !b)
        return -1;
    return b > a;
}

bool checkpoint_get_row(const struct checkpoint *checkpoint, unsigned row, struct checkpoint_row *ret)
{
    int version = row < checkpoint->row_count ? current_version(checkpoint, row) : -1;

    if (version < 0)
        return false;
    *ret = checkpoint->rows[row][version].row;
    return true;
}

void checkpoint_touch(struct checkpoint *checkpoint, unsigned row)
{
    if (row >= checkpoint->row_count || checkpoint->is_dirty[row])
        return;
    checkpoint->is_dirty[row] = 1;
    checkpoint->dirty[checkpoint->dirty_count++] = row;
}

static void write_row(
    struct checkpoint *checkpoint, uint64_t number, unsigned row, checkpoint_fill_fn *fill, void *arg)
{
    struct version *version = &checkpoint->rows[row][current_version(checkpoint, row) == 0];

    store(&version->stamp, 0);
    fill(arg, row, &version->row);
    store(&version->stamp, number);
}

bool checkpoint_prepare(struct checkpoint *checkpoint, const struct checkpoint_totals *totals,
    checkpoint_fill_fn *fill, void *arg)
{
    uint64_t committed = load(&checkpoint->page->committed), number = committed + 1;
    const struct slot *last = slot_of(checkpoint, committed);
    struct slot *slot = slot_of(checkpoint, number);

    assert(!checkpoint->pending);
    if (checkpoint->dirty_count == 0 && committed && last->totals.tail == totals->tail &&
        last->totals.ring_position == totals->ring_position)
        return false;
    store(&slot->stamp, 0);
    for (unsigned i = 0; i < checkpoint->dirty_count; i++) {
        write_row(checkpoint, number, checkpoint->dirty[i], fill, arg);
        checkpoint->is_dirty[checkpoint->dirty[i]] = 0;
    }
    checkpoint->dirty_count = 0;
    slot->totals = *totals;
    store(&slot->stamp, number);
    checkpoint->pending = number;
    return true;
}

void checkpoint_commit(struct checkpoint *checkpoint)
{
    if (checkpoint->pending)
        store(&checkpoint->page->committed, checkpoint->pending);
    checkpoint->pending = 0;
}

uint32_t checkpoint_next_generation(struct checkpoint *checkpoint)
{
    return atomic_fetch_add_explicit(&checkpoint->page->generation, 1, memory_order_relaxed) + 1;
}

uint32_t checkpoint_next_hook(struct checkpoint *checkpoint)
{
    return atomic_fetch_add_explicit(&checkpoint->page->next_hook, 1, memory_order_relaxed);
}

void checkpoint_begin_hooks_at(struct checkpoint *checkpoint, uint32_t id)
{
    atomic_store_explicit(&checkpoint->page->next_hook, id, memory_order_relaxed);
}
