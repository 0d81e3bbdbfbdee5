/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/unix_socket.h"

#define FIRST_FD  3
#define FDS_MAX   8192
#define NAME_MAX_ 255

/* For a manager whose queue of messages is full. ppoll(2): the one that the collector may call when it is confined. */
static const struct timespec patience = {.tv_sec = 5};

/* A decimal number and nothing else. */
static bool read_number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *ret <= max;
}

static int add_entry(struct fd_store *store, int fd, const char *name, size_t size)
{
    struct fd_store_entry *entry = &store->entries[store->count];

    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    entry->name = strndup(name, size);
    if (!entry->name)
        return -ENOMEM;
    entry->fd = fd;
    store->count++;
    return 0;
}

static int take_entries(struct fd_store *store, uint64_t count, const char *names)
{
    int r = 0;

    store->entries = calloc(count, sizeof(*store->entries));
    if (!store->entries)
        return -ENOMEM;
    for (uint64_t i = 0; i < count && r == 0; i++) {
        size_t size = strcspn(names, ":");

        r = add_entry(store, FIRST_FD + (int)i, names, size);
        names += size + (names[size] == ':');
    }
    return r;
}

int fd_store_take(struct fd_store *store, const struct notify *notify)
{
    const char *names = getenv("LISTEN_FDNAMES");
    uint64_t pid, count;
    int r = 0;

    *store = (struct fd_store){.notify = notify};
    if (read_number(getenv("LISTEN_PID"), INT32_MAX, &pid) && pid == (uint64_t)getpid()) {
        if (!read_number(getenv("LISTEN_FDS"), FDS_MAX, &count) || !names)
            r = -EINVAL;
        else if (count > 0)
            r = take_entries(store, count, names);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (r < 0)
        fd_store_deinit(store);
    return r;
}

void fd_store_deinit(struct fd_store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        fd_close(&store->entries[i].fd);
        free(store->entries[i].name);
    }
    free(store->entries);
    store->entries = NULL;
    store->count = 0;
}

int fd_store_use(struct fd_store *store, const char *name)
{
    for (size_t i = 0; i < store->count; i++) {
        if (store->entries[i].fd >= 0 && strcmp(store->entries[i].name, name) == 0) {
            store->entries[i].used = true;
            return store->entries[i].fd;
        }
    }
    return -1;
}

int fd_store_use_newest(struct fd_store *store, const char *prefix, uint64_t *ret_number)
{
    struct fd_store_entry *newest = NULL;
    size_t size = strlen(prefix);
    uint64_t greatest = 0, number;

    for (size_t i = 0; i < store->count; i++) {
        struct fd_store_entry *entry = &store->entries[i];

        if (entry->fd < 0 || strncmp(entry->name, prefix, size) != 0 || entry->name[size] != '-' ||
            !read_number(entry->name + size + 1, UINT64_MAX, &number) || (newest && number <= greatest))
            continue;
        newest = entry;
        greatest = number;
    }
    if (!newest)
        return -1;
    newest->used = true;
    *ret_number = greatest;
    return newest->fd;
}

void fd_store_done(struct fd_store *store, int fd)
{
    for (size_t i = 0; i < store->count; i++) {
        if (store->entries[i].fd == fd)
            store->entries[i].used = false;
    }
}

static int tell(struct fd_store *store, const char *message, const int *fds, size_t count)
{
    struct pollfd poll_fd = {.fd = store->notify->fd, .events = POLLOUT};
    int r;

    if (store->notify->fd < 0)
        return 0;
    do
        r = unix_send(store->notify->fd, message, strlen(message), fds, count);
    while (r == -EAGAIN && ppoll(&poll_fd, 1, &patience, NULL) == 1);
    if (r < 0 && store->error == 0)
        store->error = r;
    return r;
}

/* FDPOLL=0: the manager shall not watch them; some can be polled and none of them ever "ends". */
int fd_store_put(struct fd_store *store, const char *name, const int *fds, size_t count)
{
    char message[NAME_MAX_ + 64];
    int r = 0;

    (void)snprintf(message, sizeof(message), "FDSTORE=1\nFDPOLL=0\nFDNAME=%.*s", NAME_MAX_, name);
    for (size_t at = 0; at < count && r == 0; at += UNIX_FDS_MAX)
        r = tell(store, message, fds + at, count - at < UNIX_FDS_MAX ? count - at : UNIX_FDS_MAX);
    return r;
}

/* The manager closes the fd that it gets with the message when it comes to it. */
int fd_store_wait(struct fd_store *store)
{
    struct pollfd poll_fd = {.fd = -1};
    int ends[2], r;

    if (store->notify->fd < 0)
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    r = tell(store, "BARRIER=1", &ends[1], 1);
    (void)close(ends[1]);
    poll_fd.fd = ends[0];
    if (r == 0)
        r = ppoll(&poll_fd, 1, &patience, NULL) == 1 ? 0 : -ETIMEDOUT;
    (void)close(ends[0]);
    return r;
}

int fd_store_remove(struct fd_store *store, const char *name)
{
    char message[NAME_MAX_ + 64];

    (void)snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%.*s", NAME_MAX_, name);
    return tell(store, message, NULL, 0);
}

int fd_store_replace(struct fd_store *store, const char *name, int fd)
{
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->entries[i].name, name) == 0)
            fd_close(&store->entries[i].fd);
    }
    (void)fd_store_remove(store, name);
    return fd_store_put(store, name, &fd, 1);
}

void fd_store_remove_unused(struct fd_store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        struct fd_store_entry *entry = &store->entries[i];

        if (entry->used || entry->fd < 0)
            continue;
        for (size_t j = i; j < store->count; j++) {
            if (!store->entries[j].used && strcmp(store->entries[j].name, entry->name) == 0)
                fd_close(&store->entries[j].fd);
        }
        (void)fd_store_remove(store, entry->name);
    }
}
