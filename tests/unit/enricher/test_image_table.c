/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/image_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "enricher/image.h"
#include "enricher/siphash.h"
#include "tests/unit/make_record.h"

static const struct image_options ALL = {true, true, true, true};
static const struct image_options NONE = {0};
static struct make_record buffer;

static struct record_process *record_of(
    uint32_t tgid, const char *filename, const char *args, size_t args_size)
{
    struct make_key key = {tgid, tgid}, parent = {1, 1};

    return (struct record_process *)(uintptr_t)make_process(
        &buffer, RECORD_EXEC, key, parent, tgid, tgid, filename, args, args_size);
}

/* From the authors' reference, vectors.h: key 00..0f, message 00..0e, little endian. */
Test(siphash, has_the_references_answer_of_128_bits)
{
    static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    struct siphash hash = siphash_begin(key, true);
    uint8_t message[15];

    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    siphash_absorb(
        &hash, siphash_absorb_words(&hash, message, sizeof(message)) | (uint64_t)sizeof(message) << 56);
    cr_expect_eq(siphash_end(&hash, true), UINT64_C(0x11a8b03399e99354));
    cr_expect_eq(siphash_end_wide(&hash), UINT64_C(0xd9c3cf970fec087e));
}

Test(image_table, equal_images_are_one_whoever_runs_them)
{
    struct image_table table;
    struct image *a, *b;

    cr_assert_eq(image_table_init(&table), 0);
    a = image_table_get(&table, record_of(7, "/bin/a", "a\0-x", 4), &ALL);
    b = image_table_get(&table, record_of(8, "/bin/a", "a\0-x", 4), &ALL);
    cr_expect_eq(a, b);
    cr_expect_eq(table.count, 1);
    image_unref(a);
    image_unref(b);
    image_table_deinit(&table);
}

typedef void change_fn(struct record_process *record);

static void change_flags(struct record_process *record)
{
    record->flags ^= 1;
}
static void change_auid(struct record_process *record)
{
    record->auid ^= 1;
}
static void change_uid(struct record_process *record)
{
    record->uid ^= 1;
}
static void change_fsgid(struct record_process *record)
{
    record->fsgid ^= 1;
}
static void change_namespace(struct record_process *record)
{
    record->ns.user ^= 1;
}
static void change_capability(struct record_process *record)
{
    record->cap_inheritable ^= 1;
}
static void change_path(struct record_process *record)
{
    ((char *)record)[record->filename.offset] = 'x';
}
static void change_argument(struct record_process *record)
{
    ((char *)record)[record->args.offset + record->args.size - 1] = 'y';
}
static void change_folder(struct record_process *record)
{
    ((char *)record)[record->cwd.offset + 3] = 'z';
}
static void cut_argument(struct record_process *record)
{
    record->args.size--;
}

Test(image_table, whatever_is_rendered_tells_two_apart)
{
    static change_fn *const changes[] = {change_flags, change_auid, change_uid, change_fsgid,
        change_namespace, change_capability, change_path, change_argument, change_folder, cut_argument};
    struct image_table table;
    struct image *images[1 + sizeof(changes) / sizeof(changes[0])];
    size_t count = sizeof(changes) / sizeof(changes[0]);

    cr_assert_eq(image_table_init(&table), 0);
    images[count] = image_table_get(&table, record_of(7, "/bin/a", "a\0-x", 4), &ALL);
    for (size_t i = 0; i < count; i++) {
        struct record_process *record = record_of(7, "/bin/a", "a\0-x", 4);

        changes[i](record);
        images[i] = image_table_get(&table, record, &ALL);
    }
    cr_expect_eq(table.count, count + 1);
    for (size_t i = 0; i <= count; i++)
        image_unref(images[i]);
    image_table_deinit(&table);
}

/* One string's end is not the next one's begin. */
Test(image_table, where_a_string_ends_tells_two_apart)
{
    struct image_table table;
    struct record_process *record;
    struct image *a, *b;

    cr_assert_eq(image_table_init(&table), 0);
    a = image_table_get(&table, record_of(7, "/bin/abc", "", 0), &NONE);
    record = record_of(7, "/bin/abc", "", 0);
    record->filename.size = 5;
    record->args = (struct record_ref){(uint16_t)(record->filename.offset + 5), 3};
    b = image_table_get(&table, record, &NONE);
    cr_expect_neq(a, b);
    image_unref(a);
    image_unref(b);
    image_table_deinit(&table);
}

Test(image_table, what_options_leave_out_does_not_tell_two_apart)
{
    struct image_table table;
    struct record_process *record;
    struct image *a, *b;

    cr_assert_eq(image_table_init(&table), 0);
    a = image_table_get(&table, record_of(7, "/bin/a", "a\0-x", 4), &NONE);
    record = record_of(7, "/bin/a", "a\0-x", 4);
    change_uid(record);
    change_namespace(record);
    change_capability(record);
    b = image_table_get(&table, record, &NONE);
    cr_expect_eq(a, b);
    image_unref(a);
    image_unref(b);
    image_table_deinit(&table);
}

static struct image *numbered(struct image_table *table, unsigned i)
{
    char args[32];
    int size = snprintf(args, sizeof(args), "a%c%u", 0, i);

    return image_table_get(table, record_of(7, "/bin/a", args, (size_t)size), &NONE);
}

Test(image_table, those_in_use_stay_and_the_others_are_bounded)
{
    struct image_table table;
    struct image *used[5000];

    cr_assert_eq(image_table_init(&table), 0);
    for (unsigned i = 0; i < 5000; i++)
        used[i] = numbered(&table, i);
    cr_expect_eq(table.count, 5000);
    for (unsigned i = 5000; i < 100000; i++)
        image_unref(numbered(&table, i));
    cr_expect_leq(table.count, 5000 + 8192 / 4 + 4, "M1: %zu", table.count);
    for (unsigned i = 0; i < 5000; i++) {
        struct image *again = numbered(&table, i);

        cr_assert_eq(again, used[i]);
        cr_assert_not_null(strstr(again->fragment, "arguments"));
        image_unref(again);
        image_unref(used[i]);
    }
    image_table_deinit(&table);
    cr_expect_null(table.buckets);
}
