/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "collector/cgroup_walk.h"
#include "collector/hooks.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#define BUFFER_BYTES     65536
#define CGROUPS_PER_STEP 64 /* each costs a handful of system calls */

enum phase { PHASE_CGROUPS, PHASE_PROCESSES, PHASE_DONE };

struct snapshot {
    enum phase phase;
    struct cgroup_walk *walk;
    int iterator_fd, fd;
    uint32_t cgroup_hierarchy_id;
    uint64_t *seq;
    uint64_t bytes; /* written to fd */
    uint32_t process_count, cgroup_count;
    size_t filled; /* of buffer */
    uint8_t buffer[BUFFER_BYTES] __attribute__((aligned(RECORD_ALIGN)));
};

static int write_all(struct snapshot *snapshot, const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size) {
        ssize_t n = write(snapshot->fd, from, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        from += n;
        size -= (size_t)n;
        snapshot->bytes += (uint64_t)n;
    }
    return 0;
}

static struct record_header own_header(struct snapshot *snapshot, uint8_t type, size_t size)
{
    return (struct record_header){
        .size = (uint32_t)size,
        .type = type,
        .version = RECORD_VERSION,
        .cpu = RECORD_CPU_COLLECTOR,
        .seq = (*snapshot->seq)++,
        .time_ns = clock_boot_ns(),
    };
}

/* ---- cgroups ------------------------------------------------------------------------------------------- */

