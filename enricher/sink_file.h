/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The primary sink: a file with rotation by size and age, or a descriptor that is there already (standard output).
 * Takes one run of whole lines at a time and says when all of it is written, which may be at once (write_pace.h); until then it
 * continues short writes and repeats failed ones, with back-off, for ever.
 *
 * F1  the bytes of a run reach the file in order, each once; what an error interrupts goes on at the byte
 *     where it stopped
 * F2  a file begins and ends at a line's edge, whenever it is rotated or reopened, however full the disk
 *     is
 * F3  rotation never loses a file that it was told to keep: FILE.i becomes FILE.(i+1) by rename(2) only,
 *     from the oldest on (aside.h)
 *
 * Symbolic links are not followed at the last component. Renames are made in the loop's thread: a handful
 * every rotate_bytes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "enricher/aside.h"
#include "enricher/loop.h"
#include "enricher/write_pace.h"

struct sink_file_options {
    const char *path;      /* copied; NULL: `fd` is written */
    int fd;                /* duplicated */
    uint64_t rotate_bytes; /* 0: never */
    uint64_t
        rotate_age_ns; /* since the file was made, as far as its file system tells; 0: never. An empty one stays */
    unsigned rotate_keep; /* 0: the full file is removed */
    unsigned mode;
    bool compress; /* aside.h */
    /* NULL: a file may begin with any line. Else only where sink_file_begin() is called; called with `arg` when that is wanted: the file is too old, or the path is
     * to be opened again. */
    void (*due)(void *arg);
};

struct sink_file {
    struct loop *loop;
    char *path;
    struct aside aside;
    struct sink_file_options options;
    int fd;
    bool regular;
    bool torn_tail; /* what an earlier writer left does not end with a newline */
    bool reopen_wanted;
    bool aged; /* due, at the next edge of a line */
    uint64_t size_bytes, rotate_at_bytes;

    const char *data;            /* the run, NULL: none */
    size_t size, done, part_end; /* part_end: as far as this file takes it */
    void (*fn)(void *arg);
    void *arg;

    struct loop_write write;
    struct write_pace pace;
    struct loop_timer retry, age;
    uint64_t backoff_ns;
    int write_error, rotate_error; /* errno, 0: fine */
    uint64_t rotations, write_errors;
};

/* fn: a run is written that was not at once. -ELOOP: the path is a symbolic link. -EINVAL: neither file, pipe nor character
 * device. */
int sink_file_init(struct sink_file *sink, struct loop *loop, const struct sink_file_options *options,
    void (*fn)(void *arg), void *arg);
/* Not while a write is in flight (sink_file_cancel() and turns of the loop end it). Tolerates all-zero and
 * repeated calls. */
void sink_file_deinit(struct sink_file *sink);

/* data: whole lines, borrowed until they are written; one run at a time. true: they are written, fn will not be called for them. */
bool sink_file_write(struct sink_file *sink, const char *data, size_t size);
bool sink_file_busy(const struct sink_file *sink);
/* Where only the begin of a section begins a file: at rest, what is written next begins one. Turns to another file if that is due. */
void sink_file_begin(struct sink_file *sink);
/* Bytes until the file is full; UINT64_MAX: it never is. */
uint64_t sink_file_room(const struct sink_file *sink);
/* Opens the path again at the next edge of a line; where an error holds a line back, at once: the torn
 * half is cut off the old file. true: it has done so. */
bool sink_file_reopen(struct sink_file *sink);
/* Somebody removed the file, so that nobody would ever see what goes into it. */
bool sink_file_is_removed(const struct sink_file *sink);
/* Gives up what is not written; fn is not called. */
void sink_file_cancel(struct sink_file *sink);
