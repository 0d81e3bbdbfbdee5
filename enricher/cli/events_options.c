// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/events_options.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "common/log.h"
#include "enricher/cli/client.h"
#include "enricher/cli/command.h"

const char command_events_help[] =
    "podkin events [FILE…|-] [options]\n"
    "\n"
    "Shows events: live from the enricher, or from files or stdin of JSON lines\n"
    "(podkin's, full or normalised, or Tetragon's). A line that is not understood never stops it.\n"
    "\n"
    "What is shown (values of one option are alternatives, options are all required)\n"
    "  --type LIST            exec,fork,exit,kprobe,tracepoint,lsm,uprobe,lost,pod_update,other\n"
    "  --namespace NS         of the Pod\n"
    "  --pod NAME             the Pod's name; 'web-*': all that begin so\n"
    "  --container NAME       its name in the Pod\n"
    "  --binary PATH          a whole path, or the end of one: nginx, bin/nginx\n"
    "  --pid N                on the node\n"
    "  --policy NAME          events of this policy\n"
    "  --unresolved           only events in a Pod's cgroup that lack Pod or container\n"
    "  -n, --count COUNT      stop after so many\n"
    "\n"
    "How\n"
    "  -o, --output FORMAT    compact (a line for people) or json (the full lines)\n"
    "  --time FORMAT          local, utc, relative (to the first event) or none\n"
    "  --color WHEN           auto, always or never; NO_COLOR is respected\n"
    "  --ascii                no pictures, nothing but ASCII of our own\n"
    "  --summary              at the end, or on Ctrl-C: events by type and Pod state, held, lost\n"
    "\n"
    "From where\n"
    "  -f, --follow           FILE: go on at its end, across rotations\n"
    "  --events-socket PATH   of the enricher; default " CLIENT_SOCKET_DEFAULT "\n"
    "  --no-reconnect         end when the enricher goes away\n"
    "\n"
    "lost lines are shown whatever is asked for, unless --type leaves them out: the\n"
    "gap may hide what was asked for.\n";

enum {
    OPTION_TYPE = 256,
    OPTION_NAMESPACE,
    OPTION_POD,
    OPTION_CONTAINER,
    OPTION_BINARY,
    OPTION_PID,
    OPTION_POLICY,
    OPTION_UNRESOLVED,
    OPTION_TIME,
    OPTION_COLOR,
    OPTION_ASCII,
    OPTION_SUMMARY,
    OPTION_SOCKET,
    OPTION_NO_RECONNECT,
};

static const struct option long_options[] = {
    {"type", required_argument, NULL, OPTION_TYPE},
    {"namespace", required_argument, NULL, OPTION_NAMESPACE},
    {"pod", required_argument, NULL, OPTION_POD},
    {"container", required_argument, NULL, OPTION_CONTAINER},
    {"binary", required_argument, NULL, OPTION_BINARY},
    {"pid", required_argument, NULL, OPTION_PID},
    {"policy", required_argument, NULL, OPTION_POLICY},
    {"unresolved", no_argument, NULL, OPTION_UNRESOLVED},
    {"count", required_argument, NULL, 'n'},
    {"output", required_argument, NULL, 'o'},
    {"time", required_argument, NULL, OPTION_TIME},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"ascii", no_argument, NULL, OPTION_ASCII},
    {"summary", no_argument, NULL, OPTION_SUMMARY},
    {"follow", no_argument, NULL, 'f'},
    {"events-socket", required_argument, NULL, OPTION_SOCKET},
    {"no-reconnect", no_argument, NULL, OPTION_NO_RECONNECT},
    {0},
};

int command_refuse_option(int argc, char **argv, int result)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

    if (result == ':')
        log_error("option '%s' needs a value; see podkin help %s", word, argv[0]);
    else if (optopt > 0 && optopt < 256)
        log_error("unknown option '-%c'; see podkin help %s", optopt, argv[0]);
    else
        log_error("unknown option '%s'; see podkin help %s", word, argv[0]);
    return COMMAND_BAD_USE;
}

