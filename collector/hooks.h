/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Policies at work: loads, unloads and replaces them while records flow, and tells the stream what each hook id stands for.
 *
 *   load     plan ─► compile ─► tables, configurations ─► RECORD_POLICY ─► attach
 *   unload   detach ─► settle ─► configurations, tables ─► the ring drained ─► RECORD_POLICY with GONE
 *
 * HS1  a policy is attached as a whole or not at all; one that cannot be leaves the others alone
 * HS2  RECORD_POLICY of a hook id precedes its first RECORD_HOOK, GONE follows its last; a hook id is never used twice
 * HS3  what a policy took in the kernel is given back when it goes
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/hook_compile.h"
#include "collector/policy.h"
#include "collector/probe.h"

struct checkpoint;
struct hooks;
struct record_policy;

/* Where links are kept beyond this process (resume.h), by number: the first hook id of a policy; 0: what keeps the sets of processes. The fds are borrowed. */
struct hooks_keeper {
    void (*keep)(void *arg, uint32_t number, const int *link_fds, size_t count);
    void (*forget)(void *arg, uint32_t number);
    void *arg;
};

struct hooks_options {
    struct probe *probe; /* outlives the hooks */
    uint64_t *seq;       /* the collector's own count: each RECORD_POLICY takes one */
    bool allow_enforcement;
    bool no_trampolines; /* kprobes although fentry and fexit are to be had */
    bool no_perf;        /* what can be had without perf_event_open(2) only */
    probe_record_fn put; /* takes a RECORD_POLICY for the stream */
    void *put_arg;
    struct checkpoint *checkpoint; /* gives out hook ids, over all collectors; NULL: they begin at 1 */
    struct hooks_keeper keeper;    /* all NULL: nobody keeps them */
};

/* 0 or negative errno with a line in `error`. */
int hooks_new(struct hooks **ret, const struct hooks_options *options, char error[HOOK_ERROR_MAX]);
struct hooks *hooks_free(struct hooks *hooks); /* detaches; NULL is fine; returns NULL */

/* Takes `policy` over (empty afterwards) when it returns 0; otherwise *error says where and why. */
int hooks_load(struct hooks *hooks, struct policy *policy, struct hook_error *error);

/* Takes the policy with this digest out; false: there is none. */
bool hooks_unload(struct hooks *hooks, uint64_t digest);

/* A refused policy, for a message. */
typedef void (*hooks_refused_fn)(const struct policy *policy, const struct hook_error *error, void *arg);

struct hooks_change {
    size_t loaded, unloaded, kept, refused;
};

/* From what is loaded to `list`: what is new comes, then what is not in it goes, and what says the same is not touched; so there is no moment without
 * either, and for one both may tell of the same call. A policy stays when what replaces it is refused, or when `keep` (NULL: none) says so. Takes over
 * the policies that it loads. */
typedef bool (*hooks_keep_fn)(const struct policy *policy, void *arg);
struct hooks_change hooks_apply(
    struct hooks *hooks, struct policy_list *list, hooks_refused_fn refused, hooks_keep_fn keep, void *arg);

/* After each drain that left the ring empty: GONE of what was unloaded before it began; counts what the kernel did not hand to the programs. */
void hooks_on_drained(struct hooks *hooks);

/* A hook of an earlier collector, copied: what it recorded may still come. Told to be GONE after the first drain that follows hooks_end_inherited(), which is called when none of them runs
 * any more. -ENOMEM. */
int hooks_inherit(struct hooks *hooks, const struct record_policy *record);
void hooks_end_inherited(struct hooks *hooks);

/* What is gone is still told to those who come, until the queue is read beyond it: from `head` on somebody may still read it, `tail` is behind GONE. True: hooks_each_policy() has
 * changed since the last call. */
bool hooks_look_at_gone(struct hooks *hooks, uint64_t head, uint64_t tail);

/* The RECORD_POLICY of each hook whose records somebody may still read, for a snapshot; negative of `fn` ends it. */
int hooks_each_policy(
    struct hooks *hooks, int (*fn)(const struct record_header *record, void *arg), void *arg);

size_t hooks_policy_count(const struct hooks *hooks);
size_t hooks_hook_count(const struct hooks *hooks);
