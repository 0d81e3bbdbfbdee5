/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * What the programs keep a CPU, in an array that the collector maps too.
 *
 * Counters only grow; each is a word, read by itself. refused_first is given back by the collector: it
 * exchanges it for 0 once it has taken note, and the next refusal sets it anew. The programs set
 * refused_first, then refused_last, then count. refused_last only grows: what the counts count lies at or below it.
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

/*
 * What all objects with one ring share, on a line of its own that every CPU reads for each record.
 *
 * The gate: a collector's programs record only while `active` is their generation, so that the next collector can attach its own beside them, muted, and then
 * turn all of them over with one store (collector/gate.h).
 */
struct output_shared {
    __u32 above_quarter; /* the ring was found above a quarter and not below since */
    __u32 active;        /* generation of the collector whose programs record */
    __u32 padding[14];
};

_Static_assert(sizeof(struct output_shared) == 64, "a cache line");

/* Of all that a collector takes over from another in the kernel: the maps named here, process_state.bpf.h, and how sequence numbers are made. */
#define BPF_LAYOUT_VERSION  1
#define PROCESS_STATE_BYTES 16 /* struct process_state */
