/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our side of the collector: attaching and what is taken over then, and its end. The hold store that it keeps for us: stores.c.
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
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/queue.h"
#include "enricher/loop.h"

#define ATTACH_TIMEOUT_NS   (10 * NS_PER_SEC)
#define ATTACH_RETRY_MIN_NS (200 * NS_PER_MS)
#define ATTACH_RETRY_MAX_NS (5 * NS_PER_SEC)
/* A snapshot costs milliseconds on both sides, and losses come when there are none to spare: not at once, not often. */
#define RESYNC_DELAY_NS    (2 * NS_PER_SEC)
#define RESYNC_INTERVAL_NS (30 * NS_PER_SEC)
/* While several lanes are on their way to a place where they can stop. */
#define LOOK_NS (2 * NS_PER_MS)

struct snapshot_job {
    const struct attachment *attachment;
    bool another, missed;
};

static void apply_snapshot_to(void *arg, struct lane *lane)
{
    const struct snapshot_job *job = arg;

    if (job->another)
        pipeline_collector_changed(&lane->pipeline);
    lane_apply_snapshot(lane, job->attachment->snapshot, job->attachment->snapshot_bytes, job->missed);
}

static void apply_snapshot(struct enricher *e)
{
    bool another = e->epoch_ns && e->epoch_ns != e->attachment.message.epoch_ns;
    struct snapshot_job job = {&e->attachment, another, another || e->resync};

    crew_run(e->crew, &e->lane, apply_snapshot_to, &job);
    e->epoch_ns = e->attachment.message.epoch_ns;
    attachment_drop_snapshot(&e->attachment);
}

/* ---- attaching ---------------------------------------------------------------------------------------------------- */

enum stop_where { STOP_WHERE_READ, STOP_AT_TAIL };

/* All lanes stop at the same place, so that the next attachment can go on there: where the first of them is, or behind all that was published until now. */
static void stop_lanes(struct enricher *e, enum stop_where where)
{
    uint64_t furthest = 0;

    crew_rest(e->crew);
    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        const struct queue_consumer *queue = enricher_lane(e, i)->queue;
        uint64_t position = queue_consumer_position(queue);

        furthest = position > furthest ? position : furthest;
        position += queue_consumer_backlog_bytes(queue); /* the producer's word: it may be anything */
        if (where == STOP_AT_TAIL && position > furthest)
            furthest = position;
    }
    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        queue_consumer_set_limit(enricher_lane(e, i)->queue, furthest);
        enricher_lane(e, i)->pausing = true;
    }
    crew_go(e->crew);
}

static void on_attachment(void *arg, uint32_t events)
{
    struct enricher *e = arg;

    (void)events;
    loop_poll_stop(e->lane.loop, &e->attachment_poll);
    if (e->asked_fd >= 0) {
        e->attach_due = true; /* its answer: taken over in consumer_turn() */
        return;
    }
    e->collector_gone = true; /* first to the end of its queue: consumer_turn() */
    e->resync = false;
    stop_lanes(e, STOP_AT_TAIL);
}

static void on_attach_timer(void *arg, uint64_t now_ns)
{
    struct enricher *e = arg;

    (void)now_ns;
    e->attach_due = true; /* taking over turns the loop: not in here */
}