static int write_cgroup(struct snapshot *snapshot, const struct cgroup_walk_entry *entry)
{
    size_t path_size = strnlen(entry->path, RECORD_PATH_MAX);
    size_t size = (sizeof(struct record_cgroup) + path_size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    struct record_cgroup record = {
        .header = own_header(snapshot, RECORD_SNAPSHOT_CGROUP, size),
        .level = entry->level,
        .hierarchy_id = snapshot->cgroup_hierarchy_id,
        .path = {.offset = sizeof(record), .size = (uint16_t)path_size},
    };

    record.header.cgroup_id = entry->id;
    memset(snapshot->buffer, 0, size);
    memcpy(snapshot->buffer, &record, sizeof(record));
    memcpy(snapshot->buffer + sizeof(record), entry->path, path_size);
    snapshot->cgroup_count++;
    return write_all(snapshot, snapshot->buffer, size);
}

static int step_cgroups(struct snapshot *snapshot)
{
    for (int i = 0; i < CGROUPS_PER_STEP; i++) {
        struct cgroup_walk_entry entry;
        int r = cgroup_walk_next(snapshot->walk, &entry);

        if (r < 0)
            return r;
        if (r == 0) {
            snapshot->walk = cgroup_walk_close(snapshot->walk);
            snapshot->phase = PHASE_PROCESSES;
            return SNAPSHOT_MORE;
        }
        r = write_cgroup(snapshot, &entry);
        if (r)
            return r;
    }
    return SNAPSHOT_MORE;
}

/* ---- processes ----------------------------------------------------------------------------------------- */

/* Numbers the whole records in the buffer and moves them out; what is left of the next one stays at the
 * front. */
static int flush_records(struct snapshot *snapshot)
{
    size_t whole = 0;
    int r;

    while (snapshot->filled - whole >= sizeof(struct record_header)) {
        struct record_header *header = (void *)(snapshot->buffer + whole);

        if (header->size < sizeof(*header) || header->size > RECORD_SIZE_MAX || header->size % RECORD_ALIGN)
            return -EBADMSG;
        if (header->size > snapshot->filled - whole)
            break;
        header->seq = (*snapshot->seq)++;
        whole += header->size;
        snapshot->process_count++;
    }
    r = write_all(snapshot, snapshot->buffer, whole);
    if (r)
        return r;
    snapshot->filled -= whole;
    memmove(snapshot->buffer, snapshot->buffer + whole, snapshot->filled);
    return 0;
}

static int finish(struct snapshot *snapshot)
{
    struct record_snapshot_end end = {
        .header = own_header(snapshot, RECORD_SNAPSHOT_END, sizeof(end)),
        .process_count = snapshot->process_count,
        .cgroup_count = snapshot->cgroup_count,
    };
    int r = write_all(snapshot, &end, sizeof(end));

    if (r)
        return r;
    if (fcntl(snapshot->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return -errno;
    (void)close(take_fd(&snapshot->iterator_fd));
    snapshot->phase = PHASE_DONE;
    return SNAPSHOT_DONE;
}

static int step_processes(struct snapshot *snapshot)
{
    ssize_t n =
        read(snapshot->iterator_fd, snapshot->buffer + snapshot->filled, BUFFER_BYTES - snapshot->filled);
    int r;

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? SNAPSHOT_MORE : -errno;
    if (n == 0)
        return snapshot->filled ? -EBADMSG : finish(snapshot);
    snapshot->filled += (size_t)n;
    r = flush_records(snapshot);
    return r ? r : SNAPSHOT_MORE;
}

/* ---- policies ------------------------------------------------------------------------------------------ */

static int write_policy(const struct record_header *record, void *arg)
{
    struct snapshot *snapshot = arg;
    struct record_header header = *record;

    header.seq = (*snapshot->seq)++;
    header.time_ns = clock_boot_ns();
    memcpy(snapshot->buffer, record, record->size);
    memcpy(snapshot->buffer, &header, sizeof(header));
    return write_all(snapshot, snapshot->buffer, record->size);
}

/* ---- contract ------------------------------------------------------------------------------------------ */

static int fail(char error[PROBE_ERROR_MAX], int r, const char *what)
{
    (void)snprintf(error, PROBE_ERROR_MAX, "%s: %s", what, strerror(-r));
    return r;
}

static int open_sources(
    struct snapshot *snapshot, const struct snapshot_options *options, char error[PROBE_ERROR_MAX])
{
    struct statfs status;
    int r = cgroup_walk_open(&snapshot->walk, options->cgroup_root);

    if (r)
        return fail(error, r, options->cgroup_root);
    if (statfs(options->cgroup_root, &status) ||
        status.f_type != (options->cgroup_hierarchy_id ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC)) {
        (void)snprintf(error, PROBE_ERROR_MAX, "%s: not the mount point of a cgroup %s hierarchy",
            options->cgroup_root, options->cgroup_hierarchy_id ? "v1" : "v2");
        return -EINVAL;
    }
    snapshot->iterator_fd = probe_open_process_iterator(options->probe);
    if (snapshot->iterator_fd < 0)
        return fail(error, snapshot->iterator_fd, "opening the task iterator");
    snapshot->fd = fd_memfd_new("podkin-snapshot", 0);
    return snapshot->fd < 0 ? fail(error, snapshot->fd, "making the snapshot's memory") : 0;
}

int snapshot_start(struct snapshot **ret, const struct snapshot_options *options, char error[PROBE_ERROR_MAX])
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    int r;

    if (!snapshot)
        return fail(error, -ENOMEM, "snapshot");
    snapshot->iterator_fd = -1;
    snapshot->fd = -1;
    snapshot->seq = options->seq;
    snapshot->cgroup_hierarchy_id = options->cgroup_hierarchy_id;
    r = open_sources(snapshot, options, error);
    if (!r && options->hooks)
        r = hooks_each_policy(options->hooks, write_policy, snapshot);
    if (r) {
        snapshot_free(snapshot);
        return r;
    }
    *ret = snapshot;
    return 0;
}

int snapshot_step(struct snapshot *snapshot)
{
    switch (snapshot->phase) {
    case PHASE_CGROUPS:
        return step_cgroups(snapshot);
    case PHASE_PROCESSES:
        return step_processes(snapshot);
    case PHASE_DONE:
        break;
    }
    return SNAPSHOT_DONE;
}

struct snapshot *snapshot_free(struct snapshot *snapshot)
{
    if (!snapshot)
        return NULL;
    cgroup_walk_close(snapshot->walk);
    cleanup_close_fd(&snapshot->iterator_fd);
    cleanup_close_fd(&snapshot->fd);
    free(snapshot);
    return NULL;
}

int snapshot_fd(const struct snapshot *snapshot)
{
    return snapshot->fd;
}

uint64_t snapshot_bytes(const struct snapshot *snapshot)
{
    return snapshot->bytes;
}

uint32_t snapshot_process_count(const struct snapshot *snapshot)
{
    return snapshot->process_count;
}

uint32_t snapshot_cgroup_count(const struct snapshot *snapshot)
{
    return snapshot->cgroup_count;
}
