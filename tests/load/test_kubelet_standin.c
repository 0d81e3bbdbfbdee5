/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in as a process, asked with the enricher's own HTTP. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "enricher/http.h"
#include "enricher/loop.h"
#include "tests/support/certificates.h"

#define ARGUMENTS_MAX 24

struct bench {
    char directory[64], pods[96], url[160], base[128];
    pid_t pid;
    FILE *out; /* its stdout */
    struct loop *loop;
    struct http *http;
    bool done;
    struct http_result result;
    char body[65536];
    size_t size;
};

static int on_data(void *arg, const char *data, size_t size)
{
    struct bench *bench = arg;

    cr_assert_lt(bench->size + size, sizeof(bench->body));
    memcpy(bench->body + bench->size, data, size);
    bench->size += size;
    return 0;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct bench *bench = arg;

    bench->done = true;
    bench->result = *result;
    bench->body[bench->size] = '\0';
}

/* Only what differs from a plain GET need be set. Status, 0 when no answer came. */
static unsigned fetch(struct bench *bench, const char *path, struct http_request request)
{
    (void)snprintf(bench->url, sizeof(bench->url), "%s%s", bench->base, path);
    request.url = bench->url;
    request.overall_timeout_ns = request.overall_timeout_ns ? request.overall_timeout_ns : 5 * NS_PER_SEC;
    request.on_data = on_data;
    request.on_done = on_done;
    request.arg = bench;
    bench->done = false;
    bench->size = 0;
    cr_assert_eq(http_get(bench->http, &request, NULL), 0);
    while (!bench->done)
        cr_assert_eq(loop_run_once(bench->loop, UINT64_MAX), 0);
    return bench->result.status;
}

#define FETCH(bench, path, ...) fetch(bench, path, (struct http_request){__VA_ARGS__})

/* Appears whole, as the header asks of whoever writes there. */
static void put_file(struct bench *bench, const char *name, const char *content)
{
    char path[160], hidden[160];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", bench->directory, name);
    (void)snprintf(hidden, sizeof(hidden), "%s/.new", bench->directory);
    file = fopen(hidden, "we");
    cr_assert(file);
    (void)fputs(content, file);
    cr_assert_eq(fflush(file), 0);
    cr_assert_eq(rename(hidden, path), 0);
}

static void put_pod(struct bench *bench, const char *name, const char *label)
{
    char content[512], path[160];

    (void)snprintf(content, sizeof(content),
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"uid\":\"uid-%s\",\"labels\":{\"l\":\"%s\"}},"
        "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
        name, name, label);
    (void)snprintf(path, sizeof(path), "pods/%s.json", name);
    put_file(bench, path, content);
}

static struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    char command[128];

    cr_assert(bench);
    (void)signal(SIGPIPE, SIG_IGN);
    strcpy(bench->directory, "/tmp/podkin-standin.XXXXXX");
    cr_assert(mkdtemp(bench->directory));
    (void)snprintf(bench->pods, sizeof(bench->pods), "%s/pods", bench->directory);
    (void)snprintf(command, sizeof(command), "mkdir %s", bench->pods);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) a path of our own */
    cr_assert_eq(loop_new(&bench->loop, LOOP_AUTO, NULL), 0);
    cr_assert_eq(http_new(&bench->http, bench->loop), 0);
    return bench;
}

/* With these options, up to a NULL; waits until it listens. */
static void start(struct bench *bench, ...)
{
    const char *root = getenv("PODKIN_BUILD_ROOT");
    const char *argv[ARGUMENTS_MAX] = {NULL, "--listen", "127.0.0.1:0", "--pods", bench->pods};
    char program[512], line[256];
    int count = 5, pipe_fds[2];
    va_list more;

    va_start(more, bench);
    while (count < ARGUMENTS_MAX - 1 && (argv[count] = va_arg(more, const char *)))
        count++;
    va_end(more);
    (void)snprintf(program, sizeof(program), "%s/tests/load/podkin-kubelet-standin", root ? root : ".");
    argv[0] = program;
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    bench->pid = fork();
    if (bench->pid == 0) {
        (void)dup2(pipe_fds[1], STDOUT_FILENO);
        (void)execv(program, (char *const *)argv);
        _exit(127);
    }
    (void)close(pipe_fds[1]);
    bench->out = fdopen(pipe_fds[0], "r");
    cr_assert(fgets(line, sizeof(line), bench->out), "%s does not start", program);
    cr_assert_eq(sscanf(line, "listening %127s", bench->base), 1, "%s", line);
}

