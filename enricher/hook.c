/* SPDX-License-Identifier: Apache-2.0 */
/* Policies and their events in the pipeline: what a hook id stands for, and whether an event is one of those that were asked for. */
#include "common/record.h"
#include "enricher/pipeline.h"
#include "enricher/policy_match.h"

void hook_apply_policy(
    struct pipeline *pipeline, const struct record_policy *record, uint32_t generation, uint64_t now_ns)
{
    switch (policy_table_apply(&pipeline->policies, record, generation, now_ns)) {
    case POLICY_REFUSED:
        pipeline->counters.policies_refused += pipeline->lane.index == 0; /* each lane refuses it */
        break;
    case POLICY_MALFORMED:
        pipeline->counters.records_malformed += pipeline->lane.index == 0;
        break;
    case POLICY_TAKEN:
        break;
    }
}

struct policy_entry *hook_find_policy(
    struct pipeline *pipeline, const struct record_header *record, uint64_t now_ns)
{
    if (record->type != RECORD_HOOK)
        return NULL;
    return policy_table_get(&pipeline->policies, ((const struct record_hook *)record)->hook_id, now_ns);
}

static enum policy_verdict judge(const struct event *event)
{
    if (!event->policy || !event->policy->match)
        return POLICY_MATCHES;
    return policy_match_judge(event->policy->match, event->container);
}

bool hook_drop(struct pipeline *pipeline, const struct event *event)
{
    if (judge(event) != POLICY_DIFFERS)
        return false;
    pipeline->counters.hooks_not_selected++;
    pipeline->counters.dropped[RECORD_HOOK]++;
    return true;
}

int hook_emit(struct pipeline *pipeline, const struct event *event, uint64_t now_ns)
{
    struct event marked = *event;
    int r;

    marked.selector_undecided = judge(event) == POLICY_UNDECIDED;
    r = emit_event(pipeline->emit, &marked, now_ns);
    if (r < 0)
        return r;
    pipeline->counters.hooks_undecided += marked.selector_undecided;
    pipeline->counters.hooks_unnamed += !event->policy->known;
    pipeline->counters.hooks_cut += r == EMIT_CUT;
    return 0;
}
