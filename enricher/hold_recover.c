/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what a predecessor left in the memfd. Every byte may be anything, and may even change while it is
 * read (H5). */
#include "enricher/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/record.h"
#include "enricher/hold_chunk.h"

#define SEQUENCE_SANE (UINT64_MAX >> 2) /* no store counts so far; a greater one must not make ours wrap */

struct found {
    uint64_t sequence;
    uint32_t chunk, offset;
};

struct found_list {
    struct found *items;
    size_t count, capacity;
};

static void free_found(struct found_list *list)
{
    free(list->items);
}

static int found_add(struct found_list *list, struct found found)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 1024;
        struct found *items = reallocarray(list->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = found;
    return 0;
}

static uint32_t load_u32(const uint32_t *value)
{
    return *(const volatile uint32_t *)value; /* once */
}

/* Size of the whole entry at `offset`, 0 when there is none that ends at or before `used`. */
static uint32_t entry_size_at(const struct hold *hold, uint32_t chunk, uint32_t offset, uint32_t used)
{
    const uint32_t fixed = sizeof(struct hold_entry);
    const struct hold_entry *entry;
    uint32_t size;

    if (used - offset < fixed + sizeof(struct record_header))
        return 0;
    entry = hold_chunk_data(hold, chunk, offset);
    size = load_u32(&hold_entry_record(entry)->size);
    if (size < sizeof(struct record_header) || size > RECORD_SIZE_MAX || size % RECORD_ALIGN != 0 ||
        size > used - offset - fixed)
        return 0;
    return fixed + size;
}

static int scan_chunk(const struct hold *hold, uint32_t chunk, struct found_list *list)
{
    const struct hold_chunk_header *header = hold_chunk_header(hold, chunk);
    uint32_t used = load_u32(&header->used), offset = load_u32(&header->consumed), size;

    if (header->magic != HOLD_CHUNK_MAGIC || used > HOLD_CHUNK_BYTES || offset < sizeof(*header) ||
        offset > used || offset % RECORD_ALIGN != 0)
        return 0;
    for (; (size = entry_size_at(hold, chunk, offset, used)) > 0; offset += size) {
        const struct hold_entry *entry = hold_chunk_data(hold, chunk, offset);
        int r = found_add(list, (struct found){entry->sequence, chunk, offset});

        if (r < 0)
            return r;
    }
    return 0;
}

/* Visits the chunks that have pages; to look into a hole would fill it. The others are free at once, `left`
 * is what tells them apart. */
static int scan(struct hold *hold, struct found_list *list)
{
    uint32_t chunk = 1;

    while (chunk <= hold->inherited_count) {
        off_t data =
            lseek(hold->fd, (off_t)(hold->file_offset + (uint64_t)(chunk - 1) * HOLD_CHUNK_BYTES), SEEK_DATA);
        uint64_t index;
        uint32_t at;
        int r;

        if (data < 0)
            return errno == ENXIO ? 0 : -errno; /* ENXIO: nothing but a hole up to the end */
        index = ((uint64_t)data - hold->file_offset) / HOLD_CHUNK_BYTES;
        if (index >= hold->inherited_count)
            return 0;
        at = (uint32_t)index + 1;
        hold_chunk_at(hold, at)->left = true;
        r = scan_chunk(hold, at, list);
        if (r < 0)
            return r;
        chunk = at + 1;
    }
    return 0;
}

static int by_sequence(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    if (x->chunk != y->chunk)
        return x->chunk < y->chunk ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Private copies, so that what was checked is what is used. False: it has changed since. */
static bool copy_entry(const struct hold *hold, struct found found, struct hold_entry *copy)
{
    uint32_t size = entry_size_at(hold, found.chunk, found.offset, HOLD_CHUNK_BYTES);

    if (size == 0)
        return false;
    memcpy(copy, hold_chunk_data(hold, found.chunk, found.offset), size);
    copy->subject = NULL;
    copy->context = NULL;
    return hold_entry_record(copy)->size == size - sizeof(*copy);
}

/* All inherited chunks become this store's: those without pages at once, the others as if they had just been
 * popped from. */
static void release_inherited(struct hold *hold)
{
    hold->pops++;
    for (uint32_t chunk = hold->inherited_count; chunk > 0; chunk--) {
        if (hold_chunk_at(hold, chunk)->left) {
            hold_chunk_popped(hold, chunk);
        } else {
            hold_chunk_at(hold, chunk)->next = hold->free_cold;
            hold->free_cold = chunk;
        }
    }
}

/* What is held from now on comes after all that is there. */
static void continue_sequence(struct hold *hold, const struct found_list *list)
{
    for (size_t i = list->count; i-- > 0;) {
        if (list->items[i].sequence > SEQUENCE_SANE)
            continue;
        if (hold->sequence < list->items[i].sequence)
            hold->sequence = list->items[i].sequence;
        return;
    }
}

/* What one store was left, in the order of its sequence, each entry once. */
static int find(struct hold *hold, struct found_list *list)
{
    size_t kept = 0;
    int r = scan(hold, list);

    if (r < 0)
        return r;
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), by_sequence);
    continue_sequence(hold, list);
    for (size_t i = 0; i < list->count; i++) {
        if (i == 0 || list->items[i].sequence != list->items[i - 1].sequence) /* H4 */
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    return 0;
}

