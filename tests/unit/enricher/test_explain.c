/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/enricher/enricher_kit.h"

static void begin(void)
{
    enricher_kit_start(NULL, NULL);
}

TestSuite(explain, .init = begin, .fini = enricher_kit_stop);

static json_t *explain(const char *argument)
{
    struct text reply = {0};

    explain_write(&enricher, argument, &reply);
    return parse_reply(&reply);
}

/* value (missing = false) or reason (missing = true) of a step; "" where there is none. The reply is left as it is. */
static const char *of_step(json_t *object, const char *name, bool missing)
{
    json_t *steps = json_object_get(object, "steps"), *step;
    const char *found = NULL;
    size_t i;

    cr_assert(json_is_array(steps));
    json_array_foreach(steps, i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "step")), name) == 0)
            found = json_string_value(json_object_get(step, missing ? "missing" : "value"));
    }
    return found ? found : "";
}

Test(explain, argument_that_is_no_pid_is_an_error)
{
    static const char *const bad[] = {
        NULL, "", "0", "-1", "x", "12x", "4294967296", "18446744073709551617", "\"", "1 2", "\xff"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *object = explain(bad[i]);

        cr_expect_str_eq(json_string_value(json_object_get(object, "error")), "explain: expected a pid", "%s",
            bad[i] ? bad[i] : "(null)");
        cr_expect_eq(json_object_size(object), 1);
        json_decref(object);
    }
}

Test(explain, process_that_is_not_known_says_why)
{
    json_t *object = explain("4294967295");

    cr_expect_eq(json_integer_value(json_object_get(object, "pid")), UINT32_MAX);
    cr_expect_neq(*of_step(object, "process", true), '\0');
    json_decref(object);
}

Test(explain, process_of_the_host_needs_no_pod)
{
    json_t *object;

    feed(make_exec(&record, A1, INIT, CG_HOST, 1, "/a"));
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "process", false), "its exec was seen");
    cr_expect_str_eq(of_step(object, "cgroup id", false), "1");
    cr_expect_str_eq(of_step(object, "cgroup path", false), "/");
    cr_expect_str_eq(of_step(object, "state", false), "host");
    cr_expect_eq(*of_step(object, "pod", true), '\0');
    json_decref(object);
}

Test(explain, waiting_process_tells_what_is_missing_and_how_long)
{
    json_t *object;
    unsigned long long events = 0, ms = 0;
    unsigned asked = 0;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    feed(make_fork(&record, A2, A1, CG_A, 1));
    object = explain("1002");
    cr_expect_str_eq(of_step(object, "process", false), "forked, the fork was seen");
    cr_expect_str_eq(of_step(object, "pod uid by path", false), UID_A);
    cr_expect_str_eq(of_step(object, "container id by path", false), ID_A);
    cr_expect_neq(*of_step(object, "pod", true), '\0');
    cr_expect_str_eq(of_step(object, "state", false), "pending");
    cr_assert_eq(sscanf(of_step(object, "held", false), "%llu events, the first for %llu ms, asked %u times",
                     &events, &ms, &asked),
        3);
    cr_expect_eq(events, 2);
    cr_expect_lt(ms, 10000);
    cr_expect_eq(asked, 1);
    cr_assert_eq(sscanf(of_step(object, "waits", false), "%llu ms more for the Pod", &ms), 1);
    cr_expect_leq(ms, 30000);
    cr_expect_gt(ms, 20000);
    json_decref(object);
}

/* Being let go, and the output has no room: the wait is not over, and no longer counted from when it began to be asked for. */
Test(explain, queue_that_is_being_let_go_has_not_waited_since_the_boot)
{
    struct container *container;
    json_t *object;
    unsigned long long events = 0, ms = UINT64_MAX;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    container = process_table_find_pid(&enricher.lane.pipeline.processes, A1.tgid)->container;
    release_schedule(&enricher.lane.pipeline, container, clock_boot_ns());
    object = explain("1001");
    cr_assert_eq(
        sscanf(of_step(object, "held", false), "%llu events, the first for %llu ms", &events, &ms), 2);
    cr_expect_lt(ms, 10000);
    json_decref(object);
}

