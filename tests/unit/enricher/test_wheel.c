/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/wheel.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/clock.h"

#define MS NS_PER_MS

struct item {
    struct wheel_node node;
    bool armed; /* what the naive model holds */
    uint64_t deadline_ns;
};

static uint64_t random_state;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Mostly near, at times far, now and then absurd. */
static uint64_t random_distance(void)
{
    uint64_t r = next_random();

    switch (r % 8) {
    case 0:
        return 0;
    case 1:
        return next_random() % (10 * MS);
    case 2:
    case 3:
    case 4:
        return next_random() % (30 * NS_PER_SEC);
    case 5:
    case 6:
        return next_random() % (24 * 3600 * NS_PER_SEC);
    default:
        return next_random() >> (r >> 8) % 20;
    }
}

static uint64_t model_earliest(const struct item *items, size_t count)
{
    uint64_t earliest = UINT64_MAX;

    for (size_t i = 0; i < count; i++) {
        if (items[i].armed && items[i].deadline_ns < earliest)
            earliest = items[i].deadline_ns;
    }
    return earliest;
}

static uint64_t round_up(uint64_t ns)
{
    uint64_t over = ns % MS;

    return over == 0 ? ns : ns > UINT64_MAX - (MS - over) ? UINT64_MAX : ns + (MS - over);
}

/* Pulls all; at times arms what was pulled again, from inside the round. */
static void pull_all(struct wheel *wheel, struct item *items, size_t count, uint64_t now)
{
    struct wheel_node *node;

    while ((node = wheel_pull(wheel, now))) {
        struct item *item = (struct item *)(void *)node; /* the first member */

        cr_assert(item->armed, "pulled what is not in the model");
        cr_assert_leq(item->deadline_ns, now, "W2");
        cr_assert(!wheel_node_armed(node));
        item->armed = false;
        if (next_random() % 4 == 0) {
            uint64_t distance = 1 + random_distance();
            uint64_t deadline = now > UINT64_MAX - distance ? UINT64_MAX : now + distance;

            wheel_arm(wheel, node, deadline);
            item->armed = true;
            item->deadline_ns = deadline;
        }
    }
    for (size_t i = 0; i < count; i++)
        cr_assert(
            !items[i].armed || round_up(items[i].deadline_ns) > now || items[i].deadline_ns > now - now % MS,
            "due but not pulled");
}

static void run_against_model(uint64_t seed, unsigned steps)
{
    enum { COUNT = 200 };
    static struct item items[COUNT];
    uint64_t now = seed % 3 == 0 ? 0 : next_random() >> 20;
    struct wheel wheel;

    memset(items, 0, sizeof(items));
    random_state = seed;
    wheel_init(&wheel, now);
    for (unsigned step = 0; step < steps; step++) {
        struct item *item = &items[next_random() % COUNT];
        uint64_t choice = next_random() % 10, distance = random_distance(), earliest;

        if (choice < 6) {
            uint64_t deadline = now > UINT64_MAX - distance ? UINT64_MAX : now + distance;

            if (choice == 0)
                deadline = next_random() % (now + 1); /* past */
            wheel_arm(&wheel, &item->node, deadline);
            item->armed = true;
            item->deadline_ns = deadline;
        } else if (choice == 6) {
            wheel_disarm(&wheel, &item->node);
            item->armed = false;
        } else {
            if (choice == 7)
                now = wheel_next(&wheel) == UINT64_MAX || wheel_next(&wheel) < now ? now : wheel_next(&wheel);
            else
                now = now > UINT64_MAX - distance ? now : now + distance / (choice == 8 ? 1 : 1000);
            pull_all(&wheel, items, COUNT, now);
        }
        earliest = round_up(model_earliest(items, COUNT));
        if (earliest < wheel.now_tick * MS)
            earliest = wheel.now_tick * MS;
        cr_assert_leq(wheel_next(&wheel), earliest, "W3");
        if (step % 16 == 0)
            cr_assert(wheel_check(&wheel), "W1, seed %lu step %u", seed, step);
    }
}

Test(wheel, agrees_with_a_naive_model)
{
    for (uint64_t seed = 1; seed <= 150; seed++)
        run_against_model(seed, 2000);
}

