// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/coverage.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "common/cleanup.h"
#include "common/log.h"
#include "common/text.h"
#include "enricher/cli/client.h"
#include "enricher/cli/command.h"

const char command_coverage_help[] =
    "podkin coverage [options]\n"
    "\n"
    "Says for each Pod how many of its events left with the whole Pod, at once or after\n"
    "waiting, how many did not and why, and how many of those were corrected later (a\n"
    "pod_update). The worst come first. With --pod, also by container and event type.\n"
    "\n"
    "  -n, --namespace NAME   only Pods of it; repeatable\n"
    "  -p, --pod NAME         only this one; NAME* is all that begin so; repeatable\n"
    "      --fail-below PERCENT  exit status 1 when a Pod shown has less complete, or none\n"
    "                         is shown\n"
    "  -o, --output FORMAT    text or json\n"
    "      --events-socket PATH  of the enricher; default " CLIENT_SOCKET_DEFAULT "\n"
    "\n"
    "Exit status: 0 fine, 1 below, or the enricher cannot be reached, 2 bad use.\n";

#define NAME_WIDTH_MAX 60

/* One line of a table. */
struct line_of {
    char *name;
    const json_t *row;
    double percent;
    unsigned depth;
};

struct table {
    struct line_of *list;
    size_t count;
    unsigned width;
};

static json_int_t number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static const char *string(const json_t *row, const char *key)
{
    const char *value = json_string_value(json_object_get(row, key));

    return value ? value : "";
}

/* Of the events that left complete; 100 without events. */
static double percent_of(const json_t *row)
{
    json_int_t events = number(row, "events");

    return events > 0 ? 100.0 * (double)(number(row, "at_once") + number(row, "waited")) / (double)events
                      : 100;
}

/* Never rounded up to a whole: 99.999 is not 100. */
static void append_percent(struct text *out, double percent)
{
    text_append_format(out, "%9.2f%%", (double)(long long)(percent * 100) / 100);
}

/* ---- selection -------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *name, const char *const *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(wanted[i]);

        if (length && wanted[i][length - 1] == '*' ? strncmp(name, wanted[i], length - 1) == 0
                                                   : strcmp(name, wanted[i]) == 0)
            return true;
    }
    return count == 0;
}

static void select_pods(json_t *namespace_, const struct coverage_options *options)
{
    json_t *pods = json_object_get(namespace_, "pods");

    for (size_t i = json_array_size(pods); i-- > 0;) {
        if (!is_one_of(string(json_array_get(pods, i), "pod"), options->pods, options->pod_count))
            json_array_remove(pods, i);
    }
}

/* Leaves what was asked for in the answer. */
static void select_rows(json_t *root, const struct coverage_options *options)
{
    json_t *namespaces = json_object_get(root, "namespaces");

    for (size_t i = json_array_size(namespaces); i-- > 0;) {
        json_t *namespace_ = json_array_get(namespaces, i);

        select_pods(namespace_, options);
        if (!is_one_of(string(namespace_, "namespace"), options->namespaces, options->namespace_count) ||
            (options->pod_count && json_array_size(json_object_get(namespace_, "pods")) == 0))
            json_array_remove(namespaces, i);
    }
}

/* ---- a table ------------------------------------------------------------------------------------------------ */

static void table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->list[i].name);
    free(table->list);
    *table = (struct table){0};
}

static void table_add(struct table *table, struct text *name, const json_t *row, unsigned depth)
{
    struct line_of *grown = reallocarray(table->list, table->count + 1, sizeof(*grown));
    size_t size;

    if (!grown) {
        text_deinit(name);
        return;
    }
    table->list = grown;
    text_terminate(name);
    size = name->size + 2 * (size_t)depth;
    if (size > table->width)
        table->width = size < NAME_WIDTH_MAX ? (unsigned)size : NAME_WIDTH_MAX;
    table->list[table->count++] = (struct line_of){
        .name = text_take(name, &size), .row = row, .percent = percent_of(row), .depth = depth};
}

