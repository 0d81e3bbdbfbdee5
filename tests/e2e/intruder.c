/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/intruder.h"

#include <errno.h>
#include <grp.h>
#include <linux/landlock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/record.h"
#include "common/sandbox.h"
#include "common/unix_socket.h"
#include "enricher/conf.h"
#include "enricher/crew.h"
#include "enricher/enricher.h"
#include "enricher/loop_internal.h"
#include "tests/e2e/tap.h"

#define STATUS_BROKEN 250
#define FDS_MAX       1024

/* ---- in its process ----------------------------------------------------------------------------------------- */

static void break_off(const char *what, int r)
{
    (void)fprintf(stderr, "# intruder: %s: %s\n", what, strerror(r < 0 ? -r : r));
    _exit(STATUS_BROKEN);
}

/* Its user, and none of the test's fds. */
static void become_the_user(void)
{
    gid_t gid = node_gid();
    uid_t uid = node_uid();

    for (int fd = 3; fd < FDS_MAX; fd++)
        (void)close(fd);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ||
        chdir("/") < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        break_off("becoming the user", errno);
    /* Lost with the user id; a program that was exec'd as that user has it. */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        break_off("prctl", errno);
}

/* What the daemon has open when it confines itself, and that. */
static struct enricher enricher;

static void become_the_enricher(struct intruder *intruder, enum intruder_kind kind)
{
    static struct conf conf;
    char source[160], output[128], error[OPTIONS_ERROR_MAX] = "";
    char *argv[] = {(char *)"podkin-enricher", (char *)"--socket", (char *)intruder->node->socket,
        (char *)"--events-socket", (char *)"none", (char *)"--source", source, (char *)"--output", output,
        (char *)(kind == INTRUDER_LANE ? "--lanes=2" : "--lanes=1"), NULL};
    int r;

    log_init("intruder", LOG_LEVEL_ERROR);
    (void)snprintf(source, sizeof(source), "file:%s", intruder->node->pods);
    (void)snprintf(output, sizeof(output), "%s/out/intruder.json", intruder->node->dir);
    if (conf_init(&conf, 10, argv, error) < 0) {
        (void)fprintf(stderr, "# intruder: %s\n", error);
        _exit(STATUS_BROKEN);
    }
    r = enricher_init(&enricher, &conf);
    if (r == 0 && kind != INTRUDER_BARE)
        r = enricher_confine(&enricher);
    if (r < 0)
        break_off("becoming the enricher", r);
    intruder->ring = loop_uring_ring(enricher.lane.loop);
}

void intruder_detach(struct intruder *intruder)
{
    if (intruder->connection >= 0)
        (void)close(intruder->connection);
    intruder->connection = -1;
    for (size_t i = 0; i < HANDOFF_FD_COUNT; i++) {
        if (intruder->fds[i] >= 0)
            (void)close(intruder->fds[i]);
        intruder->fds[i] = -1;
    }
}

int intruder_connect(const struct intruder *intruder)
{
    int fd = unix_connect(intruder->node->socket);

    if (fd < 0)
        errno = -fd;
    return fd < 0 ? -1 : fd;
}

int intruder_attach(struct intruder *intruder)
{
    const struct handoff_hello hello = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_HELLO, RECORD_VERSION};
    struct handoff_attach attach;
    struct pollfd waiting = {.events = POLLIN};
    size_t count = 0;
    ssize_t size;

    intruder_detach(intruder);
    intruder->connection = waiting.fd = intruder_connect(intruder);
    if (waiting.fd < 0)
        return -errno;
    (void)unix_send(waiting.fd, &hello, sizeof(hello), NULL, 0);
    if (poll(&waiting, 1, INTRUDER_TIME_MS) <= 0)
        return -ETIMEDOUT;
    size = unix_receive(waiting.fd, &attach, sizeof(attach), intruder->fds, HANDOFF_FD_COUNT, &count);
    if (size < 0)
        return (int)size;
    return size == sizeof(attach) && count == HANDOFF_FD_COUNT ? 0 : -ECONNREFUSED;
}

/* The one before may still be looked at by the collector. */
static void attach_patiently(struct intruder *intruder)
{
    int r = -EAGAIN;

    for (unsigned i = 0; r < 0 && i < 100; i++) {
        r = intruder_attach(intruder);
        if (r < 0)
            node_sleep_ms(20);
    }
    if (r < 0)
        break_off("attaching", r);
}

