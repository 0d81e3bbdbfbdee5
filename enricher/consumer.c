/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our side of the collector: attaching and what is taken over then, reading, its end, and the hold store that it keeps for us.
 *
 *   attach_due ─► asked ─► attached ─► collector_gone ─► (its queue is read to the end) ─► attach_due
 *                             └─► resync ─► (what was read is durable) ─► attach_due: the same collector, a new snapshot
 *
 * A resync follows a LOST record of process life or of cgroups: the dead whose exit was lost would stay for ever, a process whose exec was lost
 * would be shown under its old binary, a cgroup without a path has no Pod. All of it is in a snapshot.
 */
#include "enricher/enricher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/record_check.h"
#include "enricher/loop.h"
#include "enricher/output.h"
#include "enricher/snapshot_read.h"

#define ATTACH_TIMEOUT_NS   (10 * NS_PER_SEC)
#define ATTACH_RETRY_MIN_NS (200 * NS_PER_MS)
#define ATTACH_RETRY_MAX_NS (5 * NS_PER_SEC)
/* A snapshot costs milliseconds on both sides, and losses come when there are none to spare: not at once, not often. */
#define RESYNC_DELAY_NS    (2 * NS_PER_SEC)
#define RESYNC_INTERVAL_NS (30 * NS_PER_SEC)

static void apply_snapshot(struct enricher *e)
{
    const enum pipeline_snapshot_pass passes[] = {PIPELINE_SNAPSHOT_TABLES, PIPELINE_SNAPSHOT_PARENTS};
    bool another = e->epoch_ns && e->epoch_ns != e->attachment.message.epoch_ns, whole = true;

    if (another)
        pipeline_collector_changed(&e->lane.pipeline);
    pipeline_snapshot_begin(&e->lane.pipeline);
    for (size_t i = 0; i < 2; i++) {
        struct snapshot_reader reader;
        const struct record_header *record;
        int r;

        snapshot_read_init(&reader, e->attachment.snapshot, e->attachment.snapshot_bytes);
        while ((r = snapshot_read_next(&reader, &record)) > 0)
            pipeline_snapshot(&e->lane.pipeline, record, passes[i]);
        whole &= r == 0;
        if (r < 0 && i == 0)
            log_warning("snapshot of the running processes is not whole (%s): some will lack their binary",
                strerror(-r));
    }
    if ((another || e->resync) && whole)
        pipeline_snapshot_missed(&e->lane.pipeline, clock_boot_ns());
    e->epoch_ns = e->attachment.message.epoch_ns;
    attachment_drop_snapshot(&e->attachment);
}

/* ---- the hold store ----------------------------------------------------------------------------------------------- */

/* What a predecessor held comes again, as if from the queue; since then it has waited already. */
static void on_recovered(void *arg, const struct hold_entry *entry)
{
    struct enricher *e = arg;
    struct pipeline *pipeline = &e->lane.pipeline;
    const struct record_header *record = hold_entry_record(entry);
    uint64_t now_ns = clock_boot_ns();

    if (e->lane.recovery_cut)
        return;
    if (record_check(record, record->size) < 0) {
        pipeline->counters.records_malformed++;
        return;
    }
    pipeline->recovering_since_ns = entry->since_ns < now_ns ? entry->since_ns : now_ns;
    pipeline->recovering_sequence = entry->sequence;
    while (pipeline_record(pipeline, record, clock_boot_ns()) == -EAGAIN) {
        output_flush(e->lane.output);
        if (loop_run_once(e->lane.loop, clock_boot_ns() + NS_PER_SEC) < 0)
            e->stop = true;
        if (e->stop) { /* the output takes nothing and we are told to end: the next one takes over */
            e->lane.recovery_cut = true;
            return;
        }
        (void)release_run(pipeline, clock_boot_ns());
    }
    pipeline->recovering_since_ns = 0;
    pipeline->recovering_sequence = 0;
    pipeline->counters.events_recovered++;
}

/* Turns to the store of the collector that we are attached to, so that it outlives us. An earlier one stays in use until it is empty; without
 * the new one the present one does. */
