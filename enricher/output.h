/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where lines go. One primary sink (file with rotation, or stdout) that decides what is durable, and any
 * number of viewers on a unix socket that never slow anything.
 *
 * Lines are composed straight into a block (256 KiB). A full block is written by the loop while the next
 * fills; what a block holds so far is written when output_flush() asks. With all blocks in flight
 * output_reserve() says no and the enricher stops reading the queue: a full disk loses nothing while there
 * is room there.
 *
 * O1  lines leave in the order they were committed, whole, each ended by '\n'
 * O2  `durable` mark: every line committed before output_mark() returned m is written when
 *     output_durable() >= m
 * O3  a write error (ENOSPC, EIO, EPIPE on a pipe) is kept, shown in the state, retried with back-off;
 *     nothing is dropped by a sink
 * O4  a viewer that does not read is cut off after its buffer is full, with one line in its stream and a
 *     counter; the others and the file go on
 * O5  with sections, what a file or a viewer gets begins with the begin of a section, and rotation waits for one; a file that somebody truncates, or that is
 *     reopened because it cannot be written, has one as soon as the next line comes
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram;
struct loop;
struct output;

/* OUTPUT_OPTIONS_DEFAULT has the defaults: 0 means 0 (never rotate, keep none, no viewers). */
struct output_options {
    const char *path;             /* NULL: no primary sink (everything is durable at once); "-": stdout */
    uint64_t rotate_bytes;        /* default 64 MiB; 0: never */
    uint64_t rotate_age_ns;       /* default 0: never */
    unsigned rotate_keep;         /* FILE.1 … FILE.N, default 5 */
    bool compress;                /* FILE.2 and older (aside.h); default: not */
    unsigned file_mode;           /* default 0600 */
    uint64_t viewer_buffer_bytes; /* default 4 MiB each; never less than SINK_VIEWER_BUFFER_MIN */
    unsigned max_viewers;         /* default 16 */
    bool sections; /* lines refer to earlier ones, not beyond the begin of a section; default: they do not */
};

#define OUTPUT_OPTIONS_DEFAULT                                                                               \
    {                                                                                                        \
        .rotate_bytes = UINT64_C(64) << 20, .rotate_keep = 5, .file_mode = 0600,                             \
        .viewer_buffer_bytes = UINT64_C(4) << 20, .max_viewers = 16                                          \
    }

#define OUTPUT_LINE_MAX 65536 /* with the newline */

int output_new(struct output **ret, struct loop *loop, const struct output_options *options);
struct output *output_free(struct output *output); /* writes out what is pending, waiting at most 2 s */

/* Room for one line of at most `max` bytes, NULL: every block is in flight. To be committed, or forgotten,
 * before the loop turns. */
char *output_reserve(struct output *output, size_t max);
void output_commit(struct output *output, size_t size);
/* The line just committed is of an event of this time (boot clock): how long it takes until it is written is measured. Of very short lines, not of all. */
void output_note(struct output *output, uint64_t time_ns);
/* Called when the loop runs out of work: starts the write of what is there, and shows it to the viewers. */
void output_flush(struct output *output);
/* Asked before each line where there are sections: is one to begin with it, and for whom? */
enum output_section { OUTPUT_SECTION_NONE, OUTPUT_SECTION_VIEWER, OUTPUT_SECTION_FILE };
enum output_section output_section_due(const struct output *output);
/* The next line that is committed begins one. 0, or -EAGAIN: every block is in flight. */
int output_begin_section(struct output *output);
void output_reopen(struct output *output); /* SIGHUP: for an external logrotate */
/* The file was removed. What is written until output_reopen() is seen by nobody. */
bool output_is_removed(const struct output *output);

uint64_t output_mark(const struct output *output);
uint64_t output_durable(const struct output *output);
/* Called when more became durable or a block became free. */
void output_on_progress(struct output *output, void (*fn)(void *arg), void *arg);

/* A connected viewer (control.c took its request), non-blocking. It gets every line committed from now on.
 * On success fd is taken; -EUSERS: there are enough. */
int output_add_viewer(struct output *output, int fd);

/* Gets what the viewers get, as whole lines that are borrowed during the call. NULL: nobody. */
typedef void output_tap_fn(void *arg, const char *data, size_t size);
void output_set_tap(struct output *output, output_tap_fn *fn, void *arg);
/* For the viewers alone: whole lines of another output. NULL: some of them are missing, and the viewers are cut off. */
void output_show(struct output *output, const char *data, size_t size);
bool output_has_viewers(const struct output *output);

/* ns from output_note()'s times to the end of the write; empty where there is no primary sink. Borrowed. */
const struct histogram *output_latency(const struct output *output);

struct output_state {
    uint64_t files_compressed, compress_failures;
    uint64_t lines, bytes, rotations, write_errors, viewers, viewers_cut;
    int last_error; /* errno of the write that is being retried, 0: fine */
};
void output_get_state(const struct output *output, struct output_state *ret);
