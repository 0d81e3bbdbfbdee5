/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy adds to one call that it hooks: getpgid(own pid), which reaches a system call, its tracepoint and an LSM hook. For each way to
 * hook it: a policy that does not match, by a number and by binary, and one that does, with its record drained by this thread between batches.
 * Beside it bpftrace and syscount of libbpf-tools, where they are installed: a filter that does not hold, count(), printf().
 *
 * Each round measures without the hook and with it, one after the other; printed: the median of the rounds' differences, their least and
 * greatest, in ns of CPU time of the calling thread a call. "drain" is the CPU time of whoever reads the records, a call.
 * usage: hook_cost [ROUNDS [CALLS]]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector/hooks.h"
#include "collector/policy_file.h"
#include "common/clock.h"
#include "tests/bench/bench.h"

#define ROUNDS_MAX   100
#define BATCH_CALLS  1000 /* between two drains: no ring overflows */
#define READY_TRIES  200
#define EXIT_SKIPPED 77

struct cost {
    double call_ns, drain_ns;
};

struct bench {
    struct probe *probe;
    uint64_t seq, records;
    long calls; /* a round */
    bool is_broken;
};

struct series {
    double call_ns[ROUNDS_MAX], drain_ns[ROUNDS_MAX], off_ns[ROUNDS_MAX];
};

