/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ledger_init(struct ledger *ledger)
{
    *ledger = (struct ledger){.rows = calloc(LEDGER_CPU_MAX, sizeof(*ledger->rows))};
    return ledger->rows ? 0 : -ENOMEM; /* pages of CPUs that are never heard of are never touched */
}

void ledger_deinit(struct ledger *ledger)
{
    free(ledger->rows);
    *ledger = (struct ledger){0};
}

void ledger_begin(struct ledger *ledger, uint64_t epoch_ns, bool whole)
{
    if (ledger->epoch_ns == epoch_ns)
        return;
    for (uint32_t cpu = 0; cpu < ledger->row_count; cpu++) {
        ledger->sums.unexplained_before += ledger->rows[cpu].unexplained;
        ledger->rows[cpu] = (struct ledger_row){0};
    }
    ledger->row_count = 0;
    ledger->epoch_ns = epoch_ns;
    ledger->position = ledger->window_ns = 0;
    ledger->whole = whole;
}

/* ---- holes ------------------------------------------------------------------------------------------------------------ */

static struct ledger_hole *hole_at(struct ledger_row *row, uint32_t index)
{
    return &row->holes[(row->hole_first + index) % LEDGER_HOLES];
}

static void merge_oldest(struct ledger_row *row)
{
    struct ledger_hole *oldest = hole_at(row, 0), *next = hole_at(row, 1);

    next->first = oldest->first;
    next->missing += oldest->missing;
    row->hole_first = (row->hole_first + 1) % LEDGER_HOLES;
    row->hole_count--;
}

static void add_hole(struct ledger_row *row, uint64_t first, uint64_t last)
{
    if (row->hole_count == LEDGER_HOLES)
        merge_oldest(row);
    *hole_at(row, row->hole_count++) = (struct ledger_hole){first, last, last - first + 1};
}

static void remove_hole(struct ledger_row *row, uint32_t index)
{
    for (; index + 1 < row->hole_count; index++)
        *hole_at(row, index) = *hole_at(row, index + 1);
    row->hole_count--;
}

/* The number has come after all: what is left of the hole, which may be two. */
static void fill_hole(struct ledger_row *row, uint32_t index, uint64_t seq)
{
    struct ledger_hole *hole = hole_at(row, index);

    hole->missing--;
    if (hole->missing == 0) {
        remove_hole(row, index);
    } else if (seq == hole->first) {
        hole->first++;
    } else if (seq == hole->last) {
        hole->last--;
    } else if (hole->missing == hole->last - hole->first &&
               row->hole_count < LEDGER_HOLES) { /* it was all gap */
        struct ledger_hole upper = {seq + 1, hole->last, hole->last - seq};

        hole->last = seq - 1;
        hole->missing = seq - hole->first;
        row->hole_count++;
        for (uint32_t i = row->hole_count - 1; i > index + 1; i--)
            *hole_at(row, i) = *hole_at(row, i - 1);
        *hole_at(row, index + 1) = upper;
    } /* else it stays one that is not solid */
}

/* ---- accounts --------------------------------------------------------------------------------------------------------- */

/* Negative: more was told than is missing. */
static int64_t open_of(const struct ledger_row *row)
{
    return (int64_t)(row->missing - row->told - row->unexplained);
}

/* After missing or told has changed. */
static void settle(struct ledger *ledger, struct ledger_row *row)
{
    int64_t open = open_of(row);

    if (open < 0 && row->unexplained > 0) {
        uint64_t back = (uint64_t)-open < row->unexplained ? (uint64_t)-open : row->unexplained;

        row->unexplained -= back;
        row->reported -= back < row->reported ? back : row->reported;
        ledger->sums.explained_late += back;
        open += (int64_t)back;
    }
    if (open == 0)
        row->hole_count = 0; /* B3 */
    if (open <= 0)
        row->least_open = 0;
    else if ((uint64_t)open < row->least_open)
        row->least_open = (uint64_t)open;
}

/* Numbers up to `seq`, without it, have been used. */
static void pass_over(struct ledger *ledger, struct ledger_row *row, uint64_t seq)
{
    if (seq <= row->next)
        return;
    add_hole(row, row->next, seq - 1);
    row->missing += seq - row->next;
    row->next = seq;
    settle(ledger, row);
}

static void come_late(struct ledger *ledger, struct ledger_row *row, uint64_t seq)
{
    uint32_t i = row->hole_count;

    while (i > 0 && hole_at(row, i - 1)->first > seq)
        i--;
    if (i > 0 && seq <= hole_at(row, i - 1)->last) {
        fill_hole(row, i - 1, seq);
    } else if (row->unexplained == 0 || seq < row->gone_first || seq > row->gone_last) {
        ledger->sums.duplicate++;
        return;
    }
    ledger->sums.late++;
    row->missing--;
    settle(ledger, row);
}

