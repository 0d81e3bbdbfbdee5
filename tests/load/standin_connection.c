/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include "common/cleanup.h"
#include "common/clock.h"

#define HEAD_MAX 32768

enum state { STATE_HANDSHAKE, STATE_READ, STATE_WRITE, STATE_STALLED };

struct standin_connection {
    int fd;
    SSL *ssl;
    enum state state;
    short wants; /* POLLIN or POLLOUT */
    bool close_after;
    standin_answer_fn *answer;
    void *arg;
    uint64_t moved_ns;
    char head[HEAD_MAX + 1];
    size_t head_size;
    struct text out;
    size_t out_sent;
};

struct standin_connection *standin_connection_new(int fd, SSL_CTX *tls, standin_answer_fn *answer, void *arg)
{
    struct standin_connection *connection = calloc(1, sizeof(*connection));

    if (!connection) {
        (void)close(fd);
        return NULL;
    }
    *connection = (struct standin_connection){.fd = fd,
        .state = tls ? STATE_HANDSHAKE : STATE_READ,
        .wants = POLLIN,
        .answer = answer,
        .arg = arg,
        .moved_ns = clock_boot_ns()};
    if (tls) {
        connection->ssl = SSL_new(tls);
        if (!connection->ssl || SSL_set_fd(connection->ssl, fd) != 1)
            return standin_connection_free(connection);
        SSL_set_accept_state(connection->ssl);
    }
    return connection;
}

struct standin_connection *standin_connection_free(struct standin_connection *connection)
{
    if (!connection)
        return NULL;
    SSL_free(connection->ssl);
    (void)close(connection->fd);
    text_deinit(&connection->out);
    free(connection);
    return NULL;
}

int standin_connection_fd(const struct standin_connection *connection)
{
    return connection->fd;
}

short standin_connection_events(const struct standin_connection *connection)
{
    return connection->state == STATE_STALLED ? POLLRDHUP : connection->wants;
}

uint64_t standin_connection_moved_ns(const struct standin_connection *connection)
{
    return connection->moved_ns;
}

/* ---- bytes in and out: a count, 0 for "not now" (with `wants` set), -1 for the end ---- */

static int tls_result(struct standin_connection *connection, int result)
{
    int error = SSL_get_error(connection->ssl, result);

    if (result > 0)
        return result;
    ERR_clear_error();
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return -1;
    connection->wants = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    return 0;
}

static int plain_result(struct standin_connection *connection, ssize_t result, short wants)
{
    if (result > 0)
        return (int)result;
    connection->wants = wants;
    return result < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static int receive(struct standin_connection *connection)
{
    char *to = connection->head + connection->head_size;
    size_t room = HEAD_MAX - connection->head_size;

    if (connection->ssl)
        return tls_result(connection, SSL_read(connection->ssl, to, (int)room));
    return plain_result(connection, recv(connection->fd, to, room, 0), POLLIN);
}

static int transmit(struct standin_connection *connection)
{
    const char *from = connection->out.data + connection->out_sent;
    size_t size = connection->out.size - connection->out_sent;

    if (size > 1 << 20)
        size = 1 << 20;
    if (connection->ssl)
        return tls_result(connection, SSL_write(connection->ssl, from, (int)size));
    return plain_result(connection, send(connection->fd, from, size, MSG_NOSIGNAL), POLLOUT);
}

/* ---- one request ---- */

/* The value of a header in a head whose lines end in \r\n; cut out in place. NULL: not there. */
static char *find_header(char *lines, const char *name)
{
    size_t length = strlen(name);

    for (char *line = lines; line && *line; line = strstr(line, "\r\n")) {
        line += strncmp(line, "\r\n", 2) == 0 ? 2 : 0;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        line += length + 1;
        line += strspn(line, " \t");
        return strndup(line, strcspn(line, "\r"));
    }
    return NULL;
}

static bool peer_is_certified(const struct standin_connection *connection)
{
    X509 *certificate = connection->ssl ? SSL_get1_peer_certificate(connection->ssl) : NULL;
    bool certified = certificate && SSL_get_verify_result(connection->ssl) == X509_V_OK;

    X509_free(certificate);
    return certified;
}

/* `size`: of the head with its empty line, which is overwritten. False: not HTTP. */
static bool answer_request(struct standin_connection *connection, size_t size)
{
    char *lines, *save = NULL;
    CLEANUP_FREE char *authorization = NULL, *persistence = NULL;
    struct standin_request request = {.certified = peer_is_certified(connection)};

    connection->head[size - 2] = '\0';
    lines = strstr(connection->head, "\r\n");
    if (!lines)
        return false;
    *lines = '\0';
    lines += 2;
    request.method = strtok_r(connection->head, " ", &save);
    request.path = strtok_r(NULL, " ?", &save);
    if (!request.method || !request.path)
        return false;
    authorization = find_header(lines, "Authorization");
    if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
        request.bearer = authorization + 7;
    persistence = find_header(lines, "Connection");
    connection->close_after = persistence && strcasecmp(persistence, "close") == 0;
    connection->state =
        connection->answer(connection->arg, &request, &connection->out) ? STATE_WRITE : STATE_STALLED;
    connection->wants = POLLOUT;
    return !connection->out.failed;
}

static bool step_read(struct standin_connection *connection, bool *moved)
{
    char *end = strstr(connection->head, "\r\n\r\n");
    size_t size;
    int count;

    if (!end) {
        count = connection->head_size < HEAD_MAX ? receive(connection) : -1;
        *moved = count > 0;
        if (count > 0)
            connection->head_size += (size_t)count;
        connection->head[connection->head_size] = '\0';
        return count >= 0;
    }
    size = (size_t)(end - connection->head) + 4;
    *moved = true;
    if (!answer_request(connection, size))
        return false;
    connection->head_size -= size;
    memmove(connection->head, connection->head + size, connection->head_size + 1);
    return true;
}

static bool step_write(struct standin_connection *connection, bool *moved)
{
    int count = transmit(connection);

    *moved = count > 0;
    if (count <= 0)
        return count == 0;
    connection->out_sent += (size_t)count;
    if (connection->out_sent < connection->out.size)
        return true;
    text_clear(&connection->out);
    connection->out_sent = 0;
    connection->state = STATE_READ;
    connection->wants = POLLIN;
    return !connection->close_after;
}

static bool step_handshake(struct standin_connection *connection, bool *moved)
{
    int result = tls_result(connection, SSL_accept(connection->ssl));

    *moved = result > 0;
    if (result > 0) {
        connection->state = STATE_READ;
        connection->wants = POLLIN;
    }
    return result >= 0;
}

/* A stalled peer that hangs up is seen by a look at its end. */
static bool peer_is_there(const struct standin_connection *connection)
{
    struct pollfd poll_fd = {.fd = connection->fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) == 0;
}

bool standin_connection_step(struct standin_connection *connection)
{
    bool moved = true, alive = true;

    while (alive && moved) {
        moved = false;
        switch (connection->state) {
        case STATE_HANDSHAKE:
            alive = step_handshake(connection, &moved);
            break;
        case STATE_READ:
            alive = step_read(connection, &moved);
            break;
        case STATE_WRITE:
            alive = step_write(connection, &moved);
            break;
        case STATE_STALLED:
            alive = peer_is_there(connection);
            break;
        }
        if (moved)
            connection->moved_ns = clock_boot_ns();
    }
    return alive;
}
