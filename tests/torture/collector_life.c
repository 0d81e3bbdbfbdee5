/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podkin-collector on the running kernel with a consumer that is made for this: every fork, exec and exit of processes that it starts itself is in the
 * queue; consumers come, go, die and lie; what does not fit is counted to the last record. Needs root and BPF, skips (77) elsewhere.
 *
 * The machine's other processes are in the queue too. What is exact all the same: per CPU, the sequence numbers seen and those that LOST records tell of
 * are all that there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/queue_layout.h"
#include "common/record_check.h"
#include "common/unix_socket.h"
#include "enricher/attach.h"
#include "enricher/snapshot_read.h"
#include "tests/support/attach_wait.h"
#include "tests/torture/pattern.h"

#define SKIP        77
#define PID_MAX     (1 << 22)
#define CPU_MAX     1024
#define ATTACH_NS   (10 * NS_PER_SEC)
#define SETTLE_NS   (20 * NS_PER_SEC)
#define SPAWN_COUNT 1000

static char folder[64], socket_path[96];
static const char *collector_path;

/* ---- what was seen ----------------------------------------------------------------------------------------------- */

struct cpu_seen {
    uint64_t first, last, count, lost;
};

enum { SEEN_FORK = 1, SEEN_EXEC = 2, SEEN_EXIT = 4 };

static struct {
    struct cpu_seen cpus[CPU_MAX];
    uint64_t lost[2][RECORD_TYPE_SLOTS], lost_records;
    uint8_t *pids; /* SEEN_* */
    bool keep_order;
} seen;

static void forget(void)
{
    uint8_t *pids = seen.pids;

    memset(&seen, 0, sizeof(seen));
    memset(pids, 0, PID_MAX);
    seen.pids = pids;
}

static void see_lost(const struct record_lost *lost)
{
    struct cpu_seen *cpu = &seen.cpus[lost->header.cpu];

    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        seen.lost[lost->where - 1][i] += lost->count[i];
        cpu->lost += lost->count[i];
    }
    if (cpu->count + cpu->lost > 0 && (cpu->first == 0 || lost->first_seq < cpu->first))
        cpu->first = lost->first_seq;
    if (lost->last_seq > cpu->last)
        cpu->last = lost->last_seq;
    seen.lost_records++;
}

static void see(const struct record_header *record)
{
    struct cpu_seen *cpu;

    CHECK(record_check(record, record->size) == 0);
    CHECK(record->cpu < CPU_MAX);
    if (record->type == RECORD_LOST) {
        see_lost((const struct record_lost *)record);
        return;
    }
    cpu = &seen.cpus[record->cpu];
    if (cpu->first == 0 || record->seq < cpu->first)
        cpu->first = record->seq;
    if (record->seq > cpu->last)
        cpu->last = record->seq;
    cpu->count++;
    if (record->tgid >= PID_MAX)
        return;
    switch (record->type) {
    case RECORD_FORK:
        seen.pids[record->tgid] = SEEN_FORK; /* a number may come again */
        break;
    case RECORD_EXEC:
        seen.pids[record->tgid] |= SEEN_EXEC;
        break;
    case RECORD_EXIT:
        seen.pids[record->tgid] |= SEEN_EXIT;
        break;
    default:
        break;
    }
}

/* Sequence numbers have no hole that no LOST record tells of. */
static void check_sequences(void)
{
    for (size_t i = 0; i < CPU_MAX; i++) {
        const struct cpu_seen *cpu = &seen.cpus[i];

        if (cpu->count + cpu->lost == 0)
            continue;
        if (cpu->last - cpu->first + 1 != cpu->count + cpu->lost)
            (void)fprintf(stderr, "cpu %zu: %llu numbers, %llu seen, %llu told as lost\n", i,
                (unsigned long long)(cpu->last - cpu->first + 1), (unsigned long long)cpu->count,
                (unsigned long long)cpu->lost);
        CHECK(cpu->last - cpu->first + 1 == cpu->count + cpu->lost);
    }
}

/* ---- the collector and its consumer ------------------------------------------------------------------------------ */

struct consumer {
    struct attachment attachment;
    struct queue_consumer *queue;
};

static pid_t start_collector(const char *queue_size, const char *ring_size, const char *hook_kind)
{
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(collector_path, collector_path, "--config", "/dev/null", "--peer-user", "0", "--socket",
            socket_path, "--queue-size", queue_size, "--ring-size", ring_size, "--hook-kind", hook_kind,
            (char *)NULL);
        _exit(127);
    }
    return child;
}

