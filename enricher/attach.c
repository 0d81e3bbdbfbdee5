/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/record.h"
#include "common/unix_socket.h"

#define SNAPSHOT_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* All answers begin alike; a refusal is the shorter one. */
union answer {
    struct handoff_attach attach;
    struct handoff_refuse refuse;
};

static int fail(char error[ATTACH_ERROR_MAX], const char *path, int r, const char *what)
{
    if (what)
        (void)snprintf(error, ATTACH_ERROR_MAX, "collector at %s: %s", path, what);
    else
        (void)snprintf(error, ATTACH_ERROR_MAX, "collector at %s: %s", path, strerror(-r));
    return r;
}

/* Message bytes, 0: closed, -EAGAIN: nothing yet. A close with our HELLO unread is reported before an answer that is there: hence the second look. */
static ssize_t receive_answer(int fd, union answer *answer, int fds[HANDOFF_FD_COUNT], size_t *ret_fd_count)
{
    ssize_t size;

    for (int i = 0;; i++) {
        size = unix_receive(fd, answer, sizeof(*answer), fds, HANDOFF_FD_COUNT, ret_fd_count);
        if (size != -EINTR && !(size == -ECONNRESET && i == 0))
            return size;
    }
}

static int explain_refusal(const struct handoff_refuse *refuse, const char *path, char *error)
{
    switch (refuse->reason) {
    case HANDOFF_REFUSED_BUSY:
        return fail(error, path, -EBUSY, "it serves another consumer");
    case HANDOFF_REFUSED_PEER:
        return fail(error, path, -EACCES, "it refuses this user (see its --peer-user)");
    case HANDOFF_REFUSED_VERSION:
        return fail(error, path, -EPROTONOSUPPORT, "it speaks another version");
    case HANDOFF_REFUSED_MESSAGE:
        return fail(error, path, -EBADMSG, "it did not understand our hello");
    default:
        return fail(error, path, -EBADMSG, "it refuses and gives no known reason");
    }
}

static int check_answer(
    const union answer *answer, size_t size, size_t fd_count, const char *path, char *error)
{
    const struct handoff_attach *attach = &answer->attach;

    if (size < sizeof(struct handoff_refuse) || attach->magic != HANDOFF_MAGIC)
        return fail(error, path, -EBADMSG, "what answers there is no collector");
    if (attach->version != HANDOFF_VERSION)
        return fail(error, path, -EPROTONOSUPPORT, "it speaks another version of the handoff");
    if (attach->type == HANDOFF_REFUSE && size == sizeof(answer->refuse) && fd_count == 0)
        return explain_refusal(&answer->refuse, path, error);
    if (attach->type != HANDOFF_ATTACH || size != sizeof(*attach) || fd_count != HANDOFF_FD_COUNT)
        return fail(error, path, -EBADMSG, "its answer has the wrong type, length or number of fds");
    if (attach->record_version != RECORD_VERSION)
        return fail(error, path, -EPROTONOSUPPORT, "it writes another version of the records");
    if (!memchr(attach->hook_kind, '\0', sizeof(attach->hook_kind)))
        return fail(error, path, -EBADMSG, "its hook kind is not terminated");
    if (!memchr(attach->cgroup_hierarchy, '\0', sizeof(attach->cgroup_hierarchy)))
        return fail(error, path, -EBADMSG, "its cgroup hierarchy is not terminated");
    return 0;
}

/* Size and seals first: then the mapping cannot fault, nor change while it is read. */
static int map_snapshot(int fd, uint64_t bytes, const void **ret)
{
    struct stat status;
    void *map = NULL;
    int r;

    if (bytes == 0)
        return 0;
    if (bytes > ATTACH_SNAPSHOT_BYTES_MAX || fd_check_seals(fd, SNAPSHOT_SEALS) < 0)
        return -EBADMSG;
    if (fstat(fd, &status) < 0)
        return -errno;
    if ((uint64_t)status.st_size < bytes)
        return -EBADMSG;
    r = fd_map_shared(fd, bytes, PROT_READ, &map);
    if (r < 0)
        return r;
    *ret = map;
    return 0;
}

static void close_all(int fds[HANDOFF_FD_COUNT], size_t count)
{
    for (size_t i = 0; i < count; i++)
        fd_close(&fds[i]);
}

int attach_begin(int *ret_fd, const char *path, char error[ATTACH_ERROR_MAX])
{
    const struct handoff_hello hello = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_HELLO, RECORD_VERSION};
    CLEANUP_CLOSE int fd = unix_connect(path);
    int r;

    if (fd < 0)
        return fail(error, path, fd, NULL);
    r = unix_send(fd, &hello, sizeof(hello), NULL, 0);
    if (r < 0 && r != -EPIPE && r != -ECONNRESET) /* closed already: perhaps with a reason that can be read */
        return fail(error, path, r, NULL);
    *ret_fd = take_fd(&fd);
    return 0;
}

int attach_finish(struct attachment *ret, int *socket_fd, const char *path, char error[ATTACH_ERROR_MAX])
{
    const void *snapshot = NULL;
    int fds[HANDOFF_FD_COUNT], r;
    union answer answer;
    size_t fd_count = 0;
    ssize_t size;

    memset(&answer, 0, sizeof(answer));
    size = receive_answer(*socket_fd, &answer, fds, &fd_count);
    if (size == -EAGAIN)
        return -EAGAIN;
    if (size == -EMSGSIZE)
        return fail(error, path, -EBADMSG, "its answer is too long");
    if (size == 0)
        return fail(error, path, -ECONNRESET, "it closed the connection without an answer");
    if (size < 0)
        return fail(error, path, (int)size, NULL);
    r = check_answer(&answer, (size_t)size, fd_count, path, error);
    if (r == 0) {
        r = map_snapshot(fds[HANDOFF_FD_SNAPSHOT], answer.attach.snapshot_bytes, &snapshot);
        if (r < 0)
            r = fail(
                error, path, r, r == -EBADMSG ? "its snapshot is not sealed, or shorter than it says" : NULL);
    }
    if (r < 0) {
        close_all(fds, fd_count);
        return r;
    }
    fd_close(&fds[HANDOFF_FD_SNAPSHOT]); /* the mapping stays */
    *ret = (struct attachment){
        .socket_fd = take_fd(socket_fd),
        .queue_fds = {fds[HANDOFF_FD_RING], fds[HANDOFF_FD_CURSOR], fds[HANDOFF_FD_DOORBELL]},
        .hold_fd = fds[HANDOFF_FD_HOLD],
        .snapshot = snapshot,
        .snapshot_bytes = answer.attach.snapshot_bytes,
        .message = answer.attach,
    };
    return 0;
}

void attachment_drop_snapshot(struct attachment *attachment)
{
    if (attachment->snapshot)
        (void)munmap((void *)attachment->snapshot, attachment->snapshot_bytes);
    attachment->snapshot = NULL;
    attachment->snapshot_bytes = 0;
}

void attachment_deinit(struct attachment *attachment)
{
    attachment_drop_snapshot(attachment);
    fd_close(&attachment->socket_fd);
    fd_close(&attachment->queue_fds.ring);
    fd_close(&attachment->queue_fds.cursor);
    fd_close(&attachment->queue_fds.doorbell);
    fd_close(&attachment->hold_fd);
    *attachment = ATTACHMENT_EMPTY;
}
