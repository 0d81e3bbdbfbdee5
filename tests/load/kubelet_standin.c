/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podkin-kubelet-standin: a kubelet as seen through /pods, for the demonstration, load and end-to-end tests.
 *
 * stdout, a line each:  listening http://127.0.0.1:PORT        once it does
 *                       visible BOOT_NS UID                     when a Pod is in an answer for the first time, before the answer is sent
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/options.h"
#include "tests/load/standin_connection.h"
#include "tests/load/standin_fault.h"
#include "tests/load/standin_pods.h"

#define PROGRAM         "podkin-kubelet-standin"
#define CONNECTIONS_MAX 128
#define IDLE_MAX_NS     (120 * NS_PER_SEC)
#define TOKEN_MAX       16384
#define IDLE_TURN_MS    10000
#define FAULT_TURN_MS   20

struct standin {
    char *listen, *tls_cert, *tls_key, *token_file, *client_ca, *pods_path, *delay_text;
    uint64_t generate, containers, seed, fail_status, fail_count;
    struct option_list fault_texts;
    struct standin_delay delay;
    struct standin_faults faults;
    int delay_from;
    bool stall;

    int listener, signals;
    SSL_CTX *tls;
    struct standin_pods *pods;
    struct standin_connection *connections[CONNECTIONS_MAX];
    size_t count;
    uint64_t started_ns, spoilt; /* how many lists were */
};

/* ---- answers ---- */

static void answer_text(struct text *out, const char *status, const char *headers, const char *body)
{
    text_append_format(out,
        "HTTP/1.1 %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s", status,
        headers, strlen(body), body);
}

/* Framed as a kubelet does: a chunk, the end. */
static void answer_list(struct standin *standin, bool running, struct text *out)
{
    CLEANUP(text_deinit) struct text body = {0};

    standin_pods_list(standin->pods, running, &body);
    text_append_format(out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
        body.size);
    text_append(out, body.data, body.size);
    text_append_string(out, "\r\n0\r\n\r\n");
    out->failed |= body.failed;
}

static bool bearer_is_right(const struct standin *standin, const char *bearer)
{
    CLEANUP_FILE FILE *file = fopen(standin->token_file, "re");
    char token[TOKEN_MAX] = "";

    if (!file || !fgets(token, sizeof(token), file))
        return false;
    token[strcspn(token, "\r\n")] = '\0';
    return *token && strcmp(token, bearer) == 0;
}

static bool request_is_allowed(const struct standin *standin, const struct standin_request *request)
{
    if (!standin->token_file && !standin->client_ca)
        return true;
    return (standin->client_ca && request->certified) ||
           (standin->token_file && request->bearer && bearer_is_right(standin, request->bearer));
}

static void answer_fault(unsigned fault_status, struct text *out)
{
    char status[32];

    (void)snprintf(status, sizeof(status), "%u Injected", fault_status);
    answer_text(out, status, fault_status == 429 ? "Retry-After: 1\r\n" : "", "as was asked for\n");
}

/* --fail-status, --stall: for the first --fail-count lists, or for all. */
static bool list_is_spoilt(struct standin *standin)
{
    if (!standin->fail_status && !standin->stall)
        return false;
    if (standin->fail_count && standin->spoilt >= standin->fail_count)
        return false;
    standin->spoilt++;
    return true;
}

/* False: never. */
static bool answer_pods(struct standin *standin, bool running, struct text *out)
{
    unsigned status = (unsigned)standin->fail_status;
    enum standin_fault_kind fault =
        standin_faults_of_request(&standin->faults, clock_boot_ns() - standin->started_ns, &status);

    if (fault == STANDIN_FAULT_NONE && list_is_spoilt(standin))
        fault = standin->stall ? STANDIN_FAULT_STALL : STANDIN_FAULT_STATUS;
    if (fault == STANDIN_FAULT_STATUS)
        answer_fault(status, out);
    else if (fault == STANDIN_FAULT_NONE)
        answer_list(standin, running, out);
    return fault == STANDIN_FAULT_NONE || fault == STANDIN_FAULT_STATUS;
}