static void change_hold(struct enricher *e)
{
    struct hold *hold = NULL;
    int64_t recovered;
    int r;

    if (e->hold_epoch_ns == e->epoch_ns || hold_count(e->lane.hold) > 0)
        return;
    e->hold_epoch_ns = e->epoch_ns;
    if (hold_is(e->lane.hold, e->attachment.hold_fd))
        return;
    r = hold_new(&hold, e->attachment.hold_fd, &e->conf->hold);
    if (r < 0) {
        log_warning(
            "the collector's hold store cannot be used (%s): held events would not outlive this process",
            strerror(-r));
        return;
    }
    (void)hold_free(e->lane.hold);
    e->lane.hold = e->lane.pipeline.hold = hold;
    e->lane.hold_mark = 0;
    hold_defer_pops(hold);
    recovered = hold_recover(hold, on_recovered, e);
    if (recovered < 0)
        log_warning("what an enricher before held cannot be read: %s", strerror((int)-recovered));
    else if (recovered > 0 && !e->lane.recovery_cut)
        log_info("%lld held events taken over from the enricher before", (long long)recovered);
}

/* ---- attaching ---------------------------------------------------------------------------------------------------- */

static void on_attachment(void *arg, uint32_t events)
{
    struct enricher *e = arg;

    (void)events;
    loop_poll_stop(e->lane.loop, &e->attachment_poll);
    if (e->asked_fd >= 0) {
        e->attach_due = true; /* its answer: taken over in consumer_turn() */
        return;
    }
    e->collector_gone = true;     /* first to the end of its queue: consumer_turn() */
    e->lane.drain.at_end = false; /* of what it published until now */
    e->resync = false;
}

static void on_attach_timer(void *arg, uint64_t now_ns)
{
    struct enricher *e = arg;

    (void)now_ns;
    e->attach_due = true; /* taking over turns the loop: not in here */
}

/* Connects, and waits for the answer as for anything else. */
static int ask(struct enricher *e, char error[ATTACH_ERROR_MAX])
{
    int r = attach_begin(&e->asked_fd, e->conf->socket, error);

    if (r < 0)
        return r;
    r = loop_poll_start(e->lane.loop, &e->attachment_poll, e->asked_fd, POLLIN | POLLHUP);
    if (r < 0) {
        (void)snprintf(error, ATTACH_ERROR_MAX, "%s: %s", e->conf->socket, strerror(-r));
        return r;
    }
    loop_timer_arm(e->lane.loop, &e->attach_timer, clock_boot_ns() + e->attach_timeout_ns);
    return -EAGAIN;
}

static int answered(struct enricher *e, char error[ATTACH_ERROR_MAX])
{
    int r = attach_finish(&e->attachment, &e->asked_fd, e->conf->socket, error);

    if (r != -EAGAIN)
        return r;
    (void)snprintf(error, ATTACH_ERROR_MAX, "collector at %s: %s", e->conf->socket, strerror(ETIMEDOUT));
    return -ETIMEDOUT;
}

static int take_over(struct enricher *e, char error[ATTACH_ERROR_MAX])
{
    int r = queue_consumer_new(&e->lane.queue, &e->attachment.queue_fds);

    if (r < 0) {
        (void)snprintf(
            error, ATTACH_ERROR_MAX, "%s: the queue is not one: %s", e->conf->socket, strerror(-r));
        return r;
    }
    apply_snapshot(e);
    change_hold(e);
    books_attach(e);
    r = drain_attach(&e->lane.drain, e->lane.queue);
    if (r == 0)
        r = loop_poll_start(e->lane.loop, &e->attachment_poll, e->attachment.socket_fd, POLLIN | POLLHUP);
    if (r < 0)
        (void)snprintf(error, ATTACH_ERROR_MAX, "%s: %s", e->conf->socket, strerror(-r));
    return r;
}

/* One step further; -EAGAIN: asked, the answer comes. */
static int attach(struct enricher *e, char error[ATTACH_ERROR_MAX])
{
    int r = e->asked_fd < 0 ? ask(e, error) : answered(e, error);

    return r < 0 ? r : take_over(e, error);
}

void consumer_detach(struct enricher *e)
{
    loop_poll_stop(e->lane.loop, &e->attachment_poll);
    fd_close(&e->asked_fd);
    drain_detach(&e->lane.drain);
    e->lane.queue = queue_consumer_free(e->lane.queue);
    attachment_deinit(&e->attachment);
    e->attached_ns = 0;
    e->collector_gone = false;
}

