/* SPDX-License-Identifier: Apache-2.0 */
/* The whole enricher in a thread of its own, against a collector that is this test: with the real queue, socket and hold store. */
#include "enricher/enricher.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/handoff_message.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/unix_socket.h"
#include "enricher/enricher.h"
#include "tests/unit/make_record.h"

#define KEY(tgid, start_ns) ((struct make_key){tgid, start_ns})
#define QUEUE_BYTES         (UINT64_C(8) << 20)

static struct make_record buffer;
static const struct make_key none;

/* ---- the collector ------------------------------------------------------------------------------------------------ */

static struct {
    char folder[64], path[96];
    int listener, connection, hold_fd, snapshot_fd;
    struct queue_producer *queue;
    uint64_t epoch_ns, attach_count;
    uint32_t processes, cgroups;
} collector;

static void snapshot_put(const struct record_header *record)
{
    collector.processes += record->type == RECORD_SNAPSHOT_PROCESS;
    collector.cgroups += record->type == RECORD_SNAPSHOT_CGROUP;
    cr_assert_eq(write(collector.snapshot_fd, record, record->size), (ssize_t)record->size);
}

static void snapshot_begin(void)
{
    collector.snapshot_fd = fd_memfd_new("snapshot", 0);
    collector.processes = collector.cgroups = 0;
    snapshot_put(make_cgroup(&buffer, RECORD_SNAPSHOT_CGROUP, 1, none, clock_boot_ns(), "/"));
}

static void snapshot_put_process(struct make_key key)
{
    snapshot_put(make_process(&buffer, RECORD_SNAPSHOT_PROCESS, key, KEY(1, 1), 1, 5, "/bin/a", "a", 1));
}

