/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/checkpoint.h"
#include "collector/probe.h"
#include "common/clock.h"

struct intake_loss {
    uint64_t first_seq, last_seq;
    uint64_t count[RECORD_TYPE_SLOTS];
    uint32_t next; /* index + 1 */
    bool waits;
};

#define PLACES 2 /* RECORD_LOST_BPF_RING, RECORD_LOST_QUEUE */

int intake_init(struct intake *intake, struct queue_producer *queue, uint64_t *seq)
{
    *intake = (struct intake){.queue = queue, .seq = seq};
    intake->losses = calloc((size_t)(INTAKE_CPU_MAX + 1) * PLACES, sizeof(*intake->losses));
    return intake->losses ? 0 : -ENOMEM;
}

void intake_deinit(struct intake *intake)
{
    free(intake->losses);
    *intake = (struct intake){0};
}

static void refresh(struct intake *intake)
{
    if (intake->follow && !intake->consumer_broken && queue_producer_refresh(intake->queue) < 0)
        intake->consumer_broken = true;
}

/* ---- the checkpoint's rows: the collector's own first, then the CPUs ---- */

static uint32_t place_index(uint32_t checkpoint_row, uint32_t place)
{
    return (checkpoint_row == 0 ? INTAKE_CPU_MAX : checkpoint_row - 1) * PLACES + place;
}

static void touch(struct intake *intake, uint32_t index)
{
    uint32_t row = index / PLACES;

    if (intake->checkpoint)
        checkpoint_touch(intake->checkpoint, row == INTAKE_CPU_MAX ? 0 : row + 1);
}

static void fill_row(void *arg, unsigned row, struct checkpoint_row *ret)
{
    const struct intake *intake = arg;
    const struct loss_seen *seen = row && intake->source ? probe_seen(intake->source, row - 1) : NULL;

    *ret = (struct checkpoint_row){0};
    if (seen)
        ret->seen = *seen;
    for (uint32_t place = 0; place < PLACES; place++) {
        const struct intake_loss *loss = &intake->losses[place_index(row, place)];

        if (!loss->waits)
            continue;
        ret->waiting[place] =
            (struct checkpoint_loss){.first_seq = loss->first_seq, .last_seq = loss->last_seq};
        memcpy(ret->waiting[place].count, loss->count, sizeof(loss->count));
    }
}

static void publish(struct intake *intake)
{
    bool kept = false;

    if (intake->checkpoint) {
        const struct checkpoint_totals totals = {.tail = queue_producer_tail(intake->queue),
            .ring_position = intake->source ? probe_position(intake->source) : 0,
            .books = intake->books};

        kept = checkpoint_prepare(intake->checkpoint, &totals, fill_row, intake);
    }
    queue_producer_publish(intake->queue);
    if (kept)
        checkpoint_commit(intake->checkpoint);
    if (intake->source)
        probe_release(intake->source);
    intake->batch = 0;
}

/* What waits of one CPU and place, in the list from now on. */
static struct intake_loss *open_loss(struct intake *intake, uint16_t cpu, enum record_lost_where where)
{
    uint32_t row = cpu == RECORD_CPU_COLLECTOR ? INTAKE_CPU_MAX : cpu;
    uint32_t index = row * PLACES + ((uint32_t)where - RECORD_LOST_BPF_RING);
    struct intake_loss *loss = &intake->losses[index];

    if (!loss->waits) {
        *loss = (struct intake_loss){.first_seq = UINT64_MAX, .next = intake->first_loss, .waits = true};
        intake->first_loss = index + 1;
    }
    touch(intake, index);
    return loss;
}

static void widen(struct intake_loss *loss, uint64_t first_seq, uint64_t last_seq)
{
    if (first_seq < loss->first_seq)
        loss->first_seq = first_seq;
    if (last_seq > loss->last_seq)
        loss->last_seq = last_seq;
}

static bool tells_of_hooks_only(const struct intake_loss *loss)
{
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        if (i != RECORD_HOOK && loss->count[i] > 0)
            return false;
    }
    return true;
}

static bool put_lost_record(struct intake *intake, uint32_t index)
{
    const struct intake_loss *loss = &intake->losses[index];
    enum queue_class class = tells_of_hooks_only(loss) ? QUEUE_CLASS_HOOK : QUEUE_CLASS_LIFE; /* I3 */
    struct record_lost *lost = queue_producer_reserve(intake->queue, sizeof(*lost), class);

    if (!lost)
        return false;
    *lost = (struct record_lost){
        .header = {.size = sizeof(*lost),
            .type = RECORD_LOST,
            .version = RECORD_VERSION,
            .cpu = index / PLACES == INTAKE_CPU_MAX ? RECORD_CPU_COLLECTOR : (uint16_t)(index / PLACES),
            .seq = (*intake->seq)++,
            .time_ns = clock_boot_ns()},
        .first_seq = loss->first_seq,
        .last_seq = loss->last_seq,
        .where = RECORD_LOST_BPF_RING + index % PLACES,
    };
    memcpy(lost->count, loss->count, sizeof(lost->count));
    queue_producer_commit(intake->queue);
    intake->books.published[RECORD_LOST]++;
    intake->books_changed = true;
    return true;
}

