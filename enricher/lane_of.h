/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whose an event is when several lanes read the same queue: all events of a process, and all corrections of its lines, leave through one lane.
 *
 * Every lane applies what says how the node is (process life, cgroups, policies), so that a process's parent and its Pod are at hand wherever the process itself is
 * told of; an event makes a line, is held, owed and counted in the lane of its subject alone. What has no process (losses, cgroups, policies) is lane 0's to count
 * and to tell.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/record.h"

/* Which lane of how many; {0, 0} and {0, 1}: the only one. */
struct lane_of {
    uint32_t index, count;
};

static inline uint32_t lane_of_key(uint32_t tgid, uint64_t start_ns, uint32_t count)
{
    /* SplitMix64's finalizer (Steele, Lea, Flood 2014): neighbouring pids and times go to lanes as by chance. */
    uint64_t x = start_ns ^ (uint64_t)tgid << 40 ^ tgid;

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return (uint32_t)((x >> 32) * count >> 32);
}

static inline bool lane_of_has_process(uint8_t type)
{
    return type == RECORD_FORK || type == RECORD_EXEC || type == RECORD_EXIT || type == RECORD_HOOK;
}

/* The record is this lane's to tell and to count. */
static inline bool lane_of_owns(struct lane_of lane, const struct record_header *record)
{
    if (lane.count <= 1)
        return true;
    if (!lane_of_has_process(record->type))
        return lane.index == 0;
    return lane_of_key(record->tgid, record->start_ns, lane.count) == lane.index;
}

/* Nothing in it is of use to another lane: that a call was made changes no table. */
static inline bool lane_of_skips(struct lane_of lane, const struct record_header *record)
{
    return record->type == RECORD_HOOK && !lane_of_owns(lane, record);
}
