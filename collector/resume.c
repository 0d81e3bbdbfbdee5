/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector/ring.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/record_check.h"

#define NAME_BYTES         96
#define POLICIES_BYTES_MAX (UINT64_C(64) << 20)
#define POLICIES_SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
#define LINKS_MAX          16

void resume_begin(struct resume *resume, const struct notify *notify, uint64_t stamp_ns)
{
    *resume = RESUME_EMPTY;
    resume->stamp_ns = stamp_ns;
    (void)fd_store_take(&resume->store, notify); /* what cannot be is as good as nothing */
}

void resume_deinit(struct resume *resume)
{
    resume->checkpoint = checkpoint_close(resume->checkpoint);
    fd_store_deinit(&resume->store);
    fd_close(&resume->left_queue);
    fd_close(&resume->left_cursor);
    fd_close(&resume->left_ring);
    *resume = RESUME_EMPTY;
}

/* ---- the queue and the checkpoint ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int fail(
    char line[RESUME_LINE_MAX], int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, RESUME_LINE_MAX, format, arguments);
    va_end(arguments);
    return r;
}

static int check_identity(const struct checkpoint_identity *theirs, const struct checkpoint_identity *ours,
    char line[RESUME_LINE_MAX])
{
    if (theirs->record_version != ours->record_version)
        return fail(line, -EPROTONOSUPPORT, "its records are of version %u, not %u", theirs->record_version,
            ours->record_version);
    if (theirs->queue_version != ours->queue_version)
        return fail(line, -EPROTONOSUPPORT, "its queue is of version %u, not %u", theirs->queue_version,
            ours->queue_version);
    if (theirs->bpf_layout != ours->bpf_layout)
        return fail(line, -EPROTONOSUPPORT, "its maps are of version %u, not %u", theirs->bpf_layout,
            ours->bpf_layout);
    if (theirs->cgroup_hierarchy_id != ours->cgroup_hierarchy_id ||
        memcmp(theirs->cgroup_hierarchy, ours->cgroup_hierarchy, sizeof(ours->cgroup_hierarchy)) != 0)
        return fail(line, -EINVAL, "its cgroup hierarchy is another one");
    return 0;
}

static int take_maps(struct resume *resume, char line[RESUME_LINE_MAX])
{
    char error[PROBE_ERROR_MAX];
    int r;

    resume->kept = (struct probe_kept){.ring = fd_store_use(&resume->store, "ring"),
        .cpu_states = fd_store_use(&resume->store, "cpu-states"),
        .process_states = fd_store_use(&resume->store, "process-states"),
        .shared = fd_store_use(&resume->store, "shared")};
    r = probe_check_kept(&resume->kept, error);
    return r < 0 ? fail(line, r, "%.200s", error) : 0;
}

/* All of it or nothing. */
static int go_on(struct resume *resume, struct queue_producer **ret_queue,
    const struct checkpoint_identity *identity, char line[RESUME_LINE_MAX])
{
    struct checkpoint_identity theirs;
    uint64_t number;
    int queue, cursor, r = checkpoint_open(&resume->checkpoint, fd_store_use(&resume->store, "state"));

    if (r < 0)
        return fail(line, r, "its state %s", r == -EPROTONOSUPPORT ? "is of another version" : "is none");
    checkpoint_get_identity(resume->checkpoint, &theirs);
    r = check_identity(&theirs, identity, line);
    if (r == 0 && checkpoint_row_count(resume->checkpoint) != probe_possible_cpus() + 1)
        r = fail(line, -EINVAL, "its state is of another number of CPUs");
    if (r == 0)
        r = take_maps(resume, line);
    if (r < 0)
        return r;
    queue = fd_store_use_newest(&resume->store, "queue", &number);
    cursor = fd_store_use_newest(&resume->store, "cursor", &resume->cursor_ns);
    r = queue_producer_continue(ret_queue, queue, cursor);
    if (r < 0)
        return fail(line, r, "its queue: %s", strerror(-r));
    fd_store_done(&resume->store, queue); /* once ours is kept */
    checkpoint_settle(resume->checkpoint, queue_producer_tail(*ret_queue));
    return 0;
}

static int duplicate(int fd)
{
    return fd < 0 ? -1 : fd_duplicate(fd);
}

