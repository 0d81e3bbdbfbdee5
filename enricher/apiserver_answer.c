/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_apiserver_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "enricher/apiserver_explain.h"
#include "enricher/http_request.h"

void apiserver_fail(struct source_apiserver *api, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(api->state.last_error, sizeof(api->state.last_error), format, args);
    va_end(args);
}

/* ---- what comes in ---- */

static void apiserver_merge(struct source_apiserver *api, const struct pod *pod)
{
    int error = pod_table_merge(api->table, POD_SOURCE_APISERVER, pod, loop_now(api->loop));

    if (error < 0) {
        api->merge_error = error;
        api->relist = true; /* a watch would not tell of it again */
    }
}

static void list_begin(struct source_apiserver *api)
{
    pod_table_list_begin(api->table, POD_SOURCE_APISERVER);
    api->listing = true;
    api->relist = false;
    api->merge_error = 0;
    api->pods = 0;
}

static void list_end(struct source_apiserver *api)
{
    pod_table_list_end(api->table, POD_SOURCE_APISERVER, loop_now(api->loop));
    api->listing = false;
    api->any_version = false;
    api->state.pods_seen = api->pods;
}

static void on_pod(void *arg, const struct pod *pod)
{
    struct source_apiserver *api = arg;

    api->pods++;
    apiserver_merge(api, pod);
}

int apiserver_on_list_data(void *arg, const char *data, size_t size)
{
    struct source_apiserver *api = arg;

    if (!api->list) {
        if (pod_json_new(&api->list, on_pod, api) < 0)
            return -ENOMEM;
        list_begin(api);
    }
    return pod_json_push(api->list, data, size);
}

/* What we have is as new as the server's. */
static void apiserver_succeed(struct source_apiserver *api)
{
    api->state.ready = true;
    api->state.last_success_ns = loop_now(api->loop);
    api->state.last_error[0] = '\0';
    if (api->relist)
        apiserver_fail(api, "a Pod was not taken: %s",
            api->merge_error == -ENOSPC ? "the table of Pods is full" : strerrordesc_np(-api->merge_error));
}

static void on_error_event(struct source_apiserver *api, const struct watch_event *event)
{
    char message[112];

    http_text_clean(message, sizeof(message), event->message, strlen(event->message));
    http_hide_token(api->exchange, message);
    api->stopped_by = event->code;
    api->stopped_gone =
        event->code == 410 || strcmp(event->reason, "Expired") == 0 || strcmp(event->reason, "Gone") == 0;
    apiserver_fail(api, "the watch ended with code %d: %s", event->code, message);
}

static void on_bookmark(struct source_apiserver *api, const struct watch_event *event)
{
    if (api->phase != PHASE_INITIAL || !event->initial_end)
        return;
    list_end(api);
    api->phase = PHASE_WATCH;
    loop_timer_disarm(api->loop, &api->initial);
}

static void on_change(struct source_apiserver *api, const struct watch_event *event)
{
    apiserver_merge(api, event->pod); /* of a deleted one, too: its last container ids may be new */
    if (event->type == WATCH_DELETED)
        pod_table_remove(api->table, POD_SOURCE_APISERVER, event->pod->uid, loop_now(api->loop));
    if (api->phase == PHASE_INITIAL)
        api->pods++;
    else if (event->type == WATCH_DELETED && api->state.pods_seen)
        api->state.pods_seen--;
    else if (event->type == WATCH_ADDED)
        api->state.pods_seen++;
}

static int on_event(void *arg, const struct watch_event *event)
{
    struct source_apiserver *api = arg;

    api->events++;
    switch (event->type) {
    case WATCH_ERROR:
        on_error_event(api, event);
        return -ECANCELED;
    case WATCH_ADDED:
    case WATCH_MODIFIED:
    case WATCH_DELETED:
        on_change(api, event);
        break;
    case WATCH_BOOKMARK:
        on_bookmark(api, event);
        break;
    case WATCH_UNREADABLE:
        api->state.ignored++;
        break;
    }
    /* Initial events carry each Pod's own version: the one to go on from is the bookmark's at their end. */
    if (api->phase != PHASE_WATCH)
        return 0;
    if (event->version && *event->version && strlen(event->version) < sizeof(api->version))
        (void)snprintf(api->version, sizeof(api->version), "%s", event->version);
    api->failed_in_a_row = 0;
    apiserver_succeed(api);
    return 0;
}

