/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define BACKOFF_FIRST_NS (10 * NS_PER_MS)
#define BACKOFF_MAX_NS   NS_PER_SEC

/* ---- the file ------------------------------------------------------------------------------------- */

static bool ends_torn(const char *path, const struct stat *expected)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    char last = '\n';

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != expected->st_ino || st.st_dev != expected->st_dev)
        return false;
    return pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

/* O_NONBLOCK: a FIFO without a reader is an error, not a wait; the loop waits for room either way. */
static int open_path(const char *path, int extra_flags, unsigned mode)
{
    int fd = open(path,
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | extra_flags, mode);

    return fd < 0 ? -errno : fd;
}

/* How long ago the file was made, by the wall clock; 0 where that is not known. */
static uint64_t age_of(int fd)
{
    struct statx stx;
    struct timespec now;
    int64_t age_s;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) < 0 || !(stx.stx_mask & STATX_BTIME) ||
        clock_gettime(CLOCK_REALTIME, &now) < 0)
        return 0;
    age_s = now.tv_sec - stx.stx_btime.tv_sec;
    return age_s > 0 ? (uint64_t)age_s * NS_PER_SEC : 0;
}

static void arm_age(struct sink_file *sink, uint64_t delay_ns)
{
    sink->aged = false;
    if (sink->path && sink->regular && sink->options.rotate_age_ns)
        loop_timer_arm(sink->loop, &sink->age, loop_now(sink->loop) + delay_ns);
}

static void arm_age_of_file(struct sink_file *sink)
{
    uint64_t limit = sink->options.rotate_age_ns, age = limit ? age_of(sink->fd) : 0;

    arm_age(sink, age < limit ? limit - age : 0);
}

/* Takes fd and closes what was open. */
static int adopt(struct sink_file *sink, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode) || !sink->path)) {
        (void)close(fd);
        return -EINVAL;
    }
    if (sink->fd >= 0)
        (void)close(sink->fd);
    sink->fd = fd;
    sink->regular = S_ISREG(st.st_mode);
    sink->size_bytes = sink->regular ? (uint64_t)st.st_size : 0;
    sink->torn_tail = sink->path && sink->regular && st.st_size > 0 && ends_torn(sink->path, &st);
    sink->rotate_at_bytes = sink->options.rotate_bytes;
    arm_age_of_file(sink);
    return 0;
}

/* Where the run stands within a line: bytes of the torn one that are in the file. */
static size_t torn_bytes(const struct sink_file *sink)
{
    const char *edge = sink->done ? memrchr(sink->data, '\n', sink->done) : NULL;

    return edge ? (size_t)(sink->data + sink->done - (edge + 1)) : sink->done;
}

static bool is_same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* A line that is half in the old file goes whole into the new one, and its half is cut off the old (F2). */
static void move_torn_line(struct sink_file *sink, size_t torn)
{
    struct stat st;

    sink->done -= torn;
    if (sink->regular && fstat(sink->fd, &st) == 0 && (uint64_t)st.st_size >= torn)
        (void)!ftruncate(sink->fd, st.st_size - (off_t)torn);
}

static int reopen_now(struct sink_file *sink, int extra_flags)
{
    size_t torn = sink->data ? torn_bytes(sink) : 0;
    int fd = open_path(sink->path, extra_flags, sink->options.mode), r;

    if (fd == -EEXIST)
        fd = open_path(sink->path, 0, sink->options.mode);
    if (fd < 0)
        return fd;
    if (torn && is_same_file(fd, sink->fd)) {
        (void)close(fd); /* nobody moved it: the line goes on where it stopped */
        return 0;
    }
    if (torn)
        move_torn_line(sink, torn);
    r = adopt(sink, fd);
    sink->part_end = sink->done;
    return r;
}

/* ---- rotation ------------------------------------------------------------------------------------- */

