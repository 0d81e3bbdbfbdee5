/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/http.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "enricher/http_exchange.h"

#define CONNECTIONS_MAX 8

/* A socket of libcurl's that the loop watches. */
struct http_socket {
    struct loop_poll poll;
    struct http *http;
    struct http_socket *next;
};

/* ---- the loop's side: sockets and time ---- */

static void http_act(struct http *http, curl_socket_t fd, int events)
{
    int running;

    http->in_callback = true;
    (void)curl_multi_socket_action(http->multi, fd, events, &running);
    http->in_callback = false;
    http_collect(http);
}

/* The socket may be freed within: libcurl says REMOVE from inside http_act(). */
static void on_socket_ready(void *arg, uint32_t events)
{
    struct http_socket *socket = arg;
    int flags = 0;

    if (events & (POLLIN | POLLHUP))
        flags |= CURL_CSELECT_IN;
    if (events & POLLOUT)
        flags |= CURL_CSELECT_OUT;
    if (events & (POLLERR | POLLNVAL))
        flags |= CURL_CSELECT_ERR;
    http_act(socket->http, socket->poll.fd, flags);
}

static void on_curl_timer(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    http_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int curl_wants_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http *http = arg;

    (void)multi;
    /* loop_now() is as old as this turn, so the timer may be up to a turn early by libcurl's clock: it then asks again. */
    if (timeout_ms < 0)
        loop_timer_disarm(http->loop, &http->timer);
    else
        loop_timer_arm(http->loop, &http->timer, loop_now(http->loop) + (uint64_t)timeout_ms * NS_PER_MS);
    return 0;
}

static void socket_free(struct http *http, struct http_socket *socket)
{
    struct http_socket **link = &http->sockets;

    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    loop_poll_stop(http->loop, &socket->poll);
    free(socket);
}

static int curl_wants_poll(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
    struct http *http = arg;
    struct http_socket *socket = assigned;
    uint32_t events = (what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0);
    int error;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            socket_free(http, socket);
        return 0;
    }
    if (socket && socket->poll.fd == fd)
        return loop_poll_change(http->loop, &socket->poll, events) < 0 ? -1 : 0;
    if (socket) /* stopped by http_close_socket(); the number came back */
        return loop_poll_start(http->loop, &socket->poll, fd, events) < 0 ? -1 : 0;
    socket = calloc(1, sizeof(*socket));
    if (!socket)
        return -1;
    *socket = (struct http_socket){.poll = {.fn = on_socket_ready, .arg = socket, .fd = -1}, .http = http};
    error = loop_poll_start(http->loop, &socket->poll, fd, events);
    if (error < 0) {
        free(socket);
        return -1;
    }
    socket->next = http->sockets;
    http->sockets = socket;
    (void)curl_multi_assign(http->multi, fd, socket);
    return 0;
}

/* libcurl says REMOVE before it closes. Should it ever not, io_uring would keep the old file alive under a number that is someone else's by
 * then: so no fd is closed under a poll (N5). The struct stays; libcurl's assignment may still point to it. */
int http_close_socket(void *arg, curl_socket_t fd)
{
    struct http *http = arg;

    for (struct http_socket *socket = http->sockets; socket; socket = socket->next)
        if (socket->poll.fd == fd)
            loop_poll_stop(http->loop, &socket->poll);
    return close(fd);
}

void http_collect(struct http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct http_exchange *exchange = NULL;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange) == CURLE_OK && exchange)
            http_exchange_end(exchange, code);
    }
    for (struct http_exchange *exchange = http->active, *next; exchange; exchange = next) {
        next = exchange->next;
        if (exchange->cancelled)
            http_exchange_drop(exchange);
    }
}

/* ---- public ---- */

int http_get(struct http *http, const struct http_request *request, struct http_exchange **ret)
{
    struct http_exchange *exchange = http_exchange_new(http, request);

    if (!exchange)
        return -ENOMEM;
    if (ret)
        *ret = exchange;
    return 0;
}

void http_cancel(struct http_exchange *exchange)
{
    if (!exchange || exchange->finishing)
        return;
    exchange->cancelled = true;
    if (!exchange->http->in_callback) /* else http_collect() follows */
        http_exchange_drop(exchange);
}

int http_new(struct http **ret, struct loop *loop)
{
    struct http *http = calloc(1, sizeof(*http));

    if (!http)
        return -ENOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(http);
        return -ENOMEM;
    }
    *http = (struct http){.loop = loop, .timer = {.fn = on_curl_timer, .arg = http}};
    http->multi = curl_multi_init();
    if (!http->multi) {
        http_free(http);
        return -ENOMEM;
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_poll);
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    *ret = http;
    return 0;
}

struct http *http_free(struct http *http)
{
    if (!http)
        return NULL;
    while (http->active)
        http_cancel(http->active);
    while (http->spare) {
        struct http_exchange *exchange = http->spare;

        http->spare = exchange->next;
        http_exchange_free(exchange);
    }
    http->spare_count = 0;
    if (http->multi)
        (void)curl_multi_cleanup(http->multi);
    while (http->sockets)
        socket_free(http, http->sockets);
    loop_timer_disarm(http->loop, &http->timer);
    free(http);
    curl_global_cleanup();
    return NULL;
}
