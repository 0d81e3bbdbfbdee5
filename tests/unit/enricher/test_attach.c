/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/attach.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/record.h"
#include "common/unix_socket.h"
#include "enricher/snapshot_read.h"
#include "tests/support/attach_wait.h"

/* A collector that says what the test wants: in a thread, one connection. */
static struct {
    struct handoff_attach answer;
    size_t answer_bytes, fd_count;
    bool silent, close_at_once, snapshot_unsealed;
    uint64_t snapshot_real_bytes;
    struct handoff_hello hello; /* what it was told */
} server;

static char folder[64], path[96], error[ATTACH_ERROR_MAX];
static int listener, fds_before;
static struct queue_producer *queue;
static struct attachment attachment;

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void setup(void)
{
    memset(&server, 0, sizeof(server));
    server.answer = (struct handoff_attach){.magic = HANDOFF_MAGIC,
        .version = HANDOFF_VERSION,
        .type = HANDOFF_ATTACH,
        .record_version = RECORD_VERSION,
        .epoch_ns = 42,
        .attach_count = 3,
        .snapshot_bytes = 4096,
        .hook_kind = "tp_btf"};
    server.answer_bytes = sizeof(server.answer);
    server.fd_count = HANDOFF_FD_COUNT;
    server.snapshot_real_bytes = 4096;
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-attach-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    fds_before = count_fds();
    listener = unix_listen(path, (gid_t)-1);
    cr_assert_geq(listener, 0);
    cr_assert_eq(queue_producer_new(&queue, 65536), 0);
    attachment = ATTACHMENT_EMPTY;
}

static void teardown(void)
{
    attachment_deinit(&attachment);
    attachment_deinit(&attachment); /* idempotent */
    queue = queue_producer_free(queue);
    fd_close(&listener);
    cr_assert_eq(count_fds(), fds_before, "an fd leaked");
    (void)unlink(path);
    (void)rmdir(folder);
}

