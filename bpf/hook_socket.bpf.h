/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/* Sockets, socket addresses and packets as arguments. */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/hook_read.bpf.h"

#define HOOK_AF_INET  2
#define HOOK_AF_INET6 10

static __always_inline struct record_arg_sock *hook_begin_sock(struct hook_slot *s, __u64 *ret_position)
{
    struct record_arg_sock *value;

    *ret_position = hook_position(s);
    value = (void *)(s->bytes + *ret_position);
    __builtin_memset(value, 0, sizeof(*value));
    return value;
}

static __always_inline void hook_fill_sock(struct record_arg_sock *value, struct sock *sock)
{
    value->cookie = BPF_CORE_READ(sock, __sk_common.skc_cookie.counter);
    value->family = BPF_CORE_READ(sock, __sk_common.skc_family);
    value->state = BPF_CORE_READ(sock, __sk_common.skc_state);
    value->type = BPF_CORE_READ(sock, sk_type);
    value->protocol = BPF_CORE_READ(sock, sk_protocol);
    value->mark = BPF_CORE_READ(sock, sk_mark);
    value->priority = BPF_CORE_READ(sock, sk_priority);
    if (value->family != HOOK_AF_INET && value->family != HOOK_AF_INET6)
        return;
    value->sport = BPF_CORE_READ(sock, __sk_common.skc_num);
    value->dport = bpf_ntohs(BPF_CORE_READ(sock, __sk_common.skc_dport));
    if (value->family == HOOK_AF_INET) {
        *(__u32 *)value->saddr = BPF_CORE_READ(sock, __sk_common.skc_rcv_saddr);
        *(__u32 *)value->daddr = BPF_CORE_READ(sock, __sk_common.skc_daddr);
        return;
    }
    bpf_core_read(value->saddr, sizeof(value->saddr), &sock->__sk_common.skc_v6_rcv_saddr);
    bpf_core_read(value->daddr, sizeof(value->daddr), &sock->__sk_common.skc_v6_daddr);
}

__noinline int hook_read_sock(struct hook_slot *s, __u32 index, __u64 address)
{
    struct record_arg_sock *value;
    __u64 position;

    if (!s)
        return 0;
    if (!address)
        return hook_fail(s, index);
    value = hook_begin_sock(s, &position);
    hook_fill_sock(value, (struct sock *)address);
    return hook_keep(s, index, position, sizeof(*value), 0);
}

/* sockaddr_in and sockaddr_in6: family, port; then 4 bytes of address, or 4 of flow and 16 of address. */
__noinline int hook_read_sockaddr(struct hook_slot *s, __u32 index, __u64 address, __u8 flags)
{
    struct record_arg_sock *value;
    __u8 raw[28] = {};
    __u64 position;

    if (!s)
        return 0;
    if (hook_copy(raw, 2, address, flags))
        return hook_fail(s, index);
    value = hook_begin_sock(s, &position);
    value->family = *(__u16 *)raw;
    if (value->family == HOOK_AF_INET) {
        if (hook_copy(raw, 8, address, flags))
            return hook_fail(s, index);
        *(__u32 *)value->daddr = *(__u32 *)(raw + 4);
    } else if (value->family == HOOK_AF_INET6) {
        if (hook_copy(raw, sizeof(raw), address, flags))
            return hook_fail(s, index);
        __builtin_memcpy(value->daddr, raw + 8, 16);
    }
    value->dport = bpf_ntohs(*(__u16 *)(raw + 2));
    return hook_keep(s, index, position, sizeof(*value), 0);
}

/* Addresses and ports of the packet itself, as far as it has headers yet; the rest of its socket. */
static __always_inline bool hook_fill_packet(struct record_arg_sock *value, struct sk_buff *skb)
{
    __u64 header = (__u64)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header), transport;
    __u8 ip[40] = {};
    __u16 ports[2] = {};

    if (bpf_probe_read_kernel(ip, 20, (void *)header))
        return false;
    if (ip[0] >> 4 == 4) {
        value->family = HOOK_AF_INET;
        value->protocol = ip[9];
        *(__u32 *)value->saddr = *(__u32 *)(ip + 12);
        *(__u32 *)value->daddr = *(__u32 *)(ip + 16);
        transport = header + (ip[0] & 15) * 4;
    } else if (ip[0] >> 4 == 6 && !bpf_probe_read_kernel(ip, sizeof(ip), (void *)header)) {
        value->family = HOOK_AF_INET6;
        value->protocol = ip[6];
        __builtin_memcpy(value->saddr, ip + 8, 16);
        __builtin_memcpy(value->daddr, ip + 24, 16);
        transport = header + sizeof(ip);
    } else {
        return false;
    }
    value->sport = value->dport = 0;
    if (value->protocol == 6 || value->protocol == 17 || value->protocol == 132) {
        bpf_probe_read_kernel(ports, sizeof(ports), (void *)transport);
        value->sport = bpf_ntohs(ports[0]);
        value->dport = bpf_ntohs(ports[1]);
    }
    return true;
}

__noinline int hook_read_skb(struct hook_slot *s, __u32 index, __u64 address)
{
    struct sk_buff *skb = (void *)address;
    struct record_arg_sock *value;
    struct sock *sock;
    __u64 position;

    if (!s)
        return 0;
    if (!address)
        return hook_fail(s, index);
    value = hook_begin_sock(s, &position);
    sock = BPF_CORE_READ(skb, sk);
    if (sock)
        hook_fill_sock(value, sock);
    (void)hook_fill_packet(value, skb);
    value->length = BPF_CORE_READ(skb, len);
    value->mark = BPF_CORE_READ(skb, mark);
    value->priority = BPF_CORE_READ(skb, priority);
    return hook_keep(s, index, position, sizeof(*value), 0);
}
