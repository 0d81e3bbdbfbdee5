/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What both sides do with file descriptors. Fds returned are owned by the caller and close on exec. */
#include <stddef.h>

/* memfd_create(2) of `bytes` bytes, sealable and, where the kernel has that (6.3), never executable. fd or negative errno. */
int fd_memfd_new(const char *name, size_t bytes);

/* Adds seals (fcntl(2), F_ADD_SEALS). 0 or negative errno. */
int fd_seal(int fd, unsigned seals);

/* 0 when all of `seals` are set, -EPERM when one is missing, negative errno when `fd` knows no seals. */
int fd_check_seals(int fd, unsigned seals);

/* A shared mapping of the first `bytes` bytes. 0 or negative errno; *ret_map untouched on failure. */
int fd_map_shared(int fd, size_t bytes, int protection, void **ret_map);

/* A duplicate above the standard streams. fd or negative errno. */
int fd_duplicate(int fd);

/* Opens /dev/null in place of each standard stream that is closed, so that no fd opened later becomes one (and is written to as stderr).
 * To be called first in main(). 0 or negative errno. */
int fd_open_standard(void);

/* Closes and leaves -1; -1 is fine. */
void fd_close(int *fd);

/* Reads to the end, whatever kind of file it is: a pipe has no size and a device has no end. 0 and the bytes, owned by the caller; -EFBIG: there are more than `max`;
 * -ENOMEM; what read(2) gave. */
int fd_read_whole(int fd, size_t max, char **ret, size_t *ret_size);
