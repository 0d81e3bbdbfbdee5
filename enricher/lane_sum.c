/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/lane_sum.h"

#include "enricher/lane.h"

static bool is_event(unsigned type)
{
    return lane_of_has_process((uint8_t)type) || type == RECORD_LOST;
}

uint64_t lane_sum_received(const struct counters *counters)
{
    uint64_t sum = 0;

    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++)
        sum += is_event(type) ? counters->received[type] : 0;
    return sum;
}

static uint64_t sum_types(const uint64_t counts[RECORD_TYPE_SLOTS])
{
    uint64_t sum = 0;

    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++)
        sum += counts[type];
    return sum;
}

uint64_t lane_sum_emitted(const struct counters *counters)
{
    return sum_types(counters->emitted);
}

uint64_t lane_sum_dropped(const struct counters *counters)
{
    return sum_types(counters->dropped);
}

static void add_counters(struct counters *sum, const struct counters *add)
{
#define X(name, unit, help) sum->name += add->name;
    ENRICHER_COUNTERS(X)
#undef X
    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++) {
        sum->received[type] += add->received[type];
        sum->emitted[type] += add->emitted[type];
        sum->dropped[type] += add->dropped[type];
    }
}

static void add_output(struct output_state *sum, const struct output *output)
{
    struct output_state state = {0};

    output_get_state(output, &state);
    sum->lines += state.lines;
    sum->bytes += state.bytes;
    sum->rotations += state.rotations;
    sum->write_errors += state.write_errors;
    sum->viewers += state.viewers;
    sum->viewers_cut += state.viewers_cut;
    if (state.last_error)
        sum->last_error = state.last_error;
}

void lane_sum_add(struct lane_sum *sum, const struct lane *lane)
{
    const struct counters *counters = &lane->pipeline.counters;
    uint64_t held = lane->hold ? pipeline_held(&lane->pipeline) : 0;

    add_counters(&sum->counters, counters);
    histogram_add_all(&sum->release_ns, &lane->pipeline.release_ns);
    histogram_add_all(&sum->write_ns, output_latency(lane->output));
    add_output(&sum->output, lane->output);
    sum->held += held;
    sum->hold_bytes += lane->hold ? hold_bytes(lane->hold) : 0;
    sum->hold_max_count += lane->hold ? hold_max_count(lane->hold) : 0;
    sum->updates_owed += lane->pipeline.owed.count;
    sum->records_read += lane->drain.records;
    sum->unbalanced +=
        lane_sum_received(counters) != lane_sum_emitted(counters) + held + lane_sum_dropped(counters);
    sum->broken |= lane->drain.broken;
}
