/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Whether a selector holds. A match reads an argument when it is the first to need it; the argument stays where it was read, in the record's tail.
 */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/hook_read.bpf.h"
#include "bpf/hook_socket.bpf.h"
#include "bpf/process_sets.bpf.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, struct hook_number_key);
    __type(value, __u8);
} hook_numbers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, struct hook_text_key);
    __type(value, __u8);
} hook_texts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct hook_prefix_key);
    __type(value, __u8);
} hook_prefixes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct hook_prefix_key);
    __type(value, __u8);
} hook_postfixes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct hook_network_key);
    __type(value, __u8);
} hook_networks SEC(".maps");

/* ---- arguments ----------------------------------------------------------------------------------------- */

static __always_inline int hook_read_buffer(
    struct hook_slot *s, const struct hook_arg *arg, __u32 index, __u64 word)
{
    __u64 size = arg->size_word == HOOK_WORD_NONE ? arg->bytes_max : s->words[arg->size_word & 15];
    __u64 flags = arg->flags & HOOK_ARG_USER;

    if (arg->read == HOOK_READ_IOVEC)
        return hook_read_pieces(s, index, word, size, flags << 32);
    if (arg->read == HOOK_READ_IOV_ITER)
        return hook_read_iov_iter(s, index, word);
    if ((__s64)size < 0) /* the size is a return value, and that an error */
        size = 0;
    return hook_read_bytes(s, index, word, size, arg->bytes_max | flags << 16);
}

static __always_inline int hook_read_object(
    struct hook_slot *s, const struct hook_arg *arg, __u32 index, __u64 word)
{
    switch (arg->read) {
    case HOOK_READ_SOCKET:
        return hook_read_sock(s, index, (__u64)BPF_CORE_READ((struct socket *)word, sk));
    case HOOK_READ_SOCK:
        return hook_read_sock(s, index, word);
    case HOOK_READ_SKB:
        return hook_read_skb(s, index, word);
    case HOOK_READ_SOCKADDR:
        return hook_read_sockaddr(s, index, word, arg->flags);
    case HOOK_READ_CRED:
        return hook_read_cred(s, index, word);
    default:
        return hook_fail(s, index);
    }
}

static __always_inline int hook_read_named(
    struct hook_slot *s, const struct hook_arg *arg, __u32 index, __u64 word)
{
    switch (arg->read) {
    case HOOK_READ_FILE:
        return hook_read_file(s, index, word, -1);
    case HOOK_READ_BINPRM:
        return hook_read_file(s, index, (__u64)BPF_CORE_READ((struct linux_binprm *)word, file), -1);
    case HOOK_READ_FD:
        return hook_read_fd(s, index, word);
    case HOOK_READ_PATH:
        return hook_read_path(s, index, word, (__u32)-1);
    default:
        return hook_read_dentry(s, index, word);
    }
}

/* Argument `index` into the record, if it is not there yet. */
__noinline int hook_read_arg(struct hook_slot *s, struct hook_config *c, __u32 index)
{
    const struct hook_arg *arg;
    __u64 word;

    if (!s || !c)
        return 0;
    index &= 7;
    arg = &c->args[index];
    if (arg->type == RECORD_ARG_NONE || s->is_read & 1u << index)
        return 0;
    s->is_read |= 1u << index;
    hook_arg_of(s, index)->type = arg->type;
    word = s->words[arg->word & 15];
    if (hook_is_full(s)) {
        hook_arg_of(s, index)->flags = RECORD_ARG_TRUNCATED | RECORD_ARG_ERROR;
        return 0;
    }
    switch (arg->read) {
    case HOOK_READ_INTEGER:
        if (arg->type == RECORD_ARG_SYSCALL)
            return hook_keep_number(s, index, hook_syscall_number(word));
        return hook_keep_number(s, index, hook_integer(arg, word));
    case HOOK_READ_FILENAME:
        return hook_read_string(s, index, (__u64)BPF_CORE_READ((struct filename *)word, name), 0);
    case HOOK_READ_STRING:
        return hook_read_string(s, index, word, arg->flags);
    case HOOK_READ_BYTES:
    case HOOK_READ_IOVEC:
    case HOOK_READ_IOV_ITER:
        return hook_read_buffer(s, arg, index, word);
    case HOOK_READ_FILE:
    case HOOK_READ_BINPRM:
    case HOOK_READ_FD:
    case HOOK_READ_PATH:
    case HOOK_READ_DENTRY:
        return hook_read_named(s, arg, index, word);
    default:
        return hook_read_object(s, arg, index, word);
    }
}

