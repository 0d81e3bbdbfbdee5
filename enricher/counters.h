/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The enricher's counters, declared once: struct, `podkin status`, metrics and docs come from this list.
 *
 *   X(name, unit, help)
 */
#include <stdint.h>

#include "common/record.h"

#define ENRICHER_COUNTERS(X)                                                                                 \
    X(records_malformed, "records", "records refused by the check of their form")                            \
    X(records_unknown_type, "records", "records of a type that this version does not know")                  \
    X(exits_duplicate, "records", "exits of a process that had exited already")                              \
    X(events_held, "events", "events that had to wait for metadata")                                         \
    X(events_recovered, "events", "held events taken over from an enricher that ended")                      \
    X(released_on_arrival, "events", "held events that left when the metadata came")                         \
    X(released_expired, "events", "held events that left at their deadline, marked")                         \
    X(released_evicted, "events", "held events that left because the hold store was full, marked")           \
    X(emitted_without_pod, "events", "events of a Pod's process that left without their Pod")                \
    X(emitted_pod_only, "events", "events that left with their Pod but without the container's name")        \
    X(pod_updates, "lines", "corrections: what was learned of a Pod after lines had left without it")        \
    X(pod_updates_merged, "events",                                                                          \
        "incomplete events beyond the list; a pod_update of their container corrects them")                  \
    X(pod_updates_never, "executions", "left incomplete for good: their container went before it was known") \
    X(asks, "requests", "times that the sources were asked because something was unresolved")                \
    X(memory_failures, "failures", "allocations that failed; the event left with less than is known")        \
    X(dropped_no_memory, "events", "events dropped because no process could be made for them")               \
    X(hooks_not_selected, "events",                                                                          \
        "hook events of a process that the policy's Pod or container selector leaves out; dropped")          \
    X(hooks_undecided, "events",                                                                             \
        "hook events that left though it was not known whether the policy's selector holds, marked")         \
    X(hooks_unnamed, "events", "hook events that left without their policy, whose record was lost, marked")  \
    X(hooks_cut, "events", "hook events of which an argument was cut, for the length of the line")           \
    X(policies_refused, "records", "policies for which there was no room")                                   \
    X(lost_records, "records", "records that the collector reported lost")

struct counters {
#define X(name, unit, help) uint64_t name;
    ENRICHER_COUNTERS(X)
#undef X
    uint64_t received[RECORD_TYPE_SLOTS]; /* well-formed, by record type */
    uint64_t emitted[RECORD_TYPE_SLOTS];  /* lines, by record type */
    uint64_t dropped[RECORD_TYPE_SLOTS];  /* events taken and not emitted (exits_duplicate), by record type */
};