Test(wheel, empty_wheel_has_nothing_next)
{
    struct wheel wheel;

    wheel_init(&wheel, 12345);
    cr_expect_eq(wheel_next(&wheel), UINT64_MAX);
    cr_expect_null(wheel_pull(&wheel, UINT64_MAX));
    cr_expect(wheel_check(&wheel));
}

Test(wheel, deadline_in_the_past_is_due_at_once)
{
    struct wheel_node node = {0};
    struct wheel wheel;

    wheel_init(&wheel, 100 * MS);
    wheel_arm(&wheel, &node, 5 * MS);
    cr_expect_leq(wheel_next(&wheel), 100 * MS);
    cr_expect_eq(wheel_pull(&wheel, 100 * MS), &node);
    cr_expect_null(wheel_pull(&wheel, 100 * MS));
    cr_expect_eq(wheel.count, 0);
}

Test(wheel, fraction_of_a_tick_is_never_early)
{
    struct wheel_node node = {0};
    struct wheel wheel;

    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &node, 10 * MS + 1);
    cr_expect_null(wheel_pull(&wheel, 10 * MS));
    cr_expect_null(wheel_pull(&wheel, 11 * MS - 1));
    cr_expect_eq(wheel_pull(&wheel, 11 * MS), &node);
}

Test(wheel, pulling_at_next_makes_progress)
{
    struct wheel_node node = {0};
    struct wheel wheel;
    unsigned pulls = 0;

    wheel_init(&wheel, 777);
    wheel_arm(&wheel, &node, 3600 * NS_PER_SEC * 24 * 365 + 1);
    while (!wheel_pull(&wheel, wheel_next(&wheel)))
        cr_assert_lt(++pulls, WHEEL_LEVELS + 1u);
    cr_expect_null(wheel.due);
}

Test(wheel, one_jump_over_years_pulls_everything_in_order_of_ticks)
{
    enum { COUNT = 1000 };
    static struct wheel_node nodes[COUNT];
    struct wheel_node *node;
    struct wheel wheel;
    uint64_t last = 0, now = 100 * UINT64_C(365) * 86400 * NS_PER_SEC;
    unsigned pulled = 0;

    random_state = 7;
    wheel_init(&wheel, 0);
    for (size_t i = 0; i < COUNT; i++)
        wheel_arm(&wheel, &nodes[i], next_random() % now);
    while ((node = wheel_pull(&wheel, now))) {
        cr_expect_geq(round_up(node->deadline_ns), last);
        last = round_up(node->deadline_ns);
        pulled++;
    }
    cr_expect_eq(pulled, COUNT);
    cr_expect(wheel_check(&wheel));
}

Test(wheel, clock_that_went_back_gives_nothing)
{
    struct wheel_node node = {0};
    struct wheel wheel;

    wheel_init(&wheel, 50 * MS);
    wheel_arm(&wheel, &node, 40 * MS);
    cr_expect_null(wheel_pull(&wheel, 39 * MS));
    cr_expect(wheel_node_armed(&node));
    cr_expect_eq(wheel_pull(&wheel, 50 * MS), &node);
}

Test(wheel, disarm_is_idempotent_and_works_on_due_nodes)
{
    struct wheel_node a = {0}, b = {0}, c = {0};
    struct wheel wheel;

    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &a, 5 * MS);
    wheel_arm(&wheel, &b, 5 * MS);
    wheel_arm(&wheel, &c, 5 * MS);
    cr_expect_not_null(wheel_pull(&wheel, 5 * MS));
    wheel_disarm(&wheel, &a);
    wheel_disarm(&wheel, &a);
    wheel_disarm(&wheel, &b);
    wheel_disarm(&wheel, &c);
    cr_expect_eq(wheel.count, 0);
    cr_expect_null(wheel_pull(&wheel, 5 * MS));
    cr_expect(wheel_check(&wheel));
}

Test(wheel, latest_deadline_of_all_is_held_forever)
{
    struct wheel_node node = {0};
    struct wheel wheel;

    wheel_init(&wheel, NS_PER_SEC);
    wheel_arm(&wheel, &node, UINT64_MAX);
    cr_expect(wheel_check(&wheel));
    cr_expect_null(wheel_pull(&wheel, UINT64_MAX));
    cr_expect(wheel_node_armed(&node));
    wheel_disarm(&wheel, &node);
    cr_expect_eq(wheel_next(&wheel), UINT64_MAX);
}
