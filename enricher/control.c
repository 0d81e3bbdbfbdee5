/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/text.h"
#include "enricher/output.h"
#include "enricher/request_server.h"

#define MODE_DEFAULT        0660
#define MAX_CLIENTS_DEFAULT 16
#define LISTEN_BACKLOG      16

struct control {
    struct output *output;
    struct control_options options;
    struct request_server *server;
    struct sockaddr_un address;
    struct stat file; /* of the socket file that we made */
};

/* ---- a request ------------------------------------------------------------------------------------ */

static enum request_verdict refuse(struct text *reply, const char *why)
{
    text_clear(reply);
    text_append_string(reply, "{\"error\":");
    text_append_json_string(reply, why);
    text_append_string(reply, "}\n");
    return REQUEST_ANSWER;
}

static enum request_verdict answer(
    const struct control *control, const char *verb, const char *argument, struct text *reply)
{
    const struct control_options *options = &control->options;

    if (!options->answer)
        return refuse(reply, "not answered here");
    options->answer(options->arg, verb, argument, reply);
    text_append_char(reply, '\n');
    return REQUEST_ANSWER;
}

static int take_viewer(void *arg, int fd)
{
    const struct control *control = arg;

    return output_add_viewer(control->output, fd);
}

static enum request_verdict become_viewer(
    struct control *control, struct request_client *client, struct text *reply)
{
    int r;

    if (!control->output)
        return refuse(reply, control->options.no_events ? control->options.no_events : "no events here");
    r = request_client_hand_over(client, take_viewer, control);
    if (r == 0)
        return REQUEST_CLOSE;
    return refuse(reply, r == -EUSERS ? "too many viewers" : "no memory for a viewer");
}

static bool is_pid(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= 10 && !text[digits];
}

static enum request_verdict serve(
    struct control *control, struct request_client *client, const char *request, struct text *reply)
{
    static const char explain[] = "explain ";

    if (strcmp(request, "events") == 0)
        return become_viewer(control, client, reply);
    if (strcmp(request, "status") == 0)
        return answer(control, "status", "", reply);
    if (strcmp(request, "coverage") == 0)
        return answer(control, "coverage", "", reply);
    if (strncmp(request, explain, sizeof(explain) - 1) == 0 && is_pid(request + sizeof(explain) - 1))
        return answer(control, "explain", request + sizeof(explain) - 1, reply);
    return refuse(reply, "unknown request: events, status, coverage or explain PID is expected");
}

/* Nothing behind the newline belongs to the request. */
static enum request_verdict on_request(
    void *arg, struct request_client *client, char *request, size_t size, struct text *reply)
{
    char *end = memchr(request, '\n', size);

    if (end && !memchr(request, '\0', (size_t)(end - request))) {
        *end = '\0';
        return serve(arg, client, request, reply);
    }
    if (end || size == CONTROL_REQUEST_MAX)
        return refuse(reply, "a request is one line of at most 256 bytes");
    return REQUEST_MORE;
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

/* The listening socket or negative errno. */
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
    return take_fd(&fd);
}

static void remove_file(const struct control *control)
{
    struct stat st;

    if (control->file.st_ino && lstat(control->address.sun_path, &st) == 0 &&
        st.st_ino == control->file.st_ino && st.st_dev == control->file.st_dev)
        (void)unlink(control->address.sun_path);
}

/* ---- life ----------------------------------------------------------------------------------------- */

static int open_server(struct control *control, struct loop *loop)
{
    const struct request_server_options options = {.request_max = CONTROL_REQUEST_MAX,
        .max_clients = control->options.max_clients,
        .timeout_ns = CONTROL_TIMEOUT_NS,
        .busy = "{\"error\":\"too many connections\"}\n",
        .fn = on_request,
        .arg = control};
    CLEANUP_CLOSE int fd = open_socket(control);
    int r;

    if (fd < 0)
        return fd;
    r = request_server_new(&control->server, loop, fd, &options);
    if (r == 0)
        (void)take_fd(&fd);
    return r;
}

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
    control->output = output;
    control->options = *options;
    control->options.mode = options->mode ? options->mode : MODE_DEFAULT;
    control->options.max_clients = options->max_clients ? options->max_clients : MAX_CLIENTS_DEFAULT;
    control->address.sun_family = AF_UNIX;
    memcpy(control->address.sun_path, options->path, strlen(options->path) + 1);
    control->options.path = control->address.sun_path;
    r = open_server(control, loop);
    if (r < 0) {
        control_free(control);
        return r;
    }
    *ret = control;
    return 0;
}

int control_error(const struct control *control)
{
    return request_server_error(control->server);
}

struct control *control_free(struct control *control)
{
    if (!control)
        return NULL;
    remove_file(control);
    control->server = request_server_free(control->server);
    free(control);
    return NULL;
}
