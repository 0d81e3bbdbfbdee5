/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/apiserver_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/clock.h"
#include "common/text.h"

#define FIRST_VERSION UINT64_C(1000)
#define BOOKMARK_NS   (60 * NS_PER_SEC)
#define TURN_MS       5

static uint64_t version_now(const struct apiserver_model *model)
{
    return FIRST_VERSION + (clock_boot_ns() - model->started_ns) / NS_PER_MS * model->changes_per_sec / 1000;
}

/* The change that made version v is of Pod v % pods; its latest at `version`, or none yet. */
static uint64_t last_change(const struct apiserver_model *model, unsigned pod, uint64_t version)
{
    uint64_t back = (version % model->pods + model->pods - pod) % model->pods;

    return version - back > FIRST_VERSION ? version - back : FIRST_VERSION;
}

/* ---- a Pod ---- */

static void append_managed_fields(struct text *text, size_t until)
{
    text_append_string(
        text, ",\"managedFields\":[{\"manager\":\"kubelet\",\"operation\":\"Update\",\"fieldsV1\":{");
    for (unsigned i = 0; text->size < until || i == 0; i++)
        text_append_format(text,
            "%s\"k:{\\\"name\\\":\\\"f%u\\\"}\":{\".\":{},\"f:image\":{},\"f:imagePullPolicy\":{},\"f:name\":"
            "{},"
            "\"f:resources\":{},\"f:terminationMessagePath\":{}}",
            i ? "," : "", i);
    text_append_string(text, "}}]");
}

static void append_spec(struct text *text, const struct apiserver_model *model)
{
    text_append_string(text, ",\"spec\":{\"nodeName\":\"node1\",\"containers\":[");
    for (unsigned i = 0; i < model->containers; i++)
        text_append_format(text,
            "%s{\"name\":\"c%u\",\"image\":\"registry.local/team/app-%u:1.%u\",\"resources\":{\"limits\":{"
            "\"cpu\":\"500m\",\"memory\":\"256Mi\"}},\"volumeMounts\":[{\"name\":\"kube-api-access\","
            "\"readOnly\":true,\"mountPath\":\"/var/run/secrets/kubernetes.io/serviceaccount\"}],"
            "\"terminationMessagePath\":\"/dev/termination-log\",\"imagePullPolicy\":\"IfNotPresent\"}",
            i ? "," : "", i, i, i);
    text_append_string(text,
        "],\"restartPolicy\":\"Always\",\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":"
        "\"default\",\"schedulerName\":\"default-scheduler\"}");
}

/* A container has another id after every fifth change. */
static void append_status(
    struct text *text, const struct apiserver_model *model, unsigned pod, uint64_t change)
{
    uint64_t life = change / (model->pods ? model->pods : 1) / 5;

    text_append_string(
        text, ",\"status\":{\"phase\":\"Running\",\"podIP\":\"10.244.0.12\",\"containerStatuses\":[");
    for (unsigned i = 0; i < model->containers; i++)
        text_append_format(text,
            "%s{\"name\":\"c%u\",\"state\":{\"running\":{\"startedAt\":\"2026-11-23T19:13:11Z\"}},\"ready\":"
            "true,"
            "\"restartCount\":%" PRIu64 ",\"image\":\"registry.local/team/app-%u:1.%u\",\"imageID\":"
            "\"registry.local/team/app-%u@sha256:%064u\",\"containerID\":\"containerd://%016" PRIx64
            "%016x%016x%016x\",\"started\":true}",
            i ? "," : "", i, life, i, i, i, i, i ? 0 : life, i, pod, 0x5eedU);
    text_append_string(text, "]}}");
}

static void append_pod(struct text *text, const struct apiserver_model *model, unsigned pod, uint64_t change)
{
    size_t begin = text->size;
    size_t rest = 1000 + (size_t)model->containers * 800; /* spec and status, about */

    text_append_format(text,
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"app-%u-7c59747c75-abcde\","
        "\"generateName\":"
        "\"app-%u-7c59747c75-\",\"namespace\":\"team-%u\",\"uid\":\"5eed0000-0000-4000-8000-%012u\","
        "\"resourceVersion\":"
        "\"%" PRIu64
        "\",\"labels\":{\"app\":\"app-%u\",\"pod-template-hash\":\"7c59747c75\",\"change\":\"%" PRIu64
        "\"},\"ownerReferences\":[{\"apiVersion\":\"apps/"
        "v1\",\"kind\":\"ReplicaSet\",\"name\":\"app-%u-7c59747c75\","
        "\"uid\":\"0000\",\"controller\":true}]",
        pod, pod, pod % 7, pod, change, pod, change, pod);
    append_managed_fields(text, begin + (model->pod_bytes > rest ? model->pod_bytes - rest : 0));
    text_append_string(text, "}");
    append_spec(text, model);
    append_status(text, model, pod, change);
}

