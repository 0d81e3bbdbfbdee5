// SPDX-License-Identifier: Apache-2.0
/* podkin: what people see of the pipeline. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "enricher/cli/command.h"

static const char usage[] =
    "podkin " PODKIN_VERSION ": what runs on this node, and in which Pod\n"
    "\n"
    "  podkin events            every exec, fork and exit, live\n"
    "  podkin events FILE       the same from a file of JSON lines, podkin's or Tetragon's\n"
    "  podkin expand FILE       full JSON lines of normalised ones\n"
    "  podkin status            how the enricher is doing\n"
    "  podkin coverage          how many events of each Pod left with it, the worst first\n"
    "  podkin policy check FILE what a policy file hooks, or what is wrong with it\n"
    "  podkin explain PID       why a process has the Pod that it has, or why not\n"
    "\n"
    "  podkin help COMMAND      all options of a command\n"
    "  podkin --version\n"
    "\n"
    "Exit status: 0 fine, 1 failed at work, 2 bad use.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"events", command_events, command_events_help},
    {"expand", command_expand, command_expand_help},
    {"status", command_status, command_status_help},
    {"coverage", command_coverage, command_coverage_help},
    {"explain", command_explain, command_explain_help},
    {"policy", command_policy, command_policy_help},
};

static int help(const char *name)
{
    if (!name) {
        (void)fputs(usage, stdout);
        return COMMAND_DONE;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            (void)fputs(commands[i].help, stdout);
            return COMMAND_DONE;
        }
    }
    log_error("no command '%s'; podkin help lists them", name);
    return COMMAND_BAD_USE;
}

static int run(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;

    if (!word) {
        (void)fputs(usage, stderr);
        return COMMAND_BAD_USE;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        (void)puts("podkin " PODKIN_VERSION);
        return COMMAND_DONE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, word) != 0)
            continue;
        if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
            return help(word);
        return commands[i].run(argc - 1, argv + 1);
    }
    log_error(
        *word == '-' ? "unknown option '%s'; see podkin help" : "no command '%s'; podkin help lists them",
        word);
    return COMMAND_BAD_USE;
}

int main(int argc, char **argv)
{
    int status;

    log_init("podkin", LOG_LEVEL_INFO);
    (void)signal(SIGPIPE, SIG_IGN);
    /* Only for the width of characters: everything else is the same in every language. */
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "");
    status = run(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && errno != EPIPE && status == COMMAND_DONE) {
        log_error("cannot write the output: %s", strerror(errno));
        status = COMMAND_FAILED;
    }
    return status;
}
