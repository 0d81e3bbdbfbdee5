// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/summary.h"

void summary_add(struct summary *summary, const struct line *line)
{
    summary->by_type[line->type]++;
    if (line->type == LINE_LOST)
        summary->lost += line_lost_count(line, NULL, NULL);
    if (!line->process.present || line->type == LINE_POD_UPDATE)
        return;
    summary->by_pod_state[line->process.pod_state]++;
    summary->unresolved += line_is_unresolved(line);
    if (line->held_ms < 0)
        return;
    summary->held++;
    summary->held_unresolved += line_is_unresolved(line);
    if ((uint64_t)line->held_ms > summary->held_max_ms)
        summary->held_max_ms = (uint64_t)line->held_ms;
    summary->held_ms[line->held_ms < SUMMARY_HELD_MS_MAX ? line->held_ms : SUMMARY_HELD_MS_MAX - 1]++;
}

uint64_t summary_held_median_ms(const struct summary *summary)
{
    uint64_t seen = 0;

    for (uint64_t ms = 0; ms < SUMMARY_HELD_MS_MAX; ms++) {
        seen += summary->held_ms[ms];
        if (seen * 2 >= summary->held && seen)
            return ms;
    }
    return 0;
}

static void show_count(struct text *out, const char *name, uint64_t count)
{
    text_append_format(out, "  %-16s %12llu\n", name, (unsigned long long)count);
}

void summary_show(const struct summary *summary, uint64_t malformed, struct text *out)
{
    text_append_string(out, "\nevents by type\n");
    for (enum line_type type = LINE_EXEC; type < LINE_TYPE_COUNT; type++) {
        if (summary->by_type[type])
            show_count(out, line_type_name(type), summary->by_type[type]);
    }
    if (summary->by_type[LINE_OTHER])
        show_count(out, line_type_name(LINE_OTHER), summary->by_type[LINE_OTHER]);
    text_append_string(out, "events by Pod state\n");
    for (enum line_pod_state state = LINE_POD_UNSAID; state < LINE_POD_STATE_COUNT; state++) {
        if (summary->by_pod_state[state] ||
            (state != LINE_POD_UNSAID && !summary->by_pod_state[LINE_POD_UNSAID]))
            show_count(out, line_pod_state_name(state), summary->by_pod_state[state]);
    }
    text_append_string(out, "held back for their Pod\n");
    show_count(out, "held", summary->held);
    show_count(out, "released whole", summary->held - summary->held_unresolved);
    show_count(out, "given up", summary->held_unresolved);
    if (summary->held) {
        text_append_format(
            out, "  %-16s %9llu ms\n", "median", (unsigned long long)summary_held_median_ms(summary));
        text_append_format(out, "  %-16s %9llu ms\n", "longest", (unsigned long long)summary->held_max_ms);
    }
    text_append_string(out, "in a Pod, but without it\n");
    show_count(out, "unresolved", summary->unresolved);
    text_append_string(out, "lost\n");
    show_count(out, "records", summary->lost);
    if (malformed)
        show_count(out, "malformed lines", malformed);
}
