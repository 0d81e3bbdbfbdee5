// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/status.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/text.h"
#include "enricher/cli/explain.h"

static char *shown(const char *answer)
{
    struct text out = {0};

    cr_assert(eq(int, status_show(answer, strlen(answer), &out), 0));
    return text_take(&out, NULL);
}

Test(status, important_things_come_first_and_unknown_ones_are_shown_too)
{
    char *table = shown("{\"future\":{\"things\":1234567},\"output\":{\"lines\":5},\"books\":{\"received\":"
                        "12,\"dropped\":{\"queue\":0},\"balanced\":true},"
                        "\"version\":\"0.1.0\",\"uptime_s\":3725,\"collector\":{\"attached\":true,\"hook_"
                        "kind\":\"tp_btf\"},\"loop\":\"uring\","
                        "\"sources\":[{\"kind\":\"kubelet\",\"where\":\"https://"
                        "h\",\"ready\":true,\"pods\":3,\"last_error\":\"\"}]}");
    const char *order[] = {
        "version", "uptime_s", "loop", "collector", "books", "sources", "future", "output"};
    const char *at = table;

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        at = strstr(at, order[i]);
        cr_assert_not_null(at, "%s in:\n%s", order[i], table);
    }
    cr_assert_not_null(strstr(table, "1h 2m"));
    cr_assert_not_null(strstr(table, "1,234,567\n"));
    cr_assert_not_null(strstr(table, "kubelet https://h: ready\n"));
    cr_assert_null(strchr(table, '!'));
    free(table);
}

#define BALANCED                                                                                             \
    "{\"collector\":{\"attached\":true,\"made\":1250},\"sequence\":{\"whole\":%s,\"used\":1245,"             \
    "\"received\":1200,"                                                                                     \
    "\"told_lost\":40,\"open\":5,\"unexplained\":%d,\"unexplained_before\":0,\"untold\":%d,"                 \
    "\"unexplained_by_cpu\":{\"3\":2}},\"books\":{\"received\":30,\"emitted\":20,\"held\":10,\"dropped\":0," \
    "\"balanced\":true,\"reasons_balanced\":true}}"

static char *shown_balance(const char *whole, int unexplained, int untold)
{
    char answer[1024];

    (void)snprintf(answer, sizeof(answer), BALANCED, whole, unexplained, untold);
    return shown(answer);
}

Test(status, balance_is_the_first_line_with_the_numbers_that_prove_it)
{
    char *table = shown_balance("true", 0, 0), *part = shown_balance("false", 0, 0);
    const char *line =
        "books balance: 1,250 records made = 1,200 received + 40 reported lost + 10 on their way; "
        "30 events = 20 emitted + 10 held + 0 dropped\n";

    cr_expect(eq(int, strncmp(table, line, strlen(line)), 0), "%s", table);
    cr_expect_not_null(
        strstr(part, "books balance: 1,245 records made = "), "not all came this way: %s", part);
    free(table);
    free(part);
}

Test(status, what_is_missing_is_said_by_cpu_and_nothing_claims_a_balance)
{
    char *missing = shown_balance("true", 2, 0), *untold = shown_balance("true", 0, 7);

    cr_expect_not_null(strstr(missing,
        "! the books do not balance: 2 records are missing and no report accounts for them (CPU 3: 2)\n"));
    cr_expect_null(strstr(missing, "books balance:"));
    cr_expect_not_null(strstr(untold, "! the books do not balance: 7 records more were reported lost"));
    cr_expect_null(strstr(untold, "books balance:"));
    free(missing);
    free(untold);
}

Test(status, what_needs_a_person_is_said_on_top)
{
    char *table = shown("{\"version\":\"x\",\"collector\":{\"attached\":false},\"books\":{\"balanced\":false}"
                        ",\"sources\":[],\"output\":{\"last_errno\":28}}");

    cr_assert(eq(int, strncmp(table, "! not attached", 14), 0));
    cr_assert_not_null(strstr(table, "! the books do not balance"));
    cr_assert_not_null(strstr(table, "sources: none"));
    cr_assert_not_null(
        strstr(table, "! the output cannot be written, and is tried again: No space left on device"));
    free(table);
}