static bool on_request(void *arg, const struct standin_request *request, struct text *out)
{
    struct standin *standin = arg;
    bool running = strcmp(request->path, "/runningpods/") == 0;

    if (strcmp(request->path, "/healthz") == 0) {
        answer_text(out, "200 OK", "", "ok");
    } else if (!request_is_allowed(standin, request)) {
        answer_text(out, "401 Unauthorized", "", "Unauthorized");
    } else if (!running && strcmp(request->path, "/pods") != 0 && strcmp(request->path, "/pods/") != 0) {
        answer_text(out, "404 Not Found", "", "404 page not found\n");
    } else if (strcmp(request->method, "GET") != 0) {
        answer_text(out, "405 Method Not Allowed", "Allow: GET\r\n", "");
    } else {
        return answer_pods(standin, running, out);
    }
    return true;
}

/* ---- set-up ---- */

/* As a kubelet: a certificate is asked for, and whoever has none, or a wrong one, may still have a token. */
static int accept_any_certificate(int verified, X509_STORE_CTX *context)
{
    (void)verified;
    (void)context;
    return 1;
}

static int setup_tls(struct standin *standin)
{
    SSL_CTX *tls;

    if (!standin->tls_cert && !standin->tls_key && !standin->client_ca)
        return 0;
    if (!standin->tls_cert || !standin->tls_key) {
        log_error("--tls-cert and --tls-key belong together, and --client-ca needs them");
        return -EINVAL;
    }
    tls = standin->tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, standin->tls_cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, standin->tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls) != 1) {
        log_error("%s, %s: not a PEM certificate and its key", standin->tls_cert, standin->tls_key);
        return -EINVAL;
    }
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    if (!standin->client_ca)
        return 0;
    if (SSL_CTX_load_verify_locations(tls, standin->client_ca, NULL) != 1) {
        log_error("--client-ca %s: not a PEM certificate", standin->client_ca);
        return -EINVAL;
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, accept_any_certificate);
    return 0;
}

/* "127.0.0.1:0", "[::1]:10250" */
static struct addrinfo *resolve_listen(const char *listen)
{
    CLEANUP_FREE char *host = strdup(listen);
    char *port = host ? strrchr(host, ':') : NULL, *name = host;
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *result = NULL;
    size_t length;

    if (!port)
        return NULL;
    *port++ = '\0';
    length = strlen(name);
    if (length > 1 && name[0] == '[' && name[length - 1] == ']') {
        name[length - 1] = '\0';
        name++;
    }
    return getaddrinfo(name, port, &hints, &result) == 0 ? result : NULL;
}

static int setup_listener(struct standin *standin)
{
    struct addrinfo *address = resolve_listen(standin->listen);
    CLEANUP_CLOSE int fd = -1;
    int on = 1, error = 0;

    if (!address) {
        log_error("--listen %s: expected ADDRESS:PORT, numeric", standin->listen);
        return -EINVAL;
    }
    fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, 128) < 0)
        error = -errno;
    freeaddrinfo(address);
    if (error < 0) {
        log_error("--listen %s: %s", standin->listen, strerror(-error));
        return error;
    }
    standin->listener = take_fd(&fd);
    return 0;
}

static void say_where(const struct standin *standin)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char host[64], port[8];

    if (getsockname(standin->listener, (struct sockaddr *)&address, &size) < 0 ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
            NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    (void)printf("listening %s://%s%s%s:%s\n", standin->tls ? "https" : "http",
        address.ss_family == AF_INET6 ? "[" : "", host, address.ss_family == AF_INET6 ? "]" : "", port);
}

static int setup_signals(struct standin *standin)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    standin->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return standin->signals < 0 ? -errno : 0;
}

/* ---- the loop ---- */

