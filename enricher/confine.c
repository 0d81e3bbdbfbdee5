/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/confine.h"

#include <errno.h>
#include <libgen.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "enricher/conf.h"
#include "enricher/kubeconfig.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- system calls ------------------------------------------------------------------------------------------------- */

static const struct sandbox_call calls[] = {
    /* the loop: io_uring, made before, or epoll */
    {.name = "io_uring_enter"},
    {.name = "epoll_wait"},
    {.name = "epoll_pwait"},
    {.name = "epoll_pwait2"},
    {.name = "epoll_ctl"},
    {.name = "poll"},
    {.name = "ppoll"},
    {.name = "read"},
    {.name = "readv"},
    {.name = "pread64"},
    {.name = "write"},
    {.name = "writev"},
    {.name = "pwrite64"},
    {.name = "clock_gettime"},
    {.name = "gettimeofday"},
    {.name = "nanosleep"},
    {.name = "clock_nanosleep"},
    {.name = "restart_syscall"},
    {.name = "rt_sigreturn"},
    {.name = "rt_sigprocmask"},
    {.name = "rt_sigaction"},
    {.name = "sigaltstack"},
    {.name = "sched_yield"},
    /* files, as far as sandbox_allow_paths() lets it */
    {.name = "openat"},
    {.name = "open"},
    {.name = "close"},
    {.name = "fcntl"},
    {.name = "fstat"},
    {.name = "newfstatat"},
    {.name = "stat"},
    {.name = "lstat"},
    {.name = "statx"},
    {.name = "statfs"},
    {.name = "fstatfs"},
    {.name = "access"},
    {.name = "faccessat"},
    {.name = "faccessat2"},
    {.name = "readlink"},
    {.name = "readlinkat"},
    {.name = "getdents64"},
    {.name = "lseek"},
    {.name = "ftruncate"},
    {.name = "fallocate"},
    {.name = "fadvise64"},
    {.name = "fsync"},
    {.name = "fdatasync"},
    {.name = "rename"},
    {.name = "renameat"},
    {.name = "renameat2"},
    {.name = "unlink"},
    {.name = "unlinkat"},
    {.name = "getcwd"},
    {.name = "inotify_add_watch"},
    {.name = "inotify_rm_watch"},
    /* sockets: the collector's, viewers', and what libcurl and the resolver need */
    {.name = "socket", .argument = 0, .compare = SANDBOX_EQUAL, .value = AF_UNIX},
    {.name = "socket", .argument = 0, .compare = SANDBOX_EQUAL, .value = AF_INET},
    {.name = "socket", .argument = 0, .compare = SANDBOX_EQUAL, .value = AF_INET6},
    {.name = "socket", .argument = 0, .compare = SANDBOX_EQUAL, .value = AF_NETLINK},
    {.name = "socketpair", .argument = 0, .compare = SANDBOX_EQUAL, .value = AF_UNIX},
    {.name = "connect"},
    {.name = "bind"},
    {.name = "accept4"},
    {.name = "getsockname"},
    {.name = "getpeername"},
    {.name = "getsockopt"},
    {.name = "setsockopt"},
    {.name = "sendto"},
    {.name = "sendmsg"},
    {.name = "sendmmsg"},
    {.name = "recvfrom"},
    {.name = "recvmsg"},
    {.name = "recvmmsg"},
    {.name = "shutdown"},
    /* of ioctl(2) what libraries ask; not TIOCSTI, which types into the terminal that we may have been started from */
    {.name = "ioctl", .argument = 1, .compare = SANDBOX_EQUAL, .value = FIONREAD},
    {.name = "ioctl", .argument = 1, .compare = SANDBOX_EQUAL, .value = FIONBIO},
    {.name = "ioctl", .argument = 1, .compare = SANDBOX_EQUAL, .value = TCGETS},
    {.name = "pipe2"},
    {.name = "eventfd2"},
    {.name = "dup"},
    /* memory: none that can be executed */
    {.name = "brk"},
    {.name = "mmap", .argument = 2, .compare = SANDBOX_NO_BITS, .value = PROT_EXEC},
    {.name = "mprotect", .argument = 2, .compare = SANDBOX_NO_BITS, .value = PROT_EXEC},
    {.name = "mremap"},
    {.name = "munmap"},
    {.name = "madvise"},
    {.name = "memfd_create"},
    {.name = "getrandom"},
    /* threads: the resolver's */
    {.name = "clone", .argument = 0, .compare = SANDBOX_ALL_BITS, .value = CLONE_THREAD | CLONE_VM},
    {.name = "futex"},
    {.name = "set_robust_list"},
    {.name = "rseq"},
    {.name = "prctl", .argument = 0, .compare = SANDBOX_EQUAL, .value = PR_SET_NAME},
    {.name = "sched_getaffinity"},
    {.name = "getpid"},
    {.name = "gettid"},
    {.name = "getuid"},
    {.name = "geteuid"},
    {.name = "getgid"},
    {.name = "getegid"},
    {.name = "getrusage"},
    {.name = "sysinfo"},
    {.name = "uname"},
    {.name = "exit"},
    {.name = "exit_group"},
};

/* ---- files -------------------------------------------------------------------------------------------------------- */

#define PATHS_MAX 96

struct paths {
    struct sandbox_path items[PATHS_MAX];
    char *owned[PATHS_MAX];
    size_t count;
    int error;
};

