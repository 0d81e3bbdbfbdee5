/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A recording: the stream of records in a file, to be played to an enricher later (podkin-collector --record, podkin-load replay).
 *
 *   struct recording_header │ the snapshot: POLICY … SNAPSHOT_END │ records in the order they came, until the end of the file
 *
 * The records are those of record.h, byte for byte, one behind the other. The stream begins before the snapshot was taken, so that nothing lies between them.
 * It has what the kernel's ring gave, and LOST records for what that refused; what a queue refused afterwards is in it like the rest.
 *
 * N1  header and records begin at multiples of RECORD_ALIGN
 * N2  a file that ends within a record is whole up to that record: whoever wrote it was stopped
 * N3  the reader takes every byte as hostile: each record passes record_check()
 */
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"

#define RECORDING_MAGIC   "PODKREC1"
#define RECORDING_VERSION 1

struct recording_header {
    uint8_t magic[8];
    uint32_t version, record_version;
    uint64_t epoch_ns;       /* names the collector instance */
    uint64_t begin_ns;       /* boot clock */
    int64_t wall_ns;         /* Unix time - boot clock, at the beginning */
    uint64_t snapshot_bytes; /* behind this header */
    char boot_id[40];        /* /proc/sys/kernel/random/boot_id */
    char hook_kind[16];      /* as in the handoff */
    char cgroup_hierarchy[16];
    uint64_t reserved;
};

_Static_assert(sizeof(struct recording_header) == 128, "file format");

struct recording {
    const uint8_t *data; /* borrowed */
    size_t size;
    struct recording_header header; /* a copy, its strings terminated */
};

#define RECORDING_ERROR_MAX 160

/* Over the whole file's bytes, aligned to RECORD_ALIGN. 0 or -EBADMSG with a line. */
int recording_parse(struct recording *ret, const void *data, size_t size, char error[RECORDING_ERROR_MAX]);

/* Where the snapshot and the stream begin, as positions for recording_next(). */
size_t recording_snapshot_begin(const struct recording *recording);
size_t recording_stream_begin(const struct recording *recording);

enum recording_next {
    RECORDING_RECORD,
    RECORDING_END,
    RECORDING_TORN, /* N2: *position stays where the last record begins */
    RECORDING_BAD,  /* likewise */
};

/* The record at *position, which moves behind it. The snapshot ends where the stream begins: RECORDING_END there is the caller's to see. */
enum recording_next recording_next(
    const struct recording *recording, size_t *position, const struct record_header **ret);
