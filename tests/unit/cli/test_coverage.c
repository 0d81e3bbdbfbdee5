// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/coverage.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "common/text.h"

#define ROW(events, at_once, waited, incomplete, corrected, rest)                                            \
    "\"events\":" #events ",\"at_once\":" #at_once ",\"waited\":" #waited ",\"incomplete\":" #incomplete     \
    ",\"corrected\":" #corrected rest
#define WHY   ",\"why\":{\"not_known\":3,\"new_reason\":1}"
#define WAITS ",\"wait_ms\":{\"p50\":120,\"p99\":4990,\"max\":61000}"

static const char answer[] =
    "{\"node_name\":\"n1\",\"since\":\"2026-11-24T00:00:00Z\",\"since_s\":60,"
    "\"pods\":{" ROW(130, 120, 6, 4, 2, "") "},\"host\":{" ROW(7, 7, 0, 0, 0,
        "") "},"
            "\"namespaces\":["
            "{\"namespace\":\"shop\",\"pods\":["
            "{\"pod\":\"fine-1\",\"uid\":\"u1\",\"source\":\"kubelet\",\"gone\":false,\"containers\":[]," ROW(
                100, 100, 0, 0, 0,
                "") "},"
                    "{\"pod\":\"bad-1\",\"uid\":\"u2\",\"source\":\"apiserver\",\"gone\":true,\"containers\":"
                    "["
                    "{\"container\":\"main\",\"id\":\"abc\"," ROW(9, 1, 6, 2, 2,
                        ",\"by_type\":{\"exec\":{" ROW(9, 1, 6, 2, 2,
                            "") "}}") "}"
                                      "]," ROW(10, 0, 6, 4, 2,
                                          WHY WAITS ",\"by_type\":{\"fork\":{" ROW(10, 0, 6, 4, 2,
                                              WHY) "}}") "}"
                                                         "]," ROW(110, 100, 6, 4, 2,
                                                             "") "},"
                                                                 "{\"namespace\":\"kube-system\",\"pods\":[{"
                                                                 "\"pod\":\"dns-1\",\"uid\":\"u3\"," ROW(20,
                                                                     20, 0, 0, 0, "") "}]," ROW(20, 20, 0, 0,
                                                                     0, "") "},"
                                                                            "{\"pods\":[{" ROW(0, 0, 0, 0, 0,
                                                                                "") "}]," ROW(0, 0, 0, 0, 0,
                                                                                "") "}"
                                                                                    "],\"pods_left_out\":2}";

static char *shown(const struct coverage_options *options, struct coverage_result *result)
{
    struct text out = {0};

    cr_assert(eq(int, coverage_show(answer, sizeof(answer) - 1, options, &out, result), 0));
    return text_take(&out, NULL);
}

static void expect_in_order(const char *table, const char *const *words)
{
    const char *at = table;

    for (size_t i = 0; words[i]; i++) {
        at = strstr(at, words[i]);
        cr_assert_not_null(at, "%s in:\n%s", words[i], table);
    }
}

Test(coverage, worst_pod_comes_first_with_its_reasons)
{
    struct coverage_result result;
    char *table = shown(&(struct coverage_options){0}, &result);

    expect_in_order(
        table, (const char *[]){"96.92%", "130 events", "on the host 7 events", "2 Pods are in the sums only",
                   "NAMESPACE", "shop", "kube-system", "POD ", "shop/bad-1 (gone)", "60.00%", "120ms", "5.0s",
                   "61.0s", "apiserver", "3 Pod not known in time, 1 new_reason", "shop/fine-1", "100.00%",
                   "dns-1", NULL});
    cr_expect(eq(sz, result.rows, 4));
    cr_expect(eq(dbl, result.percent, 60));
    free(table);
}

Test(coverage, selection_leaves_what_was_asked_for)
{
    struct coverage_result result;
    char *table = shown(
        &(struct coverage_options){.namespaces = {"kube-system", "other"}, .namespace_count = 2}, &result);

    cr_expect_null(strstr(table, "shop"));
    cr_expect_not_null(strstr(table, "kube-system/dns-1"));
    cr_expect(eq(sz, result.rows, 1));
    cr_expect(eq(dbl, result.percent, 100));
    free(table);
    table = shown(&(struct coverage_options){.pods = {"none"}, .pod_count = 1}, &result);
    cr_expect_not_null(strstr(table, "no event of such a Pod yet"));
    cr_expect(eq(sz, result.rows, 0));
    free(table);
}

Test(coverage, named_pod_is_shown_by_type_and_container)
{
    struct coverage_result result;
    char *table = shown(&(struct coverage_options){.pods = {"bad*"}, .pod_count = 1}, &result);

    expect_in_order(
        table, (const char *[]){"shop/bad-1 (gone)", "\n  fork", "\n  container main", "\n    exec", NULL});
    cr_expect_null(strstr(table, "fine-1"));
    free(table);
}

Test(coverage, json_is_the_selection)
{
    struct coverage_result result;
    char *text = shown(&(struct coverage_options){.pods = {"bad-1"}, .pod_count = 1, .json = true}, &result);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL),
           *namespaces = json_object_get(root, "namespaces");

    cr_assert(eq(sz, json_array_size(namespaces), 1));
    cr_expect(eq(sz, json_array_size(json_object_get(json_array_get(namespaces, 0), "pods")), 1));
    cr_expect_not_null(json_object_get(root, "host"));
    json_decref(root);
    free(text);
}

/* 99.999 % is not 100.00 %. */
Test(coverage, percentage_is_never_rounded_up)
{
    static const char nearly[] =
        "{\"pods\":{},\"host\":{},\"namespaces\":[{\"namespace\":\"a\",\"pods\":[{\"pod\":\"p\"," ROW(
            1000000, 999999, 0, 1, 0, "") "}]}]}";
    struct coverage_result result;
    struct text out = {0};

    cr_assert(
        eq(int, coverage_show(nearly, sizeof(nearly) - 1, &(struct coverage_options){0}, &out, &result), 0));
    cr_expect_not_null(strstr(text_terminate(&out), " 99.99% "));
    cr_expect(lt(dbl, result.percent, 100));
    text_deinit(&out);
}

Test(coverage, names_are_neutralised_and_nonsense_is_refused)
{
    static const char hostile[] =
        "{\"since\":\"\\u001b[2J\",\"namespaces\":[{\"namespace\":\"a\\u001b\",\"pods\":[{\"pod\":"
        "\"\\u0007\","
        "\"source\":\"x\",\"why\":{\"\\u009b1m\":1}," ROW(1, 0, 0, 1, 0, "") "}]}]}";
    static const char *const bad[] = {"", "[]", "{}", "{\"namespaces\":{}}", "{\"namespaces\":["};
    struct coverage_options options = {0};
    struct coverage_result result;
    struct text out = {0};

    cr_assert(eq(int, coverage_show(hostile, sizeof(hostile) - 1, &options, &out, &result), 0));
    for (const char *at = text_terminate(&out); *at; at++)
        cr_expect_not((unsigned char)*at < 0x20 && *at != '\n', "control %d", *at);
    cr_expect_null(strstr(text_terminate(&out), "\xc2\x9b"));
    text_clear(&out);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(
            eq(int, coverage_show(bad[i], strlen(bad[i]), &options, &out, &result), -EBADMSG), "%s", bad[i]);
    cr_expect(eq(sz, out.size, 0));
    text_deinit(&out);
}
