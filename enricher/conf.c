/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/unix_socket.h"
#include "enricher/compressor.h"
#include "enricher/kubeconfig.h"
#include "enricher/loop.h"
#include "enricher/metrics.h"

#define DEFAULT_SOCKET "/run/podkin/collector.sock"
#define DEFAULT_EVENTS "/run/podkin/events.sock"

static const char *const loop_choices[] = {"auto", "uring", "epoll", NULL};
static const char *const format_choices[] = {"full", "normalised", NULL};
static const char *const compress_choices[] = {"none", "zstd", NULL};
static const char *const log_choices[] = {"error", "warning", "info", "debug", NULL};

/* What is in a line. */
static size_t list_export_options(struct conf *c, struct option_spec *specs)
{
    const struct option_spec all[] = {
        {"export-own-events", OPTION_BOOL, &c->own_events, "on|off",
            "process_fork and lost lines, which Tetragon does not have (default on)", NULL, 0, 0},
        {"export-own-fields", OPTION_BOOL, &c->own_fields, "on|off",
            "args, pod_state, pod_source, role, id, held_ms (default on)", NULL, 0, 0},
        {"export-credentials", OPTION_BOOL, &c->credentials, "on|off", "process_credentials (default off)",
            NULL, 0, 0},
        {"export-namespaces", OPTION_BOOL, &c->namespaces, "on|off", "ns (default off)", NULL, 0, 0},
        {"export-capabilities", OPTION_BOOL, &c->capabilities, "on|off", "cap (default off)", NULL, 0, 0},
        {"export-annotations", OPTION_BOOL, &c->annotations, "on|off", "pod_annotations (default off)", NULL,
            0, 0},
    };

    memcpy(specs, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

/* The one list of options; `c` may be a dummy where only names and help are wanted. */
static size_t list_options(struct conf *c, struct option_spec *specs)
{
    const struct option_spec all[] = {
        {"config", OPTION_STRING, &c->config, "FILE", "configuration file; FILE.d/*.conf are read after it",
            NULL, 0, 0},
        {"socket", OPTION_STRING, &c->socket, "PATH", "the collector's socket (default " DEFAULT_SOCKET ")",
            NULL, 0, 0},
        {"source", OPTION_STRINGS, &c->sources, "KIND:WHERE",
            "where Pods are known from, one of each kind: apiserver:KUBECONFIG, apiserver:in-cluster, "
            "kubelet:URL, "
            "logdir:/var/log, file:PATH",
            NULL, 0, 0},
        {"token-file", OPTION_STRING, &c->token_file, "PATH",
            "bearer token for the kubelet, read again at each request", NULL, 0, 0},
        {"ca-file", OPTION_STRING, &c->ca_file, "PATH",
            "certificate authority that signed the kubelet's certificate", NULL, 0, 0},
        {"client-cert", OPTION_STRING, &c->client_cert, "PATH", "client certificate for the kubelet", NULL, 0,
            0},
        {"client-key", OPTION_STRING, &c->client_key, "PATH", "its key", NULL, 0, 0},
        {"insecure-skip-tls-verify", OPTION_BOOL, &c->insecure, "on|off",
            "do not verify the kubelet's certificate, nor the API server's where the kubeconfig says the "
            "same: "
            "anybody in between can name Pods",
            NULL, 0, 0},
        {"node-name", OPTION_STRING, &c->node_name, "NAME",
            "name of this node (default: $NODE_NAME, else the host name)", NULL, 0, 0},
        {"output", OPTION_STRING, &c->output_path, "FILE|-",
            "where the JSON lines go (default: only to viewers)", NULL, 0, 0},
        {"format", OPTION_CHOICE, &c->format, "full|normalised",
            "whole lines, or each process and Pod once and by number from then on, for podkin expand "
            "(default "
            "full)",
            format_choices, 0, 0},
        {"sandbox", OPTION_BOOL, &c->sandbox, "on|off",
            "give up capabilities, files and system calls that are not needed (default on)", NULL, 0, 0},
        {"output-rotate-size", OPTION_SIZE, &c->rotate_bytes, "BYTES",
            "start a new file at this size, 0: never (default 64M)", NULL, 0, 0},
        {"output-rotate-age", OPTION_DURATION, &c->rotate_age_ns, "DURATION",
            "start a new file when this one is so old, 0: never (default 0)", NULL, 0,
            366 * 24 * 3600 * NS_PER_SEC},
        {"compress", OPTION_CHOICE, &c->compress, "none|zstd",
            "earlier files but the latest are compressed: FILE.2.zst … (default none)", compress_choices, 0,
            0},
        {"output-rotate-keep", OPTION_COUNT, &c->rotate_keep, "N", "how many earlier files stay (default 5)",
            NULL, 0, 1000},
        {"events-socket", OPTION_STRING, &c->events_socket, "PATH",
            "socket for podkin events, status, explain; none: without (default " DEFAULT_EVENTS ")", NULL, 0,
            0},
        {"metrics-listen", OPTION_STRING, &c->metrics_listen, "ADDRESS:PORT",
            "Prometheus' metrics by HTTP at /metrics, such as 127.0.0.1:9464 (default: not at all)", NULL, 0,
            0},
        {"hold-timeout", OPTION_DURATION, &c->pipeline.hold_timeout_ns, "DURATION",
            "how long an event waits for its Pod, 0: not at all (default 30s)", NULL, 0, 3600 * NS_PER_SEC},
        {"hold-container-timeout", OPTION_DURATION, &c->pipeline.container_timeout_ns, "DURATION",
            "how long once only the container's name is missing (default 5s)", NULL, 0, 3600 * NS_PER_SEC},
        {"hold-max-events", OPTION_COUNT, &c->hold.max_events, "N",
            "most events held at once; beyond, the oldest go as they are (default 200000)", NULL, 1,
            UINT32_MAX},
        {"hold-max-bytes", OPTION_SIZE, &c->hold.max_bytes, "BYTES", "most bytes held at once (default 128M)",
            NULL, 65536, UINT64_C(1) << 36},
        {"pod-grace", OPTION_DURATION, &c->pod_grace_ns, "DURATION",
            "how long a deleted Pod stays known (default 5m)", NULL, 0, 86400 * NS_PER_SEC},
        {"lanes", OPTION_COUNT, &c->lanes, "N",
            "how many threads events go through, each with a file of its own (default 1)", NULL, 1,
            CONF_LANES_MAX},
        {"loop", OPTION_CHOICE, &c->loop, "auto|uring|epoll",
            "how to wait: io_uring where the kernel lets us, else epoll (default auto)", loop_choices, 0, 0},
        {"log-level", OPTION_CHOICE, &c->log_level, "error|warning|info|debug",
            "what is said on stderr (default info)", log_choices, 0, 0},
        {"check", OPTION_FLAG, &c->action_check, NULL, "read everything, say what is wrong, stop", NULL, 0,
            0},
        {"version", OPTION_FLAG, &c->action_version, NULL, "print the version", NULL, 0, 0},
        {"help", OPTION_FLAG, &c->action_help, NULL, "print this", NULL, 0, 0},
    };
    size_t count = sizeof(all) / sizeof(all[0]);

    memcpy(specs, all, sizeof(all));
    return count + list_export_options(c, specs + count);
}

#define OPTIONS_MAX 40

static int set_default(char **string, const char *value)
{
    if (*string)
        return 0;
    *string = strdup(value);
    return *string ? 0 : -ENOMEM;
}

static int fill_node_name(struct conf *conf)
{
    const char *environment = getenv("NODE_NAME");
    char host[HOST_NAME_MAX + 1] = "";

    if (environment && *environment)
        return set_default(&conf->node_name, environment);
    (void)gethostname(host, sizeof(host) - 1);
    return set_default(&conf->node_name, host[0] ? host : "localhost");
}

static int check_source(const char *source, char error[OPTIONS_ERROR_MAX])
{
    const char *colon = strchr(source, ':');
    size_t size = colon ? (size_t)(colon - source) : 0;

    if (colon && colon[1] &&
        ((size == 4 && !strncmp(source, "file", size)) || (size == 6 && !strncmp(source, "logdir", size))))
        return 0;
    if (colon && size == 7 && !strncmp(source, "kubelet", size) &&
        ((!strncmp(colon + 1, "https://", 8) && strcspn(colon + 9, "/:?#")) ||
            (!strncmp(colon + 1, "http://", 7) && strcspn(colon + 8, "/:?#"))))
        return 0;
    if (colon && colon[1] && size == 9 && !strncmp(source, "apiserver", size))
        return 0;
    (void)snprintf(error, OPTIONS_ERROR_MAX,
        "--source: expected apiserver:KUBECONFIG, kubelet:http(s)://HOST:PORT, logdir:FOLDER or file:PATH, "
        "not "
        "'%.120s'",
        source);
    return -EINVAL;
}

/* One of each kind: what the list of one source does not have, that source has taken back (pod_table.h). */
static int check_sources(const struct option_list *sources, char error[OPTIONS_ERROR_MAX])
{
    for (size_t i = 0; i < sources->count; i++) {
        const char *source = sources->items[i];

        if (check_source(source, error) < 0)
            return -EINVAL;
        for (size_t j = 0; j < i; j++) {
            size_t kind_size = (size_t)(strchr(source, ':') - source);

            if (strncmp(source, sources->items[j], kind_size + 1) != 0)
                continue;
            (void)snprintf(error, OPTIONS_ERROR_MAX,
                "--source: expected one of each kind, not '%.100s' beside '%.100s'", source,
                sources->items[j]);
            return -EINVAL;
        }
    }
    return 0;
}

static int check_socket(const char *name, const char *path, char error[OPTIONS_ERROR_MAX])
{
    int r = unix_check_path(path);

    if (r < 0)
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--%s: %.120s: %s", name, path, strerror(-r));
    return r;
}

/* It stands in every line and, between colons, in every exec_id. Not stricter: the host's own name is the default. */
static int check_node_name(const char *name, char error[OPTIONS_ERROR_MAX])
{
    if (strlen(name) > RENDER_NODE_NAME_MAX) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--node-name: expected at most 253 characters");
        return -EINVAL;
    }
    for (; *name; name++) {
        if (*name <= ' ' || *name > '~' || *name == ':') {
            (void)snprintf(error, OPTIONS_ERROR_MAX,
                "--node-name: expected a DNS name, not one with a blank, a colon or a byte that is not "
                "printable ASCII");
            return -EINVAL;
        }
    }
    return 0;
}

static int check_together(const struct conf *conf, char error[OPTIONS_ERROR_MAX])
{
    int r = check_node_name(conf->node_name, error);

    if (r < 0)
        return r;
    if (conf->compress && !compressor_is_available()) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--compress: this podkin-enricher was built without zstd");
        return -EINVAL;
    }
    if (conf->lanes > 1 && conf->output_path && !strcmp(conf->output_path, "-")) {
        (void)snprintf(error, OPTIONS_ERROR_MAX,
            "--lanes %llu: expected a file for --output, as each lane writes one of its own",
            (unsigned long long)conf->lanes);
        return -EINVAL;
    }
    if (!conf->client_cert != !conf->client_key) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--client-cert and --client-key: expected both or none");
        return -EINVAL;
    }
    if (check_socket("socket", conf->socket, error) < 0 ||
        (*conf->events_socket && check_socket("events-socket", conf->events_socket, error) < 0))
        return -EINVAL;
    if (conf->metrics_listen && metrics_check_address(conf->metrics_listen) < 0) {
        (void)snprintf(error, OPTIONS_ERROR_MAX,
            "--metrics-listen: %.60s: expected ADDRESS:PORT in numbers, such as 127.0.0.1:9464",
            conf->metrics_listen);
        return -EINVAL;
    }
    return check_sources(&conf->sources, error);
}

