/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the ledger: begins it with each collector, feeds it through the drain, leaves it to a successor in the hold store, and says what it finds.
 *
 * It is saved before room of the queue is given back. So whatever a successor does not read again is in what it loads.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "enricher/enricher.h"

#define LINE_INTERVAL_NS (10 * NS_PER_SEC)

/* Where the store is not the collector's it does not outlive this process. */
static void save(void *arg)
{
    struct enricher *e = arg;
    void *to;

    if (e->hold_epoch_ns != e->epoch_ns)
        return;
    to = hold_note_begin(e->lane.hold);
    if (to)
        hold_note_commit(e->lane.hold, ledger_save(&e->ledger, to, HOLD_NOTE_BYTES));
}

void books_inherit(struct enricher *e)
{
    CLEANUP_FREE void *note = malloc(HOLD_NOTE_BYTES);

    if (note && !e->ledger.epoch_ns &&
        ledger_load(&e->ledger, note, hold_note_read(e->lane.hold, note), e->epoch_ns) == 0)
        save(e);
}

int books_init(struct enricher *e)
{
    int r = ledger_init(&e->ledger);

    e->lane.drain.ledger = r == 0 ? &e->ledger : NULL;
    e->lane.drain.on_release = save;
    e->lane.drain.release_arg = e;
    return r;
}

void books_deinit(struct enricher *e)
{
    ledger_deinit(&e->ledger);
}

static void say(struct enricher *e, uint16_t cpu, uint64_t first_seq, uint64_t last_seq, uint64_t count)
{
    uint64_t now_ns = clock_boot_ns();

    if (e->books.said_ns && now_ns - e->books.said_ns < LINE_INTERVAL_NS) {
        e->books.suppressed_count++;
        return;
    }
    log_warning("the books do not balance: %" PRIu64
                " records of CPU %u are missing, between numbers %" PRIu64 " and %" PRIu64
                ", and no report accounts for them (%" PRIu64 " lines like it not said)",
        count, cpu, first_seq, last_seq, e->books.suppressed_count);
    e->books.said_ns = now_ns;
    e->books.suppressed_count = 0;
}

static int on_unexplained(void *arg, uint16_t cpu, uint64_t first_seq, uint64_t last_seq, uint64_t count)
{
    struct enricher *e = arg;
    struct pipeline *pipeline = &e->lane.pipeline;
    uint64_t now_ns = clock_boot_ns();
    int r = 0;

    if (pipeline->options->own_events)
        r = emit_unexplained(pipeline->emit, cpu, first_seq, last_seq, count, now_ns);
    if (r < 0)
        return r;
    if (!pipeline->gap_since_ns) /* whatever they were: what runs is looked at anew */
        pipeline->gap_since_ns = now_ns;
    say(e, cpu, first_seq, last_seq, count);
    return 0;
}

void books_attach(struct enricher *e)
{
    if (e->ledger.epoch_ns && e->ledger.epoch_ns != e->epoch_ns)
        ledger_close(&e->ledger, on_unexplained, e);
    /* From its first byte on, which nobody has released: all that there ever was in this epoch comes this way. */
    ledger_begin(&e->ledger, e->epoch_ns, queue_consumer_position(e->lane.queue) == 0);
    ledger_look_later(&e->ledger);
    save(e);
}

/* All that was published when it was last looked at has been read, and nothing keeps the collector's reports back. */
static bool is_settled(struct enricher *e)
{
    const struct queue_consumer *queue = e->lane.queue;
    uint64_t before = e->books.tail;

    if (!e->attached_ns)
        return false;
    e->books.tail = queue_consumer_position(queue) + queue_consumer_backlog_bytes(queue);
    return before <= queue_consumer_position(queue) && queue_consumer_has_room(queue);
}

void books_look(struct enricher *e, uint64_t now_ns)
{
    if (is_settled(e))
        ledger_look(&e->ledger, now_ns, on_unexplained, e);
    else
        ledger_look_later(&e->ledger);
}
