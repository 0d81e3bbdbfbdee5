/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/node.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "common/cleanup.h"
#include "tests/e2e/pod.h"
#include "tests/e2e/tap.h"
#include "tests/support/service_manager.h"

#define ARGS_MAX     48
#define CHILDREN_MAX 16
#define SHOWN_LINES  128 /* of a log, when a case failed */

static pid_t children[CHILDREN_MAX];
static struct node *current;

const char *node_program(const char *path_in_build)
{
    static char paths[2][512];
    static unsigned turn;
    const char *root = getenv("PODKIN_BUILD_ROOT");

    turn ^= 1;
    (void)snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", root ? root : "build", path_in_build);
    return paths[turn];
}

const char *tap_missing(void)
{
    struct stat st;

    if (geteuid() != 0)
        return "needs root";
    if (!test_cgroup_root())
        return "no cgroup2 hierarchy is mounted";
    if (stat("/sys/kernel/btf/vmlinux", &st) < 0)
        return "the kernel has no BTF";
    if (!getpwnam(NODE_USER))
        return "no user " NODE_USER;
    if (access(node_program("collector/podkin-collector"), X_OK) < 0 ||
        access(node_program("enricher/podkin-enricher"), X_OK) < 0)
        return "podkin-collector or podkin-enricher is not built";
    return NULL;
}

uid_t node_uid(void)
{
    return getpwnam(NODE_USER)->pw_uid;
}

gid_t node_gid(void)
{
    return getpwnam(NODE_USER)->pw_gid;
}

uint64_t node_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void node_sleep_ms(unsigned ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

/* ---- processes ------------------------------------------------------------------------------------------ */

static void end_everything(void)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children[i] > 0) {
            (void)kill(children[i], SIGKILL);
            (void)waitpid(children[i], NULL, 0);
        }
    }
    if (current)
        node_end(current);
    test_cgroups_end();
}

static void on_signal(int number)
{
    /* Not async-signal-safe, and the last thing that this program does: its daemons and cgroups must go. */
    exit(128 + number); /* NOLINT(bugprone-signal-handler,cert-sig30-c) */
}

static void become(bool unprivileged)
{
    if (!unprivileged)
        return;
    if (setgroups(0, NULL) < 0 || setresgid(node_gid(), node_gid(), node_gid()) < 0 ||
        setresuid(node_uid(), node_uid(), node_uid()) < 0)
        _exit(126);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static pid_t spawn(
    const char *log, int out, bool unprivileged, struct service_manager *manager, const char *const argv[])
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        become(unprivileged);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || fd < 0 || dup2(null, 0) < 0 || dup2(out >= 0 ? out : fd, 1) < 0 ||
            dup2(fd, 2) < 0)
            _exit(126);
        if (fd > 2)
            (void)close(fd);
        if (manager)
            service_manager_enter(manager);
        (void)execv(argv[0], (char *const *)argv);
        (void)fprintf(stderr, "exec %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    for (size_t i = 0; pid > 0 && i < CHILDREN_MAX; i++) {
        if (children[i] == 0) {
            children[i] = pid;
            break;
        }
    }
    return pid;
}

pid_t node_start(const char *log, bool unprivileged, const char *const argv[])
{
    return spawn(log, -1, unprivileged, NULL, argv);
}

