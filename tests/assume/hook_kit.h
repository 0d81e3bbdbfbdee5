/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For tests of policy hooks: the probe and the hooks on it, attached, and policies put together in the test from its own data: what is loaded is a
 * copy.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/hooks.h"
#include "tests/assume/observe.h"

struct hook_test {
    struct observer *observer;
    struct hooks *hooks;
    uint64_t seq;
};

/* Skips where observe_begin() does. */
struct hook_test *hook_test_begin(bool allow_enforcement);
/* Without fentry and its kin. */
struct hook_test *hook_test_begin_kprobes(bool allow_enforcement);
/* Without perf events. */
struct hook_test *hook_test_begin_without_perf(void);
void hook_test_end(struct hook_test *t);

/* A policy of one hook, a copy; its name is the digest's. */
void hook_test_policy(struct policy *ret, const struct policy_hook *hook, uint64_t digest);

/* Loads one policy of one hook, which must succeed; the number is its digest. */
void hook_test_load(struct hook_test *t, const struct policy_hook *hook, uint64_t digest);

/* The same when it may be refused: 0 or negative errno. */
int hook_test_try(
    struct hook_test *t, const struct policy_hook *hook, uint64_t digest, struct hook_error *error);

/* What has been reported, RECORD_POLICY and RECORD_HOOK among it, into the observer. */
void hook_test_drain(struct hook_test *t);

/* The nth RECORD_HOOK of a process (0: any); NULL: none. */
const struct record_hook *hook_test_find(const struct hook_test *t, pid_t tgid, size_t nth);
size_t hook_test_count(const struct hook_test *t, pid_t tgid);

/* An argument's number; its text, or path. */
uint64_t hook_arg_number(const struct record_hook *hook, unsigned index);
const char *hook_arg_text(const struct record_hook *hook, unsigned index);
const struct record_arg_path *hook_arg_path(const struct record_hook *hook, unsigned index);
uint64_t hook_arg_original_size(const struct record_hook *hook, unsigned index);
const struct record_arg_sock *hook_arg_sock(const struct record_hook *hook, unsigned index);

#define HOOK_TEXT(string)                                                                                    \
    ((struct policy_string){.data = (char *)(uintptr_t)(string), .size = sizeof(string) - 1})
#define HOOK_WORD(string)   ((char *)(uintptr_t)(string))
#define HOOK_NUMBER(number) ((struct policy_value){.low = (uint64_t)(number), .high = (uint64_t)(number)})
