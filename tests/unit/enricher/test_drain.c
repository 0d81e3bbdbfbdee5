/* SPDX-License-Identifier: Apache-2.0 */
/* From a real queue through the real pipeline into a real file. */
#include "enricher/drain.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/queue.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"
#include "tests/unit/make_record.h"

#define SUITE drain
#include "tests/unit/enricher/both_loops.h"

#define QUEUE_BYTES (4 << 20)
#define HOST        1
#define HELD        2 /* a Pod's cgroup whose Pod nobody will tell */

static const struct pipeline_options options = {.hold_timeout_ns = 30 * NS_PER_SEC,
    .container_timeout_ns = 5 * NS_PER_SEC,
    .process_grace_ns = NS_PER_SEC,
    .max_exited = 16384,
    .cgroup_grace_ns = NS_PER_SEC,
    .max_cgroups = 100,
    .retry = {NS_PER_SEC, NS_PER_SEC},
    .owed = {.container_max = 4096, .total_max = 65536},
    .own_events = true};
static const struct render_options render = {.node_name = "n", .own_fields = true};
static const struct make_key NONE = {0, 0}, INIT = {1, 1};

static struct {
    struct loop *loop;
    struct output *output;
    struct pod_table *pods;
    struct hold *hold;
    struct emit emit;
    struct pipeline pipeline;
    struct drain drain;
    struct queue_producer *producer;
    struct queue_consumer *consumer;
    struct make_record record;
    uint32_t next_tgid;
    char path[64];
    int reader; /* of the pipe that the output is */
} t;

static void ignore(void *arg)
{
    (void)arg;
}

static void on_changed(void *arg, struct pod *pod)
{
    (void)arg;
    (void)pod;
}

static void put(const struct record_header *record)
{
    void *room = queue_producer_reserve(t.producer, record->size, QUEUE_CLASS_LIFE);

    cr_assert_not_null(room);
    memcpy(room, record, record->size);
    queue_producer_commit(t.producer);
}

/* In a line six times as long. */
static const char arguments[250] = {'x', '\0', [2 ... 249] = '\x01'};

static void put_execs(unsigned count, uint64_t cgroup)
{
    for (unsigned i = 0; i < count; i++) {
        struct make_key key = {++t.next_tgid, 5};

        put(make_process(&t.record, RECORD_EXEC, key, INIT, cgroup, clock_boot_ns(), "/bin/true", arguments,
            sizeof(arguments)));
    }
    queue_producer_publish(t.producer);
}

