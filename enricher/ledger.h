/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The sequence numbers of each CPU (R3), held against what LOST records tell: every number that was used is received, told lost, or missing
 * without an account.
 *
 * What a CPU's records may look like here (bpf/output.bpf.h, collector/loss.h, collector/intake.h):
 *   - a number is taken before room is asked for, and a program can be interrupted, or preempted, in between: numbers come slightly out of order
 *   - a refused record leaves a gap; LOST tells exact counts and a range, up to the greatest number that it counts. It comes later, or earlier than
 *     a record within its range; numbers within its range may have got through
 *   - after a restart of this process records come again: by their position in the queue (ledger_take()), never by their number
 * So numbers are counted, not paired. All that LOST counts lies below the greatest number seen or told of, and never arrives. Hence, of each CPU:
 *
 * B1  [base, next) are the numbers known to be used; received + missing = next - base
 * B2  told <= missing; the difference is open: on its way, or lost without an account
 * B3  open = 0 proves that each missing number is told of. In a sound system that is so shortly after each LOST, also while losses go on
 * B4  what stayed open through a whole window (LEDGER_WINDOW_NS) in which everything that was published was read, is unexplained: counted, and
 *     reported once. Is it accounted for later after all, it is taken back: explained_late
 * B5  O(1) and no memory for each record; LEDGER_ROW_BYTES for each CPU that is heard of
 *
 * The collector's own numbers (RECORD_CPU_COLLECTOR) are shared with the snapshots and not looked at. Pure: no clock, no I/O, no log.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/record.h"

#define LEDGER_CPU_MAX   8192
#define LEDGER_HOLES     6
#define LEDGER_WINDOW_NS (2 * NS_PER_SEC)
#define LEDGER_ROW_BYTES 256

/* Numbers that were passed over, `missing` of them. Those of a CPU are in order; when there are too many the oldest two become one. */
struct ledger_hole {
    uint64_t first, last, missing;
};

struct ledger_row {
    uint64_t base, next; /* next 0: nothing was heard of this CPU */
    uint64_t missing, told;
    uint64_t unexplained;           /* of missing - told */
    uint64_t reported;              /* of unexplained */
    uint64_t least_open;            /* in this window */
    uint64_t gone_first, gone_last; /* what was given up lies in between */
    uint64_t news_first, news_last; /* what of it was not reported yet, likewise */
    uint32_t hole_first, hole_count;
    struct ledger_hole holes[LEDGER_HOLES]; /* a ring */
    uint64_t reserved[2];
};
_Static_assert(sizeof(struct ledger_row) == LEDGER_ROW_BYTES, "whole cache lines");

/* Sums over all CPUs. Those of the epoch: used = received + told_lost + open + unexplained. */
struct ledger_totals {
    uint64_t cpus, used, received, told_lost, open, unexplained;
    uint64_t untold; /* told of more than is missing: a defect of the collector's books */
    /* since the start of the first enricher of the epoch */
    uint64_t reread, late, duplicate, explained_late;
    uint64_t unexplained_before; /* in epochs that are over */
};

struct ledger {
    struct ledger_row *rows;
    uint32_t row_count; /* greatest CPU heard of + 1 */
    uint64_t epoch_ns, position;
    uint64_t window_ns; /* its start, 0: none */
    bool whole;
    struct ledger_totals sums; /* only what is not in the rows */
};

/* 0 or -ENOMEM. */
int ledger_init(struct ledger *ledger);
void ledger_deinit(struct ledger *ledger);

/* Records of this epoch follow. Another one than before: `whole` says that all of its records come this way, so that each CPU begins with the
 * epoch's number; else with what it is first heard of. What was open of the one before is no more: ledger_close() first. */
void ledger_begin(struct ledger *ledger, uint64_t epoch_ns, bool whole);
/* A checked record of the stream; position: of its end in the queue, whose positions go on through an epoch. */
void ledger_account(struct ledger *ledger, const struct record_header *record);
static inline void ledger_take(struct ledger *ledger, const struct record_header *record, uint64_t position)
{
    struct ledger_row *row = &ledger->rows[record->cpu % LEDGER_CPU_MAX];

    if (position <= ledger->position) {
        ledger->sums.reread++;
        return;
    }
    ledger->position = position;
    if (record->seq == row->next && record->cpu < LEDGER_CPU_MAX && record->type != RECORD_LOST && row->next)
        row->next++;
    else
        ledger_account(ledger, record);
}

/* Of one CPU `count` numbers, all in [first, last], have no account. 0: was told; negative: again at the next look. */
typedef int ledger_report_fn(void *arg, uint16_t cpu, uint64_t first_seq, uint64_t last_seq, uint64_t count);
/* To be called now and then while all that was published has been read and the collector has room for its reports (B4). */
void ledger_look(struct ledger *ledger, uint64_t now_ns, ledger_report_fn *fn, void *arg);
/* … and when that is not so. */
static inline void ledger_look_later(struct ledger *ledger)
{
    ledger->window_ns = 0;
}
/* Nothing more comes of this epoch: what is open is unexplained. */
void ledger_close(struct ledger *ledger, ledger_report_fn *fn, void *arg);

void ledger_sum(const struct ledger *ledger, struct ledger_totals *ret);
/* Of one CPU, for the reader: 0 when all is well. */
static inline uint64_t ledger_unexplained(const struct ledger *ledger, uint32_t cpu)
{
    return cpu < ledger->row_count ? ledger->rows[cpu].unexplained : 0;
}

/* For a successor: at most `size` bytes, returns how many; 0: it does not fit. */
size_t ledger_save_bytes(const struct ledger *ledger);
size_t ledger_save(const struct ledger *ledger, void *to, size_t size);
/* What was saved, by whomever, in place of all that this ledger has. 0; -EBADMSG: it is none, and nothing has changed; -ESTALE: of another epoch than
 * `epoch_ns`, likewise. */
int ledger_load(struct ledger *ledger, const void *from, size_t size, uint64_t epoch_ns);
