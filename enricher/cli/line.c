// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/line.h"
#include <errno.h>
#include <string.h>

#define NS_PER_SECOND INT64_C(1000000000)

static const char *const type_names[LINE_TYPE_COUNT] = {[LINE_OTHER] = "other",
    [LINE_EXEC] = "exec",
    [LINE_FORK] = "fork",
    [LINE_EXIT] = "exit",
    [LINE_KPROBE] = "kprobe",
    [LINE_TRACEPOINT] = "tracepoint",
    [LINE_LSM] = "lsm",
    [LINE_UPROBE] = "uprobe",
    [LINE_LOST] = "lost",
    [LINE_POD_UPDATE] = "pod_update"};

static const char *const pod_state_names[LINE_POD_STATE_COUNT] = {[LINE_POD_UNSAID] = "unsaid",
    [LINE_POD_HOST] = "host",
    [LINE_POD_COMPLETE] = "complete",
    [LINE_POD_ONLY] = "pod_only",
    [LINE_POD_PENDING_EXPIRED] = "pending_expired"};

const char *line_type_name(enum line_type type)
{
    return type_names[type];
}

const char *line_pod_state_name(enum line_pod_state state)
{
    return pod_state_names[state];
}

/* What an object's known keys are read into. */
enum field_kind { FIELD_STRING, FIELD_RAW, FIELD_INTEGER, FIELD_OBJECT };

struct field {
    const char *name;
    size_t size;
    enum field_kind kind;
    size_t offset;
    const struct field *members; /* FIELD_OBJECT; ends with a NULL name. Nesting is that of these tables */
};
#define FIELD(name, kind, structure, member)                                                                 \
    {                                                                                                        \
        name, sizeof(name) - 1, kind, offsetof(structure, member), NULL                                      \
    }
#define OBJECT(name, structure, member, members_table)                                                       \
    {                                                                                                        \
        name, sizeof(name) - 1, FIELD_OBJECT, offsetof(structure, member), members_table                     \
    }

static const struct field container_fields[] = {FIELD("id", FIELD_STRING, struct line_pod, container_id),
    FIELD("name", FIELD_STRING, struct line_pod, container_name), {0}};

static const struct field pod_fields[] = {FIELD("namespace", FIELD_STRING, struct line_pod, namespace_),
    FIELD("name", FIELD_STRING, struct line_pod, name), FIELD("uid", FIELD_STRING, struct line_pod, uid),
    {"container", sizeof("container") - 1, FIELD_OBJECT, 0, container_fields}, {0}};

static const struct field process_fields[] = {FIELD("exec_id", FIELD_STRING, struct line_process, exec_id),
    FIELD("pid", FIELD_INTEGER, struct line_process, pid),
    FIELD("uid", FIELD_INTEGER, struct line_process, uid),
    FIELD("cwd", FIELD_STRING, struct line_process, cwd),
    FIELD("binary", FIELD_STRING, struct line_process, binary),
    FIELD("arguments", FIELD_STRING, struct line_process, arguments),
    FIELD("args", FIELD_RAW, struct line_process, args),
    FIELD("flags", FIELD_STRING, struct line_process, flags),
    FIELD("docker", FIELD_STRING, struct line_process, docker),
    OBJECT("pod", struct line_process, pod, pod_fields),
    FIELD("pod_state", FIELD_STRING, struct line_process, pod_state_name),
    FIELD("pod_state_reason", FIELD_STRING, struct line_process, pod_state_reason),
    FIELD("pod_source", FIELD_STRING, struct line_process, pod_source),
    FIELD("role", FIELD_STRING, struct line_process, role), {0}};

static const struct field body_fields[] = {OBJECT("process", struct line, process, process_fields),
    OBJECT("parent", struct line, parent, process_fields), FIELD("signal", FIELD_STRING, struct line, signal),
    FIELD("status", FIELD_INTEGER, struct line, status),
    FIELD("function_name", FIELD_STRING, struct line, function_name),
    FIELD("symbol", FIELD_STRING, struct line, function_name),
    FIELD("subsys", FIELD_STRING, struct line, subsys), FIELD("event", FIELD_STRING, struct line, event),
    FIELD("args", FIELD_RAW, struct line, args), FIELD("return", FIELD_RAW, struct line, return_),
    FIELD("policy_name", FIELD_STRING, struct line, policy_name),
    FIELD("message", FIELD_STRING, struct line, message), FIELD("action", FIELD_STRING, struct line, action),
    FIELD("return_action", FIELD_STRING, struct line, return_action),
    FIELD("action_failed", FIELD_RAW, struct line, action_failed),
    FIELD("action_value", FIELD_INTEGER, struct line, action_value),
    FIELD("suppressed", FIELD_INTEGER, struct line, suppressed),
    FIELD("unknown_hook_id", FIELD_RAW, struct line, unknown_hook_id),
    FIELD("selector_undecided", FIELD_RAW, struct line, selector_undecided),
    FIELD("from", FIELD_STRING, struct line, from), FIELD("to", FIELD_STRING, struct line, to),
    FIELD("cpu", FIELD_INTEGER, struct line, cpu), FIELD("where", FIELD_STRING, struct line, where),
    FIELD("by_type", FIELD_RAW, struct line, by_type), {0}};

