/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_enricher.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "tests/load/load_syscalls.h"

#define ARGS_MAX    80
#define STATUS_MAX  (1 << 18)
#define STATUS_MS   5000
#define STOP_WAIT_S 30

/* ---- its life ----------------------------------------------------------------------------------------------------- */

static void run(const struct load_conf *conf, const char *program, const char *folder, const char *source)
{
    char socket[200], events[200], output[200], log[200];
    const char *argv[ARGS_MAX] = {program, "--node-name=load", socket, events, output, source};
    size_t count = 6;
    int fd;

    (void)snprintf(socket, sizeof(socket), "--socket=%s/collector.sock", folder);
    (void)snprintf(events, sizeof(events), "--events-socket=%s/events.sock", folder);
    (void)snprintf(output, sizeof(output), "--output=%s/events.log", folder);
    for (size_t i = 0; i < conf->enricher_options.count && count < ARGS_MAX - 1; i++)
        argv[count++] = conf->enricher_options.items[i];
    (void)snprintf(log, sizeof(log), "%s/enricher.log", folder);
    fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execv(program, (char *const *)argv);
    _exit(127);
}

int load_enricher_start(struct load_enricher *enricher, const struct load_conf *conf, const char *program,
    const char *folder, const char *source)
{
    if (access(program, X_OK) < 0)
        return -errno;
    (void)snprintf(enricher->folder, sizeof(enricher->folder), "%s", folder);
    enricher->syscalls_fd = -1;
    enricher->pid = fork();
    if (enricher->pid < 0)
        return -errno;
    if (enricher->pid == 0)
        run(conf, program, folder, source);
    enricher->syscalls_fd = load_syscalls_open(enricher->pid);
    return 0;
}

bool load_enricher_is_running(struct load_enricher *enricher)
{
    int status;

    if (enricher->pid && waitpid(enricher->pid, &status, WNOHANG) == enricher->pid)
        enricher->pid = 0;
    return enricher->pid != 0;
}

int load_enricher_stop(struct load_enricher *enricher)
{
    uint64_t end_ns = clock_boot_ns() + STOP_WAIT_S * NS_PER_SEC;
    int status = 0;

    if (!enricher->pid)
        return 0;
    (void)kill(enricher->pid, SIGTERM);
    while (waitpid(enricher->pid, &status, WNOHANG) == 0) {
        if (clock_boot_ns() > end_ns)
            (void)kill(enricher->pid, SIGKILL);
        (void)usleep(10000);
    }
    enricher->pid = 0;
    fd_close(&enricher->syscalls_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- from outside ------------------------------------------------------------------------------------------------- */

static int read_proc(pid_t pid, const char *name, char *to, size_t size)
{
    char path[64];
    CLEANUP_CLOSE int fd = -1;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, to, size - 1);
    if (n < 0)
        return -errno;
    to[n] = '\0';
    return 0;
}

static uint64_t value_behind(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* proc(5): utime and stime are the 12th and 13th field behind the name, which may hold anything but ends with the last parenthesis. */
static void take_cpu(const char *stat, struct load_sample *sample)
{
    const char *at = strrchr(stat, ')');
    unsigned long long user = 0, system = 0;
    long ticks = sysconf(_SC_CLK_TCK);

    if (at && sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) == 2) {
        sample->cpu_user_us = user * 1000000 / (uint64_t)ticks;
        sample->cpu_system_us = system * 1000000 / (uint64_t)ticks;
    }
}

static int sample_proc(pid_t pid, struct load_sample *sample)
{
    char text[4096];
    int r = read_proc(pid, "stat", text, sizeof(text));

    if (r < 0)
        return r;
    take_cpu(text, sample);
    if (read_proc(pid, "status", text, sizeof(text)) == 0) {
        sample->rss_bytes = value_behind(text, "VmRSS:") * 1024;
        sample->rss_max_bytes = value_behind(text, "VmHWM:") * 1024;
        sample->switches_voluntary = value_behind(text, "\nvoluntary_ctxt_switches:");
        sample->switches_involuntary = value_behind(text, "\nnonvoluntary_ctxt_switches:");
    }
    if (read_proc(pid, "io", text, sizeof(text)) == 0) {
        sample->calls_io = value_behind(text, "syscr:") + value_behind(text, "syscw:");
    }
    return 0;
}

static int ask_status(const char *folder, char *answer, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t have = 0;

    if (fd < 0)
        return -errno;
    if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/events.sock", folder) >=
        sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || write(fd, "status\n", 7) != 7)
        return -errno;
    while (have < size - 1) {
        ssize_t n;

        if (poll(&poll_fd, 1, STATUS_MS) != 1)
            return -ETIMEDOUT;
        n = read(fd, answer + have, size - 1 - have);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    answer[have] = '\0';
    return 0;
}

static uint64_t number(const json_t *object, const char *part, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(object, part), key));
}

static void take_latency(const json_t *from, struct load_latency *to)
{
#define TAKE(key) to->key = (uint64_t)json_integer_value(json_object_get(from, #key))
    TAKE(count);
    TAKE(p50_us);
    TAKE(p90_us);
    TAKE(p99_us);
    TAKE(p999_us);
    TAKE(p9999_us);
    TAKE(max_us);
#undef TAKE
}

static void take_drops(json_t *from, struct load_drops *to)
{
    const char *reason;
    const json_t *events;

    json_object_foreach(from, reason, events)
    {
        if (to->count == LOAD_DROP_REASONS)
            break;
        (void)snprintf(to->list[to->count].reason, sizeof(to->list[0].reason), "%s", reason);
        to->list[to->count++].events = (uint64_t)json_integer_value(events);
    }
}

static void take_status(const json_t *status, struct load_sample *sample)
{
    const json_t *written = json_object_get(json_object_get(status, "output"), "write_latency");
    const json_t *released = json_object_get(json_object_get(status, "hold"), "release_latency");

    sample->received = number(status, "books", "received");
    sample->emitted = number(status, "books", "emitted");
    sample->held = number(status, "books", "held");
    sample->dropped = number(status, "books", "dropped");
    sample->balanced = json_is_true(json_object_get(json_object_get(status, "books"), "balanced"));
    sample->held_max = number(status, "hold", "high_water_events");
    sample->expired = number(status, "hold", "expired");
    sample->evicted = number(status, "hold", "evicted");
    sample->lost_records = number(status, "counters", "lost_records");
    sample->without_pod = number(status, "counters", "emitted_without_pod");
    sample->pod_only = number(status, "counters", "emitted_pod_only");
    sample->bytes = number(status, "output", "bytes");
    sample->lines = number(status, "output", "lines");
    take_latency(written, &sample->write);
    take_latency(released, &sample->release);
    take_drops(json_object_get(json_object_get(status, "books"), "dropped_by_reason"), &sample->drops);
}

int load_enricher_sample(const struct load_enricher *enricher, struct load_sample *ret)
{
    CLEANUP_FREE char *answer = malloc(STATUS_MAX);
    struct load_sample sample = {.time_ns = clock_boot_ns()};
    json_t *status;
    int r;

    if (!answer)
        return -ENOMEM;
    r = ask_status(enricher->folder, answer, STATUS_MAX);
    if (r == 0)
        r = sample_proc(enricher->pid, &sample);
    sample.syscalls_known = load_syscalls_read(enricher->syscalls_fd, &sample.syscalls) == 0;
    if (r < 0)
        return r;
    status = json_loads(answer, 0, NULL);
    if (!status)
        return -EBADMSG;
    take_status(status, &sample);
    json_decref(status);
    *ret = sample;
    return 0;
}
