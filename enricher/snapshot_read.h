/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reads the snapshot that came with an attachment: each record checked (record_check.h), only SNAPSHOT_CGROUP, SNAPSHOT_PROCESS and POLICY are
 * given, SNAPSHOT_END is looked at here. Hostile bytes end it, they never go further.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/record_check.h"

struct snapshot_reader {
    const uint8_t *data; /* borrowed, 8-aligned */
    size_t bytes, position;
    uint32_t process_count, cgroup_count, policy_count; /* given so far; the end counts the first two */
};

void snapshot_read_init(struct snapshot_reader *reader, const void *data, size_t bytes);

/*
 * 1: *ret is the next record, borrowed as long as the data. 0: the end, and nothing is missing (counts agree). -ENODATA: it ends without SNAPSHOT_END, or
 * the counts disagree: what was given is right but not all. -EBADMSG: bytes that are no snapshot; also given again when called again.
 */
int snapshot_read_next(struct snapshot_reader *reader, const struct record_header **ret);
