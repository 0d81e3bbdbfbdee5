/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Attaching for tests that have nothing else to do meanwhile: attach_begin(), a wait, attach_finish(). As those; -ETIMEDOUT. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "enricher/attach.h"

static inline int attach_wait(
    struct attachment *ret, const char *path, uint64_t timeout_ns, char error[ATTACH_ERROR_MAX])
{
    uint64_t end_ns = clock_boot_ns() + timeout_ns, now_ns;
    struct pollfd poll_fd = {.fd = -1, .events = POLLIN};
    int r = attach_begin(&poll_fd.fd, path, error);

    if (r < 0)
        return r;
    do {
        now_ns = clock_boot_ns();
        (void)poll(&poll_fd, 1, now_ns < end_ns ? (int)((end_ns - now_ns) / NS_PER_MS) + 1 : 0);
        r = attach_finish(ret, &poll_fd.fd, path, error);
    } while (r == -EAGAIN && now_ns < end_ns);
    fd_close(&poll_fd.fd);
    if (r != -EAGAIN)
        return r;
    (void)snprintf(error, ATTACH_ERROR_MAX, "collector at %s: %s", path, strerror(ETIMEDOUT));
    return -ETIMEDOUT;
}