static void add(struct paths *paths, const char *path, enum sandbox_access access)
{
    char *copy = path ? strdup(path) : NULL;

    if (!path)
        return;
    if (!copy || paths->count == PATHS_MAX) {
        free(copy);
        paths->error = copy ? -E2BIG : -ENOMEM;
        return;
    }
    paths->owned[paths->count] = copy;
    paths->items[paths->count++] = (struct sandbox_path){copy, access};
}

/* The folder that a file stands in, and where it leads if it is a link. */
static void add_folder_of(struct paths *paths, const char *path, enum sandbox_access access)
{
    CLEANUP_FREE char *copy = path ? strdup(path) : NULL, *real = path ? realpath(path, NULL) : NULL;

    if (!path)
        return;
    if (copy)
        add(paths, dirname(copy), access);
    else
        paths->error = -ENOMEM;
    if (real && access == SANDBOX_READ)
        add(paths, dirname(real), access);
}

static void add_kubeconfig(struct paths *paths, const char *where)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config = {0};

    if (strcmp(where, KUBECONFIG_IN_CLUSTER) != 0)
        add_folder_of(paths, where, SANDBOX_READ);
    if (kubeconfig_load(&config, where, error) < 0)
        return; /* said elsewhere; it may come later, in that folder */
    add_folder_of(paths, config.token_file, SANDBOX_READ);
    add_folder_of(paths, config.ca_file, SANDBOX_READ);
    add_folder_of(paths, config.client_cert, SANDBOX_READ);
    add_folder_of(paths, config.client_key, SANDBOX_READ);
    kubeconfig_deinit(&config);
}

static void add_source(struct paths *paths, const char *spec)
{
    enum pod_source kind;
    const char *where;

    if (source_parse(spec, &kind, &where) < 0)
        return; /* refused before */
    if (kind == POD_SOURCE_FILE)
        add_folder_of(paths, where, SANDBOX_READ);
    else if (kind == POD_SOURCE_LOGDIR)
        add(paths, where, SANDBOX_READ);
    else if (kind == POD_SOURCE_APISERVER)
        add_kubeconfig(paths, where);
}

/* Of the system: names of hosts, certificates, what libraries look up, /proc for `podkin explain`. */
static const char *const system_paths[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf",
    "/etc/gai.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/localtime", "/run/systemd/resolve",
    "/etc/ssl", "/usr/lib/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/pki",
    "/dev/null", "/dev/urandom", "/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu"};

static void fill_paths(struct paths *paths, const struct conf *conf)
{
    for (size_t i = 0; i < COUNT(system_paths); i++)
        add(paths, system_paths[i], SANDBOX_READ);
    add(paths, getenv("CREDENTIALS_DIRECTORY"), SANDBOX_READ);
    for (size_t i = 0; i < conf->sources.count; i++)
        add_source(paths, conf->sources.items[i]);
    add_folder_of(paths, conf->token_file, SANDBOX_READ);
    add_folder_of(paths, conf->ca_file, SANDBOX_READ);
    add_folder_of(paths, conf->client_cert, SANDBOX_READ);
    add_folder_of(paths, conf->client_key, SANDBOX_READ);
    if (conf->output_path && strcmp(conf->output_path, "-") != 0)
        add_folder_of(paths, conf->output_path, SANDBOX_WRITE);
    if (conf->events_socket[0])
        add_folder_of(paths, conf->events_socket, SANDBOX_WRITE); /* its socket is removed at the end */
}

static int limit_files(const struct conf *conf)
{
    struct paths paths = {.count = 0};
    int r, version = 0;

    fill_paths(&paths, conf);
    r = paths.error ? paths.error : sandbox_allow_paths(paths.items, paths.count, &version);
    for (size_t i = 0; i < paths.count; i++)
        free(paths.owned[i]);
    return r;
}

/* ------------------------------------------------------------------------------------------------------------------- */

static int judge(int r, const char *what)
{
    if (r == -EOPNOTSUPP) {
        log_warning("sandbox: this kernel cannot limit %s", what);
        return 0;
    }
    if (r < 0)
        log_error("sandbox: limiting %s: %s", what, strerror(-r));
    return r;
}

static int lacking_is_fine(int r)
{
    return r == -EOPNOTSUPP ? 0 : r;
}

int confine_thread(const struct conf *conf)
{
    int r = lacking_is_fine(sandbox_begin());

    if (r == 0)
        r = lacking_is_fine(sandbox_keep_capabilities(0));
    return r < 0 ? r : lacking_is_fine(limit_files(conf));
}

int confine_enricher(const struct conf *conf)
{
    /* Signals to itself alone: abort(3). */
    const struct sandbox_call own[] = {
        {.name = "tgkill", .argument = 0, .compare = SANDBOX_EQUAL, .value = (uint64_t)getpid()}};
    const struct sandbox_call *const lists[] = {calls, own};
    const size_t counts[] = {COUNT(calls), COUNT(own)};
    int r = judge(sandbox_begin(), "privileges");

    if (r == 0)
        r = judge(sandbox_keep_capabilities(0), "capabilities");
    if (r == 0)
        r = judge(limit_files(conf), "files");
    if (r == 0)
        r = judge(sandbox_allow_calls(lists, counts, COUNT(lists)), "system calls");
    return r;
}
