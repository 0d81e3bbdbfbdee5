/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/metrics.h"

#include <inttypes.h>

#include "common/queue.h"
#include "common/record.h"
#include "common/record_check.h"
#include "common/text.h"
#include "enricher/enricher.h"
#include "enricher/lane_sum.h"
#include "enricher/output.h"

static void put_head(struct text *out, const char *name, const char *type, const char *help)
{
    text_append_format(out, "# HELP podkin_%s %s\n# TYPE podkin_%s %s\n", name, help, name, type);
}

static void put_value(struct text *out, const char *name, uint64_t value)
{
    text_append_format(out, "podkin_%s %" PRIu64 "\n", name, value);
}

static void put_counter(struct text *out, const char *name, const char *help, uint64_t value)
{
    put_head(out, name, "counter", help);
    put_value(out, name, value);
}

static void put_gauge(struct text *out, const char *name, const char *help, uint64_t value)
{
    put_head(out, name, "gauge", help);
    put_value(out, name, value);
}

/* Backslash, quote and newline are escaped; other bytes stay. */
static void put_label_value(struct text *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n') {
            text_append_string(out, "\\n");
            continue;
        }
        if (*value == '\\' || *value == '"')
            text_append_char(out, '\\');
        text_append_char(out, *value);
    }
}

static void put_by_type(struct text *out, const char *name, const char *help, const uint64_t *counts)
{
    put_head(out, name, "counter", help);
    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++) {
        if (record_fixed_bytes(type))
            text_append_format(
                out, "podkin_%s{type=\"%s\"} %" PRIu64 "\n", name, record_type_name(type), counts[type]);
    }
}

static void put_counters(struct text *out, const struct counters *c)
{
#define X(name, unit, help) put_counter(out, #name "_total", help, c->name);
    ENRICHER_COUNTERS(X)
#undef X
    put_by_type(out, "records_received_total", "well-formed records out of the queue", c->received);
    put_by_type(out, "events_emitted_total", "lines, by the record that they come from", c->emitted);
    put_by_type(out, "events_dropped_total", "events that make no line", c->dropped);
}

static void put_collector(struct text *out, const struct enricher *e)
{
    struct queue_books books = {0};

    put_gauge(out, "collector_attached", "1 while the collector's queue is read", e->attached_ns != 0);
    put_counter(out, "collector_attaches_total", "times that a collector was attached to", e->attach_count);
    if (e->attached_ns)
        queue_consumer_load_books(e->lane.queue, &books);
    put_by_type(
        out, "collector_published_total", "records that the collector put into its queue", books.published);
    put_by_type(out, "collector_refused_ring_total", "records that had no room in the kernel's ring buffer",
        books.refused_ring);
    put_by_type(
        out, "collector_refused_queue_total", "records that had no room in the queue", books.refused_queue);
    put_counter(out, "collector_made_total", "sequence numbers that the kernel's programs used", books.made);
    put_gauge(out, "queue_backlog_bytes", "published and not read",
        e->lane.queue ? queue_consumer_backlog_bytes(e->lane.queue) : 0);
}

static void put_sequence(struct text *out, const struct enricher *e)
{
    struct ledger_totals totals;

    ledger_sum(&e->ledger, &totals);
    put_gauge(out, "sequence_unexplained",
        "records that are missing by their numbers and that no report accounts for",
        totals.unexplained + totals.unexplained_before);
    put_head(out, "sequence_unexplained_by_cpu", "gauge", "the same, of the present collector, by CPU");
    for (uint32_t cpu = 0; cpu < e->ledger.row_count; cpu++) {
        if (e->ledger.rows[cpu].next)
            text_append_format(out, "podkin_sequence_unexplained_by_cpu{cpu=\"%u\"} %" PRIu64 "\n", cpu,
                ledger_unexplained(&e->ledger, cpu));
    }
    put_gauge(out, "sequence_open", "missing, and the report may be on its way", totals.open);
    put_counter(
        out, "sequence_used_total", "numbers known to be used, of the present collector", totals.used);
    put_counter(out, "sequence_received_total", "of them received", totals.received);
    put_counter(out, "sequence_told_lost_total", "of them reported lost", totals.told_lost);
    put_counter(
        out, "sequence_read_again_total", "records read a second time after a restart", totals.reread);
    put_counter(out, "sequence_duplicate_total", "records whose number had come before", totals.duplicate);
}

