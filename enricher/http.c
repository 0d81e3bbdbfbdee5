/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "enricher/http_request.h"
#include "enricher/loop.h"

#define USER_AGENT                                                                                           \
    "podkin-enricher/" PODKIN_VERSION /* "curl…" would get pretty-printed JSON of twice the size */

#define HEADER_BYTES_MAX 65536
#define ERROR_BODY_MAX   65536 /* of a status other than 2xx: read so that the connection can be kept */
#define MESSAGE_MAX      160   /* of that body: shown */
#define SPARE_MAX        4
#define CONNECTIONS_MAX  8

/* A socket of libcurl's that the loop watches. */
struct http_socket {
    struct loop_poll poll;
    struct http *http;
    struct http_socket *next;
};

struct http_exchange {
    struct http *http;
    struct http_exchange *next; /* in http->active or http->spare */
    CURL *easy;
    struct curl_slist *headers; /* without the token */
    char *token_header;         /* sent as the head of the list */
    struct curl_slist token_node;
    struct http_request request;
    struct loop_timer timer;   /* the start, then the idle time-out */
    enum http_outcome outcome; /* why we ended it; HTTP_ANSWERED: libcurl decides */
    bool running;              /* libcurl has it */
    bool cancelled, finishing;
    uint64_t bytes, header_bytes, last_byte_ns;
    size_t message_size;
    char message[MESSAGE_MAX];
    char curl_error[CURL_ERROR_SIZE];
    char error[HTTP_ERROR_MAX];
};

struct http {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct http_socket *sockets;
    struct http_exchange *active, *spare;
    size_t spare_count;
    bool in_curl; /* libcurl refuses to be called from its own callbacks */
};

/* ---- the loop's side: sockets and time ---- */

static void http_collect(struct http *http);

static void http_act(struct http *http, curl_socket_t fd, int events)
{
    int running;

    http->in_curl = true;
    (void)curl_multi_socket_action(http->multi, fd, events, &running);
    http->in_curl = false;
    http_collect(http);
}

/* The socket may be freed within: libcurl says REMOVE from inside http_act(). */
static void on_socket_ready(void *arg, uint32_t events)
{
    struct http_socket *socket = arg;
    int flags = 0;

    if (events & (POLLIN | POLLHUP))
        flags |= CURL_CSELECT_IN;
    if (events & POLLOUT)
        flags |= CURL_CSELECT_OUT;
    if (events & (POLLERR | POLLNVAL))
        flags |= CURL_CSELECT_ERR;
    http_act(socket->http, socket->poll.fd, flags);
}

static void on_curl_timer(void *arg, uint64_t now_ns)
{
    (void)now_ns;
    http_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int curl_wants_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http *http = arg;

    (void)multi;
    /* loop_now() is as old as this turn, so the timer may be up to a turn early by libcurl's clock: it then asks again. */
    if (timeout_ms < 0)
        loop_timer_disarm(http->loop, &http->timer);
    else
        loop_timer_arm(http->loop, &http->timer, loop_now(http->loop) + (uint64_t)timeout_ms * NS_PER_MS);
    return 0;
}

static void socket_free(struct http *http, struct http_socket *socket)
{
    struct http_socket **link = &http->sockets;

    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    loop_poll_stop(http->loop, &socket->poll);
    free(socket);
}

static int curl_wants_poll(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
    struct http *http = arg;
    struct http_socket *socket = assigned;
    uint32_t events = (what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0);
    int error;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            socket_free(http, socket);
        return 0;
    }
    if (socket && socket->poll.fd == fd)
        return loop_poll_change(http->loop, &socket->poll, events) < 0 ? -1 : 0;
    if (socket) /* stopped by curl_closes_socket(); the number came back */
        return loop_poll_start(http->loop, &socket->poll, fd, events) < 0 ? -1 : 0;
    socket = calloc(1, sizeof(*socket));
    if (!socket)
        return -1;
    *socket = (struct http_socket){.poll = {.fn = on_socket_ready, .arg = socket, .fd = -1}, .http = http};
    error = loop_poll_start(http->loop, &socket->poll, fd, events);
    if (error < 0) {
        free(socket);
        return -1;
    }
    socket->next = http->sockets;
    http->sockets = socket;
    (void)curl_multi_assign(http->multi, fd, socket);
    return 0;
}

