/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Texts that a workload may choose, what a reader of JSON must get of each, and what a terminal may get at all. */
#include <stdbool.h>
#include <stddef.h>

struct hostile_text {
    const char *what;
    const char *bytes; /* no '/', so that they can be names of files */
    const char *read;  /* by a reader of JSON; NULL: as the bytes are */
};

extern const struct hostile_text hostile_texts[];
extern const size_t hostile_text_count;

/* What `size` bytes have that no terminal, no log and no line of JSON may get: the offset, or `size` when there is nothing. A newline is allowed; with `colors` ESC [ … m, too. */
size_t hostile_find(const char *data, size_t size, bool colors);