/* In powers of two from a microsecond to half an hour. */
static void put_histogram(
    struct text *out, const char *name, const char *help, const struct histogram *histogram)
{
    put_head(out, name, "histogram", help);
    for (uint64_t edge_us = 1; edge_us < UINT64_C(1) << 31; edge_us *= 2)
        text_append_format(out, "podkin_%s_bucket{le=\"%.6f\"} %" PRIu64 "\n", name, (double)edge_us / 1e6,
            histogram_count_up_to(histogram, edge_us * NS_PER_US));
    text_append_format(out, "podkin_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, histogram->count);
    text_append_format(out, "podkin_%s_sum %.6f\n", name, (double)histogram->sum / 1e9);
    text_append_format(out, "podkin_%s_count %" PRIu64 "\n", name, histogram->count);
}

static void put_tables(struct text *out, const struct enricher *e, const struct lane_sum *sum)
{
    const struct pipeline *pipeline = &e->lane.pipeline;

    put_gauge(out, "events_held", "waiting for metadata", sum->held);
    put_gauge(out, "hold_bytes", "of the hold store", sum->hold_bytes);
    put_gauge(out, "processes", "that live", pipeline->processes.count - pipeline->processes.exited_count);
    put_gauge(out, "containers", "known by their cgroup", pipeline->containers.container_count);
    put_gauge(out, "cgroups", "known", pipeline->containers.cgroup_count);
    put_gauge(out, "pods", "known, deleted ones in their grace time included", pod_table_count(e->lane.pods));
}

static void put_source_values(struct text *out, const struct enricher *e, const char *name, const char *type,
    const char *help, uint64_t (*get)(const struct source_state *state))
{
    put_head(out, name, type, help);
    for (size_t i = 0; i < e->source_count; i++) {
        struct source_state state = {0};

        e->sources[i]->ops->get_state(e->sources[i], &state);
        text_append_format(out, "podkin_%s{kind=\"%s\",where=\"", name, pod_source_name(state.kind));
        put_label_value(out, state.where);
        text_append_format(out, "\"} %" PRIu64 "\n", get(&state));
    }
}

static uint64_t source_up(const struct source_state *state)
{
    return state->ready && !state->last_error[0];
}

static uint64_t source_requests(const struct source_state *state)
{
    return state->requests;
}

static uint64_t source_failures(const struct source_state *state)
{
    return state->failures;
}

static uint64_t source_last_success(const struct source_state *state)
{
    uint64_t now_ns = clock_boot_ns();

    return state->last_success_ns ? (now_ns - state->last_success_ns) / NS_PER_SEC : now_ns / NS_PER_SEC;
}

static void put_sources(struct text *out, const struct enricher *e)
{
    put_source_values(out, e, "source_up", "gauge", "1 when the last attempt went well", source_up);
    put_source_values(out, e, "source_requests_total", "counter", "asked", source_requests);
    put_source_values(out, e, "source_failures_total", "counter", "attempts that failed", source_failures);
    put_source_values(out, e, "source_last_success_age_seconds", "gauge",
        "since it answered; since boot when it never did", source_last_success);
}

static void put_output(struct text *out, const struct lane_sum *sum)
{
    const struct output_state state = sum->output;

    put_counter(out, "output_lines_total", "composed", state.lines);
    put_counter(out, "output_bytes_total", "composed", state.bytes);
    put_counter(out, "output_rotations_total", "files put aside", state.rotations);
    put_counter(
        out, "output_files_compressed_total", "files put aside and compressed", state.files_compressed);
    put_counter(out, "output_compress_failures_total",
        "files that could not be compressed, and stay as they are", state.compress_failures);
    put_counter(out, "output_write_errors_total", "writes that failed and were repeated", state.write_errors);
    put_gauge(out, "output_failing", "1 while the output cannot be written", state.last_error != 0);
    put_gauge(out, "viewers", "connected", state.viewers);
    put_counter(out, "viewers_cut_total", "cut off for being slow", state.viewers_cut);
}

static void put_lanes(struct text *out, struct enricher *e)
{
    put_gauge(out, "lanes", "threads that events go through", enricher_lane_count(e));
    put_head(out, "lane_backlog_bytes", "gauge", "published and not read by this lane");
    for (size_t i = 0; i < enricher_lane_count(e); i++) {
        const struct lane *lane = enricher_lane(e, i);

        text_append_format(out, "podkin_lane_backlog_bytes{lane=\"%zu\"} %" PRIu64 "\n", i,
            lane->queue ? queue_consumer_backlog_bytes(lane->queue) : 0);
    }
    put_head(out, "lane_lines_total", "counter", "composed by this lane");
    for (size_t i = 0; i < enricher_lane_count(e); i++)
        text_append_format(out, "podkin_lane_lines_total{lane=\"%zu\"} %" PRIu64 "\n", i,
            output_mark(enricher_lane(e, i)->output));
}

void metrics_write(struct enricher *e, struct text *out)
{
    struct lane_sum sum = {.held = 0};

    for (size_t i = 0; i < enricher_lane_count(e); i++)
        lane_sum_add(&sum, enricher_lane(e, i));
    put_head(out, "build_info", "gauge", "the version that runs");
    text_append_string(out, "podkin_build_info{version=\"" PODKIN_VERSION "\",node=\"");
    put_label_value(out, e->conf->node_name);
    text_append_string(out, "\"} 1\n");
    put_gauge(out, "uptime_seconds", "of the enricher", (clock_boot_ns() - e->started_ns) / NS_PER_SEC);
    put_collector(out, e);
    put_sequence(out, e);
    put_counters(out, &sum.counters);
    put_histogram(out, "release_latency_seconds",
        "from the metadata's arrival to the release of a held event", &sum.release_ns);
    put_histogram(out, "write_latency_seconds",
        "from an event that did not wait to its line in the output, of those that were measured",
        &sum.write_ns);
    put_tables(out, e, &sum);
    put_sources(out, e);
    put_output(out, &sum);
    if (e->crew)
        put_lanes(out, e);
}
