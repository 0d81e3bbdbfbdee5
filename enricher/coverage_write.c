/* SPDX-License-Identifier: Apache-2.0 */
/* What `podkin coverage` shows: one JSON object; every event that was emitted is in it once. Keys: docs/events.md. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/record_check.h"
#include "common/text.h"
#include "enricher/enricher.h"

/* Beyond this, Pods are in the sum of their namespace only. */
#define ANSWER_BYTES_MAX (3 << 20)

/* A row to be: a container that is there, or what is left of Pods and namespaces. Strings are borrowed, "" where not known. */
struct item {
    const char *namespace_, *uid, *pod, *container, *source;
    const struct container *of; /* NULL: of what has gone */
    const struct coverage_tally *tally;
};

struct items {
    struct item *list;
    size_t count, capacity;
    bool failed;
};

static const char *or_empty(const char *string)
{
    return string ? string : "";
}

static void add_item(struct items *items, const struct item *item)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? items->capacity * 2 : 256;
        struct item *grown = reallocarray(items->list, capacity, sizeof(*grown));

        if (!grown) {
            items->failed = true;
            return;
        }
        items->list = grown;
        items->capacity = capacity;
    }
    items->list[items->count++] = *item;
}

static void sum_item(struct coverage_tally *sum, const struct item *item)
{
    if (item->of)
        coverage_add_container(sum, item->of);
    else
        coverage_add(sum, item->tally);
}

static bool is_empty(const struct container *container)
{
    for (size_t type = 0; type < COVERAGE_TYPES; type++) {
        if (container->at_once[type])
            return false;
    }
    return !container->tally;
}

static void on_container(void *arg, struct container *container)
{
    struct items *items = arg;
    const struct pod *pod = container->pod;
    const char *id = container->identity.container_id;
    const struct pod_container *status = pod && id[0] ? pod_find_container(pod, id) : NULL;

    if (container->state == CONTAINER_HOST || is_empty(container))
        return;
    add_item(items, &(struct item){.namespace_ = pod ? or_empty(pod->namespace_) : "",
                        .uid = pod ? pod->uid : container->identity.pod_uid,
                        .pod = pod ? or_empty(pod->name) : "",
                        .container = status ? or_empty(status->name) : "",
                        .source = pod ? pod_source_name(pod->best_source) : "",
                        .of = container});
}

static void gather(struct items *items, struct pipeline *pipeline)
{
    const struct coverage_book *book = &pipeline->coverage;

    container_table_for_each(&pipeline->containers, on_container, items);
    for (const struct coverage_pod *pod = book->pods; pod; pod = pod->next)
        add_item(items, &(struct item){.namespace_ = or_empty(pod->namespace_),
                            .uid = pod->uid,
                            .pod = or_empty(pod->name),
                            .container = "",
                            .source = "",
                            .tally = &pod->tally});
    for (const struct coverage_namespace *row = book->namespaces; row; row = row->next)
        add_item(items, &(struct item){.namespace_ = or_empty(row->name),
                            .uid = "",
                            .pod = "",
                            .container = "",
                            .source = "",
                            .tally = &row->tally});
    if (coverage_events(&book->rest) > 0)
        add_item(items,
            &(struct item){
                .namespace_ = "", .uid = "", .pod = "", .container = "", .source = "", .tally = &book->rest});
}

/* By namespace, Pod, container; what is there before what has gone, so that names come first. */
static int compare(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int r = strcmp(x->namespace_, y->namespace_);

    if (r == 0)
        r = strcmp(x->uid, y->uid);
    if (r == 0)
        r = (y->of != NULL) - (x->of != NULL);
    if (r == 0)
        r = strcmp(x->container, y->container);
    if (r == 0 && x->of && y->of)
        r = strcmp(x->of->identity.container_id, y->of->identity.container_id);
    if (r == 0 && x->of && y->of)
        r = (int)x->of->identity.role - (int)y->of->identity.role;
    return r;
}

