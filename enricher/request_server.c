/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/request_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/text.h"
#include "enricher/loop.h"

#define ACCEPTS_PER_TURN 16
#define REST_NS          (100 * NS_PER_MS)

struct request_client {
    struct request_server *server;
    struct request_client *next;
    int fd;
    struct loop_poll poll;
    struct loop_timer timeout;
    enum { READING, ANSWERING, LINGERING } state;
    struct text reply;
    size_t request_bytes, sent_bytes;
    char request[]; /* request_max, and a NUL */
};

struct request_server {
    struct loop *loop;
    struct request_server_options options;
    int fd;
    struct loop_poll poll;
    struct loop_timer rest;
    struct request_client *first;
    unsigned count;
    int error;
};

/* ---- a client ------------------------------------------------------------------------------------- */

static void client_free(struct request_client *client)
{
    struct request_server *server = client->server;
    struct request_client **link = &server->first;

    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    server->count--;
    loop_poll_stop(server->loop, &client->poll);
    loop_timer_disarm(server->loop, &client->timeout);
    fd_close(&client->fd);
    text_deinit(&client->reply);
    free(client);
}

static void on_timeout(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    client_free(arg);
}

static void start_timeout(struct request_client *client)
{
    struct request_server *server = client->server;

    loop_timer_arm(server->loop, &client->timeout, loop_now(server->loop) + server->options.timeout_ns);
}

static void end_answer(struct request_client *client)
{
    client->state = LINGERING;
    if (!client->server->options.linger || shutdown(client->fd, SHUT_WR) < 0 ||
        loop_poll_change(client->server->loop, &client->poll, POLLIN) < 0)
        client_free(client);
}

static void send_answer(struct request_client *client)
{
    const struct text *reply = &client->reply;

    while (client->sent_bytes < reply->size) {
        ssize_t sent = send(client->fd, reply->data + client->sent_bytes, reply->size - client->sent_bytes,
            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN &&
            loop_poll_change(client->server->loop, &client->poll, POLLOUT) == 0)
            return;
        if (sent < 0 && errno != EINTR) {
            client_free(client);
            return;
        }
        if (sent > 0)
            client->sent_bytes += (size_t)sent;
    }
    end_answer(client);
}

static void judge_request(struct request_client *client)
{
    const struct request_server_options *options = &client->server->options;
    enum request_verdict verdict =
        options->fn(options->arg, client, client->request, client->request_bytes, &client->reply);

    if (verdict == REQUEST_MORE && client->request_bytes < options->request_max)
        return;
    if (verdict != REQUEST_ANSWER || client->fd < 0 || client->reply.failed || client->reply.size == 0) {
        client_free(client);
        return;
    }
    client->state = ANSWERING;
    start_timeout(client);
    send_answer(client);
}

static void read_request(struct request_client *client)
{
    size_t room = client->server->options.request_max - client->request_bytes;
    ssize_t got = recv(client->fd, client->request + client->request_bytes, room, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_free(client);
        return;
    }
    client->request_bytes += (size_t)got;
    client->request[client->request_bytes] = '\0';
    judge_request(client);
}

static void discard(struct request_client *client)
{
    char bytes[4096];
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        client_free(client);
}

static void on_client(void *arg, uint32_t events)
{
    struct request_client *client = arg;

    (void)events; /* errors show in the call that meets them */
    if (client->state == READING)
        read_request(client);
    else if (client->state == ANSWERING)
        send_answer(client);
    else
        discard(client);
}

int request_client_hand_over(struct request_client *client, int (*take)(void *arg, int fd), void *arg)
{
    struct loop *loop = client->server->loop;
    int r;

    loop_poll_stop(loop, &client->poll); /* one watch per fd */
    r = take(arg, client->fd);
    if (r == 0)
        client->fd = -1;
    else if (loop_poll_start(loop, &client->poll, client->fd, POLLIN) < 0)
        fd_close(&client->fd); /* judge_request() ends it */
    return r;
}

/* ---- the listener --------------------------------------------------------------------------------- */

static struct request_client *add_client(struct request_server *server, int fd)
{
    struct request_client *client = calloc(1, sizeof(*client) + server->options.request_max + 1);

    if (!client)
        return NULL;
    client->server = server;
    client->fd = fd;
    client->poll = (struct loop_poll){.fn = on_client, .arg = client, .fd = -1};
    client->timeout = (struct loop_timer){.fn = on_timeout, .arg = client};
    if (loop_poll_start(server->loop, &client->poll, fd, POLLIN) < 0) {
        free(client);
        return NULL;
    }
    client->next = server->first;
    server->first = client;
    server->count++;
    start_timeout(client);
    return client;
}

static void on_connection(void *arg, uint32_t events)
{
    struct request_server *server = arg;
    const char *busy = server->options.busy;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        CLEANUP_CLOSE int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
            return;
        server->error = fd < 0 ? errno : 0;
        if (fd < 0) { /* Q3: it would be announced again and again */
            loop_poll_stop(server->loop, &server->poll);
            loop_timer_arm(server->loop, &server->rest, loop_now(server->loop) + REST_NS);
            return;
        }
        if (server->count < server->options.max_clients) {
            if (add_client(server, fd))
                (void)take_fd(&fd);
        } else if (busy) {
            (void)!send(fd, busy, strlen(busy), MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
}

static void on_rest_end(void *arg, uint64_t now_ns)
{
    struct request_server *server = arg;

    if (loop_poll_start(server->loop, &server->poll, server->fd, POLLIN) < 0)
        loop_timer_arm(server->loop, &server->rest, now_ns + REST_NS);
}

int request_server_new(
    struct request_server **ret, struct loop *loop, int fd, const struct request_server_options *options)
{
    struct request_server *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return -ENOMEM;
    *server = (struct request_server){.loop = loop, .options = *options, .fd = fd};
    server->poll = (struct loop_poll){.fn = on_connection, .arg = server, .fd = -1};
    server->rest = (struct loop_timer){.fn = on_rest_end, .arg = server};
    r = loop_poll_start(loop, &server->poll, fd, POLLIN);
    if (r < 0) {
        free(server);
        return r;
    }
    *ret = server;
    return 0;
}

int request_server_error(const struct request_server *server)
{
    return server->error;
}

struct request_server *request_server_free(struct request_server *server)
{
    if (!server)
        return NULL;
    while (server->first)
        client_free(server->first);
    loop_poll_stop(server->loop, &server->poll);
    loop_timer_disarm(server->loop, &server->rest);
    fd_close(&server->fd);
    free(server);
    return NULL;
}
