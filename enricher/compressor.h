/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Compresses a file into another with zstd, in a thread of its own that touches nothing but the two descriptors, so that the loop goes on. One at a time.
 *
 * Z1  the thread works at most half of the time: a core is not its own
 * Z2  what the second file holds is whole, and on the disk, when the job is told to be done with 0; else it is to be removed
 * Z3  it is made in the restrictions of whoever starts the job (confine.h)
 */
#include <stdbool.h>
#include <stdint.h>

#include "enricher/loop.h"

struct compressor;

/* Built with libzstd. */
bool compressor_is_available(void);
/* fn: the job is done; 0 or negative errno. 0, -ENOMEM, -EOPNOTSUPP: not available, or what making a descriptor gave. */
int compressor_new(struct compressor **ret, struct loop *loop, void (*fn)(void *arg, int result), void *arg);
/* Ends what is under way; fn is not called. NULL is fine. */
struct compressor *compressor_free(struct compressor *compressor);
bool compressor_is_busy(const struct compressor *compressor);
/* Takes both descriptors. 0, or negative errno: no thread could be made. Not while it is busy. */
int compressor_start(struct compressor *compressor, int from, int to);
