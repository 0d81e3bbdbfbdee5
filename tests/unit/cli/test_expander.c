/* SPDX-License-Identifier: Apache-2.0 */
/* Normalised lines, written by the pipeline, become the bytes of full ones again. */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(expander, .init = kit_setup, .fini = kit_teardown);

/* ---- both formats at random -------------------------------------------------------------------------------------- */

static unsigned next(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

#define PROCESSES 40
#define STEPS     3000

static const uint64_t groups[] = {CG_A, CG_B, CG_HOST, 300, 400};

static struct make_key any_key(unsigned *seed)
{
    unsigned who = next(seed, PROCESSES);

    return KEY(5000 + who, 5000 + who);
}

static const struct record_header *any_hook(unsigned *seed, uint64_t group, uint64_t time_ns)
{
    static const struct record_arg_sock sock = {.family = 2, .type = 1, .sport = 40112, .dport = 443};
    struct record_hook *hook = make_hook(&kit.record, any_key(seed), group, time_ns, 1 + next(seed, 6));

    hook->header.tid += next(seed, 2);
    hook->suppressed = next(seed, 3);
    hook->action = 1 + (uint8_t)next(seed, 4);
    if (next(seed, 2))
        make_arg_path(&kit.record, 0, RECORD_ARG_FILE, "/x \"y\"\\\n{\"action\":1}", 0100640, 02, -1);
    if (next(seed, 2))
        make_arg(&kit.record, 1, RECORD_ARG_SOCK, &sock, sizeof(sock), NULL, 0);
    return &hook->header;
}

static const struct record_header *any_policy(unsigned *seed, uint64_t time_ns)
{
    static const uint8_t kinds[] = {RECORD_HOOK_KPROBE, RECORD_HOOK_TRACEPOINT, RECORD_HOOK_LSM};

    return make_policy(&kit.record,
        &(struct make_policy){.hook_id = 1 + next(seed, 6),
            .kind = kinds[next(seed, 3)],
            .flags = next(seed, 3) ? 0 : RECORD_POLICY_GONE,
            .name = next(seed, 2) ? "p\"1" : NULL,
            .subsystem = "syscalls",
            .message = next(seed, 2) ? "what it says" : NULL,
            .function = "f"},
        time_ns);
}

static const struct record_header *any_exec(unsigned *seed, uint64_t group, uint64_t time_ns)
{
    static char arguments[8000];
    size_t size =
        next(seed, 30) ? 20 + next(seed, 200) : sizeof(arguments); /* some that leave no room for others */

    memset(arguments, next(seed, 4) ? 'a' : '\1', size);
    for (size_t at = 7; at < size; at += 13)
        arguments[at] = '\0';
    return make_process(&kit.record, RECORD_EXEC, any_key(seed), any_key(seed), group, time_ns,
        next(seed, 2) ? "/usr/bin/x" : "./\"x", arguments, size);
}

static const struct record_header *any_lost(unsigned *seed, uint64_t time_ns)
{
    struct record_lost *lost =
        (struct record_lost *)make_header(&kit.record, RECORD_LOST, sizeof(*lost), NONE, 0, time_ns);

    lost->count[RECORD_FORK] = 1 + next(seed, 9);
    lost->count[RECORD_HOOK] = next(seed, 2);
    lost->first_seq = 5;
    lost->last_seq = 50;
    return &lost->header;
}

static const struct record_header *any_record(unsigned *seed, uint64_t time_ns)
{
    uint64_t group = groups[next(seed, 5)];
    unsigned what = next(seed, 100);

    if (what < 35)
        return any_hook(seed, group, time_ns);
    if (what < 40)
        return any_policy(seed, time_ns);
    if (what < 55)
        return any_exec(seed, group, time_ns);
    if (what < 75)
        return make_fork(&kit.record, any_key(seed), any_key(seed), group, time_ns);
    if (what < 85)
        return make_exit(&kit.record, any_key(seed), group, time_ns, (int)next(seed, 512));
    if (what < 90)
        return make_cgroup(&kit.record, RECORD_CGROUP_ATTACH, group, any_key(seed), time_ns, "/");
    if (what < 95)
        return make_cgroup(
            &kit.record, RECORD_CGROUP_MKDIR, 400, NONE, time_ns, next(seed, 2) ? PATH_A "/below" : PATH_B);
    return any_lost(seed, time_ns);
}

/* Lets go what an output that was full for a moment, in the middle of an event's definitions, held back. */
static void catch_up(void)
{
    while (kit.refused) {
        kit.refused = false;
        pipeline_turn(&kit.pipeline, kit.now);
    }
}

static void feed_at_random(unsigned seed)
{
    unsigned sections = seed ^ 4711; /* not of the same numbers: they are no part of the history */

    for (uint64_t step = 1; step <= STEPS; step++) {
        unsigned what = next(&seed, 100);

        if (next(&sections, 200) == 0)
            kit.section_due = next(&sections, 2) ? OUTPUT_SECTION_FILE : OUTPUT_SECTION_VIEWER;
        if (kit.normalised)
            kit.refuse_after = next(&sections, 20) ? 0 : 1 + next(&sections, 4);
        if (what < 3) {
            kit_tell_pod(
                next(&seed, 2) ? UID_A : UID_B, next(&seed, 2) ? "p" : "other", next(&seed, 2) ? ID_A : ID_B);
        } else if (what < 10) {
            kit_pass(next(&seed, 3000) * NS_PER_MS);
        } else {
            const struct record_header *record = any_record(&seed, kit.now + step);

            while (kit_try(record) == -EAGAIN)
                catch_up();
        }
        catch_up();
    }
    kit.refuse_after = 0;
    kit_pass(100 * SEC);
    kit_pass(100 * SEC);
    kit_expect_balanced();
}

struct history {
    char **lines;
    size_t count, first_update;
};

static void run(struct history *ret, unsigned seed, bool normalised)
{
    kit_stop();
    kit.normalised = normalised;
    kit_start();
    make_seq_ = 0;
    kit.emit.render.wall_offset_ns = (int64_t)1790000000 * (int64_t)NS_PER_SEC;
    feed_at_random(seed);
    *ret = (struct history){calloc(kit.line_count + kit.update_count, sizeof(char *)), 0, 0};
    for (size_t i = 0; i < kit.line_count; i++)
        ret->lines[ret->count++] = strdup(kit.lines[i]);
    ret->first_update = ret->count;
    for (size_t i = 0; i < kit.update_count; i++)
        ret->lines[ret->count++] = strdup(kit.updates[i]);
}

static void forget(struct history *history)
{
    while (history->count > 0)
        free(history->lines[--history->count]);
    free(history->lines);
}

static void expect_same(unsigned seed)
{
    struct history full, expanded;

    run(&full, seed, false);
    run(&expanded, seed, true);
    cr_assert_gt(kit.definitions, 100);
    cr_assert_gt(kit.sections, 1);
    cr_assert_eq(
        full.count, expanded.count, "seed %u: %zu lines, expanded %zu", seed, full.count, expanded.count);
    cr_assert_gt(full.first_update, 1000);
    for (size_t i = 0; i < full.count; i++)
        cr_assert_str_eq(expanded.lines[i], full.lines[i], "seed %u, line %zu", seed, i);
    forget(&full);
    forget(&expanded);
}

Test(expander, makes_the_bytes_of_the_full_format_of_any_history)
{
    for (unsigned seed = 1; seed <= 20; seed++)
        expect_same(seed);
}

Test(expander, makes_the_bytes_of_the_full_format_without_fields_of_our_own)
{
    kit.render.own_fields = kit.render.image.own_fields = false;
    for (unsigned seed = 1; seed <= 3; seed++)
        expect_same(seed);
}

Test(expander, makes_the_bytes_of_the_full_format_with_all_that_can_be_exported)
{
    kit.render.annotations = kit.render.image.credentials = kit.render.image.namespaces = true;
    kit.render.image.capabilities = true;
    for (unsigned seed = 1; seed <= 3; seed++)
        expect_same(seed);
}
