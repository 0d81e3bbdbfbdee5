/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_standin.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define ARGS_MAX       96
#define NAME_MAX_BYTES 256

struct arguments {
    const char *items[ARGS_MAX];
    size_t count;
    char pods[NAME_MAX_BYTES], directory[NAME_MAX_BYTES], seed[40], log[NAME_MAX_BYTES];
};

static void add(struct arguments *arguments, const char *item)
{
    if (arguments->count < ARGS_MAX - 1)
        arguments->items[arguments->count++] = item;
}

static void add_pair(struct arguments *arguments, const char *name, const char *value)
{
    add(arguments, name);
    add(arguments, value);
}

static void fill(
    struct arguments *arguments, const struct load_conf *conf, const char *program, const char *folder)
{
    *arguments = (struct arguments){0};
    (void)snprintf(arguments->pods, sizeof(arguments->pods), "%s/pods.json", folder);
    (void)snprintf(arguments->directory, sizeof(arguments->directory), "%s", folder);
    (void)snprintf(arguments->log, sizeof(arguments->log), "%s/standin.log", folder);
    (void)snprintf(arguments->seed, sizeof(arguments->seed), "%llu", (unsigned long long)conf->seed);
    add(arguments, program);
    add_pair(arguments, "--pods", arguments->pods);
    add_pair(arguments, "--delay-from", "containers");
    add_pair(arguments, "--seed", arguments->seed);
    if (conf->standin == LOAD_STANDIN_KUBELET)
        add_pair(arguments, "--listen", "127.0.0.1:0");
    else
        add_pair(arguments, "--directory", arguments->directory);
    if (conf->standin_delay)
        add_pair(arguments, "--delay", conf->standin_delay);
    for (size_t i = 0; i < conf->standin_faults.count; i++)
        add_pair(arguments, "--fault", conf->standin_faults.items[i]);
}

static int find_program(const struct load_conf *conf, char path[PATH_MAX])
{
    const char *name =
        conf->standin == LOAD_STANDIN_KUBELET ? "podkin-kubelet-standin" : "podkin-apiserver-standin";
    char own[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);

    if (size < 0)
        return -errno;
    own[size] = '\0';
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", dirname(own), name) >= PATH_MAX)
        return -ENAMETOOLONG;
    return access(path, X_OK) < 0 ? -errno : 0;
}

static void run(const struct arguments *arguments, int out)
{
    int log = open(arguments->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execv(arguments->items[0], (char *const *)arguments->items);
    _exit(127);
}

/* "listening URL" is its first line; later ones (visible …) go into a pipe that nobody reads any more, which it survives. */
static int read_url(int fd, char url[128])
{
    CLEANUP_FILE FILE *file = fdopen(fd, "r");
    char line[256];

    if (!file) {
        (void)close(fd);
        return -errno;
    }
    return fgets(line, sizeof(line), file) && sscanf(line, "listening %127s", url) == 1 ? 0 : -ECHILD;
}

int load_standin_start(struct load_standin *standin, const struct load_conf *conf, const char *folder)
{
    char program[PATH_MAX], url[128] = "";
    struct arguments arguments;
    int fds[2], r;

    *standin = (struct load_standin){0};
    (void)snprintf(standin->source, sizeof(standin->source), "--source=file:%s/pods.json", folder);
    if (conf->standin == LOAD_STANDIN_NONE)
        return 0;
    r = find_program(conf, program);
    if (r < 0)
        return r;
    fill(&arguments, conf, program, folder);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    standin->pid = fork();
    if (standin->pid == 0)
        run(&arguments, fds[1]);
    (void)close(fds[1]);
    r = read_url(fds[0], url); /* the end of the file, if there is no process */
    if (conf->standin == LOAD_STANDIN_KUBELET)
        (void)snprintf(standin->source, sizeof(standin->source), "--source=kubelet:%s", url);
    else
        (void)snprintf(standin->source, sizeof(standin->source), "--source=apiserver:%s/kubeconfig", folder);
    return r;
}

void load_standin_stop(struct load_standin *standin)
{
    if (standin->pid <= 0)
        return;
    (void)kill(standin->pid, SIGTERM);
    (void)waitpid(standin->pid, NULL, 0);
    standin->pid = 0;
}
