/* SPDX-License-Identifier: Apache-2.0 */
/* A real enricher whose servers refuse its token and say it back: the token is in nothing that anybody can read of it. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/support/http_server.h"

#define TOKEN "eyJhbGciOiJub25lIn0.c2VjcmV0LXNlY3JldC1zZWNyZXQ"

/* Refusals of several kinds, one after the other. */
static bool serve(void *arg, struct http_server_connection *connection, const char *head)
{
    static const struct {
        const char *status, *body;
    } answers[] = {
        {"401 Unauthorized", "Bearer " TOKEN " is not known"},
        {"403 Forbidden", "{\"kind\":\"Status\",\"message\":\"you are " TOKEN "\",\"code\":403}"},
        {"200 OK", "{\"type\":\"ERROR\",\"object\":{\"message\":\"gone: " TOKEN "\",\"code\":410}}\n"},
        {"200 OK", TOKEN},
        {"500 " TOKEN, "Authorization: Bearer " TOKEN},
        {"200 OK", "{\"kind\":\"" TOKEN "\",\"items\":[\"" TOKEN "\"]}"},
    };
    _Atomic unsigned *served = arg;
    unsigned i = (*served)++ % (sizeof(answers) / sizeof(*answers));

    if (!strstr(head, "Bearer " TOKEN "\r\n"))
        return false;
    return http_server_answer(
        connection, answers[i].status, "X-You: " TOKEN "\r\n", answers[i].body, strlen(answers[i].body));
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "we");
    cr_assert(file);
    (void)fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

static void write_kubeconfig(const char *directory, int port)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: \"http://127.0.0.1:%d\"}}]\n"
        "users: [{name: u, user: {tokenFile: token}}]\n",
        port);
    write_file(directory, "kubeconfig", text);
    write_file(directory, "token", TOKEN "\n");
}

static int free_port(void)
{
    struct http_server *server = http_server_start(&(struct http_server_options){.fn = serve});
    int port = server ? http_server_port(server) : -1;

    (void)http_server_stop(server);
    return port;
}

static void save_metrics(const char *directory, int port)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CLEANUP_FREE char *answer = calloc(1, 1 << 18);
    size_t size = 0;
    ssize_t n = 1;

    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_gt(dprintf(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 0);
    for (; n > 0 && size<(1 << 18) - 1; size += n> 0 ? (size_t)n : 0)
        n = read(fd, answer + size, (1 << 18) - 1 - size);
    cr_assert(strstr(answer, "source_requests_total"), "%s", answer);
    write_file(directory, "load/metrics", answer);
}

/* Its status (0: well). */
static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int shell(const char *format, ...)
{
    CLEANUP_FREE char *command = NULL;
    va_list args;
    int status;

    va_start(args, format);
    cr_assert_gt(vasprintf(&command, format, args), 0);
    va_end(args);
    status = system(command); /* NOLINT(cert-env33-c) paths of our own */
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static pid_t start_load(const char *build, const char *directory, int port, int metrics_port)
{
    CLEANUP_FREE char *command = NULL;
    pid_t pid;

    cr_assert_gt(asprintf(&command,
                     "exec %s/tests/load/podkin-load --folder %s/load --duration 8s --rate 100 --pods 2 "
                     "--enricher-option=--source=apiserver:%s/kubeconfig --enricher-option=--log-level=debug "
                     "--enricher-option=--source=kubelet:http://127.0.0.1:%d "
                     "--enricher-option=--token-file=%s/token "
                     "--enricher-option=--metrics-listen=127.0.0.1:%d >%s/report 2>&1",
                     build, directory, directory, port, directory, metrics_port, directory),
        0);
    pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return pid;
}

Test(token_secrecy, token_is_in_no_output_when_servers_refuse_it_and_say_it_back, .timeout = 100)
{
    const char *build = getenv("PODKIN_BUILD_ROOT");
    char directory[] = "/tmp/podkin-token.XXXXXX";
    _Atomic unsigned served = 0;
    struct http_server *server =
        http_server_start(&(struct http_server_options){.fn = serve, .arg = &served});
    int metrics_port = free_port(), status;
    pid_t pid;

    cr_assert(server && mkdtemp(directory));
    write_kubeconfig(directory, http_server_port(server));
    pid = start_load(build ? build : ".", directory, http_server_port(server), metrics_port);
    for (unsigned i = 0; atomic_load(&served) < 7; i++) {
        cr_assert_lt(i, 6000u, "%u requests", (unsigned)served);
        (void)usleep(10000);
    }
    for (const char *const *verb = (const char *const[]){"status", "status --output json", "explain 1", NULL};
         *verb; verb++)
        (void)shell("%s/enricher/podkin %s --events-socket %s/load/events.sock >>%s/load/shown 2>&1",
            build ? build : ".", *verb, directory, directory);
    save_metrics(directory, metrics_port);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    (void)http_server_stop(server);
    cr_assert_eq(shell("grep -q 'apiserver.*kubeconfig' %s/load/shown", directory), 0, "it was not shown");
    cr_assert_eq(shell("test -s %s/load/events.log -a -s %s/load/enricher.log", directory, directory), 0);
    cr_assert_eq(shell("grep -rF '%.12s' %s/load %s/report", TOKEN, directory, directory), 1);
    cr_assert_eq(shell("grep -rF '%s' %s/load", &TOKEN[20], directory), 1);
    cr_assert_eq(shell("rm -r %s", directory), 0);
}
