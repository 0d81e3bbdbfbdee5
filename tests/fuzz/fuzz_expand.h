/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The reader of normalised lines for targets that use jansson: the two have names in common. */
#include <stddef.h>

struct fuzz_expander;

struct fuzz_expander *fuzz_expander_new(void);
struct fuzz_expander *fuzz_expander_free(struct fuzz_expander *expander);
/* The line at `line`, with its newline, becomes the full one, with its newline, at most `room` bytes. Its size; 0: it was none by itself. What cannot be expanded fails. */
size_t fuzz_expander_read(struct fuzz_expander *expander, char *line, size_t size, size_t room);