static void derive(struct conf *conf)
{
    const bool own = conf->own_fields;

    conf->pipeline.own_events = conf->own_events;
    conf->pipeline.names_suffice = conf->sources.count > 0;
    for (size_t i = 0; i < conf->sources.count; i++)
        conf->pipeline.names_suffice &= !strncmp(conf->sources.items[i], "logdir:", 7);
    conf->render = (struct render_options){.node_name = conf->node_name,
        .own_fields = own,
        .annotations = conf->annotations,
        .image = {.own_fields = own,
            .credentials = conf->credentials,
            .namespaces = conf->namespaces,
            .capabilities = conf->capabilities}};
    conf->output = (struct output_options)OUTPUT_OPTIONS_DEFAULT;
    conf->output.path = conf->output_path;
    conf->output.sections = conf->format == CONF_FORMAT_NORMALISED;
    conf->output.rotate_bytes = conf->rotate_bytes;
    conf->output.rotate_age_ns = conf->rotate_age_ns;
    conf->output.compress = conf->compress != 0;
    conf->output.rotate_keep = (unsigned)conf->rotate_keep;
    conf->tls = (struct source_tls){
        conf->token_file, conf->ca_file, conf->client_cert, conf->client_key, conf->insecure};
}

/* For the kubelet's files as for a kubeconfig: a bare name may be one of systemd's credentials. 0 or -ENOMEM. */
static int find_credentials(struct conf *conf)
{
    char **names[] = {&conf->token_file, &conf->ca_file, &conf->client_cert, &conf->client_key};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = *names[i] ? credential_find_file(*names[i]) : NULL;

        if (*names[i] && !path)
            return -ENOMEM;
        free(*names[i]);
        *names[i] = path;
    }
    return 0;
}

