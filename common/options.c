/* SPDX-License-Identifier: Apache-2.0 */
#include "common/options_layer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"

#define NAME_MAX_BYTES 48 /* longer than any option's name: such a word is not near to one */

/* What one argument, or two, of the command line said. */
struct option_use {
    size_t index;
    const char *value;
};

int options_fail(const struct options_state *state, const char *format, ...)
{
    char raw[OPTIONS_ERROR_MAX];
    struct text shown = {0};
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    if (size > 0)
        text_append_neutral(&shown, raw, strlen(raw));
    (void)snprintf(state->error, OPTIONS_ERROR_MAX, "%s", text_terminate(&shown));
    text_deinit(&shown);
    return -EINVAL;
}

int options_find(const struct options_state *state, const char *name, size_t size)
{
    for (size_t i = 0; i < state->count; i++) {
        if (strlen(state->specs[i].name) == size && memcmp(state->specs[i].name, name, size) == 0)
            return (int)i;
    }
    return -1;
}

/* Optimal string alignment distance: insert, delete, change, swap of neighbours. Both at most NAME_MAX_BYTES
 * long. */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];

    for (unsigned j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a_size; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b_size; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

const char *options_suggest(const struct options_state *state, const char *name, size_t size)
{
    const char *best = NULL;
    unsigned best_distance = 1 + (unsigned)(size / 4 > 3 ? 3 : size / 4); /* more than that is another word */

    if (size > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < state->count; i++) {
        const char *candidate = state->specs[i].name;
        size_t candidate_size = strlen(candidate);
        unsigned distance;

        if (candidate_size < 2 || candidate_size > NAME_MAX_BYTES)
            continue;
        distance = edit_distance(name, size, candidate, candidate_size);
        if (distance <= best_distance && (!best || distance < best_distance)) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

static int fail_unknown(const struct options_state *state, const char *word, size_t size)
{
    const char *near = options_suggest(state, word + 2, size > 2 ? size - 2 : 0);

    if (near && word[1] == '-')
        return options_fail(state, "%.*s: unknown option; did you mean --%s?", (int)size, word, near);
    return options_fail(state, "%.*s: unknown option", (int)size, word);
}

/* The option argv[*at] with its value, which may be the next word; moves *at to the last word used. */
static int read_option(
    const struct options_state *state, int argc, char **argv, int *at, struct option_use *ret)
{
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    size_t size = strcspn(name, "=");
    int index = (is_long == (size > 1)) ? options_find(state, name, size) : -1;
    const struct option_spec *spec;
    const char *value = name[size] ? name + size + 1 : NULL;

    if (index < 0) {
        size_t shown = (size_t)(name - word) + size;
        return fail_unknown(state, word, shown > 100 ? 100 : shown);
    }
    spec = &state->specs[index];
    if (spec->kind == OPTION_FLAG) {
        if (value)
            return options_fail(state, "--%s: expected no value", spec->name);
        value = "";
    } else if (!value) {
        if (*at + 1 >= argc)
            return options_fail(
                state, "%s: expected %s behind it", word, spec->argument ? spec->argument : "a value");
        value = argv[++*at];
    }
    *ret = (struct option_use){(size_t)index, value};
    return 0;
}

/* Splits argv into uses of options and other words; those move to argv[1..]. */
static int read_command_line(const struct options_state *state, int argc, char **argv,
    struct option_use *uses, size_t *ret_uses, int *ret_rest)
{
    bool options_end = false;
    size_t used = 0;
    int rest = 0;

    for (int at = 1; at < argc; at++) {
        char *word = argv[at];

        if (!options_end && strcmp(word, "--") == 0) {
            options_end = true;
        } else if (options_end || word[0] != '-' || word[1] == '\0') {
            argv[++rest] = word;
        } else {
            int r = read_option(state, argc, argv, &at, &uses[used]);

            if (r < 0)
                return r;
            used++;
        }
    }
    *ret_uses = used;
    *ret_rest = rest;
    return 0;
}

/* --help, --version */
static bool is_question(const struct option_spec *spec)
{
    return spec->kind == OPTION_FLAG && (!strcmp(spec->name, "help") || !strcmp(spec->name, "version"));
}

static bool answer_questions(const struct option_spec *specs, const struct option_use *uses, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        const struct option_spec *spec = &specs[uses[i].index];

        if (is_question(spec))
            any = *(bool *)spec->value = true;
    }
    return any;
}

static int apply_uses(struct options_state *state, const struct option_use *uses, size_t count)
{
    state->layer++;
    for (size_t i = 0; i < count; i++) {
        char where[NAME_MAX_BYTES + 8];
        const char *name = state->specs[uses[i].index].name;
        int r;

        (void)snprintf(where, sizeof(where), "%s%s", name[1] ? "--" : "-", name);
        r = options_apply(state, uses[i].index, where, uses[i].value);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The file named by the last --config, or by the option's default, which need not exist. */
static int read_files(struct options_state *state, const struct option_use *uses, size_t count)
{
    int index = options_find(state, "config", strlen("config"));
    const char *path = NULL;
    bool asked = false;
    int r;

    if (index < 0)
        return 0;
    path = *(char **)state->specs[index].value;
    for (size_t i = 0; i < count; i++) {
        if (uses[i].index == (size_t)index) {
            path = uses[i].value;
            asked = true;
        }
    }
    if (!path || !*path)
        return 0;
    r = options_read_file(state, path, !asked);
    if (r < 0 && (asked || r != -ENOENT))
        return r;
    return options_read_drop_ins(state, path);
}

int options_parse(const struct option_spec *specs, size_t count, int argc, char **argv, int *ret_rest,
    char error[OPTIONS_ERROR_MAX])
{
    CLEANUP_FREE struct option_use *uses = calloc((size_t)(argc > 0 ? argc : 0) + 1, sizeof(*uses));
    CLEANUP_FREE unsigned *set_by = calloc(count + 1, sizeof(*set_by));
    struct options_state state = {specs, count, set_by, 0, error};
    size_t used;
    int r;

    error[0] = '\0';
    if (!uses || !set_by) {
        (void)options_fail(&state, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    r = read_command_line(&state, argc, argv, uses, &used, ret_rest);
    if (r < 0)
        return r;
    if (answer_questions(specs, uses, used))
        return 0;
    r = read_files(&state, uses, used);
    if (r < 0)
        return r;
    return apply_uses(&state, uses, used);
}

static void describe_option(struct text *text, const struct option_spec *spec)
{
    text_append_format(text, "  %s%s", spec->name[1] ? "--" : "-", spec->name);
    if (spec->kind == OPTION_FLAG)
        return;
    text_append_char(text, ' ');
    if (spec->argument) {
        text_append_string(text, spec->argument);
    } else if (spec->kind == OPTION_CHOICE) {
        for (size_t i = 0; spec->choices[i]; i++) {
            if (i > 0)
                text_append_char(text, '|');
            text_append_string(text, spec->choices[i]);
        }
    } else {
        text_append_string(text, spec->kind == OPTION_BOOL ? "on|off" : "VALUE");
    }
}

void options_print_help(const struct option_spec *specs, size_t count)
{
    const size_t column = 34;
    struct text text = {0};

    for (size_t i = 0; i < count; i++) {
        size_t start = text.size;

        describe_option(&text, &specs[i]);
        if (text.size - start + 2 > column) {
            text_append_char(&text, '\n');
            start = text.size;
        }
        while (!text.failed && text.size - start < column)
            text_append_char(&text, ' ');
        text_append_string(&text, specs[i].help ? specs[i].help : "");
        text_append_char(&text, '\n');
    }
    (void)fwrite(text.data, 1, text.size, stdout);
    text_deinit(&text);
}
