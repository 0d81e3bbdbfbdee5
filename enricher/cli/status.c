// SPDX-License-Identifier: Apache-2.0
/* podkin status: the enricher's own account, as a table. What it tells is shown whether this program knows it or not. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>
#include "common/cleanup.h"
#include "common/log.h"
#include "common/text.h"
#include "enricher/cli/client.h"
#include "enricher/cli/command.h"
#include "enricher/cli/status.h"

const char command_status_help[] =
    "podkin status [options]\n"
    "\n"
    "Asks the enricher how it is doing: what it is attached to, what was received,\n"
    "emitted, held and dropped, and how each metadata source answers.\n"
    "\n"
    "  -o, --output FORMAT    text or json\n"
    "  --events-socket PATH   of the enricher; default " CLIENT_SOCKET_DEFAULT "\n"
    "\n"
    "Exit status: 0 it answers, 1 it cannot be reached, 2 bad use.\n";

#define INDENT     2
#define NAME_WIDTH 24
#define DEPTH_MAX  6

/* Sections in the order in which one asks; others follow in the enricher's order. */
static const char *const first_sections[] = {
    "version", "node_name", "uptime_s", "loop", "collector", "sequence", "books", "sources", "hold"};

static bool is_first_section(const char *name)
{
    for (size_t i = 0; i < sizeof(first_sections) / sizeof(first_sections[0]); i++) {
        if (strcmp(first_sections[i], name) == 0)
            return true;
    }
    return false;
}

void status_append_grouped(struct text *out, long long value, int width)
{
    char digits[24], grouped[32];
    int count = snprintf(digits, sizeof(digits), "%lld", value), used = 0;
    int start = digits[0] == '-';

    for (int i = 0; i < count; i++) {
        if (i > start && (count - i) % 3 == 0)
            grouped[used++] = ',';
        grouped[used++] = digits[i];
    }
    text_append_format(out, "%*.*s", width, used, grouped);
}

static void append_duration(struct text *out, double seconds)
{
    long long whole = (long long)seconds;

    if (whole >= 86400)
        text_append_format(out, "%lldd %lldh", whole / 86400, whole / 3600 % 24);
    else if (whole >= 3600)
        text_append_format(out, "%lldh %lldm", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        text_append_format(out, "%lldm %llds", whole / 60, whole % 60);
    else
        text_append_format(out, "%.1fs", seconds);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name), length = strlen(suffix);

    return size >= length && strcmp(name + size - length, suffix) == 0;
}

static void append_scalar(struct text *out, const char *name, const json_t *value)
{
    if (json_is_string(value)) {
        text_append_neutral(out, json_string_value(value), json_string_length(value));
    } else if (json_is_number(value) && has_suffix(name, "_s")) {
        append_duration(out, json_number_value(value));
    } else if (json_is_integer(value)) {
        status_append_grouped(out, json_integer_value(value), 20);
    } else if (json_is_real(value)) {
        text_append_format(out, "%20.3f", json_real_value(value));
    } else {
        text_append_string(out, json_is_null(value) ? "-" : json_is_true(value) ? "yes" : "no");
    }
}

static void append_name(struct text *out, const char *name, int depth)
{
    CLEANUP(text_deinit) struct text shown = {0};
    int width = NAME_WIDTH - depth * INDENT;

    text_append_neutral(&shown, name, strlen(name));
    text_append_format(out, "%*s%-*s ", depth * INDENT, "", width > 0 ? width : 0, text_terminate(&shown));
}

static void append_value(struct text *out, const char *name, const json_t *value, int depth);

static void append_object(struct text *out, const json_t *object, int depth)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        append_value(out, name, value, depth);
    }
}

static void append_value(struct text *out, const char *name, const json_t *value, int depth)
{
    size_t i;
    json_t *item;

    if (depth > DEPTH_MAX)
        return;
    if (json_is_object(value)) {
        append_name(out, name, depth);
        text_append_string(out, json_object_size(value) ? "\n" : "none\n");
        append_object(out, value, depth + 1);
        return;
    }
    if (!json_is_array(value)) {
        append_name(out, name, depth);
        append_scalar(out, name, value);
        text_append_char(out, '\n');
        return;
    }
    json_array_foreach(value, i, item)
    {
        char number[32];

        (void)snprintf(number, sizeof(number), "%zu", i + 1);
        append_value(out, json_array_size(value) > 1 ? number : name, item, depth);
    }
}

