/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to `podkin coverage`: every event is in it once, in its namespace's, Pod's and container's row. */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/enricher/enricher_kit.h"

static void begin(void)
{
    enricher_kit_start(NULL, NULL);
}

TestSuite(coverage_write, .init = begin, .fini = enricher_kit_stop);

static json_t *coverage(void)
{
    struct text reply = {0};

    coverage_write(&enricher, &reply);
    return parse_reply(&reply);
}

static json_int_t number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static const json_t *first(const json_t *row, const char *key)
{
    return json_array_get(json_object_get(row, key), 0);
}

Test(coverage_write, nothing_happened_yet)
{
    json_t *root = coverage();

    cr_expect_eq(json_array_size(json_object_get(root, "namespaces")), 0);
    cr_expect_eq(number(json_object_get(root, "pods"), "events"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(root, "node_name")), "node1");
    cr_expect_neq(json_object_get(root, "since"), NULL);
    json_decref(root);
}

Test(coverage_write, event_is_in_the_rows_of_its_container_pod_and_namespace)
{
    json_t *root;
    const json_t *namespace_, *pod, *container;

    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    feed(make_exec(&record, A2, INIT, CG_HOST, 1, "/b"));
    tell_pod("web \"1\"", ID_A);
    root = coverage();
    namespace_ = first(root, "namespaces");
    cr_expect_str_eq(json_string_value(json_object_get(namespace_, "namespace")), "shop");
    pod = first(namespace_, "pods");
    cr_expect_str_eq(json_string_value(json_object_get(pod, "pod")), "web \"1\"");
    cr_expect_str_eq(json_string_value(json_object_get(pod, "uid")), UID_A);
    cr_expect_str_eq(json_string_value(json_object_get(pod, "source")), "kubelet");
    cr_expect(json_is_false(json_object_get(pod, "gone")));
    container = first(pod, "containers");
    cr_expect_str_eq(json_string_value(json_object_get(container, "container")), "main");
    cr_expect_str_eq(json_string_value(json_object_get(container, "state")), "complete");
    cr_expect_eq(number(container, "waited"), 1);
    cr_expect_eq(number(pod, "waited"), 1);
    cr_expect_eq(number(namespace_, "events"), 1);
    cr_expect_eq(number(json_object_get(json_object_get(pod, "by_type"), "exec"), "waited"), 1);
    cr_expect_neq(json_object_get(pod, "wait_ms"), NULL);
    cr_expect_eq(number(json_object_get(root, "host"), "events"), 1);
    cr_expect_eq(number(json_object_get(root, "pods"), "events"), 1);
    json_decref(root);
}

static void make_known(unsigned i)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "/kubepods/pod44444444-4444-4444-8444-%012u/%064x", i, i + 1);
    feed(make_cgroup(&record, RECORD_CGROUP_MKDIR, 5000 + i, NONE, 1, path));
    feed(make_exec(&record, KEY(3000 + i, 1), INIT, 5000 + i, 1, "/a"));
}

/* Never more than the client takes, and the sums still hold everything. */
Test(coverage_write, very_many_pods_are_in_the_sums)
{
    const unsigned pods = 12000;
    struct text reply = {0};
    json_t *root;
    const json_t *namespace_;

    enricher_kit_stop();
    enricher_kit_start("--hold-timeout", "0");
    for (unsigned i = 0; i < pods; i++)
        make_known(i);
    coverage_write(&enricher, &reply);
    cr_expect_lt(reply.size, 4 << 20);
    root = parse_reply(&reply);
    namespace_ = first(root, "namespaces");
    cr_expect_eq(number(namespace_, "events"), pods);
    cr_expect_eq(number(json_object_get(namespace_, "why"), "no_wait"), pods);
    cr_expect_gt(number(root, "pods_left_out"), 0);
    cr_expect_eq(
        number(root, "pods_left_out") + (json_int_t)json_array_size(json_object_get(namespace_, "pods")),
        pods);
    json_decref(root);
}
