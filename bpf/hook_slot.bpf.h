/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Where a hook at work keeps what it needs: a slot, one of a few of its CPU, claimed with one atomic bit. A hook may be interrupted by
 * another (a tracepoint in an interrupt), or preempted by a task that runs into one: each takes the next slot. One that finds none is counted.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/hook_config.h"
#include "bpf/output.bpf.h"
#include "bpf/path.bpf.h"

/* The tail grows at `position`, a multiple of 8; masked, so that the verifier sees that the largest value fits behind it. */
#define HOOK_POSITION_MASK 0x3fff
#define HOOK_RECORD_BYTES                                                                                    \
    (HOOK_POSITION_MASK + 1 + sizeof(struct record_arg_sock) + HOOK_VALUE_MAX + 2 * RECORD_ALIGN)
_Static_assert(HOOK_RECORD_BYTES < RECORD_SIZE_MAX, "a record");

struct hook_slot {
    __u64 words[HOOK_WORDS_MAX + 4]; /* of the call; HOOK_WORD_RETURN is the last that is used */
    __u32 position;
    __u32 is_read; /* bits: arguments */
    __s32 result;  /* what the program returns, for those that may decide */
    __u32 number;
    union {
        struct record_hook hook;
        __u8 bytes[HOOK_RECORD_BYTES];
    };
    union {
        struct hook_text_key text;
        struct hook_prefix_key prefix;
    } key;
    struct hook_process_bits bits;
    __u8 reversed[256];
    __u8 path[PATH_BUFFER_BYTES];
};
_Static_assert(sizeof(struct hook_slot) <= 32768, "what a per-CPU map may hold");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, HOOK_SLOTS);
    __type(key, __u32);
    __type(value, struct hook_slot);
} hook_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} hook_slots_used SEC(".maps");

/* A record that is not made, counted as one that was refused (H3). */
static __always_inline void hook_refuse(void)
{
    struct record_header header = {};
    struct cpu_state *state = output_number(&header, RECORD_HOOK, sizeof(struct record_hook));

    if (state)
        output_refuse(state, RECORD_HOOK, header.seq);
}

static __always_inline struct hook_slot *hook_slot_claim(void)
{
    __u32 zero = 0;
    __u64 *used = bpf_map_lookup_elem(&hook_slots_used, &zero);
    struct hook_slot *s;

    if (!used)
        return NULL;
#pragma unroll
    for (__u32 i = 0; i < HOOK_SLOTS; i++) {
        __u32 number = i;

        if (__sync_fetch_and_or(used, 1ull << i) & 1ull << i)
            continue;
        s = bpf_map_lookup_elem(&hook_slots, &number);
        if (!s)
            return NULL;
        s->number = i;
        s->is_read = 0;
        s->result = 0;
        s->position = sizeof(struct record_hook);
        return s;
    }
    return NULL;
}

static __always_inline void hook_slot_release(struct hook_slot *s)
{
    __u32 zero = 0;
    __u64 *used = bpf_map_lookup_elem(&hook_slots_used, &zero);

    if (used)
        __sync_fetch_and_and(used, ~(1ull << (s->number & 63)));
}

/* The slot once more, as what a map gave: 6.1 takes no key out of memory that a function was handed. */
static __always_inline struct hook_slot *hook_slot_again(const struct hook_slot *s)
{
    __u32 number = s->number;

    return bpf_map_lookup_elem(&hook_slots, &number);
}
