/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/record_check.h"
#include "enricher/snapshot_read.h"

#define HOUSEKEEPING_NS NS_PER_SEC
#define WRITE_OUT_NS    (2 * NS_PER_SEC)
#define INHERIT_A_TURN  2048

static void on_pod_changed(void *arg, struct pod *pod)
{
    struct lane *lane = arg;

    pipeline_pod_changed(&lane->pipeline, pod, clock_boot_ns());
}

/* ---- time --------------------------------------------------------------------------------------------------- */

/* Said once when it begins, and when it is over. Standard output without a reader never comes back: whoever started us shall know. */
static void watch_output(struct lane *lane, uint64_t now_ns)
{
    const char *path = lane->output_path;
    struct output_state state;

    if (!path)
        return;
    output_get_state(lane->output, &state);
    if (state.last_error == lane->output_error)
        return;
    if (state.last_error == EPIPE && !strcmp(path, "-")) {
        log_error(
            "output '-': nobody reads standard output any more; what is not written stays in the queue");
        lane->output_gone = true;
    } else if (state.last_error) {
        log_warning("output '%s': %s; events wait in the queue and it is tried again", path,
            strerror(state.last_error));
    } else {
        log_info("output '%s': written again, after %llu s", path,
            (unsigned long long)((now_ns - lane->output_error_ns) / NS_PER_SEC));
    }
    if (!lane->output_error)
        lane->output_error_ns = now_ns;
    lane->output_error = state.last_error;
}

/* Lines into a file that nobody sees any more would be lost: a new one is made. */
static void watch_output_file(struct lane *lane)
{
    bool removed = output_is_removed(lane->output);

    if (removed && !lane->output_removed)
        log_warning("output '%s': the file was removed; a new one is made", lane->output_path);
    if (removed)
        output_reopen(lane->output);
    lane->output_removed = removed;
}

static void on_housekeeping(void *arg, uint64_t now_ns)
{
    struct lane *lane = arg;

    emit_update_clock(&lane->emit);
    watch_output(lane, now_ns);
    watch_output_file(lane);
    pod_table_expire(lane->pods, now_ns);
    loop_timer_arm(lane->loop, &lane->housekeeping_timer, now_ns + HOUSEKEEPING_NS);
}

static void on_pipeline_timer(void *arg, uint64_t now_ns)
{
    (void)arg; /* being awake is all: the pipeline is turned each turn */
    (void)now_ns;
}

