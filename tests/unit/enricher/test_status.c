/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/enricher/enricher_kit.h"

static void begin(void)
{
    enricher_kit_start(NULL, NULL);
}

TestSuite(status, .init = begin, .fini = enricher_kit_stop);

static json_t *status(void)
{
    struct text reply = {0};

    status_write(&enricher, &reply);
    return parse_reply(&reply);
}

static json_int_t number(json_t *object, const char *part, const char *key)
{
    json_t *value = json_object_get(json_object_get(object, part), key);

    cr_assert(json_is_integer(value), "%s.%s", part, key);
    return json_integer_value(value);
}

static const char *string(json_t *object, const char *part, const char *key)
{
    const char *value = json_string_value(json_object_get(json_object_get(object, part), key));

    return value ? value : "(none)";
}

static void expect_keys(json_t *object, const char *part, const char *const *keys)
{
    json_t *of = part ? json_object_get(object, part) : object;

    for (size_t i = 0; keys[i]; i++)
        cr_expect_not_null(json_object_get(of, keys[i]), "%s.%s", part ? part : "", keys[i]);
}

/* What docs/events.md lists, podkin status and scripts read. */
Test(status, has_the_documented_keys)
{
    json_t *object = status();

    expect_keys(object, NULL,
        (const char *[]){"version", "node_name", "loop", "uptime_s", "collector", "queue", "books",
            "counters", "hold", "tables", "sources", "output", NULL});
    expect_keys(
        object, "collector", (const char *[]){"attached", "socket", "attach_count", "last_error", NULL});
    expect_keys(object, "sequence",
        (const char *[]){"whole", "cpus", "used", "received", "told_lost", "open", "unexplained",
            "unexplained_before", "explained_late", "untold", "out_of_order", "read_again", "duplicate",
            "unexplained_by_cpu", NULL});
    expect_keys(object, "queue", (const char *[]){"backlog_bytes", "records_read", "broken", NULL});
    expect_keys(object, "books",
        (const char *[]){"received", "emitted", "held", "dropped", "balanced", "received_by_type",
            "emitted_by_type", "dropped_by_type", NULL});
    expect_keys(object, "hold",
        (const char *[]){"events", "bytes", "high_water_events", "max_events", "max_bytes", "timeout_ms",
            "released_on_arrival", "release_latency", "expired", "evicted", NULL});
    expect_keys(object, "tables",
        (const char *[]){"processes", "exited_kept", "cgroups", "cgroups_refused", "containers", "pods",
            "updates_owed", NULL});
    expect_keys(object, "output",
        (const char *[]){"path", "lines", "bytes", "rotations", "files_compressed", "compress_failures",
            "write_errors", "viewers", "viewers_cut", "last_errno", "write_latency", NULL});
#define X(name, unit, help) cr_expect_not_null(json_object_get(json_object_get(object, "counters"), #name));
    ENRICHER_COUNTERS(X)
#undef X
    cr_expect_str_eq(json_string_value(json_object_get(object, "node_name")), "node1");
    json_decref(object);
}

Test(status, tells_what_is_held_and_what_left)
{
    json_t *object;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    feed(make_exec(&record, A2, INIT, CG_HOST, 1, "/b"));
    object = status();
    cr_expect_eq(number(object, "books", "received"), 2);
    cr_expect_eq(number(object, "books", "held"), 1);
    cr_expect_eq(number(object, "hold", "events"), 1);
    cr_expect_gt(number(object, "hold", "bytes"), 0);
    cr_expect_eq(number(object, "hold", "timeout_ms"), 30000);
    cr_expect_eq(number(object, "output", "lines"), 1);
    json_decref(object);
    tell_pod("web-1", ID_A);
    object = status();
    cr_expect_eq(number(object, "books", "held"), 0);
    cr_expect_eq(number(object, "books", "emitted"), 2);
    cr_expect_eq(number(object, "hold", "released_on_arrival"), 1);
    cr_expect_eq(number(json_object_get(object, "hold"), "release_latency", "count"), 1);
    cr_expect_eq(number(object, "hold", "high_water_events"), 1);
    cr_expect_eq(number(object, "tables", "pods"), 1);
    json_decref(object);
}

