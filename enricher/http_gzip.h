/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A gzip body (RFC 1952), decoded a bounded piece at a time: libcurl's own decoder hands out all that a buffer of the
 * socket expands to, a thousand times its size, in one call. The bytes are hostile.
 */
#include <stdbool.h>
#include <stddef.h>
#define ZLIB_CONST
#include <zlib.h>

struct http_gzip {
    z_stream stream;
    bool begun, ended; /* ended: the trailer came, and its checksum is right */
    bool more;         /* the last piece filled its room: there may be more without new input */
};

/* 0 or -ENOMEM. */
int http_gzip_begin(struct http_gzip *gzip);
void http_gzip_deinit(struct http_gzip *gzip); /* idempotent */
/* Decodes up to `room` bytes into `out`; moves *data and *size on. How many, or -EINVAL: not gzip, or bytes behind its
 * end; -ENOMEM. */
long http_gzip_decode(struct http_gzip *gzip, const char **data, size_t *size, char *out, unsigned room);
