/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The enricher's end of the handoff (common/handoff_message.h): from a path to everything that the collector gives.
 *
 * In two steps, so that nothing waits: attach_begin() connects and says HELLO; the collector first takes a snapshot, which may take a while on a big
 * node; when the socket is readable attach_finish() takes the answer. What arrives is checked: lengths, magic, versions, number of fds, the seals and
 * size of the snapshot. (The ring and cursor are checked by queue_consumer_new().)
 *
 *   struct attachment a = ATTACHMENT_EMPTY;
 *   r = attach_begin(&fd, path, error);
 *   poll fd for POLLIN (a hang-up counts too), with a time-out of the caller's
 *   r = attach_finish(&a, &fd, path, error);
 *   queue_consumer_new(&queue, &a.queue_fds);           its own duplicates
 *   hold_new(&hold, a.hold_fd, &limits);                borrowed: keep the attachment as long as the hold
 *   snapshot_read_init(&reader, &a);  …  attachment_drop_snapshot(&a);
 *   poll a.socket_fd for POLLHUP | POLLIN: any event means that the collector is gone
 */
#include <stddef.h>
#include <stdint.h>

#include "common/handoff_message.h"
#include "common/queue.h"

#define ATTACH_ERROR_MAX          256
#define ATTACH_SNAPSHOT_BYTES_MAX (UINT64_C(4) << 30)

/* All owned; released by attachment_deinit(). */
struct attachment {
    int socket_fd; /* readable: the collector has closed it, or says what nobody asked */
    struct queue_fds queue_fds;
    int hold_fd;
    const void *snapshot; /* read-only map of snapshot_bytes, NULL when there are none */
    size_t snapshot_bytes;
    struct handoff_attach message; /* checked; hook_kind is NUL-terminated */
};

#define ATTACHMENT_EMPTY ((struct attachment){.socket_fd = -1, .queue_fds = {-1, -1, -1}, .hold_fd = -1})

/* 0, or negative errno with a line in `error`: -ENOENT, -ECONNREFUSED: nobody listens (yet); -EAGAIN: its backlog is full. *ret_fd is the caller's to
 * close, and untouched on failure. */
int attach_begin(int *ret_fd, const char *path, char error[ATTACH_ERROR_MAX]);

/*
 * 0: *fd has been taken (and is -1). -EAGAIN, without a line: no answer yet. Negative errno with a line in `error`: -EBUSY: there is another consumer; -EACCES:
 * refused for our uid; -EPROTONOSUPPORT: version; -ECONNRESET: closed without an answer; -EBADMSG: an answer that cannot be. Then *ret is untouched
 * and *fd still the caller's.
 */
int attach_finish(struct attachment *ret, int *fd, const char *path, char error[ATTACH_ERROR_MAX]);

void attachment_drop_snapshot(struct attachment *attachment); /* unmaps it: megabytes that are read once */
void attachment_deinit(struct attachment *attachment);        /* leaves ATTACHMENT_EMPTY */