/* ---- matches ------------------------------------------------------------------------------------------- */

__noinline int hook_in_ranges(struct hook_config *c, __u32 first, __u32 count, __u64 value, __u32 is_signed)
{
    const __u64 bias = is_signed ? 1ull << 63 : 0; /* moves signed order onto unsigned */

    if (!c)
        return 0;
    for (__u32 i = 0; i < HOOK_RANGES_MAX && i < count; i++) {
        const struct hook_range *range = &c->ranges[(first + i) & (HOOK_RANGES_MAX - 1)];

        if ((value ^ bias) >= (range->low ^ bias) && (value ^ bias) <= (range->high ^ bias))
            return 1;
    }
    return 0;
}

static __always_inline int hook_match_process(__u32 set)
{
    struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
    struct hook_process_bits *sets = leader ? bpf_task_storage_get(&process_sets, leader, NULL, 0) : NULL;

    return sets && sets->words[(set >> 6) & (HOOK_PROCESS_SETS_MAX / 64 - 1)] >> (set & 63) & 1;
}

static __always_inline __u64 hook_pid(bool inside)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct pid_in_namespace pid;

    if (!inside)
        return bpf_get_current_pid_tgid() >> 32;
    process_read_pid((void *)BPF_CORE_READ(task, group_leader), ACCESS_PROBED, &pid);
    return pid.nr;
}

__noinline int hook_namespace(__u32 kind)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct nsproxy *nsproxy = BPF_CORE_READ(task, nsproxy);
    struct pid_in_namespace pid;
    struct pid_namespace *pid_ns;

    switch (kind) {
    case 0:
        return BPF_CORE_READ(nsproxy, uts_ns, ns.inum);
    case 1:
        return BPF_CORE_READ(nsproxy, ipc_ns, ns.inum);
    case 2:
        return BPF_CORE_READ(nsproxy, mnt_ns, ns.inum);
    case 3:
        pid_read_upid(BPF_CORE_READ(task, thread_pid), BPF_CORE_READ(task, thread_pid, level), &pid);
        pid_ns = pid.ns;
        return BPF_CORE_READ(pid_ns, ns.inum);
    case 4:
        return BPF_CORE_READ(nsproxy, pid_ns_for_children, ns.inum);
    case 5:
        return BPF_CORE_READ(nsproxy, net_ns, ns.inum);
    case 6:
        return BPF_CORE_READ(nsproxy, time_ns, ns.inum);
    case 7:
        return BPF_CORE_READ(nsproxy, time_ns_for_children, ns.inum);
    case 8:
        return BPF_CORE_READ(nsproxy, cgroup_ns, ns.inum);
    default:
        return BPF_CORE_READ(task, real_cred, user_ns, ns.inum);
    }
}

#define HOOK_INIT_USER_NS 0xeffffffd /* include/linux/proc_ns.h: PROC_USER_INIT_INO */

static __always_inline int hook_match_capability(__u32 set, const struct hook_range *range)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    const struct cred *cred = BPF_CORE_READ(task, real_cred);
    __u64 bits = 0;

    if (range->high && BPF_CORE_READ(cred, user_ns, ns.inum) == HOOK_INIT_USER_NS)
        return 0;
    if (set == HOOK_CAP_EFFECTIVE)
        bits = kernel_cap_read(&cred->cap_effective);
    else if (set == HOOK_CAP_INHERITABLE)
        bits = kernel_cap_read(&cred->cap_inheritable);
    else
        bits = kernel_cap_read(&cred->cap_permitted);
    return (bits & range->low) != 0;
}

/* The text of an argument that has been read: address and size. */
static __always_inline __u64 hook_text(struct hook_slot *s, __u32 index, __u8 type, __u64 *ret_size)
{
    const struct record_arg *arg = hook_arg_of(s, index);
    __u64 fixed = type == RECORD_ARG_STRING || type == RECORD_ARG_BYTES ? sizeof(struct record_arg_bytes)
                                                                        : sizeof(struct record_arg_path);
    *ret_size = 0;
    if (arg->value.size < fixed)
        return 0;
    *ret_size = arg->value.size - fixed;
    return (__u64)s->bytes + arg->value.offset + fixed;
}

