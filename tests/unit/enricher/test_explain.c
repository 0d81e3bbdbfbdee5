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
    container = process_table_find_pid(&enricher.pipeline.processes, A1.tgid)->container;
    release_schedule(&enricher.pipeline, container, clock_boot_ns());
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