static void on_progress(void *arg)
{
    (void)arg; /* likewise */
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static int read_boot_id(char boot_id[40])
{
    FILE *file CLEANUP_FILE = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (!file || !fgets(boot_id, 40, file))
        return -EIO;
    boot_id[strcspn(boot_id, "\n")] = '\0';
    return 0;
}

static int open_pipeline(struct lane *lane)
{
    const struct conf *conf = lane->conf;
    const struct pod_table_limits limits = {
        .max_pods = 4096, .max_bytes = UINT64_C(64) << 20, .grace_ns = conf->pod_grace_ns};
    char boot_id[40] = "";
    int r = read_boot_id(boot_id);

    if (r == 0)
        r = pod_table_new(&lane->pods, &limits, on_pod_changed, lane);
    if (r == 0)
        r = hold_new(&lane->hold, -1, &lane->hold_limits);
    if (r == 0)
        r = emit_init(&lane->emit, &conf->render, lane->output, boot_id);
    if (r == 0 && conf->format == CONF_FORMAT_NORMALISED)
        r = emit_normalise(&lane->emit);
    lane->pipeline = (struct pipeline){.options = &conf->pipeline,
        .lane = lane->of,
        .pods = lane->pods,
        .hold = lane->hold,
        .emit = &lane->emit,
        .ask = lane->owner.ask,
        .arg = lane->owner.arg};
    if (r == 0)
        r = pipeline_init(&lane->pipeline, clock_boot_ns());
    return r;
}

/* events.json of several lanes is events.lane0.json, events.lane1.json …: a file for each. 0 or -ENOMEM. */
static int name_output(struct lane *lane)
{
    const char *path = lane->conf->output_path, *slash, *dot;
    int base;

    if (!path)
        return 0;
    if (lane->of.count <= 1) {
        lane->output_path = strdup(path);
        return lane->output_path ? 0 : -ENOMEM;
    }
    slash = strrchr(path, '/');
    dot = strrchr(slash ? slash + 1 : path, '.');
    base = dot && dot != (slash ? slash + 1 : path) ? (int)(dot - path) : (int)strlen(path);
    if (asprintf(&lane->output_path, "%.*s.lane%u%s", base, path, lane->of.index, path + base) < 0) {
        lane->output_path = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int open_output(struct lane *lane)
{
    struct output_options options = lane->conf->output;
    int r = name_output(lane);

    options.path = lane->output_path;
    if (r == 0)
        r = output_new(&lane->output, lane->loop, &options);
    if (r < 0)
        log_error("output '%s': %s", lane->output_path ? lane->output_path : "none", strerror(-r));
    return r;
}

int lane_init(struct lane *lane, const struct conf *conf, struct lane_of of, const struct lane_owner *owner)
{
    const uint64_t count = of.count ? of.count : 1;
    int r;

    *lane = (struct lane){.conf = conf, .of = of, .owner = *owner};
    lane->hold_limits = (struct hold_limits){
        (conf->hold.max_events + count - 1) / count, (conf->hold.max_bytes + count - 1) / count};
    lane->housekeeping_timer = (struct loop_timer){.fn = on_housekeeping, .arg = lane};
    lane->pipeline_timer = (struct loop_timer){.fn = on_pipeline_timer, .arg = lane};
    r = loop_new(&lane->loop, (enum loop_kind)conf->loop, NULL);
    if (r < 0) {
        log_error("loop: %s", strerror(-r));
        return r;
    }
    r = open_output(lane);
    if (r < 0)
        return r;
    output_on_progress(lane->output, on_progress, lane);
    r = open_pipeline(lane);
    if (r < 0) {
        log_error("start: %s", strerror(-r));
        return r;
    }
    drain_init(&lane->drain, lane->loop, &lane->pipeline, lane->output);
    return 0;
}

void lane_set_tap(struct lane *lane, output_tap_fn *fn, void *arg)
{
    output_set_tap(lane->output, fn, arg);
}

void lane_start(struct lane *lane)
{
    loop_timer_arm(lane->loop, &lane->housekeeping_timer, clock_boot_ns() + HOUSEKEEPING_NS);
}

void lane_stop(struct lane *lane)
{
    drain_detach(&lane->drain);
    loop_timer_disarm(lane->loop, &lane->housekeeping_timer);
    loop_timer_disarm(lane->loop, &lane->pipeline_timer);
}

void lane_deinit(struct lane *lane)
{
    if (lane->hold)
        pipeline_deinit(&lane->pipeline);
    emit_deinit(&lane->emit);
    lane->pods = pod_table_free(lane->pods);
    lane->output = output_free(lane->output);
    lane->queue = queue_consumer_free(lane->queue);
    lane->hold = hold_free(lane->hold);
    lane->loop = loop_free(lane->loop);
    free(lane->output_path);
    lane->output_path = NULL;
    lane_end_heritage(lane);
}

/* ---- the collector's ---------------------------------------------------------------------------------------- */

void lane_apply_snapshot(struct lane *lane, const void *snapshot, size_t bytes, bool missed)
{
    const enum pipeline_snapshot_pass passes[] = {PIPELINE_SNAPSHOT_TABLES, PIPELINE_SNAPSHOT_PARENTS};
    bool whole = true;

    pipeline_snapshot_begin(&lane->pipeline);
    for (size_t i = 0; i < 2; i++) {
        struct snapshot_reader reader;
        const struct record_header *record;
        int r;

        snapshot_read_init(&reader, snapshot, bytes);
        while ((r = snapshot_read_next(&reader, &record)) > 0)
            pipeline_snapshot(&lane->pipeline, record, passes[i]);
        whole &= r == 0;
        if (r < 0 && i == 0 && lane->of.index == 0)
            log_warning("snapshot of the running processes is not whole (%s): some will lack their binary",
                strerror(-r));
    }
    if (missed && whole)
        pipeline_snapshot_missed(&lane->pipeline, clock_boot_ns());
}

void lane_change_hold(struct lane *lane, struct hold *hold)
{
    (void)hold_free(lane->hold);
    lane->hold = lane->pipeline.hold = hold;
    lane->hold_mark = 0;
    hold_defer_pops(hold);
}

int lane_inherit(struct lane *lane, const struct hold_heritage *heritage)
{
    lane->heritage = (struct lane_heritage){.entry = malloc(HOLD_ENTRY_BYTES_MAX)};
    if (!lane->heritage.entry)
        return -ENOMEM;
    lane->heritage.all = heritage;
    return 0;
}

void lane_end_heritage(struct lane *lane)
{
    free(lane->heritage.entry);
    lane->heritage = (struct lane_heritage){.all = NULL};
}

/* The next entry into the room. false: it is none. */
static bool load_inherited(struct lane *lane)
{
    struct lane_heritage *heritage = &lane->heritage;
    const struct record_header *record = hold_entry_record(heritage->entry);
    uint32_t region = 0;

    if (!hold_heritage_get(heritage->all, heritage->next, heritage->entry, &region))
        return false;
    if (record_check(record, record->size) < 0) {
        lane->pipeline.counters.records_malformed += lane_of_owns(lane->of, record);
        return false;
    }
    /* A name of another region's is nothing in this one: two entries would seem to be the same. */
    heritage->sequence = region == lane->of.index ? heritage->entry->sequence : 0;
    return true;
}

/* It comes again, as if from the queue; since it was held it has waited already. */
static int take_inherited(struct lane *lane)
{
    const struct hold_entry *entry = lane->heritage.entry;
    const struct record_header *record = hold_entry_record(entry);
    struct pipeline *pipeline = &lane->pipeline;
    uint64_t now_ns = clock_boot_ns();
    int r;

    pipeline->recovering_since_ns = entry->since_ns < now_ns ? entry->since_ns : now_ns;
    pipeline->recovering_sequence = lane->heritage.sequence;
    r = pipeline_record(pipeline, record, now_ns);
    pipeline->recovering_since_ns = 0;
    pipeline->recovering_sequence = 0;
    if (r == 0)
        pipeline->counters.events_recovered += lane_of_owns(lane->of, record);
    return r;
}

/* true: there is more. */
static bool inherit(struct lane *lane)
{
    struct lane_heritage *heritage = &lane->heritage;
    size_t count = hold_heritage_count(heritage->all);

    for (unsigned i = 0; i < INHERIT_A_TURN && heritage->next < count; i++) {
        if (!heritage->loaded)
            heritage->loaded = load_inherited(lane);
        if (heritage->loaded && take_inherited(lane) == -EAGAIN)
            return false; /* the output is full: it wakes us */
        heritage->loaded = false;
        heritage->next++;
    }
    heritage->output_mark = output_mark(lane->output);
    return true;
}

static void end_inheriting(struct lane *lane)
{
    struct lane_heritage *heritage = &lane->heritage;

    if (atomic_load_explicit(&heritage->done, memory_order_relaxed) ||
        output_durable(lane->output) < heritage->output_mark)
        return;
    atomic_store_explicit(&heritage->done, true, memory_order_relaxed); /* the leader looks at rest (K1) */
    if (lane->owner.changed)
        lane->owner.changed(lane->owner.arg);
}

/* ---- a turn ------------------------------------------------------------------------------------------------- */

bool lane_read(struct lane *lane)
{
    if (lane->heritage.all && lane->heritage.next < hold_heritage_count(lane->heritage.all))
        return inherit(lane);
    if (lane->heritage.all)
        end_inheriting(lane);
    if (!lane->pausing)
        return drain_run(&lane->drain);
    if (!queue_consumer_at_limit(lane->queue) || drain_is_blocked(&lane->drain))
        return drain_run(&lane->drain);
    (void)drain_settle(&lane->drain);
    return false;
}

/* What was let go is settled when its lines are durable. */
static void settle_hold(struct lane *lane)
{
    if (lane->hold_mark && output_durable(lane->output) >= lane->hold_output_mark) {
        hold_settle(lane->hold, lane->hold_mark);
        lane->hold_mark = 0;
    }
    if (!lane->hold_mark && hold_mark(lane->hold) != hold_settled(lane->hold)) {
        lane->hold_mark = hold_mark(lane->hold);
        lane->hold_output_mark = output_mark(lane->output);
    }
}

void lane_turn(struct lane *lane)
{
    pipeline_turn(&lane->pipeline, clock_boot_ns());
    settle_hold(lane);
}

bool lane_is_done_with_queue(struct lane *lane)
{
    return !drain_is_blocked(&lane->drain) && !pipeline_is_blocked(&lane->pipeline) &&
           drain_settle(&lane->drain);
}

int lane_wait(struct lane *lane, bool more)
{
    uint64_t next;

    if (!more)
        output_flush(lane->output);
    next = pipeline_next_ns(&lane->pipeline);
    if (next != UINT64_MAX)
        loop_timer_arm(lane->loop, &lane->pipeline_timer, next);
    else
        loop_timer_disarm(lane->loop, &lane->pipeline_timer);
    return loop_run_once(lane->loop, more ? 0 : UINT64_MAX);
}

void lane_write_out(struct lane *lane)
{
    uint64_t deadline = clock_boot_ns() + WRITE_OUT_NS, wanted = output_mark(lane->output);

    while (output_durable(lane->output) < wanted && clock_boot_ns() < deadline) {
        output_flush(lane->output);
        if (loop_run_once(lane->loop, clock_boot_ns() + 10 * NS_PER_MS) < 0)
            return;
    }
    if (output_durable(lane->output) < wanted)
        return;
    if (lane->hold)
        hold_settle(lane->hold, hold_mark(lane->hold));
    (void)drain_settle(&lane->drain);
}
