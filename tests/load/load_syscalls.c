/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

static int read_tracepoint_id(uint64_t *ret)
{
    static const char *const paths[] = {"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
        "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id"};
    int error = -ENOENT;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        CLEANUP_CLOSE int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        char text[24] = "";

        if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0) {
            *ret = strtoull(text, NULL, 10);
            return 0;
        }
        error = fd < 0 ? -errno : -EIO;
    }
    return error;
}

int load_syscalls_open(pid_t pid)
{
    struct perf_event_attr attr = {.size = sizeof(attr), .type = PERF_TYPE_TRACEPOINT, .inherit = 1};
    uint64_t id = 0;
    int r = read_tracepoint_id(&id), fd;

    if (r < 0)
        return r;
    attr.config = id;
    fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int load_syscalls_read(int fd, uint64_t *ret)
{
    uint64_t count;

    if (fd < 0)
        return -EBADF;
    if (read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return -EIO;
    *ret = count;
    return 0;
}
