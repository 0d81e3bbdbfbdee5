/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_apiserver_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "common/cleanup.h"
#include "common/text.h"
#include "enricher/http_request.h"

#define HTTPS_PORT       443
#define HTTP_PORT        80
#define FAILURES_TO_LIST 3 /* A2 */

static struct source_apiserver *apiserver_of(struct source *source)
{
    return (struct source_apiserver *)source;
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

/* ---- how a request ended ---- */

static void apiserver_schedule(struct source_apiserver *api, uint64_t at_ns)
{
    loop_timer_arm(api->loop, &api->timer, max_u64(at_ns, api->not_before_ns));
}

static void apiserver_begin_anew(struct source_apiserver *api)
{
    api->phase = api->no_initial_events ? PHASE_LIST : PHASE_INITIAL;
}

/* The request is over, told or cancelled: nothing of it stays. */
static void apiserver_clear_request(struct source_apiserver *api)
{
    if (api->listing)
        pod_table_list_abort(api->table, POD_SOURCE_APISERVER);
    api->listing = false;
    api->list = pod_json_free(api->list);
    api->watch = watch_json_free(api->watch);
    api->exchange = NULL;
    loop_timer_disarm(api->loop, &api->initial);
    kubeconfig_deinit(&api->config);
    free(api->url);
    api->url = NULL;
}

static void apiserver_after_failure(
    struct source_apiserver *api, const struct http_result *result, enum apiserver_next next, uint64_t now_ns)
{
    uint64_t wait, told_max_sec = api->params.retry_after_max_ns / NS_PER_SEC;
    uint64_t told_sec = result->retry_after_sec < told_max_sec ? result->retry_after_sec : told_max_sec;