static unsigned next(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static const struct record_header *random_record(unsigned *seed)
{
    static const uint64_t groups[] = {CG_HOST, CG_A, CG_ODD, 777};
    struct make_key key = KEY(5000 + next(seed, 30), 1), parent = KEY(5000 + next(seed, 30), 1);
    uint64_t group = groups[next(seed, 4)], now_ns = clock_boot_ns();

    switch (next(seed, 8)) {
    case 0:
        return make_fork(&record, key, parent, group, now_ns);
    case 1:
        return make_exit(&record, key, group, now_ns, 0);
    case 2:
        return make_header(&record, RECORD_HOOK, sizeof(struct record_hook), key, group, now_ns);
    case 3:
        return make_header(&record, RECORD_POLICY, sizeof(struct record_header), key, group, now_ns);
    case 4: {
        struct record_lost *lost =
            (struct record_lost *)make_header(&record, RECORD_LOST, sizeof(*lost), NONE, 0, now_ns);

        lost->where = RECORD_LOST_QUEUE;
        lost->count[RECORD_FORK] = 3;
        return &lost->header;
    }
    default:
        return make_exec(&record, key, parent, group, now_ns, "/x");
    }
}

Test(status, books_balance_at_random_moments)
{
    unsigned seed = 7;

    for (unsigned i = 0; i < 5000; i++) {
        feed(random_record(&seed));
        if (next(&seed, 200) == 0)
            tell_pod("web-1", next(&seed, 2) ? ID_A : "bb");
        if (next(&seed, 50) == 0) {
            json_t *object = status();

            cr_assert(json_is_true(json_object_get(json_object_get(object, "books"), "balanced")));
            cr_assert_eq(number(object, "books", "received"), number(object, "books", "emitted") +
                                                                  number(object, "books", "held") +
                                                                  number(object, "books", "dropped"));
            cr_assert_eq(number(object, "books", "held"), number(object, "hold", "events"));
            cr_assert(json_is_true(json_object_get(json_object_get(object, "books"), "reasons_balanced")));
            json_decref(object);
        }
    }
    cr_expect_gt(enricher.lane.pipeline.counters.emitted[RECORD_HOOK], 0);
}

Test(status, types_of_a_newer_collector_are_one_key)
{
    json_t *object, *by_type;

    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++)
        enricher.lane.pipeline.counters.received[type] = 1;
    object = status();
    by_type = json_object_get(json_object_get(object, "books"), "received_by_type");
    cr_expect_eq(
        json_integer_value(json_object_get(by_type, "other")), RECORD_TYPE_SLOTS - RECORD_TYPE_COUNT + 1);
    cr_expect_eq(json_object_size(by_type), RECORD_TYPE_COUNT);
    json_decref(object);
}

Test(status, strings_of_others_cannot_break_it)
{
    json_t *object;

    (void)snprintf(enricher.attach_error, sizeof(enricher.attach_error), "a \"quote\\\", \x1b[31m\n\xff{");
    object = status();
    cr_expect_str_eq(string(object, "collector", "last_error"), "a \"quote\\\", \x1b[31m\n\uFFFD{");
    json_decref(object);
}

Test(status, failing_source_is_visible)
{
    json_t *object, *sources;

    enricher_kit_stop();
    enricher_kit_start("--source", "file:/nonexistent/pods \"1\".json");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(loop_run_once(enricher.lane.loop, clock_boot_ns() + 10 * NS_PER_MS), 0);
    object = status();
    sources = json_object_get(object, "sources");
    cr_assert_eq(json_array_size(sources), 1);
    expect_keys(json_array_get(sources, 0), NULL,
        (const char *[]){"kind", "where", "ready", "requests", "failures", "pods", "last_error", NULL});
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(sources, 0), "kind")), "file");
    cr_expect(json_is_false(json_object_get(json_array_get(sources, 0), "ready")));
    cr_expect_str_neq(json_string_value(json_object_get(json_array_get(sources, 0), "last_error")), "");
    json_decref(object);
}

static char *read_documentation(void)
{
    char path[512], *text = calloc(1, 1 << 20);
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/docs/events.md", getenv("PODKIN_SOURCE_ROOT"));
    file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    cr_assert_gt(fread(text, 1, (1 << 20) - 1, file), 0);
    (void)fclose(file);
    return text;
}

static void expect_documented(const char *documentation, json_t *object, int depth)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        char quoted[80];

        (void)snprintf(quoted, sizeof(quoted), "`%s`", key);
        cr_expect_not_null(strstr(documentation, quoted), "%s is not in docs/events.md", quoted);
        if (json_is_object(value) && depth < 1)
            expect_documented(documentation, value, depth + 1);
    }
}

Test(status, every_key_is_documented)
{
    char *documentation;
    json_t *object = status();

    if (!getenv("PODKIN_SOURCE_ROOT")) {
        json_decref(object);
        cr_skip_test("PODKIN_SOURCE_ROOT is not set");
    }
    documentation = read_documentation();
    expect_documented(documentation, object, 0);
    json_decref(object);
    free(documentation);
}
