/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * As much of a service manager as keeps file descriptors for one service (sd_notify(3): FDSTORE, FDSTOREREMOVE, FDNAME, BARRIER; sd_listen_fds(3)): a thread that listens on a socket. It
 * holds what it is given until service_manager_stop(), over any number of processes of the service.
 */
#include <stdbool.h>
#include <stddef.h>

struct service_manager;

/* Listens at `path`, which is removed at the end. NULL: errno says why. */
struct service_manager *service_manager_new(const char *path);
struct service_manager *service_manager_free(
    struct service_manager *manager); /* NULL is fine; returns NULL */

/* Between the end of one process and the start of the next: everything that the first has said is done. */
void service_manager_settle(struct service_manager *manager);
/* In the child, before exec: its environment and its fds from 3 on. */
void service_manager_enter(struct service_manager *manager);

/* As when the unit is stopped: nothing is held any more. */
void service_manager_stop(struct service_manager *manager);
/* How many fds are held whose name begins so. */
size_t service_manager_count(struct service_manager *manager, const char *prefix);
/* The first of that name goes. */
bool service_manager_drop(struct service_manager *manager, const char *prefix);