    wait = retry_delay_ns(&api->params.retry, api->failed_in_a_row, random_bits());
    if (api->failed_in_a_row < UINT32_MAX)
        api->failed_in_a_row++;
    api->state.failures++;
    if (next == NEXT_LIST || (api->phase == PHASE_WATCH && api->failed_in_a_row % FAILURES_TO_LIST == 0))
        apiserver_begin_anew(api);
    api->not_before_ns = now_ns + max_u64(wait, told_sec * NS_PER_SEC);
}

/* 400, 422: a server that knows sendInitialEvents and does not offer it. One that does not know it leaves
 * their end out (`initial`). */
static bool is_not_offered(const struct source_apiserver *api, const struct http_result *result)
{
    return api->phase == PHASE_INITIAL && result->outcome == HTTP_ANSWERED &&
           (result->status == 400 || result->status == 422);
}

static void on_done(void *arg, const struct http_result *result)
{
    struct source_apiserver *api = arg;
    uint64_t now_ns = loop_now(api->loop);
    bool was_list = api->phase == PHASE_LIST;
    enum apiserver_next next;

    api->state.ready = true;
    if (is_not_offered(api, result)) {
        api->no_initial_events = true;
        api->phase = PHASE_LIST;
        apiserver_clear_request(api);
        apiserver_schedule(api, now_ns);
        return;
    }
    next = apiserver_judge(api, result);
    apiserver_clear_request(api);
    /* A watch that stood for a while worked, however it ended. */
    if (api->phase == PHASE_WATCH && !was_list && now_ns - api->started_ns >= api->params.retry.max_ns)
        api->failed_in_a_row = 0;
    if (next != NEXT_GO_ON) {
        apiserver_after_failure(api, result, next, now_ns);
    } else if (!was_list) {
        api->not_before_ns = api->started_ns + api->params.min_interval_ns;
        if (api->relist)
            apiserver_begin_anew(api);
    }
    apiserver_schedule(api, now_ns);
}

static void on_initial_late(void *arg, uint64_t now_ns)
{
    struct source_apiserver *api = arg;

    http_cancel(api->exchange);
    apiserver_clear_request(api);
    api->no_initial_events = true;
    api->phase = PHASE_LIST;
    apiserver_schedule(api, now_ns);
}

/* ---- a request ---- */

static void append_escaped(struct text *text, const char *string)
{
    for (; *string; string++) {
        unsigned char c = (unsigned char)*string;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~';

        if (plain)
            text_append_char(text, (char)c);
        else
            text_append_format(text, "%%%02X", c);
    }
}

/* A3 is in the versions. */
static void append_query(struct text *text, const struct source_apiserver *api)
{
    const char *version = api->any_version ? "" : api->version;

    text_append_string(text, "?fieldSelector=spec.nodeName%3D");
    append_escaped(text, api->node_name);
    if (api->phase == PHASE_LIST && !*version) {
        /* "0": what the server has in memory. Without: what its store has, at the store's expense. */
        text_append_string(text, api->any_version ? "" : "&resourceVersion=0");
        return;
    }
    if (*version) {
        text_append_string(text, "&resourceVersion=");
        append_escaped(text, version);
    }
    if (api->phase != PHASE_WATCH)
        text_append_string(text, "&resourceVersionMatch=NotOlderThan");
    if (api->phase == PHASE_LIST)
        return;
    text_append_format(text, "&watch=1&allowWatchBookmarks=true&timeoutSeconds=%u",
        api->params.watch_sec + (unsigned)(random_bits() % (api->params.watch_sec + 1)));
    if (api->phase == PHASE_INITIAL)
        text_append_string(text, "&sendInitialEvents=true");
}

/* The kubeconfig as it is now, and the URL. False: the error is told. */
static bool apiserver_prepare(struct source_apiserver *api)
{
    char error[KUBECONFIG_ERROR_MAX];
    CLEANUP_FREE char *base = NULL;
    struct text url = {0};

    if ((strcmp(api->where, KUBECONFIG_IN_CLUSTER) == 0
                ? kubeconfig_in_cluster(&api->config, api->params.service_account, error)
                : kubeconfig_load(&api->config, api->where, error)) < 0) {
        http_text_clean(api->state.last_error, sizeof(api->state.last_error), error, strlen(error));
        return false;
    }
    if (api->config.insecure && !api->insecure_allowed) {
        apiserver_fail(api, "%.80s: insecure-skip-tls-verify counts only with --insecure-skip-tls-verify on",
            api->where);
        return false;
    }
    if (http_url_join(api->config.server, "/api/v1/pods", HTTPS_PORT, HTTP_PORT, &base) == 0) {
        text_append_string(&url, base);
        append_query(&url, api);
        (void)text_terminate(&url);
    }
    api->url = url.failed ? NULL : text_take(&url, NULL);
    text_deinit(&url);
    if (!api->url)
        apiserver_fail(api, "out of memory");
    return api->url;
}

static const struct http_blob *blob_or_null(const struct http_blob *blob)
{
    return blob->data ? blob : NULL;
}

static struct http_request apiserver_request(struct source_apiserver *api)
{
    static const char *const headers[] = {"Accept: application/json", NULL};
    const struct source_apiserver_params *params = &api->params;
    const struct kubeconfig *config = &api->config;
    bool is_list = api->phase == PHASE_LIST;

    return (struct http_request){
        .url = api->url,
        .headers = headers,
        .token_file = config->token_file,
        .token = config->token,
        .ca_file = config->ca_file,
        .client_cert = config->client_cert,
        .client_key = config->client_key,
        .ca_data = blob_or_null(&config->ca_data),
        .client_cert_data = blob_or_null(&config->client_cert_data),
        .client_key_data = blob_or_null(&config->client_key_data),
        .insecure = config->insecure,
        .compressed = is_list && !config->no_compression, /* no API server compresses a watch */
        .alone = true,
        .connect_timeout_ns = params->connect_timeout_ns,
        .overall_timeout_ns = is_list ? params->list_timeout_ns : 0,
        .idle_timeout_ns = is_list ? params->list_idle_ns : params->silence_ns,
        .max_bytes = is_list ? params->max_list_bytes : 0,
        .on_data = is_list ? apiserver_on_list_data : apiserver_on_watch_data,
        .on_done = on_done,
        .arg = api,
    };
}

static void on_time(void *arg, uint64_t now_ns)
{
    struct source_apiserver *api = arg;
    struct http_request request;

    api->started_ns = api->heard_ns = now_ns;
    api->events = 0;
    api->stopped_by = -1;
    api->stopped_gone = false;
    api->state.requests++;
    api->state.last_request_ns = now_ns;
    if (!apiserver_prepare(api)) {
        apiserver_clear_request(api);
        api->state.ready = true;
        apiserver_after_failure(
            api, &(struct http_result){.outcome = HTTP_BAD_CREDENTIAL}, NEXT_RETRY, now_ns);
        apiserver_schedule(api, now_ns);
        return;
    }
    request = apiserver_request(api);
    if (api->phase == PHASE_INITIAL)
        loop_timer_arm(api->loop, &api->initial, now_ns + api->params.initial_timeout_ns);
    if (http_get(api->http, &request, &api->exchange) < 0)
        on_done(api, &(struct http_result){.outcome = HTTP_REFUSED, .text = "out of memory"});
}

/* ---- the source interface ---- */

/* A watch tells by itself; but one that has been silent for long may be dead, and something is waiting.
 * Resuming it costs little and loses nothing. */
static void apiserver_ask(struct source *source)
{
    struct source_apiserver *api = apiserver_of(source);
    uint64_t now_ns = loop_now(api->loop);

    if (!api->exchange || api->phase != PHASE_WATCH || now_ns - api->heard_ns < api->params.ask_silence_ns)
        return;
    http_cancel(api->exchange);
    apiserver_clear_request(api);
    apiserver_schedule(api, now_ns);
}

static void apiserver_get_state(const struct source *source, struct source_state *ret)
{
    *ret = ((const struct source_apiserver *)source)->state;
}

static struct source *apiserver_free(struct source *source)
{
    struct source_apiserver *api = apiserver_of(source);

