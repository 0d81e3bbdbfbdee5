/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The pages of a queue that somebody else made: seals and sizes before a mapping, so that it cannot fault, and geometry before use. And what a producer that
 * is no more left in its ring, record by record.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/queue_layout.h"

/* Read-only. -EPERM: not sealed as a ring is; -EINVAL: the geometry is not sane; -EPROTONOSUPPORT: another version of the queue or of the records. To be
 * unmapped: QUEUE_PAGE_BYTES + *ret_data_bytes. */
int queue_map_ring(int fd, const struct queue_ring_page **ret, uint64_t *ret_data_bytes);
/* The records may be of another version: of each only the first eight bytes are known (record.h). */
int queue_map_old_ring(int fd, const struct queue_ring_page **ret, uint64_t *ret_data_bytes);

/* One page. The same errors. */
int queue_map_cursor(int fd, int protection, void **ret);

/* Between what the producer accepted last as released and what it published; its own words, and nobody else's. */
struct queue_remains {
    const uint8_t *data;
    uint64_t data_bytes;
    uint64_t position, tail;
};

/* false: the two positions cannot be. */
bool queue_remains_init(
    struct queue_remains *remains, const struct queue_ring_page *page, uint64_t data_bytes);

struct record_header;

/* The next one, a PAD too; NULL: that was all, or (*ret_broken) framing that cannot be. Position is behind it then. */
const struct record_header *queue_remains_next(struct queue_remains *remains, bool *ret_broken);
