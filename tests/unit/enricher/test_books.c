/* SPDX-License-Identifier: Apache-2.0 */
/* What the enricher does with what its ledger finds: line, log, status, metrics; and what it leaves to the next one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/queue.h"
#include "enricher/metrics.h"
#include "tests/unit/enricher/enricher_kit.h"

#define EPOCH UINT64_C(1000)

static char path[64];
static struct queue_producer *producer;
static uint64_t now_ns;

static void put(enum record_type type, uint64_t number, uint64_t lost_count)
{
    struct record_lost lost = {.header = {.size = sizeof(lost),
                                   .type = RECORD_LOST,
                                   .version = RECORD_VERSION,
                                   .cpu = 1,
                                   .seq = EPOCH + number},
        .first_seq = EPOCH + number,
        .last_seq = EPOCH + number + lost_count - 1,
        .where = RECORD_LOST_QUEUE};
    const struct record_header *header =
        type == RECORD_LOST ? &lost.header
                            : make_exec(&record, KEY(5000 + number, 1), INIT, CG_HOST, 1, "/a");
    struct record_header *to = queue_producer_reserve(producer, header->size, QUEUE_CLASS_LIFE);

    lost.count[RECORD_HOOK] = lost_count;
    cr_assert_not_null(to);
    memcpy(to, header, header->size);
    to->cpu = 1;
    to->seq = EPOCH + number;
    queue_producer_commit(producer);
    queue_producer_publish(producer);
}

/* As consumer.c does when it attaches. */
static void attach(uint64_t epoch_ns, uint64_t count)
{
    struct queue_fds fds;

    queue_producer_get_fds(producer, &fds);
    cr_assert_eq(queue_consumer_new(&enricher.lane.queue, &fds), 0);
    enricher.epoch_ns = epoch_ns;
    enricher.attached_ns = 1;
    enricher.attachment.message.attach_count = count;
    books_attach(&enricher);
    cr_assert_eq(drain_attach(&enricher.lane.drain, enricher.lane.queue), 0);
}

static void begin(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/podkin-books-%d", (int)getpid());
    now_ns = NS_PER_SEC;
    enricher_kit_start("--output", path);
    cr_assert_eq(queue_producer_new(&producer, 1 << 20), 0);
    attach(EPOCH, 1);
}

static void end(void)
{
    drain_detach(&enricher.lane.drain);
    enricher.attached_ns = 0;
    enricher_kit_stop();
    producer = queue_producer_free(producer);
    (void)unlink(path);
}

TestSuite(books, .init = begin, .fini = end);

static void read_all(void)
{
    while (drain_run(&enricher.lane.drain))
        ;
}

/* Looks once a second, as the enricher does. */
static void look(unsigned seconds)
{
    for (; seconds > 0; seconds--) {
        read_all();
        books_look(&enricher, now_ns += NS_PER_SEC);
    }
}

static const char *lines(void)
{
    static char text[1 << 16];
    FILE *file;
    size_t size;

    for (int i = 0; i < 5; i++) {
        output_flush(enricher.lane.output);
        cr_assert_eq(loop_run_once(enricher.lane.loop, clock_boot_ns() + NS_PER_MS), 0);
    }
    file = fopen(path, "re");
    cr_assert_not_null(file);
    size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    return text;
}

Test(books, what_nobody_accounts_for_is_a_line_and_a_new_look_at_what_runs)
{
    struct text metrics = {0};

    put(RECORD_EXEC, 0, 0);
    put(RECORD_EXEC, 5, 0);
    look(1);
    cr_expect_null(strstr(lines(), "unexplained"), "its report may be on its way");
    look(5);
    cr_expect_not_null(strstr(lines(), "{\"lost\":{\"cpu\":1,\"from\":\"1001\",\"to\":\"1004\",\"by_type\":{"
                                       "\"unknown\":4},\"where\":\"unexplained\"}"));
    cr_expect_neq(enricher.lane.pipeline.gap_since_ns, 0);
    metrics_write(&enricher, &metrics);
    cr_expect_not_null(strstr(text_terminate(&metrics), "\npodkin_sequence_unexplained 4\n"));
    cr_expect_not_null(strstr(text_terminate(&metrics), "podkin_sequence_unexplained_by_cpu{cpu=\"1\"} 4\n"));
    text_deinit(&metrics);
}

Test(books, what_is_reported_lost_is_no_alarm)
{
    put(RECORD_EXEC, 0, 0);
    put(RECORD_EXEC, 5, 0);
    look(1);
    put(RECORD_LOST, 1, 4);
    look(6);
    cr_expect_null(strstr(lines(), "unexplained"));
    cr_expect_eq(enricher.ledger.rows[1].told, 4);
}

Test(books, while_the_queue_is_behind_nothing_is_judged)
{
    put(RECORD_EXEC, 0, 0);
    put(RECORD_EXEC, 5, 0);
    read_all();
    for (int i = 0; i < 10; i++) {
        put(RECORD_EXEC, 6 + (uint64_t)i, 0);
        books_look(&enricher, now_ns += NS_PER_SEC);
    }
    cr_expect_null(strstr(lines(), "unexplained"));
    look(6);
    cr_expect_not_null(strstr(lines(), "unexplained"));
}

Test(books, with_another_collector_what_was_open_is_missing)
{
    struct ledger_totals totals;

    put(RECORD_EXEC, 0, 0);
    put(RECORD_EXEC, 2, 0);
    read_all();
    drain_detach(&enricher.lane.drain);
    enricher.lane.queue = queue_consumer_free(enricher.lane.queue);
    attach(EPOCH + 1000, 1);
    ledger_sum(&enricher.ledger, &totals);
    cr_expect_eq(totals.unexplained_before, 1);
    cr_expect_eq(totals.used, 0);
    cr_expect_not_null(strstr(lines(), "\"unknown\":1}"));
}

Test(books, next_enricher_goes_on_with_the_account)
{
    struct ledger_totals totals;
    struct hold *hold = NULL;
    int fd = fd_memfd_new("hold", 0);

    /* As stores.c does: the collector's memory in place of our own. */
    enricher.hold_epoch_ns = EPOCH;
    cr_assert_eq(hold_new(&hold, fd, &conf.hold), 0);
    lane_change_hold(&enricher.lane, hold);
    put(RECORD_EXEC, 0, 0);
    put(RECORD_EXEC, 1, 0);
    read_all();
    (void)lines();
    read_all(); /* what is durable is given back, and kept before that */
    ledger_deinit(&enricher.ledger);
    cr_assert_eq(ledger_init(&enricher.ledger), 0);
    hold = NULL;
    cr_assert_eq(hold_new(&hold, fd, &conf.hold), 0);
    lane_change_hold(&enricher.lane, hold);
    books_inherit(&enricher);
    ledger_sum(&enricher.ledger, &totals);
    cr_expect_eq(totals.received, 2);
    cr_expect(enricher.ledger.whole);
    (void)close(fd);
}
