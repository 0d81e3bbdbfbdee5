// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/line.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct line parse(const char *text)
{
    struct line line;

    cr_assert(eq(int, line_parse(&line, text, strlen(text)), 0), "%s", text);
    return line;
}

#define is(slice, literal) cr_assert(SLICE_IS(slice, literal), "'%.*s'", (int)(slice).size, (slice).data)

Test(line, fields_of_our_own_line_are_found)
{
    struct line line = parse(
        "{\"process_fork\":{\"process\":{\"exec_id\":\"eA==\",\"pid\":7,\"binary\":\"/bin/"
        "a\",\"arguments\":\"-x\",\"args\":[\"-x\"],"
        "\"pod\":{\"namespace\":\"shop\",\"name\":\"web-1\",\"uid\":\"u\",\"container\":{\"id\":\"containerd:"
        "//cc\",\"name\":\"nginx\",\"pid\":3},"
        "\"pod_labels\":{\"name\":\"not the "
        "Pod's\"}},\"docker\":\"cc\",\"pod_state\":\"complete\",\"pod_source\":\"kubelet\",\"role\":"
        "\"workload\"},"
        "\"parent\":{\"pid\":6,\"binary\":\"/bin/"
        "p\"}},\"node_name\":\"n\",\"time\":\"2026-11-23T20:55:00Z\",\"id\":\"b-1-2\",\"held_ms\":4990}");

    cr_assert(eq(int, line.type, LINE_FORK));
    cr_assert(line.process.present && line.parent.present);
    cr_assert(eq(i64, line.process.pid, 7));
    cr_assert(eq(i64, line.parent.pid, 6));
    is(line.process.binary, "/bin/a");
    is(line.process.args, "[\"-x\"]");
    is(line.process.pod.namespace_, "shop");
    is(line.process.pod.name, "web-1");
    is(line.process.pod.container_name, "nginx");
    cr_assert(eq(int, line.process.pod_state, LINE_POD_COMPLETE));
    cr_assert(eq(i64, line.held_ms, 4990));
    is(line.node_name, "n");
    is(line.id, "b-1-2");
    cr_assert_not(line_is_unresolved(&line));
}

Test(line, envelope_may_come_first_and_its_objects_are_no_event)
{
    struct line line = parse("{\"node_labels\":{\"process\":{\"pid\":9}},\"time\":\"t\",\"node_name\":\"n\","
                             "\"process_exec\":{\"process\":{\"pid\":1}}}");

    cr_assert(eq(int, line.type, LINE_EXEC));
    cr_assert(eq(i64, line.process.pid, 1));
}

Test(line, unknown_types_are_read_as_far_as_they_go)
{
    struct line line = parse(
        "{\"process_loader\":{\"process\":{\"pid\":1,\"binary\":\"/b\"},\"path\":\"/x\"},\"time\":\"t\"}");

    cr_assert(eq(int, line.type, LINE_OTHER));
    is(line.type_name, "process_loader");
    is(line.process.binary, "/b");
    line = parse("{}");
    cr_assert(eq(int, line.type, LINE_OTHER));
    cr_assert_null(line.type_name.data);
}

Test(line, a_wrong_json_type_counts_as_absent)
{
    struct line line = parse("{\"process_exec\":{\"process\":{\"pid\":{\"x\":1},\"binary\":[1],\"pod\":"
                             "\"none\",\"uid\":\"12\"},\"parent\":null},\"time\":5}");

    cr_assert(eq(i64, line.process.pid, 0));
    cr_assert(eq(i64, line.process.uid, 12));
    cr_assert_null(line.process.binary.data);
    cr_assert_null(line.time.data);
    cr_assert_not(line.parent.present);
}

Test(line, what_is_no_object_is_refused)
{
    static const char *const bad[] = {
        "", "[]", "null", "{\"a\":1", "text", "{\"process_exec\":{\"process\":{]}}", "{} {}", "\xff"};
    struct line line;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(eq(int, line_parse(&line, bad[i], strlen(bad[i])), -EBADMSG), "%s", bad[i]);
}

