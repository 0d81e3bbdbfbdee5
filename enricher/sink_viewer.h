/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Viewers: stream sockets that get a copy of every line. The peer may be anybody whom the socket's mode
 * lets in: it may be slow, silent, or send whatever it likes; all it can reach is its own buffer. Costs
 * nothing while there is no viewer.
 *
 * V1  a viewer gets whole lines, in order, from the first committed after it came, without a gap, to the
 *     last before it was cut off or left
 * V2  one that does not read is cut off when its buffer is full: what is buffered, then
 *     SINK_VIEWER_CUT_LINE, then the end; it has SINK_VIEWER_FAREWELL_NS to take that
 * V3  nothing here waits
 * V4  with sections, one that comes gets nothing before sink_viewers_start()
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "enricher/loop.h"

#define SINK_VIEWER_CUT_LINE    "{\"podkin_viewer\":{\"cut\":true,\"reason\":\"too slow\"}}\n"
#define SINK_VIEWER_FAREWELL_NS (5 * NS_PER_SEC)
#define SINK_VIEWER_BUFFER_MIN  UINT64_C(393216) /* a burst of one block behind a line */

struct viewer;

struct sink_viewers {
    struct loop *loop;
    struct viewer *first;
    uint64_t buffer_bytes;
    unsigned count, max; /* those being cut off count: they hold a buffer */
    uint64_t cut;
    bool sections; /* V4 */
    bool waiting;  /* somebody came and waits for sink_viewers_start() */
};

void sink_viewers_init(struct sink_viewers *viewers, struct loop *loop, uint64_t buffer_bytes, unsigned max);
void sink_viewers_deinit(struct sink_viewers *viewers); /* closes all */
/* On success fd is taken. -EUSERS, -ENOMEM. */
int sink_viewers_add(struct sink_viewers *viewers, int fd);
/* Whoever has come so far gets what is sent from now on (V4). */
void sink_viewers_start(struct sink_viewers *viewers);
/* data: whole lines. */
void sink_viewers_send(struct sink_viewers *viewers, const char *data, size_t size);
/* Lines are missing: all are cut off, as V2 has it. */
void sink_viewers_cut(struct sink_viewers *viewers);
