/* SPDX-License-Identifier: Apache-2.0 */
#include "common/options_layer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/text.h"

/* Decimal digits at *text; moves it behind them. -EINVAL: none there. */
static int parse_digits(const char **text, uint64_t *ret)
{
    const char *at = *text;
    uint64_t value = 0;

    if (*at < '0' || *at > '9')
        return -EINVAL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return -ERANGE;
    }
    *text = at;
    *ret = value;
    return 0;
}

int option_parse_size(const char *text, uint64_t *ret)
{
    static const char letters[] = "KMGTPE";
    uint64_t value;
    unsigned shift = 0;
    int r = parse_digits(&text, &value);

    if (r < 0)
        return r;
    if (*text) {
        const char *letter = strchr(letters, toupper((unsigned char)*text));

        if (letter) {
            shift = (unsigned)(letter - letters + 1) * 10;
            text++;
            if (strcasecmp(text, "iB") == 0) /* not "KB": it may mean 1000 */
                text += 2;
        } else if (strcmp(text, "B") == 0) {
            text++;
        }
    }
    if (*text)
        return -EINVAL;
    if (shift && value > UINT64_MAX >> shift)
        return -ERANGE;
    *ret = value << shift;
    return 0;
}

static const struct {
    char name[3];
    uint64_t ns;
} duration_units[] = {
    {"ns", 1},
    {"us", NS_PER_US},
    {"ms", NS_PER_MS},
    {"s", NS_PER_SEC},
    {"m", 60 * NS_PER_SEC},
    {"h", 3600 * NS_PER_SEC},
    {"d", 86400 * NS_PER_SEC},
};

static uint64_t unit_ns(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        if (strlen(duration_units[i].name) == size && memcmp(duration_units[i].name, name, size) == 0)
            return duration_units[i].ns;
    }
    return 0;
}

int option_parse_duration(const char *text, uint64_t *ret)
{
    uint64_t total = 0;

    if (strcmp(text, "0") == 0) {
        *ret = 0;
        return 0;
    }
    do {
        uint64_t value, unit;
        size_t letters;
        int r = parse_digits(&text, &value);

        if (r < 0)
            return r;
        letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
        unit = unit_ns(text, letters);
        if (!unit)
            return -EINVAL;
        if (__builtin_mul_overflow(value, unit, &value) || __builtin_add_overflow(total, value, &total))
            return -ERANGE;
        text += letters;
    } while (*text);
    *ret = total;
    return 0;
}

static int parse_count(const char *text, uint64_t *ret)
{
    int r = parse_digits(&text, ret);

    if (r < 0)
        return r;
    return *text ? -EINVAL : 0;
}

static int parse_bool(const char *text, bool *ret)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "0", "1"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i & 1;
            return 0;
        }
    }
    return -EINVAL;
}

static void append_number(struct text *text, enum option_kind kind, uint64_t value)
{
    static const char letters[] = "KMGTPE";

    if (kind == OPTION_SIZE) {
        unsigned power = 0;

        while (value && value % 1024 == 0 && power < 6) {
            value /= 1024;
            power++;
        }
        text_append_u64(text, value);
        if (power)
            text_append_char(text, letters[power - 1]);
    } else if (kind == OPTION_DURATION && value) {
        size_t unit = sizeof(duration_units) / sizeof(duration_units[0]) - 1;

        while (value % duration_units[unit].ns)
            unit--;
        text_append_u64(text, value / duration_units[unit].ns);
        text_append_string(text, duration_units[unit].name);
    } else {
        text_append_u64(text, value);
    }
}

/* "a number from 1 to 64" */
static void describe_expected(struct text *text, const struct option_spec *spec)
{
    switch (spec->kind) {
    case OPTION_BOOL:
        text_append_string(text, "on or off");
        return;
    case OPTION_CHOICE:
        for (size_t i = 0; spec->choices[i]; i++) {
            if (i > 0)
                text_append_string(text, spec->choices[i + 1] ? ", " : " or ");
            text_append_string(text, spec->choices[i]);
        }
        return;
    case OPTION_SIZE:
        text_append_string(text, "a size in bytes such as 4096, 64M or 1GiB");
        break;
    case OPTION_DURATION:
        text_append_string(text, "a duration such as 500ms, 30s, 1m30s or 0");
        break;
    case OPTION_COUNT:
        text_append_string(text, "a whole number");
        break;
    case OPTION_STRING:
    case OPTION_STRINGS:
    case OPTION_FLAG:
        text_append_string(text, spec->argument ? spec->argument : "a value");
        return;
    }
    if (spec->min) {
        text_append_string(text, spec->max ? ", from " : ", at least ");
        append_number(text, spec->kind, spec->min);
    }
    if (spec->max) {
        text_append_string(text, spec->min ? " to " : ", at most ");
        append_number(text, spec->kind, spec->max);
    }
}

static int fail_expected(
    const struct options_state *state, const struct option_spec *spec, const char *where, const char *text)
{
    struct text expected = {0};
    int r;

    describe_expected(&expected, spec);
    if (*text)
        r = options_fail(state, "%s: expected %s, not '%.80s'", where, text_terminate(&expected), text);
    else
        r = options_fail(state, "%s: expected %s, but there is no value", where, text_terminate(&expected));
    text_deinit(&expected);
    return r;
}

static int list_add(struct option_list *list, const char *text)
{
    char **items = reallocarray(list->items, list->count + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    list->items = items;
    items[list->count] = strdup(text);
    if (!items[list->count])
        return -ENOMEM;
    list->count++;
    return 0;
}

static int parse_number(const struct option_spec *spec, const char *text)
{
    uint64_t value;
    int r;

    if (spec->kind == OPTION_SIZE)
        r = option_parse_size(text, &value);
    else if (spec->kind == OPTION_DURATION)
        r = option_parse_duration(text, &value);
    else
        r = parse_count(text, &value);
    if (r < 0)
        return r;
    if (value < spec->min || (spec->max && value > spec->max))
        return -ERANGE;
    *(uint64_t *)spec->value = value;
    return 0;
}

static int parse_choice(const struct option_spec *spec, const char *text)
{
    for (int i = 0; spec->choices[i]; i++) {
        if (strcmp(spec->choices[i], text) == 0) {
            *(int *)spec->value = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_string(char **value, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    free(*value);
    *value = copy;
    return 0;
}

static int set_value(const struct options_state *state, size_t index, const char *text)
{
    const struct option_spec *spec = &state->specs[index];

    switch (spec->kind) {
    case OPTION_STRING:
        return *text ? set_string(spec->value, text) : -EINVAL;
    case OPTION_STRINGS:
        if (!*text)
            return -EINVAL;
        if (state->set_by[index] != state->layer)
            option_list_deinit(spec->value);
        return list_add(spec->value, text);
    case OPTION_BOOL:
        return parse_bool(text, spec->value);
    case OPTION_FLAG:
        *(bool *)spec->value = true;
        return 0;
    case OPTION_SIZE:
    case OPTION_COUNT:
    case OPTION_DURATION:
        return parse_number(spec, text);
    case OPTION_CHOICE:
        return parse_choice(spec, text);
    }
    return -EINVAL;
}

int options_apply(struct options_state *state, size_t index, const char *where, const char *text)
{
    int r = set_value(state, index, text);

    if (r == -EINVAL || r == -ERANGE)
        return fail_expected(state, &state->specs[index], where, text);
    if (r < 0) {
        (void)options_fail(state, "%s: %s", where, strerror(-r));
        return r;
    }
    state->set_by[index] = state->layer;
    return 0;
}

void option_list_deinit(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct option_list){0};
}