Test(status, what_a_source_said_is_neutralised)
{
    char *table = shown("{\"sources\":[{\"kind\":\"kubelet\",\"where\":\"h\\u001b[2J\",\"ready\":false,"
                        "\"last_error\":\"\\u001b]0;x\\u0007\"}],\"\\u001bkey\":1}");

    cr_assert_null(strchr(table, 0x1b));
    cr_assert_null(strchr(table, 0x07));
    cr_assert_not_null(strstr(table, "NOT READY"));
    free(table);
}

Test(status, what_is_no_object_is_refused)
{
    struct text out = {0};

    cr_assert(eq(int, status_show("[1]", 3, &out), -EBADMSG));
    cr_assert(eq(int, status_show("", 0, &out), -EBADMSG));
    cr_assert(eq(int, status_show("{\"a\":", 5, &out), -EBADMSG));
    text_deinit(&out);
}

Test(status, explain_tells_from_the_cgroup_what_it_can)
{
    struct text out = {0};
    char folder[] = "/tmp/podkin-explain-XXXXXX", path[64], file[80];
    FILE *cgroup;

    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/7", folder);
    (void)snprintf(file, sizeof(file), "%s/cgroup", path);
    cr_assert(eq(int, mkdir(path, 0700), 0));
    cgroup = fopen(file, "we");
    cr_assert_not_null(cgroup);
    (void)fputs(
        "1:name=systemd:/x\n0::/kubepods/besteffort/pod6bd2a4d3-a55a-4450-b6fd-2a7ecc72c904\n", cgroup);
    (void)fclose(cgroup);
    cr_assert(eq(int, explain_show_locally(folder, 7, &out), 0));
    cr_assert_not_null(strstr(text_terminate(&out), "Pod UID: 6bd2a4d3-a55a-4450-b6fd-2a7ecc72c904"));
    cr_assert_not_null(strstr(text_terminate(&out), "container id: -"));
    cr_assert(eq(int, explain_show_locally(folder, 8, &out), -ENOENT));
    text_clear(&out);
    cgroup = fopen(file, "we");
    cr_assert_not_null(cgroup);
    (void)fputs(
        "4:memory:/kubepods/pod7bd2a4d3-a55a-4450-b6fd-2a7ecc72c904\n1:name=systemd:/kubepods/podx\n0::/\n",
        cgroup);
    (void)fclose(cgroup);
    cr_assert(eq(int, explain_show_locally(folder, 7, &out), 0));
    cr_assert_not_null(
        strstr(text_terminate(&out), "Pod UID: 7bd2a4d3-a55a-4450-b6fd-2a7ecc72c904"), "v1 alone has it");
    (void)unlink(file);
    (void)rmdir(path);
    (void)rmdir(folder);
    text_deinit(&out);
}

Test(status, explain_shows_times_as_they_are_and_how_far_away)
{
    static const char answer[] =
        "{\"pid\":7,\"now_ns\":5000000000,\"steps\":[{\"step\":\"source file:/p\",\"asked_ns\":2896000000,"
        "\"told_pod_first_ns\":4999000000,\"missing\":\"x\"},{\"step\":\"waits\",\"until_ns\":"
        "9223372036854775807,"
        "\"a\\u001b_ns\":1,\"bad_ns\":\"x\",\"_ns\":3,\"neg_ns\":-1}]}";
    struct text out = {0};

    cr_assert(eq(int, explain_show_answer(answer, strlen(answer), &out), 0));
    cr_assert_str_eq(text_terminate(&out), " 1. source file:/p: -\n"
                                           "    missing: x\n"
                                           "    asked: boot_ns 2896000000, 2.104 s ago\n"
                                           "    told pod first: boot_ns 4999000000, 0.001 s ago\n"
                                           " 2. waits: -\n"
                                           "    until: boot_ns 9223372036854775807, in 9223372031.854 s\n"
                                           "    a\\x1b: boot_ns 1, 4.999 s ago\n");
    text_deinit(&out);
}
