// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/compact.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "enricher/cli/hook_args.h"
#include "enricher/cli/verb.h"

#define NS_PER_SECOND          INT64_C(1000000000)
#define NS_PER_MS              INT64_C(1000000)
#define SOURCE_WIDTH_MIN       16
#define SOURCE_WIDTH_MAX       40
#define CONTAINER_ID_SHOW      12
#define PID_WIDTH_MIN          5
#define RAW_SHOWN_MAX          400
#define HOOK_ARGUMENTS_COLUMNS 140

void compact_init(struct compact *compact, const struct compact_options *options)
{
    *compact = (struct compact){.options = *options,
        .source_width = SOURCE_WIDTH_MIN,
        .pid_width = PID_WIDTH_MIN,
        .minute = INT64_MIN,
        .day = -1};
}

void compact_deinit(struct compact *compact)
{
    row_deinit(&compact->row);
}

static void print(struct compact *compact, struct text *out)
{
    row_print(&compact->row, out, compact->options.columns, compact->options.color,
        compact->options.ascii ? "~" : "…");
    text_append_char(out, '\n');
}

void compact_note(struct compact *compact, const char *note, struct text *out)
{
    row_clear(&compact->row);
    row_own(&compact->row, ROW_DIM, compact->options.ascii ? "-- " : "── ");
    row_outside(&compact->row, ROW_DIM, note, strlen(note));
    print(compact, out);
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* Seconds east of UTC; asked once a minute of event time. */
static int64_t zone_offset(struct compact *compact, int64_t unix_s)
{
    int64_t minute = floor_div(unix_s, 60);
    struct tm tm;
    time_t at = (time_t)unix_s;

    if (compact->options.time == COMPACT_TIME_UTC)
        return 0;
    if (minute != compact->minute) {
        compact->minute = minute;
        compact->minute_offset_s = localtime_r(&at, &tm) ? tm.tm_gmtoff : 0;
    }
    return compact->minute_offset_s;
}

/* "23:59" is followed by "00:01" in the same list: say which day it is now. */
static void show_day(struct compact *compact, int64_t day, struct text *out)
{
    static const char *const months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static const char *const weekdays[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    bool said = compact->day >= 0 || compact->options.day_first;
    time_t at = (time_t)(day * 86400);
    char note[64];
    struct tm tm;

    if (day == compact->day)
        return;
    compact->day = day;
    if (!said || !gmtime_r(&at, &tm))
        return;
    (void)snprintf(note, sizeof(note), "%s %d %s %d", weekdays[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
        tm.tm_year + 1900);
    compact_note(compact, note, out);
}

static void put_digits(char *at, int64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
}

static void show_time(struct compact *compact, struct slice time, struct text *out)
{
    char clock[] = "00:00:00.000 ";
    bool relative = compact->options.time == COMPACT_TIME_RELATIVE;
    int64_t unix_ns, local_s, in_day;

    if (compact->options.time == COMPACT_TIME_NONE) {
        row_clear(&compact->row);
        return;
    }
    if (line_parse_time(time, &unix_ns)) {
        row_clear(&compact->row);
        row_own(&compact->row, ROW_DIM, "             ");
        return;
    }
    if (relative) {
        int64_t since_ms;

        if (!compact->first_ns)
            compact->first_ns = unix_ns;
        since_ms = (unix_ns - compact->first_ns) / NS_PER_MS;
        row_clear(&compact->row);
        row_format(&compact->row, ROW_DIM, "%c%7lld.%03lld ", since_ms < 0 ? '-' : '+',
            llabs(since_ms) / 1000LL, llabs(since_ms) % 1000LL);
        return;
    }
    local_s = floor_div(unix_ns, NS_PER_SECOND);
    local_s += zone_offset(compact, local_s);
    show_day(compact, floor_div(local_s, 86400), out);
    in_day = local_s - floor_div(local_s, 86400) * 86400;
    put_digits(clock, in_day / 3600, 2);
    put_digits(clock + 3, in_day / 60 % 60, 2);
    put_digits(clock + 6, in_day % 60, 2);
    put_digits(clock + 9, unix_ns / NS_PER_MS % 1000, 3);
    row_clear(&compact->row);
    row_own(&compact->row, ROW_DIM, clock);
}

static void show_verb(struct compact *compact, const struct line *line)
{
    struct verb verb = verb_of(line);
    unsigned start = compact->row.width;

    if (!compact->options.ascii) {
        row_own(&compact->row, ROW_PLAIN, verb.icon);
        row_pad(&compact->row, start + 3);
        start += 3;
    }
    row_own(&compact->row, verb.style, verb.word);
    row_pad(&compact->row, start + VERB_WIDTH + 1);
}

static struct slice without_runtime(struct slice id)
{
    const char *at = id.data ? memmem(id.data, id.size, "://", 3) : NULL;

    return at ? (struct slice){at + 3, id.size - (size_t)(at + 3 - id.data)} : id;
}

/* Too long: cut in the middle, both ends tell. Names are ASCII; what is not is neutralised piece by piece. */
static void show_name(struct compact *compact, enum row_style style, struct slice name, unsigned room)
{
    struct row *row = &compact->row;
    unsigned tail = (room - 1) / 3;

    if (name.size <= room) {
        row_json(row, style, name);
        return;
    }
    row_json(row, style, (struct slice){name.data, room - 1 - tail});
    row_own(row, style, compact->options.ascii ? "~" : "…");
    row_json(row, style, (struct slice){name.data + name.size - tail, tail});
}

static unsigned source_limit(const struct compact *compact)
{
    unsigned third = compact->options.columns / 3;

    if (!compact->options.columns || third > SOURCE_WIDTH_MAX)
        return SOURCE_WIDTH_MAX;
    return third < SOURCE_WIDTH_MIN ? SOURCE_WIDTH_MIN : third;
}

static void show_unknown_pod(
    struct compact *compact, const struct line_pod *pod, struct slice id, unsigned limit)
{
    struct row *row = &compact->row;

    row_own(row, ROW_WARN, "?");
    show_name(compact, ROW_WARN, pod->uid, limit - 1);
    if (!pod->uid.size)
        row_json(row, ROW_WARN,
            (struct slice){id.data, id.size < CONTAINER_ID_SHOW ? id.size : CONTAINER_ID_SHOW});
}

/* On a terminal no wider than the column may get: what is short enough is whole, the Pod's name has half and what is left. */
static void show_pod(struct compact *compact, const struct line_pod *pod, struct slice docker)
{
    struct row *row = &compact->row;
    struct slice id = docker.size ? docker : without_runtime(pod->container_id);
    unsigned limit = compact->options.columns ? source_limit(compact) : UINT16_MAX;
    unsigned namespace_room = limit / 4, container_room = limit / 4, taken;

    if (!pod->name.size) {
        show_unknown_pod(compact, pod, id, limit);
        return;
    }
    taken = 2 + (pod->namespace_.size < namespace_room ? (unsigned)pod->namespace_.size : namespace_room) +
            (pod->container_name.size < container_room ? (unsigned)pod->container_name.size : container_room);
    if (pod->namespace_.size) {
        show_name(compact, ROW_NAMESPACE, pod->namespace_, namespace_room);
        row_own(row, ROW_DIM, "/");
    }
    show_name(compact, ROW_POD, pod->name, limit - taken);
    if (pod->container_name.size) {
        row_own(row, ROW_DIM, ":");
        show_name(compact, ROW_CONTAINER, pod->container_name, container_room);
    } else if (id.size) {
        row_own(row, ROW_WARN, ":?");
    }
}

static void show_source(struct compact *compact, const struct line *line)
{
    const struct line_process *process = &line->process;
    const struct line_pod *pod = &process->pod;
    struct row *row = &compact->row;
    unsigned start = row->width, width, limit = source_limit(compact);

    if (pod->name.size || pod->uid.size || process->docker.size ||
        process->pod_state == LINE_POD_PENDING_EXPIRED)
        show_pod(compact, pod, process->docker);
    else
        row_json(row, ROW_HOST, line->node_name);
    width = row->width - start;
    if (width > compact->source_width)
        compact->source_width = width < limit ? width : limit;
    row_pad(row, start + compact->source_width);
    row_own(row, ROW_PLAIN, " ");
}

static unsigned decimal_width(int64_t value)
{
    unsigned width = value < 0 ? 2 : 1;

    for (; value >= 10 || value <= -10; value /= 10)
        width++;
    return width;
}

static void show_pids(struct compact *compact, const struct line *line)
{
    struct row *row = &compact->row;
    unsigned width = decimal_width(line->process.pid), parent = decimal_width(line->parent.pid);

    if (width > compact->pid_width)
        compact->pid_width = width;
    if (parent > compact->pid_width)
        compact->pid_width = parent;
    row_pad(row, row->width + compact->pid_width - width);
    row_format(row, ROW_PLAIN, "%lld ", (long long)line->process.pid);
    if (line->parent.present)
        row_format(row, ROW_DIM, "<%lld", (long long)line->parent.pid);
    row_pad(row, row->width + compact->pid_width - (line->parent.present ? parent : 0) +
                     (line->parent.present ? 0 : 1));
    row_own(row, ROW_PLAIN, " ");
}

static void show_command(struct row *row, const struct line_process *process, bool arguments)
{
    row->flexible = true;
    if (process->binary.size)
        hook_word_show(row, ROW_BINARY, process->binary);
    else
        row_own(row, ROW_DIM, "?");
    if (arguments && process->args.size > 2) {
        row_own(row, ROW_PLAIN, " ");
        hook_argv_show(row, process->args);
    } else if (arguments && process->arguments.size) {
        row_own(row, ROW_PLAIN, " ");
        row_json(row, ROW_PLAIN, process->arguments);
    }
    row->flexible = false;
}

static void show_exit(struct compact *compact, const struct line *line)
{
    struct row *row = &compact->row;

    row_own(row, ROW_DIM, compact->options.ascii ? " -> " : " → ");
    if (line->signal.size)
        row_json(row, ROW_BAD, line->signal);
    else
        row_format(row, line->status ? ROW_WARN : ROW_DIM, "%lld", (long long)line->status);
}

static void show_action(struct row *row, struct slice action)
{
    static const char prefix[] = "KPROBE_ACTION_";

    if (slice_has_prefix(action, prefix))
        action = (struct slice){action.data + sizeof(prefix) - 1, action.size - (sizeof(prefix) - 1)};
    if (!action.size || SLICE_IS(action, "POST") || SLICE_IS(action, "UNKNOWN"))
        return;
    row_own(row, ROW_PLAIN, " ");
    row_json(row, ROW_BAD, action);
}

/* The function or tracepoint with its arguments and what it returned; the flexible part. */
static void show_hook(struct compact *compact, const struct line *line)
{
    struct row *row = &compact->row;

    row->flexible = true;
    row_own(row, ROW_PLAIN, " ");
    if (line->function_name.size) {
        row_json(row, ROW_FUNCTION, line->function_name);
    } else {
        row_json(row, ROW_FUNCTION, line->subsys);
        row_own(row, ROW_FUNCTION, line->subsys.size ? ":" : "");
        row_json(row, ROW_FUNCTION, line->event);
    }
    row_own(row, ROW_DIM, "(");
    hook_args_show(row, line->args);
    row_own(row, ROW_DIM, ")");
    row->flexible = false;
    if (line->return_.size) {
        row_own(row, ROW_DIM, " = ");
        hook_arg_show(row, line->return_);
    }
    if (line->policy_name.size) {
        row_own(row, ROW_DIM, " [");
        row_json(row, ROW_POLICY, line->policy_name);
        row_own(row, ROW_DIM, "]");
    }
    show_action(row, line->action);
    show_action(row, line->return_action);
    if (line->action_value)
        row_format(row, ROW_BAD, " %lld", (long long)line->action_value);
    if (line->action_failed.size)
        row_own(row, ROW_WARN, " failed");
    if (line->suppressed)
        row_format(row, ROW_NOTE, " +%lld suppressed", (long long)line->suppressed);
    if (line->selector_undecided.size)
        row_own(row, ROW_WARN, " ?selected");
    if (line->unknown_hook_id.size)
        row_own(row, ROW_WARN, " ?policy");
    if (line->message.size) {
        row_own(row, ROW_PLAIN, " ");
        row_json(row, ROW_NOTE, line->message);
    }
}

static void show_held(struct row *row, int64_t held_ms)
{
    if (held_ms <= 0)
        return;
    if (held_ms < 1000)
        row_format(row, ROW_NOTE, " held %lldms", (long long)held_ms);
    else
        row_format(
            row, ROW_NOTE, " held %lld.%llds", (long long)held_ms / 1000, (long long)held_ms / 100 % 10);
}

static void show_marks(struct row *row, const struct line *line)
{
    const struct line_process *process = &line->process;

    if (process->role.size && !SLICE_IS(process->role, "workload")) {
        row_own(row, ROW_DIM, " (");
        row_json(row, ROW_DIM, process->role);
        row_own(row, ROW_DIM, ")");
    }
    if (line_is_unresolved(line))
        row_own(row, ROW_WARN, process->pod_state == LINE_POD_ONLY ? " ?container" : " ?pod");
    show_held(row, line->held_ms);
    if (process->pod_state_reason.size) {
        row_own(row, ROW_DIM, ": ");
        row_json(row, ROW_DIM, process->pod_state_reason);
    }
}

struct lost_list {
    struct row *row;
    const char *between;
};

static void lost_type_show(void *arg, struct slice type, uint64_t count)
{
    struct lost_list *list = arg;

    row_format(list->row, ROW_WARN, "%s%llu ", list->between, (unsigned long long)count);
    row_json(list->row, ROW_WARN, type);
    list->between = ", ";
}

static void show_lost(struct compact *compact, const struct line *line)
{
    struct row *row = &compact->row;
    struct lost_list list = {row, ": "};

    row_format(row, ROW_BAD, "%llu lost", (unsigned long long)line_lost_count(line, NULL, NULL));
    line_lost_count(line, lost_type_show, &list);
    if (line->where.size) {
        row_own(row, ROW_DIM, " at ");
        row_json(row, ROW_DIM, line->where);
    }
    if (line->cpu >= 0)
        row_format(row, ROW_DIM, ", CPU %lld", (long long)line->cpu);
    if (line->from.size || line->to.size) {
        row_own(row, ROW_DIM, ", ");
        row_json(row, ROW_DIM, line->from);
        row_own(row, ROW_DIM, " to ");
        row_json(row, ROW_DIM, line->to);
    }
}

/* Of one process, or of all those of its container that are not told by name. */
static void show_update(struct row *row, const struct line *line)
{
    const struct line_process *process = &line->process;

    row_own(row, ROW_DIM, "learned later");
    if (process->pod_source.size) {
        row_own(row, ROW_DIM, " from ");
        row_json(row, ROW_DIM, process->pod_source);
    }
    if (process->pod_state == LINE_POD_HOST)
        row_own(row, ROW_DIM, ": in no Pod");
    else if (line_is_unresolved(line))
        row_own(row, ROW_WARN, process->pod_state == LINE_POD_ONLY ? " ?container" : " ?pod");
    if (line->events > 0)
        row_format(row, ROW_DIM, ", for %lld event%s", (long long)line->events, line->events > 1 ? "s" : "");
    if (!process->present)
        row_own(row, ROW_DIM, " of this container");
}

/* A type that we do not know: its name, and its members but the processes, as they stand. */
static void show_other(struct compact *compact, const struct line *line)
{
    struct row *row = &compact->row;
    struct json_pull json;
    struct slice key, value;

    row->dim = true;
    row_json(row, ROW_DIM, line->type_name);
    if (line->process.present) {
        row_own(row, ROW_DIM, " ");
        show_command(row, &line->process, true);
    }
    if (!line->body.data)
        return;
    row->flexible = true;
    json_init(&json, line->body.data, line->body.size);
    json_object_begin(&json);
    while (json_object_next(&json, &key)) {
        value = json_skip(&json);
        if (SLICE_IS(key, "process") || SLICE_IS(key, "parent"))
            continue;
        row_own(row, ROW_DIM, " ");
        row_json(row, ROW_DIM, key);
        row_own(row, ROW_DIM, "=");
        row_outside(row, ROW_DIM, value.data, value.size < RAW_SHOWN_MAX ? value.size : RAW_SHOWN_MAX);
        if (value.size > RAW_SHOWN_MAX)
            row_own(row, ROW_DIM, compact->options.ascii ? "~" : "…");
    }
    row->flexible = false;
}

static void show_detail(struct compact *compact, const struct line *line)
{
    struct row *row = &compact->row;
    unsigned columns = compact->options.columns;
    bool narrow =
        columns &&
        columns < HOOK_ARGUMENTS_COLUMNS; /* then what the hook saw is worth more than the command line */

    switch (line->type) {
    case LINE_LOST:
        show_lost(compact, line);
        return;
    case LINE_POD_UPDATE:
        show_update(row, line);
        return;
    case LINE_OTHER:
        show_other(compact, line);
        return;
    case LINE_KPROBE:
    case LINE_TRACEPOINT:
    case LINE_LSM:
    case LINE_UPROBE:
        show_command(row, &line->process, !narrow);
        show_hook(compact, line);
        break;
    case LINE_EXIT:
        show_command(row, &line->process, true);
        show_exit(compact, line);
        break;
    case LINE_EXEC:
    case LINE_FORK:
    case LINE_TYPE_COUNT:
        show_command(row, &line->process, true);
        break;
    }
    show_marks(row, line);
}

void compact_show(struct compact *compact, const struct line *line, struct text *out)
{
    const struct slice role = line->process.role;

    show_time(compact, line->time, out);
    if (SLICE_IS(role, "runtime") || SLICE_IS(role, "monitor"))
        compact->row.dim = true;
    show_verb(compact, line);
    show_source(compact, line);
    if (line->type != LINE_LOST &&
        ((line->type != LINE_OTHER && line->type != LINE_POD_UPDATE) || line->process.present))
        show_pids(compact, line);
    show_detail(compact, line);
    print(compact, out);
}