Test(explain, known_pod_is_named_with_its_source)
{
    json_t *object;

    tell_pod("web \"1\"\x01", ID_A);
    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "pod", false), "shop/web \"1\"\x01");
    cr_expect_str_eq(of_step(object, "container", false), "main");
    cr_expect_str_eq(of_step(object, "state", false), "complete");
    json_decref(object);
}

Test(explain, container_that_no_status_names_is_said_to_be_missing)
{
    json_t *object;

    tell_pod("web-1", "bb");
    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "pod", false), "shop/web-1");
    cr_expect_neq(*of_step(object, "container", true), '\0');
    cr_expect_str_eq(of_step(object, "state", false), "pod_only");
    json_decref(object);
}

Test(explain, cgroup_that_nobody_told_is_said_to_be_missing)
{
    json_t *object;

    feed(make_exec(&record, A1, INIT, 18446744073709551615u, 1, "/a"));
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "cgroup id", false), "18446744073709551615");
    cr_expect_neq(*of_step(object, "cgroup path", true), '\0');
    json_decref(object);
}

/* A path is whatever the one who made the cgroup likes. */
Test(explain, path_cannot_break_the_reply)
{
    json_t *object;

    feed(make_cgroup(&record, RECORD_CGROUP_MKDIR, 9, NONE, 1, "/a\"\\\x01\xff\n]}"));
    feed(make_exec(&record, A1, INIT, 9, 1, "/a"));
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "cgroup path", false), "/a\"\\\x01\uFFFD\n]}");
    json_decref(object);
}

/* ---- who told what, and when ------------------------------------------------------------------------------- */

static json_t *find_step(json_t *object, const char *name)
{
    json_t *step;
    size_t i;

    json_array_foreach(json_object_get(object, "steps"), i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "step")), name) == 0)
            return step;
    }
    return NULL;
}

static uint64_t time_of(json_t *object, const char *name, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(find_step(object, name), key));
}

static const char *source_of(json_t *object, const char *name)
{
    const char *source = json_string_value(json_object_get(find_step(object, name), "source"));

    return source ? source : "";
}

static void tell(enum pod_source source, const char *workload, uint64_t now_ns)
{
    struct pod_container container = {.name = STR("main"), .id = STR(ID_A)};
    struct pod pod = {.uid = STR(UID_A),
        .namespace_ = STR("shop"),
        .name = STR("web-1"),
        .containers = &container,
        .container_count = 1,
        .workload = (char *)workload,
        .workload_kind = STR(workload ? "Deployment" : NULL)};

    cr_assert_eq(pod_table_merge(enricher.lane.pods, source, &pod, now_ns), 0);
    pipeline_turn(&enricher.lane.pipeline, clock_boot_ns());
}

Test(explain, each_field_has_the_best_source_that_tells_it_and_since_when)
{
    json_t *object;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    tell(POD_SOURCE_LOGDIR, NULL, 100);
    object = explain("1001");
    cr_expect_str_eq(source_of(object, "pod"), "logdir");
    cr_expect_eq(time_of(object, "pod", "since_ns"), 100);
    cr_expect_str_eq(source_of(object, "container"), "logdir");
    cr_expect_neq(*of_step(object, "labels", true), '\0');
    cr_expect_null(find_step(object, "workload"));
    json_decref(object);
    tell(POD_SOURCE_FILE, "web", 200);
    tell(POD_SOURCE_KUBELET, NULL, 300);
    tell(POD_SOURCE_KUBELET, NULL, 400);
    object = explain("1001");
    cr_expect_str_eq(source_of(object, "labels"), "kubelet");
    cr_expect_eq(time_of(object, "labels", "since_ns"), 300);
    cr_expect_str_eq(source_of(object, "container"), "kubelet");
    cr_expect_str_eq(source_of(object, "workload"), "file");
    cr_expect_eq(time_of(object, "workload", "since_ns"), 200);
    cr_expect_str_eq(of_step(object, "workload", false), "Deployment/web");
    json_decref(object);
}

