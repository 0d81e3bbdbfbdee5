/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/lane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "enricher/output.h"

#define HOUSEKEEPING_NS NS_PER_SEC
#define WRITE_OUT_NS    (2 * NS_PER_SEC)

static void on_pod_changed(void *arg, struct pod *pod)
{
    struct lane *lane = arg;

    pipeline_pod_changed(&lane->pipeline, pod, clock_boot_ns());
}

/* ---- time --------------------------------------------------------------------------------------------------- */

/* Said once when it begins, and when it is over. Standard output without a reader never comes back: whoever started us shall know. */
static void watch_output(struct lane *lane, uint64_t now_ns)
{
    const char *path = lane->conf->output_path;
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

static void on_housekeeping(void *arg, uint64_t now_ns)
{
    struct lane *lane = arg;

    emit_update_clock(&lane->emit);
    watch_output(lane, now_ns);
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

static int open_pipeline(struct lane *lane, const struct lane_owner *owner)
{
    const struct conf *conf = lane->conf;
    const struct pod_table_limits limits = {
        .max_pods = 4096, .max_bytes = UINT64_C(64) << 20, .grace_ns = conf->pod_grace_ns};
    char boot_id[40] = "";
    int r = read_boot_id(boot_id);

    if (r == 0)
        r = pod_table_new(&lane->pods, &limits, on_pod_changed, lane);
    if (r == 0)
        r = hold_new(&lane->hold, -1, &conf->hold);
    if (r == 0)
        r = emit_init(&lane->emit, &conf->render, lane->output, boot_id);
    if (r == 0 && conf->format == CONF_FORMAT_NORMALISED)
        r = emit_normalise(&lane->emit);
    lane->pipeline = (struct pipeline){.options = &conf->pipeline,
        .pods = lane->pods,
        .hold = lane->hold,
        .emit = &lane->emit,
        .ask = owner->ask,
        .arg = owner->arg};
    if (r == 0)
        r = pipeline_init(&lane->pipeline, clock_boot_ns());
    return r;
}

int lane_init(struct lane *lane, const struct conf *conf, const struct lane_owner *owner)
{
    int r;

    *lane = (struct lane){.conf = conf};
    lane->housekeeping_timer = (struct loop_timer){.fn = on_housekeeping, .arg = lane};
    lane->pipeline_timer = (struct loop_timer){.fn = on_pipeline_timer, .arg = lane};
    r = loop_new(&lane->loop, (enum loop_kind)conf->loop, NULL);
    if (r < 0) {
        log_error("loop: %s", strerror(-r));
        return r;
    }
    r = output_new(&lane->output, lane->loop, &conf->output);
    if (r < 0) {
        log_error("output '%s': %s", conf->output_path ? conf->output_path : "none", strerror(-r));
        return r;
    }
    output_on_progress(lane->output, on_progress, lane);
    r = open_pipeline(lane, owner);
    if (r < 0) {
        log_error("start: %s", strerror(-r));
        return r;
    }
    drain_init(&lane->drain, lane->loop, &lane->pipeline, lane->output);
    return 0;
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
}

/* ---- a turn ------------------------------------------------------------------------------------------------- */

void lane_turn(struct lane *lane)
{
    pipeline_turn(&lane->pipeline, clock_boot_ns());
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

void lane_settle_hold(struct lane *lane)
{
    if (lane->recovery_cut)
        return;
    if (lane->hold_mark && output_durable(lane->output) >= lane->hold_output_mark) {
        hold_settle(lane->hold, lane->hold_mark);
        lane->hold_mark = 0;
    }
    if (!lane->hold_mark && hold_mark(lane->hold) != hold_settled(lane->hold)) {
        lane->hold_mark = hold_mark(lane->hold);
        lane->hold_output_mark = output_mark(lane->output);
    }
}

void lane_write_out(struct lane *lane)
{
    uint64_t deadline = clock_boot_ns() + WRITE_OUT_NS, wanted = output_mark(lane->output);

    while (output_durable(lane->output) < wanted && clock_boot_ns() < deadline) {
        output_flush(lane->output);
        if (loop_run_once(lane->loop, clock_boot_ns() + 10 * NS_PER_MS) < 0)
            return;
    }
    if (output_durable(lane->output) >= wanted && lane->hold && !lane->recovery_cut)
        hold_settle(lane->hold, hold_mark(lane->hold));
}
