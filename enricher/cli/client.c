// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/client.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"

#define ANSWER_BYTES_MAX (4 * 1024 * 1024)
#define ANSWER_WAIT_S    5

int client_open(const char *path, const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int fd = -1;
    size_t size = strlen(request);
    ssize_t sent;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
        return -errno;
    sent = send(fd, request, size, MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    if ((size_t)sent != size)
        return -EIO;
    return take_fd(&fd);
}

int client_ask(const char *path, const char *request, char **ret, size_t *ret_size)
{
    CLEANUP_CLOSE int fd = client_open(path, request);
    CLEANUP(text_deinit) struct text answer = {0};
    const struct timeval wait = {.tv_sec = 1};
    uint64_t deadline = clock_boot_ns() + ANSWER_WAIT_S * NS_PER_SEC;

    if (fd < 0)
        return fd;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
        return -errno;
    for (;;) {
        char *room = text_reserve(&answer, 65536);
        ssize_t got;

        if (!room)
            return -ENOMEM;
        got = recv(fd, room, 65536, 0);
        if (got == 0)
            break;
        if (clock_boot_ns() > deadline)
            return -ETIMEDOUT;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (got > 0)
            text_commit(&answer, (size_t)got);
        if (answer.size > ANSWER_BYTES_MAX)
            return -EMSGSIZE;
    }
    *ret = text_take(&answer, ret_size);
    return *ret ? 0 : -ENOMEM;
}
