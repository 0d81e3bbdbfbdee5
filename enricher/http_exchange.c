/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/http_exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/cleanup.h"

#define HEADER_BYTES_MAX 65536
#define ERROR_BODY_MAX   65536 /* of a status other than 2xx: read so that the connection can be kept */
#define SPARE_MAX        4
#define SLICE_BYTES      16384 /* half a millisecond of parsing */
#define INFLATE_BYTES    16384

/* ---- what comes in ---- */

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

/* To on_data, and false when it, or someone within it, wants no more. */
static bool exchange_give(struct http_exchange *exchange, const char *data, size_t size)
{
    const struct http_request *request = &exchange->request;

    if (request->max_bytes && size > request->max_bytes - exchange->bytes) {
        (void)exchange_abort(exchange, HTTP_TOO_LARGE, "the answer is larger than the limit");
        return false;
    }
    exchange->bytes += size;
    exchange->slice_bytes += size;
    if (size && request->on_data && request->on_data(request->arg, data, size)) {
        (void)exchange_abort(exchange, HTTP_ABORTED, "given up by the receiver");
        return false;
    }
    return !exchange->cancelled;
}

/* Of this turn's slice. */
static size_t exchange_slice_left(struct http_exchange *exchange)
{
    uint64_t turn_ns = loop_now(exchange->http->loop);

    if (exchange->slice_turn_ns != turn_ns)
        exchange->slice_bytes = 0;
    exchange->slice_turn_ns = turn_ns;
    return exchange->slice_bytes < SLICE_BYTES ? SLICE_BYTES - exchange->slice_bytes : 0;
}

/* A turn later: loop_now() stands still within one. */
static void exchange_arm_pump(struct http_exchange *exchange)
{
    loop_timer_arm(exchange->http->loop, &exchange->pump, loop_now(exchange->http->loop) + 1);
}

static bool exchange_has_rest(const struct http_exchange *exchange)
{
    return exchange->rest.size > exchange->rest_given || exchange->gzip.more;
}

/* Decodes and gives as much as the slice allows; moves *data and *size on. False: no more is wanted. */
static bool exchange_inflate(struct http_exchange *exchange, const char **data, size_t *size)
{
    char piece[INFLATE_BYTES];
    size_t left;

    while ((*size || exchange->gzip.more) && (left = exchange_slice_left(exchange)) > 0) {
        unsigned room = left < sizeof(piece) ? (unsigned)left : sizeof(piece);
        long count = http_gzip_decode(&exchange->gzip, data, size, piece, room);

        if (count < 0) {
            (void)exchange_abort(exchange, count == -ENOMEM ? HTTP_TOO_LARGE : HTTP_BROKEN,
                count == -ENOMEM ? "out of memory" : "the answer is not the gzip that it claims to be");
            return false;
        }
        if (!exchange_give(exchange, piece, (size_t)count))
            return false;
    }
    return true;
}

static bool exchange_take_gzip(struct http_exchange *exchange, const char *data, size_t size)
{
    if (!exchange_inflate(exchange, &data, &size))
        return false;
    text_append(&exchange->rest, data, size);
    if (exchange->rest.failed) {
        (void)exchange_abort(exchange, HTTP_TOO_LARGE, "out of memory");
        return false;
    }
    if (exchange_has_rest(exchange))
        exchange_arm_pump(exchange);
    return true;
}

/* The next slice of what waits here. False: no more is wanted. */
static bool exchange_give_rest(struct http_exchange *exchange)
{
    size_t size = exchange->rest.size - exchange->rest_given;
    const char *data = size ? exchange->rest.data + exchange->rest_given : "";
    bool more = exchange_inflate(exchange, &data, &size);

    exchange->rest_given = exchange->rest.size - size;
    if (!size) {
        text_clear(&exchange->rest);
        exchange->rest_given = 0;
    }
    return more;
}

static size_t on_body(char *data, size_t unit, size_t count, void *arg)
{
    struct http_exchange *exchange = arg;
    size_t size = unit * count;
    bool more;

    exchange->last_byte_ns = loop_now(exchange->http->loop);
    if (exchange->cancelled)
        return CURL_WRITEFUNC_ERROR;
    if (!status_is_success(exchange_status(exchange)))
        return on_refusal_body(exchange, data, size);
    if (exchange_has_rest(exchange) || !exchange_slice_left(exchange)) {
        exchange->paused = true;
        exchange_arm_pump(exchange);
        return CURL_WRITEFUNC_PAUSE;
    }
    more =
        exchange->gzip.begun ? exchange_take_gzip(exchange, data, size) : exchange_give(exchange, data, size);
    return more ? size : CURL_WRITEFUNC_ERROR;
}

/* gzip: as asked for. It is decoded unasked, too: a proxy between may have packed it. */
static size_t on_encoding(struct http_exchange *exchange, const char *value, size_t size)
{
    char name[16];

    http_text_clean(name, sizeof(name), value, size);
    if (exchange->gzip.begun)
        return exchange_abort(exchange, HTTP_BROKEN, "more than one Content-Encoding");
    if (strcasecmp(name, "gzip") == 0 || strcasecmp(name, "x-gzip") == 0)
        return http_gzip_begin(&exchange->gzip) < 0
                   ? exchange_abort(exchange, HTTP_TOO_LARGE, "out of memory")
                   : size;
    if (*name && strcasecmp(name, "identity") != 0)
        return exchange_abort(exchange, HTTP_BROKEN, "a Content-Encoding that was not asked for");
    return size;
}

