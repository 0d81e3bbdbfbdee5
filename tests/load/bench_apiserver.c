/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-apiserver [PODS [CONTAINERS [CHANGES_A_SECOND [SECONDS]]]]     500 3 200 10
 *
 * What it costs an enricher, as a process of its own, to follow an API server over TLS (HTTP/2): the CPU time of the first
 * list, then that of the changes, and its memory.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/load/apiserver_model.h"
#include "tests/support/certificates.h"

#define POD_BYTES  12288
#define WAIT_SEC   30
#define SETTLE_SEC 1

struct bench {
    struct apiserver_model model;
    struct http_server *server;
    unsigned seconds;
    char directory[64], program[512];
    pid_t pid;
};

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "bench-apiserver: %s\n", what);
    exit(1);
}

static void nap_ms(unsigned ms)
{
    (void)usleep(ms * 1000);
}

/* What the scheduler has given all its threads. */
static uint64_t cpu_ns(pid_t pid)
{
    char path[320];
    uint64_t sum = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    CLEANUP_DIR DIR *tasks = opendir(path);
    struct dirent *entry;

    while (tasks && (entry = readdir(tasks))) {
        uint64_t ran = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", (int)pid, entry->d_name);
        CLEANUP_FILE FILE *file = fopen(path, "re");

        if (file && fscanf(file, "%" SCNu64, &ran) == 1)
            sum += ran;
    }
    return sum;
}

static unsigned long status_kb(pid_t pid, const char *key)
{
    char path[64], line[256];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            return strtoul(line + strlen(key) + 1, NULL, 10);
    return 0;
}

static void start_server(struct bench *bench)
{
    char cert[96], key[96], path[96];
    CLEANUP_FILE FILE *file = NULL;

    strcpy(bench->directory, "/tmp/podkin-bench.XXXXXX");
    if (!mkdtemp(bench->directory) || certificates_make(bench->directory) < 0)
        die("cannot make certificates under /tmp");
    (void)snprintf(cert, sizeof(cert), "%s/server.pem", bench->directory);
    (void)snprintf(key, sizeof(key), "%s/server.key", bench->directory);
    bench->model.started_ns = clock_boot_ns();
    bench->server = http_server_start(&(struct http_server_options){
        .fn = apiserver_model_serve, .arg = &bench->model, .cert = cert, .key = key, .http2 = true});
    if (!bench->server)
        die("cannot listen");
    (void)snprintf(path, sizeof(path), "%s/kubeconfig", bench->directory);
    file = fopen(path, "we");
    if (!file)
        die("cannot write a kubeconfig");
    (void)fprintf(file,
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: \"https://127.0.0.1:%d\", certificate-authority: ca.pem}}]\n"
        "users: [{name: u, user: {token: %s}}]\n",
        http_server_port(bench->server), bench->model.token);
}

static void start_enricher(struct bench *bench)
{
    char source[96], sock[96], events[96];

    (void)snprintf(source, sizeof(source), "apiserver:%s/kubeconfig", bench->directory);
    (void)snprintf(sock, sizeof(sock), "%s/none.sock", bench->directory);
    (void)snprintf(events, sizeof(events), "%s/events.sock", bench->directory);
    bench->pid = fork();
    if (bench->pid == 0) {
        (void)execl(bench->program, "podkin-enricher", "--socket", sock, "--events-socket", events,
            "--node-name", "node1", "--log-level", "error", "--source", source, (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; !bench->model.initial_ends; i++) {
        if (i == WAIT_SEC * 100 || waitpid(bench->pid, NULL, WNOHANG) == bench->pid)
            die("the enricher does not ask");
        nap_ms(10);
    }
}

static void stop(struct bench *bench)
{
    char command[96];

    (void)kill(bench->pid, SIGTERM);
    (void)waitpid(bench->pid, NULL, 0);
    (void)http_server_stop(bench->server);
    (void)snprintf(command, sizeof(command), "rm -rf %s", bench->directory);
    (void)!system(command); /* NOLINT(cert-env33-c) a path of our own */
}

static void measure(struct bench *bench)
{
    uint64_t idle_ns, begin_ns, changes, bytes, took_ns;

    nap_ms(SETTLE_SEC * 1000);
    idle_ns = cpu_ns(bench->pid);
    (void)printf("%u Pods of %u containers and the first %" PRIu64
                 " changes, %.1f MB: %.0f ms of CPU with the start; "
                 "RSS %.1f MB, at most %.1f\n",
        bench->model.pods, bench->model.containers, bench->model.changes, (double)bench->model.bytes / 1e6,
        (double)idle_ns / 1e6, (double)status_kb(bench->pid, "VmRSS:") / 1e3,
        (double)status_kb(bench->pid, "VmHWM:") / 1e3);
    begin_ns = clock_boot_ns();
    changes = bench->model.changes;
    bytes = bench->model.bytes;
    nap_ms(bench->seconds * 1000);
    took_ns = clock_boot_ns() - begin_ns;
    changes = bench->model.changes - changes;
    bytes = bench->model.bytes - bytes;
    idle_ns = cpu_ns(bench->pid) - idle_ns;
    (void)printf(
        "%.0f changes a second (%.2f MB/s): %.1f %% of a core, %.0f us each; RSS %.1f MB, at most %.1f\n",
        (double)changes * 1e9 / (double)took_ns, (double)bytes * 1e3 / (double)took_ns,
        100 * (double)idle_ns / (double)took_ns, changes ? (double)idle_ns / 1e3 / (double)changes : 0,
        (double)status_kb(bench->pid, "VmRSS:") / 1e3, (double)status_kb(bench->pid, "VmHWM:") / 1e3);
    (void)printf("%" PRIu64 " watches, %" PRIu64 " lists, %" PRIu64 " refused\n", bench->model.watches,
        bench->model.lists, bench->model.refused);
}

static unsigned argument(int argc, char **argv, int at, unsigned otherwise)
{
    unsigned long value = argc > at ? strtoul(argv[at], NULL, 10) : otherwise;

    if (argc > 5 || value > 100000 || (at < 3 && value == 0))
        die("usage: bench-apiserver [PODS [CONTAINERS [CHANGES_A_SECOND [SECONDS]]]]");
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    struct bench bench = {.model = {.token = "bench", .pod_bytes = POD_BYTES}};
    const char *slash = strrchr(argv[0], '/');

    bench.model.pods = argument(argc, argv, 1, 500);
    bench.model.containers = argument(argc, argv, 2, 3);
    bench.model.changes_per_sec = argument(argc, argv, 3, 200);
    bench.seconds = argument(argc, argv, 4, 10);
    (void)snprintf(bench.program, sizeof(bench.program), "%.*s/../../enricher/podkin-enricher",
        slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    start_server(&bench);
    start_enricher(&bench);
    measure(&bench);
    stop(&bench);
    return bench.model.initial_ends ? 0 : 1;
}
