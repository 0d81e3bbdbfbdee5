/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_kubelet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "common/cleanup.h"
#include "enricher/http.h"
#include "enricher/loop.h"
#include "enricher/pod_json.h"

#define HTTPS_PORT 10250
#define HTTP_PORT  10255
#define COST_RATIO 10 /* K2 */

struct source_kubelet {
    struct source source; /* first */
    struct loop *loop;
    struct http *http;
    struct pod_table *table;
    char *where, *url;
    char *token_file, *ca_file, *client_cert, *client_key;
    bool insecure;
    struct source_kubelet_params params;

    struct loop_timer timer; /* the next request, while none is under way */
    bool in_flight, asked;
    unsigned failed_in_a_row;
    uint64_t started_ns;    /* the last request's begin */
    uint64_t not_before_ns; /* K2, K3 */

    struct pod_json *parser; /* of the list that comes in */
    uint64_t digest_ns;      /* spent on it */
    size_t pods, refused;    /* in it */
    int merge_error;

    struct http_exchange *exchange;
    struct source_state state;
};

static struct source_kubelet *kubelet_of(struct source *source)
{
    return (struct source_kubelet *)source;
}

/* Jitter only: weak bits are fine when the kernel has none yet. */
static uint64_t random_bits(void)
{
    uint64_t bits;

    if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits))
        bits = clock_boot_ns() * UINT64_C(0x9e3779b97f4a7c15);
    return bits;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static __attribute__((format(printf, 2, 3))) void kubelet_fail(
    struct source_kubelet *kubelet, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(kubelet->state.last_error, sizeof(kubelet->state.last_error), format, args);
    va_end(args);
}

/* ---- the answer ---- */

static void on_pod(void *arg, const struct pod *pod)
{
    struct source_kubelet *kubelet = arg;
    int error = pod_table_merge(kubelet->table, POD_SOURCE_KUBELET, pod, loop_now(kubelet->loop));

    kubelet->pods++;
    if (error < 0) {
        kubelet->refused++;
        kubelet->merge_error = error;
    }
}

static int on_data(void *arg, const char *data, size_t size)
{
    struct source_kubelet *kubelet = arg;
    uint64_t begin = clock_boot_ns();
    int error = 0;

    if (!kubelet->parser) {
        error = pod_json_new(&kubelet->parser, on_pod, kubelet);
        if (error < 0)
            return error;
        pod_table_list_begin(kubelet->table, POD_SOURCE_KUBELET);
    }
    error = pod_json_push(kubelet->parser, data, size);
    kubelet->digest_ns += clock_boot_ns() - begin;
    return error;
}

/* What to do about it, in 160 characters. */
static void explain_status(struct source_kubelet *kubelet, const struct http_result *result)
{
    bool has_credential = kubelet->token_file || kubelet->client_cert;

    switch (result->status) {
    case 400:
        kubelet_fail(kubelet, "400: %s (port 10250 speaks https)", result->text);
        break;
    case 401:
        kubelet_fail(kubelet, "401: %s",
            !has_credential ? "the kubelet wants credentials: --token-file, or --client-cert and --client-key"
            : kubelet->token_file
                ? "the token is not accepted: --token-file must hold a valid one"
                : "the client certificate is not accepted: see --client-cert, and whether it expired");
        break;
    case 403:
        kubelet_fail(kubelet, "403: the account needs get on nodes/proxy or nodes/pods: %s", result->text);
        break;
    case 404:
        kubelet_fail(kubelet, "404: no /pods there; is this a kubelet (https://NODE:10250)?");
        break;
    default:
        kubelet_fail(kubelet, "HTTP status %u: %s", result->status, result->text);
    }
}

static void explain_failure(struct source_kubelet *kubelet, const struct http_result *result)
{
    const char *advice = "";

    if (result->outcome == HTTP_ANSWERED) {
        explain_status(kubelet, result);
        return;
    }
    switch (result->outcome) {
    case HTTP_NOT_TRUSTED:
        advice = "the kubelet's certificate does not verify (--ca-file, or --insecure-skip-tls-verify): ";
        break;
    case HTTP_TLS_FAILED:
        advice = "TLS failed (is a --client-cert wanted, or http:// meant?): ";
        break;
    case HTTP_NO_CONNECTION:
        advice = "no connection; does the kubelet listen there? ";
        break;
    case HTTP_TOO_LARGE:
        (void)snprintf(kubelet->state.last_error, sizeof(kubelet->state.last_error), "%s of %llu bytes",
            result->text, (unsigned long long)kubelet->params.max_bytes);
        return;
    default:
        break;
    }
    kubelet_fail(kubelet, "%s%s", advice, result->text);
}