int node_stop(pid_t pid, int number)
{
    int status = 0;

    if (pid <= 0)
        return -1;
    (void)kill(pid, number);
    for (unsigned waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited++) {
        if (waited == 15000) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            status = -1;
            break;
        }
        node_sleep_ms(1);
    }
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children[i] == pid)
            children[i] = 0;
    }
    if (status == -1)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool node_is_running(pid_t pid)
{
    siginfo_t info = {0};

    return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

/* ---- the node ------------------------------------------------------------------------------------------- */

static void show_log(const char *name, const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    char lines[SHOWN_LINES][300];
    unsigned count = 0;

    while (file && fgets(lines[count % SHOWN_LINES], sizeof(lines[0]), file))
        count++;
    for (unsigned i = count > SHOWN_LINES ? count - SHOWN_LINES : 0; i < count; i++) {
        lines[i % SHOWN_LINES][strcspn(lines[i % SHOWN_LINES], "\n")] = '\0';
        tap_note("%s| %s", name, lines[i % SHOWN_LINES]);
    }
}

void node_show_status(const struct node *node)
{
    const char *argv[] = {
        node_program("enricher/podkin"), "status", "--events-socket", node->events_socket, NULL};
    char path[128];
    pid_t pid;

    (void)snprintf(path, sizeof(path), "%s/status.log", node->dir);
    pid = node_start(path, false, argv);
    for (unsigned i = 0; i < 600 && node_is_running(pid); i++)
        node_sleep_ms(10);
    (void)node_stop(pid, SIGTERM);
    show_log("status", path);
    (void)unlink(path);
}

/* A folder that the unprivileged user cannot enter (a clone in /root) must not matter. */
static int copy_program(const char *from, const char *to)
{
    CLEANUP_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    char buffer[65536];
    ssize_t n;

    if (in < 0 || out < 0)
        return -errno;
    while ((n = read(in, buffer, sizeof(buffer))) > 0) {
        if (write(out, buffer, (size_t)n) != n)
            return -EIO;
    }
    return n < 0 || fchmod(out, 0755) < 0 ? -errno : 0;
}

static void die(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}

void node_init(struct node *node)
{
    static bool registered;
    char path[128];

    if (!registered) {
        registered = true;
        (void)atexit(end_everything);
        (void)signal(SIGTERM, on_signal);
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGPIPE, SIG_IGN);
    }
    if (current)
        node_end(current);
    *node = (struct node){.output_fd = -1, .cgroup_hierarchy = test_cgroup_hierarchy()};
    (void)snprintf(node->dir, sizeof(node->dir), "/tmp/podkin-e2e.XXXXXX");
    if (!mkdtemp(node->dir) || chmod(node->dir, 0755) < 0)
        die(node->dir);
    (void)snprintf(path, sizeof(path), "%s/out", node->dir);
    if (mkdir(path, 0755) < 0 || chown(path, node_uid(), node_gid()) < 0)
        die(path);
    (void)snprintf(node->socket, sizeof(node->socket), "%s/collector.sock", node->dir);
    (void)snprintf(node->events_socket, sizeof(node->events_socket), "%s/out/events.sock", node->dir);
    (void)snprintf(node->output, sizeof(node->output), "%s/out/events.json", node->dir);
    (void)snprintf(node->pods, sizeof(node->pods), "%s/pods.json", node->dir);
    (void)snprintf(node->collector_log, sizeof(node->collector_log), "%s/collector.log", node->dir);
    (void)snprintf(node->enricher_log, sizeof(node->enricher_log), "%s/enricher.log", node->dir);
    (void)snprintf(path, sizeof(path), "%s/podkin-enricher", node->dir);
    if (copy_program(node_program("enricher/podkin-enricher"), path) < 0)
        die(path);
    if (test_pods_write(node->pods, NULL, 0) < 0)
        die(node->pods);
    current = node;
}

bool node_add_manager(struct node *node)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/notify.sock", node->dir);
    node->manager = service_manager_new(path);
    return tap_expect(node->manager != NULL, "no service manager: %s", strerror(errno));
}

