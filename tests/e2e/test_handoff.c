/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have the collector's records: one consumer, of the right user, who says the one thing there is to say; and what a hostile one can do. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/handoff_message.h"
#include "common/queue_layout.h"
#include "common/record.h"
#include "tests/e2e/scene.h"

static struct scene scene;

static const struct handoff_hello good_hello = {.magic = HANDOFF_MAGIC,
    .version = HANDOFF_VERSION,
    .type = HANDOFF_HELLO,
    .record_version = RECORD_VERSION};

/* Connects as this user. fd or negative errno. */
static int connect_as(uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 3};
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int r;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", scene.node.socket);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (setegid(uid ? node_gid() : 0) < 0 || seteuid(uid) < 0)
        abort();
    r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    if (seteuid(0) < 0 || setegid(0) < 0)
        abort();
    return r < 0 ? r : take_fd(&fd);
}

/* Sends, with an fd when it is not negative. */
static void send_message(int fd, const void *data, size_t size, int passed)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (passed >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
    }
    (void)sendmsg(fd, &message, MSG_NOSIGNAL);
}

struct answer {
    ssize_t size;
    union {
        struct handoff_attach attach;
        struct handoff_refuse refuse;
        char bytes[256];
    } message;
    int fds[HANDOFF_FD_COUNT];
    size_t fd_count;
};