/* The members of a process, flat. */
static const struct field update_fields[] = {FIELD("exec_id", FIELD_STRING, struct line, process.exec_id),
    FIELD("pid", FIELD_INTEGER, struct line, process.pid),
    FIELD("docker", FIELD_STRING, struct line, process.docker),
    OBJECT("pod", struct line, process.pod, pod_fields),
    FIELD("pod_state", FIELD_STRING, struct line, process.pod_state_name),
    FIELD("pod_source", FIELD_STRING, struct line, process.pod_source),
    FIELD("events", FIELD_INTEGER, struct line, events), {0}};

static const struct field envelope_fields[] = {FIELD("node_name", FIELD_STRING, struct line, node_name),
    FIELD("time", FIELD_STRING, struct line, time), FIELD("id", FIELD_STRING, struct line, id),
    FIELD("held_ms", FIELD_INTEGER, struct line, held_ms), FIELD("error", FIELD_STRING, struct line, error),
    {0}};

static const struct field *find_field(const struct field *fields, struct slice key)
{
    for (const struct field *field = fields; field->name; field++) {
        if (field->size == key.size && memcmp(field->name, key.data, key.size) == 0)
            return field;
    }
    return NULL;
}

static void read_object(struct json_pull *json, const struct field *fields, char *base);

static void read_field(struct json_pull *json, const struct field *field, char *base)
{
    enum json_kind kind = json_peek(json);
    void *target = base + field->offset;

    switch (field->kind) {
    case FIELD_STRING:
        if (kind == JSON_STRING)
            *(struct slice *)target = json_string(json);
        else
            json_skip(json);
        break;
    case FIELD_RAW:
        *(struct slice *)target = json_skip(json);
        break;
    case FIELD_INTEGER:
        json_i64(json, target);
        break;
    case FIELD_OBJECT:
        if (kind == JSON_OBJECT)
            read_object(json, field->members, target);
        else
            json_skip(json);
        break;
    }
}

static void read_object(struct json_pull *json, const struct field *fields, char *base)
{
    struct slice key;

    json_object_begin(json);
    while (json_object_next(json, &key)) {
        const struct field *field = find_field(fields, key);

        if (field)
            read_field(json, field, base);
        else
            json_skip(json);
    }
}

static enum line_type type_of(struct slice name)
{
    if (SLICE_IS(name, "lost"))
        return LINE_LOST;
    if (SLICE_IS(name, "pod_update"))
        return LINE_POD_UPDATE;
    if (!slice_has_prefix(name, "process_"))
        return LINE_OTHER;
    for (enum line_type type = LINE_EXEC; type <= LINE_UPROBE; type++) {
        if (slice_is(
                (struct slice){name.data + 8, name.size - 8}, type_names[type], strlen(type_names[type])))
            return type;
    }
    return LINE_OTHER;
}

/* The envelope's objects that are no event. */
static bool is_envelope_object(struct slice key)
{
    return SLICE_IS(key, "node_labels") || SLICE_IS(key, "aggregation_info");
}

static void finish_process(struct line_process *process)
{
    process->present = process->exec_id.data || process->binary.data || process->pid;
    if (SLICE_IS(process->pod_state_name, "pending")) /* let go without waiting: --hold-timeout 0 */
        process->pod_state = LINE_POD_PENDING_EXPIRED;
    for (enum line_pod_state state = LINE_POD_HOST; state < LINE_POD_STATE_COUNT; state++) {
        const char *name = pod_state_names[state];

        if (process->pod_state_name.data && slice_is(process->pod_state_name, name, strlen(name)))
            process->pod_state = state;
    }
}

