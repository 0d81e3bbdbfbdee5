/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What went by: `podkin events --summary`. */
#include <stdbool.h>
#include <stdint.h>
#include "common/text.h"
#include "enricher/cli/line.h"

#define SUMMARY_HELD_MS_MAX 65536 /* the median is exact below, "more than" above */

struct summary {
    uint64_t by_type[LINE_TYPE_COUNT];
    uint64_t by_pod_state[LINE_POD_STATE_COUNT]; /* of events that have a process */
    uint64_t unresolved;
    uint64_t held, held_unresolved, held_max_ms;
    uint64_t lost;
    uint32_t held_ms[SUMMARY_HELD_MS_MAX];
};

void summary_add(struct summary *summary, const struct line *line);
uint64_t summary_held_median_ms(const struct summary *summary);
void summary_show(const struct summary *summary, uint64_t malformed, struct text *out);
