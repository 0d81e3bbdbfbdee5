/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Which processes a policy's selectors mean. A set is a bit, kept with the process (process_sets.bpf.h): a selector on a binary or a pid costs one
 * look at it, whatever the length of its list, and no table of processes can fill up or grow old.
 *
 *   exec   bits of the new binary; of the old ones those that follow (hook_follow) stay
 *   fork   the child begins with its parent's
 *   snapshot  an iterator does for what runs already what the two would have done, as often as it takes until nothing changes
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/hook_match.bpf.h"
#include "bpf/process_sets.bpf.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, struct hook_text_key);
    __type(value, struct hook_process_bits);
} hook_binaries SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct hook_prefix_key);
    __type(value, struct hook_process_bits);
} hook_binary_prefixes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct hook_prefix_key);
    __type(value, struct hook_process_bits);
} hook_binary_postfixes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, struct hook_pid_key);
    __type(value, struct hook_process_bits);
} hook_pids SEC(".maps");

/* Of all sets together. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct hook_sets);
} hook_sets SEC(".maps");

static __always_inline struct hook_sets *hook_sets_get(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&hook_sets, &zero);
}

static __always_inline void bits_or(struct hook_process_bits *to, const struct hook_process_bits *from)
{
#pragma unroll
    for (int i = 0; i < HOOK_SET_WORDS; i++)
        to->words[i] |= from->words[i];
}

static __always_inline void bits_mask(struct hook_process_bits *bits, const struct hook_process_bits *mask)
{
#pragma unroll
    for (int i = 0; i < HOOK_SET_WORDS; i++)
        bits->words[i] &= mask->words[i];
}

static __always_inline void bits_clear(struct hook_process_bits *bits, const struct hook_process_bits *mask)
{
#pragma unroll
    for (int i = 0; i < HOOK_SET_WORDS; i++)
        bits->words[i] &= ~mask->words[i];
}

static __always_inline bool bits_differ(const struct hook_process_bits *a, const struct hook_process_bits *b)
{
    __u64 difference = 0;

#pragma unroll
    for (int i = 0; i < HOOK_SET_WORDS; i++)
        difference |= a->words[i] ^ b->words[i];
    return difference != 0;
}

static __always_inline bool bits_any(const struct hook_process_bits *bits)
{
    __u64 all = 0;

#pragma unroll
    for (int i = 0; i < HOOK_SET_WORDS; i++)
        all |= bits->words[i];
    return all != 0;
}

/* ---- what a binary is in ------------------------------------------------------------------------------- */

static __always_inline void hook_take_bits(struct hook_slot *s, const struct hook_process_bits *found)
{
    if (found)
        bits_or(&s->bits, found);
}

/* The path at s->path + offset: whole, and its beginning; into s->bits. */
__noinline int hook_find_path(struct hook_slot *memory, __u64 offset, __u64 size)
{
    struct hook_slot *s;
    __u64 taken = size, address;

    if (!memory)
        return 0;
    s = hook_slot_again(memory);
    if (!s)
        return 0;
    address = (__u64)s->path + (offset & (RECORD_PATH_MAX - 1));
    FORGET(taken);
    if (taken > HOOK_PREFIX_MAX)
        taken = HOOK_PREFIX_MAX;
    __builtin_memset(&s->key.prefix, 0, sizeof(s->key.prefix));
    if (!taken || bpf_probe_read_kernel(s->key.prefix.data, taken, (void *)address))
        return 0;
    s->key.prefix.bits = 32 + taken * 8;
    hook_take_bits(s, bpf_map_lookup_elem(&hook_binary_prefixes, &s->key.prefix));
    taken = size;
    FORGET(taken);
    if (taken > HOOK_PATTERN_MAX)
        return 0;
    __builtin_memset(&s->key.text, 0, sizeof(s->key.text));
    if (bpf_probe_read_kernel(s->key.text.data, taken, (void *)address))
        return 0;
    s->key.text.size = taken;
    hook_take_bits(s, bpf_map_lookup_elem(&hook_binaries, &s->key.text));
    return 0;
}

/* Its end. */
__noinline int hook_find_path_end(struct hook_slot *memory, __u64 size)
{
    struct hook_slot *s;
    long taken;

    if (!memory)
        return 0;
    s = hook_slot_again(memory);
    taken = s ? hook_key_reverse(s, (__u64)s->path + RECORD_PATH_MAX, size) : -1;
    if (taken <= 0)
        return 0;
    s->key.prefix.bits = 32 + taken * 8;
    hook_take_bits(s, bpf_map_lookup_elem(&hook_binary_postfixes, &s->key.prefix));
    return 0;
}

