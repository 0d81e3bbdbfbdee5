/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What lanes count, added up: of what every lane has (tables), there is nothing to add. */
#include "enricher/counters.h"
#include "enricher/histogram.h"
#include "enricher/output.h"

struct lane;

struct lane_sum {
    struct counters counters;
    struct histogram release_ns, write_ns;
    struct output_state output; /* last_error: of one that fails */
    uint64_t held, hold_bytes, hold_max_count, updates_owed, records_read;
    uint64_t unbalanced; /* lanes whose books do not balance (E3) */
    bool broken;         /* the queue, for any */
};

void lane_sum_add(struct lane_sum *sum, const struct lane *lane);
/* E3, over the types that become lines. */
uint64_t lane_sum_received(const struct counters *counters);
uint64_t lane_sum_emitted(const struct counters *counters);
uint64_t lane_sum_dropped(const struct counters *counters);