static void *serve(void *unused)
{
    struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
    struct queue_fds q;
    int connection, hold, snapshot;

    (void)unused;
    (void)poll(&poll_fd, 1, 5000);
    connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (!server.close_at_once) {
        poll_fd.fd = connection;
        (void)poll(&poll_fd, 1, 5000);
        (void)recv(connection, &server.hello, sizeof(server.hello), 0);
    }
    hold = fd_memfd_new("hold", 0);
    snapshot = fd_memfd_new("snapshot", server.snapshot_real_bytes);
    if (!server.snapshot_unsealed)
        (void)fd_seal(snapshot, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    queue_producer_get_fds(queue, &q);
    if (server.silent) {
        (void)poll(&poll_fd, 1, 2000); /* until the client has had enough */
    } else if (!server.close_at_once) {
        const int fds[] = {q.ring, q.cursor, q.doorbell, hold, snapshot, hold, hold};
        char bytes[4096] = {0};

        memcpy(bytes, &server.answer, sizeof(server.answer));
        (void)unix_send(connection, bytes, server.answer_bytes, fds, server.fd_count);
    }
    fd_close(&hold);
    fd_close(&snapshot);
    fd_close(&connection);
    return NULL;
}

static int connect_to_server(uint64_t timeout_ns)
{
    pthread_t thread;
    int r;

    error[0] = '\0';
    cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
    r = attach_wait(&attachment, path, timeout_ns, error);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(r == 0, error[0] == '\0', "%s", error);
    cr_assert_null(strchr(error, '\n'));
    if (r < 0)
        cr_assert_eq(attachment.socket_fd, -1, "untouched on failure");
    return r;
}

TestSuite(attach, .init = setup, .fini = teardown, .timeout = 30);

Test(attach, everything_arrives_and_the_queue_opens)
{
    struct queue_consumer *consumer = NULL;
    char byte;

    cr_assert_eq(connect_to_server(NS_PER_SEC), 0, "%s", error);
    cr_assert_eq(server.hello.magic, HANDOFF_MAGIC);
    cr_assert_eq(server.hello.type, HANDOFF_HELLO);
    cr_assert_eq(attachment.message.attach_count, 3);
    cr_assert_eq(attachment.message.epoch_ns, 42);
    cr_assert_str_eq(attachment.message.hook_kind, "tp_btf");
    cr_assert_not_null(attachment.snapshot);
    cr_assert_eq(attachment.snapshot_bytes, 4096);
    cr_assert_eq(ftruncate(attachment.hold_fd, 65536), 0);
    cr_assert_eq(queue_consumer_new(&consumer, &attachment.queue_fds), 0);
    queue_consumer_free(consumer);
    attachment_drop_snapshot(&attachment);
    cr_assert_null(attachment.snapshot);
    cr_assert_eq(recv(attachment.socket_fd, &byte, 1, 0), 0, "the end of the collector is an end of file");
}

Test(attach, no_snapshot_is_no_mapping)
{
    server.answer.snapshot_bytes = 0;
    cr_assert_eq(connect_to_server(NS_PER_SEC), 0);
    cr_assert_null(attachment.snapshot);
}

Test(attach, nobody_there_is_said_at_once)
{
    cr_assert_eq(attach_wait(&attachment, "/nonexistent/socket", NS_PER_SEC, error), -ENOENT);
    fd_close(&listener);
    cr_assert_eq(attach_wait(&attachment, path, NS_PER_SEC, error), -ECONNREFUSED);
    cr_assert_not_null(strstr(error, path));
}

Test(attach, silence_ends_at_the_timeout)
{
    uint64_t start = clock_boot_ns();

    server.silent = true;
    cr_assert_eq(connect_to_server(200 * NS_PER_MS), -ETIMEDOUT);
    cr_assert_geq(clock_boot_ns() - start, 200 * NS_PER_MS);
}

Test(attach, close_without_an_answer_is_a_reset)
{
    server.close_at_once = true;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -ECONNRESET);
}

Test(attach, refusals_are_told_apart)
{
    const struct {
        enum handoff_refusal reason;
        int r;
    } cases[] = {{HANDOFF_REFUSED_BUSY, -EBUSY}, {HANDOFF_REFUSED_PEER, -EACCES},
        {HANDOFF_REFUSED_VERSION, -EPROTONOSUPPORT}, {HANDOFF_REFUSED_MESSAGE, -EBADMSG}, {77, -EBADMSG}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct handoff_refuse refuse = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_REFUSE, cases[i].reason};

        memcpy(&server.answer, &refuse, sizeof(refuse));
        server.answer_bytes = sizeof(refuse);
        server.fd_count = 0;
        cr_assert_eq(connect_to_server(NS_PER_SEC), cases[i].r);
    }
}

Test(attach, answers_of_another_shape_are_refused_and_leak_nothing)
{
    server.answer_bytes = sizeof(server.answer) - 1;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer_bytes = sizeof(server.answer) + 1;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer_bytes = 4096;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer_bytes = 3;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer_bytes = sizeof(server.answer);
    for (size_t count = 0; count < 8; count++) {
        if (count == HANDOFF_FD_COUNT)
            continue;
        server.fd_count = count;
        cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG, "%zu fds", count);
    }
}

Test(attach, answers_of_another_meaning_are_refused)
{
    const struct handoff_attach good = server.answer;

    server.answer.magic++;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer = good, server.answer.type = HANDOFF_HELLO;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer = good, server.answer.type = HANDOFF_REFUSE;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer = good, server.answer.version++;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EPROTONOSUPPORT);
    server.answer = good, server.answer.record_version++;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EPROTONOSUPPORT);
    server.answer = good;
    memset(server.answer.hook_kind, 'x', sizeof(server.answer.hook_kind));
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.answer = good;
    memset(server.answer.cgroup_hierarchy, 'x', sizeof(server.answer.cgroup_hierarchy));
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
}