int apiserver_on_watch_data(void *arg, const char *data, size_t size)
{
    struct source_apiserver *api = arg;

    api->heard_ns = loop_now(api->loop);
    if (!api->watch) {
        if (watch_json_new(&api->watch, on_event, api) < 0)
            return -ENOMEM;
        if (api->phase == PHASE_INITIAL)
            list_begin(api);
    }
    return watch_json_push(api->watch, data, size);
}

/* ---- how a request ended ---- */

static bool is_whole(const struct http_result *result)
{
    return result->outcome == HTTP_ANSWERED && result->status == 200;
}

/* 410: too late to resume. 504, as an answer to a version that the server never had: A3. */
static enum apiserver_next judge_code(struct source_apiserver *api, unsigned code)
{
    if (code == 504 || (code == 410 && api->phase != PHASE_WATCH))
        api->any_version = true;
    return code == 504 || code == 410 ? NEXT_LIST : NEXT_RETRY;
}

static enum apiserver_next end_list(struct source_apiserver *api, const struct http_result *result)
{
    if (!is_whole(result) && !(result->outcome == HTTP_ABORTED && api->list)) {
        apiserver_explain(api->state.last_error, sizeof(api->state.last_error), result, &api->config);
        return result->outcome == HTTP_ANSWERED ? judge_code(api, result->status) : NEXT_RETRY;
    }
    if (!api->list)
        apiserver_fail(api, "the answer is empty, expected a PodList");
    else if (result->outcome == HTTP_ABORTED || pod_json_finish(api->list) < 0)
        apiserver_fail(api, "not a PodList: %s", pod_json_error(api->list));
    else if (pod_json_is_partial(api->list) || !*pod_json_version(api->list))
        apiserver_fail(api, "the list is only a part, or has no resourceVersion");
    else {
        (void)snprintf(api->version, sizeof(api->version), "%s", pod_json_version(api->list));
        api->state.ignored += pod_json_skipped(api->list);
        list_end(api);
        api->phase = PHASE_WATCH;
        apiserver_succeed(api);
        return NEXT_GO_ON;
    }
    return NEXT_RETRY;
}

static enum apiserver_next end_watch(struct source_apiserver *api, const struct http_result *result)
{
    if (api->stopped_by >= 0)
        return judge_code(api, api->stopped_gone ? 410 : (unsigned)api->stopped_by);
    if (result->outcome == HTTP_ABORTED && api->watch) {
        apiserver_fail(api, "not a watch of Pods: %s", watch_json_error(api->watch));
        return NEXT_RETRY;
    }
    if (!is_whole(result)) {
        apiserver_explain(api->state.last_error, sizeof(api->state.last_error), result, &api->config);
        if (result->outcome == HTTP_TIMED_OUT && api->events == 0 && result->status)
            return NEXT_LIST; /* a version of the future looks like this */
        return result->outcome == HTTP_ANSWERED ? judge_code(api, result->status) : NEXT_RETRY;
    }
    if (api->phase == PHASE_INITIAL || (api->watch && !watch_json_is_between(api->watch))) {
        apiserver_fail(api, "the watch ended too early");
        return NEXT_RETRY;
    }
    return NEXT_GO_ON;
}

enum apiserver_next apiserver_judge(struct source_apiserver *api, const struct http_result *result)
{
    enum apiserver_next next = api->phase == PHASE_LIST ? end_list(api, result) : end_watch(api, result);

    http_hide_token(api->exchange, api->state.last_error); /* A5: a parser quotes what it was given */
    return next;
}
