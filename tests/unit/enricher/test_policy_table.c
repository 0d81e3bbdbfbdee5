/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/policy_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/make_record.h"

#define SEC UINT64_C(1000000000)

static struct policy_table table;
static struct make_record record;
static uint64_t now;

static void setup(void)
{
    now = 1000 * SEC;
    cr_assert_eq(policy_table_init(&table), 0);
}

static void teardown(void)
{
    policy_table_deinit(&table);
}

TestSuite(policy_table, .init = setup, .fini = teardown);

static enum policy_result tell_flagged(uint32_t id, const char *name, uint8_t flags, uint32_t generation)
{
    const struct make_policy policy = {
        .hook_id = id, .kind = RECORD_HOOK_LSM, .flags = flags, .name = name, .function = "file_open"};

    return policy_table_apply(&table,
        (const struct record_policy *)(const void *)make_policy(&record, &policy, now), generation, now);
}

static void tell(uint32_t id, const char *name)
{
    cr_assert_eq(tell_flagged(id, name, 0, 0), POLICY_TAKEN);
}

static void expect_named(const struct policy_entry *entry, const char *name)
{
    char expected[600] = "";

    if (name)
        (void)snprintf(expected, sizeof(expected), ",\"policy_name\":\"%s\"", name);
    cr_expect_eq(entry->known, name != NULL);
    cr_expect_eq(entry->names.size, strlen(expected));
    cr_expect_eq(memcmp(entry->names.data, expected, entry->names.size), 0, "%.*s", (int)entry->names.size,
        entry->names.data);
}

static struct policy_entry *get(uint32_t id)
{
    return policy_table_get(&table, id, now);
}

Test(policy_table, id_finds_what_was_told_of_it)
{
    tell(1, "one");
    tell(1 + POLICY_TABLE_BUCKETS, "other");
    expect_named(get(1), "one");
    expect_named(get(1 + POLICY_TABLE_BUCKETS), "other");
    cr_expect_eq(get(1)->kind, RECORD_HOOK_LSM);
    cr_expect_eq(table.count, 2);
}

Test(policy_table, stand_in_becomes_known_in_place)
{
    struct policy_entry *entry = policy_ref(get(1));

    expect_named(entry, NULL);
    tell(1, "late");
    expect_named(entry, "late");
    cr_expect_eq(get(1), entry);
    policy_table_expire(&table, now + 100 * SEC); /* it is no stand-in any more */
    cr_expect_eq(get(1), entry);
    policy_unref(entry);
}

Test(policy_table, told_again_it_says_the_new)
{
    tell(1, "before");
    tell(1, "after");
    expect_named(get(1), "after");
    cr_expect_eq(table.count, 1);
}

Test(policy_table, gone_is_found_for_the_grace_time)
{
    tell(1, "one");
    cr_assert_eq(tell_flagged(1, "one", RECORD_POLICY_GONE, 0), POLICY_TAKEN);
    policy_table_expire(&table, now);
    expect_named(get(1), "one");
    policy_table_expire(&table, now + 1);
    expect_named(get(1), NULL);
}

Test(policy_table, gone_lives_as_long_as_an_event_refers_to_it)
{
    struct policy_entry *entry;

    tell(1, "one");
    entry = policy_ref(get(1));
    (void)tell_flagged(1, "one", RECORD_POLICY_GONE, 0);
    policy_table_expire(&table, UINT64_MAX);
    cr_expect_eq(table.count, 0);
    expect_named(entry, "one");
    policy_unref(entry);
}

Test(policy_table, back_after_its_end_it_stays)
{
    tell(1, "one");
    (void)tell_flagged(1, "one", RECORD_POLICY_GONE, 0);
    tell(1, "one");
    policy_table_expire(&table, UINT64_MAX);
    expect_named(get(1), "one");
    (void)tell_flagged(1, "one", RECORD_POLICY_GONE, 0);
    policy_table_expire(&table, UINT64_MAX);
    cr_expect_eq(table.count, 0);
}

Test(policy_table, ids_of_another_collector_are_not_confused_with_those_before)
{
    struct policy_entry *held;

    tell(1, "of the first");
    tell(2, "of the first");
    (void)tell_flagged(2, "of the first", RECORD_POLICY_GONE, 0);
    held = policy_ref(get(1));
    policy_table_forget(&table);
    tell(1, "of the second");
    expect_named(held, "of the first");
    expect_named(get(1), "of the second");
    expect_named(get(2), NULL);
    policy_table_expire(&table, UINT64_MAX);
    expect_named(get(1), "of the second");
    policy_unref(held);
}

Test(policy_table, what_a_snapshot_does_not_have_is_gone)
{
    tell(1, "stays");
    tell(2, "went");
    (void)tell_flagged(1, "stays", 0, 5);
    policy_table_mark_unseen(&table, 5, now);
    cr_expect_eq(get(1)->gone_ns, 0);
    cr_expect_eq(get(2)->gone_ns, now);
    policy_table_expire(&table, now + 1);
    expect_named(get(1), "stays");
    expect_named(get(2), NULL);
}

Test(policy_table, full_table_gives_up_the_gone_and_then_refuses)
{
    for (uint32_t id = 0; id < POLICY_TABLE_MAX; id++)
        tell(id, "p");
    cr_expect_eq(tell_flagged(90000, "x", 0, 0), POLICY_REFUSED);
    cr_expect_eq(get(90000), table.shared);
    cr_expect_eq(get(90001), table.shared);
    expect_named(get(90000), NULL);
    (void)tell_flagged(7, "p", RECORD_POLICY_GONE, 0);
    tell(90000, "x");
    expect_named(get(90000), "x");
    cr_expect_eq(table.count, POLICY_TABLE_MAX);
    cr_expect_eq(get(7), table.shared);
}

Test(policy_table, pieces_keep_their_bounds)
{
    static char much[RECORD_SIZE_MAX / 16];
    struct make_policy policy = {.hook_id = 1,
        .kind = RECORD_HOOK_UPROBE,
        .name = much,
        .function = much,
        .subsystem = much,
        .message = much,
        .tags = much,
        .tags_size = sizeof(much)};
    const struct policy_entry *entry;

    memset(much, '\x01', sizeof(much) - 1);
    for (size_t i = 0; i < 4; i++)
        policy.labels[i] = much;
    cr_assert_eq(policy_table_apply(&table,
                     (const struct record_policy *)(const void *)make_policy(&record, &policy, now), 0, now),
        POLICY_TAKEN);
    entry = get(1);
    cr_expect_leq(entry->function.size + entry->names.size, POLICY_PIECES_MAX);
    for (size_t i = 0; i <= RECORD_HOOK_RETURN; i++)
        cr_expect_leq(entry->labels[i].size, POLICY_LABEL_MAX);
}

Test(policy_table, selector_that_cannot_be_understood_is_told)
{
    const struct make_policy policy = {.hook_id = 1,
        .kind = RECORD_HOOK_KPROBE,
        .name = "p",
        .selector = "pod\0app\0Like\0001\0web",
        .selector_size = 18};

    cr_expect_eq(policy_table_apply(&table,
                     (const struct record_policy *)(const void *)make_policy(&record, &policy, now), 0, now),
        POLICY_MALFORMED);
    expect_named(get(1), "p");
}
