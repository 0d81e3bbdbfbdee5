/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/cleanup.h"
#include "common/text.h"
#include "enricher/pod.h"
#include "enricher/pod_json.h"
#include "enricher/pod_json_read.h"
#include "enricher/pod_json_scan.h"

struct collected {
    struct pod *pods;
    size_t count, skipped;
    int result;
    char error[160];
    size_t heap_max;
};

static void on_pod(void *arg, const struct pod *pod)
{
    struct collected *all = arg;
    size_t heap = mallinfo2().uordblks;

    if (heap > all->heap_max)
        all->heap_max = heap;
    all->pods = reallocarray(all->pods, all->count + 1, sizeof(*pod));
    cr_assert_not_null(all->pods);
    memset(&all->pods[all->count], 0, sizeof(*pod));
    cr_assert_eq(pod_copy(&all->pods[all->count++], pod), 0);
}

/* Pushed in pieces of `step` bytes. */
static struct collected parse(const char *data, size_t size, size_t step)
{
    struct collected all = {0};
    struct pod_json *parser = NULL;

    cr_assert_eq(pod_json_new(&parser, on_pod, &all), 0);
    for (size_t at = 0; at < size && all.result == 0; at += step)
        all.result = pod_json_push(parser, data + at, size - at < step ? size - at : step);
    if (all.result == 0)
        all.result = pod_json_finish(parser);
    all.skipped = pod_json_skipped(parser);
    (void)snprintf(all.error, sizeof(all.error), "%s", pod_json_error(parser));
    cr_assert_eq(all.result != 0, all.error[0] != '\0', "%d \"%s\"", all.result, all.error);
    pod_json_free(parser);
    return all;
}

static struct collected parse_string(const char *string)
{
    return parse(string, strlen(string), strlen(string) + 1);
}

static void release(struct collected *all)
{
    for (size_t i = 0; i < all->count; i++)
        pod_clear(&all->pods[i]);
    free(all->pods);
    *all = (struct collected){0};
}

static char *read_fixture(const char *name, size_t *ret_size)
{
    const char *root = getenv("PODKIN_SOURCE_ROOT");
    char path[4096];
    char *data;
    long size;
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/tests/fixtures/kubernetes/%s", root ? root : ".", name);
    file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    rewind(file);
    data = malloc((size_t)size + 1);
    cr_assert_not_null(data);
    cr_assert_eq(fread(data, 1, (size_t)size, file), (size_t)size);
    *ret_size = (size_t)size;
    return data;
}

static struct collected parse_fixture(const char *name, size_t step)
{
    size_t size;
    CLEANUP_FREE char *data = read_fixture(name, &size);

    return parse(data, size, step);
}

static const struct pod *find(const struct collected *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->pods[i].name, name) == 0)
            return &all->pods[i];
    cr_assert_fail("no Pod %s", name);
    return NULL;
}

Test(pod_json, reads_the_recorded_running_pod)
{
    struct collected all = parse_fixture("03-list-running.json", 4096);
    const struct pod *pod;
    const struct pod_container *app, *init;

    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 1);
    pod = &all.pods[0];
    cr_assert_str_eq(pod->uid, "145f0c66-b877-40bc-80af-66a16a25ff1a");
    cr_assert_str_eq(pod->namespace_, "default");
    cr_assert_str_eq(pod->name, "life");
    cr_assert_str_eq(pod->node_name, "node1");
    cr_assert_str_eq(pod->workload, "life");
    cr_assert_str_eq(pod->workload_kind, "Pod");
    cr_assert_str_eq(pod->labels[0].key, "app");
    cr_assert_str_eq(pod->labels[0].value, "life");
    cr_assert_null(pod->config_hash);
    app = pod_find_container_by_name(pod, "app");
    cr_assert_str_eq(app->runtime, "containerd");
    cr_assert_str_eq(app->image, "registry.local/busybox:1.37");
    cr_assert_eq(strlen(app->id), 64);
    cr_assert_gt(app->started_unix_ns, 0);
    init = pod_find_container_by_name(pod, "init");
    cr_assert_eq(init->kind, POD_CONTAINER_INIT);
    cr_assert_str_eq(init->id, "434fea647d6d066b985fdcedcbfed645ef7914f176198a663c4719409719310b");
    cr_assert_eq(init->started_unix_ns, pod_json_time("2026-11-23T19:12:03Z"));
    release(&all);
}