/* SIGTERM ends it with 0. */
static void bench_free(struct bench *bench)
{
    char command[128];
    int status = -1;

    cr_assert_eq(kill(bench->pid, SIGTERM), 0);
    cr_assert_eq(waitpid(bench->pid, &status, 0), bench->pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    (void)fclose(bench->out);
    http_free(bench->http);
    loop_free(bench->loop);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->directory);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) a path of our own */
    free(bench);
}

static void expect_announced(struct bench *bench, const char *uid, uint64_t not_before_ns)
{
    char line[256] = "", seen[128] = "";
    uint64_t at = 0;

    cr_assert(fgets(line, sizeof(line), bench->out));
    cr_assert_eq(sscanf(line, "visible %" SCNu64 " %127s", &at, seen), 2, "%s", line);
    cr_assert_str_eq(seen, uid);
    cr_assert_geq(at, not_before_ns);
    cr_assert_leq(at, clock_boot_ns());
}

Test(kubelet_standin, empty_node_has_an_empty_list)
{
    struct bench *bench = bench_new();

    start(bench, NULL);
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    cr_assert_str_eq(
        bench->body, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}\n");
    cr_assert_eq(FETCH(bench, "/healthz"), 200);
    cr_assert_str_eq(bench->body, "ok");
    cr_assert_eq(FETCH(bench, "/elsewhere"), 404);
    bench_free(bench);
}

