/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ThreadSanitizer knows memory by its address. The two sides of the queue map the same pages at two addresses, so that it would see no race ever.
 * Linked with --wrap, this gives both sides one mapping of each memfd: what is shared is then shared for it too.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAPPINGS_MAX 16

int __real_fd_map_shared(int fd, size_t bytes, int protection, void **ret_map);
int __wrap_fd_map_shared(int fd, size_t bytes, int protection, void **ret_map);
int __wrap_munmap(void *map, size_t bytes);

static struct {
    ino_t inode;
    void *map;
} mappings[MAPPINGS_MAX];

int __wrap_fd_map_shared(int fd, size_t bytes, int protection, void **ret_map)
{
    struct stat status;
    int r;

    if (fstat(fd, &status) < 0)
        return -errno;
    for (size_t i = 0; i < MAPPINGS_MAX; i++) {
        if (mappings[i].map && mappings[i].inode == status.st_ino) {
            *ret_map = mappings[i].map;
            return 0;
        }
        if (!mappings[i].map) {
            r = __real_fd_map_shared(fd, bytes, protection | PROT_WRITE, &mappings[i].map);
            mappings[i].inode = status.st_ino;
            *ret_map = mappings[i].map;
            return r;
        }
    }
    return -ENOMEM;
}

/* They stay until the end of the test. */
int __wrap_munmap(void *map, size_t bytes)
{
    (void)map;
    (void)bytes;
    return 0;
}