static void try_attach(struct enricher *e)
{
    const struct retry_policy policy = {ATTACH_RETRY_MIN_NS, ATTACH_RETRY_MAX_NS};
    char error[ATTACH_ERROR_MAX] = "";
    uint64_t now_ns;
    int r = attach(e, error);

    e->attach_due = false;
    e->collector_absent = r == -ENOENT || r == -ECONNREFUSED;
    if (r == -EAGAIN && e->asked_fd >= 0)
        return;
    now_ns = clock_boot_ns();
    if (r == 0) {
        loop_timer_disarm(e->lane.loop, &e->attach_timer);
        e->resync = false;
        e->attach_failures = 0;
        e->attach_error[0] = '\0';
        e->attached_ns = now_ns;
        e->attach_count++;
        log_info("attached to the collector (%s): %zu processes, %zu cgroups known",
            e->attachment.message.hook_kind, e->lane.pipeline.processes.count,
            e->lane.pipeline.containers.cgroup_count);
        return;
    }
    consumer_detach(e);
    if (strcmp(error, e->attach_error) != 0) {
        log_warning("%s; trying again", error);
        memcpy(e->attach_error, error, sizeof(error));
    }
    loop_timer_arm(e->lane.loop, &e->attach_timer,
        now_ns + retry_delay_ns(&policy, e->attach_failures++, now_ns * 2654435761u));
}

void consumer_init(struct enricher *e)
{
    e->attachment_poll = (struct loop_poll){.fn = on_attachment, .arg = e, .fd = -1};
    e->attach_timer = (struct loop_timer){.fn = on_attach_timer, .arg = e};
    e->asked_fd = -1;
    e->attach_due = true;
    e->attach_timeout_ns = ATTACH_TIMEOUT_NS;
    e->resync_delay_ns = RESYNC_DELAY_NS;
    e->resync_interval_ns = RESYNC_INTERVAL_NS;
}

/* ---- each turn ---------------------------------------------------------------------------------------------------- */

bool consumer_read(struct enricher *e)
{
    if (!e->resync)
        return drain_run(&e->lane.drain);
    (void)drain_settle(&e->lane.drain);
    return false;
}

/* Everything that points into the queue is done with. */
static bool may_leave_queue(const struct enricher *e)
{
    return !drain_is_blocked(&e->lane.drain) && !pipeline_is_blocked(&e->lane.pipeline);
}

static bool wants_resync(const struct enricher *e, uint64_t now_ns)
{
    uint64_t gap_ns = e->lane.pipeline.gap_since_ns;

    return gap_ns && now_ns >= gap_ns + e->resync_delay_ns &&
           now_ns >= e->attached_ns + e->resync_interval_ns;
}

static bool leave(struct enricher *e, const char *why)
{
    log_warning("%s", why);
    consumer_detach(e);
    e->attach_due = true;
    return true;
}

static bool turn_attached(struct enricher *e)
{
    if (!may_leave_queue(e))
        return false;
    if (!e->collector_gone && wants_resync(e, clock_boot_ns()))
        e->resync = true;
    if (e->resync && drain_settle(&e->lane.drain))
        return leave(e, "records were lost: what runs is looked at anew");
    if (e->lane.drain.broken && drain_settle(&e->lane.drain)) {
        (void)leave(e, "the collector's queue is broken: what is in it cannot be read");
        e->attach_due = false;
        loop_timer_arm(e->lane.loop, &e->attach_timer, clock_boot_ns() + ATTACH_RETRY_MAX_NS);
        return false;
    }
    /* What is not durable yet would come again from the next collector, which goes on where we released. */
    if (e->collector_gone && e->lane.drain.at_end && drain_settle(&e->lane.drain))
        return leave(e, "the collector has gone; its queue was read to the end");
    return false; /* what is still to be written wakes us when it is */
}

bool consumer_turn(struct enricher *e)
{
    bool again = e->attached_ns ? turn_attached(e) : false;

    if (e->attach_due) {
        try_attach(e);
        again = e->attached_ns != 0;
    } else if (e->attached_ns && hold_mark(e->lane.hold) == hold_settled(e->lane.hold)) {
        change_hold(e);
    }
    lane_settle_hold(&e->lane);
    return again;
}
