/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A blocking HTTP(S) server on 127.0.0.1 for tests: a thread per connection; what it answers is the test's to write, byte by byte, and so are its sins.
 */
#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct http_server_connection;

/* One request: `head` is all of it up to the empty line. True: keep the connection for the next. Runs in a thread of its own. */
typedef bool http_server_fn(void *arg, struct http_server_connection *connection, const char *head);

struct http_server_options {
    http_server_fn *fn;
    void *arg;
    const char *cert, *key; /* both or none: plain */
    const char *client_ca;  /* a certificate of this authority is required */
    bool http2; /* where the client offers it; fn goes on writing HTTP/1.1, which is framed anew */
    int port;   /* 0: any */
};

/* NULL: it cannot listen. */
struct http_server *http_server_start(const struct http_server_options *options);
int http_server_port(const struct http_server *server);
unsigned http_server_connections(const struct http_server *server); /* accepted so far */
struct http_server *http_server_stop(struct http_server *server);   /* cuts all connections */

/* False: the peer is gone. */
bool http_server_write(struct http_server_connection *connection, const void *data, size_t size);
bool http_server_say(struct http_server_connection *connection, const char *text);
/* A whole answer with Content-Length. `headers`: more lines, each ended by \r\n, or "". */
bool http_server_answer(struct http_server_connection *connection, const char *status, const char *headers,
    const void *body, size_t size);
bool http_server_sleep_ms(
    struct http_server_connection *connection, unsigned ms);       /* false: it is being stopped */
void http_server_reset(struct http_server_connection *connection); /* a TCP RST instead of a polite end */
/* HTTP/2 only: GOAWAY, after which the stream under way may go on; RST_STREAM. */
bool http_server_go_away(struct http_server_connection *connection);
bool http_server_reset_stream(struct http_server_connection *connection);