/* What several lanes know of one container; each has a row of its own for it. */
static bool is_same_container(const struct item *a, const struct item *b)
{
    const struct cgroup_identity *x = &a->of->identity, *y = &b->of->identity;

    return (x->pod_uid[0] || x->container_id[0]) && x->role == y->role && !strcmp(x->pod_uid, y->pod_uid) &&
           !strcmp(x->container_id, y->container_id);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void comma(struct text *out)
{
    char last = out->size ? out->data[out->size - 1] : '{';

    if (last != '{' && last != '[')
        text_append_char(out, ',');
}

static void put_number(struct text *out, const char *key, uint64_t value)
{
    comma(out);
    text_append_format(out, "\"%s\":%" PRIu64, key, value);
}

static void put_name(struct text *out, const char *key, const char *value)
{
    if (!*value)
        return;
    comma(out);
    text_append_format(out, "\"%s\":", key);
    text_append_json_string(out, value);
}

static void put_counts(struct text *out, const uint64_t counts[COVERAGE_OUTCOMES], uint64_t corrected)
{
    uint64_t incomplete = 0;

    for (int outcome = COVERAGE_NOT_KNOWN; outcome < COVERAGE_OUTCOMES; outcome++)
        incomplete += counts[outcome];
    put_number(out, "events", counts[COVERAGE_AT_ONCE] + counts[COVERAGE_WAITED] + incomplete);
    put_number(out, "at_once", counts[COVERAGE_AT_ONCE]);
    put_number(out, "waited", counts[COVERAGE_WAITED]);
    put_number(out, "incomplete", incomplete);
    put_number(out, "corrected", corrected);
    if (!incomplete)
        return;
    comma(out);
    text_append_string(out, "\"why\":{");
    for (int outcome = COVERAGE_NOT_KNOWN; outcome < COVERAGE_OUTCOMES; outcome++) {
        if (counts[outcome])
            put_number(out, coverage_outcome_name((enum coverage_outcome)outcome), counts[outcome]);
    }
    text_append_char(out, '}');
}

/* The members of one row: all events, the waits, and each type. */
static void put_tally(struct text *out, const struct coverage_tally *tally)
{
    uint64_t counts[COVERAGE_OUTCOMES], corrected = 0;

    for (int outcome = 0; outcome < COVERAGE_OUTCOMES; outcome++)
        counts[outcome] = coverage_outcome_sum(tally, (enum coverage_outcome)outcome);
    for (size_t type = 0; type < COVERAGE_TYPES; type++)
        corrected += tally->corrected[type];
    put_counts(out, counts, corrected);
    if (counts[COVERAGE_WAITED]) {
        text_append_string(out, ",\"wait_ms\":{");
        put_number(out, "p50", coverage_wait_ms(tally, 50));
        put_number(out, "p99", coverage_wait_ms(tally, 99));
        put_number(out, "max", tally->wait_max_ms);
        text_append_char(out, '}');
    }
    text_append_string(out, ",\"by_type\":{");
    for (unsigned type = RECORD_FORK; type <= RECORD_HOOK; type++) {
        const uint64_t *of_type = tally->count[type - RECORD_FORK];
        uint64_t events = 0;

        for (int outcome = 0; outcome < COVERAGE_OUTCOMES; outcome++)
            events += of_type[outcome];
        if (!events)
            continue;
        comma(out);
        text_append_format(out, "\"%s\":{", record_type_name(type));
        put_counts(out, of_type, tally->corrected[type - RECORD_FORK]);
        text_append_char(out, '}');
    }
    text_append_char(out, '}');
}

/* From `count` rows of the same container. */
static void put_container(struct text *out, const struct item *item, size_t count)
{
    struct coverage_tally tally = {0};

    for (size_t i = 0; i < count; i++)
        sum_item(&tally, &item[i]);
    comma(out);
    text_append_char(out, '{');
    put_name(out, "container", item->container);
    put_name(out, "id", item->of->identity.container_id);
    put_name(out, "role", cgroup_role_name(item->of->identity.role));
    put_name(out, "state", container_state_name(item->of));
    put_tally(out, &tally);
    text_append_char(out, '}');
}

/* The rows of one Pod, `count` of them. */
static void put_pod(struct text *out, const struct item *items, size_t count)
{
    struct coverage_tally tally = {0};
    bool gone = !items[0].of;

    comma(out);
    text_append_char(out, '{');
    put_name(out, "pod", items[0].pod);
    put_name(out, "uid", items[0].uid);
    put_name(out, "source", items[0].source);
    comma(out);
    text_append_format(out, "\"gone\":%s,\"containers\":[", gone ? "true" : "false");
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1;
             next < count && items[i].of && items[next].of && is_same_container(&items[i], &items[next]);)
            next++;
        if (items[i].of)
            put_container(out, &items[i], next - i);
    }
    for (size_t i = 0; i < count; i++)
        sum_item(&tally, &items[i]);
    text_append_char(out, ']');
    put_tally(out, &tally);
    text_append_char(out, '}');
}

