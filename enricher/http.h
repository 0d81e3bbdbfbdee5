/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * GET requests on the loop: libcurl's multi-socket interface, its sockets watched by loop_poll, its clock by a loop_timer. Nothing here blocks.
 * The server, the network between and every byte of an answer are hostile: bodies, headers and times are bounded.
 *
 * HTTP/1.1, or HTTP/2 where TLS negotiates it; connections are kept and reused for at most 10 minutes; redirects are not followed;
 * http and https only; proxies of the environment are ignored (they would be shown the token). TLS 1.2 or newer, verified unless `insecure`;
 * with a ca_file (or ca_data) only that is trusted, not the system's authorities. A key that is encrypted cannot be used: nobody is asked for a password.
 *
 * A stream (a watch) is a request without overall_timeout and max_bytes: idle_timeout ends it when the server goes silent.
 *
 * Names: an address is normally numeric ("localhost" needs no resolver either). Another name is looked up by Debian's libcurl in a thread of its own
 * (getaddrinfo), so the loop goes on; where a sandbox forbids threads the request fails with HTTP_NO_ADDRESS. A lookup that outlives its request is left
 * behind, never waited for.
 *
 * The bearer token is read from its file at each request (it rotates), sent only over TLS or to a loopback address, and our copies are wiped after use;
 * libcurl's own send buffer is not ours to wipe. libcurl sends with MSG_NOSIGNAL; the process ignores SIGPIPE all the same.
 *
 * N1  callbacks run only inside loop_run_once(), never inside http_get()
 * N2  on_done runs exactly once per request, unless http_cancel() came first; then nothing runs
 * N3  on_data sees only bytes of a 2xx body, decoded, at most max_bytes in total
 * N4  on_data gets a large answer in slices, a turn of the loop each, of 32 KiB at most, whatever it was packed to; on_done comes after the last
 * N5  a poll is stopped before its fd is closed
 * N6  the token appears in no error text, not even when the server says it back
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http;
struct http_exchange; /* a request under way */

enum http_outcome {
    HTTP_ANSWERED,       /* a whole answer came, whatever its status */
    HTTP_REFUSED,        /* by us: a URL or a request that is not allowed */
    HTTP_BAD_CREDENTIAL, /* token, CA, certificate or key file cannot be used */
    HTTP_NO_ADDRESS,     /* the name does not resolve */
    HTTP_NO_CONNECTION,
    HTTP_NOT_TRUSTED, /* the server's certificate does not verify */
    HTTP_TLS_FAILED,  /* no TLS there, or the server refused us during the handshake */
    HTTP_TIMED_OUT,   /* connect, overall or idle */
    HTTP_TOO_LARGE,
    HTTP_BROKEN,  /* reset, cut off, not HTTP */
    HTTP_ABORTED, /* on_data said so */
    HTTP_OUTCOME_COUNT
};

struct http_result {
    enum http_outcome outcome;
    unsigned status; /* 0: none came */
    const char *
        text; /* printable ASCII: what went wrong, or the start of the body of a status other than 2xx; may be "" */
    uint64_t retry_after_sec; /* 0: not given */
    uint64_t bytes;           /* of the body, decoded */
};

/* PEM in memory. */
struct http_blob {
    void *data; /* NULL: none */
    size_t size;
};

typedef int http_data_fn(void *arg, const char *data, size_t size); /* nonzero: abort */
typedef void http_done_fn(void *arg, const struct http_result *result);

/* Strings are borrowed until on_done or http_cancel(); NULL: not used. A time or size of 0: no limit. */
struct http_request {
    const char *url;
    const char *const *headers;                     /* "Name: value", NULL-terminated list */
    const char *token_file;                         /* → Authorization: Bearer */
    const char *token;                              /* the same, inline; the file wins */
    const char *ca_file, *client_cert, *client_key; /* PEM; client_key NULL: in client_cert's file */
    const struct http_blob *ca_data, *client_cert_data,
        *client_key_data; /* instead of the file; not copied */
    bool insecure;        /* the server's certificate is not verified */
    bool
        compressed; /* ask for gzip: for a server across a network, at the price of our time. It is decoded unasked, too */
    bool fresh; /* a new connection: after a failure, so that changed certificate files count */
    bool
        alone; /* a new connection that nobody uses after: for an answer without end, which may leave a dead one */
    uint64_t connect_timeout_ns, overall_timeout_ns, idle_timeout_ns; /* idle: no byte for so long */
    uint64_t max_bytes;
    http_data_fn *on_data;
    http_done_fn *on_done;
    void *arg;
};

/* The loop is borrowed. 0 or negative errno. */
int http_new(struct http **ret, struct loop *loop);
/* Cancels what is under way. Not from a callback. */
struct http *http_free(struct http *http);

/* Starts in the loop's next turn. *ret (may be NULL) is valid until on_done has returned. 0 or -ENOMEM; any other failure is told by on_done. */
int http_get(struct http *http, const struct http_request *request, struct http_exchange **ret);
/* From anywhere, also from on_data; within the exchange's own on_done it does nothing. NULL is tolerated. */
void http_cancel(struct http_exchange *exchange);
/* Until on_done has returned: overwrites what `text` shows of the token that was sent; a server may say it back. NULL is tolerated. */
void http_hide_token(const struct http_exchange *exchange, char *text);

/* base + path, owned, with the given port where the base has none. -EINVAL: base is not an http or https URL, or carries a user, a query or a fragment. */
int http_url_join(const char *base, const char *path, unsigned https_port, unsigned http_port, char **ret);