/* The list is whole, or it is aborted (K4). */
static bool kubelet_end_list(struct source_kubelet *kubelet, const struct http_result *result)
{
    bool whole = false;

    if (!kubelet->parser) {
        if (result->outcome == HTTP_ANSWERED && result->status == 200)
            kubelet_fail(kubelet, "the answer is empty, expected a PodList");
        else
            explain_failure(kubelet, result);
        return false;
    }
    if (result->outcome == HTTP_ABORTED)
        kubelet_fail(kubelet, "not a PodList: %s", pod_json_error(kubelet->parser));
    else if (result->outcome != HTTP_ANSWERED)
        explain_failure(kubelet, result);
    else if (pod_json_finish(kubelet->parser) < 0)
        kubelet_fail(kubelet, "not a PodList: %s", pod_json_error(kubelet->parser));
    else
        whole = true;
    if (whole)
        pod_table_list_end(kubelet->table, POD_SOURCE_KUBELET, loop_now(kubelet->loop));
    else
        pod_table_list_abort(kubelet->table, POD_SOURCE_KUBELET);
    return whole;
}

/* ---- when to ask ---- */

static void kubelet_schedule(struct source_kubelet *kubelet, uint64_t at_ns)
{
    loop_timer_arm(kubelet->loop, &kubelet->timer, max_u64(at_ns, kubelet->not_before_ns));
}

static void kubelet_after_success(struct source_kubelet *kubelet, uint64_t now_ns)
{
    uint64_t refresh = kubelet->params.refresh_ns;

    kubelet->failed_in_a_row = 0;
    kubelet->state.last_success_ns = now_ns;
    kubelet->state.pods_seen = kubelet->pods;
    kubelet->state.last_error[0] = '\0';
    if (kubelet->refused)
        kubelet_fail(kubelet, "%zu of %zu Pods not taken: %s", kubelet->refused, kubelet->pods,
            kubelet->merge_error == -ENOSPC ? "the table of Pods is full"
                                            : strerrordesc_np(-kubelet->merge_error));
    kubelet->not_before_ns = max_u64(
        kubelet->started_ns + kubelet->params.min_interval_ns, now_ns + COST_RATIO * kubelet->digest_ns);
    /* The refresh is spread over a tenth, so that the agents of a rebooted cluster do not march in step. */
    kubelet_schedule(
        kubelet, kubelet->asked ? now_ns : now_ns + refresh - random_bits() % (refresh / 10 + 1));
}

static void kubelet_after_failure(
    struct source_kubelet *kubelet, const struct http_result *result, uint64_t now_ns)
{
    uint64_t wait = retry_delay_ns(&kubelet->params.retry, kubelet->failed_in_a_row, random_bits());
    uint64_t told_max_sec = kubelet->params.retry_after_max_ns / NS_PER_SEC;
    uint64_t told_sec = result->retry_after_sec < told_max_sec ? result->retry_after_sec : told_max_sec;

    kubelet->state.failures++;
    if (kubelet->failed_in_a_row < UINT32_MAX)
        kubelet->failed_in_a_row++;
    kubelet->not_before_ns = now_ns + max_u64(wait, told_sec * NS_PER_SEC);
    kubelet_schedule(kubelet, now_ns);
}

static void on_done(void *arg, const struct http_result *result)
{
    struct source_kubelet *kubelet = arg;
    uint64_t now_ns = loop_now(kubelet->loop);
    bool whole = kubelet_end_list(kubelet, result);

    http_hide_token(kubelet->exchange, kubelet->state.last_error); /* a parser quotes what it was given */
    kubelet->parser = pod_json_free(kubelet->parser);
    kubelet->exchange = NULL;
    kubelet->in_flight = false;
    kubelet->state.ready = true;
    if (whole)
        kubelet_after_success(kubelet, now_ns);
    else
        kubelet_after_failure(kubelet, result, now_ns);
}

static void on_time(void *arg, uint64_t now_ns)
{
    static const char *const headers[] = {"Accept: application/json", NULL};
    struct source_kubelet *kubelet = arg;
    const struct source_kubelet_params *params = &kubelet->params;
    struct http_request request = {
        .url = kubelet->url,
        .headers = headers,
        .token_file = kubelet->token_file,
        .ca_file = kubelet->ca_file,
        .client_cert = kubelet->client_cert,
        .client_key = kubelet->client_key,
        .insecure = kubelet->insecure,
        .fresh = kubelet->failed_in_a_row > 0,
        .connect_timeout_ns = params->connect_timeout_ns,
        .overall_timeout_ns = params->overall_timeout_ns,
        .idle_timeout_ns = params->idle_timeout_ns,
        .max_bytes = params->max_bytes,
        .on_data = on_data,
        .on_done = on_done,
        .arg = kubelet,
    };

    kubelet->state.requests++;
    kubelet->state.last_request_ns = now_ns;
    kubelet->started_ns = now_ns;
    kubelet->asked = false;
    kubelet->in_flight = true;
    kubelet->digest_ns = 0;
    kubelet->pods = kubelet->refused = 0;
    if (http_get(kubelet->http, &request, &kubelet->exchange) < 0)
        on_done(kubelet, &(struct http_result){.outcome = HTTP_REFUSED, .text = "out of memory"});
}

