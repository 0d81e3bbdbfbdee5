/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The sets of processes that selectors mean (matchBinaries, matchPIDs with followForks): gives out bits, keeps the kernel's tables of binaries and pids,
 * and has the iterator bring what runs already in line.
 *
 * SP1  once hook_sets_commit() has returned, every process has the bits of its binary, and of its ancestors' what follows
 * SP2  a bit is given out again only when no process has it any more
 */
#include <stdint.h>

#include "collector/hook_compile.h"
#include "collector/hook_engine.h"

struct hook_set_table;

int hook_sets_new(struct hook_set_table **ret, struct hook_engine *engine);
struct hook_set_table *hook_sets_free(struct hook_set_table *sets); /* NULL is fine; returns NULL */

/* A bit for a set; it means nothing before the commit. -E2BIG: all are taken; -ENOMEM. */
int hook_sets_add(struct hook_set_table *sets, const struct hook_process_set *set, uint32_t *ret_bit);
void hook_sets_remove(struct hook_set_table *sets, uint32_t bit);

/* Brings the kernel in line; nothing to do is fine. A line in `error`. */
int hook_sets_commit(struct hook_set_table *sets, char error[HOOK_ERROR_MAX]);

/* Goes over the processes anew if an exec could not be looked at; to be called now and then. */
void hook_sets_repair(struct hook_set_table *sets);
