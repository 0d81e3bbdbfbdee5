/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/apiserver_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"

#define TURN_MS      10
#define BOOKMARK_NS  (60 * NS_PER_SEC)
#define STALL_MAX_NS (120 * NS_PER_SEC)

static const char answer_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/* ---- what goes wrong ---- */

static enum standin_fault_kind in_force(const struct apiserver_watch *watch)
{
    return standin_faults_in_force(&watch->faults, clock_boot_ns() - watch->started_ns);
}

static enum standin_fault_kind of_request(struct apiserver_watch *watch, unsigned *ret_status)
{
    enum standin_fault_kind fault;

    (void)pthread_mutex_lock(&watch->mutex);
    fault = standin_faults_of_request(&watch->faults, clock_boot_ns() - watch->started_ns, ret_status);
    (void)pthread_mutex_unlock(&watch->mutex);
    return fault;
}

static bool cut(struct http_server_connection *connection)
{
    http_server_reset(connection);
    return false;
}

static bool stall(struct http_server_connection *connection)
{
    uint64_t until_ns = clock_boot_ns() + STALL_MAX_NS;

    while (clock_boot_ns() < until_ns && http_server_sleep_ms(connection, TURN_MS))
        ;
    return cut(connection);
}

static bool answer_status(struct http_server_connection *connection, unsigned status)
{
    char line[32];

    (void)snprintf(line, sizeof(line), "%u Injected", status);
    return http_server_answer(connection, line, status == 429 ? "Retry-After: 1\r\n" : "", "", 0);
}

/* ---- answers ---- */

static bool write_chunk(struct http_server_connection *connection, const struct text *text)
{
    char head[32];

    if (text->size == 0)
        return true;
    (void)snprintf(head, sizeof(head), "%zx\r\n", text->size);
    return !text->failed && http_server_say(connection, head) &&
           http_server_write(connection, text->data, text->size) && http_server_say(connection, "\r\n");
}

static void append_event(void *arg, enum standin_change change, uint64_t version, const char *pod)
{
    static const char *const names[] = {
        [STANDIN_ADDED] = "ADDED", [STANDIN_MODIFIED] = "MODIFIED", [STANDIN_DELETED] = "DELETED"};

    (void)version;
    text_append_format(arg, "{\"type\":\"%s\",\"object\":", names[change]);
    text_append_string(arg, pod);
    text_append_string(arg, "}\n");
}

static void append_item(void *arg, enum standin_change change, uint64_t version, const char *pod)
{
    struct text *text = arg;

    (void)change;
    (void)version;
    if (text->size && text->data[text->size - 1] != '[')
        text_append_char(text, ',');
    text_append_string(text, pod);
}

