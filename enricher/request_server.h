/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Clients of a listening stream socket that ask once and are answered once: those of the events socket (control.h) and of the metrics (metrics.h).
 *
 *   request ─ whole ─► answer ─ sent ─► linger, until the other side has closed ─► end
 *
 * A client is hostile: slow, silent, endless, or one of very many. What it costs is bounded.
 *
 * Q1  a request is at most request_max bytes; it, and its answer, take timeout_ns each at most
 * Q2  at most max_clients are served at a time; one more hears `busy` and is closed
 * Q3  without a descriptor or memory for one more, the listener rests for a while: a connection that cannot be taken does not turn the loop
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct request_client;
struct request_server;
struct text;

enum request_verdict {
    REQUEST_MORE,   /* not whole yet; closed when no more would fit */
    REQUEST_ANSWER, /* `reply` has it; empty: closed */
    REQUEST_CLOSE,
};

/* All of the request that has come (a NUL stands behind it; may be changed), called each time that more of it did. */
typedef enum request_verdict request_fn(
    void *arg, struct request_client *client, char *request, size_t size, struct text *reply);

struct request_server_options {
    size_t request_max; /* bytes */
    unsigned max_clients;
    uint64_t timeout_ns;
    const char *busy; /* NULL: nothing is said */
    /* A TCP socket that is closed with something unread resets the connection, and the answer with it: wait for the other side's end. */
    bool linger;
    request_fn *fn;
    void *arg;
};

/* `fd` listens and does not block; taken on success. 0 or negative errno. */
int request_server_new(
    struct request_server **ret, struct loop *loop, int fd, const struct request_server_options *options);
/* errno of the connection that could not be taken last (Q3), 0: none since one was. */
int request_server_error(const struct request_server *server);
/* Ends every client; NULL is fine. */
struct request_server *request_server_free(struct request_server *server);

/* Within fn only: offers the connection to `take`. 0: it took the fd, fn returns REQUEST_CLOSE; else its negative errno, and the client is served
 * on. */
int request_client_hand_over(struct request_client *client, int (*take)(void *arg, int fd), void *arg);