static uint64_t cpu_of(clockid_t clock)
{
    struct timespec ts;

    return clock_gettime(clock, &ts) ? 0 : (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int on_record(const struct record_header *record, size_t size, void *arg)
{
    struct bench *bench = arg;

    (void)size;
    bench->records += record->type == RECORD_HOOK;
    return 0;
}

/* drains: there are records to be read, by this thread, or by the process of the clock `reader` (NULL: none), which is left time for it. */
static struct cost measure(struct bench *bench, bool drains, const clockid_t *reader)
{
    uint64_t call_ns = 0, drain_ns = 0, reader_start = reader ? cpu_of(*reader) : 0;
    pid_t own = getpid();

    for (long done = 0; done < bench->calls; done += BATCH_CALLS) {
        uint64_t start = cpu_of(CLOCK_THREAD_CPUTIME_ID), end;

        for (int i = 0; i < BATCH_CALLS; i++)
            (void)syscall(SYS_getpgid, own);
        end = cpu_of(CLOCK_THREAD_CPUTIME_ID);
        call_ns += end - start;
        if (drains && !reader) {
            (void)probe_drain(bench->probe, on_record, bench, 0);
            drain_ns += cpu_of(CLOCK_THREAD_CPUTIME_ID) - end;
        }
        if (reader && drains)
            (void)poll(NULL, 0, 2); /* so that its buffer does not overflow */
    }
    if (reader)
        drain_ns = cpu_of(*reader) - reader_start;
    return (struct cost){(double)call_ns / (double)bench->calls, (double)drain_ns / (double)bench->calls};
}

/* `text` with this process for its first SELF. */
static int append_with_self(char *out, size_t size, const char *text)
{
    const char *word = strstr(text, "SELF");

    return word ? snprintf(out, size, "%.*s%d%s", (int)(word - text), text, getpid(), word + 4)
                : snprintf(out, size, "%s", text);
}

static void take(struct series *series, int round, struct cost off, struct cost on)
{
    series->off_ns[round] = off.call_ns;
    series->call_ns[round] = on.call_ns - off.call_ns;
    series->drain_ns[round] = on.drain_ns;
}

static void print(const char *way, const char *what, struct series *series, int rounds)
{
    qsort(series->off_ns, (size_t)rounds, sizeof(double), bench_compare);
    qsort(series->call_ns, (size_t)rounds, sizeof(double), bench_compare);
    qsort(series->drain_ns, (size_t)rounds, sizeof(double), bench_compare);
    (void)printf("%-30s %-22s +%7.0f ns (%.0f to %.0f)  drain %6.0f ns  call without %5.0f ns\n", way, what,
        series->call_ns[rounds / 2], series->call_ns[0], series->call_ns[rounds - 1],
        series->drain_ns[rounds / 2], series->off_ns[rounds / 2]);
    (void)fflush(stdout);
}

/* ---- podkin --------------------------------------------------------------------------------------------------------- */

/* A way to hook the call: all but the selectors, and what of them names the call. */
struct way {
    const char *name, *hook, *no_match, *match; /* SELF: this process */
    bool no_trampolines;
};

#define SELECTORS            "    selectors:\n    - "
#define OF_PID               "matchPIDs: [{operator: In, values: [SELF]}]\n"
#define OF_NOBODY            "matchPIDs: [{operator: In, values: [999999]}]\n"
#define OF_ARG(index, value) "matchArgs: [{index: " index ", operator: Equal, values: [\"" value "\"]}]\n"
#define KPROBE               "  kprobes:\n  - call: sys_getpgid\n    args: [{index: 0, type: int}]\n"

static const struct way ways[] = {
    {"raw_syscalls/sys_enter, raw",
        "  tracepoints:\n  - subsystem: raw_syscalls\n    event: sys_enter\n    raw: true\n"
        "    args: [{index: 1, type: long}]\n",
        OF_ARG("1", "99999"), OF_ARG("1", "121") "      " OF_PID, false},
    {"syscalls/sys_enter_getpgid",
        "  tracepoints:\n  - subsystem: syscalls\n    event: sys_enter_getpgid\n"
        "    args: [{index: 5, type: int}]\n",
        OF_ARG("5", "99999"), OF_ARG("5", "SELF"), false},
    {"kprobe sys_getpgid", KPROBE, OF_ARG("0", "99999"), OF_ARG("0", "SELF"), false},
    {"the same, no trampolines", KPROBE, OF_ARG("0", "99999"), OF_ARG("0", "SELF"), true},
    {"LSM task_getpgid", "  lsmhooks:\n  - hook: task_getpgid\n", OF_NOBODY, OF_PID, false},
};

static void on_fault(const struct policy_fault *fault, void *arg)
{
    (void)arg;
    (void)fprintf(stderr, "hook_cost: line %u: %s: %s\n", fault->place.line, fault->path, fault->message);
}

static int read_policy(struct policy_list *list, const struct way *way, const char *selector)
{
    char text[1024];
    int size = snprintf(text, sizeof(text),
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: cost}\nspec:\n%s" SELECTORS,
        way->hook);

    size += append_with_self(text + size, sizeof(text) - (size_t)size, selector);
    return policy_read_text(list, "cost", text, (size_t)size, on_fault, NULL);
}

/* One round with the policy; `error` says why it cannot be had. */
static int run_round(struct bench *bench, const struct way *way, const char *selector, bool is_told,
    struct cost *ret, struct hook_error *error)
{
    struct hooks_options options = {.probe = bench->probe,
        .seq = &bench->seq,
        .no_trampolines = way->no_trampolines,
        .put = on_record,
        .put_arg = bench};
    struct policy_list list = {0};
    struct hooks *hooks = NULL;
    int r = hooks_new(&hooks, &options, error->text);

    if (!r && read_policy(&list, way, selector) < 0)
        r = -EIO; /* ours, and told */
    if (!r)
        r = hooks_load(hooks, &list.items[0], error);
    bench->records = 0;
    if (!r)
        *ret = measure(bench, is_told, NULL);
    hooks_free(hooks);
    policy_list_deinit(&list);
    (void)probe_drain(bench->probe, on_record, bench, 0);
    if (r || bench->records == (is_told ? (uint64_t)bench->calls : 0))
        return r;
    (void)snprintf(error->text, sizeof(error->text), "%llu records of %ld calls",
        (unsigned long long)bench->records, is_told ? bench->calls : 0);
    return -EIO;
}

/* False: it cannot be had here, or went wrong, which is said. */
static bool run_way(
    struct bench *bench, const struct way *way, const char *what, const char *selector, int rounds)
{
    static struct series series;
    bool is_told = selector == way->match;

    for (int i = 0; i < rounds; i++) {
        struct cost off = measure(bench, false, NULL), on = {0};
        struct hook_error error = {0};
        int r;

        r = run_round(bench, way, selector, is_told, &on, &error);
        if (r < 0) {
            bench->is_broken |= r == -EIO;
            (void)printf("%-30s %s: %s\n", way->name, bench->is_broken ? "failed" : "skipped", error.text);
            return false;
        }
        take(&series, i, off, on);
    }
    print(way->name, what, &series, rounds);
    return true;
}

static void run_ways(struct bench *bench, int rounds)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (run_way(bench, &ways[i], "no match, number", ways[i].no_match, rounds) &&
            run_way(bench, &ways[i], "no match, binary",
                "matchBinaries: [{operator: In, values: [/nobody/has/this]}]\n", rounds))
            (void)run_way(bench, &ways[i], "match, a record", ways[i].match, rounds);
    }
}

/* ---- bpftrace ------------------------------------------------------------------------------------------------------- */

/* What it is asked, SELF is this process. getsid says that it is at work: its probe comes last. */
static const struct script {
    const char *way, *what, *text;
    bool prints;
} scripts[] = {
    {"bpftrace raw_syscalls", "no match, number",
        "tracepoint:raw_syscalls:sys_enter /args->id == 99999/ { @ = count(); }", false},
    {"bpftrace sys_enter_getpgid", "no match, number",
        "tracepoint:syscalls:sys_enter_getpgid /args->pid == 99999/ { @ = count(); }", false},
    {"bpftrace sys_enter_getpgid", "no match, name",
        "tracepoint:syscalls:sys_enter_getpgid /comm == \"nobody\"/ { @ = count(); }", false},
    {"bpftrace sys_enter_getpgid", "match, count()",
        "tracepoint:syscalls:sys_enter_getpgid /pid == SELF/ { @ = count(); }", false},
    {"bpftrace sys_enter_getpgid", "match, printf()",
        "tracepoint:syscalls:sys_enter_getpgid /pid == SELF/ { printf(\"%s %d %d\\n\", comm, pid, "
        "args->pid); }",
        true},
};

