/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_logdir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include "common/cleanup.h"
#include "enricher/loop.h"
#include "enricher/pod.h"
#include "enricher/source_logdir_pod.h"

#define READS_PER_TURN 8
#define WATCH_ROOT     (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
#define WATCH_FOLDER   (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR)

struct source_logdir {
    struct source source; /* first */
    struct loop *loop;
    struct pod_table *table;
    char *root, *pods_path, *containers_path;
    struct source_state state;

    int inotify_fd, root_watch, pods_watch, containers_watch;
    struct loop_poll poll;
    struct loop_timer timer;
    unsigned watches, max_watches;
    int watch_error; /* errno of the first watch that was refused, 0: all are granted */
    uint64_t scanned_ns;
    unsigned scan;
    struct logdir_pod *pods;
    size_t pod_count;
    size_t refused; /* by the table, to be told again */
    bool failed;    /* in this scan */
};

static __attribute__((format(printf, 2, 3))) void logdir_fail(
    struct source_logdir *logdir, const char *format, ...)
{
    va_list args;

    logdir->state.failures++;
    if (logdir->failed)
        return; /* the first says most */
    logdir->failed = true;
    va_start(args, format);
    (void)vsnprintf(logdir->state.last_error, sizeof(logdir->state.last_error), format, args);
    va_end(args);
}

/* ---- watches */

static int add_watch(struct source_logdir *logdir, const char *path, uint32_t mask)
{
    int watch = -1;

    if (logdir->watches >= logdir->max_watches)
        errno = ENOSPC;
    else
        watch = inotify_add_watch(logdir->inotify_fd, path, mask);
    if (watch >= 0)
        logdir->watches++;
    else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES && logdir->watch_error == 0)
        logdir->watch_error = errno;
    return watch;
}

static void remove_watch(struct source_logdir *logdir, int *watch)
{
    if (*watch < 0)
        return;
    (void)inotify_rm_watch(logdir->inotify_fd, *watch);
    *watch = -1;
    logdir->watches--;
}

/* ---- Pods */

static struct logdir_pod *find_pod(struct source_logdir *logdir, const char *uid)
{
    for (struct logdir_pod *pod = logdir->pods; pod; pod = pod->next)
        if (strcmp(pod->told.uid, uid) == 0)
            return pod;
    return NULL;
}

static struct logdir_pod *find_pod_by_watch(struct source_logdir *logdir, int watch)
{
    for (struct logdir_pod *pod = logdir->pods; pod; pod = pod->next)
        if (pod->watch == watch)
            return pod;
    return NULL;
}

static void tell_pods(struct source_logdir *logdir)
{
    uint64_t now_ns = loop_now(logdir->loop);

    logdir->refused = 0;
    for (struct logdir_pod *pod = logdir->pods; pod; pod = pod->next) {
        if (!pod->news)
            continue;
        if (pod_table_merge(logdir->table, POD_SOURCE_LOGDIR, &pod->told, now_ns) < 0) {
            logdir->refused++;
            continue;
        }
        pod->news = false;
        logdir->state.last_success_ns = now_ns;
        for (size_t i = 0; i < pod->told.container_count; i++)
            pod_container_clear_old_ids(&pod->told.containers[i]);
    }
    if (logdir->refused)
        logdir_fail(logdir, "%zu Pods found no room in the table", logdir->refused);
    logdir->state.pods_seen = logdir->pod_count;
}

static void drop_pod(struct source_logdir *logdir, struct logdir_pod **link)
{
    struct logdir_pod *pod = *link;

    pod_table_remove(logdir->table, POD_SOURCE_LOGDIR, pod->told.uid, loop_now(logdir->loop));
    remove_watch(logdir, &pod->watch);
    *link = pod->next;
    logdir->pod_count--;
    logdir_pod_free(pod);
}

/* ---- reading folders */

/* Calls fn for each name but the hidden ones. 0 or negative errno. */
typedef void name_fn(struct source_logdir *logdir, void *arg, const char *name);

static int read_folder(struct source_logdir *logdir, const char *path, int flags, name_fn *fn, void *arg)
{
    CLEANUP_DIR DIR *folder = NULL;
    const struct dirent *entry;
    size_t count = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

    if (fd < 0)
        return -errno;
    folder = fdopendir(fd);
    if (!folder) {
        (void)close(fd);
        return -ENOMEM;
    }
    while ((entry = readdir(folder)) && count++ < SOURCE_LOGDIR_MAX_NAMES)
        if (entry->d_name[0] != '.')
            fn(logdir, arg, entry->d_name);
    return 0;
}