Test(explain, driver_and_runtime_are_told_where_the_path_says_them)
{
    static const char path[] =
        "/kubepods.slice/kubepods-pod11111111_1111_4111_8111_111111111111.slice/crio-" ID_A ".scope";
    json_t *object;

    feed(make_cgroup(&record, RECORD_CGROUP_MKDIR, 9, NONE, 1, path));
    feed(make_exec(&record, A1, INIT, 9, 1, "/a"));
    feed(make_exec(&record, A2, INIT, CG_A, 1, "/a"));
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "cgroup driver by path", false), "systemd");
    cr_expect_str_eq(of_step(object, "runtime by path", false), "cri-o");
    json_decref(object);
    object = explain("1002");
    cr_expect_str_eq(of_step(object, "cgroup driver by path", false), "cgroupfs");
    cr_expect_null(find_step(object, "runtime by path"));
    json_decref(object);
}

Test(explain, deadline_is_a_time_ahead_and_over_when_it_has_passed)
{
    struct container *container;
    json_t *object;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    object = explain("1001");
    cr_expect_gt(time_of(object, "waits", "until_ns"),
        (uint64_t)json_integer_value(json_object_get(object, "now_ns")));
    cr_expect_null(find_step(object, "corrections owed"));
    json_decref(object);
    container = process_table_find_pid(&enricher.lane.pipeline.processes, A1.tgid)->container;
    pipeline_turn(
        &enricher.lane.pipeline, resolve_deadline_ns(&enricher.lane.pipeline, container) + NS_PER_SEC);
    object = explain("1001");
    cr_expect_str_eq(of_step(object, "state", false), "pending_expired");
    cr_expect_neq(*of_step(object, "state", true), '\0');
    cr_expect_null(find_step(object, "waits"));
    cr_expect_str_eq(of_step(object, "corrections owed", false),
        "1 executions with 1 events, this process among them; 0 events for the container as a whole");
    json_decref(object);
    tell_pod("web-1", ID_A);
    object = explain("1001");
    cr_expect_null(find_step(object, "corrections owed"));
    json_decref(object);
}

#define MISSING_FILE "source file:/nonexistent/pods.json"

static void begin_with_file(void)
{
    enricher_kit_start("--source", "file:/nonexistent/pods.json");
}

Test(explain_sources, source_that_failed_says_when_it_was_asked_and_why, .init = begin_with_file,
    .fini = enricher_kit_stop)
{
    uint64_t until_ns = clock_boot_ns() + 10 * NS_PER_SEC;
    json_t *object, *source;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    do {
        cr_assert_eq(loop_run_once(enricher.lane.loop, clock_boot_ns() + NS_PER_MS), 0);
        object = explain("1001");
        source = find_step(object, MISSING_FILE);
        cr_assert_not_null(source);
        if (json_object_get(source, "asked_ns"))
            break;
        json_decref(object);
    } while (clock_boot_ns() < until_ns);
    cr_expect_leq(time_of(object, MISSING_FILE, "asked_ns"),
        (uint64_t)json_integer_value(json_object_get(object, "now_ns")));
    cr_expect_null(json_object_get(source, "answered_ns"));
    cr_expect_not_null(strstr(json_string_value(json_object_get(source, "missing")), "No such file"));
    json_decref(object);
    tell(POD_SOURCE_FILE, "web", 200);
    object = explain("1001");
    cr_expect_eq(time_of(object, MISSING_FILE, "told_pod_first_ns"), 200);
    cr_expect_eq(time_of(object, MISSING_FILE, "told_container_ns"), 200);
    json_decref(object);
}
