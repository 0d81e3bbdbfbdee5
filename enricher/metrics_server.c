/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/text.h"
#include "enricher/metrics.h"
#include "enricher/request_server.h"

struct metrics_server {
    struct request_server *server;
    unsigned port;
    metrics_fn *fn;
    void *arg;
};

/* ---- a request ------------------------------------------------------------------------------------ */

static bool is_request_for(const char *line, const char *method, const char *path)
{
    size_t method_size = strlen(method), path_size = strlen(path);

    return strncmp(line, method, method_size) == 0 && line[method_size] == ' ' &&
           strncmp(line + method_size + 1, path, path_size) == 0 &&
           strchr(" ?\r", line[method_size + 1 + path_size]);
}

/* Returns the status line's end. */
static const char *compose(struct metrics_server *server, const char *request, struct text *body)
{
    if (is_request_for(request, "GET", "/metrics")) {
        server->fn(server->arg, body);
        return "200 OK";
    }
    if (strncmp(request, "GET ", 4) == 0) {
        text_append_string(body, "there is /metrics here\n");
        return "404 Not Found";
    }
    text_append_string(body, "GET /metrics is all that is answered\n");
    return "405 Method Not Allowed";
}

static enum request_verdict on_request(
    void *arg, struct request_client *client, char *request, size_t size, struct text *reply)
{
    struct text body = {0};
    const char *status;

    (void)client;
    if (strlen(request) < size) /* a NUL belongs to no request */
        return REQUEST_CLOSE;
    if (!strstr(request, "\r\n\r\n") && !strstr(request, "\n\n"))
        return REQUEST_MORE;
    status = compose(arg, request, &body);
    text_append_format(reply,
        "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
        "Connection: close\r\n\r\n",
        status, body.size);
    text_append(reply, body.data, body.size);
    reply->failed |= body.failed;
    text_deinit(&body);
    return REQUEST_ANSWER;
}

/* ---- the address ---------------------------------------------------------------------------------- */

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

static unsigned port_of(int fd)
{
    union address address = {.any = {0}};
    socklen_t size = sizeof(address);

    if (getsockname(fd, &address.any, &size) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/* ---- life ----------------------------------------------------------------------------------------- */

int metrics_server_new(
    struct metrics_server **ret, struct loop *loop, const char *address, metrics_fn *fn, void *arg)
{
    CLEANUP_CLOSE int fd = open_listener(address);
    struct request_server_options options = {.request_max = METRICS_REQUEST_MAX,
        .max_clients = METRICS_CLIENTS_MAX,
        .timeout_ns = METRICS_TIMEOUT_NS,
        .linger = true,
        .fn = on_request};
    struct metrics_server *server;
    int r;

    if (fd < 0)
        return fd;
    server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    *server = (struct metrics_server){.port = port_of(fd), .fn = fn, .arg = arg};
    options.arg = server;
    r = request_server_new(&server->server, loop, fd, &options);
    if (r < 0) {
        free(server);
        return r;
    }
    (void)take_fd(&fd);
    *ret = server;
    return 0;
}

struct metrics_server *metrics_server_free(struct metrics_server *server)
{
    if (!server)
        return NULL;
    server->server = request_server_free(server->server);
    free(server);
    return NULL;
}

unsigned metrics_server_port(const struct metrics_server *server)
{
    return server->port;
}