/* The rows of one namespace. Returns how many Pods did not fit. */
static size_t put_namespace(struct text *out, const struct item *items, size_t count)
{
    struct coverage_tally tally = {0};
    size_t left_out = 0, next;

    comma(out);
    text_append_char(out, '{');
    put_name(out, "namespace", items[0].namespace_);
    comma(out);
    text_append_string(out, "\"pods\":[");
    for (size_t i = 0; i < count; i = next) {
        for (next = i; next < count && !strcmp(items[next].uid, items[i].uid); next++)
            sum_item(&tally, &items[next]);
        if (out->size < ANSWER_BYTES_MAX)
            put_pod(out, &items[i], next - i);
        else
            left_out++;
    }
    text_append_char(out, ']');
    put_tally(out, &tally);
    text_append_char(out, '}');
    return left_out;
}

static void put_sums(struct text *out, const struct items *items, struct enricher *e)
{
    struct coverage_tally total = {0}, host = {0};

    for (size_t i = 0; i < items->count; i++)
        sum_item(&total, &items->list[i]);
    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        const struct pipeline *pipeline = &enricher_lane(e, i)->pipeline;

        coverage_add(&host, &pipeline->coverage.host);
        coverage_add_container(&host, pipeline->containers.host);
    }
    text_append_string(out, ",\"pods\":{");
    put_tally(out, &total);
    text_append_string(out, "},\"host\":{");
    put_tally(out, &host);
    text_append_char(out, '}');
}

void coverage_write(struct enricher *e, struct text *reply)
{
    struct items items = {0};
    size_t left_out = 0, next;

    for (size_t i = 0; i < enricher_lane_count(e); i++)
        gather(&items, &enricher_lane(e, i)->pipeline);
    if (items.count)
        qsort(items.list, items.count, sizeof(*items.list), compare);
    text_append_string(reply, "{\"node_name\":");
    text_append_json_string(reply, e->conf->node_name);
    text_append_string(reply, ",\"since\":\"");
    text_append_time(reply, (e->started_ns + (uint64_t)clock_wall_offset_ns()) / NS_PER_SEC * NS_PER_SEC);
    text_append_format(reply, "\",\"since_s\":%" PRIu64, (clock_boot_ns() - e->started_ns) / NS_PER_SEC);
    put_sums(reply, &items, e);
    text_append_string(reply, ",\"namespaces\":[");
    for (size_t i = 0; i < items.count; i = next) {
        for (next = i; next < items.count && !strcmp(items.list[next].namespace_, items.list[i].namespace_);)
            next++;
        left_out += put_namespace(reply, &items.list[i], next - i);
    }
    text_append_format(reply, "],\"pods_left_out\":%zu}", left_out);
    reply->failed |= items.failed;
    free(items.list);
}
