/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the values of a policy can be written as: numbers, ranges, networks and the kernel's names for numbers. Text in, value out; no faults are
 * told here. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/policy.h"

enum policy_number_result { POLICY_NUMBER_FINE, POLICY_NUMBER_BAD, POLICY_NUMBER_OUT_OF_RANGE };

/* Decimal, 0x1f, 0o17, 017, 0b1, with a sign. Two's complement in 64 bits; it must fit into `bits`, of a signed or an unsigned type. */
enum policy_number_result policy_parse_number(
    const char *text, size_t size, bool is_signed, unsigned bits, uint64_t *ret);
/* The same, or LOW:HIGH with LOW not above HIGH. */
enum policy_number_result policy_parse_range(
    const char *text, bool is_signed, unsigned bits, uint64_t *ret_low, uint64_t *ret_high);
/* "10.0.0.0/8", "::1"; bits of the host are cleared. False: it is neither. */
bool policy_parse_network(const char *text, struct policy_value *value);
/* 500ms, 5s, 1m, 2h; a plain number is seconds. False: neither, or 0, or more than a day. */
bool policy_parse_period(const char *text, uint64_t *ret_ns);

/* Names, with or without their prefix (CAP_, AF_, IPPROTO_, TCP_) and in any case. False: unknown. */
bool policy_capability_number(const char *name, unsigned *ret);
bool policy_family_number(const char *name, uint64_t *ret);
bool policy_protocol_number(const char *name, uint64_t *ret);
bool policy_tcp_state_number(const char *name, uint64_t *ret);
/* "SIGTERM", "TERM"; "EPERM". */
bool policy_signal_number(const char *name, int32_t *ret);
bool policy_errno_number(const char *name, int32_t *ret);
/* "sys_dup", "dup", "__x64_sys_dup", of the architecture that this is built for. */
bool policy_syscall_number(const char *name, uint64_t *ret);

/* The name behind sys_, __x64_sys_ and __arm64_sys_; NULL: it has no such prefix. */
const char *policy_syscall_base(const char *name);