static size_t on_header(char *data, size_t unit, size_t count, void *arg)
{
    static const char encoding[] = "content-encoding:";
    struct http_exchange *exchange = arg;
    size_t size = unit * count;

    exchange->last_byte_ns = loop_now(exchange->http->loop);
    exchange->header_bytes += size;
    if (exchange->header_bytes > HEADER_BYTES_MAX)
        return exchange_abort(exchange, HTTP_TOO_LARGE, "the answer's headers are larger than the limit");
    if (size < sizeof(encoding) || strncasecmp(data, encoding, sizeof(encoding) - 1) != 0 ||
        !status_is_success(exchange_status(exchange)))
        return size;
    return on_encoding(exchange, data + sizeof(encoding) - 1, size - (sizeof(encoding) - 1)) ==
                   CURL_WRITEFUNC_ERROR
               ? CURL_WRITEFUNC_ERROR
               : size;
}

/* ---- its end ---- */

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
    http_hide_token(exchange, exchange->error);
}

void http_hide_token(const struct http_exchange *exchange, char *text)
{
    if (exchange)
        http_text_hide_token(text, exchange->token_header);
}

struct http_exchange *http_exchange_free(struct http_exchange *exchange)
{
    if (exchange && exchange->easy)
        curl_easy_cleanup(exchange->easy);
    free(exchange);
    return NULL;
}

/* Out of libcurl and of the active list; the token stays until it is recycled, to be hidden. The struct stays the caller's. */
static void exchange_stop(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct http_exchange **link = &http->active;

    while (*link != exchange)
        link = &(*link)->next;
    *link = exchange->next;
    loop_timer_disarm(http->loop, &exchange->timer);
    loop_timer_disarm(http->loop, &exchange->pump);
    if (exchange->running)
        (void)curl_multi_remove_handle(http->multi, exchange->easy);
    exchange->running = false;
    (void)curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
}

static void exchange_recycle(struct http_exchange *exchange)
{
    struct http *http = exchange->http;

    http_header_wipe(exchange->token_header);
    exchange->token_header = NULL;
    text_deinit(&exchange->rest);
    http_gzip_deinit(&exchange->gzip);
    if (http->spare_count >= SPARE_MAX) {
        http_exchange_free(exchange);
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

void http_exchange_drop(struct http_exchange *exchange)
{
    exchange_stop(exchange);
    exchange_recycle(exchange);
}

static void exchange_conclude(struct http_exchange *exchange, CURLcode code)
{
    if (code == CURLE_OK && exchange->outcome == HTTP_ANSWERED && exchange->gzip.begun &&
        !exchange->gzip.ended)
        (void)exchange_abort(exchange, HTTP_BROKEN, "the gzip of the answer is cut off");
    exchange_finish(exchange, code);
}

void http_exchange_end(struct http_exchange *exchange, CURLcode code)
{
    if (exchange->cancelled || exchange->outcome != HTTP_ANSWERED || !exchange_has_rest(exchange)) {
        exchange_conclude(exchange, code);
        return;
    }
    exchange->ended = true;
    exchange->code = code;
    loop_timer_disarm(exchange->http->loop, &exchange->timer);
    exchange_arm_pump(exchange);
}

static void on_pump(void *arg, uint64_t now_ns)
{
    struct http_exchange *exchange = arg;
    struct http *http = exchange->http;
    CURLcode code = CURLE_OK;

    exchange->last_byte_ns = now_ns; /* it is not the server that pauses */
    http->in_callback = true;
    if (exchange_has_rest(exchange)) {
        (void)exchange_give_rest(exchange);
    } else if (exchange->paused) {
        exchange->paused = false;
        code = curl_easy_pause(exchange->easy, CURLPAUSE_CONT);
    }
    http->in_callback = false;
    if (exchange->cancelled) /* http_collect() drops it */
        ;
    else if (exchange->outcome != HTTP_ANSWERED || code != CURLE_OK)
        exchange_finish(exchange, code);
    else if (exchange_has_rest(exchange) || exchange->paused)
        exchange_arm_pump(exchange);
    else if (exchange->ended)
        exchange_conclude(exchange, exchange->code);
    http_collect(http);
}

/* ---- its start ---- */

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
    SET(CURLOPT_CLOSESOCKETFUNCTION, http_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, exchange->http);
#undef SET
    return code;
}

static int exchange_add_header(struct http_exchange *exchange, const char *line)
{
    struct curl_slist *longer = curl_slist_append(exchange->headers, line);

    if (!longer)
        return -ENOMEM;
    exchange->headers = longer;
    return 0;
}

static int exchange_build_headers(struct http_exchange *exchange)
{
    for (const char *const *line = exchange->request.headers; line && *line; line++)
        if (exchange_add_header(exchange, *line) < 0)
            return -ENOMEM;
    if (exchange->request.compressed && exchange_add_header(exchange, "Accept-Encoding: gzip") < 0)
        return -ENOMEM;
    if (!exchange->request.token_file && !exchange->request.token)
        return 0;
    exchange->token_header = http_token_header(&exchange->request, exchange->error);
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

struct http_exchange *http_exchange_new(struct http *http, const struct http_request *request)
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
    *exchange = (struct http_exchange){.http = http,
        .easy = easy,
        .request = *request,
        .timer = {.fn = on_exchange_timer, .arg = exchange},
        .pump = {.fn = on_pump, .arg = exchange}};
    exchange->next = http->active;
    http->active = exchange;
    loop_timer_arm(http->loop, &exchange->timer, loop_now(http->loop));
    return exchange;
}