/* What is not gone on with is to be read or counted, and not kept any longer; but the hold store, which is the consumers'. Returns the hook id to begin at. */
static uint32_t leave(struct resume *resume, const struct checkpoint_identity *identity)
{
    struct checkpoint_identity theirs = {0};
    uint32_t next_hook = 1;
    uint64_t number;

    if (resume->checkpoint) {
        checkpoint_get_identity(resume->checkpoint, &theirs);
        resume->left_is_readable =
            theirs.record_version == identity->record_version &&
            theirs.cgroup_hierarchy_id == identity->cgroup_hierarchy_id &&
            memcmp(theirs.cgroup_hierarchy, identity->cgroup_hierarchy, sizeof(theirs.cgroup_hierarchy)) == 0;
        next_hook = checkpoint_next_hook(resume->checkpoint);
    }
    resume->left_queue = duplicate(fd_store_use_newest(&resume->store, "queue", &number));
    resume->left_cursor = duplicate(fd_store_use_newest(&resume->store, "cursor", &number));
    resume->left_ring = duplicate(fd_store_use(&resume->store, "ring"));
    resume->cursor_ns = 0;
    for (size_t i = 0; i < resume->store.count; i++)
        resume->store.entries[i].used = false;
    resume->checkpoint = checkpoint_close(resume->checkpoint);
    return next_hook;
}

int resume_open(struct resume *resume, struct queue_producer **ret_queue,
    const struct checkpoint_identity *identity, size_t queue_bytes, char line[RESUME_LINE_MAX])
{
    char why[RESUME_LINE_MAX] = "";
    uint32_t next_hook = 1;
    int r;

    line[0] = '\0';
    if (resume->store.count > 0) {
        resume->continues = go_on(resume, ret_queue, identity, why) == 0;
        if (!resume->continues) {
            next_hook = leave(resume, identity);
            (void)fail(line, 0, "what an earlier collector left cannot be gone on with: %.200s", why);
        } else if (queue_producer_data_bytes(*ret_queue) != queue_bytes) {
            (void)fail(line, 0, "the queue stays as large as it was (%zu bytes) until the service is stopped",
                queue_producer_data_bytes(*ret_queue));
        }
    }
    if (resume->continues)
        return 0;
    r = queue_producer_new(ret_queue, queue_bytes);
    if (r == 0)
        r = checkpoint_new(&resume->checkpoint, identity, resume->stamp_ns, probe_possible_cpus() + 1);
    if (r == 0)
        checkpoint_begin_hooks_at(resume->checkpoint, next_hook);
    return r;
}

const struct probe_kept *resume_maps(const struct resume *resume)
{
    return resume->continues ? &resume->kept : NULL;
}

int resume_hold(struct resume *resume)
{
    int fd = fd_store_use(&resume->store, "hold");

    resume->hold_is_kept = fd >= 0 && fd_check_seals(fd, F_SEAL_SEAL) == 0;
    return resume->hold_is_kept ? fd_duplicate(fd) : -1;
}

/* ---- policies ------------------------------------------------------------------------------------------------------- */

static size_t inherit_all(const uint8_t *data, size_t size, struct hooks *hooks)
{
    size_t count = 0;

    for (size_t at = 0; size - at >= sizeof(struct record_header);) {
        const struct record_header *record = (const void *)(data + at);

        if (record->type != RECORD_POLICY || record_check(record, size - at) < 0 ||
            hooks_inherit(hooks, (const struct record_policy *)record) < 0)
            break;
        at += record->size;
        count++;
    }
    return count;
}

size_t resume_inherit(struct resume *resume, struct hooks *hooks)
{
    uint64_t number;
    int fd = resume->continues || resume->left_is_readable
                 ? fd_store_use_newest(&resume->store, "policies", &number)
                 : -1;
    struct stat status;
    void *map = NULL;
    size_t count;

    if (fd < 0 || fd_check_seals(fd, POLICIES_SEALS) < 0 || fstat(fd, &status) < 0 || status.st_size == 0 ||
        (uint64_t)status.st_size > POLICIES_BYTES_MAX ||
        fd_map_shared(fd, (size_t)status.st_size, PROT_READ, &map) < 0)
        return 0;
    count = inherit_all(map, (size_t)status.st_size, hooks);
    fd_store_done(&resume->store, fd); /* once ours are kept */
    (void)munmap(map, (size_t)status.st_size);
    return count;
}

static int write_policy(const struct record_header *record, void *arg)
{
    return write(*(const int *)arg, record, record->size) == (ssize_t)record->size ? 0 : -EIO;
}

/* ---- keeping -------------------------------------------------------------------------------------------------------- */

static void put_numbered(
    struct resume *resume, const char *prefix, uint64_t number, const int *fds, size_t count)
{
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof(name), "%s-%llu", prefix, (unsigned long long)number);
    (void)fd_store_put(&resume->store, name, fds, count);
}

static void remove_numbered(struct resume *resume, const char *prefix, uint64_t number)
{
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof(name), "%s-%llu", prefix, (unsigned long long)number);
    (void)fd_store_remove(&resume->store, name);
}

struct link_list {
    int fds[LINKS_MAX];
    size_t count;
};

static void add_link(void *arg, int link_fd)
{
    struct link_list *list = arg;

    if (list->count < LINKS_MAX)
        list->fds[list->count++] = link_fd;
}