/* ---- answers ---- */

static bool write_chunk(
    struct apiserver_model *model, struct http_server_connection *connection, const struct text *text)
{
    char head[32];

    model->bytes += text->size;
    (void)snprintf(head, sizeof(head), "%zx\r\n", text->size);
    return http_server_say(connection, head) && http_server_write(connection, text->data, text->size) &&
           http_server_say(connection, "\r\n");
}

static bool write_event(struct apiserver_model *model, struct http_server_connection *connection,
    struct text *text, const char *type, unsigned pod, uint64_t change)
{
    text_clear(text);
    text_append_format(text, "{\"type\":\"%s\",\"object\":", type);
    append_pod(text, model, pod, change);
    text_append_string(text, "}\n");
    return write_chunk(model, connection, text);
}

static bool write_bookmark(struct apiserver_model *model, struct http_server_connection *connection,
    struct text *text, uint64_t version, bool initial_end)
{
    text_clear(text);
    text_append_format(text,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{"
        "\"resourceVersion\":"
        "\"%" PRIu64 "\"%s}}}\n",
        version, initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    return write_chunk(model, connection, text);
}

static uint64_t parameter(const char *head, const char *name, uint64_t otherwise)
{
    const char *at = strstr(head, name);

    return at && at < strstr(head, "\r\n") ? strtoull(at + strlen(name), NULL, 10) : otherwise;
}

static bool write_changes(struct apiserver_model *model, struct http_server_connection *connection,
    struct text *text, uint64_t version, uint64_t until_ns)
{
    uint64_t bookmark_ns = clock_boot_ns() + BOOKMARK_NS, now_ns;
    unsigned pods = model->pods ? model->pods : 1;
    bool good = true;

    while (good && (now_ns = clock_boot_ns()) < until_ns) {
        for (uint64_t target = version_now(model); good && version < target; model->changes++) {
            version++;
            good = write_event(model, connection, text, "MODIFIED", (unsigned)(version % pods), version);
        }
        if (good && now_ns >= bookmark_ns) {
            good = write_bookmark(model, connection, text, version, false);
            bookmark_ns = now_ns + BOOKMARK_NS;
        }
        good = good && http_server_sleep_ms(connection, TURN_MS);
    }
    return good && http_server_say(connection, "0\r\n\r\n");
}

static bool serve_watch(struct apiserver_model *model, struct http_server_connection *connection,
    const char *head, struct text *text)
{
    uint64_t until_ns = clock_boot_ns() + parameter(head, "&timeoutSeconds=", 1800) * NS_PER_SEC;
    uint64_t now_version = version_now(model);
    bool good = http_server_say(connection,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");

    model->watches++;
    if (!strstr(head, "&sendInitialEvents=true"))
        return good && write_changes(model, connection, text,
                           parameter(head, "&resourceVersion=", now_version), until_ns);
    for (unsigned i = 0; good && i < model->pods; i++)
        good = write_event(model, connection, text, "ADDED", i, last_change(model, i, now_version));
    good = good && write_bookmark(model, connection, text, now_version, true);
    model->initial_ends += good;
    return good && write_changes(model, connection, text, now_version, until_ns);
}

static bool serve_list(
    struct apiserver_model *model, struct http_server_connection *connection, struct text *text)
{
    uint64_t version = version_now(model);
    bool good;

    model->lists++;
    text_append_format(text,
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"%" PRIu64
        "\"},\"items\":[",
        version);
    good = http_server_say(connection,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; good && i < model->pods; i++) {
        append_pod(text, model, i, last_change(model, i, version));
        text_append_string(text, i + 1 < model->pods ? "," : "");
        good = write_chunk(model, connection, text);
        text_clear(text);
    }
    text_append_string(text, "]}\n");
    return good && write_chunk(model, connection, text) && http_server_say(connection, "0\r\n\r\n");
}

static bool is_allowed(const struct apiserver_model *model, const char *head)
{
    char bearer[512];

    (void)snprintf(bearer, sizeof(bearer), "\r\nAuthorization: Bearer %s\r\n", model->token);
    return !model->token || strstr(head, bearer);
}

bool apiserver_model_serve(void *arg, struct http_server_connection *connection, const char *head)
{
    struct apiserver_model *model = arg;
    struct text text = {0};
    bool keep;

    if (!is_allowed(model, head)) {
        model->refused++;
        return http_server_answer(connection, "401 Unauthorized", "", "Unauthorized", 12);
    }
    if (strncmp(head, "GET /api/v1/pods?", 17) != 0)
        return http_server_answer(connection, "404 Not Found", "", "", 0);
    keep = parameter(head, "&watch=", 0) ? serve_watch(model, connection, head, &text)
                                         : serve_list(model, connection, &text);
    text_deinit(&text);
    return keep;
}
