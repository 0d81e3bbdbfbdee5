/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Lines from a file, a pipe or a socket; and a file that is followed while its writer rotates it (FILE becomes FILE.1, FILE.1 becomes
 * FILE.2 …): what was written before the rotation is read to its end first, files that were rotated meanwhile come next, in order.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "enricher/cli/json_pull.h"

struct unzstd;

struct input {
    int fd;                /* owned; -1: closed */
    bool looked;           /* at its first bytes */
    struct unzstd *unzstd; /* it is compressed; NULL: it is not */
    char *buffer;
    size_t start, end, capacity;
    size_t scanned;    /* [start, scanned) holds no newline */
    bool skipping;     /* inside a line that is too long */
    uint64_t too_long; /* lines that were skipped for it */
};

void input_init(struct input *input, int fd); /* takes fd */
void input_deinit(struct input *input);
/* Another fd for the same stream of lines: what is left of a line is dropped (a new connection) or kept (the file's successor). Takes fd. */
void input_replace(struct input *input, int fd, bool keep_partial);
/* Reads once; what is compressed with zstd (unzstd.h) is known by its first bytes. Bytes, 0 at the end, or negative errno. */
ssize_t input_fill(struct input *input);
/* What a negative errno of input_fill() means. */
const char *input_error(ssize_t r);
/* The next whole line that was read, without its newline; borrowed until the next call on this input. false: read more. */
bool input_next(struct input *input, struct slice *ret);
/* At the end: a last line without newline. */
bool input_last(struct input *input, struct slice *ret);

enum follow_result {
    FOLLOW_SAME,    /* no rotation: wait, read again */
    FOLLOW_NEXT,    /* *ret_fd is what comes next */
    FOLLOW_SKIPPED, /* the same, but files between were gone already: lines are missing */
    FOLLOW_RESTART, /* the file was truncated; the fd stands at its start again */
};
/* What to read when `fd` (from FILE `path`) is at its end. Negative errno: it cannot be opened (0 when it is only not there yet). */
int follow_check(const char *path, int fd, int *ret_fd);