static int stop_collector(pid_t child, int signal_number)
{
    int status = 0;

    CHECK(kill(child, signal_number) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

/* Waits until somebody listens. false: the collector has ended instead. */
static bool attach_first(struct consumer *consumer, pid_t child)
{
    uint64_t until = clock_boot_ns() + SETTLE_NS;
    char error[ATTACH_ERROR_MAX];
    int r = -ENOENT;

    *consumer = (struct consumer){.attachment = ATTACHMENT_EMPTY};
    while ((r == -ENOENT || r == -ECONNREFUSED) && clock_boot_ns() < until) {
        if (waitpid(child, NULL, WNOHANG) == child)
            return false;
        r = attach_wait(&consumer->attachment, socket_path, ATTACH_NS, error);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    if (r < 0)
        (void)fprintf(stderr, "%s\n", error);
    CHECK(r == 0);
    CHECK(queue_consumer_new(&consumer->queue, &consumer->attachment.queue_fds) == 0);
    return true;
}

static void detach(struct consumer *consumer)
{
    consumer->queue = queue_consumer_free(consumer->queue);
    attachment_deinit(&consumer->attachment);
}

/* Right after the last consumer has gone: the collector may not have noticed. */
static void attach_again(struct consumer *consumer)
{
    char error[ATTACH_ERROR_MAX];
    int r = attach_wait(&consumer->attachment, socket_path, ATTACH_NS, error);

    if (r < 0)
        (void)fprintf(stderr, "%s\n", error);
    CHECK(r == 0);
    CHECK(queue_consumer_new(&consumer->queue, &consumer->attachment.queue_fds) == 0);
}

static void read_published(struct consumer *consumer)
{
    const struct record_header *record;
    bool broken;

    while ((record = queue_consumer_next(consumer->queue, &broken)))
        see(record);
    CHECK(!broken);
}

static bool all_seen(const pid_t *pids, size_t count, uint8_t what)
{
    for (size_t i = 0; i < count; i++) {
        if ((seen.pids[pids[i]] & what) != what)
            return false;
    }
    return true;
}

/* Reads, and sleeps by the queue's protocol, until all that is asked for was seen. */
static void read_until_seen(
    struct consumer *consumer, const pid_t *pids, size_t count, uint8_t what, bool release)
{
    struct pollfd bell = {.fd = queue_consumer_doorbell_fd(consumer->queue), .events = POLLIN};
    uint64_t until = clock_boot_ns() + SETTLE_NS;

    for (;;) {
        read_published(consumer);
        if (release)
            queue_consumer_release(consumer->queue, queue_consumer_position(consumer->queue));
        if (all_seen(pids, count, what))
            return;
        CHECK(clock_boot_ns() < until);
        if (queue_consumer_sleep_begin(consumer->queue)) {
            (void)poll(&bell, 1, 1000);
            queue_consumer_sleep_end(consumer->queue);
        }
    }
}

static void spawn(pid_t *pids, size_t count)
{
    char *const argv[] = {(char *)"true", (char *)"--marked", NULL};

    for (size_t i = 0; i < count; i++) {
        CHECK(posix_spawn(&pids[i], "/bin/true", NULL, NULL, argv, NULL) == 0);
        CHECK(waitpid(pids[i], NULL, 0) == pids[i]);
        CHECK(pids[i] < PID_MAX);
    }
}

/* ---- scenes ------------------------------------------------------------------------------------------------------ */

static bool snapshot_has(const struct consumer *consumer, pid_t pid)
{
    const struct record_header *record;
    struct snapshot_reader reader;
    bool found = false;
    int r;

    snapshot_read_init(&reader, consumer->attachment.snapshot, consumer->attachment.snapshot_bytes);
    while ((r = snapshot_read_next(&reader, &record)) == 1) {
        CHECK(record->cpu == RECORD_CPU_COLLECTOR);
        found |= record->type == RECORD_SNAPSHOT_PROCESS && record->tgid == (uint32_t)pid;
    }
    CHECK(r == 0); /* nothing is missing */
    CHECK(reader.cgroup_count > 0);
    return found;
}

static void every_process_is_seen(struct consumer *consumer)
{
    static pid_t pids[SPAWN_COUNT];

    CHECK(snapshot_has(consumer, getpid()));
    CHECK(consumer->attachment.message.attach_count == 1);
    spawn(pids, SPAWN_COUNT);
    read_until_seen(consumer, pids, SPAWN_COUNT, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, true);
    check_sequences();
    CHECK(seen.lost_records == 0);
    (void)printf("every fork, exec and exit of %d processes was seen\n", SPAWN_COUNT);
}

/* C5: what was read and not released is there again for the next, with a snapshot of its own. */
static void next_consumer_goes_on(struct consumer *consumer)
{
    static pid_t pids[100];
    struct consumer second = {.attachment = ATTACHMENT_EMPTY};
    char error[ATTACH_ERROR_MAX];

    CHECK(attach_wait(&second.attachment, socket_path, ATTACH_NS, error) == -EBUSY);
    spawn(pids, 100);
    read_until_seen(consumer, pids, 100, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, false);
    detach(consumer);
    forget();
    attach_again(consumer);
    CHECK(consumer->attachment.message.attach_count == 2);
    CHECK(snapshot_has(consumer, getpid()));
    read_until_seen(consumer, pids, 100, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, true);
    check_sequences();
    (void)printf("the next consumer goes on where the last one released\n");
}

static bool hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 5000) == 1 && (poll_fd.revents & POLLHUP);
}

/* Q3: an impossible head ends the connection, and changes nothing for the next one. */
static void liar_is_cut_off(struct consumer *consumer)
{
    static pid_t pids[50];
    void *map = NULL;
    struct queue_cursor_page *page;

    for (int i = 0; i < 5; i++) {
        spawn(pids, 50);
        CHECK(fd_map_shared(consumer->attachment.queue_fds.cursor, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                  &map) == 0);
        page = map;
        atomic_store(&page->head, i % 2 ? UINT64_MAX - 7 : 8);
        CHECK(hung_up(consumer->attachment.socket_fd));
        atomic_store(&page->head, UINT64_MAX); /* nobody looks any more */
        detach(consumer);
        forget();
        attach_again(consumer);
        read_until_seen(consumer, pids, 50, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, true);
        check_sequences();
        (void)munmap(map, QUEUE_PAGE_BYTES);
    }
    (void)printf("a consumer that lies about its head is cut off, the next one misses nothing\n");
}

/* Attaches and dies in all stages; the one after gets everything. */
static void dying_consumers_cost_nothing(struct consumer *consumer)
{
    static pid_t pids[50];
    const struct handoff_hello hello = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_HELLO, RECORD_VERSION};

    detach(consumer);
    spawn(pids, 50);
    for (int i = 0; i < 30; i++) {
        int fd = unix_connect(socket_path);

        CHECK(fd >= 0);
        if (i % 3)
            CHECK(unix_send(fd, &hello, sizeof(hello), NULL, 0) == 0);
        if (i % 3 == 2)
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, (int)(i % 7));
        (void)close(fd);
    }
    forget();
    attach_again(consumer);
    read_until_seen(consumer, pids, 50, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, true);
    check_sequences();
    (void)printf("consumers that die at all stages cost nothing\n");
}