static int compare(const void *a, const void *b)
{
    const struct line_of *x = a, *y = b;

    if (x->percent != y->percent)
        return x->percent < y->percent ? -1 : 1;
    return number(x->row, "events") > number(y->row, "events") ? -1 : 1;
}

static void append_name(struct text *out, const char *name)
{
    text_append_neutral(out, name, strlen(name));
}

static void append_ms(struct text *out, const json_t *row, const char *key)
{
    const json_t *waits = json_object_get(row, "wait_ms");
    json_int_t ms = number(waits, key);

    if (!waits)
        text_append_format(out, " %7s", "-");
    else if (ms < 1000)
        text_append_format(out, " %5lldms", (long long)ms);
    else
        text_append_format(out, " %6.1fs", (double)ms / 1000);
}

/* In words, by the names that the enricher gives; one that this program does not know as it stands. */
static const char *reason_in_words(const char *name)
{
    static const char *const words[][2] = {{"not_known", "Pod not known in time"},
        {"given_up", "Pod not known, given up before"}, {"no_wait", "Pod not known, waiting is off"},
        {"no_container", "container's name not known"}, {"no_labels", "only the log directory knew it"},
        {"no_cgroup", "cgroup not known"}, {"evicted", "hold store full"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i][0], name) == 0)
            return words[i][1];
    }
    return name;
}

static void append_why(struct text *out, const json_t *row)
{
    const char *reason, *between = "  ";
    json_t *count;

    json_object_foreach(json_object_get(row, "why"), reason, count)
    {
        text_append_format(out, "%s%lld ", between, (long long)json_integer_value(count));
        append_name(out, reason_in_words(reason));
        between = ", ";
    }
}

static void append_line(struct text *out, const struct line_of *line, unsigned width)
{
    int pad = (int)width - (int)(line->depth * 2) - (int)strlen(line->name);

    text_append_format(out, "%*s%s%*s", (int)line->depth * 2, "", line->name, pad > 0 ? pad : 0, "");
    append_percent(out, line->percent);
    text_append_format(out, " %10lld %10lld %9lld", (long long)number(line->row, "events"),
        (long long)number(line->row, "at_once"), (long long)number(line->row, "waited"));
    append_ms(out, line->row, "p50");
    append_ms(out, line->row, "p99");
    append_ms(out, line->row, "max");
    text_append_format(out, " %10lld %9lld  %-9s", (long long)number(line->row, "incomplete"),
        (long long)number(line->row, "corrected"), string(line->row, "source"));
    append_why(out, line->row);
    while (out->size && out->data[out->size - 1] == ' ')
        out->size--;
    text_append_char(out, '\n');
}

static void append_table(struct text *out, const char *title, const struct table *table)
{
    unsigned width = table->width > strlen(title) ? table->width : (unsigned)strlen(title);

    text_append_format(out, "\n%-*s%10s %10s %10s %9s %7s %7s %7s %10s %9s  %s\n", (int)width, title,
        "COMPLETE", "EVENTS", "AT ONCE", "WAITED", "P50", "P99", "MAX", "INCOMPLETE", "CORRECTED",
        "FROM       WHY INCOMPLETE");
    for (size_t i = 0; i < table->count; i++)
        append_line(out, &table->list[i], width);
}

/* ---- the rows ------------------------------------------------------------------------------------------------- */

static void name_pod(struct text *name, const json_t *namespace_, const json_t *pod)
{
    const char *ns = string(namespace_, "namespace"), *of = string(pod, "pod"), *uid = string(pod, "uid");

    if (*ns) {
        append_name(name, ns);
        text_append_char(name, '/');
    }
    if (!*of && *uid)
        text_append_char(name, '?');
    if (*of || *uid)
        append_name(name, *of ? of : uid);
    else
        text_append_string(name, *ns ? "(earlier Pods)" : "(of no known Pod)");
    if (*uid && json_is_true(json_object_get(pod, "gone")))
        text_append_string(name, " (gone)");
}