/* libcurl says REMOVE before it closes. Should it ever not, io_uring would keep the old file alive under a number that is someone else's by
 * then: so no fd is closed under a poll (N4). The struct stays; libcurl's assignment may still point to it. */
static int curl_closes_socket(void *arg, curl_socket_t fd)
{
    struct http *http = arg;

    for (struct http_socket *socket = http->sockets; socket; socket = socket->next)
        if (socket->poll.fd == fd)
            loop_poll_stop(http->loop, &socket->poll);
    return close(fd);
}

/* ---- one exchange: what libcurl tells while it runs ---- */

static bool status_is_success(unsigned status)
{
    return status >= 200 && status < 300;
}

static unsigned exchange_status(const struct http_exchange *exchange)
{
    long status = 0;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    return (unsigned)status;
}

static size_t exchange_abort(struct http_exchange *exchange, enum http_outcome outcome, const char *why)
{
    exchange->outcome = outcome;
    http_text_clean(exchange->error, sizeof(exchange->error), why, strlen(why));
    return CURL_WRITEFUNC_ERROR;
}

/* The body of a refusal: its start is worth showing, the rest only keeps the connection. */
static size_t on_refusal_body(struct http_exchange *exchange, const char *data, size_t size)
{
    size_t room = sizeof(exchange->message) - exchange->message_size;
    size_t take = size < room ? size : room;

    memcpy(exchange->message + exchange->message_size, data, take);
    exchange->message_size += take;
    exchange->bytes += size;
    return exchange->bytes > ERROR_BODY_MAX ? CURL_WRITEFUNC_ERROR : size;
}

static size_t on_body(char *data, size_t unit, size_t count, void *arg)
{
    struct http_exchange *exchange = arg;
    const struct http_request *request = &exchange->request;
    size_t size = unit * count;

    exchange->last_byte_ns = loop_now(exchange->http->loop);
    if (exchange->cancelled)
        return CURL_WRITEFUNC_ERROR;
    if (!status_is_success(exchange_status(exchange)))
        return on_refusal_body(exchange, data, size);
    if (request->max_bytes && size > request->max_bytes - exchange->bytes)
        return exchange_abort(exchange, HTTP_TOO_LARGE, "the answer is larger than the limit");
    exchange->bytes += size;
    if (size && request->on_data && request->on_data(request->arg, data, size))
        return exchange_abort(exchange, HTTP_ABORTED, "given up by the receiver");
    /* on_data may have cancelled us. */
    return exchange->cancelled ? CURL_WRITEFUNC_ERROR : size;
}

static size_t on_header(char *data, size_t unit, size_t count, void *arg)
{
    struct http_exchange *exchange = arg;
    size_t size = unit * count;

    (void)data;
    exchange->last_byte_ns = loop_now(exchange->http->loop);
    exchange->header_bytes += size;
    if (exchange->header_bytes > HEADER_BYTES_MAX)
        return exchange_abort(exchange, HTTP_TOO_LARGE, "the answer's headers are larger than the limit");
    return size;
}

/* ---- one exchange: its end ---- */

static void exchange_fill_result(struct http_exchange *exchange, CURLcode code, struct http_result *ret)
{
    curl_off_t retry_after = 0;
    const char *text = exchange->curl_error[0] ? exchange->curl_error : curl_easy_strerror(code);

    *ret =
        (struct http_result){.outcome = exchange->outcome, .bytes = exchange->bytes, .text = exchange->error};
    if (exchange->running) {
        ret->status = exchange_status(exchange);
        (void)curl_easy_getinfo(exchange->easy, CURLINFO_RETRY_AFTER, &retry_after);
        ret->retry_after_sec = retry_after > 0 ? (uint64_t)retry_after : 0;
    }
    if (exchange->outcome != HTTP_ANSWERED)
        return;
    /* A refusal whose body is endless is a refusal all the same. */
    if (code == CURLE_WRITE_ERROR && ret->status && !status_is_success(ret->status))
        code = CURLE_OK;
    ret->outcome = http_outcome_of(code, text);
    if (ret->outcome == HTTP_ANSWERED)
        http_text_clean(exchange->error, sizeof(exchange->error), exchange->message, exchange->message_size);
    else
        http_text_clean(exchange->error, sizeof(exchange->error), text, strlen(text));
}

