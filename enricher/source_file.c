/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source_file.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include "common/cleanup.h"
#include "common/fd.h"
#include "enricher/loop.h"
#include "enricher/pod.h"
#include "enricher/pod_json.h"

#define PIECE_BYTES 131072
#define WATCHED                                                                                              \
    (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM |          \
        IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct source_file {
    struct source source; /* first */
    struct loop *loop;
    struct pod_table *table;
    char *path, *folder, *name;
    struct source_state state;

    int inotify_fd, watch;
    struct loop_poll poll;
    struct loop_timer timer; /* the next look, or the next piece while reading */
    bool changed;            /* the file itself, or we never looked: read it whatever stat says */
    bool look;               /* something happened around it: compare */
    uint64_t looked_ns;
    struct stat last; /* of what was read last */

    int fd; /* being read; -1: none */
    uint64_t read_bytes;
    struct pod_json *parser;
    struct pod *pods; /* collected, merged when the document is whole */
    size_t pod_count, pod_capacity;
    bool out_of_memory;
};

static struct source_file *file_of(struct source *source)
{
    return (struct source_file *)source;
}

/* The end of a long path says more than its beginning. */
static __attribute__((format(printf, 2, 3))) void file_say(struct source_file *file, const char *format, ...)
{
    size_t size = strlen(file->path), most = 60;
    bool cut = size > most;
    int n = snprintf(file->state.last_error, sizeof(file->state.last_error), "%s%s: ", cut ? "…" : "",
        file->path + (cut ? size - most : 0));
    va_list args;

    va_start(args, format);
    (void)vsnprintf(file->state.last_error + n, sizeof(file->state.last_error) - (size_t)n, format, args);
    va_end(args);
}

#define file_fail(file, ...)                                                                                 \
    do {                                                                                                     \
        file_say(file, __VA_ARGS__);                                                                         \
        (file)->state.failures++;                                                                            \
    } while (0)

/* ---- reading */

static void drop_pods(struct source_file *file)
{
    for (size_t i = 0; i < file->pod_count; i++)
        pod_clear(&file->pods[i]);
    free(file->pods);
    file->pods = NULL;
    file->pod_count = file->pod_capacity = 0;
}

static void end_reading(struct source_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
    file->parser = pod_json_free(file->parser);
    drop_pods(file);
}

static void on_pod(void *arg, const struct pod *pod)
{
    struct source_file *file = arg;

    if (file->pod_count == file->pod_capacity) {
        size_t capacity = file->pod_capacity ? file->pod_capacity * 2 : 64;
        struct pod *pods = reallocarray(file->pods, capacity, sizeof(*pods));

        if (!pods) {
            file->out_of_memory = true;
            return;
        }
        file->pods = pods;
        file->pod_capacity = capacity;
    }
    file->pods[file->pod_count] = (struct pod){0};
    if (pod_copy(&file->pods[file->pod_count], pod) < 0)
        file->out_of_memory = true;
    else
        file->pod_count++;
}

/* The document is whole. */
static void merge_pods(struct source_file *file)
{
    uint64_t now_ns = loop_now(file->loop);
    size_t skipped = pod_json_skipped(file->parser), refused = 0;

    pod_table_list_begin(file->table, POD_SOURCE_FILE);
    for (size_t i = 0; i < file->pod_count; i++)
        refused += pod_table_merge(file->table, POD_SOURCE_FILE, &file->pods[i], now_ns) < 0;
    pod_table_list_end(file->table, POD_SOURCE_FILE, now_ns);
    file->state.ready = true;
    file->state.last_success_ns = now_ns;
    file->state.pods_seen = file->pod_count;
    file->state.ignored += skipped;
    file->state.last_error[0] = '\0';
    if (refused)
        file_fail(file, "%zu Pods found no room in the table", refused);
    else if (skipped)
        file_say(file, "%zu items left out: expected Pods with metadata.uid", skipped);
}

/* What happened while we read, or what nobody will tell us. */
static void look_later(struct source_file *file)
{
    if (file->changed || file->look)
        loop_timer_arm(file->loop, &file->timer, loop_now(file->loop) + SOURCE_FILE_DEBOUNCE_NS);
    else if (file->watch < 0)
        loop_timer_arm(file->loop, &file->timer, loop_now(file->loop) + SOURCE_FILE_LOOK_NS);
}

static void finish_reading(struct source_file *file, int error)
{
    if (error == 0)
        error = pod_json_finish(file->parser);
    if (error == 0 && file->out_of_memory)
        error = -ENOMEM;
    if (error == 0)
        merge_pods(file);
    else if (!file->changed) /* else: it was written while we read, and the next look tells */
        file_fail(file, "%s", error == -EINVAL ? pod_json_error(file->parser) : strerror(-error));
    end_reading(file);
    look_later(file);
}

/* One piece a turn: a large file must not hold up the events. */
static void read_piece(struct source_file *file)
{
    CLEANUP_FREE char *piece = malloc(PIECE_BYTES);
    ssize_t n;

    if (!piece) {
        finish_reading(file, -ENOMEM);
        return;
    }
    n = read(file->fd, piece, PIECE_BYTES);
    if (n <= 0) {
        finish_reading(file, n < 0 ? -errno : 0);
        return;
    }
    file->read_bytes += (uint64_t)n;
    if (file->read_bytes > SOURCE_FILE_MAX_BYTES) {
        finish_reading(file, -EFBIG);
        return;
    }
    if (pod_json_push(file->parser, piece, (size_t)n) < 0 || file->out_of_memory)
        finish_reading(file, file->out_of_memory ? -ENOMEM : -EINVAL);
    else
        loop_timer_arm(file->loop, &file->timer, loop_now(file->loop));
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void begin_reading(struct source_file *file)
{
    bool changed = file->changed;
    CLEANUP_CLOSE int fd = -1;
    struct stat now;

    file->changed = file->look = false;
    file->state.last_request_ns = loop_now(file->loop);
    /* Not to be stopped by a FIFO that somebody put there. */
    fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &now) < 0) {
        file->state.requests++;
        file_fail(file, "%s%s", strerror(errno),
            errno == ENOENT   ? " (waiting for it)"
            : errno == EACCES ? ": it must be readable for this user"
                              : "");
        file->last = (struct stat){0};
        return;
    }
    if (!changed && same_file(&now, &file->last)) {
        if (file->state.ready && !file->state.last_error[0])
            file->state.last_success_ns = file->state.last_request_ns;
        return;
    }
    file->state.requests++;
    file->last = now;
    if (!S_ISREG(now.st_mode)) {
        file_fail(file, "expected a regular file");
        return;
    }
    file->out_of_memory = false;
    file->read_bytes = 0;
    if (pod_json_new(&file->parser, on_pod, file) < 0) {
        file_fail(file, "out of memory");
        return;
    }
    file->fd = take_fd(&fd);
    read_piece(file);
}

