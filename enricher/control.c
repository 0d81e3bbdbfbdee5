/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/control.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "enricher/loop.h"
#include "enricher/output.h"

#define MODE_DEFAULT        0660
#define MAX_CLIENTS_DEFAULT 16
#define LISTEN_BACKLOG      16
#define ACCEPTS_PER_TURN    16
#define PAUSE_NS            (100 * NS_PER_MS) /* after EMFILE and its like */

struct client {
    struct control *control;
    struct client *next;
    int fd;
    struct loop_poll poll;
    struct loop_timer timeout;
    char request[CONTROL_REQUEST_MAX];
    size_t request_bytes;
    struct text reply; /* empty while the request is read */
    size_t sent_bytes;
};

struct control {
    struct loop *loop;
    struct output *output;
    struct control_options options;
    int fd;
    struct loop_poll poll;
    struct loop_timer pause;
    struct sockaddr_un address;
    struct stat file; /* of the socket file that we made */
    struct client *first;
    unsigned count;
};

/* ---- a client ------------------------------------------------------------------------------------- */

static void client_free(struct client *client)
{
    struct control *control = client->control;
    struct client **link = &control->first;

    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    control->count--;
    loop_poll_stop(control->loop, &client->poll);
    loop_timer_disarm(control->loop, &client->timeout);
    if (client->fd >= 0)
        (void)close(client->fd);
    text_deinit(&client->reply);
    free(client);
}

static void on_timeout(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    client_free(arg);
}

static void send_reply(struct client *client)
{
    const struct text *reply = &client->reply;

    while (client->sent_bytes < reply->size) {
        ssize_t sent = send(client->fd, reply->data + client->sent_bytes, reply->size - client->sent_bytes,
            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN &&
            loop_poll_change(client->control->loop, &client->poll, POLLOUT) == 0)
            return;
        if (sent < 0 && errno != EINTR)
            break;
        if (sent > 0)
            client->sent_bytes += (size_t)sent;
    }
    client_free(client);
}

static void start_reply(struct client *client)
{
    text_append_char(&client->reply, '\n');
    if (client->reply.failed) {
        client_free(client);
        return;
    }
    loop_timer_arm(
        client->control->loop, &client->timeout, loop_now(client->control->loop) + CONTROL_TIMEOUT_NS);
    send_reply(client);
}

static void refuse(struct client *client, const char *why)
{
    text_clear(&client->reply);
    text_append_string(&client->reply, "{\"error\":");
    text_append_json_string(&client->reply, why);
    text_append_char(&client->reply, '}');
    start_reply(client);
}

static void answer(struct client *client, const char *verb, const char *argument)
{
    const struct control_options *options = &client->control->options;

    if (!options->answer) {
        refuse(client, "not answered here");
        return;
    }
    options->answer(options->arg, verb, argument, &client->reply);
    start_reply(client);
}

static void become_viewer(struct client *client)
{
    struct control *control = client->control;
    int r;

    if (!control->output) {
        refuse(client, "no events here");
        return;
    }
    loop_poll_stop(control->loop, &client->poll); /* one watch per fd */
    r = output_add_viewer(control->output, client->fd);
    if (r == 0) {
        client->fd = -1;
        client_free(client);
        return;
    }
    if (loop_poll_start(control->loop, &client->poll, client->fd, 0) < 0)
        client_free(client);
    else
        refuse(client, r == -EUSERS ? "too many viewers" : "no memory for a viewer");
}

static bool is_pid(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= 10 && !text[digits];
}

static void serve(struct client *client)
{
    static const char explain[] = "explain ";
    const char *request = client->request;

    if (strcmp(request, "events") == 0)
        become_viewer(client);
    else if (strcmp(request, "status") == 0)
        answer(client, "status", "");
    else if (strcmp(request, "coverage") == 0)
        answer(client, "coverage", "");
    else if (strncmp(request, explain, sizeof(explain) - 1) == 0 && is_pid(request + sizeof(explain) - 1))
        answer(client, "explain", request + sizeof(explain) - 1);
    else
        refuse(client, "unknown request: events, status, coverage or explain PID is expected");
}

/* Nothing behind the newline belongs to the request. */
static void read_request(struct client *client)
{
    size_t room = sizeof(client->request) - client->request_bytes;
    ssize_t got = recv(client->fd, client->request + client->request_bytes, room, MSG_DONTWAIT);
    char *end;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_free(client);
        return;
    }
    client->request_bytes += (size_t)got;
    end = memchr(client->request, '\n', client->request_bytes);
    if (end && !memchr(client->request, '\0', (size_t)(end - client->request))) {
        *end = '\0';
        serve(client);
    } else if (end || client->request_bytes == sizeof(client->request)) {
        refuse(client, "a request is one line of at most 256 bytes");
    }
}