static void on_look_timer(void *arg, uint64_t now_ns)
{
    (void)arg; /* being awake is all: consumer_turn() looks */
    (void)now_ns;
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

/* A reader for each lane; the crew rests. */
static int open_queues(struct enricher *e)
{
    int r = queue_consumer_new(&e->lane.queue, &e->attachment.queue_fds);

    for (size_t i = 1; i < enricher_lane_count(e) && r == 0; i++)
        r = queue_consumer_new_follower(&enricher_lane(e, i)->queue, e->lane.queue, crew_kick_fd(e->crew));
    return r;
}

static void start_reading(void *arg, struct lane *lane)
{
    _Atomic int *result = arg;
    int r = drain_attach(&lane->drain, lane->queue);

    if (r < 0)
        atomic_store_explicit(result, r, memory_order_relaxed);
}

static int take_over(struct enricher *e, char error[ATTACH_ERROR_MAX])
{
    _Atomic int started = 0;
    int r;

    crew_rest(e->crew);
    r = open_queues(e);
    crew_go(e->crew);
    if (r < 0) {
        (void)snprintf(
            error, ATTACH_ERROR_MAX, "%s: the queue is not one: %s", e->conf->socket, strerror(-r));
        return r;
    }
    apply_snapshot(e);
    stores_change(e);
    books_attach(e);
    crew_run(e->crew, &e->lane, start_reading, &started);
    r = started;
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

static void stop_reading(void *arg, struct lane *lane)
{
    (void)arg;
    if (lane->drain.queue)
        (void)drain_settle(&lane->drain);
    if (lane->of.index > 0)
        drain_detach(&lane->drain);
    lane->pausing = false;
}

/* The followers first: what they have released is given back by their leader. */
static void close_queues(struct enricher *e)
{
    crew_run(e->crew, &e->lane, stop_reading, NULL);
    crew_rest(e->crew);
    if (e->lane.queue)
        queue_consumer_gather(e->lane.queue);
    for (size_t i = 1; i < enricher_lane_count(e); i++)
        enricher_lane(e, i)->queue = queue_consumer_free(enricher_lane(e, i)->queue);
    crew_go(e->crew);
    drain_detach(&e->lane.drain);
    e->lane.queue = queue_consumer_free(e->lane.queue);
}

void consumer_detach(struct enricher *e)
{
    loop_poll_stop(e->lane.loop, &e->attachment_poll);
    fd_close(&e->asked_fd);
    close_queues(e);
    attachment_deinit(&e->attachment);
    e->attached_ns = 0;
    e->collector_gone = false;
    e->queue_broken = false;
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
    e->look_timer = (struct loop_timer){.fn = on_look_timer, .arg = e};
    e->asked_fd = -1;
    e->attach_due = true;
    e->attach_timeout_ns = ATTACH_TIMEOUT_NS;
    e->resync_delay_ns = RESYNC_DELAY_NS;
    e->resync_interval_ns = RESYNC_INTERVAL_NS;
}

/* ---- each turn ---------------------------------------------------------------------------------------------------- */

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

static bool has_read_enough(const struct lane *lane)
{
    return lane->drain.broken || (lane->pausing ? queue_consumer_at_limit(lane->queue) : lane->drain.at_end);
}

/* What is not durable yet would come again from the next collector, which goes on where we released. */
static bool may_leave_queue(struct enricher *e)
{
    bool may = true;

    crew_rest(e->crew);
    for (size_t i = 0; i < enricher_lane_count(e); i++)
        may &= has_read_enough(enricher_lane(e, i)) && lane_is_done_with_queue(enricher_lane(e, i));
    crew_go(e->crew);
    return may;
}

static bool turn_attached(struct enricher *e)
{
    e->queue_broken |= e->lane.drain.broken;
    if (!e->collector_gone && !e->resync && wants_resync(e, clock_boot_ns())) {
        stop_lanes(e, STOP_WHERE_READ);
        e->resync = true;
    }
    if (!e->resync && !e->queue_broken && !e->collector_gone)
        return false;
    if (!may_leave_queue(e)) {
        if (e->crew) /* of our own lane we are woken */
            loop_timer_arm(e->lane.loop, &e->look_timer, clock_boot_ns() + LOOK_NS);
        return false;
    }
    if (e->resync)
        return leave(e, "records were lost: what runs is looked at anew");
    if (e->queue_broken) {
        (void)leave(e, "the collector's queue is broken: what is in it cannot be read");
        e->attach_due = false;
        loop_timer_arm(e->lane.loop, &e->attach_timer, clock_boot_ns() + ATTACH_RETRY_MAX_NS);
        return false;
    }
    return leave(e, "the collector has gone; its queue was read to the end");
}

bool consumer_turn(struct enricher *e)
{
    bool again = e->attached_ns ? turn_attached(e) : false;

    if (e->attach_due) {
        try_attach(e);
        again = e->attached_ns != 0;
    } else {
        stores_turn(e);
    }
    return again;
}

/* Once a second: what only a look into all lanes shows. */
void consumer_look(struct enricher *e)
{
    if (!e->crew || !e->attached_ns)
        return;
    crew_rest(e->crew);
    for (size_t i = 0; i < enricher_lane_count(e); i++)
        e->queue_broken |= enricher_lane(e, i)->drain.broken;
    crew_go(e->crew);
    e->stores_due = true;
}