int64_t hold_recover(struct hold *hold, hold_recover_fn *fn, void *arg)
{
    CLEANUP(free_found) struct found_list list = {0};
    CLEANUP_FREE struct hold_entry *copy = malloc(sizeof(*copy) + RECORD_SIZE_MAX);
    int64_t given = 0;
    int r;

    if (!copy)
        return -ENOMEM;
    if (hold->recovered)
        return 0;
    r = find(hold, &list);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count; i++) {
        if (copy_entry(hold, list.items[i], copy)) {
            fn(arg, copy);
            given++;
        }
    }
    hold->recovered = true;
    release_inherited(hold);
    return given;
}

/* ---- several stores ------------------------------------------------------------------------------------------- */

struct inherited {
    struct found found;
    uint32_t hold;
};

struct hold_heritage {
    struct hold **holds;
    uint32_t hold_count;
    struct inherited *items;
    size_t count;
};

/* NOLINTNEXTLINE(misc-redundant-expression): that the header's number is the record's is what is asserted */
_Static_assert(HOLD_ENTRY_BYTES_MAX == sizeof(struct hold_entry) + RECORD_SIZE_MAX, "room for any");

static uint64_t time_of(const struct hold *hold, const struct found *found)
{
    const struct hold_entry *entry = hold_chunk_data(hold, found->chunk, found->offset);

    return *(const volatile uint64_t *)&hold_entry_record(entry)->time_ns;
}

/* The store whose next entry is the oldest record. */
static uint32_t pick(const struct hold_heritage *heritage, const struct found_list *lists, const size_t *next)
{
    uint32_t best = heritage->hold_count;
    uint64_t best_ns = 0;

    for (uint32_t i = 0; i < heritage->hold_count; i++) {
        uint64_t time_ns;

        if (next[i] == lists[i].count)
            continue;
        time_ns = time_of(heritage->holds[i], &lists[i].items[next[i]]);
        if (best == heritage->hold_count || time_ns < best_ns) {
            best = i;
            best_ns = time_ns;
        }
    }
    return best;
}

static int merge(struct hold_heritage *heritage, struct found_list *lists)
{
    CLEANUP_FREE size_t *next = calloc(heritage->hold_count, sizeof(*next));
    size_t count = 0;

    for (uint32_t i = 0; i < heritage->hold_count; i++)
        count += lists[i].count;
    heritage->items = calloc(count + 1, sizeof(*heritage->items));
    if (!heritage->items || !next)
        return -ENOMEM;
    for (; heritage->count < count; heritage->count++) {
        uint32_t from = pick(heritage, lists, next);

        heritage->items[heritage->count] =
            (struct inherited){.found = lists[from].items[next[from]++], .hold = from};
    }
    return 0;
}

int hold_heritage_new(struct hold_heritage **ret, struct hold *const *holds, uint32_t count)
{
    struct hold_heritage *heritage = calloc(1, sizeof(*heritage));
    struct found_list *lists = calloc(count, sizeof(*lists));
    int r = heritage && lists ? 0 : -ENOMEM;

    if (r == 0) {
        heritage->holds = calloc(count, sizeof(struct hold *));
        r = heritage->holds ? 0 : -ENOMEM;
    }
    if (r == 0) {
        memcpy(heritage->holds, holds, count * sizeof(struct hold *));
        heritage->hold_count = count;
    }
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = find(holds[i], &lists[i]);
    if (r == 0)
        r = merge(heritage, lists);
    for (uint32_t i = 0; i < count && lists; i++)
        free_found(&lists[i]);
    free(lists);
    if (r < 0) {
        (void)hold_heritage_free(heritage);
        return r;
    }
    *ret = heritage;
    return 0;
}

size_t hold_heritage_count(const struct hold_heritage *heritage)
{
    return heritage->count;
}

bool hold_heritage_get(
    const struct hold_heritage *heritage, size_t index, struct hold_entry *copy, uint32_t *ret_hold)
{
    const struct inherited *item = &heritage->items[index];

    *ret_hold = item->hold;
    return copy_entry(heritage->holds[item->hold], item->found, copy);
}

void hold_heritage_settle(struct hold_heritage *heritage)
{
    for (uint32_t i = 0; i < heritage->hold_count; i++) {
        heritage->holds[i]->recovered = true;
        release_inherited(heritage->holds[i]);
    }
}

struct hold_heritage *hold_heritage_free(struct hold_heritage *heritage)
{
    if (!heritage)
        return NULL;
    free(heritage->holds);
    free(heritage->items);
    free(heritage);
    return NULL;
}