static struct ledger_row *row_of(struct ledger *ledger, uint16_t cpu, uint64_t first_seq)
{
    struct ledger_row *row = &ledger->rows[cpu];

    if (cpu >= ledger->row_count)
        ledger->row_count = cpu + 1u;
    if (row->next == 0) {
        row->base = ledger->whole && ledger->epoch_ns <= first_seq ? ledger->epoch_ns : first_seq;
        row->next = row->base;
    }
    return row;
}

static void account_lost(struct ledger *ledger, const struct record_lost *lost)
{
    struct ledger_row *row = row_of(ledger, lost->header.cpu, lost->first_seq);
    uint64_t count = 0;

    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++)
        count += lost->count[i];
    if (!ledger->whole && (lost->first_seq < row->base || row->next == row->base)) {
        /* Part of it is of before our time, nobody knows how much: this CPU begins behind it. */
        if (lost->last_seq >= row->base) {
            uint64_t next = lost->last_seq >= row->next ? lost->last_seq + 1 : row->next;

            *row = (struct ledger_row){.base = next, .next = next};
        }
        return;
    }
    row->told += count; /* first, or settle() would see a gap that is none */
    if (lost->last_seq >= row->next)
        pass_over(ledger, row, lost->last_seq + 1);
    settle(ledger, row);
}

void ledger_account(struct ledger *ledger, const struct record_header *record)
{
    struct ledger_row *row;

    if (record->cpu >= LEDGER_CPU_MAX)
        return;
    if (record->type == RECORD_LOST) {
        account_lost(ledger, (const struct record_lost *)record);
        return;
    }
    row = row_of(ledger, record->cpu, record->seq);
    if (record->seq < row->base) {
        ledger->sums.duplicate += ledger->whole; /* else interrupted by the one that we began with */
        return;
    }
    if (record->seq < row->next) {
        come_late(ledger, row, record->seq);
        return;
    }
    pass_over(ledger, row, record->seq);
    row->next = record->seq + 1;
}

/* ---- looking ---------------------------------------------------------------------------------------------------------- */

static void widen(uint64_t *first, uint64_t *last, const struct ledger_hole *by, bool anew)
{
    if (anew || by->first < *first)
        *first = by->first;
    if (anew || by->last > *last)
        *last = by->last;
}

static void give_up(struct ledger_row *row, uint64_t count)
{
    struct ledger_hole span = {row->base, row->next - 1, count};

    if (row->hole_count) {
        span.first = hole_at(row, 0)->first;
        span.last = hole_at(row, row->hole_count - 1)->last;
    }
    widen(&row->gone_first, &row->gone_last, &span, row->unexplained == 0);
    widen(&row->news_first, &row->news_last, &span, row->unexplained == row->reported);
    row->unexplained += count;
}

static void report(struct ledger_row *row, uint32_t cpu, ledger_report_fn *fn, void *arg)
{
    if (row->unexplained > row->reported &&
        fn(arg, (uint16_t)cpu, row->news_first, row->news_last, row->unexplained - row->reported) == 0)
        row->reported = row->unexplained;
}

static void begin_window(struct ledger *ledger, uint64_t now_ns)
{
    for (uint32_t cpu = 0; cpu < ledger->row_count; cpu++) {
        int64_t open = open_of(&ledger->rows[cpu]);

        ledger->rows[cpu].least_open = open > 0 ? (uint64_t)open : 0;
    }
    ledger->window_ns = now_ns;
}

static void end_window(struct ledger *ledger, ledger_report_fn *fn, void *arg)
{
    for (uint32_t cpu = 0; cpu < ledger->row_count; cpu++) {
        struct ledger_row *row = &ledger->rows[cpu];

        if (row->least_open > 0) {
            give_up(row, row->least_open);
            row->least_open = 0;
            settle(ledger, row);
        }
        report(row, cpu, fn, arg);
    }
}

void ledger_look(struct ledger *ledger, uint64_t now_ns, ledger_report_fn *fn, void *arg)
{
    if (ledger->window_ns && now_ns - ledger->window_ns < LEDGER_WINDOW_NS)
        return;
    if (ledger->window_ns)
        end_window(ledger, fn, arg);
    begin_window(ledger, now_ns);
}

void ledger_close(struct ledger *ledger, ledger_report_fn *fn, void *arg)
{
    begin_window(ledger, 0);
    end_window(ledger, fn, arg);
}

void ledger_sum(const struct ledger *ledger, struct ledger_totals *ret)
{
    *ret = ledger->sums;
    for (uint32_t cpu = 0; cpu < ledger->row_count; cpu++) {
        const struct ledger_row *row = &ledger->rows[cpu];
        int64_t open = open_of(row);

        ret->cpus += row->next != 0;
        ret->used += row->next - row->base;
        ret->received += row->next - row->base - row->missing;
        ret->told_lost += row->told;
        ret->unexplained += row->unexplained;
        *(open > 0 ? &ret->open : &ret->untold) += open > 0 ? (uint64_t)open : (uint64_t)-open;
    }
}

