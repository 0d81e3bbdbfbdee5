/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/standin.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/cleanup.h"
#include "tests/e2e/tap.h"

#define ARGS_MAX 32

/* The rest of the first line that begins so. */
static bool find_line(const char *path, const char *prefix, char *ret, size_t size)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    char line[256];

    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(ret, size, "%s", line + strlen(prefix));
        return true;
    }
    return false;
}

bool standin_start(struct standin *standin, const struct node *node, ...)
{
    const char *argv[ARGS_MAX] = {
        node_program("tests/load/podkin-kubelet-standin"), "--listen", "127.0.0.1:0", "--pods", node->pods};
    char url[100];
    size_t count = 5;
    va_list ap;

    *standin = (struct standin){0};
    (void)snprintf(standin->log, sizeof(standin->log), "%s/standin.log", node->dir);
    va_start(ap, node);
    while (count < ARGS_MAX - 1 && (argv[count] = va_arg(ap, const char *)))
        count++;
    va_end(ap);
    standin->pid = node_start(standin->log, false, argv);
    for (unsigned i = 0; i < 1000 && node_is_running(standin->pid); i++) {
        if (find_line(standin->log, "listening ", url, sizeof(url))) {
            (void)snprintf(standin->source, sizeof(standin->source), "kubelet:%s", url);
            return true;
        }
        node_sleep_ms(5);
    }
    return tap_expect(false, "the kubelet stand-in did not start");
}

void standin_stop(struct standin *standin)
{
    if (standin->pid > 0)
        (void)node_stop(standin->pid, SIGTERM);
    standin->pid = 0;
}

uint64_t standin_visible_ns(const struct standin *standin)
{
    char rest[128];

    return find_line(standin->log, "visible ", rest, sizeof(rest)) ? strtoull(rest, NULL, 10) : 0;
}
