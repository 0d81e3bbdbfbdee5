/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The BPF programs and their ring buffer: loading, attaching, draining, and what was refused. Owns both
 * skeletons (process life and snapshot); nobody else sees libbpf. The ring buffer holds what the kernel
 * wrote: trusted, but its strings are the workload's.
 *
 *   probe_new() ─► probe_attach() ─► snapshot_start() …
 *             ─► probe_drain(), probe_read_losses() on a timer ─► probe_detach(), a last drain ─► probe_free()
 *
 * P1  every record that a program made is either drained or counted as refused: probe_made_count() = drained
 *     + refused, once the ring is empty
 * P2  the programs ask for no wake-up, except once each time when the used part of the ring rises over a
 *     quarter: probe_fd() is then readable, until the next probe_drain(). Data alone does not make it readable:
 *     a drain that stopped early is to be followed by another
 * P3  hook records leave the last eighth of the ring to process-life and cgroup records
 *
 * Errors: 0 or negative errno, and one line of text that says which feature is missing and what would be
 * needed.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

#define PROBE_ERROR_MAX          512
#define PROBE_RING_BYTES_DEFAULT (UINT64_C(8) << 20)

enum probe_kind {
    PROBE_KIND_AUTO,   /* tp_btf, else raw_tp */
    PROBE_KIND_TP_BTF, /* this or fail */
    PROBE_KIND_RAW_TP,
};

/* Maps of an earlier collector, whose layout is ours (BPF_LAYOUT_VERSION): its programs go on writing there until ours do. Borrowed. */
struct probe_kept {
    int ring, cpu_states, process_states, shared;
    size_t ring_bytes;
};

/* Whether these are our kind of maps, as far as their types and sizes tell; fills ring_bytes. 0, or negative with a line in `error`. */
int probe_check_kept(struct probe_kept *kept, char error[PROBE_ERROR_MAX]);

/* CPUs that there can be; 0: not known. */
unsigned probe_possible_cpus(void);

struct probe_options {
    size_t ring_bytes;    /* rounded up to a power of two of at least a page; 0: PROBE_RING_BYTES_DEFAULT */
    uint32_t host_mnt_ns; /* inode number of the host's mount namespace; 0: that of process 1 */
    uint64_t epoch_ns;    /* boot clock at the collector's start: sequence numbers begin here (R3) */
    enum probe_kind kind;
    const char *cgroup_controller; /* of the v1 hierarchy that decides (R5); NULL: cgroup v2 */
    uint32_t cgroup_hierarchy_id;  /* its number; 0: cgroup v2 */
    uint32_t
        generation; /* of this collector (bpf/cpu_state.h); 0: the programs record as soon as they are attached */
    const struct probe_kept *kept; /* NULL: new maps */
};

struct probe;

/* Loads the programs; nothing runs yet. *ret is untouched on failure. */
int probe_new(struct probe **ret, const struct probe_options *options, char error[PROBE_ERROR_MAX]);

/* All hooks or none. */
int probe_attach(struct probe *probe, char error[PROBE_ERROR_MAX]);

/* The programs of this generation record, those of others do not any more. Once all of it are attached. */
void probe_open_gate(struct probe *probe);
uint32_t probe_active(const struct probe *probe); /* generation that records */

/* Each attachment; the fd is borrowed. */
void probe_each_link(const struct probe *probe, void (*fn)(void *arg, int link_fd), void *arg);

/* No hook runs any more; what is in the ring can still be drained, and probe_attach() may follow. */
void probe_detach(struct probe *probe);

/* Detaches and frees; NULL is fine. Always returns NULL. */
struct probe *probe_free(struct probe *probe);

const char *probe_kind_name(const struct probe *probe); /* "tp_btf" or "raw_tp"; borrowed */

/* To be polled for input (P2); borrowed. */
int probe_fd(const struct probe *probe);

/* A record as the kernel wrote it, 8-aligned, valid during the call only. Negative: stop the drain here,
 * this record counts as drained. */
typedef int (*probe_record_fn)(const struct record_header *record, size_t size, void *arg);

/* Hands over what is in the ring, oldest first, at most `budget` records (0: no limit). Returns how many
 * were handed over, or negative: what `fn` returned. */
int probe_drain(struct probe *probe, probe_record_fn fn, void *arg, size_t budget);

/* The same in two steps: what probe_read() handed over stays in the ring, for the next collector if this one is killed, until probe_release(). */
int probe_read(struct probe *probe, probe_record_fn fn, void *arg, size_t budget);
void probe_release(struct probe *probe);
uint64_t probe_position(const struct probe *probe); /* in the ring, behind the record handed over last */
/* An earlier collector came so far. -ERANGE: that cannot be. */
int probe_skip_to(struct probe *probe, uint64_t position);

/* A filled RECORD_LOST of one CPU; header.seq is 0: the caller numbers it. Valid during the call only. */
typedef void (*probe_lost_fn)(const struct record_lost *lost, void *arg);

/* Reports what was refused since the last call, one record a CPU that has news, and none twice. Cheap when
 * nothing was (no syscall). Returns the number of records reported. To be called after a drain, so that a
 * LOST record follows what came before it. */
int probe_read_losses(struct probe *probe, probe_lost_fn fn, void *arg);

/* What probe_read_losses() has reported of a CPU, to be kept and brought back; NULL: there is no such CPU. */
struct loss_seen;
struct loss_seen *probe_seen(struct probe *probe, unsigned cpu);
unsigned probe_cpu_count(const struct probe *probe);

/* Refused since probe_new(), by type (those that probe_read_losses() has reported). */
void probe_get_refused(const struct probe *probe, uint64_t ret_by_type[RECORD_TYPE_SLOTS]);

/* Sequence numbers used since probe_new(), all CPUs (P1). */
uint64_t probe_made_count(const struct probe *probe);

size_t probe_ring_bytes(const struct probe *probe);
size_t probe_used_bytes(const struct probe *probe); /* of the ring, not yet drained */

/* What another object's programs need to write into the same ring; the fds are borrowed. */
struct probe_maps {
    int ring, cpu_states, process_states, shared;
    uint32_t generation;
    uint64_t epoch_ns;
    size_t ring_bytes;
    uint32_t cgroup_controller;
};
void probe_get_maps(const struct probe *probe, struct probe_maps *ret);

/* Counts hook records that were never made as refused, each with a number of its own (P1). */
void probe_count_missed(struct probe *probe, uint64_t count);

/* A new task iterator that yields RECORD_SNAPSHOT_PROCESS records (header.seq 0); owned by the caller. For
 * snapshot.c. */
int probe_open_process_iterator(const struct probe *probe);
