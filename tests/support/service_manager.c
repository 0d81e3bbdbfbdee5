/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/unix_socket.h"

#define FDS_MAX       2048
#define MESSAGE_BYTES 512
#define HIGH_FD       (FDS_MAX + 16) /* out of the way of those that are passed */

struct held {
    int fd;
    char name[256];
};

struct service_manager {
    char path[108];
    int socket;
    int stop[2];
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct held held[FDS_MAX];
    size_t count;
};

static void drop_at(struct service_manager *manager, size_t at)
{
    fd_close(&manager->held[at].fd);
    memmove(&manager->held[at], &manager->held[at + 1], (--manager->count - at) * sizeof(manager->held[0]));
}

static void drop_named(struct service_manager *manager, const char *name)
{
    for (size_t i = manager->count; i-- > 0;) {
        if (strcmp(manager->held[i].name, name) == 0)
            drop_at(manager, i);
    }
}

/* The value of a line "KEY=VALUE" of the message; "" when there is none. */
static void find_value(const char *message, const char *key, char value[256])
{
    size_t size = strlen(key);

    value[0] = '\0';
    for (const char *line = message; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, size) == 0 && line[size] == '=')
            (void)snprintf(value, 256, "%.*s", (int)strcspn(line + size + 1, "\n"), line + size + 1);
    }
}

/* One message; false: there is none. */
static bool take_message(struct service_manager *manager)
{
    char message[MESSAGE_BYTES], name[256], value[256];
    int fds[UNIX_FDS_MAX];
    size_t count = 0;
    ssize_t size = unix_receive(manager->socket, message, sizeof(message) - 1, fds, UNIX_FDS_MAX, &count);

    if (size <= 0)
        return false;
    message[size] = '\0';
    find_value(message, "FDNAME", name);
    find_value(message, "FDSTOREREMOVE", value);
    if (value[0] == '1')
        drop_named(manager, name);
    find_value(message, "FDSTORE", value);
    for (size_t i = 0; i < count; i++) {
        if (value[0] == '1' && manager->count < FDS_MAX) {
            struct held *held = &manager->held[manager->count];

            held->fd = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
            (void)snprintf(held->name, sizeof(held->name), "%s", name);
            manager->count += held->fd >= 0;
        }
        (void)close(fds[i]); /* of a barrier: this is the answer */
    }
    return true;
}

static void *serve(void *arg)
{
    struct service_manager *manager = arg;
    struct pollfd fds[] = {
        {.fd = manager->socket, .events = POLLIN}, {.fd = manager->stop[0], .events = POLLIN}};

    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        if (fds[1].revents)
            break;
        (void)pthread_mutex_lock(&manager->lock);
        while (take_message(manager))
            ;
        (void)pthread_mutex_unlock(&manager->lock);
    }
    return NULL;
}

struct service_manager *service_manager_new(const char *path)
{
    struct service_manager *manager = calloc(1, sizeof(*manager));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rlimit files;

    if (!manager)
        return NULL;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    manager->stop[0] = manager->stop[1] = -1;
    (void)snprintf(manager->path, sizeof(manager->path), "%s", path);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)pthread_mutex_init(&manager->lock, NULL);
    manager->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (manager->socket < 0 ||
        bind(manager->socket, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        pipe2(manager->stop, O_CLOEXEC) < 0 || pthread_create(&manager->thread, NULL, serve, manager) != 0) {
        fd_close(&manager->socket);
        free(manager);
        return NULL;
    }
    return manager;
}

struct service_manager *service_manager_free(struct service_manager *manager)
{
    if (!manager)
        return NULL;
    fd_close(&manager->stop[1]);
    (void)pthread_join(manager->thread, NULL);
    service_manager_stop(manager);
    fd_close(&manager->stop[0]);
    fd_close(&manager->socket);
    (void)unlink(manager->path);
    (void)pthread_mutex_destroy(&manager->lock);
    free(manager);
    return NULL;
}

void service_manager_settle(struct service_manager *manager)
{
    (void)pthread_mutex_lock(&manager->lock);
    while (take_message(manager))
        ;
    (void)pthread_mutex_unlock(&manager->lock);
}

/* Only what a child of a process with threads may do: nothing here takes a lock. */
void service_manager_enter(struct service_manager *manager)
{
    static char names[FDS_MAX * 64], text[32];
    size_t size = 0;

    for (size_t i = 0; i < manager->count; i++) {
        (void)dup2(manager->held[i].fd, 3 + (int)i); /* which has no close on exec */
        size +=
            (size_t)snprintf(names + size, sizeof(names) - size, "%s%s", i ? ":" : "", manager->held[i].name);
    }
    (void)setenv("NOTIFY_SOCKET", manager->path, 1);
    (void)unsetenv("LISTEN_FDS");
    if (manager->count == 0)
        return;
    (void)snprintf(text, sizeof(text), "%zu", manager->count);
    (void)setenv("LISTEN_FDS", text, 1);
    (void)snprintf(text, sizeof(text), "%d", (int)getpid());
    (void)setenv("LISTEN_PID", text, 1);
    (void)setenv("LISTEN_FDNAMES", names, 1);
}

void service_manager_stop(struct service_manager *manager)
{
    service_manager_settle(manager);
    (void)pthread_mutex_lock(&manager->lock);
    while (manager->count > 0)
        drop_at(manager, manager->count - 1);
    (void)pthread_mutex_unlock(&manager->lock);
}

size_t service_manager_count(struct service_manager *manager, const char *prefix)
{
    size_t count = 0;

    service_manager_settle(manager);
    (void)pthread_mutex_lock(&manager->lock);
    for (size_t i = 0; i < manager->count; i++)
        count += strncmp(manager->held[i].name, prefix, strlen(prefix)) == 0;
    (void)pthread_mutex_unlock(&manager->lock);
    return count;
}

bool service_manager_drop(struct service_manager *manager, const char *prefix)
{
    bool dropped = false;

    service_manager_settle(manager);
    (void)pthread_mutex_lock(&manager->lock);
    for (size_t i = 0; i < manager->count && !dropped; i++) {
        dropped = strncmp(manager->held[i].name, prefix, strlen(prefix)) == 0;
        if (dropped)
            drop_at(manager, i);
    }
    (void)pthread_mutex_unlock(&manager->lock);
    return dropped;
}