static void add_types(struct table *table, const json_t *row, unsigned depth)
{
    const char *type;
    json_t *of_type;

    json_object_foreach(json_object_get(row, "by_type"), type, of_type)
    {
        struct text name = {0};

        append_name(&name, type);
        table_add(table, &name, of_type, depth);
    }
}

static void add_containers(struct table *table, const json_t *pod)
{
    size_t i;
    json_t *container;

    json_array_foreach(json_object_get(pod, "containers"), i, container)
    {
        struct text name = {0};
        const char *of = string(container, "container"), *id = string(container, "id");

        text_append_string(&name, "container ");
        if (*of) {
            append_name(&name, of);
        } else {
            text_append_neutral(&name, id, strlen(id) < 12 ? strlen(id) : 12);
            text_append_string(&name, *id ? " (in no status: the sandbox?)" : "none");
        }
        table_add(table, &name, container, 1);
        add_types(table, container, 2);
    }
}

static void collect_pods(struct table *table, const json_t *root)
{
    size_t i, k;
    json_t *namespace_, *pod;

    json_array_foreach(json_object_get(root, "namespaces"), i, namespace_)
    {
        json_array_foreach(json_object_get(namespace_, "pods"), k, pod)
        {
            struct text name = {0};

            name_pod(&name, namespace_, pod);
            table_add(table, &name, pod, 0);
        }
    }
    if (table->count)
        qsort(table->list, table->count, sizeof(*table->list), compare);
}

/* Each Pod with its event types and containers behind it. */
static void detail_pods(struct table *table)
{
    struct table detailed = {0};

    for (size_t i = 0; i < table->count; i++) {
        struct text name = {0};

        append_name(&name, table->list[i].name);
        table_add(&detailed, &name, table->list[i].row, 0);
        add_types(&detailed, table->list[i].row, 1);
        add_containers(&detailed, table->list[i].row);
    }
    table_free(table);
    *table = detailed;
}

static void append_namespaces(struct text *out, const json_t *root)
{
    struct table table = {0};
    size_t i;
    json_t *namespace_;

    json_array_foreach(json_object_get(root, "namespaces"), i, namespace_)
    {
        struct text name = {0};

        if (*string(namespace_, "namespace"))
            append_name(&name, string(namespace_, "namespace"));
        else
            text_append_string(&name, "(not known)");
        table_add(&table, &name, namespace_, 0);
    }
    if (table.count > 1) {
        qsort(table.list, table.count, sizeof(*table.list), compare);
        append_table(out, "NAMESPACE", &table);
    }
    table_free(&table);
}

static void append_summary(struct text *out, const json_t *root)
{
    const json_t *pods = json_object_get(root, "pods"), *host = json_object_get(root, "host");
    json_int_t left_out = number(root, "pods_left_out");

    text_append_string(out, "since ");
    append_name(out, string(root, "since"));
    text_append_string(out, " on ");
    append_name(out, string(root, "node_name"));
    text_append_string(out, "\nin Pods ");
    append_percent(out, percent_of(pods));
    text_append_format(out,
        " of %lld events left complete; %lld did not, %lld of them were corrected later\n",
        (long long)number(pods, "events"), (long long)number(pods, "incomplete"),
        (long long)number(pods, "corrected"));
    text_append_format(out, "on the host %lld events, in no Pod\n", (long long)number(host, "events"));
    if (left_out > 0)
        text_append_format(
            out, "%lld Pods are in the sums only: too many for one answer\n", (long long)left_out);
}

static void show(
    const json_t *root, struct table *table, const struct coverage_options *options, struct text *out)
{
    append_summary(out, root);
    if (table->count == 0) {
        text_append_string(out, "\nno event of such a Pod yet\n");
        return;
    }
    if (!options->pod_count)
        append_namespaces(out, root);
    else
        detail_pods(table);
    append_table(out, "POD", table);
}