static void on_client(void *arg, uint32_t events)
{
    struct client *client = arg;

    (void)events; /* errors show in the call that meets them */
    if (client->reply.size)
        send_reply(client);
    else
        read_request(client);
}

/* ---- the listener --------------------------------------------------------------------------------- */

static struct client *add_client(struct control *control, int fd)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    client->control = control;
    client->fd = fd;
    client->poll = (struct loop_poll){.fn = on_client, .arg = client, .fd = -1};
    client->timeout = (struct loop_timer){.fn = on_timeout, .arg = client};
    if (loop_poll_start(control->loop, &client->poll, fd, POLLIN) < 0) {
        free(client);
        return NULL;
    }
    loop_timer_arm(control->loop, &client->timeout, loop_now(control->loop) + CONTROL_TIMEOUT_NS);
    client->next = control->first;
    control->first = client;
    control->count++;
    return client;
}

static void on_connection(void *arg, uint32_t events)
{
    static const char busy[] = "{\"error\":\"too many connections\"}\n";
    struct control *control = arg;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        CLEANUP_CLOSE int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
            return;
        if (fd < 0) { /* out of descriptors or memory: the connection would be announced again and again */
            loop_poll_stop(control->loop, &control->poll);
            loop_timer_arm(control->loop, &control->pause, loop_now(control->loop) + PAUSE_NS);
            return;
        }
        if (control->count >= control->options.max_clients)
            (void)!send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (add_client(control, fd))
            (void)take_fd(&fd);
    }
}

static void on_pause_end(void *arg, uint64_t now_ns)
{
    struct control *control = arg;

    if (loop_poll_start(control->loop, &control->poll, control->fd, POLLIN) < 0)
        loop_timer_arm(control->loop, &control->pause, now_ns + PAUSE_NS);
}

/* ---- the socket file ------------------------------------------------------------------------------ */

/* A socket file that nobody listens on is what a killed predecessor left. */
static bool is_stale(const struct sockaddr_un *address)
{
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;

    return fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
           connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

static int bind_path(int fd, const struct sockaddr_un *address)
{
    const struct sockaddr *generic = (const struct sockaddr *)address;

    if (bind(fd, generic, sizeof(*address)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    if (!is_stale(address))
        return -EADDRINUSE;
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return -errno;
    return bind(fd, generic, sizeof(*address)) < 0 ? -errno : 0;
}

static int open_socket(struct control *control)
{
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unsigned mode = control->options.mode;
    int r;

    /* The file gets the mode of the socket, less the umask: never too wide. What the umask took is given
     * back before anybody can connect. */
    if (fd < 0 || fchmod(fd, mode) < 0)
        return -errno;
    r = bind_path(fd, &control->address);
    if (r < 0)
        return r;
    if (lstat(control->address.sun_path, &control->file) < 0 || chmod(control->address.sun_path, mode) < 0 ||
        listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    control->fd = take_fd(&fd);
    return 0;
}

static void remove_file(const struct control *control)
{
    struct stat st;

    if (control->file.st_ino && lstat(control->address.sun_path, &st) == 0 &&
        st.st_ino == control->file.st_ino && st.st_dev == control->file.st_dev)
        (void)unlink(control->address.sun_path);
}

/* ---- life ----------------------------------------------------------------------------------------- */

int control_new(
    struct control **ret, struct loop *loop, struct output *output, const struct control_options *options)
{
    struct control *control;
    int r;

    if (strlen(options->path) >= sizeof(control->address.sun_path))
        return -ENAMETOOLONG;
    control = calloc(1, sizeof(*control));
    if (!control)
        return -ENOMEM;
    control->loop = loop;
    control->output = output;
    control->options = *options;
    control->options.mode = options->mode ? options->mode : MODE_DEFAULT;
    control->options.max_clients = options->max_clients ? options->max_clients : MAX_CLIENTS_DEFAULT;
    control->fd = -1;
    control->poll = (struct loop_poll){.fn = on_connection, .arg = control, .fd = -1};
    control->pause = (struct loop_timer){.fn = on_pause_end, .arg = control};
    control->address.sun_family = AF_UNIX;
    memcpy(control->address.sun_path, options->path, strlen(options->path) + 1);
    control->options.path = control->address.sun_path;
    r = open_socket(control);
    if (r == 0)
        r = loop_poll_start(loop, &control->poll, control->fd, POLLIN);
    if (r < 0) {
        control_free(control);
        return r;
    }
    *ret = control;
    return 0;
}

struct control *control_free(struct control *control)
{
    if (!control)
        return NULL;
    while (control->first)
        client_free(control->first);
    loop_poll_stop(control->loop, &control->poll);
    loop_timer_disarm(control->loop, &control->pause);
    remove_file(control);
    if (control->fd >= 0)
        (void)close(control->fd);
    free(control);
    return NULL;
}
