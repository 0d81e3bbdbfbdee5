/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/intake.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/record_check.h"

#define DATA_BYTES 65536
#define CPU_COUNT  4

static struct queue_producer *queue;
static struct queue_consumer *consumer;
static struct intake intake;
static uint64_t own_seq;

/* What the consumer has seen, and what the LOST records told it. */
static struct {
    uint64_t count[RECORD_TYPE_SLOTS], lost[2][RECORD_TYPE_SLOTS], lost_records, next_seq[CPU_COUNT];
} seen;
/* What was put. */
static struct {
    uint64_t count[RECORD_TYPE_SLOTS], next_seq[CPU_COUNT];
} made;

static void setup(void)
{
    struct queue_fds fds;

    memset(&seen, 0, sizeof(seen));
    memset(&made, 0, sizeof(made));
    cr_assert_eq(queue_producer_new(&queue, DATA_BYTES), 0);
    queue_producer_get_fds(queue, &fds);
    cr_assert_eq(queue_consumer_new(&consumer, &fds), 0);
    cr_assert_eq(intake_init(&intake, queue, &own_seq), 0);
    intake_follow(&intake, true);
}

static void teardown(void)
{
    intake_deinit(&intake);
    consumer = queue_consumer_free(consumer);
    queue = queue_producer_free(queue);
}

static void put(enum record_type type, uint16_t cpu)
{
    union {
        struct record_header header;
        uint8_t bytes[256];
    } record = {.header = {.size = sizeof(record),
                    .type = (uint8_t)type,
                    .version = RECORD_VERSION,
                    .cpu = cpu,
                    .seq = made.next_seq[cpu]++}};

    made.count[type]++;
    cr_assert_eq(intake_put(&record.header, sizeof(record), &intake), 0);
}

static void see_lost(const struct record_lost *lost)
{
    uint16_t cpu = lost->header.cpu;
    uint64_t total = 0;

    cr_assert_lt(cpu, CPU_COUNT);
    cr_assert_leq(lost->first_seq, lost->last_seq);
    cr_assert_lt(lost->last_seq, made.next_seq[cpu]);
    for (size_t i = 0; i < RECORD_TYPE_SLOTS; i++) {
        seen.lost[lost->where - 1][i] += lost->count[i];
        total += lost->count[i];
    }
    cr_assert_gt(total, 0);
    seen.lost_records++;
}

static void consume(bool release)
{
    const struct record_header *record;
    bool broken;

    while ((record = queue_consumer_next(consumer, &broken))) {
        cr_assert_eq(record_check(record, record->size), 0);
        if (record->type == RECORD_LOST) {
            see_lost((const struct record_lost *)record);
            continue;
        }
        cr_assert_geq(record->seq, seen.next_seq[record->cpu]);
        seen.next_seq[record->cpu] = record->seq + 1;
        seen.count[record->type]++;
    }
    cr_assert_not(broken);
    if (release)
        queue_consumer_release(consumer, queue_consumer_position(consumer));
}

TestSuite(intake, .init = setup, .fini = teardown);

Test(intake, records_are_published_each_full_batch_and_at_the_end)
{
    intake_begin(&intake);
    for (int i = 0; i < INTAKE_BATCH + 10; i++)
        put(RECORD_FORK, 0);
    consume(true);
    cr_assert_eq(seen.count[RECORD_FORK], INTAKE_BATCH);
    intake_end(&intake);
    consume(true);
    cr_assert_eq(seen.count[RECORD_FORK], INTAKE_BATCH + 10);
}

Test(intake, hook_records_give_way_and_the_loss_is_told_when_there_is_room)
{
    struct queue_books books;

    intake_begin(&intake);
    for (int i = 0; i < 400; i++)
        put(RECORD_HOOK, 1);
    intake_end(&intake);
    intake_begin(&intake);
    put(RECORD_EXEC, 1);
    intake_end(&intake);
    consume(true);
    cr_assert_eq(seen.count[RECORD_EXEC], 1, "the reserve is process life's");
    cr_assert_lt(seen.count[RECORD_HOOK], 400);
    cr_assert_eq(seen.lost_records, 0, "the reserve is not eaten by reports about hooks");

    intake_begin(&intake);
    intake_end(&intake);
    consume(true);
    cr_assert_eq(seen.lost_records, 1);
    cr_assert_eq(seen.count[RECORD_HOOK] + seen.lost[RECORD_LOST_QUEUE - 1][RECORD_HOOK], 400);
    queue_consumer_load_books(consumer, &books);
    cr_assert_eq(books.published[RECORD_HOOK], seen.count[RECORD_HOOK]);
    cr_assert_eq(books.published[RECORD_LOST], 1);
    cr_assert_eq(books.refused_queue[RECORD_HOOK], 400 - seen.count[RECORD_HOOK]);
    cr_assert_eq(intake.refused_count, 400 - seen.count[RECORD_HOOK]);
}