static void put_waiting_losses(struct intake *intake)
{
    uint32_t *link = &intake->first_loss;

    while (*link) {
        struct intake_loss *loss = &intake->losses[*link - 1];

        if (put_lost_record(intake, *link - 1)) {
            loss->waits = false;
            touch(intake, *link - 1);
            *link = loss->next;
        } else {
            link = &loss->next;
        }
    }
}

static void take_row(struct intake *intake, unsigned row, const struct checkpoint_row *from)
{
    struct loss_seen *seen = row && intake->source ? probe_seen(intake->source, row - 1) : NULL;

    if (seen)
        *seen = from->seen;
    for (uint32_t place = 0; place < PLACES; place++) {
        const struct checkpoint_loss *left = &from->waiting[place];
        struct intake_loss *loss;

        if (left->first_seq == 0 && left->last_seq == 0)
            continue;
        loss = open_loss(intake, row ? (uint16_t)(row - 1) : RECORD_CPU_COLLECTOR,
            (enum record_lost_where)(RECORD_LOST_BPF_RING + place));
        widen(loss, left->first_seq, left->last_seq);
        for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
            loss->count[i] += left->count[i];
            intake->refused_count += left->count[i];
        }
    }
}

void intake_keep(struct intake *intake, struct checkpoint *checkpoint, struct probe *source)
{
    struct checkpoint_totals totals;
    struct checkpoint_row row;

    intake->checkpoint = checkpoint;
    intake->source = source;
    checkpoint_get_totals(checkpoint, &totals);
    intake->books = totals.books;
    intake->books_changed = true;
    for (unsigned i = 0; i < checkpoint_row_count(checkpoint) && i <= INTAKE_CPU_MAX; i++) {
        if (checkpoint_get_row(checkpoint, i, &row))
            take_row(intake, i, &row);
    }
}

void intake_give_up(struct intake *intake, const uint64_t count[16])
{
    struct intake_loss *loss = NULL;

    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        if (count[i] == 0)
            continue;
        if (!loss)
            loss = open_loss(intake, RECORD_CPU_COLLECTOR, RECORD_LOST_QUEUE);
        widen(loss, *intake->seq, *intake->seq);
        loss->count[i] += count[i];
        intake->books.refused_queue[i] += count[i];
        intake->refused_count += count[i];
        intake->books_changed = true;
    }
}

void intake_begin(struct intake *intake)
{
    refresh(intake);
    put_waiting_losses(intake);
}

static void refuse(struct intake *intake, const struct record_header *record)
{
    struct intake_loss *loss = open_loss(intake, record->cpu, RECORD_LOST_QUEUE);

    widen(loss, record->seq, record->seq);
    loss->count[record->type]++;
    intake->books.refused_queue[record->type]++;
    intake->refused_count++;
}

int intake_put(const struct record_header *record, size_t size, void *arg)
{
    struct intake *intake = arg;
    void *room;

    intake->books_changed = true;
    if (size < sizeof(*record) || record->size < sizeof(*record) || record->size > size ||
        record->size > RECORD_SIZE_MAX || record->size % RECORD_ALIGN != 0 || record->type == RECORD_PAD ||
        record->type >= RECORD_TYPE_COUNT ||
        (record->cpu >= INTAKE_CPU_MAX && record->cpu != RECORD_CPU_COLLECTOR)) {
        intake->malformed_count++;
        return 0;
    }
    if (intake->tee)
        intake->tee(record, intake->tee_arg);
    room = queue_producer_reserve(
        intake->queue, record->size, record->type == RECORD_HOOK ? QUEUE_CLASS_HOOK : QUEUE_CLASS_LIFE);
    if (room) {
        memcpy(room, record, record->size);
        queue_producer_commit(intake->queue);
        intake->books.published[record->type]++;
    } else {
        refuse(intake, record);
    }
    if (++intake->batch >= INTAKE_BATCH) {
        publish(intake);
        refresh(intake); /* I4 */
    }
    return 0;
}

void intake_put_loss(const struct record_lost *lost, void *arg)
{
    struct intake *intake = arg;
    struct intake_loss *loss;

    intake->books_changed = true;
    if (lost->header.cpu >= INTAKE_CPU_MAX) {
        intake->malformed_count++;
        return;
    }
    if (intake->tee)
        intake->tee(&lost->header, intake->tee_arg);
    loss = open_loss(intake, lost->header.cpu, RECORD_LOST_BPF_RING);
    widen(loss, lost->first_seq, lost->last_seq);
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        loss->count[i] += lost->count[i];
        intake->books.refused_ring[i] += lost->count[i];
        intake->refused_count += lost->count[i];
    }
}

void intake_set_made(struct intake *intake, uint64_t count)
{
    intake->books_changed |= intake->books.made != count;
    intake->books.made = count;
}

void intake_end(struct intake *intake)
{
    put_waiting_losses(intake);
    publish(intake);
    if (intake->books_changed)
        queue_producer_store_books(intake->queue, &intake->books);
    intake->books_changed = false;
}

void intake_follow(struct intake *intake, bool follow)
{
    intake->follow = follow;
    intake->consumer_broken = false;
}