__noinline int hook_match_text(struct hook_slot *memory, __u32 index, __u32 set, __u8 type)
{
    struct hook_slot *s;
    __u64 size, address;

    if (!memory)
        return 0;
    s = hook_slot_again(memory);
    if (!s)
        return 0;
    address = hook_text(s, index, type, &size);
    FORGET(size);
    if (!address || size > HOOK_PATTERN_MAX)
        return 0;
    __builtin_memset(&s->key.text, 0, sizeof(s->key.text));
    s->key.text.set = set;
    s->key.text.size = size;
    if (size && bpf_probe_read_kernel(s->key.text.data, size, (void *)address))
        return 0;
    return bpf_map_lookup_elem(&hook_texts, &s->key.text) != NULL;
}

__noinline int hook_match_prefix(struct hook_slot *memory, __u32 index, __u32 set, __u8 type)
{
    struct hook_slot *s;
    __u64 size, address;

    if (!memory)
        return 0;
    s = hook_slot_again(memory);
    if (!s)
        return 0;
    address = hook_text(s, index, type, &size);
    if (!address)
        return 0;
    FORGET(size);
    if (size > HOOK_PREFIX_MAX)
        size = HOOK_PREFIX_MAX;
    __builtin_memset(&s->key.prefix, 0, sizeof(s->key.prefix));
    s->key.prefix.set = set;
    s->key.prefix.bits = 32 + size * 8;
    if (size && bpf_probe_read_kernel(s->key.prefix.data, size, (void *)address))
        return 0;
    return bpf_map_lookup_elem(&hook_prefixes, &s->key.prefix) != NULL;
}

/* The reversal of a text's end under way. `at`: where in the slot it goes. */
struct hook_reversal {
    struct hook_slot *slot;
    __u64 size;
};

static long hook_reverse_step(__u32 index, struct hook_reversal *reversal)
{
    struct hook_slot *s = reversal->slot;
    __u64 from = reversal->size - 1 - index, to = index;

    FORGET(to);
    if (to >= HOOK_PREFIX_MAX)
        return 1;
    s->key.prefix.data[to] = s->reversed[from & 0xff];
    return 0;
}

/* The end of a text, back to front, as key; the numbers before it are the caller's. Returns its size; negative: it cannot be read. */
static __always_inline long hook_key_reverse(struct hook_slot *s, __u64 end, __u64 size)
{
    struct hook_reversal reversal = {.slot = s};
    __u64 taken = size;

    FORGET(taken);
    if (taken > HOOK_PREFIX_MAX)
        taken = HOOK_PREFIX_MAX;
    __builtin_memset(&s->key.prefix, 0, sizeof(s->key.prefix));
    if (taken && bpf_probe_read_kernel(s->reversed, taken, (void *)(end - taken)))
        return -1;
    reversal.size = taken;
    bpf_loop(taken, hook_reverse_step, &reversal, 0);
    return taken;
}

__noinline int hook_match_postfix(struct hook_slot *memory, __u32 index, __u32 set, __u8 type)
{
    struct hook_slot *s;
    __u64 size, address;
    long taken;

    if (!memory)
        return 0;
    s = hook_slot_again(memory);
    if (!s)
        return 0;
    address = hook_text(s, index, type, &size);
    taken = address ? hook_key_reverse(s, address + size, size) : -1;
    if (taken < 0)
        return 0;
    s->key.prefix.set = set;
    s->key.prefix.bits = 32 + taken * 8;
    return bpf_map_lookup_elem(&hook_postfixes, &s->key.prefix) != NULL;
}

static __always_inline const struct record_arg_sock *hook_sock_value(struct hook_slot *s, __u32 index)
{
    const struct record_arg *arg = hook_arg_of(s, index);
    __u64 offset = arg->value.offset;

    if (arg->value.size != sizeof(struct record_arg_sock))
        return NULL;
    FORGET(offset);
    return (void *)(s->bytes + (offset & (HOOK_POSITION_MASK & ~(RECORD_ALIGN - 1))));
}

/* An IPv4 address in IPv6's clothes is an IPv4 address. */
__noinline int hook_match_network(struct hook_slot *s, __u32 index, __u32 set, __u32 is_destination)
{
    const struct record_arg_sock *sock;
    struct hook_network_key key = {.bits = 192, .set = set};

    if (!s)
        return 0;
    sock = hook_sock_value(s, index);
    if (!sock)
        return 0;
    __builtin_memcpy(key.address, is_destination ? sock->daddr : sock->saddr, 16);
    if (sock->family == HOOK_AF_INET) {
        key.family = 4;
    } else if (sock->family == HOOK_AF_INET6) {
        __u32 *parts = (__u32 *)key.address;

        key.family = 6;
        if (!parts[0] && !parts[1] && parts[2] == bpf_htonl(0xffff)) {
            key.family = 4;
            parts[0] = parts[3];
            parts[2] = parts[3] = 0;
        }
    } else {
        return 0;
    }
    return bpf_map_lookup_elem(&hook_networks, &key) != NULL;
}