Test(line, correction_is_read_as_its_process)
{
    struct line line =
        parse("{\"pod_update\":{\"exec_id\":\"eA==\",\"pid\":7,\"pod\":{\"name\":\"p\"},\"docker\":"
              "\"abc\",\"pod_state\":\"pod_only\",\"pod_source\":\"logdir\",\"events\":3}}");

    cr_assert(eq(int, line.type, LINE_POD_UPDATE));
    cr_assert(line.process.present);
    cr_assert(eq(i64, line.process.pid, 7));
    cr_assert(eq(i64, line.events, 3));
    cr_assert(eq(int, line.process.pod_state, LINE_POD_ONLY));
    is(line.process.pod.name, "p");
    line = parse("{\"pod_update\":{\"pod\":{\"name\":\"p\"},\"docker\":\"abc\",\"events\":[1]}}");
    cr_assert_not(line.process.present);
    cr_assert(eq(i64, line.events, 0));
}

static void add(void *arg, struct slice type, uint64_t count)
{
    *(uint64_t *)arg += count * (SLICE_IS(type, "fork") ? 1000 : 1);
}

Test(line, lost_records_are_summed_whether_numbers_or_strings)
{
    struct line line = parse("{\"lost\":{\"cpu\":3,\"from\":\"1\",\"to\":\"9\",\"by_type\":{\"exec\":2,"
                             "\"fork\":\"5\",\"x\":-1,\"y\":null},\"where\":\"queue\"}}");
    uint64_t weighted = 0;

    cr_assert(eq(int, line.type, LINE_LOST));
    cr_assert(eq(u64, line_lost_count(&line, add, &weighted), 7));
    cr_assert(eq(u64, weighted, 5002));
    cr_assert(eq(i64, line.cpu, 3));
    line = parse("{\"lost\":{\"by_type\":[1,2]}}");
    cr_assert(eq(u64, line_lost_count(&line, NULL, NULL), 0));
}

Test(line, unresolved_is_a_pods_process_without_pod_or_container)
{
    static const struct {
        const char *process;
        bool unresolved;
    } cases[] = {{"\"pod_state\":\"host\"", false}, {"\"pod_state\":\"complete\"", false},
        {"\"pod_state\":\"pod_only\"", true}, {"\"pod_state\":\"pending_expired\"", true},
        {"\"binary\":\"/x\"", false}, {"\"docker\":\"abc\"", true},
        {"\"docker\":\"abc\",\"pod\":{\"container\":{\"name\":\"c\"}}", false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct line line;

        (void)snprintf(
            text, sizeof(text), "{\"process_exec\":{\"process\":{\"pid\":1,%s}}}", cases[i].process);
        line = parse(text);
        cr_expect(eq(int, line_is_unresolved(&line), cases[i].unresolved), "%s", text);
    }
}

Test(line, times_are_read_with_any_fraction_and_zone)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {{"1970-01-01T00:00:00Z", 0},
        {"2026-11-23T20:55:00.123456789Z", INT64_C(1795467300123456789)},
        {"2026-11-23T20:55:00.5Z", INT64_C(1795467300500000000)},
        {"2026-11-23T21:55:00+01:00", INT64_C(1795467300000000000)},
        {"2026-11-23T15:25:00.000-05:30", INT64_C(1795467300000000000)},
        {"2024-02-29T12:00:00Z", INT64_C(1709208000000000000)}};
    static const char *const bad[] = {"", "2026-11-23", "2026-11-23T20:55:00", "2026-11-23 20:55:00Z",
        "2026-13-23T20:55:00Z", "2026-11-23T20:55:00.12", "2026-11-23T2x:55:00Z", "2026-11-23T20:55:00+0100",
        "9999-01-01T00:00:00Z", "2026-11-23T20:55:00Zx"};
    int64_t ns;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect(eq(int, line_parse_time((struct slice){cases[i].text, strlen(cases[i].text)}, &ns), 0),
            "%s", cases[i].text);
        cr_expect(eq(i64, ns, cases[i].ns), "%s", cases[i].text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(
            eq(int, line_parse_time((struct slice){bad[i], strlen(bad[i])}, &ns), -EBADMSG), "%s", bad[i]);
}