Test(intake, losses_of_the_kernel_and_of_the_queue_are_told_apart)
{
    struct record_lost lost = {
        .header = {.size = sizeof(lost), .type = RECORD_LOST, .version = RECORD_VERSION, .cpu = 2},
        .first_seq = 5,
        .last_seq = 9,
        .where = RECORD_LOST_BPF_RING};

    made.next_seq[2] = 10;
    lost.count[RECORD_FORK] = 3;
    lost.count[RECORD_HOOK] = 1;
    intake_begin(&intake);
    intake_put_loss(&lost, &intake);
    intake_put_loss(&lost, &intake);
    intake_end(&intake);
    consume(true);
    cr_assert_eq(seen.lost_records, 1, "merged");
    cr_assert_eq(seen.lost[RECORD_LOST_BPF_RING - 1][RECORD_FORK], 6);
    cr_assert_eq(seen.lost[RECORD_LOST_BPF_RING - 1][RECORD_HOOK], 2);
    cr_assert_eq(intake.books.refused_ring[RECORD_FORK], 6);
    cr_assert_eq(intake.books.refused_queue[RECORD_FORK], 0);
}

/* I1, I2: a slow consumer over a long time; in the end every record made was seen or told as lost. */
Test(intake, books_balance_whatever_the_consumer_does)
{
    static const enum record_type types[] = {RECORD_FORK, RECORD_EXEC, RECORD_EXIT, RECORD_HOOK, RECORD_HOOK};
    uint64_t random = 2463534242;
    struct queue_books books;

    for (int turn = 0; turn < 3000; turn++) {
        intake_begin(&intake);
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        for (uint64_t i = 0; i < random % 150; i++)
            put(types[(random + i) % 5], (uint16_t)((random >> 8) + i) % CPU_COUNT);
        intake_end(&intake);
        if (random % 3 == 0)
            consume(random % 2);
    }
    for (int i = 0; i < 3; i++) {
        consume(true);
        intake_begin(&intake);
        intake_end(&intake);
    }
    consume(true);
    queue_consumer_load_books(consumer, &books);
    cr_assert_gt(seen.lost[RECORD_LOST_QUEUE - 1][RECORD_FORK], 0);
    cr_assert_gt(
        seen.lost[RECORD_LOST_QUEUE - 1][RECORD_HOOK], seen.lost[RECORD_LOST_QUEUE - 1][RECORD_FORK]);
    for (size_t i = 0; i < RECORD_LOST; i++) {
        cr_assert_eq(seen.count[i] + seen.lost[RECORD_LOST_QUEUE - 1][i], made.count[i], "type %zu", i);
        cr_assert_eq(books.published[i], seen.count[i]);
        cr_assert_eq(books.refused_queue[i], seen.lost[RECORD_LOST_QUEUE - 1][i]);
    }
    cr_assert_eq(books.published[RECORD_LOST], seen.lost_records);
    cr_assert_eq(own_seq, seen.lost_records);
}

Test(intake, without_a_consumer_it_fills_and_counts)
{
    intake_follow(&intake, false);
    for (int turn = 0; turn < 10; turn++) {
        intake_begin(&intake);
        for (int i = 0; i < 100; i++)
            put(RECORD_EXIT, 3);
        intake_end(&intake);
    }
    cr_assert_geq(queue_producer_used_bytes(queue), DATA_BYTES - 256);
    cr_assert_eq(intake.books.published[RECORD_EXIT] + intake.books.refused_queue[RECORD_EXIT], 1000);
}

Test(intake, framing_that_cannot_be_is_counted_and_not_published)
{
    struct record_header bad[] = {
        {.size = 40, .type = RECORD_FORK},
        {.size = 96, .type = RECORD_FORK}, /* longer than what the ring buffer says */
        {.size = 52, .type = RECORD_FORK},
        {.size = 48, .type = RECORD_PAD},
        {.size = 48, .type = RECORD_TYPE_COUNT},
        {.size = 48, .type = RECORD_FORK, .cpu = 0xfffe},
    };

    intake_begin(&intake);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(intake_put(&bad[i], sizeof(bad[i]), &intake), 0);
    cr_assert_eq(intake_put(&bad[0], 8, &intake), 0);
    intake_end(&intake);
    cr_assert_eq(intake.malformed_count, sizeof(bad) / sizeof(bad[0]) + 1);
    cr_assert_eq(queue_producer_tail(queue), 0);
}

static void count_tee(const struct record_header *record, void *arg)
{
    uint64_t *count = arg;

    count[record->type]++;
}

Test(intake, whoever_looks_on_sees_also_what_the_queue_refuses)
{
    uint64_t count[RECORD_TYPE_SLOTS] = {0};
    struct record_lost lost = {
        .header = {.size = sizeof(lost), .type = RECORD_LOST, .version = RECORD_VERSION}};

    intake.tee = count_tee;
    intake.tee_arg = count;
    intake_begin(&intake);
    for (unsigned i = 0; i < 2 * DATA_BYTES / 256; i++)
        put(RECORD_HOOK, 0);
    intake_put_loss(&lost, &intake);
    intake_end(&intake);
    cr_assert_gt(intake.refused_count, 0);
    cr_assert_eq(count[RECORD_HOOK], 2 * DATA_BYTES / 256);
    cr_assert_eq(count[RECORD_LOST], 1, "of the ring, not those of the queue");
}
