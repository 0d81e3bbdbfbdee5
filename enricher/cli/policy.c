// SPDX-License-Identifier: Apache-2.0
/* podkin policy check: the reader of policies is the collector's, and this program does not link it: it is run. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/log.h"
#include "enricher/cli/command.h"

const char command_policy_help[] =
    "podkin policy check [options] FILE|DIR...\n"
    "\n"
    "Reads policy files as the collector would, without privilege and without loading\n"
    "them: what each policy hooks, or every fault with its file, line and column.\n"
    "\n"
    "  -o, --output FORMAT    text or json\n"
    "\n"
    "Runs podkin-collector, from the folder of this program, its neighbours or the PATH.\n"
    "Exit status: 0 fine, 1 something was refused, 2 bad use.\n";

#define COLLECTOR "podkin-collector"

/* Beside this program, where it is installed (sbin) and where it is built. */
static void run_neighbour(char **argv)
{
    static const char *const folders[] = {"/", "/../sbin/", "/../libexec/podkin/", "/../collector/"};
    char own[PATH_MAX], path[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    if (size < 0)
        return;
    own[size] = '\0';
    slash = strrchr(own, '/');
    if (!slash)
        return;
    *slash = '\0';
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s" COLLECTOR, own, folders[i]);
        (void)execv(path, argv); /* returns only when it is not there */
    }
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int command_policy(int argc, char **argv)
{
    char **words;
    int r;

    if (argc < 2 || strcmp(argv[1], "check") != 0) {
        log_error("policy: expected check; see podkin help policy");
        return COMMAND_BAD_USE;
    }
    if (asks_for_help(argc, argv)) {
        (void)fputs(command_policy_help, stdout);
        return COMMAND_DONE;
    }
    words = calloc((size_t)argc + 2, sizeof(*words));
    if (!words) {
        log_error("out of memory");
        return COMMAND_FAILED;
    }
    words[0] = (char *)COLLECTOR;
    words[1] = (char *)"--check-policy";
    memcpy(words + 2, argv + 2, (size_t)(argc - 2) * sizeof(*words));
    run_neighbour(words);
    (void)execvp(COLLECTOR, words);
    r = errno;
    free(words);
    log_error("cannot run " COLLECTOR ", which reads policies: %s", strerror(r));
    return COMMAND_FAILED;
}