static int count_fds_of(pid_t pid)
{
    char path[64];
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        struct stat status;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
        count += lstat(path, &status) == 0;
    }
    return count;
}

/* What it comes down to once the collector has put the last consumer's things away. */
static int count_fds_settled(pid_t pid)
{
    int least = INT_MAX;

    for (int i = 0; i < 10; i++) {
        int count = count_fds_of(pid);

        least = count < least ? count : least;
        (void)nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
    return least;
}

/* C3, I1, I2: nobody reads, far more comes than fits. */
static void overrun_is_counted(void)
{
    static pid_t pids[400];
    struct consumer consumer;
    pid_t collector = start_collector("64k", "16M", "auto");
    struct queue_books books;
    uint64_t told = 0;

    forget();
    CHECK(attach_first(&consumer, collector));
    detach(&consumer);
    spawn(pids, 400);
    attach_again(&consumer);
    CHECK(snapshot_has(&consumer, getpid()));
    spawn(pids, 1); /* after the room came back */
    read_until_seen(&consumer, pids, 1, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, true);
    for (int i = 0; i < 50 && seen.lost_records == 0; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        read_published(&consumer);
    }
    queue_consumer_load_books(consumer.queue, &books);
    check_sequences();
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        CHECK(seen.lost[RECORD_LOST_QUEUE - 1][i] <= books.refused_queue[i]);
        told += seen.lost[RECORD_LOST_QUEUE - 1][i];
    }
    CHECK(told > 300);
    CHECK(seen.lost[RECORD_LOST_BPF_RING - 1][RECORD_FORK] == 0);
    detach(&consumer);
    CHECK(stop_collector(collector, SIGTERM) == 0);
    (void)printf("an overrun queue: %llu records told as lost, none unaccounted\n", (unsigned long long)told);
}