Test(pod_json, reads_the_recorded_node)
{
    struct collected all = parse_fixture("10-kubelet-200-nodespods.json", 1000);
    const struct pod *pod;

    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 11);
    cr_assert_eq(all.skipped, 0);
    pod = find(&all, "web-7c59747c75-hq6d5");
    cr_assert_str_eq(pod->workload, "web");
    cr_assert_str_eq(pod->workload_kind, "Deployment");
    pod = find(&all, "ds-8pjql");
    cr_assert_str_eq(pod->workload_kind, "DaemonSet");
    pod = find(&all, "static-node1");
    cr_assert_str_eq(pod->uid, "eb62a264142104fc9810f9e3799a732d");
    cr_assert_str_eq(pod->config_hash, pod->uid);
    cr_assert(find(&all, "hostnet")->host_network);
    cr_assert_not(pod->host_network);
    cr_assert_null(find(&all, "badimage")->containers[0].id);
    pod = find(&all, "crash");
    cr_assert_eq(pod->containers[0].old_id_count, 1);
    cr_assert_str_eq(
        pod->containers[0].old_ids[0], "ab4b06477edfc2ad62e932ffeaa38a25a1b2d4ecced5e8941ab1cf54411e6a12");
    /* A document of an annotation is not kept, a mark is. */
    for (size_t i = 0; i < pod->annotation_count; i++)
        cr_assert_leq(strlen(pod->annotations[i].value), POD_MAX_ANNOTATION_VALUE);
    release(&all);
}

Test(pod_json, the_mirror_pod_joins_the_static_pod)
{
    struct collected api = parse_fixture("07-list-json.json", 4096),
                     kubelet = parse_fixture("10-kubelet-200-nodespods.json", 4096);
    struct pod_table *table;
    const struct pod *pod;

    cr_assert_eq(pod_table_new(&table, NULL, NULL, NULL), 0);
    for (size_t i = 0; i < api.count; i++)
        cr_assert_eq(pod_table_merge(table, POD_SOURCE_APISERVER, &api.pods[i], 1), 0);
    for (size_t i = 0; i < kubelet.count; i++)
        cr_assert_eq(pod_table_merge(table, POD_SOURCE_KUBELET, &kubelet.pods[i], 1), 0);
    cr_assert_eq(pod_table_count(table), 11);
    pod = pod_table_find(table, "eb62a264142104fc9810f9e3799a732d");
    cr_assert_str_eq(pod->uid, "1293006c-8901-462e-b101-8829681d7fee");
    cr_assert_str_eq(pod->workload_kind, "Pod");
    pod_table_free(table);
    release(&api);
    release(&kubelet);
}

Test(pod_json, the_other_recorded_answers)
{
    struct collected all = parse_fixture("01-list-empty.json", 7);

    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 0);
    release(&all);
    all = parse_fixture("10-kubelet-200-runningpods.json", 4096);
    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_gt(all.count, 5);
    release(&all);
    all = parse_fixture("401-bad-token.json", 4096);
    cr_assert_eq(all.result, -EINVAL);
    cr_assert_str_eq(all.error, "byte 0: the answer is a Status: Unauthorized");
    release(&all);
}

Test(pod_json, takes_a_single_pod_and_a_list_of_kinds)
{
    struct collected all =
        parse_string("{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"uid\":\"u1\",\"name\":\"x\"}}");

    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 1);
    release(&all);
    /* As kubectl writes it: keys sorted. */
    all = parse_string(
        "{\"apiVersion\":\"v1\",\"items\":[{\"kind\":\"ConfigMap\",\"metadata\":{\"uid\":\"u1\"}},\n"
        " {\"kind\":\"Pod\",\"metadata\":{\"uid\":\"u2\"}} , {\"metadata\":{\"name\":\"no uid\"}},"
        "null, 7, \"],\", [], {\"metadata\":{\"uid\":\"a/b\"}}],\"kind\":\"List\"}\n");
    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 1);
    cr_assert_str_eq(all.pods[0].uid, "u2");
    cr_assert_eq(all.skipped, 7);
    release(&all);
    all = parse_string("{\"kind\":\"PodList\",\"items\":null}");
    cr_assert_eq(all.result, 0, "%s", all.error);
    release(&all);
}

