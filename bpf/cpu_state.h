/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * What the programs keep a CPU, in an array that the collector maps too.
 *
 * Counters only grow; each is a word, read by itself. refused_first is given back by the collector: it
 * exchanges it for 0 once it has taken note, and the next refusal sets it anew. The programs set
 * refused_first, then refused_last, then count.
 */
#include "common/record.h"

struct cpu_state {
    __u64 made; /* sequence numbers used */
    __u64 refused_first;
    __u64 refused_last;
    __u64 refused[RECORD_TYPE_SLOTS];
    __u64 reserved[5];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct cpu_state) == 192, "cache lines of its own");
