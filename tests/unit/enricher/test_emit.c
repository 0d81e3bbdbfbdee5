/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/emit.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(emit, .init = kit_setup, .fini = kit_teardown);

Test(emit, line_carries_what_the_format_says)
{
    json_t *line;

    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 9));
    line = kit_parse(0);
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "binary"), "/usr/sbin/nginx");
    cr_expect_str_eq(kit_string(line, "process_exec", "process", "arguments"), "-x \"two words\"");
    cr_expect_str_eq(
        kit_string(line, "process_exec", "process", "docker"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_expect_eq(json_array_size(json_object_get(
                     json_object_get(json_object_get(line, "process_exec"), "process"), "args")),
        2);
    cr_expect_str_eq(json_string_value(json_object_get(line, "node_name")), "node1");
    json_decref(line);
    line = kit_parse(1);
    json_t *child = json_object_get(json_object_get(line, "process_fork"), "process"),
           *parent = json_object_get(json_object_get(line, "process_fork"), "parent");
    json_t *container = json_object_get(json_object_get(child, "pod"), "container");
    cr_expect_str_eq(json_string_value(json_object_get(child, "parent_exec_id")),
        json_string_value(json_object_get(parent, "exec_id")));
    cr_expect_str_eq(json_string_value(json_object_get(child, "binary")), "/usr/sbin/nginx");
    cr_expect_str_eq(json_string_value(json_object_get(container, "id")), "containerd://" ID_A);
    cr_expect_eq(json_integer_value(json_object_get(container, "pid")), A2.tgid % 1000);
    cr_expect_str_eq(kit_string(child, "pod", "pod_labels", "app"), "web");
    cr_expect_str_eq(kit_string(child, "pod", "workload_kind", NULL), "Deployment");
    json_decref(line);
    line = kit_parse(2);
    cr_expect_str_eq(
        json_string_value(json_object_get(json_object_get(line, "process_exit"), "signal")), "SIGKILL");
    json_decref(line);
}
