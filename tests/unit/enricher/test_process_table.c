/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/process_table.h"

#include <criterion/criterion.h>

static struct process_table table;

static void setup(void)
{
    cr_assert_eq(process_table_init(&table), 0);
}

static void teardown(void)
{
    process_table_deinit(&table);
}

TestSuite(process_table, .init = setup, .fini = teardown);

/* The table keeps the only reference. */
static struct process *add(uint32_t tgid, uint64_t start_ns, struct process *parent, uint64_t now_ns)
{
    struct process *p = process_new(tgid, start_ns, start_ns, PROCESS_FORKED);

    process_set_parent(p, parent);
    process_table_insert(&table, p, now_ns);
    process_unref(p);
    return p;
}

Test(process_table, finds_by_key_and_never_by_pid_alone)
{
    struct process *p = add(7, 100, NULL, 1);

    cr_expect_eq(process_table_find(&table, 7, 100), p);
    cr_expect_null(process_table_find(&table, 7, 101));
    cr_expect_null(process_table_find(&table, 8, 100));
}

Test(process_table, newer_start_of_a_tgid_proves_that_the_older_exited)
{
    struct process *old = add(7, 100, NULL, 1), *young = add(7, 200, NULL, 5);

    cr_expect_eq(old->exited_ns, 5);
    cr_expect_eq(young->exited_ns, 0);
    cr_expect_eq(process_table_find_pid(&table, 7), young);
}

Test(process_table, exec_replaces_the_current_execution_and_keeps_the_referenced_one)
{
    struct process *first = process_ref(add(7, 100, NULL, 1)), *second = add(7, 100, NULL, 2);

    cr_expect_eq(process_table_find(&table, 7, 100), second);
    cr_expect_eq(table.count, 1);
    cr_expect_not(first->current);
    process_unref(first);
}

Test(process_table, chain_of_execs_does_not_grow)
{
    struct process *before = NULL;

    for (uint64_t i = 1; i <= 1000; i++) {
        struct process *p = process_new(7, 100, i, PROCESS_EXECED);

        process_set_parent(p, before);
        process_table_insert(&table, p, i);
        process_unref(p);
        before = p;
    }
    cr_assert_not_null(before->parent);
    cr_expect_eq(before->parent->image_start_ns, 999);
    cr_expect_null(before->parent->parent); /* T2 */
}

Test(process_table, held_event_keeps_the_parent_of_a_past_execution)
{
    struct process *parent = add(1, 1, NULL, 1), *first = add(7, 100, parent, 2);

    process_hold(first);
    add(7, 100, NULL, 3);
    cr_expect_eq(first->parent, parent);
    process_ref(first);
    process_release(first);
    cr_expect_null(first->parent);
    process_unref(first);
}

Test(process_table, child_keeps_an_exited_parent_and_the_living_are_never_evicted)
{
    struct process *parent = add(1, 1, NULL, 1), *child = add(2, 2, parent, 2);

    for (uint32_t i = 10; i < 20000; i++) {
        struct process *p = add(i, i, child, i);

        process_table_mark_exited(&table, p, i);
    }
    process_table_mark_exited(&table, parent, 30000);
    cr_expect_eq(process_table_expire(&table, 40000, SIZE_MAX), 19991);
    cr_expect_eq(table.count, 1);
    cr_expect_eq(process_table_find(&table, 2, 2), child);
    cr_expect_eq(child->parent, parent);
    cr_expect_eq(parent->tgid, 1);
}

Test(process_table, expiry_stops_at_its_time_and_budget)
{
    for (uint32_t i = 1; i <= 10; i++)
        process_table_mark_exited(&table, add(i, i, NULL, i), i * 10);
    cr_expect_eq(process_table_expire(&table, 50, SIZE_MAX), 4);
    cr_expect_eq(process_table_expire(&table, 1000, 2), 2);
    cr_expect_eq(table.exited_count, 4);
}

Test(process_table, trimming_leaves_the_living_and_those_that_exited_last)
{
    struct process *living = add(1000, 1, NULL, 1);

    for (uint32_t i = 1; i <= 100; i++)
        process_table_mark_exited(&table, add(i, i, NULL, i), i * 10);
    cr_expect_eq(process_table_trim(&table, 100, 2000, SIZE_MAX), 0);
    cr_expect_eq(process_table_trim(&table, 30, 2000, 50), 50);
    cr_expect_eq(process_table_trim(&table, 30, 2000, SIZE_MAX), 20);
    cr_expect_eq(table.exited_count, 30);
    cr_expect_null(process_table_find(&table, 70, 70));
    cr_expect_not_null(process_table_find(&table, 71, 71));
    cr_expect_eq(process_table_trim(&table, 0, 2000, SIZE_MAX), 30);
    cr_expect_eq(process_table_find(&table, 1000, 1), living);
}

Test(process_table, mark_exited_twice_counts_once)
{
    struct process *p = add(7, 100, NULL, 1);

    process_table_mark_exited(&table, p, 5);
    process_table_mark_exited(&table, p, 6);
    cr_expect_eq(table.exited_count, 1);
    cr_expect_eq(p->exited_ns, 5);
}
