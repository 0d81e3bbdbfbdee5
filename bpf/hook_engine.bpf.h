/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/* What happens once the raw words of a call are there: selectors, rate limit, action, record. One body for all front ends. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/hook_match.bpf.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, struct hook_config);
} hook_configs SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct hook_rate_key);
    __type(value, __u64);
} hook_rates SEC(".maps");

/* The cookie of the hook that this load of a program is for, where the kernel does not hand cookies to its kind; 0: it does. */
const volatile __u64 hook_cookie = 0;

/* Hook id, and in the upper half the number of its configuration. */
static __always_inline __u64 hook_cookie_get(void *ctx)
{
    return hook_cookie ? hook_cookie : bpf_get_attach_cookie(ctx);
}

static __always_inline struct hook_config *hook_config_find(__u64 cookie)
{
    __u32 number = cookie >> 32;

    return bpf_map_lookup_elem(&hook_configs, &number);
}

/* Over the tail, 8 bytes at a time: what stands between the values is zero. */
struct hook_hash {
    struct hook_slot *slot;
    __u64 sum;
};

static long hook_hash_step(__u32 index, struct hook_hash *hash)
{
    __u64 at = (sizeof(struct record_hook) + index * 8ull) & 0x7ff8;

    if (at >= HOOK_RECORD_BYTES - 8)
        return 1;
    hash->sum = (hash->sum ^ *(__u64 *)(hash->slot->bytes + at)) * 0x9e3779b97f4a7c15;
    hash->sum ^= hash->sum >> 29;
    return 0;
}

static __always_inline __u64 hook_hash_args(struct hook_slot *s)
{
    struct hook_hash hash = {.slot = s};
    __u64 end = s->position;

    FORGET(
        end); /* the kernel takes the number of steps as 64 bits; left to itself the compiler lets the upper ones overflow */
    bpf_loop(((end - sizeof(struct record_hook)) / 8) & 0xffff, hook_hash_step, &hash, 0);
    return hash.sum;
}

/* Whether the rate limit lets this event out; otherwise it is counted for the next that it does. */
__noinline int hook_rate_admits(struct hook_slot *s, struct hook_config *c, __u32 selector)
{
    const struct hook_action *action;
    struct hook_rate_key key = {};
    __u64 now = bpf_ktime_get_boot_ns(), *last;

    if (!s || !c)
        return 0;
    action = &c->actions[selector & 7];
    key.hook = s->hook.hook_id;
    if (action->rate_scope == HOOK_RATE_THREAD)
        key.scope = bpf_get_current_pid_tgid();
    else if (action->rate_scope == HOOK_RATE_PROCESS)
        key.scope = bpf_get_current_pid_tgid() >> 32;
    key.args = hook_hash_args(s);
    last = bpf_map_lookup_elem(&hook_rates, &key);
    if (last && now - *last < action->rate_ns) {
        __sync_fetch_and_add(&c->suppressed, 1);
        return 0;
    }
    bpf_map_update_elem(&hook_rates, &key, &now, BPF_ANY);
    return 1;
}

/* Signals and return values: what is done is said in the record. */
__noinline int hook_act(struct hook_slot *s, struct hook_config *c, __u32 selector)
{
    const struct hook_action *action;

    if (!s || !c)
        return 0;
    action = &c->actions[selector & 7];
    s->hook.action = action->reported;
    s->hook.action_value = action->reported_value;
    s->hook.action_failed = 0;
    if (action->signal && bpf_send_signal(action->signal))
        s->hook.action_failed = 1;
    if (action->flags & HOOK_ACTION_OVERRIDE)
        s->result = action->override;
    return 0;
}

static __always_inline void hook_add_stack(void *ctx, struct hook_slot *s)
{
    __u64 position = hook_position(s);
    long size;

    if (hook_is_full(s))
        return;
    size = bpf_get_stack(ctx, s->bytes + position, RECORD_HOOK_STACK_MAX * sizeof(__u64), 0);
    if (size <=
        0) /* 6.1 hands the process's registers to a system call's tracepoint: they lead to no kernel stack */
        size = bpf_get_task_stack(
            bpf_get_current_task_btf(), s->bytes + position, RECORD_HOOK_STACK_MAX * sizeof(__u64), 0);
    if (size <= 0 || size > (long)(RECORD_HOOK_STACK_MAX * sizeof(__u64)))
        return;
    s->hook.stack.offset = position;
    s->hook.stack.size = size;
    s->hook.stack_count = size / sizeof(__u64);
    s->position = position + size;
}

__noinline int hook_send(struct hook_slot *s, struct hook_config *c, __u32 selector)
{
    __u32 size;

    if (!s || !c)
        return 0;
    task_fill_header(&s->hook.header, bpf_get_current_task_btf(), ACCESS_DIRECT);
    s->hook.header.time_ns = bpf_ktime_get_boot_ns();
    s->hook.selector = selector;
    s->hook.suppressed = c->suppressed ? __sync_lock_test_and_set(&c->suppressed, 0) : 0;
    s->hook.reserved = 0;
    size = s->position;
    FORGET(size);
    if (size > HOOK_RECORD_BYTES)
        size = HOOK_RECORD_BYTES;
    output_send(&s->hook.header, RECORD_HOOK, size, OUTPUT_HOOK);
    return 0;
}

__noinline int hook_read_all(struct hook_slot *s, struct hook_config *c)
{
    if (!s || !c)
        return 0;
    for (__u32 i = 0; i < HOOK_ARGS; i++)
        hook_read_arg(s, c, i);
    return 0;
}

static __always_inline void hook_begin(struct hook_slot *s)
{
    __builtin_memset(s->hook.args, 0, sizeof(s->hook.args) + sizeof(s->hook.stack));
    s->hook.stack_count = 0;
}

/* The raw words are in the slot. What the program may return is in s->result. */
static __always_inline int hook_run(void *ctx, struct hook_slot *s, struct hook_config *c)
{
    const struct hook_action *action;
    int selector;

    hook_begin(s);
    selector = hook_select(s, c);
    if (selector < 0)
        return 0;
    action = &c->actions[selector & 7];
    hook_act(s, c, selector);
    if (!(action->flags & HOOK_ACTION_POST))
        return 0;
    hook_read_all(s, c);
    if (action->rate_ns && !hook_rate_admits(s, c, selector))
        return 0;
    if (action->flags & HOOK_ACTION_STACK)
        hook_add_stack(ctx, s);
    return hook_send(s, c, selector);
}
