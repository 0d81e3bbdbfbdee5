/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podkin-apiserver-standin: an API server of one node's Pods, list and watch over TLS (HTTP/2), until SIGTERM. It makes its certificates and a kubeconfig for
 * them in --directory; "listening URL" on stdout once it does.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/options.h"
#include "tests/load/apiserver_model.h"
#include "tests/load/apiserver_watch.h"
#include "tests/support/certificates.h"

#define POD_BYTES 12288
#define HISTORY   4096
#define TOKEN     "standin"

struct conf {
    char *directory, *pods, *delay_text;
    uint64_t generate, containers, changes, port, seed;
    struct option_list fault_texts;
    int delay_from;
    bool help;
    struct standin_delay delay;
    struct standin_faults faults;
};

static int write_kubeconfig(const char *directory, int port)
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
        "users: [{name: u, user: {token: " TOKEN "}}]\n",
        port);
    return 0;
}

static int serve(const struct conf *conf, http_server_fn *fn, void *arg)
{
    char cert[4096], key[4096];
    struct http_server *server;
    sigset_t signals;
    int taken;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)snprintf(cert, sizeof(cert), "%s/server.pem", conf->directory);
    (void)snprintf(key, sizeof(key), "%s/server.key", conf->directory);
    server = http_server_start(&(struct http_server_options){
        .fn = fn, .arg = arg, .cert = cert, .key = key, .http2 = true, .port = (int)conf->port});
    if (!server || write_kubeconfig(conf->directory, http_server_port(server)) < 0) {
        log_error("cannot listen, or not write to %s", conf->directory);
        return 1;
    }
    (void)printf("listening https://127.0.0.1:%d\n", http_server_port(server));
    (void)fflush(stdout);
    (void)sigwait(&signals, &taken);
    (void)http_server_stop(server);
    return 0;
}

/* Pods of a real size that change all the time. */
static int serve_model(const struct conf *conf)
{
    struct apiserver_model model = {.pods = (unsigned)conf->generate,
        .containers = (unsigned)conf->containers,
        .changes_per_sec = (unsigned)conf->changes,
        .pod_bytes = POD_BYTES,
        .token = TOKEN,
        .started_ns = clock_boot_ns()};

    return serve(conf, apiserver_model_serve, &model);
}

/* Pods of a file, or made up, that come late. */
static int serve_watch(const struct conf *conf)
{
    const struct standin_pods_options pods = {.path = conf->pods,
        .generate = (unsigned)conf->generate,
        .containers = (unsigned)conf->containers,
        .delay = conf->delay,
        .seed = conf->seed,
        .delay_from_file = conf->delay_from == 1};
    struct apiserver_watch watch = {.token = TOKEN,
        .faults = conf->faults,
        .started_ns = clock_boot_ns(),
        .mutex = PTHREAD_MUTEX_INITIALIZER};
    int r = standin_changes_new(&watch.changes, &pods, HISTORY), status;

    if (r < 0) {
        log_error("--pods %s: %s", conf->pods ? conf->pods : "", strerror(-r));
        return 2;
    }
    status = serve(conf, apiserver_watch_serve, &watch);
    standin_changes_free(watch.changes);
    return status;
}

static int bad_use(const char *option, const char *is, const char *expected)
{
    log_error("--%s %s: expected %s", option, is, expected);
    return -1;
}

static int complete(struct conf *conf)
{
    if (!conf->directory)
        return bad_use("directory", "", "a directory for certificates and kubeconfig");
    if (!conf->pods == !conf->generate)
        return bad_use("pods, --generate", "", "one of them");
    if (conf->changes && (conf->pods || conf->delay_text || conf->fault_texts.count))
        return bad_use("changes", "", "neither --pods nor --delay nor --fault with it");
    if (conf->delay_text && standin_delay_parse(conf->delay_text, &conf->delay) < 0)
        return bad_use("delay", conf->delay_text, STANDIN_DELAY_EXPECTED);
    conf->faults.random = conf->seed;
    for (size_t i = 0; i < conf->fault_texts.count; i++)
        if (standin_faults_add(&conf->faults, conf->fault_texts.items[i]) < 0)
            return bad_use("fault", conf->fault_texts.items[i], STANDIN_FAULT_EXPECTED);
    if (certificates_make(conf->directory) < 0) {
        log_error("--directory %s: no certificates can be made in it", conf->directory);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const froms[] = {"start", "containers", NULL};
    struct conf conf = {.containers = 2, .seed = 1};
    const struct option_spec specs[] = {
        {"directory", OPTION_STRING, &conf.directory, "DIR", "for certificates and kubeconfig", NULL, 0, 0},
        {"port", OPTION_COUNT, &conf.port, "N", "on 127.0.0.1; 0: pick one and print it (0)", NULL, 0, 65535},
        {"pods", OPTION_STRING, &conf.pods, "PATH",
            "a PodList in JSON, or a directory of *.json, looked at all the time", NULL, 0, 0},
        {"generate", OPTION_COUNT, &conf.generate, "N", "or so many made-up Pods", NULL, 1, 10000},
        {"containers", OPTION_COUNT, &conf.containers, "N", "of so many containers each (2)", NULL, 1, 64},
        {"changes", OPTION_COUNT, &conf.changes, "N",
            "so many of the made-up change a second, each of 12 kB (0)", NULL, 0, 100000},
        {"delay", OPTION_STRING, &conf.delay_text, "DELAY",
            "a Pod becomes visible so late: " STANDIN_DELAY_EXPECTED, NULL, 0, 0},
        {"delay-from", OPTION_CHOICE, &conf.delay_from, "start|containers",
            "counted from our start, or from when the Pod's file appeared", froms, 0, 0},
        {"seed", OPTION_COUNT, &conf.seed, "N", "of delays and faults by chance (1)", NULL, 0, 0},
        {"fault", OPTION_STRINGS, &conf.fault_texts, "WHAT=WHEN", "repeatable: " STANDIN_FAULT_EXPECTED, NULL,
            0, 0},
        {"help", OPTION_FLAG, &conf.help, NULL, "print this", NULL, 0, 0},
    };
    const size_t count = sizeof(specs) / sizeof(*specs);
    char error[OPTIONS_ERROR_MAX];
    int rest = 0, status = 0;

    log_init("podkin-apiserver-standin", LOG_LEVEL_INFO);
    if (options_parse(specs, count, argc, argv, &rest, error) < 0 || rest) {
        log_error("%s", rest ? "expected options only (see --help)" : error);
        status = 2;
    } else if (conf.help) {
        options_print_help(specs, count);
    } else if (complete(&conf) < 0) {
        status = 2;
    } else {
        status = conf.changes ? serve_model(&conf) : serve_watch(&conf);
    }
    free(conf.directory);
    free(conf.pods);
    free(conf.delay_text);
    option_list_deinit(&conf.fault_texts);
    return status;
}
