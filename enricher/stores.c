/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the lanes hold events: a region each of the memory that the collector keeps for us, and what an enricher before left in any region, whatever number of lanes it had.
 *
 *   our own memory ─► the collector's (once nothing is held in the one before) ─► what was left in it is taken over by all lanes ─► settled
 *
 * Every lane walks through all that was left, as through the queue: its tables learn from all of it, its own events it holds or writes. Only when all of that is held again or
 * durable in every lane does it leave the memory.
 */
#include "enricher/enricher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

static bool is_empty(const struct lane *lane)
{
    return hold_count(lane->hold) == 0 && hold_mark(lane->hold) == hold_settled(lane->hold);
}

static bool are_empty(struct enricher *e)
{
    bool empty = true;

    for (size_t i = 0; i < enricher_lane_count(e); i++)
        empty &= is_empty(enricher_lane(e, i));
    return empty;
}

static void free_holds(struct hold **holds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        holds[i] = hold_free(holds[i]);
}

/* A store for each lane. 0 or negative errno, and none. */
static int open_own(struct enricher *e, struct hold **holds)
{
    uint32_t count = (uint32_t)enricher_lane_count(e);
    int fd = e->attachment.hold_fd, r = count > 1 ? hold_make_regions(fd, count) : 0;

    for (uint32_t i = 0; i < count && r == 0; i++)
        r = hold_new_region(&holds[i], fd, i, &enricher_lane(e, i)->hold_limits);
    if (r < 0)
        free_holds(holds, count);
    return r;
}

/* Regions that no lane has now. Returns how many. */
static uint32_t open_others(struct enricher *e, struct hold **holds, uint32_t first)
{
    static const struct hold_limits none = {1, 65536};
    uint32_t last = hold_count_regions(e->attachment.hold_fd), count = 0;

    for (uint32_t region = first; region < last; region++) {
        if (hold_new_region(&holds[count], e->attachment.hold_fd, region, &none) == 0)
            count++;
        else
            log_warning("what an enricher before held in region %u cannot be read", region);
    }
    return count;
}

static void end_heritage(struct enricher *e)
{
    for (size_t i = 0; i < enricher_lane_count(e); i++)
        lane_end_heritage(enricher_lane(e, i));
    hold_heritage_settle(e->heritage);
    e->heritage = hold_heritage_free(e->heritage);
    free_holds(e->other_holds, e->other_hold_count);
    e->other_hold_count = 0;
}

static void begin_heritage(struct enricher *e, struct hold **holds, uint32_t count)
{
    int r = hold_heritage_new(&e->heritage, holds, count);

    for (size_t i = 0; i < enricher_lane_count(e) && r == 0; i++)
        r = lane_inherit(enricher_lane(e, i), e->heritage);
    if (r < 0) {
        log_warning("what an enricher before held cannot be read: %s", strerror(-r));
        for (size_t i = 0; i < enricher_lane_count(e); i++)
            lane_end_heritage(enricher_lane(e, i));
        e->heritage = hold_heritage_free(e->heritage);
        free_holds(e->other_holds, e->other_hold_count);
        e->other_hold_count = 0;
    } else if (hold_heritage_count(e->heritage) == 0) {
        end_heritage(e);
    } else {
        log_info("%zu held events taken over from the enricher before", hold_heritage_count(e->heritage));
    }
}

static void change(struct enricher *e)
{
    struct hold *holds[2 * HOLD_REGIONS_MAX] = {NULL};
    uint32_t count = (uint32_t)enricher_lane_count(e);
    int r = open_own(e, holds);

    if (r < 0) {
        log_warning(
            "the collector's hold store cannot be used (%s): held events would not outlive this process",
            strerror(-r));
        return;
    }
    e->other_hold_count = open_others(e, e->other_holds, count);
    memcpy(holds + count, e->other_holds, e->other_hold_count * sizeof(struct hold *));
    for (uint32_t i = 0; i < count; i++)
        lane_change_hold(enricher_lane(e, i), holds[i]);
    books_inherit(e);
    begin_heritage(e, holds, count + e->other_hold_count);
}

void stores_change(struct enricher *e)
{
    if (e->hold_epoch_ns == e->epoch_ns || e->heritage)
        return;
    crew_rest(e->crew);
    if (are_empty(e)) {
        e->hold_epoch_ns = e->epoch_ns;
        if (!hold_is(e->lane.hold, e->attachment.hold_fd))
            change(e);
    }
    crew_go(e->crew);
}

static bool is_taken_over(struct enricher *e)
{
    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        if (!atomic_load_explicit(&enricher_lane(e, i)->heritage.done, memory_order_relaxed))
            return false;
    }
    return true;
}

void stores_turn(struct enricher *e)
{
    if (e->heritage && is_taken_over(e)) {
        crew_rest(e->crew);
        end_heritage(e);
        crew_go(e->crew);
    }
    /* With several lanes to stop for the look, not each turn. */
    if (e->attached_ns && (!e->crew || e->stores_due))
        stores_change(e);
    e->stores_due = false;
}

void stores_free(struct enricher *e)
{
    if (!e->heritage)
        return;
    crew_rest(e->crew);
    for (size_t i = 0; i < enricher_lane_count(e); i++)
        lane_end_heritage(enricher_lane(e, i));
    e->heritage = hold_heritage_free(e->heritage); /* what was not settled stays where it is */
    free_holds(e->other_holds, e->other_hold_count);
    e->other_hold_count = 0;
    crew_go(e->crew);
}