static void check_error(const char *json, const char *expected)
{
    struct collected all = parse_string(json);

    cr_assert_eq(all.result, -EINVAL, "%s", json);
    cr_assert_str_eq(all.error, expected);
    release(&all);
}

Test(pod_json, says_what_is_wrong_and_where)
{
    check_error("", "byte 0: empty: expected a JSON object");
    check_error("Unauthorized", "byte 0: expected a JSON object, which begins with '{'");
    check_error("  []", "byte 2: expected a JSON object, which begins with '{'");
    check_error("{\"items\":[}", "byte 10: expected ']', not '}'");
    check_error("{\"items\":[]]", "byte 11: expected '}', not ']'");
    check_error("{\"items\":[{}", "byte 12: ends too early: expected ']'");
    check_error("{\"items\":[{},]}", "byte 13: expected a Pod before ']'");
    check_error("{\"items\":[,{}]}", "byte 10: expected a Pod before ','");
    check_error("{\"items\":[]} x", "byte 13: expected the end of the document");
    check_error("{\"items\":[{\"a\":tru}]}", "byte 18: not valid JSON");
    check_error("{\"items\":[{\"a\":\"\xff\"}]}", "byte 16: invalid UTF-8");
    check_error("{\"items\":[{} {}]}", "byte 14: expected ',' or the end");
    check_error("{\"items\":[],\"items\":[]}", "byte 20: a second \"items\"");
    check_error("{\"items\":7}", "byte 0: expected an array as \"items\"");
    check_error("{\"items\":\"", "byte 10: ends within a string");
    check_error("{\"items\":[],\"kind\":flase}", "byte 24: not valid JSON");
    check_error("{}", "byte 0: expected the kind PodList, List or Pod, not \"\"");
    check_error("{\"kind\":\"ConfigMapList\",\"items\":[{\"metadata\":{\"uid\":\"u\"}}]}",
        "byte 0: expected the kind PodList, List or Pod, not \"ConfigMapList\"");
    check_error("{\"items\":[],\"kind\":\"Evil\\u001b[31m\"}",
        "byte 0: expected the kind PodList, List or Pod, not \"Evil?[31m\"");
}

Test(pod_json, a_list_of_something_else_is_refused_before_its_items)
{
    struct collected all =
        parse_string("{\"kind\":\"ConfigMapList\",\"items\":[{\"metadata\":{\"uid\":\"u\"}}]}");

    cr_assert_eq(all.count, 0);
    release(&all);
}

static const char small[] =
    "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[\n"
    "{\"metadata\":{\"name\":\"w\\u00e9b "
    "\\\"]},\",\"namespace\":\"default\",\"uid\":\"u1\",\"labels\":{\"a\":"
    "\"b\"},\"ownerReferences\":[{\"kind\":\"Job\",\"name\":\"j-12345678\",\"controller\":true}]},\n"
    "\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"securityContext\":{"
    "\"privileged\":true}}]},\"status\":{\"containerStatuses\":[{\"name\":\"c\",\"containerID\":\"cri-o://"
    "abc\",\"state\":{\"running\":{\"startedAt\":\"2026-11-23T19:12:03.5Z\"}},\"lastState\":{\"terminated\":{"
    "\"containerID\":\"cri-o://def\"}}}]}},{\"metadata\":{\"uid\":\"u2\"}}],\"x\":[1,{}]}";

Test(pod_json, the_result_does_not_depend_on_the_pieces)
{
    for (size_t step = 1; step <= sizeof(small); step++) {
        struct collected all = parse(small, sizeof(small) - 1, step);

        cr_assert_eq(all.result, 0, "%s", all.error);
        cr_assert_eq(all.count, 2);
        cr_assert_str_eq(all.pods[0].name, "w\xc3\xa9"
                                           "b \"]},");
        cr_assert_str_eq(all.pods[0].workload_kind, "CronJob");
        cr_assert_str_eq(all.pods[0].containers[0].id, "abc");
        cr_assert_str_eq(all.pods[0].containers[0].runtime, "cri-o");
        cr_assert_str_eq(all.pods[0].containers[0].old_ids[0], "def");
        cr_assert(all.pods[0].containers[0].privileged);
        cr_assert_eq(all.pods[0].containers[0].started_unix_ns % 1000000000, 500000000);
        release(&all);
    }
}

