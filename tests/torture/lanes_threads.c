/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enricher with three lanes in this process, built with ThreadSanitizer where there is one: events without end while Pods come and go, viewers look, people ask, records are
 * lost, files are opened anew and collectors follow one another. Each event is written exactly once, each process's in its order, and a viewer sees them all.
 */
#include <signal.h>
#include <sys/un.h>
#include <time.h>

#include "common/log.h"
#include "enricher/enricher.h"
#include "tests/torture/lanes_kit.h"

#define LANES "3"

static struct enricher enricher;
static struct conf conf;
static int result;
static _Atomic bool started, over;
static uint64_t viewed;
static bool cut;

static void *run_enricher(void *unused)
{
    (void)unused;
    result = enricher_init(&enricher, &conf);
    enricher.resync_delay_ns = 20 * NS_PER_MS;
    enricher.resync_interval_ns = 100 * NS_PER_MS;
    started = true;
    if (result == 0)
        result = enricher_run(&enricher);
    enricher_deinit(&enricher);
    return NULL;
}

static void pause_ms(unsigned ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        fd_close(&fd);
    return fd;
}

static int request(const char *line)
{
    int fd = connect_to(world.events);

    if (fd >= 0)
        CHECK(write(fd, line, strlen(line)) == (ssize_t)strlen(line));
    return fd;
}

static size_t ask(const char *line, char *answer, size_t size)
{
    int fd = request(line);
    size_t have = 0;
    ssize_t n;

    while (fd >= 0 && have < size - 1 && (n = read(fd, answer + have, size - 1 - have)) > 0)
        have += (size_t)n;
    answer[have] = '\0';
    fd_close(&fd);
    return have;
}

static void *ask_all_the_time(void *unused)
{
    static const char *const questions[] = {"status\n", "coverage\n", "explain 1050\n"};
    static char answer[1 << 20];

    (void)unused;
    for (unsigned i = 0; !over; i++) {
        size_t size = ask(questions[i % 3], answer, sizeof(answer));

        CHECK(size == 0 || (answer[0] == '{' && strstr(answer, "}\n")));
        CHECK(!strstr(answer, "\"balanced\":false"));
        pause_ms(3);
    }
    return NULL;
}

/* Lines with an id that is an event's; each once. */
static void *view(void *arg)
{
    const int *fd = arg;
    static char data[1 << 20];
    size_t have = 0;
    ssize_t n;

    while ((n = read(*fd, data + have, sizeof(data) - have)) > 0) {
        char *line = data, *end;

        have += (size_t)n;
        for (; (end = memchr(line, '\n', have - (size_t)(line - data))); line = end + 1) {
            CHECK(*line == '{' && end[-1] == '}');
            cut |= memmem(line, (size_t)(end - line), "podkin_viewer", 13) != NULL;
            viewed += memmem(line, (size_t)(end - line), "{\"process_", 10) == line;
        }
        have -= (size_t)(line - data);
        memmove(data, line, have);
    }
    return NULL;
}

static void put_lost(void)
{
    struct record_lost lost = {.header = {.size = sizeof(lost),
                                   .type = RECORD_LOST,
                                   .version = RECORD_VERSION,
                                   .cpu = RECORD_CPU_COLLECTOR,
                                   .time_ns = clock_boot_ns()},
        .where = RECORD_LOST_QUEUE};
    void *room;

    lost.count[RECORD_EXIT] = 1;
    (void)pthread_mutex_lock(&world.mutex);
    room = queue_producer_reserve(world.queue, sizeof(lost), QUEUE_CLASS_LIFE);
    if (room) {
        memcpy(room, &lost, sizeof(lost));
        queue_producer_commit(world.queue);
        queue_producer_publish(world.queue);
    }
    (void)pthread_mutex_unlock(&world.mutex);
}

/* Another one, with the same queue and hold store, as after a restart. */
static void change_collector(void)
{
    (void)pthread_mutex_lock(&world.mutex);
    world.epoch_ns = clock_boot_ns();
    (void)shutdown(world.connection, SHUT_RDWR);
    (void)pthread_mutex_unlock(&world.mutex);
}

