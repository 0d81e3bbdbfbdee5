/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Told to end after the collector has ended in order, as when both are stopped: nobody else will read what it published last, and nobody will come for what is held. So the
 * queue is read to its end, and what waits goes out as it is. A collector that was killed leaves its socket behind: its successor takes both over.
 */
#include <errno.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "enricher/enricher.h"
#include "enricher/loop.h"
#include "enricher/output.h"

#define TURN_NS (10 * NS_PER_MS)

static bool collector_has_ended(const struct enricher *e)
{
    return access(e->conf->socket, F_OK) < 0 && errno == ENOENT;
}

/* One step further. true: nothing is left to do. */
static bool step(struct lane *lane)
{
    bool inherits = lane->heritage.all && !atomic_load_explicit(&lane->heritage.done, memory_order_relaxed);

    (void)lane_read(lane);
    lane_turn(lane);
    if (inherits ||
        (lane->queue && !lane->drain.broken && (!lane->drain.at_end || drain_is_blocked(&lane->drain))))
        return false;
    return !pipeline_is_blocked(&lane->pipeline) && pipeline_let_go(&lane->pipeline, clock_boot_ns()) == 0;
}

static void finish_lane(void *arg, struct lane *lane)
{
    const uint64_t *deadline_ns = arg;
    uint64_t held = pipeline_held(&lane->pipeline);

    while (!step(lane)) {
        if (clock_boot_ns() >= *deadline_ns) {
            log_warning("the output takes no more: what is left of the collector's queue is lost");
            return;
        }
        output_flush(lane->output);
        if (loop_run_once(lane->loop, clock_boot_ns() + TURN_NS) < 0)
            return;
    }
    if (held > 0)
        log_info(
            "the collector has ended: %llu held events were written as they are", (unsigned long long)held);
}

void enricher_finish(struct enricher *e, uint64_t patience_ns)
{
    uint64_t deadline_ns = clock_boot_ns() + patience_ns;

    if (collector_has_ended(e))
        crew_run(e->crew, &e->lane, finish_lane, &deadline_ns);
}
