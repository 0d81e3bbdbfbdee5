/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The service manager keeps file descriptors for a service and hands them to its next process (systemd.service(5), FileDescriptorStoreMax=; sd_notify(3), FDSTORE=1;
 * sd_listen_fds(3)), until the unit is stopped. So what is open outlives a process that is killed, and nothing is left anywhere when the unit ends.
 *
 * Names are ours; several fds may have one. Whose number changes carry it: "queue-17"; of several the greatest counts.
 *
 * Nobody asked (no service manager): everything succeeds and does nothing.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/notify.h"

struct fd_store_entry {
    int fd;
    char *name;
    bool used;
};

struct fd_store {
    const struct notify *notify; /* borrowed */
    struct fd_store_entry *entries;
    size_t count;
    int error; /* of the first message that the manager did not take; 0: none */
};

/* Takes what the manager hands over ($LISTEN_FDS, $LISTEN_FDNAMES, if $LISTEN_PID is this process) and clears the variables. 0 or negative errno: what they say cannot be; the
 * store is empty then. */
int fd_store_take(struct fd_store *store, const struct notify *notify);
void fd_store_deinit(struct fd_store *store); /* closes what was handed over */

/* The fd, borrowed, and from now on in use; -1: none of that name. */
int fd_store_use(struct fd_store *store, const char *name);
/* The same, of "PREFIX-NUMBER" with the greatest number. */
int fd_store_use_newest(struct fd_store *store, const char *prefix, uint64_t *ret_number);
/* It is not in use any more; the fd stays open until fd_store_remove_unused(). */
void fd_store_done(struct fd_store *store, int fd);

/* To be kept as `name`. Waits for the manager, but not for ever. 0 or negative errno. */
int fd_store_put(struct fd_store *store, const char *name, const int *fds, size_t count);
/* The same, and nothing else is to be kept under that name; what was handed over under it is closed. */
int fd_store_replace(struct fd_store *store, const char *name, int fd);
/* Waits until the manager has done what it was told so far (BARRIER=1), but not for ever. 0, -ETIMEDOUT or other negative errno. */
int fd_store_wait(struct fd_store *store);
/* None of that name is to be kept any more. */
int fd_store_remove(struct fd_store *store, const char *name);
/* Closes what was handed over and is not in use, and has the manager forget it. */
void fd_store_remove_unused(struct fd_store *store);
