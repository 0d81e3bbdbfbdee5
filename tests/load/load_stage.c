/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

int load_stage_open(struct load_stage *stage, const char *path, uint64_t queue_bytes)
{
    int r;

    *stage = LOAD_STAGE_EMPTY;
    stage->cgroup_hierarchy = "v2";
    stage->epoch_ns = stage->seq = clock_boot_ns();
    r = queue_producer_new(&stage->queue, queue_bytes);
    if (r == 0)
        r = intake_init(&stage->intake, stage->queue, &stage->seq);
    if (r < 0)
        return r;
    stage->hold_fd = fd_memfd_new("podkin-load-hold", 0);
    if (stage->hold_fd < 0)
        return stage->hold_fd;
    r = fd_seal(stage->hold_fd, F_SEAL_SEAL);
    return r < 0 ? r : handoff_open(&stage->handoff, path, geteuid(), getegid());
}

void load_stage_close(struct load_stage *stage)
{
    handoff_close(&stage->handoff);
    intake_deinit(&stage->intake);
    stage->queue = queue_producer_free(stage->queue);
    fd_close(&stage->hold_fd);
    fd_close(&stage->snapshot_fd);
}

static int write_whole(const struct record_header *record, size_t size, void *arg)
{
    struct load_stage *stage = arg;
    const char *data = (const char *)record;

    for (size_t done = 0; done < size;) {
        ssize_t n = write(stage->snapshot_fd, data + done, size - done);

        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    stage->snapshot_bytes += size;
    return 0;
}

static int make_snapshot(struct load_stage *stage)
{
    int r;

    fd_close(&stage->snapshot_fd);
    stage->snapshot_bytes = 0;
    stage->snapshot_fd = fd_memfd_new("podkin-load-snapshot", 0);
    if (stage->snapshot_fd < 0)
        return stage->snapshot_fd;
    r = stage->snapshot(stage->snapshot_arg, clock_boot_ns(), write_whole, stage);
    return r < 0 ? r : fd_seal(stage->snapshot_fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

static int attach(struct load_stage *stage)
{
    struct handoff_attach message = {.magic = HANDOFF_MAGIC,
        .version = HANDOFF_VERSION,
        .type = HANDOFF_ATTACH,
        .record_version = RECORD_VERSION,
        .epoch_ns = stage->epoch_ns,
        .attach_count = ++stage->attach_count,
        .hook_kind = "replay"};
    struct queue_fds queue;
    int r = 0;

    (void)snprintf(message.cgroup_hierarchy, sizeof(message.cgroup_hierarchy), "%s", stage->cgroup_hierarchy);
    if (stage->attach_count > 1) {
        (void)queue_producer_refresh(stage->queue);
        r = queue_producer_renew_cursor(stage->queue);
    }
    if (r == 0)
        r = make_snapshot(stage);
    if (r < 0)
        return r;
    message.snapshot_bytes = stage->snapshot_bytes;
    queue_producer_get_fds(stage->queue, &queue);
    r = handoff_send_attach(&stage->handoff, &message,
        (const int[HANDOFF_FD_COUNT]){[HANDOFF_FD_RING] = queue.ring,
            [HANDOFF_FD_CURSOR] = queue.cursor,
            [HANDOFF_FD_DOORBELL] = queue.doorbell,
            [HANDOFF_FD_HOLD] = stage->hold_fd,
            [HANDOFF_FD_SNAPSHOT] = stage->snapshot_fd});
    fd_close(&stage->snapshot_fd);
    if (r == 0)
        intake_follow(&stage->intake, true);
    return r;
}

static int on_event(struct load_stage *stage, enum handoff_event event)
{
    if (event == HANDOFF_WANTED)
        return attach(stage);
    if (event == HANDOFF_GONE)
        intake_follow(&stage->intake, false);
    return 0;
}

int load_stage_turn(struct load_stage *stage)
{
    struct pollfd fds[] = {{.fd = stage->handoff.listener, .events = POLLIN},
        {.fd = stage->handoff.connection, .events = POLLIN | POLLRDHUP}};
    int r = 0;

    if (poll(fds, 2, 0) > 0) {
        if (fds[1].revents)
            r = on_event(stage, handoff_on_connection(&stage->handoff));
        if (r == 0 && fds[0].revents)
            r = on_event(stage, handoff_on_listener(&stage->handoff, clock_boot_ns()));
    }
    return r < 0 ? r : on_event(stage, handoff_on_time(&stage->handoff, clock_boot_ns()));
}

bool load_stage_is_attached(const struct load_stage *stage)
{
    return stage->handoff.state == HANDOFF_ATTACHED;
}

void load_stage_begin(struct load_stage *stage)
{
    intake_begin(&stage->intake);
}

int load_stage_put(const struct record_header *record, size_t size, void *arg)
{
    struct load_stage *stage = arg;

    stage->offered++;
    return intake_put(record, size, &stage->intake);
}

void load_stage_end(struct load_stage *stage)
{
    intake_end(&stage->intake);
}

uint64_t load_stage_backlog_bytes(const struct load_stage *stage)
{
    return queue_producer_used_bytes(stage->queue);
}