/* Makes the path free. Nothing to do when somebody else has already put the file aside. */
static int put_aside(struct sink_file *sink)
{
    struct stat ours, there;

    if (fstat(sink->fd, &ours) < 0)
        return -errno;
    if (lstat(sink->path, &there) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
        return 0;
    return aside_put(&sink->aside);
}

/* On failure the file goes on growing and the next attempt comes an eighth later: a file too large or too old is
 * better than a line lost. */
static void put_off(struct sink_file *sink)
{
    if (sink->options.rotate_bytes)
        sink->rotate_at_bytes = sink->size_bytes + sink->options.rotate_bytes / 8 + 1;
    arm_age(sink, sink->options.rotate_age_ns / 8);
}

static void rotate(struct sink_file *sink)
{
    struct stat st;
    int r;

    if (fstat(sink->fd, &st) == 0 && (uint64_t)st.st_size < sink->size_bytes) {
        sink->size_bytes = (uint64_t)st.st_size; /* truncated by somebody (logrotate's copytruncate) */
        return;
    }
    r = put_aside(sink);
    if (r == 0)
        r = reopen_now(sink, O_EXCL);
    if (r == 0) {
        sink->rotations++;
        aside_compress(&sink->aside);
    } else {
        put_off(sink);
    }
    sink->rotate_error = -r;
}

static void on_age(void *arg, uint64_t now_ns)
{
    struct sink_file *sink = arg;

    (void)now_ns;
    if (sink->size_bytes == 0) {
        arm_age(sink, sink->options.rotate_age_ns);
    } else if (sink->options.due) {
        sink->aged = true;
        sink->options.due(sink->arg);
    } else if (sink_file_busy(sink)) {
        sink->aged = true;
    } else {
        rotate(sink);
    }
}

uint64_t sink_file_room(const struct sink_file *sink)
{
    if (!sink->path || !sink->regular || !sink->options.rotate_bytes)
        return UINT64_MAX;
    return sink->rotate_at_bytes > sink->size_bytes ? sink->rotate_at_bytes - sink->size_bytes : 0;
}

void sink_file_begin(struct sink_file *sink)
{
    if (sink->reopen_wanted) {
        sink->reopen_wanted = false;
        sink->rotate_error = -reopen_now(sink, 0);
    } else if (sink->regular && sink->size_bytes > 0 && (sink->aged || sink_file_room(sink) == 0)) {
        rotate(sink);
    }
}

/* How much of the rest of the run this file takes, in whole lines; 0: none any more. */
static size_t part_for_this_file(const struct sink_file *sink)
{
    const char *rest = sink->data + sink->done, *edge;
    size_t size = sink->size - sink->done;
    uint64_t room = sink->rotate_at_bytes > sink->size_bytes ? sink->rotate_at_bytes - sink->size_bytes : 0;

    if (!sink->path || !sink->regular || sink->options.due)
        return size;
    if (sink->aged && sink->size_bytes > 0)
        return 0;
    if (!sink->options.rotate_bytes || size <= room)
        return size;
    edge = room ? memrchr(rest, '\n', room) : NULL;
    if (!edge && sink->size_bytes == 0)
        edge = memchr(rest, '\n', size); /* one line larger than a file may be */
    return edge ? (size_t)(edge + 1 - rest) : 0;
}

/* At the edge of a line: which file, and how much of the run. */
static void choose_part(struct sink_file *sink)
{
    size_t part;

    if (sink->reopen_wanted && !sink->options.due) {
        sink->reopen_wanted = false;
        sink->rotate_error = -reopen_now(sink, 0);
    }
    part = part_for_this_file(sink);
    if (part == 0) {
        rotate(sink);
        part = part_for_this_file(sink);
    }
    /* 0 once more: a file that could not be rotated takes a line at a time, so that each line asks again. */
    if (part == 0) {
        const char *rest = sink->data + sink->done, *edge = memchr(rest, '\n', sink->size - sink->done);

        part = edge ? (size_t)(edge + 1 - rest) : sink->size - sink->done;
    }
    sink->part_end = sink->done + part;
}

/* ---- the run -------------------------------------------------------------------------------------- */

static void fail(struct sink_file *sink, int error)
{
    sink->write_error = error;
    sink->write_errors++;
    if (sink->reopen_wanted && sink->path) {
        sink->reopen_wanted = false;
        sink->rotate_error = -reopen_now(sink, 0);
    }
    loop_timer_arm(sink->loop, &sink->retry, loop_now(sink->loop) + sink->backoff_ns);
    sink->backoff_ns = sink->backoff_ns < BACKOFF_MAX_NS / 2 ? sink->backoff_ns * 2 : BACKOFF_MAX_NS;
}

/* What a write came to. false: it failed, and is repeated later. */
static bool take(struct sink_file *sink, int64_t result)
{
    if (result <= 0) {
        fail(sink, result < 0 ? (int)-result : EIO);
        return false;
    }
    sink->write_error = 0;
    sink->backoff_ns = BACKOFF_FIRST_NS;
    sink->size_bytes += (uint64_t)result;
    if (sink->torn_tail)
        sink->torn_tail = false;
    else
        sink->done += (size_t)result;
    return true;
}

/* How often this thread has given the processor up. */
static long sleep_count(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) < 0 ? 0 : usage.ru_nvcsw;
}

static int64_t write_now(struct sink_file *sink, const char *data, size_t size, uint64_t now_ns)
{
    long sleeps = sleep_count();
    ssize_t written;

    do
        written = write(sink->fd, data, size);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        written = -errno;
    write_pace_took(&sink->pace, now_ns, clock_boot_ns(), sleep_count() != sleeps);
    return written;
}