    if (!api)
        return NULL;
    http_cancel(api->exchange);
    apiserver_clear_request(api);
    loop_timer_disarm(api->loop, &api->timer);
    free(api->where);
    free(api->node_name);
    free(api);
    return NULL;
}

static const struct source_ops apiserver_ops = {
    .ask = apiserver_ask,
    .get_state = apiserver_get_state,
    .free = apiserver_free,
};

void source_apiserver_default_params(struct source_apiserver_params *ret)
{
    *ret = (struct source_apiserver_params){
        .min_interval_ns = NS_PER_SEC,
        .retry = {.first_ns = 250 * NS_PER_MS, .max_ns = 10 * NS_PER_SEC},
        .retry_after_max_ns = 60 * NS_PER_SEC,
        .connect_timeout_ns = 5 * NS_PER_SEC,
        .list_timeout_ns = 60 * NS_PER_SEC,
        .list_idle_ns = 15 * NS_PER_SEC,
        .max_list_bytes = UINT64_C(256) << 20,
        .initial_timeout_ns = 30 * NS_PER_SEC,
        .watch_sec = 300,
        .silence_ns = 90 * NS_PER_SEC,
        .ask_silence_ns = 20 * NS_PER_SEC,
        .service_account = SERVICE_ACCOUNT,
    };
}

int source_apiserver_new_with(struct source **ret, struct loop *loop, struct http *http,
    struct pod_table *table, const char *where, const char *node_name, bool insecure_allowed,
    const struct source_apiserver_params *params)
{
    struct source_apiserver *api = calloc(1, sizeof(*api));

    if (!api)
        return -ENOMEM;
    *api = (struct source_apiserver){
        .source = {.ops = &apiserver_ops},
        .loop = loop,
        .http = http,
        .table = table,
        .where = strdup(where),
        .node_name = strdup(node_name),
        .insecure_allowed = insecure_allowed,
        .params = *params,
        .timer = {.fn = on_time, .arg = api},
        .initial = {.fn = on_initial_late, .arg = api},
        .no_initial_events = params->no_initial_events,
        .state = {.kind = POD_SOURCE_APISERVER},
    };
    if (!api->where || !api->node_name) {
        (void)apiserver_free(&api->source);
        return -ENOMEM;
    }
    api->state.where = api->where;
    apiserver_begin_anew(api);
    apiserver_schedule(api, loop_now(loop));
    *ret = &api->source;
    return 0;
}

int source_apiserver_new(struct source **ret, struct loop *loop, struct http *http, struct pod_table *table,
    const char *kubeconfig, const char *node_name, bool insecure_allowed)
{
    struct source_apiserver_params params;

    source_apiserver_default_params(&params);
    return source_apiserver_new_with(
        ret, loop, http, table, kubeconfig, node_name, insecure_allowed, &params);
}
