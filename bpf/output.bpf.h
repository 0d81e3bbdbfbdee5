/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Records out of the programs: number, reserve, send; what the ring refuses is counted by type.
 *
 *   fixed size:    output_begin() ─► fill ─► output_submit()
 *   variable size: assemble elsewhere ─► output_send()
 *
 * A record takes its sequence number before it asks for room, so that a refused one leaves a gap (R3). No
 * record asks for a wake-up: that costs the traced task twenty times the record. Only the one that finds the
 * ring a quarter full for the first time does.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/cpu_state.h"
#include "bpf/kernel_types.h"

enum output_class {
    OUTPUT_LIFE, /* process life and cgroups */
    OUTPUT_HOOK, /* leaves the last eighth of the ring to the others */
};

const volatile __u64 epoch_ns = 0;   /* sequence numbers begin here */
const volatile __u64 ring_bytes = 0; /* size of `ring` */

const volatile __u32 generation = 0; /* of the collector that loaded this object */

/* In a section of its own: a map that all objects with this ring share. */
struct output_shared shared __attribute__((aligned(64))) SEC(".data.shared") = {0};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20); /* set by the collector */
} ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* possible CPUs, set by the collector */
    __type(key, __u32);
    __type(value, struct cpu_state);
} cpu_states SEC(".maps");

/*
 * The gate (cpu_state.h). A tracepoint runs its programs in the order in which they were attached, so on each event the older collector's come before the
 * newer one's, on one CPU. Either the older one reads its own generation, and records; or it reads the newer one's, and then so does the newer one, which
 * reads the same word later. No event is between them. When the word changes between the two reads both record: once too often, never once too few.
 *
 * That holds for events that begin when both are attached: the collector waits for those that began before (RCU) ere it changes the word.
 */
static __always_inline bool gate_is_shut(void)
{
    return *(volatile __u32 *)&shared.active != generation;
}

/* Where the order is another one (trampolines and kprobes run the newest first) the older one is not muted, and ends when it is detached: both may tell of a
 * call for that moment. */
static __always_inline bool gate_is_early(void)
{
    return *(volatile __u32 *)&shared.active < generation;
}

/* A program that was interrupted refuses a smaller number after a greater one: the greatest stays. Each try fails for one interrupt, and
 * there are as many of them inside one another as there are contexts. */
static __always_inline void output_raise(__u64 *greatest, __u64 seq)
{
    for (int try = 0; try < 4; try++) {
        __u64 was = *(volatile __u64 *)greatest;

        if (was >= seq || __sync_val_compare_and_swap(greatest, was, seq) == was)
            return;
    }
}

static __always_inline void output_refuse(struct cpu_state *state, __u8 type, __u64 seq)
{
    __sync_val_compare_and_swap(&state->refused_first, 0, seq);
    output_raise(&state->refused_last, seq);
    __sync_fetch_and_add(&state->refused[type & (RECORD_TYPE_SLOTS - 1)], 1);
}

/* Fills size, type, version, cpu and seq. NULL when this CPU has no state, which cannot be. */
static __always_inline struct cpu_state *output_number(struct record_header *header, __u8 type, __u32 size)
{
    __u32 cpu = bpf_get_smp_processor_id();
    struct cpu_state *state = bpf_map_lookup_elem(&cpu_states, &cpu);

    if (!state)
        return NULL;
    header->size = size;
    header->type = type;
    header->version = RECORD_VERSION;
    header->cpu = cpu;
    header->seq = epoch_ns + __sync_fetch_and_add(&state->made, 1);
    return state;
}

/* Whether a record of this class may still come in, and how it is to be committed. */
static __always_inline bool output_admit(enum output_class class, __u32 size, __u64 *ret_flags)
{
    __u64 used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + size;

    *ret_flags = BPF_RB_NO_WAKEUP;
    if (class == OUTPUT_HOOK && used > ring_bytes - ring_bytes / 8)
        return false;
    if (used >= ring_bytes / 4) {
        if (!shared.above_quarter && !__sync_lock_test_and_set(&shared.above_quarter, 1))
            *ret_flags = BPF_RB_FORCE_WAKEUP;
    } else if (shared.above_quarter) {
        *(volatile __u32 *)&shared.above_quarter = 0;
    }
    return true;
}

/* Room for a record of a size that is known when compiled, its header numbered and dated; NULL: refused
 * and counted. */
static __always_inline void *output_begin(__u8 type, __u32 size, enum output_class class, __u64 *ret_flags)
{
    struct record_header header = {};
    struct cpu_state *state = output_number(&header, type, size);
    struct record_header *record = NULL;

    if (!state)
        return NULL;
    header.time_ns = bpf_ktime_get_boot_ns();
    if (output_admit(class, size, ret_flags))
        record = bpf_ringbuf_reserve(&ring, size, 0);
    if (!record) {
        output_refuse(state, type, header.seq);
        return NULL;
    }
    *record = header;
    return record;
}

static __always_inline void output_submit(void *record, __u64 flags)
{
    bpf_ringbuf_submit(record, flags);
}

/* Sends `size` bytes that begin with a header whose time and task part are filled. The caller has bounded
 * size for the verifier. */
static __always_inline void output_send(
    struct record_header *header, __u8 type, __u32 size, enum output_class class)
{
    __u64 flags = 0;
    struct cpu_state *state = output_number(header, type, size);

    if (!state)
        return;
    if (!output_admit(class, size, &flags) || bpf_ringbuf_output(&ring, header, size, flags))
        output_refuse(state, type, header->seq);
}