static void receive_answer(int fd, struct answer *ret)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * HANDOFF_FD_COUNT)];
    } control;
    struct iovec part = {.iov_base = &ret->message, .iov_len = sizeof(ret->message)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    memset(ret, 0, sizeof(*ret));
    ret->size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (ret->size > 0 && message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
        control.header.cmsg_type == SCM_RIGHTS) {
        ret->fd_count = (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(ret->fds, CMSG_DATA(&control.header), ret->fd_count * sizeof(int));
    }
}

static void close_answer(struct answer *answer)
{
    for (size_t i = 0; i < answer->fd_count; i++)
        (void)close(answer->fds[i]);
    answer->fd_count = 0;
}

static unsigned log_lines(void)
{
    CLEANUP_FILE FILE *file = fopen(scene.node.collector_log, "re");
    char line[2048];
    unsigned count = 0;

    while (file && fgets(line, sizeof(line), file))
        count++;
    return count;
}

/* Expects that this message of this user is refused with that reason (0: the connection may also just end), and one line in the log. */
static void expect_refused(
    const char *what, uid_t uid, const void *data, size_t size, int passed, uint32_t reason)
{
    unsigned before = log_lines();
    CLEANUP_CLOSE int fd = connect_as(uid);
    struct answer answer = {0};

    if (!tap_expect(fd >= 0, "%s: connect: %s", what, strerror(-fd)))
        return;
    send_message(fd, data, size, passed);
    receive_answer(fd, &answer);
    if (answer.size > 0) {
        tap_expect_equal(answer.size, sizeof(struct handoff_refuse), what);
        tap_expect_equal(answer.message.refuse.type, HANDOFF_REFUSE, what);
        tap_expect_equal(answer.message.refuse.reason, reason, what);
        receive_answer(fd, &answer);
    }
    tap_expect(
        answer.size == 0 || (answer.size < 0 && errno == ECONNRESET), "%s: the connection stays open", what);
    close_answer(&answer);
    for (unsigned i = 0; i < 200 && log_lines() == before; i++)
        node_sleep_ms(5);
    node_sleep_ms(20);
    tap_expect(
        log_lines() == before + 1, "%s: %u lines in the log, expected one", what, log_lines() - before);
}

/* fd of the connection; its answer in *ret. */
static int attach(struct answer *ret)
{
    int fd = connect_as(node_uid());

    if (!tap_expect(fd >= 0, "connect: %s", strerror(-fd)))
        return fd;
    send_message(fd, &good_hello, sizeof(good_hello), -1);
    receive_answer(fd, ret);
    tap_expect_equal(ret->size, sizeof(struct handoff_attach), "size of the answer");
    tap_expect_equal(ret->message.attach.type, HANDOFF_ATTACH, "type of the answer");
    tap_expect_equal(ret->fd_count, HANDOFF_FD_COUNT, "fds");
    return fd;
}

static bool start(void)
{
    return scene_make(&scene, 1) && scene_start_collector(&scene);
}

static void wrong_messages(void)
{
    struct handoff_hello hello;
    char longer[sizeof(hello) + 1] = {0};

    if (!start())
        return scene_end(&scene);
    memcpy(longer, &good_hello, sizeof(good_hello));
    expect_refused(
        "a truncated message", node_uid(), &good_hello, sizeof(good_hello) - 1, -1, HANDOFF_REFUSED_MESSAGE);
    expect_refused("an oversized message", node_uid(), longer, sizeof(longer), -1, HANDOFF_REFUSED_MESSAGE);
    expect_refused(
        "a message with an fd", node_uid(), &good_hello, sizeof(good_hello), 0, HANDOFF_REFUSED_MESSAGE);
    hello = good_hello;
    hello.magic++;
    expect_refused("another magic", node_uid(), &hello, sizeof(hello), -1, HANDOFF_REFUSED_MESSAGE);
    hello = good_hello;
    hello.type = HANDOFF_ATTACH;
    expect_refused("another type", node_uid(), &hello, sizeof(hello), -1, HANDOFF_REFUSED_MESSAGE);
    hello = good_hello;
    hello.version++;
    expect_refused("another version", node_uid(), &hello, sizeof(hello), -1, HANDOFF_REFUSED_VERSION);
    hello = good_hello;
    hello.record_version++;
    expect_refused("another record version", node_uid(), &hello, sizeof(hello), -1, HANDOFF_REFUSED_VERSION);
    scene_end(&scene);
}

static void wrong_user(void)
{
    if (!start())
        return scene_end(&scene);
    expect_refused("root", 0, &good_hello, sizeof(good_hello), -1, HANDOFF_REFUSED_PEER);
    expect_refused("another user", 1, &good_hello, sizeof(good_hello), -1, HANDOFF_REFUSED_PEER);
    scene_end(&scene);
}

static void exec_true(void *arg)
{
    (void)arg;
    workload_exec_true(20);
}

static void second_consumer(void)
{
    if (!start())
        return scene_end(&scene);
    scene_reveal(&scene);
    if (scene_start_enricher(&scene, NULL)) {
        (void)workload_run(scene_container(&scene, 0), exec_true, NULL);
        scene_check(&scene, 5000);
        expect_refused(
            "a second consumer", node_uid(), &good_hello, sizeof(good_hello), -1, HANDOFF_REFUSED_BUSY);
        expect_refused(
            "root as a second consumer", 0, &good_hello, sizeof(good_hello), -1, HANDOFF_REFUSED_PEER);
        (void)workload_run(scene_container(&scene, 0), exec_true, NULL); /* the first one goes on */
        scene_check(&scene, 5000);
    }
    scene_end(&scene);
}

static void no_writable_ring(void)
{
    struct answer answer = {0};
    int fd;

    if (!start())
        return scene_end(&scene);
    fd = attach(&answer);
    if (fd >= 0 && answer.fd_count == HANDOFF_FD_COUNT) {
        int ring = answer.fds[HANDOFF_FD_RING];

        tap_expect(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0) == MAP_FAILED,
            "the ring maps writable");
        tap_expect(pwrite(ring, "x", 1, 0) < 0, "the ring takes a write");
        tap_expect(ftruncate(ring, 0) < 0, "the ring is cut");
        tap_expect(ftruncate(answer.fds[HANDOFF_FD_CURSOR], 0) < 0, "the cursor page is cut");
        tap_expect(ftruncate(answer.fds[HANDOFF_FD_SNAPSHOT], 0) < 0, "the snapshot is cut");
    }
    close_answer(&answer);
    if (fd >= 0)
        (void)close(fd);
    scene_end(&scene);
}