/* ---- watching */

static void watch_folder(struct source_file *file)
{
    if (file->watch >= 0 || file->inotify_fd < 0)
        return;
    file->watch = inotify_add_watch(file->inotify_fd, file->folder, WATCHED);
    if (file->watch >= 0)
        file->changed = true; /* it may have come before the watch */
}

static void listen(struct source_file *file)
{
    if (file->inotify_fd >= 0 && file->poll.fd < 0 &&
        loop_poll_start(file->loop, &file->poll, file->inotify_fd, POLLIN) < 0)
        fd_close(&file->inotify_fd); /* the file is looked at when asked, and once a second */
}

static void on_timer(void *arg, uint64_t now_ns)
{
    struct source_file *file = arg;

    listen(file);
    if (file->fd >= 0) {
        read_piece(file);
        return;
    }
    watch_folder(file);
    file->looked_ns = now_ns;
    begin_reading(file);
    if (file->fd < 0)
        look_later(file);
}

/* Soon, but a timer that is set already stays: a file that is written without end is read all the same. */
static void look_soon(struct source_file *file, bool *reason)
{
    bool waiting = file->changed || file->look;

    *reason = true;
    if (!waiting && file->fd < 0)
        loop_timer_arm(file->loop, &file->timer, loop_now(file->loop) + SOURCE_FILE_DEBOUNCE_NS);
}