int conf_init(struct conf *conf, int argc, char **argv, char error[OPTIONS_ERROR_MAX])
{
    struct option_spec specs[OPTIONS_MAX];
    size_t count = list_options(conf, specs);
    int rest = 0, r;

    *conf = (struct conf){
        .own_events = true,
        .own_fields = true,
        .sandbox = true,
        .log_level = 2,
        .rotate_bytes = UINT64_C(64) << 20,
        .rotate_keep = 5,
        .lanes = 1,
        .pod_grace_ns = 300 * NS_PER_SEC,
        .hold = {.max_events = 200000, .max_bytes = UINT64_C(128) << 20},
        .pipeline = {.owed = {.container_max = 4096, .total_max = 65536},
            .hold_timeout_ns = 30 * NS_PER_SEC,
            .container_timeout_ns = 5 * NS_PER_SEC,
            .process_grace_ns = 5 * NS_PER_SEC,
            .max_exited = 16384,
            .cgroup_grace_ns = 300 * NS_PER_SEC,
            .max_cgroups = 65536,
            .retry = {.first_ns = 200 * NS_PER_MS, .max_ns = 5 * NS_PER_SEC}},
    };
    r = options_parse(specs, count, argc, argv, &rest, error);
    if (r < 0 || conf->action_help || conf->action_version)
        return r;
    if (rest > 0) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "'%s': expected no further words; see --help", argv[1]);
        return -EINVAL;
    }
    r = set_default(&conf->socket, DEFAULT_SOCKET);
    if (r == 0)
        r = set_default(&conf->events_socket, DEFAULT_EVENTS);
    if (r == 0)
        r = fill_node_name(conf);
    if (r == 0)
        r = find_credentials(conf);
    if (r < 0) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
        return r;
    }
    if (strcmp(conf->events_socket, "none") == 0)
        conf->events_socket[0] = '\0';
    derive(conf);
    return check_together(conf, error);
}