static void on_container_folder(struct source_logdir *logdir, void *arg, const char *name)
{
    struct logdir_pod *pod = arg;

    if (logdir_is_container(name))
        (void)logdir_pod_add_container(pod, name);
    else
        logdir->state.ignored++;
}

static void on_pod_folder(struct source_logdir *logdir, void *arg, const char *name)
{
    struct logdir_pod_name parsed;
    struct logdir_pod *pod;
    char path[PATH_MAX];
    int r;

    (void)arg;
    if (!logdir_parse_pod(name, &parsed)) {
        logdir->state.ignored++;
        return;
    }
    pod = find_pod(logdir, parsed.uid);
    if (pod && !logdir_pod_is_named(pod, &parsed)) { /* one UID, two names: the first counts */
        logdir->state.ignored++;
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", logdir->pods_path, name);
    if (!pod) {
        if (logdir->pod_count >= SOURCE_LOGDIR_MAX_PODS || !(pod = logdir_pod_new(&parsed))) {
            logdir->state.ignored++;
            return;
        }
        pod->next = logdir->pods;
        logdir->pods = pod;
        logdir->pod_count++;
    }
    if (pod->watch < 0)
        pod->watch = add_watch(logdir, path, WATCH_FOLDER | IN_DONT_FOLLOW);
    r = read_folder(logdir, path, O_NOFOLLOW, on_container_folder, pod);
    if (r == 0 || r == -EACCES) { /* its name is worth having, and the links know its containers */
        pod->scan = logdir->scan;
        return;
    }
    /* A file, a link, or gone again. */
    logdir->state.ignored++;
    for (struct logdir_pod **link = &logdir->pods; *link; link = &(*link)->next)
        if (*link == pod) {
            drop_pod(logdir, link);
            return;
        }
}

static void on_link(struct source_logdir *logdir, void *arg, const char *name)
{
    struct logdir_link link;
    struct logdir_pod *pod;
    char path[PATH_MAX], target[PATH_MAX];
    ssize_t size;

    (void)arg;
    (void)snprintf(path, sizeof(path), "%s/%s", logdir->containers_path, name);
    size = readlink(path, target, sizeof(target) - 1);
    target[size > 0 ? size : 0] = '\0';
    if (!logdir_parse_link(name, target, &link)) {
        logdir->state.ignored++;
        return;
    }
    pod = find_pod(logdir, link.pod.uid);
    if (!pod) { /* its folder was made before it, but its event may come after: the queues of two folders */
        char folder[sizeof(link.pod) + 8];

        (void)snprintf(folder, sizeof(folder), "%s_%s_%s", link.pod.namespace_, link.pod.pod, link.pod.uid);
        (void)snprintf(path, sizeof(path), "%s/%s", logdir->pods_path, folder);
        if (access(path, F_OK) < 0)
            return; /* left over from a Pod that is gone */
        on_pod_folder(logdir, NULL, folder);
        pod = find_pod(logdir, link.pod.uid);
    }
    if (pod && logdir_pod_is_named(pod, &link.pod))
        logdir_pod_take_id(pod, &link);
    else
        logdir->state.ignored++;
}

/* A watch on a folder that is to be read next; one of a folder that went away is renewed. */
static void watch_again(struct source_logdir *logdir, int *watch, const char *path, uint32_t mask)
{
    if (*watch < 0)
        *watch = add_watch(logdir, path, mask);
}

static void drop_unseen(struct source_logdir *logdir)
{
    for (struct logdir_pod **link = &logdir->pods; *link;)
        if ((*link)->scan != logdir->scan)
            drop_pod(logdir, link);
        else
            link = &(*link)->next;
}

/* Everything, from the beginning. */
static void scan(struct source_logdir *logdir)
{
    int r;

    logdir->scan++;
    logdir->scanned_ns = loop_now(logdir->loop);
    logdir->state.requests++;
    logdir->state.last_request_ns = logdir->scanned_ns;
    logdir->failed = false;
    logdir->watch_error = 0;
    watch_again(logdir, &logdir->root_watch, logdir->root, WATCH_ROOT);
    watch_again(logdir, &logdir->pods_watch, logdir->pods_path, WATCH_FOLDER);
    watch_again(logdir, &logdir->containers_watch, logdir->containers_path, WATCH_FOLDER);
    r = read_folder(logdir, logdir->pods_path, 0, on_pod_folder, NULL);
    if (r < 0)
        logdir_fail(logdir, "%s: %s%s", logdir->pods_path, strerror(-r),
            r == -EACCES   ? ": the enricher's user must be able to list it"
            : r == -ENOENT ? " (waiting for it)"
                           : "");
    if (r == 0 || r == -ENOENT)
        drop_unseen(logdir);
    if (r == 0) {
        r = read_folder(logdir, logdir->containers_path, 0, on_link, NULL);
        if (r < 0) /* names without ids are still worth having */
            logdir_fail(logdir, "%s: %s: no container ids from here", logdir->containers_path, strerror(-r));
        logdir->state.ready = true;
        logdir->state.last_success_ns = logdir->scanned_ns;
    }
    tell_pods(logdir);
    if (logdir->watch_error)
        logdir_fail(logdir,
            "inotify: %s: raise fs.inotify.max_user_watches; until then read again when asked",
            strerror(logdir->watch_error));
    if (!logdir->failed)
        logdir->state.last_error[0] = '\0';
}

static bool is_watching(const struct source_logdir *logdir)
{
    return logdir->pods_watch >= 0 && logdir->containers_watch >= 0 && logdir->watch_error == 0 &&
           logdir->refused == 0;
}

static void on_timer(void *arg, uint64_t now_ns)
{
    struct source_logdir *logdir = arg;

    scan(logdir);
    if (!is_watching(logdir))
        loop_timer_arm(logdir->loop, &logdir->timer, now_ns + SOURCE_LOGDIR_SLOW_NS);
}

static void scan_soon(struct source_logdir *logdir, uint64_t when_ns)
{
    if (logdir->timer.state == LOOP_TIMER_IDLE || logdir->timer.deadline_ns > when_ns)
        loop_timer_arm(logdir->loop, &logdir->timer, when_ns);
}

/* ---- events */

static void on_pods_event(struct source_logdir *logdir, const struct inotify_event *event)
{
    struct logdir_pod_name parsed;

    if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
        on_pod_folder(logdir, NULL, event->name);
        return;
    }
    if (!logdir_parse_pod(event->name, &parsed))
        return;
    for (struct logdir_pod **link = &logdir->pods; *link; link = &(*link)->next)
        if (strcmp((*link)->told.uid, parsed.uid) == 0 && logdir_pod_is_named(*link, &parsed)) {
            drop_pod(logdir, link);
            return;
        }
}

