/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/cgroup_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

/* A folder that is known by name only. */
struct pending {
    char *path; /* "/" first; owned */
    uint32_t level;
};

struct cgroup_walk {
    int root_fd;
    struct pending *stack; /* depth first: as long as one path's siblings, not as the whole tree */
    size_t count, capacity;
    char *current; /* path of the entry handed out last */
};

static int push(struct cgroup_walk *walk, char *path, uint32_t level)
{
    if (!path)
        return -ENOMEM;
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity ? walk->capacity * 2 : 64;
        struct pending *stack = reallocarray(walk->stack, capacity, sizeof(*stack));

        if (!stack) {
            free(path);
            return -ENOMEM;
        }
        walk->stack = stack;
        walk->capacity = capacity;
    }
    walk->stack[walk->count++] = (struct pending){.path = path, .level = level};
    return 0;
}

static char *join(const char *parent, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) < 0)
        return NULL;
    return path;
}

int cgroup_walk_open(struct cgroup_walk **ret, const char *root)
{
    struct cgroup_walk *walk = calloc(1, sizeof(*walk));
    int r;

    if (!walk)
        return -ENOMEM;
    walk->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = walk->root_fd < 0 ? -errno : push(walk, strdup("/"), 0);
    if (r) {
        cgroup_walk_close(walk);
        return r;
    }
    *ret = walk;
    return 0;
}

struct cgroup_walk *cgroup_walk_close(struct cgroup_walk *walk)
{
    if (!walk)
        return NULL;
    while (walk->count)
        free(walk->stack[--walk->count].path);
    free(walk->stack);
    free(walk->current);
    cleanup_close_fd(&walk->root_fd);
    free(walk);
    return NULL;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int push_children(struct cgroup_walk *walk, DIR *dir, const char *path, uint32_t level)
{
    const struct dirent *child;

    for (errno = 0; (child = readdir(dir)); errno = 0) {
        int r;

        if ((child->d_type != DT_DIR && child->d_type != DT_UNKNOWN) || is_dots(child->d_name))
            continue;
        r = push(walk, join(path, child->d_name), level + 1);
        if (r)
            return r;
    }
    return errno == ENODEV ? 0 : -errno; /* removed while it was read */
}

/* 1: visited; 0: gone, or no folder; negative errno. */
static int visit(struct cgroup_walk *walk, const struct pending *folder, struct cgroup_walk_entry *ret)
{
    const char *relative = folder->level ? folder->path + 1 : ".";
    CLEANUP_CLOSE int fd = openat(walk->root_fd, relative, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = NULL;
    struct stat status;
    int r;

    if (fd < 0) /* a path too long to open is nothing that a runtime makes */
        return errno == ENOENT || errno == ENODEV || errno == ENOTDIR || errno == ENAMETOOLONG ? 0 : -errno;
    if (fstat(fd, &status))
        return -errno;
    dir = fdopendir(fd);
    if (!dir)
        return -errno;
    (void)take_fd(&fd);
    r = push_children(walk, dir, folder->path, folder->level);
    if (r)
        return r;
    *ret = (struct cgroup_walk_entry){.id = status.st_ino, .level = folder->level, .path = folder->path};
    return 1;
}

int cgroup_walk_next(struct cgroup_walk *walk, struct cgroup_walk_entry *ret)
{
    while (walk->count) {
        struct pending folder = walk->stack[--walk->count];
        int r;

        free(walk->current);
        walk->current = folder.path;
        r = visit(walk, &folder, ret);
        if (r)
            return r;
    }
    return 0;
}