/* ---- the source interface ---- */

static void kubelet_ask(struct source *source)
{
    struct source_kubelet *kubelet = kubelet_of(source);

    if (kubelet->asked)
        return;
    kubelet->asked = true;
    if (!kubelet->in_flight)
        kubelet_schedule(kubelet, loop_now(kubelet->loop));
}

static void kubelet_get_state(const struct source *source, struct source_state *ret)
{
    *ret = ((const struct source_kubelet *)source)->state;
}

static struct source *kubelet_free(struct source *source)
{
    struct source_kubelet *kubelet = kubelet_of(source);

    if (!kubelet)
        return NULL;
    http_cancel(kubelet->exchange);
    if (kubelet->parser)
        pod_table_list_abort(kubelet->table, POD_SOURCE_KUBELET);
    pod_json_free(kubelet->parser);
    loop_timer_disarm(kubelet->loop, &kubelet->timer);
    free(kubelet->where);
    free(kubelet->url);
    free(kubelet->token_file);
    free(kubelet->ca_file);
    free(kubelet->client_cert);
    free(kubelet->client_key);
    free(kubelet);
    return NULL;
}

static const struct source_ops kubelet_ops = {
    .ask = kubelet_ask, .get_state = kubelet_get_state, .free = kubelet_free};

void source_kubelet_default_params(struct source_kubelet_params *ret)
{
    *ret = (struct source_kubelet_params){
        .min_interval_ns = 200 * NS_PER_MS,
        .refresh_ns = 30 * NS_PER_SEC,
        .retry = {.first_ns = 250 * NS_PER_MS, .max_ns = 10 * NS_PER_SEC},
        .retry_after_max_ns = 60 * NS_PER_SEC,
        .connect_timeout_ns = 3 * NS_PER_SEC,
        .overall_timeout_ns = 20 * NS_PER_SEC,
        .idle_timeout_ns = 8 * NS_PER_SEC,
        .max_bytes = UINT64_C(64) << 20,
    };
}

static int copy_string(char **ret, const char *string)
{
    *ret = string ? strdup(string) : NULL;
    return string && !*ret ? -ENOMEM : 0;
}

static int kubelet_copy_options(struct source_kubelet *kubelet, const char *url, const struct source_tls *tls)
{
    if (copy_string(&kubelet->where, url) < 0 || copy_string(&kubelet->token_file, tls->token_file) < 0 ||
        copy_string(&kubelet->ca_file, tls->ca_file) < 0 ||
        copy_string(&kubelet->client_cert, tls->client_cert) < 0 ||
        copy_string(&kubelet->client_key, tls->client_key) < 0)
        return -ENOMEM;
    kubelet->insecure = tls->insecure;
    return http_url_join(url, "/pods", HTTPS_PORT, HTTP_PORT, &kubelet->url);
}

int source_kubelet_new_with(struct source **ret, struct loop *loop, struct http *http,
    struct pod_table *table, const char *url, const struct source_tls *tls,
    const struct source_kubelet_params *params)
{
    static const struct source_tls no_tls = {0};
    struct source_kubelet *kubelet = calloc(1, sizeof(*kubelet));
    int error;

    if (!kubelet)
        return -ENOMEM;
    *kubelet = (struct source_kubelet){
        .source = {.ops = &kubelet_ops},
        .loop = loop,
        .http = http,
        .table = table,
        .params = *params,
        .timer = {.fn = on_time, .arg = kubelet},
        .state = {.kind = POD_SOURCE_KUBELET},
    };
    error = kubelet_copy_options(kubelet, url, tls ? tls : &no_tls);
    if (error < 0) {
        (void)kubelet_free(&kubelet->source);
        return error;
    }
    kubelet->state.where = kubelet->where;
    kubelet_schedule(kubelet, loop_now(loop));
    *ret = &kubelet->source;
    return 0;
}

int source_kubelet_new(struct source **ret, struct loop *loop, struct http *http, struct pod_table *table,
    const char *url, const struct source_tls *tls)
{
    struct source_kubelet_params params;

    source_kubelet_default_params(&params);
    return source_kubelet_new_with(ret, loop, http, table, url, tls, &params);
}