static struct http_exchange *exchange_free(struct http_exchange *exchange)
{
    if (exchange && exchange->easy)
        curl_easy_cleanup(exchange->easy);
    free(exchange);
    return NULL;
}

/* Out of libcurl and of the active list; what is secret is wiped. The struct stays the caller's. */
static void exchange_stop(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct http_exchange **link = &http->active;

    while (*link != exchange)
        link = &(*link)->next;
    *link = exchange->next;
    loop_timer_disarm(http->loop, &exchange->timer);
    if (exchange->running)
        (void)curl_multi_remove_handle(http->multi, exchange->easy);
    exchange->running = false;
    (void)curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
    http_header_wipe(exchange->token_header);
    exchange->token_header = NULL;
}

static void exchange_recycle(struct http_exchange *exchange)
{
    struct http *http = exchange->http;

    if (http->spare_count >= SPARE_MAX) {
        exchange_free(exchange);
        return;
    }
    exchange->next = http->spare;
    http->spare = exchange;
    http->spare_count++;
}

static void exchange_finish(struct http_exchange *exchange, CURLcode code)
{
    struct http_result result;

    exchange_fill_result(exchange, code, &result);
    exchange_stop(exchange);
    exchange->finishing = true;
    if (!exchange->cancelled && exchange->request.on_done)
        exchange->request.on_done(exchange->request.arg, &result);
    exchange_recycle(exchange);
}

static void exchange_fail(struct http_exchange *exchange, enum http_outcome outcome, const char *why)
{
    (void)exchange_abort(exchange, outcome, why);
    exchange_finish(exchange, CURLE_OK);
}

/* Whatever has ended meanwhile, then what was cancelled from inside a callback. */
static void http_collect(struct http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct http_exchange *exchange = NULL;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange) == CURLE_OK && exchange)
            exchange_finish(exchange, code);
    }
    for (struct http_exchange *exchange = http->active, *next; exchange; exchange = next) {
        next = exchange->next;
        if (exchange->cancelled) {
            exchange_stop(exchange);
            exchange_recycle(exchange);
        }
    }
}

/* ---- one exchange: its start ---- */

/* What belongs to this exchange and not to the request. */
static CURLcode exchange_attach(struct http_exchange *exchange)
{
    CURL *easy = exchange->easy;
    CURLcode code = CURLE_OK;

#define SET(option, value) code = code ? code : curl_easy_setopt(easy, option, value)
    SET(CURLOPT_HTTPHEADER, exchange->token_header ? &exchange->token_node : exchange->headers);
    SET(CURLOPT_ERRORBUFFER, exchange->curl_error);
    SET(CURLOPT_PRIVATE, exchange);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, exchange);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, exchange);
    SET(CURLOPT_CLOSESOCKETFUNCTION, curl_closes_socket);
    SET(CURLOPT_CLOSESOCKETDATA, exchange->http);
#undef SET
    return code;
}

static int exchange_build_headers(struct http_exchange *exchange)
{
    for (const char *const *line = exchange->request.headers; line && *line; line++) {
        struct curl_slist *longer = curl_slist_append(exchange->headers, *line);

        if (!longer)
            return -ENOMEM;
        exchange->headers = longer;
    }
    if (!exchange->request.token_file)
        return 0;
    exchange->token_header = http_token_header(exchange->request.token_file, exchange->error);
    /* A node of our own, so that there is no copy of the token that we do not wipe. */
    exchange->token_node = (struct curl_slist){.data = exchange->token_header, .next = exchange->headers};
    return exchange->token_header ? 0 : -EINVAL;
}

static void exchange_arm_idle(struct http_exchange *exchange)
{
    if (exchange->request.idle_timeout_ns)
        loop_timer_arm(exchange->http->loop, &exchange->timer,
            exchange->last_byte_ns + exchange->request.idle_timeout_ns);
}