/* Writes into its own page whatever comes, while the kernel's records flow. */
static void scribble(struct answer *answer, unsigned ms)
{
    struct queue_cursor_page *page =
        mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, answer->fds[HANDOFF_FD_CURSOR], 0);
    uint64_t end = node_now_ns() + (uint64_t)ms * 1000000;
    unsigned seed = 1;

    if (!tap_expect(page != MAP_FAILED, "the cursor page: %s", strerror(errno)))
        return;
    while (node_now_ns() < end) {
        uint64_t value = (uint64_t)rand_r(&seed) << (rand_r(&seed) % 40);

        if (rand_r(&seed) % 4 == 0)
            value = UINT64_MAX - value;
        atomic_store_explicit(&page->head, value, memory_order_relaxed);
        atomic_store_explicit(&page->sleep_ticket, (uint32_t)rand_r(&seed), memory_order_relaxed);
        for (size_t i = 128; i < QUEUE_PAGE_BYTES; i += 8)
            ((volatile uint64_t *)(void *)page)[i / 8] = value;
    }
    (void)munmap(page, QUEUE_PAGE_BYTES);
}

static void vfork_many(void *arg)
{
    (void)arg;
    workload_vfork_true(3000);
}

static void note_counts(size_t before)
{
    const struct test_container *container = scene_container(&scene, 0);
    struct oracle_counts counts = oracle_read(container);

    tap_note("%zu lines before, then %llu forks, %llu executions, %llu exits in the kernel; in all %zu, %zu, "
             "%zu, and %zu distinct",
        before, (unsigned long long)counts.forks, (unsigned long long)counts.execs,
        (unsigned long long)counts.exits, events_count(&scene.events, container, EVENT_FORK),
        events_count(&scene.events, container, EVENT_EXEC),
        events_count(&scene.events, container, EVENT_EXIT), events_distinct(&scene.events, container));
}

static void hostile_page(void)
{
    if (!start())
        return scene_end(&scene);
    for (unsigned i = 0; i < 5; i++) {
        struct answer answer = {0};
        int fd = attach(&answer);
        pid_t pid;

        if (fd < 0 || answer.fd_count != HANDOFF_FD_COUNT)
            break;
        pid = workload_start(scene_container(&scene, 0), vfork_many, NULL);
        scribble(&answer, 300);
        (void)node_stop(pid, SIGKILL);
        close_answer(&answer);
        (void)close(fd);
        node_sleep_ms(50);
        if (!tap_expect(node_is_running(scene.node.collector), "the collector is gone"))
            break;
    }
    /* An honest one afterwards gets all that happens from then on. */
    scene_reveal(&scene);
    if (scene_start_enricher(&scene, NULL)) {
        tap_expect_equal(oracle_watch(scene_container(&scene, 0)), 0, "counting anew");
        node_sleep_ms(1000);
        events_close(&scene.events);
        events_open_file(&scene.events, scene.node.output);
        events_read(&scene.events);
        size_t before = events_count(&scene.events, scene_container(&scene, 0), -1);

        (void)workload_run(scene_container(&scene, 0), exec_true, NULL);
        if (!tap_expect(events_wait(&scene.events, scene_container(&scene, 0),
                            before + oracle_total(scene_container(&scene, 0)), 10000),
                "events are missing after the hostile consumer"))
            note_counts(before);
    }
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"a wrong message is refused with one line", wrong_messages},
        {"a wrong user is refused with one line", wrong_user},
        {"a second consumer is refused with one line and the first goes on", second_consumer},
        {"the consumer cannot write to what the collector trusts", no_writable_ring},
        {"a hostile consumer page hurts nobody but its consumer", hostile_page},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
