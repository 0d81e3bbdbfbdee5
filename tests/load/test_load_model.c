/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_model.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/record_check.h"

#define BOOT_NS 1000

static struct load_conf conf;
static struct load_model *model;

static void setup(void)
{
    conf = (struct load_conf){.seed = 7,
        .pods = 5,
        .containers = 2,
        .processes = 4,
        .weight_spawn = 3,
        .weight_worker = 2,
        .weight_deep = 2,
        .weight_hook = 1};
    cr_assert_eq(load_model_new(&model, &conf, BOOT_NS), 0);
}

static void teardown(void)
{
    model = load_model_free(model);
}

TestSuite(load_model, .init = setup, .fini = teardown);

/* Which processes live, as somebody who only reads the records knows it. */
static struct {
    uint32_t tgid;
    uint64_t start_ns;
} living[4096];
static size_t living_count;

static size_t find(uint32_t tgid, uint64_t start_ns)
{
    for (size_t i = 0; i < living_count; i++) {
        if (living[i].tgid == tgid && living[i].start_ns == start_ns)
            return i;
    }
    return SIZE_MAX;
}

static void live(uint32_t tgid, uint64_t start_ns)
{
    cr_assert_eq(find(tgid, start_ns), SIZE_MAX, "%u lives already", tgid);
    cr_assert_lt(living_count, sizeof(living) / sizeof(living[0]));
    living[living_count].tgid = tgid;
    living[living_count++].start_ns = start_ns;
}

static int follow(const struct record_header *record, size_t size, void *arg)
{
    size_t at = record->tgid ? find(record->tgid, record->start_ns) : 0;

    (void)arg;
    cr_assert_eq(record->size, size);
    cr_assert_eq(record_check(record, size), 0, "type %u", record->type);
    switch (record->type) {
    case RECORD_FORK: {
        const struct record_fork *fork = (const struct record_fork *)record;

        cr_assert_neq(find(fork->parent_tgid, fork->parent_start_ns), SIZE_MAX, "a dead process forks");
        live(record->tgid, record->start_ns);
        break;
    }
    case RECORD_SNAPSHOT_PROCESS:
        live(record->tgid, record->start_ns);
        break;
    case RECORD_EXIT:
        cr_assert_neq(at, SIZE_MAX, "it exits twice, or was never there");
        living[at] = living[--living_count];
        break;
    case RECORD_EXEC:
    case RECORD_HOOK:
        cr_assert_neq(at, SIZE_MAX, "it does something and does not live");
        break;
    default:
        break;
    }
    return 0;
}

Test(load_model, what_happens_makes_sense)
{
    size_t before;

    cr_assert_eq(load_model_snapshot(model, 2000, follow, NULL), 0);
    before = living_count;
    cr_assert_eq(before, 5 * 2 * 4 + 1);
    for (uint64_t i = 0; i < 20000; i++) {
        const struct record_header *record = load_model_next(model, 3000 + i);

        follow(record, record->size, NULL);
        if (i % 1000 == 999)
            load_model_replace_pod(model, 3000 + i, follow, NULL);
        cr_assert_eq(load_model_process_count(model), living_count - 1, "all but init");
    }
    cr_expect_leq(living_count, before + 10 * 8 + 1);
}

/* 64-bit FNV-1a. */
static uint64_t digest(uint64_t seed)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    struct load_model *other;

    conf.seed = seed;
    cr_assert_eq(load_model_new(&other, &conf, BOOT_NS), 0);
    for (uint64_t i = 0; i < 3000; i++) {
        const struct record_header *record = load_model_next(other, 3000 + i);

        for (size_t k = 0; k < record->size; k++)
            sum = (sum ^ ((const uint8_t *)record)[k]) * UINT64_C(0x100000001b3);
    }
    load_model_free(other);
    return sum;
}

Test(load_model, one_seed_makes_the_same_records_and_another_does_not)
{
    cr_expect_eq(digest(1), digest(1));
    cr_expect_neq(digest(1), digest(2));
}

Test(load_model, weights_decide_what_happens)
{
    unsigned count[RECORD_TYPE_COUNT] = {0};

    conf.weight_spawn = conf.weight_worker = conf.weight_deep = 0;
    teardown();
    cr_assert_eq(load_model_new(&model, &conf, BOOT_NS), 0);
    for (uint64_t i = 0; i < 1000; i++)
        count[load_model_next(model, 3000 + i)->type]++;
    cr_expect_eq(count[RECORD_HOOK], 1000);
}

Test(load_model, the_pods_are_told_with_the_ids_of_their_cgroups)
{
    char *data = NULL;
    size_t size = 0, found = 0;
    FILE *file = open_memstream(&data, &size);
    json_t *list, *item;
    size_t index;

    cr_assert_eq(load_model_write_pods(model, file), 0);
    cr_assert_eq(fclose(file), 0);
    list = json_loads(data, 0, NULL);
    cr_assert_eq(json_array_size(json_object_get(list, "items")), 5);
    json_array_foreach(json_object_get(list, "items"), index, item)
    {
        const json_t *statuses = json_object_get(json_object_get(item, "status"), "containerStatuses");

        found += json_array_size(statuses);
        cr_expect_eq(
            strlen(json_string_value(json_object_get(json_object_get(item, "metadata"), "uid"))), 36);
    }
    cr_expect_eq(found, 10);
    json_decref(list);
    free(data);
}

static int ignore(const struct record_header *record, size_t size, void *arg)
{
    (void)record;
    (void)size;
    (void)arg;
    return 0;
}

Test(load_model, a_pod_that_went_is_told_of_for_ten_seconds)
{
    static const size_t expected[] = {7, 6}; /* both that went; the first is older than ten seconds */

    load_model_replace_pod(model, 5 * NS_PER_SEC, ignore, NULL);
    for (unsigned i = 0; i < 2; i++) {
        char *data = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&data, &size);
        json_t *list;

        load_model_replace_pod(model, (6 + 10 * i) * NS_PER_SEC, ignore, NULL);
        cr_assert_eq(load_model_write_pods(model, file), 0);
        cr_assert_eq(fclose(file), 0);
        list = json_loads(data, 0, NULL);
        cr_expect_eq(json_array_size(json_object_get(list, "items")), expected[i]);
        json_decref(list);
        free(data);
    }
}
