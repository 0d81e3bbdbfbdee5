/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The reading end of a BPF ring buffer (kernel documentation, bpf/ringbuf.rst): page 0 is the reader's position, page 1 the writers', then the data, twice.
 * libbpf's own reader gives each record back as soon as it was handed over; this one when it is told to, so that a reader that is killed has taken nothing
 * that it did not pass on, and the next one goes on where it released, or further behind, where the first is known to have come.
 *
 * RB1 what was released is never seen again; what was not, stays
 * RB2 positions are byte counts since the map was made
 */
#include <stddef.h>
#include <stdint.h>

struct ring;

/* Maps it; the fd is not kept. 0 or negative errno. */
int ring_open(struct ring **ret, int map_fd, size_t ring_bytes);
struct ring *ring_close(struct ring *ring); /* NULL is fine; returns NULL */

/* The next record, borrowed until it is released; NULL: there is none, or the next one is still being written. */
const void *ring_next(struct ring *ring, size_t *ret_size);

uint64_t ring_position(const struct ring *ring); /* behind the last record that was returned */

/* All that was returned goes back to the writers. Cheap when nothing was. */
void ring_release(struct ring *ring);

/* Releases everything before `position`. -ERANGE: it is not between what was released and what was written. */
int ring_skip_to(struct ring *ring, uint64_t position);

size_t ring_used_bytes(const struct ring *ring); /* not released */
