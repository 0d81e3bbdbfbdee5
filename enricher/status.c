/* SPDX-License-Identifier: Apache-2.0 */
/* What `podkin status` shows: one JSON object, read at any moment; the books balance in it. Keys: docs/events.md. */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/queue.h"
#include "common/record.h"
#include "common/record_check.h"
#include "common/text.h"
#include "enricher/enricher.h"
#include "enricher/lane_sum.h"
#include "enricher/loop.h"
#include "enricher/output.h"

static void put_u64(struct text *out, const char *key, uint64_t value)
{
    if (out->size && out->data[out->size - 1] != '{')
        text_append_char(out, ',');
    text_append_format(out, "\"%s\":%" PRIu64, key, value);
}

static void put_string(struct text *out, const char *key, const char *value)
{
    if (out->size && out->data[out->size - 1] != '{')
        text_append_char(out, ',');
    text_append_format(out, "\"%s\":", key);
    text_append_json_string(out, value);
}

static void put_bool(struct text *out, const char *key, bool value)
{
    if (out->size && out->data[out->size - 1] != '{')
        text_append_char(out, ',');
    text_append_format(out, "\"%s\":%s", key, value ? "true" : "false");
}

static void open_object(struct text *out, const char *key)
{
    if (out->size && out->data[out->size - 1] != '{' && out->data[out->size - 1] != '[')
        text_append_char(out, ',');
    if (key)
        text_append_format(out, "\"%s\":{", key);
    else
        text_append_char(out, '{');
}

static void put_by_type(struct text *out, const char *key, const uint64_t *counts)
{
    uint64_t other = 0; /* types that this version does not know */

    open_object(out, key);
    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++) {
        if (!record_fixed_bytes(type))
            other += counts[type];
        else if (counts[type])
            put_u64(out, record_type_name(type), counts[type]);
    }
    if (other)
        put_u64(out, "other", other);
    text_append_char(out, '}');
}

static void put_collector(struct text *out, const struct enricher *e, const struct lane_sum *sum)
{
    struct queue_books books;

    open_object(out, "collector");
    put_bool(out, "attached", e->attached_ns != 0);
    put_string(out, "socket", e->conf->socket);
    put_u64(out, "attach_count", e->attach_count);
    if (e->attached_ns) {
        put_string(out, "hook_kind", e->attachment.message.hook_kind);
        put_string(out, "cgroup_hierarchy", e->attachment.message.cgroup_hierarchy);
        put_u64(out, "consumers_so_far", e->attachment.message.attach_count);
        queue_consumer_load_books(e->lane.queue, &books);
        put_u64(out, "made", books.made);
        put_by_type(out, "published", books.published);
        put_by_type(out, "refused_by_ring", books.refused_ring);
        put_by_type(out, "refused_by_queue", books.refused_queue);
    } else {
        put_string(out, "last_error", e->attach_error);
    }
    text_append_char(out, '}');
    open_object(out, "queue");
    put_u64(out, "backlog_bytes", e->lane.queue ? queue_consumer_backlog_bytes(e->lane.queue) : 0);
    put_u64(out, "records_read", sum->records_read);
    put_bool(out, "broken", sum->broken);
    text_append_char(out, '}');
}

/* The numbers of each CPU, since the collector's start: used = received + told_lost + open + unexplained. */
static void put_sequence(struct text *out, const struct enricher *e)
{
    struct ledger_totals totals;

    ledger_sum(&e->ledger, &totals);
    open_object(out, "sequence");
    put_bool(out, "whole", e->ledger.whole);
    put_u64(out, "cpus", totals.cpus);
    put_u64(out, "used", totals.used);
    put_u64(out, "received", totals.received);
    put_u64(out, "told_lost", totals.told_lost);
    put_u64(out, "open", totals.open);
    put_u64(out, "unexplained", totals.unexplained);
    put_u64(out, "unexplained_before", totals.unexplained_before);
    put_u64(out, "explained_late", totals.explained_late);
    put_u64(out, "untold", totals.untold);
    put_u64(out, "out_of_order", totals.late);
    put_u64(out, "read_again", totals.reread);
    put_u64(out, "duplicate", totals.duplicate);
    open_object(out, "unexplained_by_cpu");
    for (uint32_t cpu = 0; cpu < e->ledger.row_count; cpu++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%u", cpu);
        if (ledger_unexplained(&e->ledger, cpu))
            put_u64(out, key, ledger_unexplained(&e->ledger, cpu));
    }
    text_append_string(out, "}}");
}