int coverage_show(const char *answer, size_t size, const struct coverage_options *options, struct text *out,
    struct coverage_result *ret)
{
    json_t *root = json_loadb(answer, size, JSON_REJECT_DUPLICATES, NULL);
    struct table table = {0};
    char *json;

    if (!json_is_array(json_object_get(root, "namespaces"))) {
        json_decref(root);
        return -EBADMSG;
    }
    select_rows(root, options);
    collect_pods(&table, root);
    *ret =
        (struct coverage_result){.rows = table.count, .percent = table.count ? table.list[0].percent : 100};
    if (options->json) {
        json = json_dumps(root, JSON_COMPACT);
        text_append_string(out, json ? json : "");
        text_append_char(out, '\n');
        out->failed |= !json;
        free(json);
    } else {
        show(root, &table, options, out);
    }
    table_free(&table);
    json_decref(root);
    return 0;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

struct request {
    struct coverage_options options;
    const char *path;
    double fail_below; /* negative: not asked */
};

static int parse_percent(const char *word, double *ret)
{
    char *end;
    double percent = strtod(word, &end);

    if (end == word || (*end && strcmp(end, "%") != 0) || !(percent >= 0 && percent <= 100)) {
        log_error("--fail-below: expected a number from 0 to 100, not '%s'", word);
        return -EINVAL;
    }
    *ret = percent;
    return 0;
}

static int add_name(const char **names, size_t *count, const char *name)
{
    if (*count == COVERAGE_NAMES_MAX) {
        log_error("at most %d namespaces and Pods can be named", COVERAGE_NAMES_MAX);
        return -EINVAL;
    }
    names[(*count)++] = name;
    return 0;
}

static int take_option(struct request *request, int option)
{
    struct coverage_options *options = &request->options;

    switch (option) {
    case 'n':
        return add_name(options->namespaces, &options->namespace_count, optarg);
    case 'p':
        return add_name(options->pods, &options->pod_count, optarg);
    case 'f':
        return parse_percent(optarg, &request->fail_below);
    case 's':
        request->path = optarg;
        return 0;
    default:
        options->json = strcmp(optarg, "json") == 0;
        if (options->json || strcmp(optarg, "text") == 0)
            return 0;
        log_error("--output: expected text or json, not '%s'", optarg);
        return -EINVAL;
    }
}

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option long_options[] = {{"namespace", required_argument, NULL, 'n'},
        {"pod", required_argument, NULL, 'p'}, {"fail-below", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'}, {"events-socket", required_argument, NULL, 's'}, {0}};
    int option;

    optind = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":n:p:o:", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            return command_refuse_option(argc, argv, option);
        if (take_option(request, option) < 0)
            return COMMAND_BAD_USE;
    }
    if (!argv[optind])
        return COMMAND_DONE;
    log_error("coverage takes no '%s'; see podkin help coverage", argv[optind]);
    return COMMAND_BAD_USE;
}

int command_coverage(int argc, char **argv)
{
    struct request request = {.path = CLIENT_SOCKET_DEFAULT, .fail_below = -1};
    CLEANUP(text_deinit) struct text out = {0};
    CLEANUP_FREE char *answer = NULL;
    struct coverage_result result;
    size_t size;
    int r = parse(&request, argc, argv);

    if (r != COMMAND_DONE)
        return r;
    r = client_ask(request.path, "coverage\n", &answer, &size);
    if (r == 0)
        r = coverage_show(answer, size, &request.options, &out, &result);
    if (r == -EBADMSG)
        log_error("the answer from %s is not understood: is it the enricher's socket, and of this version?",
            request.path);
    else if (r < 0)
        log_error("cannot reach the enricher at %s: %s", request.path, strerror(-r));
    if (r < 0 || out.failed)
        return COMMAND_FAILED;
    (void)fwrite(out.data, 1, out.size, stdout);
    if (request.fail_below >= 0 && (result.rows == 0 || result.percent < request.fail_below))
        return COMMAND_FAILED;
    return COMMAND_DONE;
}