Test(pod_json, every_truncation_is_one_clear_error)
{
    for (size_t size = 0; size < sizeof(small) - 1; size++) {
        /* A copy of just that size, so that a sanitizer sees a read beyond. */
        CLEANUP_FREE char *copy = malloc(size + 1);
        struct collected all;

        cr_assert_not_null(copy);
        memcpy(copy, small, size);
        all = parse(copy, size, 16);
        cr_assert_eq(all.result, -EINVAL, "%zu", size);
        cr_assert_eq(strncmp(all.error, "byte ", 5), 0);
        release(&all);
    }
}

Test(pod_json, a_changed_byte_never_crashes)
{
    char copy[sizeof(small)];
    static const char bytes[] = {'\0', '"', '\\', '{', '}', '[', ']', ',', ':', 'x', '\xff', '9'};

    for (size_t at = 0; at < sizeof(small) - 1; at++)
        for (size_t i = 0; i < sizeof(bytes); i++) {
            struct collected all;

            memcpy(copy, small, sizeof(small));
            copy[at] = bytes[i];
            all = parse(copy, sizeof(small) - 1, 64);
            cr_assert_leq(all.count, 3);
            release(&all);
        }
}

Test(pod_json, wrong_types_count_as_missing)
{
    struct collected all = parse_string(
        "{\"items\":[{\"metadata\":{\"uid\":\"u\",\"name\":7,\"namespace\":[],\"labels\":[1],\"annotations\":"
        "\"x\","
        "\"ownerReferences\":{\"kind\":1}},\"spec\":[],\"status\":{\"containerStatuses\":[null,7,{\"name\":{}"
        "},"
        "{\"name\":\"c\",\"containerID\":\"not an id\",\"state\":7,\"image\":[]}]}},"
        "{\"metadata\":{\"uid\":7}},{\"metadata\":\"uid\"},{\"metadata\":{\"uid\":\"a\\u0000b\"}}]}");

    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 1);
    cr_assert_eq(all.skipped, 3);
    cr_assert_null(all.pods[0].name);
    cr_assert_eq(all.pods[0].container_count, 1);
    cr_assert_null(all.pods[0].containers[0].id);
    release(&all);
}

/* One Pod beyond a limit, between two others. */
static void check_one_skipped(const char *before, const char *unit, size_t count, const char *after)
{
    struct text text = {0};
    struct collected all;

    text_append_string(&text, "{\"items\":[{\"metadata\":{\"uid\":\"u1\"}},");
    text_append_string(&text, before);
    for (size_t i = 0; i < count; i++)
        text_append_string(&text, unit);
    text_append_string(&text, after);
    text_append_string(&text, ",{\"metadata\":{\"uid\":\"u2\"}}]}");
    cr_assert_not(text.failed);
    all = parse(text.data, text.size, 16384);
    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.count, 2);
    cr_assert_eq(all.skipped, 1);
    release(&all);
    text_deinit(&text);
}

Test(pod_json, a_pod_beyond_a_limit_does_not_hide_the_others)
{
    check_one_skipped("{\"metadata\":{\"uid\":\"x\",\"name\":\"", "0123456789abcdef", 200000, "\"}}");
    check_one_skipped("{\"metadata\":{\"uid\":\"x\"},\"a\":[0", ",0", 150000, "]}");
    check_one_skipped("{\"metadata\":{\"uid\":\"x\"},\"a\":[\"\"", ",{}", 100000, "]}");
    check_one_skipped("", "[", 0, "7e999");
    check_one_skipped("{\"metadata\":{\"uid\":\"x\"},\"a\\u0000b\":1", "", 0, "}");
}

Test(pod_json, deep_nesting_is_skipped_in_an_item_and_refused_outside)
{
    struct text text = {0};
    struct collected all;

    for (int outside = 0; outside < 2; outside++) {
        text_clear(&text);
        text_append_string(&text, outside ? "{\"a\":" : "{\"items\":[");
        for (size_t i = 0; i < 100000; i++)
            text_append_char(&text, '[');
        for (size_t i = 0; i < 100000; i++)
            text_append_char(&text, ']');
        text_append_string(&text, outside ? "}" : ",{\"metadata\":{\"uid\":\"u\"}}]}");
        cr_assert_not(text.failed);
        all = parse(text.data, text.size, 4096);
        cr_assert_eq(all.result, outside ? -EINVAL : 0, "%s", all.error);
        cr_assert_eq(all.count, outside ? 0 : 1);
        release(&all);
    }
    text_deinit(&text);
}