Test(attach, snapshot_that_could_change_or_fault_is_refused)
{
    server.snapshot_unsealed = true;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.snapshot_unsealed = false;
    server.snapshot_real_bytes = 4095;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
    server.snapshot_real_bytes = 4096;
    server.answer.snapshot_bytes = UINT64_MAX;
    cr_assert_eq(connect_to_server(NS_PER_SEC), -EBADMSG);
}

/* ---- snapshot_read ---- */

static _Alignas(8) uint8_t bytes[4096];
static size_t used;

static void add(enum record_type type, size_t size)
{
    struct record_header header = {.size = (uint32_t)size, .type = (uint8_t)type, .version = RECORD_VERSION};

    memset(bytes + used, 0, size);
    memcpy(bytes + used, &header, sizeof(header));
    used += size;
}

static void add_end(uint32_t processes, uint32_t cgroups)
{
    add(RECORD_SNAPSHOT_END, sizeof(struct record_snapshot_end));
    ((struct record_snapshot_end *)(void *)(bytes + used - sizeof(struct record_snapshot_end)))
        ->process_count = processes;
    ((struct record_snapshot_end *)(void *)(bytes + used - sizeof(struct record_snapshot_end)))
        ->cgroup_count = cgroups;
}

static void make_snapshot(uint32_t processes, uint32_t cgroups)
{
    used = 0;
    add(RECORD_SNAPSHOT_CGROUP, sizeof(struct record_cgroup));
    add(RECORD_SNAPSHOT_PROCESS, sizeof(struct record_process));
    add(RECORD_SNAPSHOT_PROCESS, sizeof(struct record_process) + 64);
    add_end(processes, cgroups);
}

/* Reads `size` bytes; how it ended. */
static int read_all(size_t size, int *ret_count)
{
    struct snapshot_reader reader;
    const struct record_header *record;
    int r;

    *ret_count = 0;
    snapshot_read_init(&reader, bytes, size);
    while ((r = snapshot_read_next(&reader, &record)) == 1)
        ++*ret_count;
    cr_assert_eq(snapshot_read_next(&reader, &record), r, "the end is given again");
    return r;
}

Test(snapshot_read, whole_snapshot_ends_well)
{
    int count;

    make_snapshot(2, 1);
    cr_assert_eq(read_all(used, &count), 0);
    cr_assert_eq(count, 3);
}

Test(snapshot_read, counts_that_disagree_are_told)
{
    int count;

    make_snapshot(3, 1);
    cr_assert_eq(read_all(used, &count), -ENODATA);
    make_snapshot(2, 0);
    cr_assert_eq(read_all(used, &count), -ENODATA);
    cr_assert_eq(count, 3);
}

Test(snapshot_read, missing_end_is_told)
{
    int count;

    make_snapshot(2, 1);
    cr_assert_eq(read_all(used - sizeof(struct record_snapshot_end), &count), -ENODATA);
    cr_assert_eq(count, 3);
    cr_assert_eq(read_all(0, &count), -ENODATA);
}

Test(snapshot_read, no_cut_goes_unnoticed)
{
    int count;

    make_snapshot(2, 1);
    for (size_t size = 0; size < used; size++)
        cr_assert_lt(read_all(size, &count), 0, "cut at %zu", size);
    add(RECORD_SNAPSHOT_PROCESS, sizeof(struct record_process));
    cr_assert_eq(read_all(used, &count), -EBADMSG, "something behind the end");
}

Test(snapshot_read, other_types_do_not_belong_there)
{
    int count;

    used = 0;
    add(RECORD_EXEC, sizeof(struct record_process));
    cr_assert_eq(read_all(used, &count), -EBADMSG);
    used = 0;
    add(RECORD_PAD, 64);
    cr_assert_eq(read_all(used, &count), -EBADMSG);
}