/* I2 in the kernel: the collector stands still, the ring buffer overruns. On raw tracepoints, which are the fall-back. */
static void overrun_ring_is_counted(void)
{
    static pid_t pids[1500];
    struct consumer consumer;
    pid_t collector = start_collector("16M", "256k", "raw_tp");
    struct queue_books books;
    uint64_t told = 0, refused = 0;

    forget();
    CHECK(attach_first(&consumer, collector));
    CHECK(strcmp(consumer.attachment.message.hook_kind, "raw_tp") == 0);
    CHECK(kill(collector, SIGSTOP) == 0);
    spawn(pids, 1500);
    CHECK(kill(collector, SIGCONT) == 0);
    (void)nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    spawn(pids, 1);
    read_until_seen(&consumer, pids, 1, SEEN_FORK | SEEN_EXEC | SEEN_EXIT, true);
    check_sequences();
    queue_consumer_load_books(consumer.queue, &books);
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        told += seen.lost[RECORD_LOST_BPF_RING - 1][i];
        refused += books.refused_ring[i];
    }
    CHECK(told > 1000 && told <= refused);
    CHECK(seen.lost[RECORD_LOST_BPF_RING - 1][RECORD_FORK] > 0);
    detach(&consumer);
    CHECK(stop_collector(collector, SIGTERM) == 0);
    (void)printf(
        "an overrun ring buffer: %llu records told as lost, none unaccounted\n", (unsigned long long)told);
}

/* The end of the collector: noticed at once, and what it had published can still be read. */
static void killed_collector_leaves_its_records(void)
{
    static pid_t pids[20];
    struct consumer consumer;
    pid_t collector = start_collector("1M", "16M", "auto");

    forget();
    CHECK(attach_first(&consumer, collector));
    spawn(pids, 20);
    read_until_seen(&consumer, pids, 20, SEEN_FORK, false);
    CHECK(WIFSIGNALED(stop_collector(collector, SIGKILL)));
    CHECK(hung_up(consumer.attachment.socket_fd));
    read_published(&consumer);
    check_sequences();
    detach(&consumer);
    /* Its socket is stale now: the next collector takes the place. */
    collector = start_collector("1M", "16M", "auto");
    CHECK(attach_first(&consumer, collector));
    CHECK(consumer.attachment.message.attach_count == 1);
    detach(&consumer);
    CHECK(stop_collector(collector, SIGINT) == 0);
    CHECK(access(socket_path, F_OK) < 0);
    (void)printf("a killed collector leaves its records and its place\n");
}

int main(int argc, char **argv)
{
    struct consumer consumer;
    pid_t collector;
    int fds;

    if (argc != 2 || geteuid() != 0) {
        (void)fprintf(stderr, "needs root and the path of podkin-collector\n");
        return SKIP;
    }
    collector_path = argv[1];
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-life-XXXXXX");
    CHECK(mkdtemp(folder));
    (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
    seen.pids = calloc(1, PID_MAX);
    CHECK(seen.pids);

    collector = start_collector("16M", "16M", "auto");
    if (!attach_first(&consumer, collector)) {
        (void)rmdir(folder);
        (void)fprintf(stderr, "the collector does not start here\n");
        return SKIP;
    }
    fds = count_fds_settled(collector);
    every_process_is_seen(&consumer);
    next_consumer_goes_on(&consumer);
    liar_is_cut_off(&consumer);
    dying_consumers_cost_nothing(&consumer);
    CHECK(count_fds_settled(collector) == fds);
    detach(&consumer);
    CHECK(stop_collector(collector, SIGTERM) == 0);
    CHECK(access(socket_path, F_OK) < 0);
    overrun_is_counted();
    overrun_ring_is_counted();
    killed_collector_leaves_its_records();
    (void)rmdir(folder);
    free(seen.pids);
    return 0;
}