int conf_check_files(const struct conf *conf, char error[OPTIONS_ERROR_MAX])
{
    for (size_t i = 0; i < conf->sources.count; i++) {
        char why[KUBECONFIG_ERROR_MAX] = "";
        struct kubeconfig config;
        int r;

        if (strncmp(conf->sources.items[i], "apiserver:", 10) != 0)
            continue;
        r = kubeconfig_load(&config, conf->sources.items[i] + 10, why);
        kubeconfig_deinit(&config);
        if (r < 0) {
            (void)snprintf(error, OPTIONS_ERROR_MAX, "%s", why);
            return r;
        }
    }
    return 0;
}

void conf_deinit(struct conf *conf)
{
    char **strings[] = {&conf->socket, &conf->config, &conf->events_socket, &conf->metrics_listen,
        &conf->output_path, &conf->node_name, &conf->token_file, &conf->ca_file, &conf->client_cert,
        &conf->client_key};

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        free(*strings[i]);
        *strings[i] = NULL;
    }
    option_list_deinit(&conf->sources);
}

enum conf_action conf_action(const struct conf *conf)
{
    if (conf->action_help)
        return CONF_HELP;
    if (conf->action_version)
        return CONF_VERSION;
    return conf->action_check ? CONF_CHECK : CONF_RUN;
}

void conf_print_help(void)
{
    struct conf dummy = {0};
    struct option_spec specs[OPTIONS_MAX];
    size_t count = list_options(&dummy, specs);

    puts("podkin-enricher: names the Pod behind every event of podkin-collector and writes JSON lines\n");
    options_print_help(specs, count);
}
