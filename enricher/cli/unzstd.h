/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reads a file that is compressed with zstd. The bytes are outside bytes; memory is bounded: the frames' window is at most 8 MiB. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct unzstd;

/* What every such file begins with. */
bool unzstd_recognise(const char *data, size_t size);
/* `data`: what has been read of `fd`, borrowed until this returns. 0, -ENOMEM, or -EOPNOTSUPP: built without libzstd. */
int unzstd_new(struct unzstd **ret, const char *data, size_t size);
struct unzstd *unzstd_free(struct unzstd *unzstd); /* NULL is fine */
/* As read(2): 0 at the end, -1 with errno; EILSEQ: damaged, or it ends within a frame. */
ssize_t unzstd_read(struct unzstd *unzstd, int fd, char *to, size_t size);