static void forget_watch(struct source_logdir *logdir, int watch)
{
    struct logdir_pod *pod = find_pod_by_watch(logdir, watch);
    int *kept = pod                                 ? &pod->watch
                : watch == logdir->root_watch       ? &logdir->root_watch
                : watch == logdir->pods_watch       ? &logdir->pods_watch
                : watch == logdir->containers_watch ? &logdir->containers_watch
                                                    : NULL;

    if (!kept)
        return; /* removed by ourselves */
    *kept = -1;
    logdir->watches--;
    if (!pod)
        scan_soon(logdir, loop_now(logdir->loop));
}

static void on_event(struct source_logdir *logdir, const struct inotify_event *event)
{
    struct logdir_pod *pod;

    if (event->mask & IN_Q_OVERFLOW)
        scan_soon(logdir, loop_now(logdir->loop));
    else if (event->mask & IN_IGNORED)
        forget_watch(logdir, event->wd);
    else if (event->len == 0)
        return;
    else if (event->wd == logdir->root_watch) {
        /* A watch follows a folder that was moved away: the new one needs its own. */
        if (strcmp(event->name, "pods") == 0)
            remove_watch(logdir, &logdir->pods_watch);
        else if (strcmp(event->name, "containers") == 0)
            remove_watch(logdir, &logdir->containers_watch);
        else
            return;
        scan_soon(logdir, loop_now(logdir->loop));
    } else if (event->name[0] == '.')
        return;
    else if (event->wd == logdir->pods_watch)
        on_pods_event(logdir, event);
    else if (event->mask & (IN_DELETE | IN_MOVED_FROM))
        return; /* ids and names that were learned stay */
    else if (event->wd == logdir->containers_watch)
        on_link(logdir, NULL, event->name);
    else if ((pod = find_pod_by_watch(logdir, event->wd)))
        on_container_folder(logdir, pod, event->name);
}

