/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/http_server_internal.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "common/cleanup.h"

#define CONNECTIONS_MAX 256

struct http_server {
    struct http_server_options options;
    int listener, stop_fd, port;
    SSL_CTX *tls;
    pthread_t thread;
    _Atomic unsigned accepted;
    struct http_server_connection connections[CONNECTIONS_MAX];
};

int connection_wait(struct http_server_connection *connection, short events, int timeout_ms)
{
    struct pollfd fds[] = {
        {.fd = connection->fd, .events = events},
        {.fd = connection->server->stop_fd, .events = POLLIN},
    };

    if (!events)
        fds[0].fd = -1;
    else if (events & POLLIN && connection->ssl && SSL_has_pending(connection->ssl))
        timeout_ms = 0;
    (void)poll(fds, 2, timeout_ms);
    if (fds[1].revents)
        return -1;
    return fds[0].revents || (events & POLLIN && connection->ssl && SSL_has_pending(connection->ssl));
}

ssize_t connection_read(struct http_server_connection *connection, char *data, size_t size)
{
    if (connection_wait(connection, POLLIN, -1) < 0)
        return -1;
    return connection->ssl ? SSL_read(connection->ssl, data, (int)size) : recv(connection->fd, data, size, 0);
}

bool connection_write(struct http_server_connection *connection, const void *data, size_t size)
{
    const char *from = data;

    while (size) {
        ssize_t count;

        if (connection_wait(connection, POLLOUT, -1) < 0)
            return false;
        /* In pieces, so that a reader who stopped reading does not keep us from seeing the stop. */
        count = connection->ssl ? SSL_write(connection->ssl, from, size > 16384 ? 16384 : (int)size)
                                : send(connection->fd, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count <= 0)
            return false;
        from += count;
        size -= (size_t)count;
    }
    return true;
}

bool http_server_write(struct http_server_connection *connection, const void *data, size_t size)
{
    return connection->http2 ? http2_write(connection->http2, data, size)
                             : connection_write(connection, data, size);
}

bool http_server_say(struct http_server_connection *connection, const char *text)
{
    return http_server_write(connection, text, strlen(text));
}

bool http_server_answer(struct http_server_connection *connection, const char *status, const char *headers,
    const void *body, size_t size)
{
    char head[1024];

    (void)snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, size, headers);
    return http_server_say(connection, head) && http_server_write(connection, body, size);
}

bool http_server_sleep_ms(struct http_server_connection *connection, unsigned ms)
{
    return connection->http2 ? http2_sleep_ms(connection->http2, ms)
                             : connection_wait(connection, 0, (int)ms) >= 0;
}

void http_server_reset(struct http_server_connection *connection)
{
    struct linger now = {.l_onoff = 1};

    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    connection->reset = true;
}

/* One request's head, terminated; what follows it (a pipelined request) is not expected. */
static bool read_head(struct http_server_connection *connection, char *head)
{
    size_t length = 0;

    while (length < HEAD_MAX) {
        ssize_t count = connection_read(connection, head + length, HEAD_MAX - length);

        if (count <= 0)
            return false;
        length += (size_t)count;
        head[length] = '\0';
        if (strstr(head, "\r\n\r\n"))
            return true;
    }
    return false;
}

static bool is_http2(const struct http_server_connection *connection)
{
    const unsigned char *protocol = NULL;
    unsigned size = 0;

    if (connection->ssl)
        SSL_get0_alpn_selected(connection->ssl, &protocol, &size);
    return size == 2 && memcmp(protocol, "h2", 2) == 0;
}

/* Until the peer closes, too: to close over what it has sent meanwhile is a reset, which takes back what we said last. */
static void linger(struct http_server_connection *connection)
{
    char data[4096];

    (void)shutdown(connection->fd, SHUT_WR);
    while (connection_wait(connection, POLLIN, 10000) > 0 &&
           recv(connection->fd, data, sizeof(data), MSG_DONTWAIT) > 0)
        ;
}

static void *serve_connection(void *arg)
{
    struct http_server_connection *connection = arg;
    struct http_server *server = connection->server;
    char *head = malloc(HEAD_MAX + 1);
    bool good = head;

    if (good && server->tls) {
        connection->ssl = SSL_new(server->tls);
        good = connection->ssl && SSL_set_fd(connection->ssl, connection->fd) == 1 &&
               SSL_accept(connection->ssl) == 1;
    }
    if (good && is_http2(connection))
        http2_serve(connection, server->options.fn, server->options.arg);
    else
        while (good && read_head(connection, head))
            good = server->options.fn(server->options.arg, connection, head);
    free(head);
    if (connection->ssl && !connection->reset && good)
        (void)SSL_shutdown(connection->ssl);
    if (!connection->reset)
        linger(connection);
    SSL_free(connection->ssl);
    ERR_clear_error();
    if (!connection->reset)
        (void)shutdown(connection->fd, SHUT_RDWR);
    else
        (void)close(take_fd(&connection->fd));
    return NULL;
}

static void *accept_connections(void *arg)
{
    struct http_server *server = arg;
    struct http_server_connection self = {.server = server, .fd = server->listener};

    while (server->accepted < CONNECTIONS_MAX && connection_wait(&self, POLLIN, -1) > 0) {
        struct http_server_connection *connection = &server->connections[server->accepted];

        connection->server = server;
        connection->fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection->fd < 0)
            continue;
        /* As Go's servers do: small pieces would wait 40 ms for the peer's acknowledgement. */
        (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (pthread_create(&connection->thread, NULL, serve_connection, connection) != 0)
            break;
        server->accepted++;
    }
    return NULL;
}

static int select_http2(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
    const unsigned char *offered, unsigned size, void *arg)
{
    static const unsigned char ours[] = {2, 'h', '2'};

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)ret, ret_size, ours, sizeof(ours), offered, size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_tls(const struct http_server_options *options)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (!tls || SSL_CTX_use_certificate_chain_file(tls, options->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, options->key, SSL_FILETYPE_PEM) != 1 ||
        (options->client_ca && SSL_CTX_load_verify_locations(tls, options->client_ca, NULL) != 1)) {
        SSL_CTX_free(tls);
        return NULL;
    }
    if (options->client_ca)
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (options->http2)
        SSL_CTX_set_alpn_select_cb(tls, select_http2, NULL);
    return tls;
}

static int listen_on(int port, int *ret_port)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -1;
    *ret_port = ntohs(address.sin_port);
    return take_fd(&fd);
}

struct http_server *http_server_start(const struct http_server_options *options)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    server->options = *options;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    server->listener = listen_on(options->port, &server->port);
    if (options->cert)
        server->tls = make_tls(options);
    if (server->stop_fd < 0 || server->listener < 0 || (options->cert && !server->tls) ||
        pthread_create(&server->thread, NULL, accept_connections, server) != 0) {
        free(server);
        return NULL;
    }
    return server;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->accepted;
}

struct http_server *http_server_stop(struct http_server *server)
{
    if (!server)
        return NULL;
    (void)eventfd_write(server->stop_fd, 1);
    (void)pthread_join(server->thread, NULL);
    for (unsigned i = 0; i < server->accepted; i++) {
        if (server->connections[i].fd >= 0)
            (void)shutdown(server->connections[i].fd, SHUT_RDWR); /* ends a thread within OpenSSL */
        (void)pthread_join(server->connections[i].thread, NULL);
        if (server->connections[i].fd >= 0)
            (void)close(server->connections[i].fd);
    }
    SSL_CTX_free(server->tls);
    (void)close(server->listener);
    (void)close(server->stop_fd);
    free(server);
    return NULL;
}
