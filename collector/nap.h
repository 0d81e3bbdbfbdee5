/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How long the collector waits until it looks into the ring again: as short as pays. A wake-up costs some ten microseconds whatever it finds, so a look that finds few
 * records is followed by a longer wait, and one that finds many by a short one. Pure.
 *
 *   M1  NAP_MIN_NS after NAP_MANY_RECORDS or more, from whatever wait
 *   M2  never above NAP_FEW_NS after a record, never above NAP_MAX_NS at all
 */
#include <stdint.h>

#include "common/clock.h"

#define NAP_MIN_NS       (1 * NS_PER_MS)
#define NAP_FEW_NS       (10 * NS_PER_MS)
#define NAP_MAX_NS       (40 * NS_PER_MS)
#define NAP_MANY_RECORDS 32

/* After a wait of `ns` (0: none) and a look that found so many. */
uint64_t nap_next_ns(uint64_t ns, unsigned records);