static __always_inline int hook_match_sock(
    struct hook_slot *s, struct hook_config *c, const struct hook_match *m)
{
    const struct record_arg_sock *sock;
    __u64 value;

    if (m->op == HOOK_MATCH_SADDR || m->op == HOOK_MATCH_DADDR)
        return hook_match_network(s, m->arg, m->set, m->op == HOOK_MATCH_DADDR);
    sock = hook_sock_value(s, m->arg);
    if (!sock)
        return 0;
    switch (m->op) {
    case HOOK_MATCH_SPORT:
        value = sock->sport;
        break;
    case HOOK_MATCH_DPORT:
        value = sock->dport;
        break;
    case HOOK_MATCH_PROTOCOL:
        value = sock->protocol;
        break;
    case HOOK_MATCH_FAMILY:
        value = sock->family;
        break;
    default:
        value = sock->state;
        break;
    }
    return hook_in_ranges(c, m->range_first, m->range_count, value, 0);
}

static __always_inline int hook_match_number(
    struct hook_slot *s, struct hook_config *c, const struct hook_match *m)
{
    const struct hook_arg *arg = &c->args[m->arg & 7];
    __u64 word = s->words[arg->word & 15];
    struct hook_number_key key = {.set = m->set};

    key.value = arg->type == RECORD_ARG_SYSCALL ? hook_syscall_number(word) : hook_integer(arg, word);
    if (m->op == HOOK_MATCH_NUMBER)
        return hook_in_ranges(c, m->range_first, m->range_count, key.value, m->is_signed);
    if (m->op == HOOK_MATCH_MASK)
        return (key.value & c->ranges[m->range_first & (HOOK_RANGES_MAX - 1)].low) != 0;
    return bpf_map_lookup_elem(&hook_numbers, &key) != NULL;
}

static __always_inline int hook_match_value(
    struct hook_slot *s, struct hook_config *c, const struct hook_match *m)
{
    __u8 type = c->args[m->arg & 7].type;

    switch (m->op) {
    case HOOK_MATCH_TEXT:
        return hook_match_text(s, m->arg, m->set, type);
    case HOOK_MATCH_PREFIX:
        return hook_match_prefix(s, m->arg, m->set, type);
    case HOOK_MATCH_POSTFIX:
        return hook_match_postfix(s, m->arg, m->set, type);
    default:
        return hook_match_sock(s, c, m);
    }
}

__noinline int hook_match_one(struct hook_slot *s, struct hook_config *c, __u32 index)
{
    const struct hook_match *m;

    if (!s || !c)
        return 0;
    m = &c->matches[index & (HOOK_MATCHES_MAX - 1)];
    switch (m->op) {
    case HOOK_MATCH_ALWAYS:
        return 1;
    case HOOK_MATCH_PROCESS:
        return hook_match_process(m->set);
    case HOOK_MATCH_PID:
        return hook_in_ranges(c, m->range_first, m->range_count, hook_pid(m->arg), 0);
    case HOOK_MATCH_NAMESPACE:
        return hook_in_ranges(c, m->range_first, m->range_count, (__u32)hook_namespace(m->arg), 0);
    case HOOK_MATCH_CAPABILITY:
        return hook_match_capability(m->arg, &c->ranges[m->range_first & (HOOK_RANGES_MAX - 1)]);
    case HOOK_MATCH_NUMBER:
    case HOOK_MATCH_NUMBER_SET:
    case HOOK_MATCH_MASK:
        return hook_match_number(s, c, m);
    default:
        return hook_match_value(s, c, m);
    }
}

/* Which selector holds, -1: none (H2). */
__noinline int hook_select(struct hook_slot *s, struct hook_config *c)
{
    __u32 i = 0;

    if (!s || !c)
        return -1;
    for (__u32 step = 0; step < HOOK_MATCHES_MAX; step++) {
        const struct hook_match *m;

        if (i >= HOOK_MATCHES_MAX || i >= c->match_count)
            return -1;
        m = &c->matches[i];
        if (m->op >= HOOK_MATCH_TEXT) /* here, and not further down: the stack is short */
            hook_read_arg(s, c, m->arg);
        if ((hook_match_one(s, c, i) != 0) == (m->negate != 0))
            i = m->fail;
        else if (m->last)
            return m->selector;
        else
            i++;
    }
    return -1;
}