/* A few reads a turn: folders may be made faster than we can read of them. */
static void on_inotify(void *arg, uint32_t events)
{
    struct source_logdir *logdir = arg;
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t n;

    (void)events;
    for (int i = 0; i < READS_PER_TURN && (n = read(logdir->inotify_fd, buffer, sizeof(buffer))) > 0; i++)
        for (char *at = buffer; at < buffer + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            on_event(logdir, event);
            at += sizeof(*event) + event->len;
        }
    tell_pods(logdir);
    /* Folders that the kernel refused to watch, Pods that found no room. */
    if (!is_watching(logdir))
        scan_soon(logdir, loop_now(logdir->loop) + SOURCE_LOGDIR_SLOW_NS);
}

/* ---- the source */

static void logdir_ask(struct source *source)
{
    struct source_logdir *logdir = (struct source_logdir *)source;
    uint64_t now_ns = loop_now(logdir->loop), when_ns = logdir->scanned_ns + SOURCE_LOGDIR_LOOK_NS;

    if (!is_watching(logdir))
        scan_soon(logdir, when_ns > now_ns ? when_ns : now_ns);
}

static void logdir_get_state(const struct source *source, struct source_state *ret)
{
    *ret = ((const struct source_logdir *)source)->state;
}

static struct source *logdir_free(struct source *source)
{
    struct source_logdir *logdir = (struct source_logdir *)source;

    if (!logdir)
        return NULL;
    for (struct logdir_pod *pod = logdir->pods, *next; pod; pod = next) {
        next = pod->next;
        logdir_pod_free(pod);
    }
    loop_timer_disarm(logdir->loop, &logdir->timer);
    loop_poll_stop(logdir->loop, &logdir->poll);
    if (logdir->inotify_fd >= 0)
        (void)close(logdir->inotify_fd);
    free(logdir->root);
    free(logdir->pods_path);
    free(logdir->containers_path);
    free(logdir);
    return NULL;
}

static const struct source_ops logdir_ops = {
    .ask = logdir_ask, .get_state = logdir_get_state, .free = logdir_free};

static int set_paths(struct source_logdir *logdir, const char *root)
{
    size_t size = strlen(root);

    while (size > 1 && root[size - 1] == '/')
        size--;
    if (size == 0 || size > PATH_MAX / 2)
        return size ? -ENAMETOOLONG : -EINVAL;
    logdir->root = strndup(root, size);
    if (!logdir->root || asprintf(&logdir->pods_path, "%s/pods", logdir->root) < 0)
        return -ENOMEM;
    return asprintf(&logdir->containers_path, "%s/containers", logdir->root) < 0 ? -ENOMEM : 0;
}

int source_logdir_new_limited(
    struct source **ret, struct loop *loop, struct pod_table *table, const char *root, unsigned max_watches)
{
    struct source_logdir *logdir = calloc(1, sizeof(*logdir));
    int r;

    if (!logdir)
        return -ENOMEM;
    logdir->source.ops = &logdir_ops;
    logdir->loop = loop;
    logdir->table = table;
    logdir->max_watches = max_watches;
    logdir->root_watch = logdir->pods_watch = logdir->containers_watch = -1;
    logdir->poll = (struct loop_poll){.fn = on_inotify, .arg = logdir, .fd = -1};
    logdir->timer = (struct loop_timer){.fn = on_timer, .arg = logdir};
    /* Without an inotify instance every watch is refused: the folders are read when asked. */
    logdir->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    r = set_paths(logdir, root);
    if (r == 0 && logdir->inotify_fd >= 0)
        r = loop_poll_start(loop, &logdir->poll, logdir->inotify_fd, POLLIN);
    if (r < 0) {
        logdir_free(&logdir->source);
        return r;
    }
    logdir->state.kind = POD_SOURCE_LOGDIR;
    logdir->state.where = logdir->root;
    loop_timer_arm(loop, &logdir->timer, loop_now(loop));
    *ret = &logdir->source;
    return 0;
}

int source_logdir_new(struct source **ret, struct loop *loop, struct pod_table *table, const char *root)
{
    return source_logdir_new_limited(ret, loop, table, root, UINT_MAX);
}