/* Sets of a file that runs, by its path as its process sees it; into s->bits. */
__noinline int hook_find_binary(struct hook_slot *s, __u64 file_address, __u64 fs_address)
{
    struct file *file = (void *)file_address;
    struct fs_struct *fs = (void *)fs_address;
    struct path exe = {}, root = {};
    __u64 offset = 0;

    if (!s)
        return 0;
    __builtin_memset(&s->bits, 0, sizeof(s->bits));
    if (!file || !fs || bpf_core_read(&root, sizeof(root), &fs->root) ||
        bpf_core_read(&exe, sizeof(exe), &file->f_path))
        return 0;
    (void)path_write(s->path, &exe, &root, &offset);
    offset &= RECORD_PATH_MAX - 1;
    hook_find_path(s, offset, RECORD_PATH_MAX - offset);
    return hook_find_path_end(s, RECORD_PATH_MAX - offset);
}

static __always_inline void hook_find_pid(struct task_struct *task, struct hook_process_bits *bits)
{
    struct hook_pid_key key = {.pid = BPF_CORE_READ(task, tgid)};
    struct pid_in_namespace inside;
    struct hook_process_bits *found = bpf_map_lookup_elem(&hook_pids, &key);

    if (found)
        bits_or(bits, found);
    process_read_pid((void *)BPF_CORE_READ(task, group_leader), ACCESS_PROBED, &inside);
    key.pid = inside.nr;
    key.is_inside = 1;
    found = bpf_map_lookup_elem(&hook_pids, &key);
    if (found)
        bits_or(bits, found);
}

/* ---- fork, exec ---------------------------------------------------------------------------------------- */

/* Threads too: one that calls exec becomes the process, and has nothing but what is kept with itself. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(hook_on_fork, struct task_struct *parent, struct task_struct *child)
{
    struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
    struct hook_process_bits *own = leader ? bpf_task_storage_get(&process_sets, leader, NULL, 0) : NULL;
    struct hook_process_bits bits = {};
    struct hook_process_bits *state;

    if (own)
        bits_or(&bits, own);
    if (child->pid == child->tgid)
        hook_find_pid(child, &bits);
    if (!bits_any(&bits))
        return 0;
    state = bpf_task_storage_get(&process_sets, child, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (state)
        bits_or(state, &bits);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(hook_on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    struct task_struct *current = bpf_get_current_task_btf();
    struct hook_process_bits *state =
        bpf_task_storage_get(&process_sets, current, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    struct hook_sets *sets = hook_sets_get();
    struct hook_slot *s;

    if (!state || !sets)
        return 0;
    bits_mask(state, &sets->follow);
    s = hook_slot_claim();
    if (!s) {
        __sync_fetch_and_add(&sets->failed, 1); /* the collector has the iterator go over them */
        return 0;
    }
    hook_find_binary(s, (__u64)BPF_CORE_READ(current, mm, exe_file), (__u64)BPF_CORE_READ(current, fs));
    bits_or(state, &s->bits);
    hook_slot_release(s);
    return 0;
}

/* ---- what runs already --------------------------------------------------------------------------------- */

/* As fork and exec would have it: what was there less what is cleared, the binary's and the pid's, and of the parent's what follows. */
static __always_inline void hook_settle_task(
    struct hook_slot *s, struct task_struct *task, struct hook_process_bits *from, struct hook_sets *sets)
{
    struct hook_process_bits *state = bpf_task_storage_get(&process_sets, task, NULL, 0);
    struct hook_process_bits bits = {};

    if (state)
        bits_or(&bits, state);
    if (from)
        bits_or(&s->bits, from);
    bits_or(&bits, &s->bits);
    bits_clear(&bits, &sets->clear);
    if (state ? !bits_differ(&bits, state) : !bits_any(&bits))
        return;
    if (!state)
        state = bpf_task_storage_get(&process_sets, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (state)
        *state = bits;
    __sync_fetch_and_add(&sets->changed, 1);
}

SEC("iter/task")
int hook_on_task(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task, *leader, *parent;
    struct hook_sets *sets = hook_sets_get();
    struct hook_process_bits *from = NULL;
    struct hook_process_bits inherited = {};
    struct hook_slot *s;

    if (!task || !sets)
        return 0;
    s = hook_slot_claim();
    if (!s) {
        __sync_fetch_and_add(&sets->changed, 1);
        return 0;
    }
    if (task->pid == task->tgid) {
        hook_find_binary(s, (__u64)BPF_CORE_READ(task, mm, exe_file), (__u64)BPF_CORE_READ(task, fs));
        hook_find_pid(task, &s->bits);
        parent = task->real_parent;
        leader = parent ? parent->group_leader : NULL;
        from = leader ? bpf_task_storage_get(&process_sets, leader, NULL, 0) : NULL;
        if (from) {
            inherited = *from;
            bits_mask(&inherited, &sets->follow);
            bits_or(&s->bits, &inherited);
        }
        hook_settle_task(s, task, NULL, sets);
    } else {
        __builtin_memset(&s->bits, 0, sizeof(s->bits));
        leader = task->group_leader;
        from = leader ? bpf_task_storage_get(&process_sets, leader, NULL, 0) : NULL;
        hook_settle_task(s, task, from, sets);
    }
    hook_slot_release(s);
    return 0;
}
