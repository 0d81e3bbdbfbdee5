/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int fd_memfd_new(const char *name, size_t bytes)
{
    CLEANUP_CLOSE int fd = -1;

    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)bytes) < 0)
        return -errno;
    return take_fd(&fd);
}

int fd_seal(int fd, unsigned seals)
{
    return fcntl(fd, F_ADD_SEALS, (int)seals) < 0 ? -errno : 0;
}

int fd_check_seals(int fd, unsigned seals)
{
    int have = fcntl(fd, F_GET_SEALS);

    if (have < 0)
        return -errno;
    return ((unsigned)have & seals) == seals ? 0 : -EPERM;
}

int fd_map_shared(int fd, size_t bytes, int protection, void **ret_map)
{
    void *map = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        return -errno;
    *ret_map = map;
    return 0;
}

int fd_duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? -errno : copy;
}

int fd_open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", O_RDWR) !=
            fd) /* the lowest that is free: no close on exec, as with any standard stream */
            return -errno;
    }
    return 0;
}

void fd_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

int fd_read_whole(int fd, size_t max, char **ret, size_t *ret_size)
{
    CLEANUP_FREE char *data = malloc(max + 1);
    size_t size = 0;

    if (!data)
        return -ENOMEM;
    while (size <= max) {
        ssize_t n = read(fd, data + size, max + 1 - size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t)n;
    }
    if (size > max)
        return -EFBIG;
    *ret = TAKE_POINTER(data);
    *ret_size = size;
    return 0;
}