/* ---- for a successor -------------------------------------------------------------------------------------------------- */

#define SAVED_MAGIC UINT64_C(0x313047444c646b70) /* "pkdLDG01" */

struct saved_row {
    uint64_t base, next, missing, told, unexplained, reported, first, last;
    uint32_t cpu, reserved;
};

struct saved {
    uint64_t magic, epoch_ns, position;
    uint64_t reread, late, duplicate, explained_late, unexplained_before;
    uint32_t row_count, whole;
    struct saved_row rows[];
};

static uint32_t count_rows(const struct ledger *ledger)
{
    uint32_t count = 0;

    for (uint32_t cpu = 0; cpu < ledger->row_count; cpu++)
        count += ledger->rows[cpu].next != 0;
    return count;
}

size_t ledger_save_bytes(const struct ledger *ledger)
{
    return sizeof(struct saved) + count_rows(ledger) * sizeof(struct saved_row);
}

/* Holes become the span that they lie in. */
static void save_row(struct ledger_row *row, uint32_t cpu, struct saved_row *to)
{
    *to = (struct saved_row){.cpu = cpu,
        .base = row->base,
        .next = row->next,
        .missing = row->missing,
        .told = row->told,
        .unexplained = row->unexplained,
        .reported = row->reported,
        .first = row->gone_first,
        .last = row->gone_last};
    if (row->hole_count) {
        uint64_t first = hole_at(row, 0)->first, last = hole_at(row, row->hole_count - 1)->last;

        to->first = row->unexplained && to->first < first ? to->first : first;
        to->last = row->unexplained && to->last > last ? to->last : last;
    }
}

size_t ledger_save(const struct ledger *ledger, void *to, size_t size)
{
    struct saved *saved = to;
    const struct ledger_totals *sums = &ledger->sums;
    uint32_t count = 0;

    if (size < ledger_save_bytes(ledger))
        return 0;
    *saved = (struct saved){.magic = SAVED_MAGIC,
        .epoch_ns = ledger->epoch_ns,
        .position = ledger->position,
        .reread = sums->reread,
        .late = sums->late,
        .duplicate = sums->duplicate,
        .explained_late = sums->explained_late,
        .unexplained_before = sums->unexplained_before,
        .whole = ledger->whole};
    for (uint32_t cpu = 0; cpu < ledger->row_count; cpu++) {
        if (ledger->rows[cpu].next)
            save_row(&ledger->rows[cpu], cpu, &saved->rows[count++]);
    }
    saved->row_count = count;
    return sizeof(*saved) + count * sizeof(struct saved_row);
}

static bool row_is_sane(const struct saved_row *row)
{
    uint64_t used = row->next - row->base;

    return row->cpu < LEDGER_CPU_MAX && row->next > 0 && row->next >= row->base && row->missing <= used &&
           row->told <= used && row->unexplained <= row->missing && row->reported <= row->unexplained &&
           (row->missing == 0 ||
               (row->first <= row->last && row->first >= row->base && row->last < row->next));
}

static void load_row(struct ledger *ledger, const struct saved_row *from)
{
    struct ledger_row *row = &ledger->rows[from->cpu];

    *row = (struct ledger_row){.base = from->base,
        .next = from->next,
        .missing = from->missing,
        .told = from->told,
        .unexplained = from->unexplained,
        .reported = from->reported,
        .gone_first = from->first,
        .gone_last = from->last,
        .news_first = from->first,
        .news_last = from->last};
    if (open_of(row) > 0) {
        row->holes[0] = (struct ledger_hole){from->first, from->last, row->missing};
        row->hole_count = 1;
    }
    if (from->cpu >= ledger->row_count)
        ledger->row_count = from->cpu + 1;
}

int ledger_load(struct ledger *ledger, const void *from, size_t size, uint64_t epoch_ns)
{
    const struct saved *saved = from;

    if (size < sizeof(*saved) || saved->magic != SAVED_MAGIC ||
        saved->row_count > (size - sizeof(*saved)) / sizeof(struct saved_row))
        return -EBADMSG;
    if (saved->epoch_ns != epoch_ns)
        return -ESTALE;
    for (uint32_t i = 0; i < saved->row_count; i++) {
        if (!row_is_sane(&saved->rows[i]))
            return -EBADMSG;
    }
    memset(ledger->rows, 0, ledger->row_count * sizeof(*ledger->rows));
    *ledger = (struct ledger){.rows = ledger->rows,
        .epoch_ns = epoch_ns,
        .position = saved->position,
        .whole = saved->whole != 0,
        .sums = {.reread = saved->reread,
            .late = saved->late,
            .duplicate = saved->duplicate,
            .explained_late = saved->explained_late,
            .unexplained_before = saved->unexplained_before}};
    for (uint32_t i = 0; i < saved->row_count; i++)
        load_row(ledger, &saved->rows[i]);
    return 0;
}