static void put_drop_reasons(struct text *out, const struct counters *c, uint64_t dropped)
{
    uint64_t named = c->exits_duplicate + c->hooks_not_selected + c->dropped_no_memory;

    open_object(out, "dropped_by_reason");
    put_u64(out, "exits_duplicate", c->exits_duplicate);
    put_u64(out, "hooks_not_selected", c->hooks_not_selected);
    put_u64(out, "dropped_no_memory", c->dropped_no_memory);
    text_append_char(out, '}');
    put_bool(out, "reasons_balanced", named == dropped);
}

/* received = emitted + held + dropped, for the types that become lines. */
static void put_balance(struct text *out, const struct lane_sum *sum)
{
    put_u64(out, "received", lane_sum_received(&sum->counters));
    put_u64(out, "emitted", lane_sum_emitted(&sum->counters));
    put_u64(out, "held", sum->held);
    put_u64(out, "dropped", lane_sum_dropped(&sum->counters));
    put_bool(out, "balanced", sum->unbalanced == 0);
}

static void put_books(struct text *out, const struct lane_sum *sum)
{
    const struct counters *c = &sum->counters;

    open_object(out, "books");
    put_balance(out, sum);
    put_by_type(out, "received_by_type", c->received);
    put_by_type(out, "emitted_by_type", c->emitted);
    put_by_type(out, "dropped_by_type", c->dropped);
    put_drop_reasons(out, c, lane_sum_dropped(c));
    text_append_char(out, '}');
    open_object(out, "counters");
#define X(name, unit, help) put_u64(out, #name, c->name);
    ENRICHER_COUNTERS(X)
#undef X
    text_append_char(out, '}');
}

/* "KEY":{"count":…,"p50_us":…}: of a histogram of nanoseconds. */
static void put_latency(struct text *out, const char *key, const struct histogram *histogram)
{
    static const struct {
        const char *key;
        unsigned of_million;
    } rows[] = {{"p50_us", 500000}, {"p90_us", 900000}, {"p99_us", 990000}, {"p999_us", 999000},
        {"p9999_us", 999900}};

    open_object(out, key);
    put_u64(out, "count", histogram->count);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        put_u64(out, rows[i].key, histogram_quantile(histogram, rows[i].of_million) / NS_PER_US);
    put_u64(out, "max_us", histogram->max / NS_PER_US);
    text_append_char(out, '}');
}

static void put_hold(struct text *out, const struct enricher *e, const struct lane_sum *sum)
{
    const struct counters *c = &sum->counters;

    open_object(out, "hold");
    put_u64(out, "events", sum->held);
    put_u64(out, "bytes", sum->hold_bytes);
    put_u64(out, "high_water_events", sum->hold_max_count);
    put_u64(out, "max_events", e->conf->hold.max_events);
    put_u64(out, "max_bytes", e->conf->hold.max_bytes);
    put_u64(out, "timeout_ms", e->conf->pipeline.hold_timeout_ns / NS_PER_MS);
    put_u64(out, "released_on_arrival", c->released_on_arrival);
    put_latency(out, "release_latency", &sum->release_ns);
    put_u64(out, "expired", c->released_expired);
    put_u64(out, "evicted", c->released_evicted);
    text_append_char(out, '}');
}

