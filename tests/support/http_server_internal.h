/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by http_server.c, which owns sockets and threads, and http2_server.c, which frames one connection as HTTP/2. */
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/types.h>
#include "tests/support/http_server.h"

#define HEAD_MAX 65536

struct http2;

struct http_server_connection {
    struct http_server *server;
    int fd;
    SSL *ssl;
    struct http2 *http2; /* NULL: HTTP/1.1 */
    pthread_t thread;
    bool reset;
};

/* Waits for the connection or for the stop: 1: ready, 0: the time is over, -1: being stopped. -1 ms: no limit. */
int connection_wait(struct http_server_connection *connection, short events, int timeout_ms);
/* Blocks. As recv(2). */
ssize_t connection_read(struct http_server_connection *connection, char *data, size_t size);
bool connection_write(struct http_server_connection *connection, const void *data, size_t size);

/* Requests of the connection one after the other, each given to fn as an HTTP/1.1 head, until fn or the peer wants no more. */
void http2_serve(struct http_server_connection *connection, http_server_fn *fn, void *arg);
/* Bytes of an HTTP/1.1 answer → frames of the stream under way. */
bool http2_write(struct http2 *http2, const char *data, size_t size);
bool http2_sleep_ms(struct http2 *http2, unsigned ms);