static void snapshot_end(void)
{
    struct record_snapshot_end *end = (struct record_snapshot_end *)make_header(
        &buffer, RECORD_SNAPSHOT_END, sizeof(*end), none, 0, clock_boot_ns());

    end->process_count = collector.processes;
    end->cgroup_count = collector.cgroups;
    snapshot_put(&end->header);
    cr_assert_eq(fd_seal(collector.snapshot_fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
}

static void collector_open(void)
{
    (void)snprintf(collector.folder, sizeof(collector.folder), "/tmp/podkin-consumer-XXXXXX");
    cr_assert_not_null(mkdtemp(collector.folder));
    (void)snprintf(collector.path, sizeof(collector.path), "%s/socket", collector.folder);
    collector.listener = unix_listen(collector.path, (gid_t)-1);
    cr_assert_geq(collector.listener, 0);
    collector.connection = -1;
    collector.hold_fd = fd_memfd_new("hold", 0);
    collector.epoch_ns = clock_boot_ns();
    cr_assert_eq(queue_producer_new(&collector.queue, QUEUE_BYTES), 0);
}

/* Waits for the consumer and gives it everything; the snapshot has been made. */
static void collector_serve(unsigned timeout_ms)
{
    struct pollfd poll_fd = {.fd = collector.listener, .events = POLLIN};
    struct handoff_attach message = {.magic = HANDOFF_MAGIC,
        .version = HANDOFF_VERSION,
        .type = HANDOFF_ATTACH,
        .record_version = RECORD_VERSION,
        .epoch_ns = collector.epoch_ns,
        .attach_count = ++collector.attach_count,
        .snapshot_bytes = (uint64_t)lseek(collector.snapshot_fd, 0, SEEK_CUR),
        .hook_kind = "replay"};
    struct handoff_hello hello;
    struct queue_fds q;

    cr_assert_eq(poll(&poll_fd, 1, (int)timeout_ms), 1, "no consumer came");
    fd_close(&collector.connection);
    collector.connection = accept4(collector.listener, NULL, NULL, SOCK_CLOEXEC);
    poll_fd.fd = collector.connection;
    cr_assert_eq(poll(&poll_fd, 1, 5000), 1);
    cr_assert_eq(recv(collector.connection, &hello, sizeof(hello), 0), (ssize_t)sizeof(hello));
    (void)queue_producer_refresh(collector.queue);
    cr_assert_eq(queue_producer_renew_cursor(collector.queue), 0);
    queue_producer_get_fds(collector.queue, &q);
    cr_assert_eq(unix_send(collector.connection, &message, sizeof(message),
                     (const int[]){q.ring, q.cursor, q.doorbell, collector.hold_fd, collector.snapshot_fd},
                     HANDOFF_FD_COUNT),
        0);
    fd_close(&collector.snapshot_fd);
}

static void publish(const struct record_header *record)
{
    void *at = queue_producer_reserve(collector.queue, record->size, QUEUE_CLASS_LIFE);

    cr_assert_not_null(at);
    memcpy(at, record, record->size);
    queue_producer_commit(collector.queue);
    queue_producer_publish(collector.queue);
}

static const struct record_header *make_lost(uint8_t type)
{
    struct record_lost *lost =
        (struct record_lost *)make_header(&buffer, RECORD_LOST, sizeof(*lost), none, 0, clock_boot_ns());

    lost->where = RECORD_LOST_QUEUE;
    lost->count[type] = 1;
    return &lost->header;
}

/* ---- the enricher ------------------------------------------------------------------------------------------------- */

static struct enricher enricher;
static struct conf conf;
static pthread_t thread;
static int output = -1; /* its stdout, read by us when we like */

static sem_t begun, ended, looked;
static int result;

/* All of its life in one thread: the loop belongs to it. */
static void *run(void *unused)
{
    (void)unused;
    result = enricher_init(&enricher, &conf);
    enricher.attach_timeout_ns = NS_PER_SEC;
    enricher.resync_delay_ns = 100 * NS_PER_MS;
    enricher.resync_interval_ns = 200 * NS_PER_MS;
    sem_post(&begun);
    if (result == 0)
        result = enricher_run(&enricher);
    sem_post(&ended);
    sem_wait(&looked);
    enricher_deinit(&enricher);
    return NULL;
}

static void enricher_start(void)
{
    char error[OPTIONS_ERROR_MAX] = "";
    char socket[160], events[160];
    const char *const argv[] = {
        "podkin-enricher", socket, "--output=-", events, "--node-name=n", "--hold-timeout=0", NULL};
    int ends[2];

    (void)snprintf(socket, sizeof(socket), "--socket=%s", collector.path);
    (void)snprintf(events, sizeof(events), "--events-socket=%s/events", collector.folder);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    output = ends[0];
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    (void)close(ends[1]);
    cr_assert_eq(conf_init(&conf, 6, (char **)argv, error), 0, "%s", error);
    log_init("enricher", LOG_LEVEL_ERROR);
    sem_init(&begun, 0, 0);
    sem_init(&ended, 0, 0);
    sem_init(&looked, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
    sem_wait(&begun);
}

/* The loop has ended; the state is ours to look at. */
static void enricher_stop(void)
{
    cr_assert_eq(kill(getpid(), SIGTERM), 0);
    sem_wait(&ended);
    cr_assert_eq(result, 0);
}

static void enricher_end(void)
{
    sem_post(&looked);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* Lines with `word` in them, of those that come until there is none for `quiet_ms`. */
static unsigned count_lines(const char *word, int quiet_ms)
{
    struct pollfd poll_fd = {.fd = output, .events = POLLIN};
    static char data[1 << 16];
    size_t have = 0;
    unsigned count = 0;

    while (poll(&poll_fd, 1, quiet_ms) == 1) {
        ssize_t n = read(output, data + have, sizeof(data) - have);
        char *line = data, *end;

        if (n <= 0)
            break;
        have += (size_t)n;
        for (; (end = memchr(line, '\n', have - (size_t)(line - data))); line = end + 1)
            count += memmem(line, (size_t)(end - line), word, strlen(word)) != NULL;
        have -= (size_t)(line - data);
        memmove(data, line, have);
    }
    return count;
}

static void setup(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    collector_open();
}

static void teardown(void)
{
    fd_close(&collector.connection);
    fd_close(&collector.listener);
    fd_close(&collector.hold_fd);
    collector.queue = queue_producer_free(collector.queue);
    (void)unlink(collector.path);
    (void)rmdir(collector.folder);
    conf_deinit(&conf);
}

TestSuite(consumer, .init = setup, .fini = teardown, .timeout = 60);

static struct process *find(struct make_key key)
{
    return process_table_find(&enricher.lane.pipeline.processes, key.tgid, key.start_ns);
}

Test(consumer, lost_exits_are_made_up_for_by_a_new_snapshot)
{
    const struct make_key lives = {10, 100}, died = {11, 100}, late = {12, 100}, born = {13, 200};

    snapshot_begin();
    snapshot_put_process(lives);
    snapshot_put_process(died);
    snapshot_put_process(late);
    snapshot_put(make_cgroup(&buffer, RECORD_SNAPSHOT_CGROUP, 50, none, clock_boot_ns(), "/gone"));
    snapshot_end();
    enricher_start();
    collector_serve(5000);
    publish(make_lost(RECORD_EXIT));
    snapshot_begin();
    snapshot_put_process(lives);
    snapshot_put_process(born); /* its fork and exec were lost as well */
    snapshot_end();
    collector_serve(5000);
    publish(make_exit(&buffer, late, 1, clock_boot_ns(), 9)); /* told after all */
    publish(make_exit(&buffer, born, 1, clock_boot_ns(), 9));
    cr_expect_eq(count_lines("process_exit", 500), 2);
    enricher_stop();
    cr_expect_eq(find(lives)->exited_ns, 0);
    cr_expect(!find(died) || find(died)->exited_ns != 0);
    cr_expect_neq(container_table_find(&enricher.lane.pipeline.containers, 50)->removed_ns, 0);
    cr_expect_eq(enricher.attach_count, 2);
    cr_expect_eq(enricher.lane.pipeline.counters.exits_duplicate, 0);
    enricher_end();
}

Test(consumer, queue_of_a_collector_that_ended_is_read_to_its_end_though_the_output_is_full)
{
    const unsigned count = 20000; /* more than the output's blocks and the pipe take */
    int after;

    snapshot_begin();
    snapshot_end();
    enricher_start();
    collector_serve(5000);
    for (unsigned i = 0; i < count; i++)
        publish(make_lost(RECORD_HOOK));
    (void)usleep(300 * 1000);
    fd_close(&collector.connection);
    fd_close(&collector.listener);
    (void)usleep(300 * 1000);
    after = (int)count_lines("\"lost\"", 500);
    cr_expect_eq(after, (int)count);
    enricher_stop();
    enricher_end();
}

Test(consumer, queue_of_a_collector_that_ended_is_left_when_its_lines_are_durable_and_goes_on_with_the_next)
{
    struct pollfd poll_fd = {.fd = collector.listener, .events = POLLIN};
    const unsigned count = 20000;

    snapshot_begin();
    snapshot_end();
    enricher_start();
    collector_serve(5000);
    for (unsigned i = 0; i < count; i++)
        publish(make_lost(RECORD_HOOK));
    (void)usleep(300 * 1000);
    fd_close(&collector.connection);
    cr_expect_eq(poll(&poll_fd, 1, 500), 0, "it went to the next with its output full");
    cr_expect_eq(count_lines("\"lost\"", 500), count);
    snapshot_begin();
    snapshot_end();
    collector_serve(5000); /* the next: the same queue, from where it was released */
    cr_expect_eq(queue_producer_used_bytes(collector.queue), 0);
    cr_expect_eq(count_lines("\"lost\"", 300), 0);
    publish(make_lost(RECORD_HOOK));
    cr_expect_eq(count_lines("\"lost\"", 300), 1);
    enricher_stop();
    enricher_end();
}

Test(consumer, store_of_another_collector_in_the_same_memory_stays_in_use)
{
    struct hold *before;

    snapshot_begin();
    snapshot_end();
    enricher_start();
    collector_serve(5000);
    (void)usleep(100 * 1000);
    before = enricher.lane.hold;
    fd_close(&collector.connection);
    collector.epoch_ns = clock_boot_ns();
    snapshot_begin();
    snapshot_end();
    collector_serve(5000);
    publish(make_lost(RECORD_HOOK));
    cr_expect_eq(count_lines("\"lost\"", 300), 1);
    enricher_stop();
    cr_expect_eq(enricher.lane.hold, before);
    cr_expect_eq(enricher.hold_epoch_ns, collector.epoch_ns);
    enricher_end();
}

static void count_entry(void *arg, const struct hold_entry *entry)
{
    (void)entry;
    ++*(unsigned *)arg;
}

Test(consumer, stopped_in_the_middle_of_taking_over_leaves_the_rest_in_the_store)
{
    const struct hold_limits limits = {.max_events = 100000, .max_bytes = 64 << 20};
    const unsigned count = 10000;
    struct hold_queue queue = {0};
    struct hold *hold = NULL;
    unsigned left = 0, told;
    uint64_t begin;

    cr_assert_eq(hold_new(&hold, collector.hold_fd, &limits), 0);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(hold_append(hold, &queue,
                         make_exec(&buffer, KEY(100 + i, 7), KEY(1, 1), 1, 1000 + i, "/bin/held"),
                         &(struct hold_entry){.since_ns = UINT64_MAX}),
            0);
    hold = hold_free(hold);
    snapshot_begin();
    snapshot_end();
    enricher_start();
    collector_serve(5000);
    (void)usleep(500 * 1000); /* nobody reads its output */
    begin = clock_boot_ns();
    enricher_stop();
    cr_expect_lt(clock_boot_ns() - begin, 5 * NS_PER_SEC);
    told = count_lines("process_exec", 300);
    enricher_end();
    told += count_lines("process_exec", 300);
    cr_expect_lt(told, count);
    cr_assert_eq(hold_new(&hold, collector.hold_fd, &limits), 0);
    cr_assert_gt(hold_recover(hold, count_entry, &left), 0);
    cr_expect_geq(left + told, count);
    hold = hold_free(hold);
}

Test(consumer, store_that_cannot_be_used_does_not_keep_it_from_working)
{
    fd_close(&collector.hold_fd);
    collector.hold_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    snapshot_begin();
    snapshot_end();
    enricher_start();
    collector_serve(5000);
    publish(make_exec(&buffer, KEY(10, 1), KEY(1, 1), 1, clock_boot_ns(), "/bin/a"));
    cr_expect_eq(count_lines("process_exec", 500), 1);
    enricher_stop();
    enricher_end();
}

/* Answer to `status` of the enricher's own socket; false: none in time. */
static bool ask_status(char *answer, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pollfd poll_fd = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLIN};
    ssize_t n = -1;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/events", collector.folder);
    if (connect(poll_fd.fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        write(poll_fd.fd, "status\n", 7) == 7 && poll(&poll_fd, 1, 5000) == 1)
        n = read(poll_fd.fd, answer, size - 1);
    fd_close(&poll_fd.fd);
    if (n > 0)
        answer[n] = '\0';
    return n > 0;
}

Test(consumer, collector_that_says_nothing_stops_nobody_else_and_is_asked_again)
{
    struct pollfd poll_fd = {.fd = collector.listener, .events = POLLIN};
    static char answer[1 << 16];
    int silent;

    snapshot_begin();
    snapshot_end();
    enricher_start();
    cr_assert_eq(poll(&poll_fd, 1, 5000), 1);
    silent = accept4(collector.listener, NULL, NULL, SOCK_CLOEXEC);
    cr_expect(ask_status(answer, sizeof(answer)), "the loop waits for the collector");
    collector_serve(10000);
    publish(make_lost(RECORD_HOOK));
    cr_expect_eq(count_lines("\"lost\"", 1000), 1);
    fd_close(&silent);
    enricher_stop();
    cr_expect_eq(enricher.attach_count, 1);
    cr_expect_eq(enricher.attach_failures, 0);
    enricher_end();
}