static void put_cgroups(void)
{
    put(make_cgroup(&t.record, RECORD_CGROUP_MKDIR, HOST, NONE, 1, "/"));
    put(make_cgroup(&t.record, RECORD_CGROUP_MKDIR, HELD, NONE, 1,
        "/kubepods/pod11111111-1111-4111-8111-111111111111/"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    queue_producer_publish(t.producer);
}

static void open_queue(void)
{
    struct queue_fds fds;

    cr_assert_eq(queue_producer_new(&t.producer, QUEUE_BYTES), 0);
    queue_producer_get_fds(t.producer, &fds);
    cr_assert_eq(queue_consumer_new(&t.consumer, &fds), 0);
    cr_assert_eq(drain_attach(&t.drain, t.consumer), 0);
}

static void close_queue(void)
{
    drain_detach(&t.drain);
    t.consumer = queue_consumer_free(t.consumer);
    t.producer = queue_producer_free(t.producer);
}

static void begin(enum loop_kind kind, bool fifo)
{
    const struct hold_limits limits = {.max_events = 1000, .max_bytes = 1 << 20};
    struct output_options to = OUTPUT_OPTIONS_DEFAULT;

    (void)snprintf(t.path, sizeof(t.path), "/tmp/podkin-drain-%d", (int)getpid());
    (void)unlink(t.path);
    t.reader = -1;
    if (fifo) {
        cr_assert_eq(mkfifo(t.path, 0600), 0);
        t.reader = open(t.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        cr_assert_geq(t.reader, 0);
    }
    to.path = t.path;
    t.loop = new_loop(kind, NULL);
    cr_assert_eq(output_new(&t.output, t.loop, &to), 0);
    cr_assert_eq(pod_table_new(&t.pods, NULL, on_changed, NULL), 0);
    cr_assert_eq(hold_new(&t.hold, -1, &limits), 0);
    cr_assert_eq(emit_init(&t.emit, &render, t.output, "0"), 0);
    t.pipeline = (struct pipeline){
        .options = &options, .pods = t.pods, .hold = t.hold, .emit = &t.emit, .ask = ignore};
    cr_assert_eq(pipeline_init(&t.pipeline, clock_boot_ns()), 0);
    drain_init(&t.drain, t.loop, &t.pipeline, t.output);
    t.next_tgid = 1000;
    open_queue();
    put_cgroups();
}

static void end(void)
{
    close_queue();
    pipeline_deinit(&t.pipeline);
    emit_deinit(&t.emit);
    t.output = output_free(t.output);
    t.pods = pod_table_free(t.pods);
    t.hold = hold_free(t.hold);
    t.loop = loop_free(t.loop);
    if (t.reader >= 0)
        (void)close(t.reader);
    (void)unlink(t.path);
}

/* As enricher_run() does; the least that a turn can wait is until_ns. */
static void turn(uint64_t until_ns)
{
    bool more = drain_run(&t.drain);

    pipeline_turn(&t.pipeline, clock_boot_ns());
    if (!more)
        output_flush(t.output);
    cr_assert_eq(loop_run_once(t.loop, more ? 0 : until_ns), 0);
}

static void turn_until_released(void)
{
    uint64_t end_ns = clock_boot_ns() + 5 * NS_PER_SEC;

    do {
        turn(clock_boot_ns() + NS_PER_MS);
        cr_assert_eq(queue_producer_refresh(t.producer), 0);
    } while (queue_producer_head(t.producer) != queue_producer_tail(t.producer) && clock_boot_ns() < end_ns);
    cr_assert_eq(queue_producer_head(t.producer), queue_producer_tail(t.producer));
}

static unsigned count_lines(void)
{
    FILE *file = fopen(t.path, "re");
    unsigned count = 0;
    int c;

    cr_assert_not_null(file);
    while ((c = getc(file)) != EOF)
        count += c == '\n';
    (void)fclose(file);
    return count;
}

BOTH(room_is_given_back_only_behind_durable_lines)
{
    uint64_t before;

    begin(kind, false);
    turn_until_released();
    before = queue_producer_head(t.producer);
    put_execs(40, HOST);
    cr_expect(!drain_run(&t.drain));
    cr_expect(!drain_run(&t.drain));
    cr_expect_eq(count_lines(), 0);
    cr_assert_eq(queue_producer_refresh(t.producer), 0);
    cr_expect_eq(queue_producer_head(t.producer), before, "the lines are in a buffer only");
    turn_until_released();
    cr_expect_eq(count_lines(), 40);
    end();
}

BOTH(held_events_are_copied_so_their_room_comes_back)
{
    begin(kind, false);
    put_execs(40, HELD);
    turn_until_released();
    cr_expect_eq(hold_count(t.hold), 40);
    cr_expect_eq(count_lines(), 0);
    end();
}

BOTH(malformed_records_are_counted_and_skipped)
{
    struct record_header *record;

    begin(kind, false);
    for (unsigned i = 0; i < 50; i++) { /* whole batches of them, too */
        record = (struct record_header *)make_exec(&t.record, INIT, INIT, HOST, 1, "/x");
        if (i % 3 == 0)
            record->version = 77;
        else if (i % 3 == 1)
            record->type = RECORD_TYPE_COUNT;
        else
            ((struct record_process *)record)->args.offset = UINT16_MAX;
        put(record);
    }
    put_execs(3, HOST);
    turn_until_released();
    cr_expect_eq(count_lines(), 3);
    cr_expect_eq(t.pipeline.counters.records_malformed, 50);
    cr_expect_eq(t.pipeline.counters.received[RECORD_EXEC], 3);
    cr_expect_eq(t.drain.records, 2 + 50 + 3);
    end();
}

static unsigned read_lines(void)
{
    char buffer[65536];
    unsigned count = 0;
    ssize_t n;

    while ((n = read(t.reader, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            count += buffer[i] == '\n';
    }
    return count;
}

/* A reader that does not read: the output fills, the drain stops, the queue keeps the rest, and nothing is missing afterwards. */
BOTH(full_output_stops_the_drain_and_loses_nothing)
{
    const unsigned wanted = 2500;
    unsigned lines = 0;
    uint64_t end_ns;

    begin(kind, true);
    put_execs(wanted, HOST);
    for (unsigned i = 0; i < 50; i++)
        turn(clock_boot_ns() + NS_PER_MS);
    cr_expect(drain_is_blocked(&t.drain));
    cr_expect(pipeline_is_blocked(&t.pipeline));
    cr_assert_eq(queue_producer_refresh(t.producer), 0);
    cr_expect_lt(queue_producer_head(t.producer), queue_producer_tail(t.producer));
    for (end_ns = clock_boot_ns() + 5 * NS_PER_SEC; lines < wanted && clock_boot_ns() < end_ns;) {
        turn(clock_boot_ns() + NS_PER_MS);
        lines += read_lines();
    }
    turn_until_released();
    cr_expect_eq(lines + read_lines(), wanted);
    cr_expect(!drain_is_blocked(&t.drain));
    cr_expect_eq(t.pipeline.counters.received[RECORD_EXEC], wanted);
    end();
}

#define REPORTS 8000

/* Nothing is parked for a loss report; still the drain has to know that it is not at the end. */
BOTH(loss_report_that_found_no_room_is_not_forgotten)
{
    struct record_lost *lost;
    unsigned lines = 0;

    begin(kind, true);
    for (unsigned i = 0; i < REPORTS; i++) {
        lost = (struct record_lost *)make_header(&t.record, RECORD_LOST, sizeof(*lost), NONE, 0, 1);
        lost->where = RECORD_LOST_QUEUE;
        for (unsigned type = RECORD_FORK; type < RECORD_TYPE_COUNT; type++)
            lost->count[type] = UINT32_MAX;
        put(&lost->header);
    }
    queue_producer_publish(t.producer);
    for (unsigned i = 0; i < 50; i++)
        turn(clock_boot_ns() + NS_PER_MS);
    cr_expect(drain_is_blocked(&t.drain));
    cr_expect(!pipeline_is_blocked(&t.pipeline));
    for (uint64_t end_ns = clock_boot_ns() + 5 * NS_PER_SEC; lines < REPORTS && clock_boot_ns() < end_ns;) {
        turn(clock_boot_ns() + NS_PER_MS);
        lines += read_lines();
    }
    cr_expect_eq(lines, REPORTS);
    cr_expect_eq(t.pipeline.counters.lost_records, (uint64_t)REPORTS * (RECORD_TYPE_COUNT - 1) * UINT32_MAX);
    end();
}

BOTH(another_queue_follows_the_first)
{
    begin(kind, false);
    put_execs(5, HOST);
    turn_until_released();
    close_queue();
    cr_expect(!drain_run(&t.drain), "nothing to read without a queue");
    open_queue();
    put_execs(7, HOST);
    turn_until_released();
    cr_expect_eq(count_lines(), 12);
    drain_detach(&t.drain);
    drain_detach(&t.drain); /* as often as one likes */
    end();
}

/* Who detaches before the lines are durable leaves the records to the next reader of the queue. */
BOTH(what_is_not_durable_stays_for_the_next)
{
    struct queue_consumer *next;
    struct queue_fds fds;
    bool broken = false;
    unsigned count = 0;

    begin(kind, false);
    turn_until_released();
    put_execs(40, HOST);
    cr_expect(!drain_run(&t.drain));
    drain_detach(&t.drain);
    queue_producer_get_fds(t.producer, &fds);
    cr_assert_eq(queue_consumer_new(&next, &fds), 0);
    while (queue_consumer_next(next, &broken))
        count++;
    cr_expect(!broken);
    cr_expect_eq(count, 40);
    queue_consumer_free(next);
    end();
}

BOTH(sleeps_when_nothing_comes_and_wakes_by_the_doorbell)
{
    uint64_t end_ns = clock_boot_ns() + 5 * NS_PER_SEC, rung_ns;

    begin(kind, false);
    turn_until_released();
    while (!t.drain.asleep && clock_boot_ns() < end_ns)
        turn(clock_boot_ns() + 10 * NS_PER_MS);
    cr_assert(t.drain.asleep);
    for (unsigned round = 0; round < 3; round++) {
        put_execs(1, HOST);
        rung_ns = clock_boot_ns();
        while (t.drain.records < 2 + round + 1)
            turn(rung_ns + 2 * NS_PER_SEC);
        cr_expect_lt(clock_boot_ns() - rung_ns, NS_PER_SEC, "nobody rang");
        while (!t.drain.asleep && clock_boot_ns() < rung_ns + 5 * NS_PER_SEC)
            turn(clock_boot_ns() + 10 * NS_PER_MS);
        cr_assert(t.drain.asleep);
        cr_expect_eq(t.drain.records, 2 + round + 1);
    }
    end();
}

/* While many records keep coming it naps: the producer need not ring. */
BOTH(naps_while_many_records_keep_coming)
{
    begin(kind, false);
    turn_until_released();
    for (int i = 0; i < 100; i++) {
        uint64_t before = t.drain.records;

        put_execs(20, HOST);
        while (t.drain.records == before)
            turn(clock_boot_ns() + 100 * NS_PER_MS);
        cr_expect(!t.drain.asleep);
    }
    end();
}

/* Naps after each of few would find nothing: twenty of them, and the doorbell has to ring all the same. */
BOTH(sleeps_at_once_when_few_records_came)
{
    begin(kind, false);
    turn_until_released();
    for (int i = 0; i < 10; i++) {
        uint64_t before = t.drain.records;

        put_execs(1, HOST);
        while (t.drain.records == before)
            turn(clock_boot_ns() + 100 * NS_PER_MS);
        for (unsigned turns = 0; turns < 3 && !t.drain.asleep; turns++)
            turn(clock_boot_ns() + 100 * NS_PER_MS);
        cr_expect(t.drain.asleep);
    }
    end();
}