struct lane_attempt {
    attempt_fn *fn;
    struct intruder *intruder;
    int result;
};

static void try_in_lane(void *arg, struct lane *lane)
{
    struct lane_attempt *attempt = arg;

    if (lane->of.index == 1)
        attempt->result = attempt->fn(attempt->intruder) < 0 ? errno : 0;
}

static void live(const struct node *node, enum intruder_kind kind, attempt_fn *fn, unsigned turn)
{
    struct intruder intruder = {.node = node, .connection = -1, .fds = {-1, -1, -1, -1, -1}, .turn = turn};

    become_the_user();
    become_the_enricher(&intruder, kind);
    attach_patiently(&intruder);
    if (kind == INTRUDER_LANE) {
        struct lane_attempt attempt = {.fn = fn, .intruder = &intruder};

        crew_run(enricher.crew, &enricher.lane, try_in_lane, &attempt);
        _exit(attempt.result);
    }
    errno = 0;
    _exit(fn(&intruder) < 0 ? errno : 0);
}

/* ---- in the test's ------------------------------------------------------------------------------------------- */

pid_t intruder_start(const struct node *node, enum intruder_kind kind, attempt_fn *fn, unsigned turn)
{
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0)
        live(node, kind, fn, turn);
    tap_expect(pid > 0, "fork: %s", strerror(errno));
    return pid;
}

int intruder_wait(pid_t pid)
{
    int status = 0;

    if (pid < 0)
        return INTRUDER_BROKEN;
    for (unsigned waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited++) {
        if (waited == INTRUDER_TIME_MS) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            tap_note("the intruder did not end");
            return INTRUDER_BROKEN;
        }
        node_sleep_ms(1);
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return INTRUDER_KILLED;
    if (WIFSIGNALED(status))
        tap_note("the intruder was ended by signal %d", WTERMSIG(status));
    return WIFSIGNALED(status) || WEXITSTATUS(status) == STATUS_BROKEN ? INTRUDER_BROKEN
                                                                       : WEXITSTATUS(status);
}

int intruder_try(const struct node *node, enum intruder_kind kind, attempt_fn *fn)
{
    return intruder_wait(intruder_start(node, kind, fn, 0));
}

const char *intruder_no_filter(void)
{
    return sandbox_filters_calls() ? NULL : "a sanitizer's build filters no system calls";
}

const char *intruder_no_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0
               ? NULL
               : "this kernel has no Landlock";
}

/* ---- tables ---------------------------------------------------------------------------------------------------- */

static const struct attempt_row *current;

static long try_row(struct intruder *intruder)
{
    const long *call = current->call;

    return current->fn ? current->fn(intruder)
                       : syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
}

static const char *words(int result)
{
    switch (result) {
    case INTRUDER_KILLED:
        return "killed";
    case INTRUDER_BROKEN:
        return "not tried";
    case INTRUDER_DID_IT:
        return "it had an effect";
    default:
        return result ? strerrorname_np(result) : "allowed";
    }
}

static void report(const struct attempt_row *row, const char *group)
{
    char name[256];

    (void)snprintf(name, sizeof(name), "%s: %s; stopped by %s (%s)", group, row->what, row->stopped_by,
        words(row->expected));
    tap_report(name);
}

static bool is_for(enum intruder_kind kind, const struct attempt_row *row)
{
    return kind != INTRUDER_LANE || row->needs_landlock;
}

size_t intruder_count_rows(enum intruder_kind kind, const struct attempt_row *rows, size_t count)
{
    size_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += is_for(kind, &rows[i]);
    return sum;
}

void intruder_try_rows(const struct node *node, enum intruder_kind kind, const char *group,
    const struct attempt_row *rows, size_t count)
{
    const char *no_filter = kind != INTRUDER_BARE ? intruder_no_filter() : NULL;
    const char *no_landlock = intruder_no_landlock();

    for (size_t i = 0; i < count; i++) {
        if (!is_for(kind, &rows[i]))
            continue;
        current = &rows[i];
        if (no_filter || (no_landlock && rows[i].needs_landlock)) {
            tap_skip("%s", no_filter ? no_filter : no_landlock);
        } else {
            int result = intruder_try(node, kind, try_row);

            tap_expect(result == rows[i].expected, "%s: %s, expected: %s", rows[i].what, words(result),
                words(rows[i].expected));
            tap_expect(node_is_running(node->collector), "the collector is gone");
        }
        report(&rows[i], group);
    }
}