static pid_t start_bpftrace(const struct script *script)
{
    char text[512];
    int size = append_with_self(text, sizeof(text), script->text);
    pid_t pid;
    int null;

    (void)snprintf(text + size, sizeof(text) - (size_t)size,
        " tracepoint:syscalls:sys_enter_getsid /pid == %d/ { @ready = 1; system(\"kill -USR1 %d\"); }",
        getpid(), getpid());
    pid = fork();
    if (pid != 0)
        return pid;
    null = open("/dev/null", O_RDWR);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    (void)execlp("bpftrace", "bpftrace", "--unsafe", "-e", text, (char *)NULL);
    _exit(127);
}

/* Until it answers with SIGUSR1, which is blocked. */
static bool is_ready(pid_t pid)
{
    const struct timespec wait = {.tv_nsec = 50000000};
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    for (int i = 0; i < READY_TRIES; i++) {
        (void)getsid(0);
        if (sigtimedwait(&signals, NULL, &wait) == SIGUSR1) {
            (void)poll(NULL, 0, 200); /* the rest of the answers */
            while (sigtimedwait(&signals, NULL, &(struct timespec){0}) == SIGUSR1)
                ;
            return true;
        }
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return false;
    }
    return false;
}

static bool run_script_round(struct bench *bench, const struct script *script, struct cost *ret)
{
    pid_t pid = start_bpftrace(script);
    clockid_t clock;
    bool fine = pid > 0 && is_ready(pid) && clock_getcpuclockid(pid, &clock) == 0;

    if (fine)
        *ret = measure(bench, script->prints, &clock);
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    return fine;
}

static void run_scripts(struct bench *bench, int rounds)
{
    static struct series series;

    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        for (int round = 0; round < rounds; round++) {
            struct cost off = measure(bench, false, NULL), on = {0};

            if (!run_script_round(bench, &scripts[i], &on)) {
                (void)printf(
                    "%-30s skipped: bpftrace is not installed, or does not run here\n", scripts[i].way);
                return;
            }
            take(&series, round, off, on);
        }
        print(scripts[i].way, scripts[i].what, &series, rounds);
    }
}

/* ---- libbpf-tools --------------------------------------------------------------------------------------------------- */

/* syscount of libbpf-tools: raw tracepoints on every system call, a count in a hash. It says nothing when it is at work: it is given its time. */
static pid_t start_syscount(const char *pid_text)
{
    pid_t pid = fork();
    int null;

    if (pid != 0)
        return pid;
    null = open("/dev/null", O_RDWR);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    (void)execlp("syscount", "syscount", "-i", "100", "-p", pid_text, (char *)NULL);
    _exit(127);
}

static bool run_syscount_round(struct bench *bench, const char *pid_text, struct cost *ret)
{
    pid_t pid = start_syscount(pid_text);
    bool fine;

    (void)poll(NULL, 0, 2000);
    fine = pid > 0 && waitpid(pid, NULL, WNOHANG) == 0;
    if (fine)
        *ret = measure(bench, false, NULL);
    if (fine) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    return fine;
}

static void run_syscount(struct bench *bench, int rounds)
{
    static struct series series;
    static const char *const whats[] = {"no match, pid", "match, a count"};
    char pids[2][16] = {"1"};

    (void)snprintf(pids[1], sizeof(pids[1]), "%d", (int)getpid());
    for (size_t i = 0; i < 2; i++) {
        for (int round = 0; round < rounds; round++) {
            struct cost off = measure(bench, false, NULL), on = {0};

            if (!run_syscount_round(bench, pids[i], &on)) {
                (void)printf(
                    "%-30s skipped: libbpf-tools is not installed, or does not run here\n", "syscount");
                return;
            }
            take(&series, round, off, on);
        }
        print("syscount (libbpf-tools)", whats[i], &series, rounds);
    }
}

int main(int argc, char **argv)
{
    struct probe_options options = {.epoch_ns = clock_boot_ns()};
    struct bench bench = {.seq = clock_boot_ns()};
    char error[PROBE_ERROR_MAX];
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 7;
    sigset_t signals;

    bench.calls = argc > 2 ? strtol(argv[2], NULL, 10) : 50 * BATCH_CALLS;
    bench.calls -= bench.calls % BATCH_CALLS;
    if (rounds < 1 || rounds > ROUNDS_MAX || bench.calls < BATCH_CALLS) {
        (void)fprintf(stderr, "usage: hook_cost [ROUNDS [CALLS]]\n");
        return 2;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    if (probe_new(&bench.probe, &options, error) < 0 || probe_attach(bench.probe, error) < 0) {
        (void)fprintf(stderr, "hook_cost: skipped: %s\n", error);
        return EXIT_SKIPPED;
    }
    (void)printf("%d rounds of %ld calls\n", rounds, bench.calls);
    run_ways(&bench, rounds);
    run_scripts(&bench, rounds);
    run_syscount(&bench, rounds);
    probe_free(bench.probe);
    return bench.is_broken;
}