int line_parse(struct line *ret, const char *data, size_t size)
{
    struct json_pull json;
    struct slice key;
    const char *start;

    *ret = (struct line){.held_ms = -1, .cpu = -1};
    json_init(&json, data, size);
    json_object_begin(&json);
    while (json_object_next(&json, &key)) {
        const struct field *field = find_field(envelope_fields, key);

        if (field) {
            read_field(&json, field, (char *)ret);
        } else if (ret->type_name.data || json_peek(&json) != JSON_OBJECT || is_envelope_object(key)) {
            json_skip(&json);
        } else {
            ret->type_name = key;
            ret->type = type_of(key);
            json_peek(&json);
            start = json.at;
            read_object(&json, ret->type == LINE_POD_UPDATE ? update_fields : body_fields, (char *)ret);
            ret->body = (struct slice){start, (size_t)(json.at - start)};
        }
    }
    if (!json_done(&json))
        return -EBADMSG;
    finish_process(&ret->process);
    finish_process(&ret->parent);
    return 0;
}

uint64_t line_lost_count(const struct line *line, line_lost_fn *fn, void *arg)
{
    struct json_pull json;
    struct slice key;
    uint64_t total = 0;
    int64_t count;

    if (!line->by_type.data)
        return 0;
    json_init(&json, line->by_type.data, line->by_type.size);
    if (json_peek(&json) != JSON_OBJECT || !json_object_begin(&json))
        return 0;
    while (json_object_next(&json, &key)) {
        if (!json_i64(&json, &count) || count <= 0)
            continue;
        if (fn)
            fn(arg, key, (uint64_t)count);
        total += (uint64_t)count;
    }
    return total;
}

bool line_is_unresolved(const struct line *line)
{
    const struct line_process *process = &line->process;

    switch (process->pod_state) {
    case LINE_POD_HOST:
    case LINE_POD_COMPLETE:
    case LINE_POD_STATE_COUNT:
        return false;
    case LINE_POD_ONLY:
    case LINE_POD_PENDING_EXPIRED:
        return true;
    case LINE_POD_UNSAID:
        break;
    }
    return process->docker.size > 0 && process->pod.container_name.size == 0;
}

static int digits(const char *at, size_t count)
{
    int value = 0;

    for (size_t i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        value = value * 10 + (at[i] - '0');
    }
    return value;
}

/* Days since 1970-01-01 of a Gregorian date (counting years from March, so that the leap day is the last). */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t month_from_march = (month + 9) % 12;

    return y * 365 + y / 4 - y / 100 + y / 400 + (month_from_march * 153 + 2) / 5 + day - 1 - 719468;
}

/* ".123456" and then the zone: "Z" or "+hh:mm". */
static int parse_fraction_and_zone(struct slice rest, int64_t *ret_ns, int64_t *ret_zone_s)
{
    size_t i = 0;
    int64_t ns = 0, unit = NS_PER_SECOND / 10;
    int hours, minutes;

    if (i < rest.size && rest.data[i] == '.') {
        for (i++; i < rest.size && rest.data[i] >= '0' && rest.data[i] <= '9'; i++, unit /= 10)
            ns += (rest.data[i] - '0') * unit;
    }
    *ret_ns = ns;
    *ret_zone_s = 0;
    if (rest.size - i == 1 && (rest.data[i] == 'Z' || rest.data[i] == 'z'))
        return 0;
    if (rest.size - i != 6 || (rest.data[i] != '+' && rest.data[i] != '-') || rest.data[i + 3] != ':')
        return -EBADMSG;
    hours = digits(rest.data + i + 1, 2);
    minutes = digits(rest.data + i + 4, 2);
    if (hours < 0 || minutes < 0)
        return -EBADMSG;
    *ret_zone_s = (hours * 3600 + minutes * 60) * (rest.data[i] == '-' ? -1 : 1);
    return 0;
}

int line_parse_time(struct slice time, int64_t *ret_unix_ns)
{
    const char *at = time.data;
    int year, month, day, hour, minute, second;
    int64_t ns, zone_s;

    if (time.size < sizeof("2026-01-01T00:00:00Z") - 1 || at[4] != '-' || at[7] != '-' || at[10] != 'T' ||
        at[13] != ':' || at[16] != ':')
        return -EBADMSG;
    year = digits(at, 4);
    month = digits(at + 5, 2);
    day = digits(at + 8, 2);
    hour = digits(at + 11, 2);
    minute = digits(at + 14, 2);
    second = digits(at + 17, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60 || year > 2261)
        return -EBADMSG;
    if (parse_fraction_and_zone((struct slice){at + 19, time.size - 19}, &ns, &zone_s))
        return -EBADMSG;
    *ret_unix_ns =
        ((days_from_civil(year, month, day) * 86400) + hour * 3600 + minute * 60 + second - zone_s) *
            NS_PER_SECOND +
        ns;
    return 0;
}