static bool is_out(const struct standin *standin)
{
    return standin_faults_in_force(&standin->faults, clock_boot_ns() - standin->started_ns) ==
           STANDIN_FAULT_OUTAGE;
}

/* In an outage whoever comes is cut off. */
static void accept_one(struct standin *standin)
{
    int fd = accept4(standin->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct standin_connection *connection;

    if (fd < 0)
        return;
    if (is_out(standin)) {
        (void)close(fd);
        return;
    }
    connection = standin_connection_new(fd, standin->tls, on_request, standin);
    if (connection)
        standin->connections[standin->count++] = connection;
}

/* What moved goes on; what ended, or idles for too long, goes. */
static void step_connections(struct standin *standin, const struct pollfd *fds)
{
    uint64_t now = clock_boot_ns();
    bool out = is_out(standin);
    size_t kept = 0;

    for (size_t i = 0; i < standin->count; i++) {
        struct standin_connection *connection = standin->connections[i];
        bool alive = !out && now < standin_connection_moved_ns(connection) + IDLE_MAX_NS;

        if (alive && fds[i].revents)
            alive = standin_connection_step(connection);
        if (alive)
            standin->connections[kept++] = connection;
        else
            standin_connection_free(connection);
    }
    standin->count = kept;
}

static int serve(struct standin *standin)
{
    for (;;) {
        struct pollfd fds[CONNECTIONS_MAX + 2];
        size_t count = standin->count;

        for (size_t i = 0; i < count; i++)
            fds[i] = (struct pollfd){.fd = standin_connection_fd(standin->connections[i]),
                .events = standin_connection_events(standin->connections[i])};
        fds[count] = (struct pollfd){.fd = standin->signals, .events = POLLIN};
        fds[count + 1] =
            (struct pollfd){.fd = count < CONNECTIONS_MAX ? standin->listener : -1, .events = POLLIN};
        if (poll(fds, count + 2, standin->faults.count ? FAULT_TURN_MS : IDLE_TURN_MS) < 0 &&
            errno != EINTR) {
            log_error("poll: %s", strerror(errno));
            return 1;
        }
        if (fds[count].revents)
            return 0;
        step_connections(standin, fds);
        if (fds[count + 1].revents)
            accept_one(standin);
    }
}

static void standin_deinit(struct standin *standin)
{
    for (size_t i = 0; i < standin->count; i++)
        standin_connection_free(standin->connections[i]);
    standin_pods_free(standin->pods);
    SSL_CTX_free(standin->tls);
    cleanup_close_fd(&standin->listener);
    cleanup_close_fd(&standin->signals);
    free(standin->listen);
    free(standin->tls_cert);
    free(standin->tls_key);
    free(standin->token_file);
    free(standin->client_ca);
    free(standin->pods_path);
    free(standin->delay_text);
    option_list_deinit(&standin->fault_texts);
}

static int read_texts(struct standin *standin)
{
    if (!standin->pods_path == !standin->generate) {
        log_error("--pods, --generate: expected one of them");
        return -EINVAL;
    }
    if (standin->delay_text && standin_delay_parse(standin->delay_text, &standin->delay) < 0) {
        log_error("--delay %s: expected %s", standin->delay_text, STANDIN_DELAY_EXPECTED);
        return -EINVAL;
    }
    standin->faults.random = standin->seed;
    for (size_t i = 0; i < standin->fault_texts.count; i++) {
        if (standin_faults_add(&standin->faults, standin->fault_texts.items[i]) < 0) {
            log_error("--fault %s: expected %s", standin->fault_texts.items[i], STANDIN_FAULT_EXPECTED);
            return -EINVAL;
        }
    }
    return 0;
}

static int standin_run(struct standin *standin)
{
    struct standin_pods_options options = {.path = standin->pods_path,
        .generate = (unsigned)standin->generate,
        .containers = (unsigned)standin->containers,
        .seed = standin->seed,
        .delay_from_file = standin->delay_from == 1,
        .announce = stdout};
    int error;

    if (read_texts(standin) < 0)
        return 2;
    options.delay = standin->delay;
    standin->started_ns = clock_boot_ns();
    error = standin_pods_new(&standin->pods, &options);
    if (error < 0) {
        log_error("--pods %s: %s", standin->pods_path ? standin->pods_path : "", strerror(-error));
        return 2;
    }
    if (setup_tls(standin) < 0)
        return 2;
    if (setup_signals(standin) < 0)
        return 1;
    error = setup_listener(standin);
    if (error < 0)
        return error == -EINVAL ? 2 : 1;
    say_where(standin);
    return serve(standin);
}

int main(int argc, char **argv)
{
    static const char *const froms[] = {"start", "containers", NULL};
    struct standin standin = {
        .listener = -1, .signals = -1, .listen = strdup("127.0.0.1:10255"), .containers = 2, .seed = 1};
    bool help = false;
    const struct option_spec specs[] = {
        {"listen", OPTION_STRING, &standin.listen, "ADDRESS:PORT",
            "where to listen; port 0: pick one and print it", NULL, 0, 0},
        {"pods", OPTION_STRING, &standin.pods_path, "PATH",
            "a PodList in JSON, or a directory of *.json, read anew at each request", NULL, 0, 0},
        {"generate", OPTION_COUNT, &standin.generate, "N", "or so many made-up Pods", NULL, 1, 10000},
        {"containers", OPTION_COUNT, &standin.containers, "N", "of so many containers each (2)", NULL, 1, 64},
        {"delay", OPTION_STRING, &standin.delay_text, "DELAY",
            "a Pod becomes visible so late: " STANDIN_DELAY_EXPECTED, NULL, 0, 0},
        {"seed", OPTION_COUNT, &standin.seed, "N", "of delays and faults by chance (1)", NULL, 0, 0},
        {"fault", OPTION_STRINGS, &standin.fault_texts, "WHAT=WHEN", "repeatable: " STANDIN_FAULT_EXPECTED,
            NULL, 0, 0},
        {"delay-from", OPTION_CHOICE, &standin.delay_from, "start|containers",
            "counted from our start, or from when the Pod's file appeared", froms, 0, 0},
        {"tls-cert", OPTION_STRING, &standin.tls_cert, "FILE", "serve https with this certificate (PEM)",
            NULL, 0, 0},
        {"tls-key", OPTION_STRING, &standin.tls_key, "FILE", "and this key", NULL, 0, 0},
        {"token-file", OPTION_STRING, &standin.token_file, "FILE",
            "ask for this bearer token; read at each request", NULL, 0, 0},
        {"client-ca", OPTION_STRING, &standin.client_ca, "FILE",
            "a client certificate of this authority will do as well", NULL, 0, 0},
        {"fail-status", OPTION_COUNT, &standin.fail_status, "N", "answer lists with this HTTP status", NULL,
            400, 599},
        {"stall", OPTION_FLAG, &standin.stall, NULL, "never answer lists", NULL, 0, 0},
        {"fail-count", OPTION_COUNT, &standin.fail_count, "N", "only the first N lists; 0: all", NULL, 0, 0},
        {"help", OPTION_FLAG, &help, NULL, "print this", NULL, 0, 0},
    };
    size_t count = sizeof(specs) / sizeof(*specs);
    char error[OPTIONS_ERROR_MAX];
    int rest = 0, status;

    log_init(PROGRAM, LOG_LEVEL_INFO);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (options_parse(specs, count, argc, argv, &rest, error) < 0 || rest) {
        log_error("%s", rest ? "expected options only (see --help)" : error);
        standin_deinit(&standin);
        return 2;
    }
    if (help)
        options_print_help(specs, count);
    status = help ? 0 : standin_run(&standin);
    standin_deinit(&standin);
    return status;
}