Test(pod_json, an_endless_document_is_refused)
{
    struct text text = {0};
    struct collected all;

    text_append_string(&text, "{\"a\":\"");
    for (size_t i = 0; i < 300000; i++)
        text_append_string(&text, "0123456789");
    all = parse(text.data, text.size, 65536);
    cr_assert_eq(all.result, -EINVAL);
    cr_assert_not_null(strstr(all.error, "more than 2097152 bytes outside of \"items\""), "%s", all.error);
    release(&all);
    text_deinit(&text);
}

Test(pod_json, labels_and_containers_are_bounded)
{
    struct text text = {0};
    struct collected all;

    text_append_string(&text, "{\"items\":[{\"metadata\":{\"uid\":\"u\",\"labels\":{");
    for (unsigned i = 0; i < 1000; i++)
        text_append_format(&text, "%s\"l%u\":\"v\"", i ? "," : "", i);
    text_append_string(&text, "}},\"spec\":{\"containers\":[");
    for (unsigned i = 0; i < 1000; i++)
        text_append_format(&text, "%s{\"name\":\"c%u\"}", i ? "," : "", i);
    text_append_string(&text, "]}}]}");
    all = parse(text.data, text.size, 65536);
    cr_assert_eq(all.result, 0, "%s", all.error);
    cr_assert_eq(all.pods[0].label_count, POD_MAX_LABELS);
    cr_assert_eq(all.pods[0].container_count, POD_MAX_CONTAINERS);
    release(&all);
    text_deinit(&text);
}

struct peak {
    size_t count, heap_max;
};

static void on_pod_measure(void *arg, const struct pod *pod)
{
    struct peak *peak = arg;
    size_t heap = mallinfo2().uordblks;

    (void)pod;
    peak->count++;
    if (heap > peak->heap_max)
        peak->heap_max = heap;
}

Test(pod_json, memory_is_that_of_one_pod_not_of_the_list)
{
    size_t size;
    CLEANUP_FREE char *data = read_fixture("03-list-running.json", &size);
    char *first = memchr(strstr(data, "\"items\":["), '[', size), *last = strrchr(data, ']');
    struct peak peak = {0};
    struct pod_json *parser;
    size_t before;

    cr_assert_eq(pod_json_new(&parser, on_pod_measure, &peak), 0);
    before = mallinfo2().uordblks;
    cr_assert_eq(pod_json_push(parser, data, (size_t)(first + 1 - data)), 0);
    for (unsigned i = 0; i < 110; i++) {
        cr_assert_eq(pod_json_push(parser, ",", i > 0), 0);
        cr_assert_eq(pod_json_push(parser, first + 1, (size_t)(last - first - 1)), 0);
    }
    cr_assert_eq(pod_json_push(parser, last, size - (size_t)(last - data)), 0);
    cr_assert_eq(pod_json_finish(parser), 0, "%s", pod_json_error(parser));
    cr_assert_eq(peak.count, 110);
    cr_assert_lt(peak.heap_max - before, 400000, "%zu bytes", peak.heap_max - before);
    pod_json_free(parser);
}

Test(pod_json, times)
{
    cr_assert_eq(pod_json_time("1970-01-01T00:00:01Z"), 1000000000);
    cr_assert_eq(pod_json_time("1970-01-01T00:00:01.25Z"), 1250000000);
    cr_assert_eq(pod_json_time("1970-01-01T02:00:01+02:00"), 1000000000);
    cr_assert_eq(pod_json_time("2026-11-23T19:12:03Z"), UINT64_C(1795461123000000000));
    cr_assert_eq(pod_json_time(NULL), 0);
    cr_assert_eq(pod_json_time(""), 0);
    cr_assert_eq(pod_json_time("2026-11-23"), 0);
    cr_assert_eq(pod_json_time("2026-11-23T19:12:03"), 0);
    cr_assert_eq(pod_json_time("2026-11-23T19:12:03Zx"), 0);
    cr_assert_eq(pod_json_time("1960-11-23T19:12:03Z"), 0);
}
