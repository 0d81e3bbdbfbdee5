/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/record_check.h"
#include "tests/load/replay_pods.h"

#define FILE_BYTES_MAX ((size_t)8 << 30)

struct load_replay {
    char *owned; /* the file's bytes, if they are ours */
    struct recording recording;
    struct replay_pods *pods;
    double speed;
    uint64_t base_ns, begin_ns, record_count, torn_bytes;
    size_t at, end; /* in the stream */
    _Alignas(RECORD_ALIGN) uint8_t buffer[RECORD_SIZE_MAX];
};

/* ---- times -------------------------------------------------------------------------------------------------------- */

static uint64_t since_ns(const struct load_replay *r, uint64_t time_ns)
{
    double ns = time_ns > r->begin_ns ? (double)(time_ns - r->begin_ns) / r->speed : 0;

    return ns < 0x1p62 ? (uint64_t)ns : UINT64_C(1) << 62;
}

/* 0 stays 0: there is none. */
static uint64_t move_time(const struct load_replay *r, uint64_t time_ns)
{
    if (time_ns == 0)
        return 0;
    if (time_ns >= r->begin_ns)
        return r->base_ns + since_ns(r, time_ns);
    return r->begin_ns - time_ns < r->base_ns ? r->base_ns - (r->begin_ns - time_ns) : 1;
}

static struct record_header *move(struct load_replay *r, const struct record_header *record)
{
    struct record_header *header = (void *)r->buffer;

    memcpy(header, record, record->size);
    header->time_ns = move_time(r, record->time_ns);
    header->start_ns = move_time(r, record->start_ns);
    if (record->type == RECORD_FORK) {
        struct record_fork *fork = (void *)header;

        fork->parent_start_ns = move_time(r, fork->parent_start_ns);
    } else if (record->type == RECORD_EXEC || record->type == RECORD_SNAPSHOT_PROCESS) {
        struct record_process *process = (void *)header;

        process->image_start_ns = move_time(r, process->image_start_ns);
        process->parent_start_ns = move_time(r, process->parent_start_ns);
    }
    return header;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static bool is_of_the_kernel(const struct record_header *record)
{
    return record->cpu != RECORD_CPU_COLLECTOR && record->type != RECORD_LOST && record->time_ns > 0;
}

static int take_pods(struct load_replay *r, const struct record_header *record)
{
    const struct record_cgroup *cgroup = (const void *)record;
    struct record_bytes path;

    if (record->type != RECORD_SNAPSHOT_CGROUP && record->type != RECORD_CGROUP_MKDIR &&
        record->type != RECORD_CGROUP_ATTACH)
        return 0;
    path = record_get_bytes(record, cgroup->path);
    return replay_pods_add(r->pods, path.data, path.size);
}

static int look_through(struct load_replay *r, char error[RECORDING_ERROR_MAX])
{
    size_t at = recording_snapshot_begin(&r->recording), stream = recording_stream_begin(&r->recording);
    const struct record_header *record;
    enum recording_next next;
    int status = 0;

    while (status == 0 && (next = recording_next(&r->recording, &at, &record)) == RECORDING_RECORD) {
        status = take_pods(r, record);
        if (at <= stream)
            continue;
        r->record_count++;
        if (r->begin_ns == 0 && is_of_the_kernel(record))
            r->begin_ns = record->time_ns;
    }
    if (status == 0 && next == RECORDING_BAD) {
        (void)snprintf(error, RECORDING_ERROR_MAX, "byte %zu: no record", at);
        return -EBADMSG;
    }
    r->at = stream;
    r->end = at;
    r->torn_bytes = r->recording.size - at;
    if (r->begin_ns == 0)
        r->begin_ns = r->recording.header.begin_ns;
    if (status < 0)
        (void)snprintf(error, RECORDING_ERROR_MAX, "%s", strerror(-status));
    return status;
}

int load_replay_new(struct load_replay **ret, const void *data, size_t size, double speed, uint64_t base_ns,
    uint64_t seed, char error[RECORDING_ERROR_MAX])
{
    struct load_replay *r = calloc(1, sizeof(*r));
    int status;

    if (!r)
        return -ENOMEM;
    r->speed = speed;
    r->base_ns = base_ns;
    status = recording_parse(&r->recording, data, size, error);
    if (status == 0)
        status = replay_pods_new(&r->pods, seed);
    if (status == 0)
        status = look_through(r, error);
    if (status < 0)
        (void)load_replay_free(r);
    else
        *ret = r;
    return status;
}

int load_replay_open(struct load_replay **ret, const char *path, double speed, uint64_t base_ns,
    uint64_t seed, char error[RECORDING_ERROR_MAX])
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE char *data = NULL;
    size_t size = 0;
    int status = fd < 0 ? -errno : fd_read_whole(fd, FILE_BYTES_MAX, &data, &size);

    (void)snprintf(error, RECORDING_ERROR_MAX, "%s", status < 0 ? strerror(-status) : "");
    if (status == 0)
        status = load_replay_new(ret, data, size, speed, base_ns, seed, error);
    if (status == 0) {
        (*ret)->owned = data;
        data = NULL;
    }
    return status;
}

struct load_replay *load_replay_free(struct load_replay *r)
{
    if (!r)
        return NULL;
    replay_pods_free(r->pods);
    free(r->owned);
    free(r);
    return NULL;
}

/* ---- what is in it ------------------------------------------------------------------------------------------------ */

int load_replay_snapshot(struct load_replay *r, load_replay_fn *fn, void *arg)
{
    size_t at = recording_snapshot_begin(&r->recording), end = recording_stream_begin(&r->recording);
    const struct record_header *record;
    int status = 0;

    while (status == 0 && at < end && recording_next(&r->recording, &at, &record) == RECORDING_RECORD) {
        const struct record_header *moved = move(r, record);

        status = fn(moved, moved->size, arg);
    }
    return status;
}

const struct record_header *load_replay_peek(struct load_replay *r, uint64_t *ret_since_ns)
{
    const struct record_header *record = NULL;
    size_t at = r->at;

    if (at >= r->end || recording_next(&r->recording, &at, &record) != RECORDING_RECORD)
        return NULL;
    *ret_since_ns = since_ns(r, record->time_ns);
    return record;
}

const struct record_header *load_replay_take(struct load_replay *r, uint64_t time_ns)
{
    const struct record_header *record = NULL;
    struct record_header *moved;

    if (r->at >= r->end || recording_next(&r->recording, &r->at, &record) != RECORDING_RECORD)
        return NULL;
    moved = move(r, record);
    moved->time_ns = time_ns;
    return moved;
}

int load_replay_write_pods(const struct load_replay *r, FILE *file)
{
    return replay_pods_write(r->pods, file);
}

const struct recording_header *load_replay_header(const struct load_replay *r)
{
    return &r->recording.header;
}

uint64_t load_replay_record_count(const struct load_replay *r)
{
    return r->record_count;
}

uint64_t load_replay_pod_count(const struct load_replay *r)
{
    return replay_pods_count(r->pods);
}

uint64_t load_replay_torn_bytes(const struct load_replay *r)
{
    return r->torn_bytes;
}