/* The title of a source is what it is, not its number: "kubelet https://127.0.0.1:10250: ready". */
static void append_source(struct text *out, const json_t *source)
{
    const char *kind = json_string_value(json_object_get(source, "kind"));
    const char *where = json_string_value(json_object_get(source, "where"));
    const char *error = json_string_value(json_object_get(source, "last_error"));
    const char *name;
    json_t *value;

    text_append_string(out, "  ");
    text_append_neutral(out, kind ? kind : "?", strlen(kind ? kind : "?"));
    text_append_char(out, ' ');
    text_append_neutral(out, where ? where : "", where ? strlen(where) : 0);
    text_append_string(out, json_is_true(json_object_get(source, "ready")) ? ": ready\n" : ": NOT READY\n");
    json_object_foreach((json_t *)source, name, value)
    {
        if (strcmp(name, "kind") != 0 && strcmp(name, "where") != 0 && strcmp(name, "ready") != 0 &&
            strcmp(name, "last_error") != 0)
            append_value(out, name, value, 2);
    }
    if (error && *error)
        append_value(out, "last_error", json_object_get(source, "last_error"), 2);
}

static void append_section(struct text *out, const char *name, const json_t *value)
{
    size_t i;
    json_t *source;

    if (json_is_object(value) || json_is_array(value))
        text_append_char(out, '\n');
    if (strcmp(name, "sources") != 0 || !json_is_array(value)) {
        append_value(out, name, value, 0);
        return;
    }
    text_append_string(
        out, json_array_size(value) ? "sources\n" : "sources: none, so that no Pod has a name\n");
    json_array_foreach(value, i, source)
    {
        if (json_is_object(source))
            append_source(out, source);
    }
}

/* What needs a person comes first of all. */
static void append_alarms(struct text *out, const json_t *status)
{
    const json_t *collector = json_object_get(status, "collector");
    json_int_t output_errno =
        json_integer_value(json_object_get(json_object_get(status, "output"), "last_errno"));

    if (json_is_false(json_object_get(collector, "attached")))
        text_append_string(out, "! not attached to a collector: nothing new arrives\n");
    if (output_errno)
        text_append_format(
            out, "! the output cannot be written, and is tried again: %s\n", strerror((int)output_errno));
}

int status_show(const char *answer, size_t size, struct text *out)
{
    json_t *status = json_loadb(answer, size, JSON_REJECT_DUPLICATES, NULL);
    const char *name;
    json_t *value;

    if (!json_is_object(status)) {
        json_decref(status);
        return -EBADMSG;
    }
    append_alarms(out, status);
    status_append_balance(out, status);
    for (size_t i = 0; i < sizeof(first_sections) / sizeof(first_sections[0]); i++) {
        value = json_object_get(status, first_sections[i]);
        if (value)
            append_section(out, first_sections[i], value);
    }
    json_object_foreach(status, name, value)
    {
        if (!is_first_section(name) && !json_is_object(value) && !json_is_array(value))
            append_section(out, name, value);
    }
    json_object_foreach(status, name, value)
    {
        if (!is_first_section(name) && (json_is_object(value) || json_is_array(value)))
            append_section(out, name, value);
    }
    json_decref(status);
    return 0;
}

static int say(int error, const char *path)
{
    if (error == -EBADMSG)
        log_error(
            "the answer from %s is not understood: is it the enricher's socket, and of this version?", path);
    else
        log_error("cannot reach the enricher at %s: %s", path, strerror(-error));
    return COMMAND_FAILED;
}

int command_status(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"output", required_argument, NULL, 'o'}, {"events-socket", required_argument, NULL, 's'}, {0}};
    CLEANUP(text_deinit) struct text out = {0};
    CLEANUP_FREE char *answer = NULL;
    const char *path = CLIENT_SOCKET_DEFAULT;
    bool json = false;
    size_t size;
    int option, r;

    optind = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            return command_refuse_option(argc, argv, option);
        if (option == 's') {
            path = optarg;
        } else if (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0) {
            json = *optarg == 'j';
        } else {
            log_error("--output: expected text or json, not '%s'", optarg);
            return COMMAND_BAD_USE;
        }
    }
    if (argv[optind]) {
        log_error("status takes no '%s'; see podkin help status", argv[optind]);
        return COMMAND_BAD_USE;
    }
    r = client_ask(path, "status\n", &answer, &size);
    if (!r)
        r = status_show(answer, size, &out);
    if (r)
        return say(r, path);
    if (json)
        (void)fwrite(answer, 1, size, stdout);
    else
        (void)fwrite(out.data, 1, out.size, stdout);
    return out.failed ? COMMAND_FAILED : COMMAND_DONE;
}
