/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One connection of the kubelet stand-in: HTTP/1.1 with keep-alive, plain or TLS, never blocking. The poll loop is the caller's. */
#include <openssl/ssl.h>
#include <stdbool.h>
#include "common/text.h"

struct standin_connection;

struct standin_request {
    const char *method, *path; /* path: without the query */
    const char *bearer;        /* the token, NULL: none */
    bool certified;            /* a client certificate that verified */
};

/* Appends the whole answer, head and all. False: never answer. */
typedef bool standin_answer_fn(void *arg, const struct standin_request *request, struct text *out);

/* The fd is taken, also on failure (NULL). tls NULL: plain. */
struct standin_connection *standin_connection_new(int fd, SSL_CTX *tls, standin_answer_fn *answer, void *arg);
struct standin_connection *standin_connection_free(struct standin_connection *connection);
int standin_connection_fd(const struct standin_connection *connection);
short standin_connection_events(const struct standin_connection *connection);
/* As far as it gets without waiting. False: it is over. */
bool standin_connection_step(struct standin_connection *connection);
uint64_t standin_connection_moved_ns(const struct standin_connection *connection); /* the last progress */
