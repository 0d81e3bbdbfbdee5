/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define BUFFER_BYTES ((size_t)1 << 20)

int recorder_open(struct recorder *recorder, const char *path, uint64_t max_bytes)
{
    struct recorder opened = {
        .fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600),
        .max_bytes = max_bytes,
        .room = BUFFER_BYTES};

    if (opened.fd < 0)
        return -errno;
    (void)fchmod(opened.fd, 0600); /* it has command lines; a device keeps its mode, and does no harm */
    opened.buffer = malloc(opened.room);
    if (!opened.buffer) {
        fd_close(&opened.fd);
        return -ENOMEM;
    }
    *recorder = opened;
    return 0;
}

static void end(struct recorder *recorder, int why)
{
    fd_close(&recorder->fd);
    free(recorder->buffer);
    recorder->buffer = NULL;
    recorder->used = recorder->room = 0;
    recorder->end = why;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static void flush(struct recorder *recorder)
{
    int r = write_all(recorder->fd, recorder->buffer, recorder->used);

    recorder->used = 0;
    if (r < 0)
        end(recorder, r);
}

/* Room for `size` more: the buffer is written, or grows while there is no header yet. */
static bool make_room(struct recorder *recorder, size_t size)
{
    size_t room = recorder->room * 2;
    uint8_t *buffer;

    if (recorder->room - recorder->used >= size)
        return true;
    if (recorder->begun) {
        flush(recorder);
        return recorder->fd >= 0;
    }
    buffer = room <= RECORDER_EARLY_MAX ? realloc(recorder->buffer, room) : NULL;
    if (!buffer) {
        end(recorder, -ENOBUFS);
        return false;
    }
    recorder->buffer = buffer;
    recorder->room = room;
    return true;
}

void recorder_put(const struct record_header *record, void *arg)
{
    struct recorder *recorder = arg;

    if (recorder->fd < 0)
        return;
    if (recorder->put_bytes + record->size > recorder->max_bytes) {
        if (recorder->begun)
            flush(recorder);
        if (recorder->fd >= 0)
            end(recorder, -EFBIG);
        return;
    }
    if (!make_room(recorder, record->size) || !recorder->buffer)
        return;
    memcpy(recorder->buffer + recorder->used, record, record->size);
    recorder->used += record->size;
    recorder->put_bytes += record->size;
}

static int copy_snapshot(struct recorder *recorder, int snapshot_fd, uint64_t bytes)
{
    uint8_t part[16384];
    uint64_t at = 0;

    while (at < bytes) {
        ssize_t n =
            pread(snapshot_fd, part, bytes - at < sizeof(part) ? bytes - at : sizeof(part), (off_t)at);
        int r = n > 0 ? write_all(recorder->fd, part, (size_t)n) : n < 0 ? -errno : -EIO;

        if (r < 0)
            return r;
        at += (uint64_t)n;
    }
    return 0;
}

static void fill_header(struct recording_header *header, const struct recorder_start *start)
{
    CLEANUP_FILE FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    *header = (struct recording_header){.version = RECORDING_VERSION,
        .record_version = RECORD_VERSION,
        .epoch_ns = start->epoch_ns,
        .begin_ns = clock_boot_ns(),
        .wall_ns = clock_wall_offset_ns(),
        .snapshot_bytes = start->snapshot_bytes};
    memcpy(header->magic, RECORDING_MAGIC, sizeof(header->magic));
    if (file && fgets(header->boot_id, sizeof(header->boot_id), file))
        header->boot_id[strcspn(header->boot_id, "\n")] = '\0';
    (void)snprintf(header->hook_kind, sizeof(header->hook_kind), "%s", start->hook_kind);
    (void)snprintf(header->cgroup_hierarchy, sizeof(header->cgroup_hierarchy), "%s", start->cgroup_hierarchy);
}

void recorder_begin(struct recorder *recorder, const struct recorder_start *start)
{
    struct recording_header header;
    uint64_t head_bytes = sizeof(header) + start->snapshot_bytes;
    int r;

    if (recorder->fd < 0 || recorder->begun)
        return;
    if (recorder->put_bytes + head_bytes > recorder->max_bytes) {
        end(recorder, -EFBIG);
        return;
    }
    fill_header(&header, start);
    r = write_all(recorder->fd, (const uint8_t *)&header, sizeof(header));
    if (r == 0)
        r = copy_snapshot(recorder, start->snapshot_fd, start->snapshot_bytes);
    if (r < 0) {
        end(recorder, r);
        return;
    }
    recorder->begun = true;
    recorder->put_bytes += head_bytes;
    flush(recorder);
}

int recorder_turn(struct recorder *recorder, uint64_t now_ns)
{
    int r;

    if (recorder->fd >= 0 && recorder->begun && recorder->used > 0 &&
        now_ns - recorder->flushed_ns >= RECORDER_FLUSH_NS) {
        flush(recorder);
        recorder->flushed_ns = now_ns;
    }
    r = recorder->end;
    recorder->end = 0;
    return r;
}

int recorder_close(struct recorder *recorder)
{
    int r;

    if (recorder->fd >= 0 && recorder->begun)
        flush(recorder);
    r = recorder->end;
    end(recorder, 0);
    return r;
}
