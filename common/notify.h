/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a service manager is told: readiness, status, that we live. sd_notify(3) and sd_watchdog_enabled(3) without their library. The socket is opened once, so that a daemon that has given up
 * socket(2) can still say something; the manager's queue being full is no reason to wait.
 *
 * Nobody asked (no $NOTIFY_SOCKET): everything succeeds and does nothing. Only for the process that was started ($WATCHDOG_PID).
 */
#include <stdint.h>

struct notify {
    int fd;                        /* -1: nobody asked */
    uint64_t watchdog_interval_ns; /* half of what the manager allows; 0: it does not watch */
    uint64_t last_ns;
};

#define NOTIFY_EMPTY ((struct notify){.fd = -1})

/* 0 or negative errno: $NOTIFY_SOCKET names nothing that can be connected to. *notify is usable either way. */
int notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/* "READY=1", "STATUS=…", "STOPPING=1". 0 or negative errno. */
int notify_send(const struct notify *notify, const char *state);

/* Says that we live, when it is time to; to be called at least every watchdog_interval_ns. */
void notify_watchdog(struct notify *notify, uint64_t now_ns);