static void append_bookmark(struct text *text, uint64_t version, bool initial_end)
{
    text_append_format(text,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{"
        "\"resourceVersion\":\"%" PRIu64 "\"%s}}}\n",
        version, initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
}

static void append_expired(struct text *text)
{
    text_append_string(text,
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
        "\"reason\":\"Expired\",\"message\":\"too old resource version\",\"code\":410}}\n");
}

/* What came after *version, which moves on. False: it is not kept any more, which stands in `text` then. */
static bool append_changes(struct apiserver_watch *watch, struct text *text, uint64_t *version)
{
    uint64_t reached;
    int r;

    (void)pthread_mutex_lock(&watch->mutex);
    reached = standin_changes_look(watch->changes);
    r = standin_changes_read(watch->changes, *version, append_event, text);
    (void)pthread_mutex_unlock(&watch->mutex);
    if (r < 0)
        append_expired(text);
    *version = reached;
    return r == 0;
}

static bool write_changes(struct apiserver_watch *watch, struct http_server_connection *connection,
    struct text *text, uint64_t version, uint64_t until_ns)
{
    uint64_t bookmark_ns = clock_boot_ns() + BOOKMARK_NS, now_ns;
    bool good = true, fresh = true;

    while (good && fresh && (now_ns = clock_boot_ns()) < until_ns) {
        enum standin_fault_kind fault = in_force(watch);

        if (fault == STANDIN_FAULT_OUTAGE)
            return cut(connection);
        if (fault == STANDIN_FAULT_NONE) {
            fresh = append_changes(watch, text, &version);
            if (now_ns >= bookmark_ns) {
                append_bookmark(text, version, false);
                bookmark_ns = now_ns + BOOKMARK_NS;
            }
            good = write_chunk(connection, text);
            text_clear(text);
        }
        good = good && http_server_sleep_ms(connection, TURN_MS);
    }
    return good && http_server_say(connection, "0\r\n\r\n");
}

static uint64_t parameter(const char *head, const char *name, uint64_t otherwise)
{
    const char *at = strstr(head, name);

    return at && at < strstr(head, "\r\n") ? strtoull(at + strlen(name), NULL, 10) : otherwise;
}

static uint64_t append_all(struct apiserver_watch *watch, struct text *text, standin_change_fn *append)
{
    uint64_t version;

    (void)pthread_mutex_lock(&watch->mutex);
    version = standin_changes_look(watch->changes);
    standin_changes_list(watch->changes, append, text);
    (void)pthread_mutex_unlock(&watch->mutex);
    return version;
}

static bool serve_watch(struct apiserver_watch *watch, struct http_server_connection *connection,
    const char *head, struct text *text)
{
    uint64_t until_ns = clock_boot_ns() + parameter(head, "&timeoutSeconds=", 1800) * NS_PER_SEC;
    uint64_t version = parameter(head, "&resourceVersion=", 0);

    bool initial = strstr(head, "&sendInitialEvents=true") != NULL;

    if (version == 0 || initial) { /* from what there is */
        version = append_all(watch, text, append_event);
        if (initial)
            append_bookmark(text, version, true);
    }
    return http_server_say(connection, answer_head) &&
           write_changes(watch, connection, text, version, until_ns);
}

static bool serve_list(
    struct apiserver_watch *watch, struct http_server_connection *connection, struct text *text)
{
    struct text items = {0};
    uint64_t version = append_all(watch, &items, append_item);
    bool good;

    text_append_format(text,
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"%" PRIu64
        "\"},\"items\":[",
        version);
    text_append(text, items.data, items.size);
    text_append_string(text, "]}\n");
    text->failed |= items.failed;
    text_deinit(&items);
    good = http_server_say(connection, answer_head) && write_chunk(connection, text);
    return good && http_server_say(connection, "0\r\n\r\n");
}

static bool is_allowed(const struct apiserver_watch *watch, const char *head)
{
    char bearer[512];

    (void)snprintf(bearer, sizeof(bearer), "\r\nAuthorization: Bearer %s\r\n", watch->token);
    return !watch->token || strstr(head, bearer);
}

bool apiserver_watch_serve(void *arg, struct http_server_connection *connection, const char *head)
{
    struct apiserver_watch *watch = arg;
    struct text text = {0};
    unsigned status = 0;
    bool keep;

    if (!is_allowed(watch, head))
        return http_server_answer(connection, "401 Unauthorized", "", "Unauthorized", 12);
    if (strncmp(head, "GET /api/v1/pods?", 17) != 0)
        return http_server_answer(connection, "404 Not Found", "", "", 0);
    switch (of_request(watch, &status)) {
    case STANDIN_FAULT_OUTAGE:
        return cut(connection);
    case STANDIN_FAULT_STALL:
        return stall(connection);
    case STANDIN_FAULT_STATUS:
        return answer_status(connection, status);
    case STANDIN_FAULT_NONE:
        break;
    }
    keep = parameter(head, "&watch=", 0) ? serve_watch(watch, connection, head, &text)
                                         : serve_list(watch, connection, &text);
    text_deinit(&text);
    return keep;
}
