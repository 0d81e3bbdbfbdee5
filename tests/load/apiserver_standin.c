/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podkin-apiserver-standin DIRECTORY [PODS [CONTAINERS [CHANGES_A_SECOND [PORT]]]]     an API server of one node's Pods, over TLS,
 * until it is killed. Makes its certificates and a kubeconfig for them in DIRECTORY; "listening URL" on stdout once it does.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/load/apiserver_model.h"
#include "tests/support/certificates.h"

#define POD_BYTES 12288

static unsigned argument(int argc, char **argv, int at, unsigned otherwise)
{
    return argc > at ? (unsigned)strtoul(argv[at], NULL, 10) : otherwise;
}

static int write_kubeconfig(const char *directory, int port, const char *token)
{
    char path[4096];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/kubeconfig", directory);
    file = fopen(path, "we");
    if (!file)
        return -1;
    (void)fprintf(file,
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: \"https://127.0.0.1:%d\", certificate-authority: ca.pem}}]\n"
        "users: [{name: u, user: {token: %s}}]\n",
        port, token);
    return 0;
}

int main(int argc, char **argv)
{
    struct apiserver_model model = {.pods = argument(argc, argv, 2, 110),
        .containers = argument(argc, argv, 3, 2),
        .changes_per_sec = argument(argc, argv, 4, 1),
        .pod_bytes = POD_BYTES,
        .token = "standin",
        .started_ns = clock_boot_ns()};
    char cert[4096], key[4096];
    struct http_server *server;
    sigset_t signals;
    int taken;

    if (argc < 2 || argc > 6 || !model.pods || !model.containers || certificates_make(argv[1]) < 0) {
        (void)fprintf(stderr,
            "usage: podkin-apiserver-standin DIRECTORY [PODS [CONTAINERS [CHANGES_A_SECOND [PORT]]]]\n");
        return 2;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)snprintf(cert, sizeof(cert), "%s/server.pem", argv[1]);
    (void)snprintf(key, sizeof(key), "%s/server.key", argv[1]);
    server = http_server_start(&(struct http_server_options){.fn = apiserver_model_serve,
        .arg = &model,
        .cert = cert,
        .key = key,
        .http2 = true,
        .port = (int)argument(argc, argv, 5, 0)});
    if (!server || write_kubeconfig(argv[1], http_server_port(server), model.token) < 0) {
        (void)fprintf(stderr, "podkin-apiserver-standin: cannot listen, or not write to %s\n", argv[1]);
        return 1;
    }
    (void)printf("listening https://127.0.0.1:%d\n", http_server_port(server));
    (void)fflush(stdout);
    (void)sigwait(&signals, &taken);
    (void)http_server_stop(server);
    return 0;
}
