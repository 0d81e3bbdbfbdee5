/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For tests that prove what the kernel does: the real probe, attached, and what it reported. Needs root with
 * BPF; where that is not to be had, observe_begin() skips the test visibly. The kind of hooks comes from
 * PODKIN_PROBE_KIND (tp_btf, raw_tp; else the probe's own choice).
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collector/probe.h"
#include "collector/snapshot.h"
#include "common/record.h"
#include "common/record_check.h"

struct observer {
    struct probe *probe;
    struct record_header **records; /* in the order of the ring; each a copy */
    size_t count, capacity;
    struct record_lost *losts;
    size_t lost_count;
};

struct observer *observe_begin(void);
struct observer *observe_begin_small(size_t ring_bytes);
/* In the hierarchy of a v1 controller, whose mount point is *ret_root (to be freed); skips the test where it is not mounted. */
struct observer *observe_begin_v1(const char *controller, char **ret_root, uint32_t *ret_id);
void observe_end(struct observer *observer);

/* How many rounds of a test that tries its luck: `rounds`, or the part of it that PODKIN_TEST_SLOWNESS (2, 10 …: an emulated machine) leaves. */
unsigned observe_rounds(unsigned rounds);

/* Drops what has been reported. */
void observe_forget(struct observer *observer);

/* A record that came another way. */
void observe_add(struct observer *observer, const struct record_header *record, size_t size);

/* Takes over what has been reported so far; each record must pass record_check(). */
void observe_drain(struct observer *observer);

/* Of a type and a process: how many, and the nth (0: the first; NULL: there is none). tgid 0: any. */
size_t observe_count(const struct observer *observer, enum record_type type, pid_t tgid);
const void *observe_find(const struct observer *observer, enum record_type type, pid_t tgid, size_t nth);

/* A tail string as a C string, NULs inside shown as '|'; in a buffer that the next calls reuse. */
const char *observe_text(const void *record, struct record_ref ref);

/* Runs fn(arg) in a forked child, which exits with its result; waits. Returns the pid, *ret_status as
 * wait(2). */
pid_t observe_child(int (*fn)(void *arg), void *arg, int *ret_status);

/* execv() of argv; only returns (127) when that failed. */
int observe_exec(void *argv);

/* Mount point of cgroup2, or skips the test. A folder in it for this test; the caller removes it. */
const char *observe_cgroup_root(void);
uint64_t observe_make_cgroup(char path[256], const char *name);
void observe_write(const char *folder, const char *file, const char *text);
uint32_t observe_inode(const char *path);