static void on_event(struct source_file *file, const struct inotify_event *event)
{
    bool ours = event->len > 0 && strcmp(event->name, file->name) == 0;

    if (event->mask & IN_MOVE_SELF)
        (void)inotify_rm_watch(file->inotify_fd, event->wd);
    if ((event->mask & IN_IGNORED) && event->wd == file->watch)
        file->watch = -1;
    /* Something else in the folder matters when the file is a link to it (a mounted ConfigMap). */
    look_soon(file, ours || (event->mask & IN_Q_OVERFLOW) ? &file->changed : &file->look);
}

/* One read, then deaf until the timer that it has set: somebody may write into the folder faster than we can read of it. */
static void on_inotify(void *arg, uint32_t events)
{
    struct source_file *file = arg;
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t n = read(file->inotify_fd, buffer, sizeof(buffer));

    (void)events;
    for (char *at = buffer; n > 0 && at < buffer + n;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

        on_event(file, event);
        at += sizeof(*event) + event->len;
    }
    if (n > 0)
        loop_poll_stop(file->loop, &file->poll);
}

/* ---- the source */

static void file_ask(struct source *source)
{
    struct source_file *file = file_of(source);

    if (loop_now(file->loop) - file->looked_ns >= SOURCE_FILE_LOOK_NS)
        look_soon(file, &file->look);
}

static void file_get_state(const struct source *source, struct source_state *ret)
{
    *ret = ((const struct source_file *)source)->state;
}

static struct source *file_free(struct source *source)
{
    struct source_file *file = file_of(source);

    if (!file)
        return NULL;
    end_reading(file);
    loop_timer_disarm(file->loop, &file->timer);
    loop_poll_stop(file->loop, &file->poll);
    if (file->inotify_fd >= 0)
        (void)close(file->inotify_fd);
    free(file->path);
    free(file->folder);
    free(file->name);
    free(file);
    return NULL;
}

static const struct source_ops file_ops = {.ask = file_ask, .get_state = file_get_state, .free = file_free};

static int split_path(struct source_file *file, const char *path)
{
    CLEANUP_FREE char *for_folder = strdup(path), *for_name = strdup(path);

    file->path = strdup(path);
    if (!file->path || !for_folder || !for_name)
        return -ENOMEM;
    file->folder = strdup(dirname(for_folder));
    file->name = strdup(basename(for_name));
    return file->folder && file->name ? 0 : -ENOMEM;
}

int source_file_new(struct source **ret, struct loop *loop, struct pod_table *table, const char *path)
{
    struct source_file *file = calloc(1, sizeof(*file));
    int r;

    if (!file)
        return -ENOMEM;
    file->source.ops = &file_ops;
    file->loop = loop;
    file->table = table;
    file->fd = file->watch = file->inotify_fd = -1;
    file->poll = (struct loop_poll){.fn = on_inotify, .arg = file, .fd = -1};
    file->timer = (struct loop_timer){.fn = on_timer, .arg = file};
    r = split_path(file, path);
    if (r == 0) {
        /* Without inotify (too many instances) the file is looked at when asked, and once a second. */
        file->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    }
    if (r < 0) {
        file_free(&file->source);
        return r;
    }
    file->state.kind = POD_SOURCE_FILE;
    file->state.where = file->path;
    file->changed = true;
    loop_timer_arm(loop, &file->timer, loop_now(loop));
    *ret = &file->source;
    return 0;
}