/* Each lane has them all. */
static void put_tables(struct text *out, const struct enricher *e, const struct lane_sum *sum)
{
    open_object(out, "tables");
    put_u64(out, "processes", e->lane.pipeline.processes.count - e->lane.pipeline.processes.exited_count);
    put_u64(out, "exited_kept", e->lane.pipeline.processes.exited_count);
    put_u64(out, "cgroups", e->lane.pipeline.containers.cgroup_count);
    put_u64(out, "cgroups_refused", e->lane.pipeline.containers.refused);
    put_u64(out, "containers", e->lane.pipeline.containers.container_count);
    put_u64(out, "pods", pod_table_count(e->lane.pods));
    put_u64(out, "updates_owed", sum->updates_owed);
    text_append_char(out, '}');
}

static void put_sources(struct text *out, const struct enricher *e)
{
    uint64_t now_ns = clock_boot_ns();

    text_append_string(out, ",\"sources\":[");
    for (size_t i = 0; i < e->source_count; i++) {
        struct source_state state = {0};

        e->sources[i]->ops->get_state(e->sources[i], &state);
        open_object(out, NULL);
        put_string(out, "kind", pod_source_name(state.kind));
        put_string(out, "where", state.where);
        put_bool(out, "ready", state.ready);
        if (state.last_success_ns)
            put_u64(out, "last_success_s", (now_ns - state.last_success_ns) / NS_PER_SEC);
        put_u64(out, "requests", state.requests);
        put_u64(out, "failures", state.failures);
        put_u64(out, "pods", state.pods_seen);
        put_string(out, "last_error", state.last_error);
        text_append_char(out, '}');
    }
    text_append_char(out, ']');
}

static void put_output(struct text *out, const struct enricher *e, const struct lane_sum *sum)
{
    const struct output_state state = sum->output;

    open_object(out, "output");
    put_string(out, "path", e->conf->output_path ? e->conf->output_path : "");
    put_u64(out, "lines", state.lines);
    put_u64(out, "bytes", state.bytes);
    put_u64(out, "rotations", state.rotations);
    put_u64(out, "files_compressed", state.files_compressed);
    put_u64(out, "compress_failures", state.compress_failures);
    put_u64(out, "write_errors", state.write_errors);
    put_u64(out, "viewers", state.viewers);
    put_u64(out, "viewers_cut", state.viewers_cut);
    put_u64(out, "last_errno", (uint64_t)state.last_error);
    put_latency(out, "write_latency", &sum->write_ns);
    text_append_char(out, '}');
}

static void put_lanes(struct text *out, struct enricher *e)
{
    text_append_string(out, ",\"lanes\":[");
    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        const struct lane *lane = enricher_lane(e, i);
        struct lane_sum sum = {.held = 0};

        lane_sum_add(&sum, lane);
        open_object(out, NULL);
        put_balance(out, &sum);
        put_u64(out, "backlog_bytes", lane->queue ? queue_consumer_backlog_bytes(lane->queue) : 0);
        put_u64(out, "records_read", sum.records_read);
        put_u64(out, "hold_bytes", sum.hold_bytes);
        put_string(out, "path", lane->output_path ? lane->output_path : "");
        put_u64(out, "lines", sum.output.lines);
        put_u64(out, "bytes", sum.output.bytes);
        put_u64(out, "last_errno", (uint64_t)sum.output.last_error);
        text_append_char(out, '}');
    }
    text_append_char(out, ']');
}

void status_write(struct enricher *e, struct text *reply)
{
    struct lane_sum sum = {.held = 0};

    for (size_t i = 0; i < enricher_lane_count(e); i++)
        lane_sum_add(&sum, enricher_lane(e, i));
    text_append_char(reply, '{');
    put_string(reply, "version", PODKIN_VERSION);
    put_string(reply, "node_name", e->conf->node_name);
    put_string(reply, "loop", loop_describe(e->lane.loop));
    put_u64(reply, "uptime_s", (clock_boot_ns() - e->started_ns) / NS_PER_SEC);
    put_collector(reply, e, &sum);
    put_sequence(reply, e);
    put_books(reply, &sum);
    put_hold(reply, e, &sum);
    put_tables(reply, e, &sum);
    put_sources(reply, e);
    put_output(reply, e, &sum);
    if (e->crew)
        put_lanes(reply, e);
    text_append_string(reply, "}");
}
