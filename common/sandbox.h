/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a daemon gives up once it is set up, a step a call, in the order in which they stand here. The lists are the daemons' own (collector/confine.c, enricher/confine.c);
 * here is only how a list becomes a rule of the kernel. Each step is irrevocable and holds for all threads that come later.
 *
 * S1  nothing that the daemon could do later undoes a step
 * S2  a step that this kernel does not have fails with -EOPNOTSUPP, and the others still work: the caller says so once
 *
 * Sources: prctl(2), capabilities(7), seccomp(2), the kernel's userspace-api/landlock.rst.
 * Errors: 0 or negative errno.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No new privileges by exec, no core dump, memory not readable by others of the same user. */
int sandbox_begin(void);

/* Keeps these capabilities (bits 1 << CAP_*) of those that are there, permitted and effective; every other one goes from all five sets, and user id 0 gets none back. */
int sandbox_keep_capabilities(uint64_t keep);
/* Effective ones. */
uint64_t sandbox_get_capabilities(void);

enum sandbox_access {
    SANDBOX_READ,  /* files, and to list folders */
    SANDBOX_WRITE, /* and to write, make, rename and remove files */
};

struct sandbox_path {
    const char *path; /* a file, or a folder with all that is below; one that does not exist is left out */
    enum sandbox_access access;
};

/* No other file can be opened (those that are open stay). Landlock; *ret_version: of its interface. No program can be executed. */
int sandbox_allow_paths(const struct sandbox_path *paths, size_t count, int *ret_version);

enum sandbox_compare { SANDBOX_ANY, SANDBOX_EQUAL, SANDBOX_NOT_EQUAL, SANDBOX_ALL_BITS, SANDBOX_NO_BITS };

/* One call, or one shape of it; several rows with one name: any of them. */
struct sandbox_call {
    const char *name;
    unsigned argument; /* which one is compared */
    enum sandbox_compare compare;
    uint64_t value;
};

/* Whether this build filters system calls at all: a sanitizer's library makes calls of its own. */
bool sandbox_filters_calls(void);

/* Every system call that is not listed fails with EPERM; one that only an intruder makes (execve, ptrace …) ends the process. -ENOSYS: libseccomp does not know a name; -EOPNOTSUPP: not in
 * this build, or not with this kernel. */
int sandbox_allow_calls(const struct sandbox_call *const *lists, const size_t *counts, size_t list_count);
