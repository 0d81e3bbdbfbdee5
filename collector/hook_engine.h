/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The policy hooks' BPF side: the shared maps, the programs by kind, attachments. Owns the skeleton of hook.bpf.c; shares ring buffer, loss counters
 * and process states with the probe, which must outlive it. Knows nothing of policies.
 *
 * A kind of hook whose attachments carry a cookie is loaded once, when it is first wanted; any other (fentry and its kin, and raw tracepoints before
 * 6.10) once for each attachment.
 *
 * Errors: 0 or negative errno, and one line of text.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpf/hook_config.h"
#include "collector/hook_compile.h"
#include "collector/probe.h"

struct hook_engine;
struct bpf_link;
struct hook_bpf;

/* Loads maps and nothing else. */
int hook_engine_new(struct hook_engine **ret, struct probe *probe, char error[HOOK_ERROR_MAX]);
struct hook_engine *hook_engine_free(
    struct hook_engine *engine); /* detaches nothing; NULL is fine; returns NULL */

/* Entries of the maps. Removing what is not there is fine. */
int hook_engine_put_config(struct hook_engine *engine, uint32_t number, const struct hook_config *config);
int hook_engine_remove_config(struct hook_engine *engine, uint32_t number);
int hook_engine_put_entry(struct hook_engine *engine, const struct hook_entry *entry);
int hook_engine_remove_entry(struct hook_engine *engine, const struct hook_entry *entry);

/* ---- processes ------------------------------------------------------------------------------------------------------ */

enum hook_bits_table { HOOK_BITS_BINARIES, HOOK_BITS_PREFIXES, HOOK_BITS_POSTFIXES, HOOK_BITS_PIDS };

/* The key is of the table's type (hook_config.h); NULL bits: the entry goes. */
int hook_engine_put_bits(struct hook_engine *engine, enum hook_bits_table table, const void *key,
    const struct hook_process_bits *bits);

/* Attaches the programs that keep the sets at fork and exec; once is enough. */
int hook_engine_watch_processes(struct hook_engine *engine, char error[HOOK_ERROR_MAX]);

/* One pass over all processes: what is in `clear` goes, what their binaries and parents give comes. */
int hook_engine_go_over_processes(struct hook_engine *engine, const struct hook_process_bits *follow,
    const struct hook_process_bits *clear, uint64_t *ret_changed);
uint64_t hook_engine_failed_execs(struct hook_engine *engine);

/* ---- attaching ------------------------------------------------------------------------------------------------------ */

/* Attachments of one hook: at most an entry and a return. */
struct hook_attachment {
    struct bpf_link *handles[2]; /* or */
    int links[2];                /* -1: none */
    int programs[2];             /* loaded for it alone; -1: none */
    struct hook_bpf *own;        /* the same, with its skeleton; NULL: none */
    uint64_t missed[2];
};
#define HOOK_ATTACHMENT_EMPTY ((struct hook_attachment){.links = {-1, -1}, .programs = {-1, -1}})

/* The target as planned; `cookie`: hook id and, in the upper half, the configuration's number, which is in its map. */
int hook_engine_attach(struct hook_engine *engine, const struct hook_target *target, uint64_t cookie,
    struct hook_attachment *ret, char error[HOOK_ERROR_MAX]);

/* Link fds, borrowed; their number. Of an attachment at most two. */
size_t hook_engine_get_links(const struct hook_attachment *attachment, int ret_fds[2]);
size_t hook_engine_get_process_links(const struct hook_engine *engine, int *ret_fds, size_t max);

/* The hook may still be at work on another CPU until hook_engine_settle(). */
void hook_engine_detach(struct hook_engine *engine, struct hook_attachment *attachment);

/* After it no program runs that was begun before: what it sent is in the ring, what it read is no longer looked at. */
void hook_engine_settle(struct hook_engine *engine);

/* Calls that the kernel did not hand to the programs, because one of them was at work there already; since the last call. */
uint64_t hook_engine_missed(struct hook_engine *engine, struct hook_attachment *attachment);
uint64_t hook_engine_shared_missed(struct hook_engine *engine);
