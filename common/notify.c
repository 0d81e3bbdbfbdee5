/* SPDX-License-Identifier: Apache-2.0 */
#include "common/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

/* A path, or with "@" in place of its first NUL an abstract name. */
static int make_address(struct sockaddr_un *address, socklen_t *size, const char *name)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length < 2)
        return -EINVAL;
    if (length >= sizeof(address->sun_path))
        return -ENAMETOOLONG;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, length);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
        --*size;
    }
    return 0;
}

static uint64_t watchdog_interval(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!usec || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoull(usec, NULL, 10) * NS_PER_US / 2;
}

int notify_open(struct notify *notify)
{
    const char *name = getenv("NOTIFY_SOCKET");
    CLEANUP_CLOSE int fd = -1;
    struct sockaddr_un address;
    socklen_t size;
    int r;

    *notify = NOTIFY_EMPTY;
    if (!name || !*name)
        return 0;
    r = make_address(&address, &size, name);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, size) < 0)
        return -errno;
    notify->fd = take_fd(&fd);
    notify->watchdog_interval_ns = watchdog_interval();
    return 0;
}

void notify_close(struct notify *notify)
{
    fd_close(&notify->fd);
}

int notify_send(const struct notify *notify, const char *state)
{
    if (notify->fd < 0)
        return 0;
    return send(notify->fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void notify_watchdog(struct notify *notify, uint64_t now_ns)
{
    if (!notify->watchdog_interval_ns || now_ns - notify->last_ns < notify->watchdog_interval_ns)
        return;
    notify->last_ns = now_ns;
    (void)notify_send(notify, "WATCHDOG=1");
}