static void live(uint64_t end_ns)
{
    while (clock_boot_ns() < end_ns) {
        unsigned what = dice(300);

        put_some(dice(100));
        pause_ms(dice(4));
        if (what < 10)
            tell_pods(what % 2, what % 3);
        else if (what < 13)
            put_lost();
        else if (what < 15)
            CHECK(kill(getpid(), SIGHUP) == 0);
        else if (what < 16)
            change_collector();
        else if (what < 18)
            pause_ms(100); /* all sleep */
    }
}

static void start(pthread_t *thread)
{
    char source[128], socket[160], events[160], output[160], error[OPTIONS_ERROR_MAX] = "";
    const char *const words[] = {"podkin-enricher", socket, events, output, source, ("--lanes=" LANES),
        "--node-name=n", "--hold-timeout=2s", "--output-rotate-size=0", NULL};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    world_open(4711);
    tell_pods(true, false);
    (void)snprintf(source, sizeof(source), "--source=file:%s", world.pods);
    (void)snprintf(socket, sizeof(socket), "--socket=%s", world.socket);
    (void)snprintf(events, sizeof(events), "--events-socket=%s", world.events);
    (void)snprintf(output, sizeof(output), "--output=%s", world.output);
    log_init("enricher", LOG_LEVEL_ERROR);
    CHECK(conf_init(&conf, 9, (char **)(uintptr_t)words, error) == 0);
    CHECK(pthread_create(thread, NULL, run_enricher, NULL) == 0);
    while (!started)
        pause_ms(1);
    CHECK(result == 0);
}

static void wait_until_all_is_out(void)
{
    static char answer[1 << 20];
    uint64_t end = clock_boot_ns() + 60 * NS_PER_SEC;

    tell_pods(true, true);
    while (clock_boot_ns() < end) {
        (void)ask("status\n", answer, sizeof(answer));
        if (queue_is_empty() && strstr(answer, "\"held\":0,"))
            return;
        pause_ms(50);
    }
    CHECK(!"nothing is held and the queue is empty");
}

int main(int argc, char **argv)
{
    uint64_t duration_ns = pattern_duration_ns(argc, argv, 5), lines;
    pthread_t enricher_thread, asker, viewer;
    uint32_t *seen;
    uint64_t *last;
    int viewer_fd;

    start(&enricher_thread);
    viewer_fd = request("events\n");
    CHECK(viewer_fd >= 0);
    pause_ms(300);
    CHECK(pthread_create(&viewer, NULL, view, &viewer_fd) == 0);
    CHECK(pthread_create(&asker, NULL, ask_all_the_time, NULL) == 0);
    live(clock_boot_ns() + duration_ns);
    wait_until_all_is_out();
    over = true;
    CHECK(pthread_join(asker, NULL) == 0);
    pause_ms(300);
    CHECK(kill(getpid(), SIGTERM) == 0);
    CHECK(pthread_join(enricher_thread, NULL) == 0 && result == 0);
    CHECK(pthread_join(viewer, NULL) == 0); /* it has ended it */
    seen = calloc(world.seq + 1, sizeof(*seen));
    CHECK(seen);
    last = calloc(world.next_tgid, sizeof(*last));
    CHECK(last);
    lines = read_lines(seen, last);
    for (uint64_t seq = 1; seq <= world.seq; seq++)
        CHECK(seen[seq] == 1);
    (void)printf("%llu events, %llu lines, %llu viewed, %llu collectors or snapshots\n",
        (unsigned long long)world.seq, (unsigned long long)lines, (unsigned long long)viewed,
        (unsigned long long)world.attach_count);
    CHECK(cut || viewed == world.seq); /* a busy machine may make any viewer too slow */
    free(seen);
    free(last);
    fd_close(&viewer_fd);
    world_close();
    conf_deinit(&conf);
    return 0;
}
