/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From the counters that the BPF programs keep a CPU to RECORD_LOST: what was refused since the last look.
 * Counts are exact by type, and all that they count lies at or below last (the enricher's ledger.h goes by that). first and last
 * are exact, but for a refusal in the very moment of the look, where the range may begin or end with its neighbour's.
 */
#include <stdbool.h>
#include <stdint.h>

#include "bpf/cpu_state.h"
#include "common/record.h"

/* What has been reported of one CPU; all zero is the start. */
struct loss_seen {
    uint64_t refused[RECORD_TYPE_SLOTS];
    uint64_t pending_first; /* taken from the programs, its count not seen yet */
    uint64_t last;
};

/* true: *ret is a whole record (header.seq 0), `seen` has moved on. false: nothing new, *ret is untouched. */
bool loss_collect(
    struct cpu_state *state, struct loss_seen *seen, uint16_t cpu, uint64_t now_ns, struct record_lost *ret);