void node_end(struct node *node)
{
    if (node->enricher > 0)
        (void)node_stop_enricher(node, SIGKILL);
    if (node->collector > 0)
        (void)node_stop_collector(node, SIGTERM);
    node->manager = service_manager_free(node->manager);
    if (node->output_fd >= 0)
        (void)close(node->output_fd);
    node->output_fd = -1;
    if (current != node)
        return;
    current = NULL;
    if (tap_failed()) {
        show_log("collector", node->collector_log);
        show_log("enricher", node->enricher_log);
    }
    if (getenv("PODKIN_E2E_KEEP")) {
        tap_note("kept: %s", node->dir);
        return;
    }
    for (int level = 0; level < 2; level++) {
        char folder[128], path[512];
        struct dirent *entry;
        DIR *dir;

        (void)snprintf(folder, sizeof(folder), "%s%s", node->dir, level ? "" : "/out");
        dir = opendir(folder);
        while (dir && (entry = readdir(dir))) {
            (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            (void)unlink(path);
        }
        if (dir)
            (void)closedir(dir);
        (void)rmdir(folder);
    }
}

static bool wait_socket(const char *path, pid_t pid)
{
    struct stat st;

    for (unsigned waited = 0; waited < 15000 && node_is_running(pid); waited += 2) {
        if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
            return true;
        node_sleep_ms(2);
    }
    return false;
}

static size_t add_options(const char **argv, size_t count, va_list ap)
{
    const char *option;

    while ((option = va_arg(ap, const char *)) && count < ARGS_MAX - 1)
        argv[count++] = option;
    argv[count] = NULL;
    return count;
}

static unsigned count_in_log(const char *log, const char *text)
{
    CLEANUP_FILE FILE *file = fopen(log, "re");
    char line[2048];
    unsigned count = 0;

    while (file && fgets(line, sizeof(line), file))
        count += strstr(line, text) != NULL;
    return count;
}

/* The socket is there a moment before its user may connect; this line comes after, and after an earlier collector's. */
static bool wait_ready(const struct node *node, unsigned ready_before)
{
    for (unsigned waited = 0; waited < 15000 && node_is_running(node->collector); waited += 2) {
        if (count_in_log(node->collector_log, "ready: ") > ready_before)
            return true;
        node_sleep_ms(2);
    }
    return false;
}

static void begin_collector(struct node *node, va_list ap)
{
    char program[512];
    const char *argv[ARGS_MAX] = {program, "--socket", node->socket, "--peer-user", NODE_USER,
        "--cgroup-hierarchy", node->cgroup_hierarchy};

    (void)snprintf(program, sizeof(program), "%s", node_program("collector/podkin-collector"));
    add_options(argv, 7, ap);
    (void)unlink(node->socket);
    if (node->manager)
        service_manager_settle(node->manager);
    node->collector = spawn(node->collector_log, -1, false, node->manager, argv);
}

void node_begin_collector(struct node *node, ...)
{
    va_list ap;

    va_start(ap, node);
    begin_collector(node, ap);
    va_end(ap);
}

bool node_start_collector(struct node *node, ...)
{
    unsigned ready_before = count_in_log(node->collector_log, "ready: ");
    va_list ap;

    va_start(ap, node);
    begin_collector(node, ap);
    va_end(ap);
    return tap_expect(wait_ready(node, ready_before), "the collector did not get ready");
}

bool node_start_enricher(struct node *node, ...)
{
    char program[128];
    const char *argv[ARGS_MAX] = {program, "--socket", node->socket, "--events-socket", node->events_socket,
        "--node-name", "e2e-node", "--output", node->to_pipe ? "-" : node->output};
    int ends[2] = {-1, -1};
    va_list ap;

    (void)snprintf(program, sizeof(program), "%s/podkin-enricher", node->dir);
    va_start(ap, node);
    add_options(argv, 9, ap);
    va_end(ap);
    (void)unlink(node->events_socket);
    if (node->to_pipe) {
        if (node->output_fd >= 0)
            (void)close(node->output_fd);
        if (pipe2(ends, O_CLOEXEC) < 0)
            die("pipe");
        (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    }
    node->enricher = spawn(node->enricher_log, ends[1], true, NULL, argv);
    node->serial++;
    if (ends[1] >= 0)
        (void)close(ends[1]);
    node->output_fd = ends[0];
    return tap_expect(
        wait_socket(node->events_socket, node->enricher), "enricher %u did not get ready", node->serial);
}

int node_stop_collector(struct node *node, int number)
{
    int status = node_stop(node->collector, number);

    node->collector = 0;
    return status;
}

int node_stop_enricher(struct node *node, int number)
{
    int status = node_stop(node->enricher, number);

    node->enricher = 0;
    return status;
}

bool node_log_contains(const char *log, const char *text)
{
    return count_in_log(log, text) > 0;
}

bool node_wait_log(const char *log, const char *text, unsigned timeout_ms)
{
    for (unsigned waited = 0; waited < timeout_ms; waited += 5) {
        if (node_log_contains(log, text))
            return true;
        node_sleep_ms(5);
    }
    return false;
}