static void exchange_start(struct http_exchange *exchange, uint64_t now_ns)
{
    struct http *http = exchange->http;
    enum http_outcome outcome = http_request_check(&exchange->request, exchange->error);
    CURLcode code;

    if (outcome == HTTP_ANSWERED && exchange_build_headers(exchange) < 0)
        outcome = HTTP_BAD_CREDENTIAL;
    if (outcome != HTTP_ANSWERED) {
        exchange->outcome = outcome;
        exchange_finish(exchange, CURLE_OK);
        return;
    }
    code = http_request_apply(&exchange->request, exchange->easy);
    code = code ? code : exchange_attach(exchange);
    if (code) {
        exchange_fail(exchange, HTTP_REFUSED, curl_easy_strerror(code));
        return;
    }
    if (curl_multi_add_handle(http->multi, exchange->easy) != CURLM_OK) {
        exchange_fail(exchange, HTTP_REFUSED, "out of memory");
        return;
    }
    exchange->running = true;
    exchange->last_byte_ns = now_ns;
    exchange_arm_idle(exchange);
}

static void on_exchange_timer(void *arg, uint64_t now_ns)
{
    struct http_exchange *exchange = arg;

    if (!exchange->running)
        exchange_start(exchange, now_ns);
    else if (now_ns < exchange->last_byte_ns + exchange->request.idle_timeout_ns)
        exchange_arm_idle(exchange); /* bytes came: cheaper than re-arming at each */
    else
        exchange_fail(exchange, HTTP_TIMED_OUT, "the server went silent");
}

/* ---- public ---- */

static struct http_exchange *exchange_new(struct http *http)
{
    struct http_exchange *exchange = http->spare;
    CURL *easy;

    if (exchange) {
        http->spare = exchange->next;
        http->spare_count--;
        easy = exchange->easy;
        curl_easy_reset(easy);
    } else {
        exchange = malloc(sizeof(*exchange));
        easy = curl_easy_init();
        if (!exchange || !easy) {
            free(exchange);
            curl_easy_cleanup(easy);
            return NULL;
        }
    }
    *exchange = (struct http_exchange){
        .http = http, .easy = easy, .timer = {.fn = on_exchange_timer, .arg = exchange}};
    return exchange;
}

int http_get(struct http *http, const struct http_request *request, struct http_exchange **ret)
{
    struct http_exchange *exchange = exchange_new(http);

    if (!exchange)
        return -ENOMEM;
    exchange->request = *request;
    exchange->next = http->active;
    http->active = exchange;
    loop_timer_arm(http->loop, &exchange->timer, loop_now(http->loop));
    if (ret)
        *ret = exchange;
    return 0;
}

void http_cancel(struct http_exchange *exchange)
{
    if (!exchange || exchange->finishing)
        return;
    exchange->cancelled = true;
    if (exchange->http->in_curl)
        return; /* http_collect() follows */
    exchange_stop(exchange);
    exchange_recycle(exchange);
}

int http_new(struct http **ret, struct loop *loop)
{
    struct http *http = calloc(1, sizeof(*http));

    if (!http)
        return -ENOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(http);
        return -ENOMEM;
    }
    *http = (struct http){.loop = loop, .timer = {.fn = on_curl_timer, .arg = http}};
    http->multi = curl_multi_init();
    if (!http->multi) {
        http_free(http);
        return -ENOMEM;
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_poll);
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    *ret = http;
    return 0;
}

struct http *http_free(struct http *http)
{
    if (!http)
        return NULL;
    while (http->active)
        http_cancel(http->active);
    while (http->spare) {
        struct http_exchange *exchange = http->spare;

        http->spare = exchange->next;
        exchange_free(exchange);
    }
    http->spare_count = 0;
    if (http->multi)
        (void)curl_multi_cleanup(http->multi);
    while (http->sockets)
        socket_free(http, http->sockets);
    loop_timer_disarm(http->loop, &http->timer);
    free(http);
    curl_global_cleanup();
    return NULL;
}
