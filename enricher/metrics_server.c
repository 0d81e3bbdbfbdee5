/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/text.h"
#include "enricher/loop.h"
#include "enricher/metrics.h"

struct client {
    struct metrics_server *server;
    struct client *next;
    struct loop_poll poll;
    struct loop_timer timeout;
    int fd;
    size_t request_bytes, sent_bytes;
    struct text reply;
    bool answered; /* all is sent: what still comes is thrown away until the other side has closed */
    char request[METRICS_REQUEST_MAX];
};

struct metrics_server {
    struct loop *loop;
    int fd;
    struct loop_poll poll;
    metrics_fn *fn;
    void *arg;
    struct client *first;
    unsigned count;
};

/* ---- a client ------------------------------------------------------------------------------------- */

static void client_free(struct client *client)
{
    struct metrics_server *server = client->server;
    struct client **link = &server->first;

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

/* A socket that is closed with something unread resets the connection, and the answer with it: the other side closes first. */
static void end_reply(struct client *client)
{
    client->answered = true;
    if (shutdown(client->fd, SHUT_WR) < 0 ||
        loop_poll_change(client->server->loop, &client->poll, POLLIN) < 0)
        client_free(client);
}

static void send_reply(struct client *client)
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
    end_reply(client);
}

static void start_reply(struct client *client, const char *status, const struct text *body)
{
    text_append_format(&client->reply,
        "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
        "Connection: close\r\n\r\n",
        status, body->size);
    text_append(&client->reply, body->data, body->size);
    if (client->reply.failed || body->failed) {
        client_free(client);
        return;
    }
    loop_timer_arm(
        client->server->loop, &client->timeout, loop_now(client->server->loop) + METRICS_TIMEOUT_NS);
    send_reply(client);
}

static bool is_request_for(const char *line, const char *method, const char *path)
{
    size_t method_size = strlen(method), path_size = strlen(path);

    return strncmp(line, method, method_size) == 0 && line[method_size] == ' ' &&
           strncmp(line + method_size + 1, path, path_size) == 0 &&
           strchr(" ?\r", line[method_size + 1 + path_size]);
}

static void serve(struct client *client)
{
    struct text body = {0};

    if (is_request_for(client->request, "GET", "/metrics")) {
        client->server->fn(client->server->arg, &body);
        start_reply(client, "200 OK", &body);
    } else if (strncmp(client->request, "GET ", 4) == 0) {
        text_append_string(&body, "there is /metrics here\n");
        start_reply(client, "404 Not Found", &body);
    } else {
        text_append_string(&body, "GET /metrics is all that is answered\n");
        start_reply(client, "405 Method Not Allowed", &body);
    }
    text_deinit(&body);
}

static bool discard(struct client *client)
{
    char bytes[4096];
    ssize_t got = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void read_request(struct client *client)
{
    size_t room = sizeof(client->request) - 1 - client->request_bytes;
    ssize_t got = recv(client->fd, client->request + client->request_bytes, room, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_free(client);
        return;
    }
    client->request_bytes += (size_t)got;
    client->request[client->request_bytes] = '\0';
    if (strstr(client->request, "\r\n\r\n") || strstr(client->request, "\n\n"))
        serve(client);
    else if (client->request_bytes == sizeof(client->request) - 1 ||
             strlen(client->request) < client->request_bytes) /* a NUL belongs to no request */
        client_free(client);
}

static void on_client(void *arg, uint32_t events)
{
    struct client *client = arg;

    (void)events; /* errors show in the call that meets them */
    if (client->answered) {
        if (!discard(client))
            client_free(client);
    } else if (client->reply.size) {
        send_reply(client);
    } else {
        read_request(client);
    }
}

/* ---- the listener --------------------------------------------------------------------------------- */

static void add_client(struct metrics_server *server, int fd)
{
    struct client *client = server->count < METRICS_CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;

    if (!client) {
        (void)close(fd);
        return;
    }
    client->server = server;
    client->fd = fd;
    client->poll = (struct loop_poll){.fn = on_client, .arg = client, .fd = -1};
    client->timeout = (struct loop_timer){.fn = on_timeout, .arg = client};
    client->next = server->first;
    server->first = client;
    server->count++;
    loop_timer_arm(server->loop, &client->timeout, loop_now(server->loop) + METRICS_TIMEOUT_NS);
    if (loop_poll_start(server->loop, &client->poll, fd, POLLIN) < 0)
        client_free(client);
}

/* One a turn: a crowd at the door does not hold the loop. */
static void on_listener(void *arg, uint32_t events)
{
    struct metrics_server *server = arg;
    int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0)
        add_client(server, fd);
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int parse_port(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || port > UINT16_MAX)
        return -EINVAL;
    *ret = htons((uint16_t)port);
    return 0;
}

static int parse_address(const char *text, union address *ret, socklen_t *ret_size)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    uint16_t port;
    size_t size;

    if (!colon || parse_port(colon + 1, &port) < 0 || (size_t)(colon - text) >= sizeof(host))
        return -EINVAL;
    size = (size_t)(colon - text);
    memcpy(host, text, size);
    host[size] = '\0';
    memset(ret, 0, sizeof(*ret));
    if (size == 0 || (host[0] == '[' && host[size - 1] == ']')) {
        if (size)
            host[size - 1] = '\0';
        ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_any};
        *ret_size = sizeof(ret->v6);
        return size == 0 || inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1 ? 0 : -EINVAL;
    }
    ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    *ret_size = sizeof(ret->v4);
    return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 ? 0 : -EINVAL;
}

int metrics_check_address(const char *address)
{
    union address parsed;
    socklen_t size;

    return parse_address(address, &parsed, &size);
}

static int open_listener(const char *text)
{
    CLEANUP_CLOSE int fd = -1;
    union address address;
    const int on = 1, off = 0;
    socklen_t size;
    int r = parse_address(text, &address, &size);

    if (r < 0)
        return r;
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EAFNOSUPPORT &&
        text[0] == ':') { /* all addresses, of the one family that there is */
        address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = address.v6.sin6_port};
        size = sizeof(address.v4);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (address.any.sa_family == AF_INET6) /* ":PORT" is both families */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, &address.any, size) < 0 || listen(fd, METRICS_CLIENTS_MAX) < 0)
        return -errno;
    return take_fd(&fd);
}

unsigned metrics_server_port(const struct metrics_server *server)
{
    union address address = {.any = {0}};
    socklen_t size = sizeof(address);

    if (getsockname(server->fd, &address.any, &size) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

int metrics_server_new(
    struct metrics_server **ret, struct loop *loop, const char *address, metrics_fn *fn, void *arg)
{
    struct metrics_server *server;
    int fd = open_listener(address), r;

    if (fd < 0)
        return fd;
    server = calloc(1, sizeof(*server));
    if (!server) {
        (void)close(fd);
        return -ENOMEM;
    }
    *server = (struct metrics_server){.loop = loop, .fd = fd, .fn = fn, .arg = arg};
    server->poll = (struct loop_poll){.fn = on_listener, .arg = server, .fd = -1};
    r = loop_poll_start(loop, &server->poll, fd, POLLIN);
    if (r < 0) {
        metrics_server_free(server);
        return r;
    }
    *ret = server;
    return 0;
}

struct metrics_server *metrics_server_free(struct metrics_server *server)
{
    if (!server)
        return NULL;
    while (server->first)
        client_free(server->first);
    loop_poll_stop(server->loop, &server->poll);
    fd_close(&server->fd);
    free(server);
    return NULL;
}