Test(kubelet_standin, pods_follow_their_files)
{
    struct bench *bench = bench_new();
    char path[160];

    put_pod(bench, "a", "one");
    put_file(bench, "pods/ignored.txt", "no JSON");
    start(bench, NULL);
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    cr_assert(strstr(bench->body, "\"uid-a\""));
    expect_announced(bench, "uid-a", 0);
    put_pod(bench, "a", "two");
    put_pod(bench, "b", "three");
    put_file(bench, "pods/broken.json", "{\"metadata\":");
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    cr_assert(strstr(bench->body, "\"two\"") && strstr(bench->body, "\"three\""));
    cr_assert_not(strstr(bench->body, "\"one\""));
    expect_announced(bench, "uid-b", 0); /* and "uid-a" not again */
    (void)snprintf(path, sizeof(path), "%s/a.json", bench->pods);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    cr_assert_not(strstr(bench->body, "uid-a"));
    cr_assert(strstr(bench->body, "uid-b"));
    cr_assert_eq(FETCH(bench, "/runningpods/"), 200);
    cr_assert_str_eq(bench->body,
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[{\"metadata\":{\"name\":"
        "\"b\","
        "\"namespace\":\"ns\",\"uid\":\"uid-b\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
        "\"resources\":{}}]},\"status\":{}}]}\n");
    bench_free(bench);
}

/* Asks until the Pod is there; returns the last time when it was not. */
static uint64_t wait_visible(struct bench *bench, const char *uid)
{
    uint64_t hidden_ns = 0, now;

    for (;;) {
        now = clock_boot_ns();
        cr_assert_eq(FETCH(bench, "/pods"), 200);
        if (strstr(bench->body, uid))
            return hidden_ns;
        hidden_ns = now;
        (void)usleep(2000);
    }
}

Test(kubelet_standin, pod_is_visible_its_delay_after_the_start)
{
    struct bench *bench = bench_new();
    uint64_t begin = clock_boot_ns(), hidden_ns;

    put_pod(bench, "a", "");
    start(bench, "--delay", "300ms", NULL);
    hidden_ns = wait_visible(bench, "uid-a");
    cr_assert_geq(clock_boot_ns(), begin + 300 * NS_PER_MS);
    expect_announced(bench, "uid-a", hidden_ns);
    put_pod(bench, "b", "");
    cr_assert_eq(wait_visible(bench, "uid-b"), 0, "later Pods are visible at once");
    bench_free(bench);
}

Test(kubelet_standin, pod_is_visible_its_delay_after_its_file_came)
{
    struct bench *bench = bench_new();
    uint64_t came_ns;

    start(bench, "--delay", "200ms", "--delay-from", "containers", NULL);
    (void)usleep(250000);
    came_ns = clock_boot_ns();
    put_pod(bench, "a", "");
    cr_assert_neq(wait_visible(bench, "uid-a"), 0);
    /* The file's time is as coarse as the kernel's tick. */
    cr_assert_geq(clock_boot_ns(), came_ns + 180 * NS_PER_MS);
    put_pod(bench, "a", "changed");
    cr_assert_eq(wait_visible(bench, "uid-a"), 0, "a change hides no Pod");
    bench_free(bench);
}

Test(kubelet_standin, failures_are_injected_as_often_as_asked_for)
{
    struct bench *bench = bench_new();

    start(bench, "--fail-status", "429", "--fail-count", "2", NULL);
    cr_assert_eq(FETCH(bench, "/pods"), 429);
    cr_assert_eq(bench->result.retry_after_sec, 1);
    cr_assert_eq(FETCH(bench, "/healthz"), 200);
    cr_assert_eq(FETCH(bench, "/pods"), 429);
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    bench_free(bench);
}

Test(kubelet_standin, stall_answers_nothing)
{
    struct bench *bench = bench_new();

    start(bench, "--stall", "--fail-count", "1", NULL);
    cr_assert_eq(FETCH(bench, "/pods", .overall_timeout_ns = 200 * NS_PER_MS), 0);
    cr_assert_eq(bench->result.outcome, HTTP_TIMED_OUT);
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    bench_free(bench);
}

Test(kubelet_standin, credentials_are_asked_for_over_tls)
{
    struct bench *bench = bench_new();
    char ca[96], cert[96], key[96], token[96], client[96], stranger[96], stranger_key[96];

    cr_assert_eq(certificates_make(bench->directory), 0);
    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", bench->directory);
    (void)snprintf(cert, sizeof(cert), "%s/server.pem", bench->directory);
    (void)snprintf(key, sizeof(key), "%s/server.key", bench->directory);
    (void)snprintf(token, sizeof(token), "%s/token", bench->directory);
    (void)snprintf(client, sizeof(client), "%s/client-bundle.pem", bench->directory);
    (void)snprintf(stranger, sizeof(stranger), "%s/stranger.pem", bench->directory);
    (void)snprintf(stranger_key, sizeof(stranger_key), "%s/stranger.key", bench->directory);
    put_file(bench, "token", "right\n");
    put_pod(bench, "a", "");
    start(bench, "--tls-cert", cert, "--tls-key", key, "--token-file", token, "--client-ca", ca, NULL);
    cr_assert_eq(strncmp(bench->base, "https://", 8), 0);
    cr_assert_eq(FETCH(bench, "/pods", .ca_file = ca), 401);
    cr_assert_eq(FETCH(bench, "/pods", .ca_file = ca, .token_file = token), 200);
    cr_assert_eq(
        FETCH(bench, "/pods", .ca_file = ca, .client_cert = stranger, .client_key = stranger_key), 401);
    cr_assert_eq(FETCH(bench, "/pods", .ca_file = ca, .client_cert = client), 200);
    cr_assert(strstr(bench->body, "uid-a"));
    bench_free(bench);
}

/* A raw connection that says something and goes, or stays. */
static int say_raw(struct bench *bench, const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((uint16_t)strtoul(strrchr(bench->base, ':') + 1, NULL, 10));
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
    return fd;
}

Test(kubelet_standin, survives_clients_without_manners)
{
    static const char *const texts[] = {"", "\r\n\r\n", "GET\r\n\r\n", "GET / HT", "\x16\x03\x01\x02",
        ":::\r\n:\r\n\r\n", "GET /pods HTTP/1.1\r\nAuthorization:\r\n\r\nGET /pods HTTP/1.1\r\n\r\nGET"};
    struct bench *bench = bench_new();
    int fds[7 * 12];
    size_t count = 0;
    char *large = calloc(1, 100001);

    start(bench, NULL);
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
        fds[count++] = say_raw(bench, texts[i % (sizeof(texts) / sizeof(*texts))]);
    memset(large, 'x', 100000);
    (void)close(say_raw(bench, large));
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    while (count)
        (void)close(fds[--count]);
    cr_assert_eq(FETCH(bench, "/pods"), 200);
    free(large);
    bench_free(bench);
}