void resume_keep(
    struct resume *resume, const struct probe *probe, const struct queue_producer *queue, int hold_fd)
{
    struct link_list links = {.count = 0};
    struct queue_fds fds;
    struct probe_maps maps;

    queue_producer_get_fds(queue, &fds);
    probe_get_maps(probe, &maps);
    probe_each_link(probe, add_link, &links);
    if (!resume->continues) {
        (void)fd_store_replace(&resume->store, "state", checkpoint_fd(resume->checkpoint));
        (void)fd_store_replace(&resume->store, "ring", maps.ring);
        (void)fd_store_replace(&resume->store, "cpu-states", maps.cpu_states);
        (void)fd_store_replace(&resume->store, "process-states", maps.process_states);
        (void)fd_store_replace(&resume->store, "shared", maps.shared);
        resume_keep_cursor(resume, queue);
    }
    if (!resume->hold_is_kept)
        (void)fd_store_replace(&resume->store, "hold", hold_fd);
    put_numbered(resume, "links", resume->stamp_ns, links.fds, links.count);
    put_numbered(resume, "queue", resume->stamp_ns, &fds.ring, 1);
}

/* The new one first: with both, the greater number counts. */
void resume_keep_cursor(struct resume *resume, const struct queue_producer *queue)
{
    uint64_t before = resume->cursor_ns;
    struct queue_fds fds;

    queue_producer_get_fds(queue, &fds);
    resume->cursor_ns = clock_boot_ns();
    put_numbered(resume, "cursor", resume->cursor_ns, &fds.cursor, 1);
    if (before)
        remove_numbered(resume, "cursor", before);
}

void resume_keep_policies(struct resume *resume, struct hooks *hooks)
{
    CLEANUP_CLOSE int fd = resume->store.notify->fd < 0 ? -1 : fd_memfd_new("podkin-policies", 0);
    uint64_t before = resume->policies_ns;

    if (fd < 0 || hooks_each_policy(hooks, write_policy, &fd) < 0 || fd_seal(fd, POLICIES_SEALS) < 0)
        return;
    resume->policies_ns = clock_boot_ns();
    put_numbered(resume, "policies", resume->policies_ns, &fd, 1);
    if (before)
        remove_numbered(resume, "policies", before);
}

static void keep_hook(void *arg, uint32_t number, const int *link_fds, size_t count)
{
    struct resume *resume = arg;
    char prefix[NAME_BYTES / 2];

    (void)snprintf(prefix, sizeof(prefix), "hook-%llu", (unsigned long long)resume->stamp_ns);
    put_numbered(resume, prefix, number, link_fds, count);
}

static void forget_hook(void *arg, uint32_t number)
{
    struct resume *resume = arg;
    char prefix[NAME_BYTES / 2];

    (void)snprintf(prefix, sizeof(prefix), "hook-%llu", (unsigned long long)resume->stamp_ns);
    remove_numbered(resume, prefix, number);
}

struct hooks_keeper resume_keeper(struct resume *resume)
{
    return (struct hooks_keeper){.keep = keep_hook, .forget = forget_hook, .arg = resume};
}

/* ---- the end of the earlier one ------------------------------------------------------------------------------------- */

/* Into the queue, or counted. */
static void drain_left_ring(struct resume *resume, struct intake *intake)
{
    struct probe_kept kept = {
        .ring = resume->left_ring, .cpu_states = -1, .process_states = -1, .shared = -1};
    uint64_t given_up[RECORD_TYPE_SLOTS] = {0};
    char error[PROBE_ERROR_MAX];
    const struct record_header *record;
    struct ring *ring = NULL;
    size_t size;

    (void)probe_check_kept(&kept, error);
    if (resume->left_ring < 0 || !kept.ring_bytes ||
        ring_open(&ring, resume->left_ring, kept.ring_bytes) < 0 || !ring)
        return;
    intake_begin(intake);
    while ((record = ring_next(ring, &size))) {
        if (resume->left_is_readable)
            (void)intake_put(record, size, intake);
        else if (size >= 8) /* R6 */
            given_up[record->type % RECORD_TYPE_SLOTS]++;
    }
    intake_give_up(intake, given_up);
    intake_end(intake);
    ring_release(ring);
    ring_close(ring);
}

void resume_finish(struct resume *resume, struct intake *intake)
{
    if (resume->store.count == 0)
        return;
    fd_store_remove_unused(&resume->store);
    (void)fd_store_wait(&resume->store); /* else the earlier programs end a little later */
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    drain_left_ring(resume, intake);
    fd_close(&resume->left_ring);
}

void resume_give_up(struct resume *resume, struct intake *intake)
{
    uint64_t count[RECORD_TYPE_SLOTS] = {0};

    if (resume->left_queue < 0)
        return;
    if (queue_count_unread(resume->left_queue, resume->left_cursor, count))
        intake_give_up(intake, count);
    fd_close(&resume->left_queue);
    fd_close(&resume->left_cursor);
}