/* The next write of the run. false: it is on its way, or failed; something will call. */
static bool write_part(struct sink_file *sink)
{
    const char *data = sink->torn_tail ? "\n" : sink->data + sink->done;
    size_t size = sink->torn_tail ? 1 : sink->part_end - sink->done;
    uint64_t now_ns = sink->regular ? clock_boot_ns() : 0;
    int r;

    if (sink->regular && write_pace_is_ours(&sink->pace, now_ns))
        return take(sink, write_now(sink, data, size, now_ns));
    r = loop_write_start(sink->loop, &sink->write, sink->fd, data, size, -1);
    if (r < 0)
        fail(sink, -r);
    return false;
}

/* true: the run is written. */
static bool proceed(struct sink_file *sink)
{
    while (sink->done < sink->size) {
        if (sink->done >= sink->part_end)
            choose_part(sink);
        if (!write_part(sink))
            return false;
    }
    sink->data = NULL;
    return true;
}

static void on_written(void *arg, int64_t result)
{
    struct sink_file *sink = arg;

    if (!sink->data)
        return; /* cancelled */
    if (take(sink, result) && proceed(sink))
        sink->fn(sink->arg);
}

static void on_retry(void *arg, uint64_t now_ns)
{
    struct sink_file *sink = arg;

    (void)now_ns;
    if (sink->data && proceed(sink))
        sink->fn(sink->arg);
}

bool sink_file_write(struct sink_file *sink, const char *data, size_t size)
{
    sink->data = data;
    sink->size = size;
    sink->done = sink->part_end = 0;
    return proceed(sink);
}

bool sink_file_busy(const struct sink_file *sink)
{
    return sink->data || sink->write.in_flight;
}

bool sink_file_reopen(struct sink_file *sink)
{
    bool now = !sink->data;

    if (!sink->path)
        return false;
    if (sink->data && !sink->write.in_flight) { /* between two attempts */
        now = true;
        loop_timer_arm(sink->loop, &sink->retry, loop_now(sink->loop));
    } else if (sink->data || sink->options.due) {
        now = false;
        sink->reopen_wanted = true; /* the part in flight ends at an edge, or fails */
        if (sink->options.due)
            sink->options.due(sink->arg);
    }
    if (now)
        sink->rotate_error = -reopen_now(sink, 0);
    return now;
}

bool sink_file_is_removed(const struct sink_file *sink)
{
    struct stat st;

    return sink->path && sink->regular && fstat(sink->fd, &st) == 0 && st.st_nlink == 0;
}

void sink_file_cancel(struct sink_file *sink)
{
    sink->data = NULL;
    loop_timer_disarm(sink->loop, &sink->retry);
    loop_write_cancel(sink->loop, &sink->write);
}

/* ---- life ----------------------------------------------------------------------------------------- */

static int open_first(struct sink_file *sink)
{
    int fd, r;

    if (!sink->options.path) {
        fd = fcntl(sink->options.fd, F_DUPFD_CLOEXEC, 0);
        return fd < 0 ? -errno : adopt(sink, fd);
    }
    sink->path = strdup(sink->options.path);
    if (!sink->path)
        return -ENOMEM;
    r = aside_init(&sink->aside, sink->loop, sink->path, sink->options.rotate_keep, sink->options.mode,
        sink->options.compress);
    if (r < 0)
        return r;
    fd = open_path(sink->path, 0, sink->options.mode);
    return fd < 0 ? fd : adopt(sink, fd);
}

int sink_file_init(struct sink_file *sink, struct loop *loop, const struct sink_file_options *options,
    void (*fn)(void *arg), void *arg)
{
    int r;

    *sink = (struct sink_file){
        .loop = loop,
        .options = *options,
        .fd = -1,
        .fn = fn,
        .arg = arg,
        .backoff_ns = BACKOFF_FIRST_NS,
        .write = {.fn = on_written, .arg = sink},
        .retry = {.fn = on_retry, .arg = sink},
        .age = {.fn = on_age, .arg = sink},
    };
    r = open_first(sink);
    sink->options.path = NULL; /* the caller's */
    if (r < 0)
        sink_file_deinit(sink);
    return r;
}

void sink_file_deinit(struct sink_file *sink)
{
    if (!sink->loop)
        return;
    loop_timer_disarm(sink->loop, &sink->retry);
    loop_timer_disarm(sink->loop, &sink->age);
    if (sink->fd >= 0)
        (void)close(sink->fd);
    aside_deinit(&sink->aside);
    free(sink->path);
    *sink = (struct sink_file){.fd = -1};
}