/* The index of `word` in `choices` (NULL at the end), or -EINVAL after it was said. */
static int choose(const char *option, const char *word, const char *const *choices)
{
    char all[128] = "";

    for (int i = 0; choices[i]; i++) {
        if (strcmp(word, choices[i]) == 0)
            return i;
        (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", choices[i]);
    }
    log_error("%s: expected one of %s, not '%s'", option, all, word);
    return -EINVAL;
}

static int add_types(struct events_options *options, const char *list)
{
    struct slice bad;

    if (!filter_add_types(&options->filter, list, &bad))
        return 0;
    log_error("--type: no event type '%.*s'; there are exec, fork, exit, kprobe, tracepoint, lsm, uprobe, "
              "lost, pod_update, other",
        (int)bad.size, bad.data);
    return COMMAND_BAD_USE;
}

static int add_filter(struct events_options *options, enum filter_key key, const char *value)
{
    switch (filter_add(&options->filter, key, value)) {
    case 0:
        return 0;
    case -EINVAL:
        log_error("--pid: expected a process id, not '%s'", value);
        return COMMAND_BAD_USE;
    default:
        log_error("more than %d values for one filter", FILTER_VALUES_MAX);
        return COMMAND_BAD_USE;
    }
}

static int set_count(struct events_options *options, const char *value)
{
    char *end;

    errno = 0;
    options->count = strtoull(value, &end, 10);
    if (*value >= '0' && *value <= '9' && !*end && !errno && options->count)
        return 0;
    log_error("--count: expected a number above 0, not '%s'", value);
    return COMMAND_BAD_USE;
}

enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

static int set_choice(int option, const char *value, struct events_options *options, int *color)
{
    static const char *const outputs[] = {"compact", "json", NULL};
    static const char *const times[] = {"local", "utc", "none", "relative", NULL};
    static const char *const colors[] = {"auto", "always", "never", NULL};
    int chosen = option == 'o'           ? choose("--output", value, outputs)
                 : option == OPTION_TIME ? choose("--time", value, times)
                                         : choose("--color", value, colors);

    if (chosen < 0)
        return COMMAND_BAD_USE;
    if (option == 'o')
        options->json = chosen == 1;
    else if (option == OPTION_TIME)
        options->compact.time = (enum compact_time)chosen;
    else
        *color = chosen;
    return 0;
}

static int apply(struct events_options *options, int option, char *value, int *color)
{
    switch (option) {
    case OPTION_TYPE:
        return add_types(options, value);
    case OPTION_NAMESPACE:
        return add_filter(options, FILTER_NAMESPACE, value);
    case OPTION_POD:
        return add_filter(options, FILTER_POD, value);
    case OPTION_CONTAINER:
        return add_filter(options, FILTER_CONTAINER, value);
    case OPTION_BINARY:
        return add_filter(options, FILTER_BINARY, value);
    case OPTION_PID:
        return add_filter(options, FILTER_PID, value);
    case OPTION_POLICY:
        return add_filter(options, FILTER_POLICY, value);
    case 'n':
        return set_count(options, value);
    case 'o':
    case OPTION_TIME:
    case OPTION_COLOR:
        return set_choice(option, value, options, color);
    case OPTION_UNRESOLVED:
        options->filter.unresolved = true;
        return 0;
    case OPTION_ASCII:
        options->compact.ascii = true;
        return 0;
    case OPTION_SUMMARY:
        options->summary = true;
        return 0;
    case 'f':
        options->follow = true;
        return 0;
    case OPTION_SOCKET:
        options->socket_path = value;
        return 0;
    default:
        options->reconnect = false;
        return 0;
    }
}

unsigned events_terminal_columns(void)
{
    const char *from_environment = getenv("COLUMNS");
    struct winsize size = {0};

    if (!isatty(STDOUT_FILENO))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return from_environment ? (unsigned)strtoul(from_environment, NULL, 10) : 0;
}

static void look_at_terminal(struct events_options *options, int color)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool terminal = isatty(STDOUT_FILENO), dumb = !term || strcmp(term, "dumb") == 0;

    options->compact.color =
        color == COLOR_ALWAYS || (color == COLOR_AUTO && terminal && !dumb && !(no_color && *no_color));
    options->compact.columns = events_terminal_columns();
    /* The kernel's own console has no pictures. */
    if (terminal && (dumb || strcmp(term, "linux") == 0))
        options->compact.ascii = true;
}

int events_options_parse(struct events_options *ret, int argc, char **argv)
{
    struct events_options options = {.socket_path = CLIENT_SOCKET_DEFAULT, .reconnect = true};
    int option, color = COLOR_AUTO, r;

    optind = 0; /* also forgets an earlier scan */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":fn:o:", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            return command_refuse_option(argc, argv, option);
        r = apply(&options, option, optarg, &color);
        if (r)
            return r;
    }
    options.file = argv[optind];
    options.more_files = argv + optind + (options.file != NULL);
    if (options.follow && *options.more_files) {
        log_error("--follow is for one file: '%s' and '%s'", options.file, *options.more_files);
        return COMMAND_BAD_USE;
    }
    if (options.follow && (!options.file || strcmp(options.file, "-") == 0)) {
        log_error("--follow is for a file; %s is followed anyway", options.file ? "stdin" : "the enricher");
        return COMMAND_BAD_USE;
    }
    look_at_terminal(&options, color);
    options.compact.day_first = options.file && strcmp(options.file, "-") != 0;
    *ret = options;
    return 0;
}
