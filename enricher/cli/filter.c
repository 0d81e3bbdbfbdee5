// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/filter.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/text.h"

int filter_add_types(struct filter *filter, const char *list, struct slice *ret_bad)
{
    bool types[LINE_TYPE_COUNT];

    memcpy(types, filter->types, sizeof(types));
    for (const char *word = list;; word++) {
        struct slice name = {word, strcspn(word, ",")};
        bool found = false;

        word += name.size;
        if (slice_has_prefix(name, "process_"))
            name = (struct slice){name.data + 8, name.size - 8};
        for (enum line_type type = LINE_OTHER; type < LINE_TYPE_COUNT; type++) {
            if (slice_is(name, line_type_name(type), strlen(line_type_name(type))))
                found = types[type] = true;
        }
        if (!found) {
            *ret_bad = name;
            return -EINVAL;
        }
        if (!*word)
            break;
    }
    memcpy(filter->types, types, sizeof(types));
    filter->by_type = true;
    return 0;
}

int filter_add(struct filter *filter, enum filter_key key, const char *value)
{
    struct filter_values *values = &filter->values[key];

    if (values->count == FILTER_VALUES_MAX)
        return -ENOSPC;
    if (key == FILTER_PID) {
        char *end;
        unsigned long pid;

        errno = 0;
        pid = strtoul(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || errno || pid > INT32_MAX)
            return -EINVAL;
        filter->pids[values->count] = (int64_t)pid;
    }
    values->items[values->count++] = value;
    return 0;
}

/* Bytes that JSON may not write in any other way without a backslash, so that the needle is in the line as it stands. */
static bool is_plain(const char *value)
{
    for (; *value; value++) {
        if (*value < 0x20 || *value == '"' || *value == '\\' || *value == 0x7f)
            return false;
    }
    return true;
}

static bool contains(const char *data, size_t size, const char *value, enum filter_key key)
{
    size_t length = strlen(value);

    if (key == FILTER_POD && length && value[length - 1] == '*')
        length--;
    return memmem(data, size, value, length);
}

static bool type_is_ruled_out(const struct filter *filter, const char *type, size_t size)
{
    for (enum line_type each = LINE_EXEC; each <= LINE_UPROBE; each++) {
        size_t length = strlen(line_type_name(each));

        if (size > length && type[length] == '"' && memcmp(type, line_type_name(each), length) == 0)
            return !filter->types[each];
    }
    return false;
}

bool filter_rules_out(const struct filter *filter, const char *data, size_t size)
{
    static const char process[] = "{\"process_";
    const size_t prefix = sizeof(process) - 1;

    /* Others are rare, and have other things to say: losses, refusals, the envelope first. */
    if (size <= prefix || memcmp(data, process, prefix) != 0)
        return false;
    if (filter->by_type && type_is_ruled_out(filter, data + prefix, size - prefix))
        return true;
    for (enum filter_key key = FILTER_NAMESPACE; key < FILTER_PID; key++) {
        const struct filter_values *values = &filter->values[key];
        bool possible = values->count == 0;

        for (size_t i = 0; i < values->count && !possible; i++)
            possible = !is_plain(values->items[i]) || contains(data, size, values->items[i], key);
        if (!possible && !memchr(data, '\\', size))
            return true;
    }
    return false;
}

static bool match_one(enum filter_key key, struct slice shown, const char *wanted)
{
    size_t length = strlen(wanted);

    if (key == FILTER_POD && length && wanted[length - 1] == '*')
        return shown.size >= length - 1 && memcmp(shown.data, wanted, length - 1) == 0;
    if (key == FILTER_BINARY && *wanted != '/') /* the end of the path, from a slash on */
        return shown.size >= length && memcmp(shown.data + shown.size - length, wanted, length) == 0 &&
               (shown.size == length || shown.data[shown.size - length - 1] == '/');
    return slice_is(shown, wanted, length);
}

static bool match_any(const struct filter_values *values, enum filter_key key, struct slice raw)
{
    struct text text = {0};
    struct slice shown = raw;
    bool matched = false;

    if (!values->count)
        return true;
    if (!raw.data)
        return false;
    if (memchr(raw.data, '\\', raw.size)) {
        json_unescape(&text, raw);
        shown = (struct slice){text.data, text.size};
    }
    for (size_t i = 0; i < values->count && !matched; i++)
        matched = match_one(key, shown, values->items[i]);
    text_deinit(&text);
    return matched;
}

bool filter_match(const struct filter *filter, const struct line *line)
{
    const struct line_pod *pod = &line->process.pod;
    const struct filter_values *pids = &filter->values[FILTER_PID];
    bool pid_matched = pids->count == 0;

    if (filter->by_type && !filter->types[line->type])
        return false;
    if (line->type == LINE_LOST)
        return true;
    if (filter->unresolved && !line_is_unresolved(line))
        return false;
    for (size_t i = 0; i < pids->count && !pid_matched; i++)
        pid_matched = line->process.present && line->process.pid == filter->pids[i];
    return pid_matched && match_any(&filter->values[FILTER_NAMESPACE], FILTER_NAMESPACE, pod->namespace_) &&
           match_any(&filter->values[FILTER_POD], FILTER_POD, pod->name) &&
           match_any(&filter->values[FILTER_CONTAINER], FILTER_CONTAINER, pod->container_name) &&
           match_any(&filter->values[FILTER_BINARY], FILTER_BINARY, line->process.binary) &&
           match_any(&filter->values[FILTER_POLICY], FILTER_POLICY, line->policy_name);
}
