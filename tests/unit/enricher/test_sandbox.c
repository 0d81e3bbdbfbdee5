/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox of a Pod is told from a container whose status is late. */
#include "enricher/pipeline.h"

#include "tests/unit/enricher/pipeline_kit.h"

#define ID_C  "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define ID_D  "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
#define POD_A "/kubepods/pod" UID_A

/* The kit's CG_A is the oldest of the Pod; these are made later. */
#define CG_C 150
#define CG_D 160

TestSuite(sandbox, .init = kit_setup, .fini = kit_teardown);

static void make(uint64_t id, const char *path)
{
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, id, NONE, kit.now, path));
}

static void removed(uint64_t id, const char *path)
{
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, id, NONE, kit.now, path));
}

static void tell(enum pod_source source, const char *first, const char *second)
{
    struct pod_container containers[] = {
        {.name = STR("main"), .id = STR(first)}, {.name = STR("side"), .id = STR(second)}};
    struct pod pod = {.uid = STR(UID_A),
        .namespace_ = STR("shop"),
        .name = STR("web-1"),
        .containers = containers,
        .container_count = 2};

    cr_assert_eq(pod_table_merge(kit.pods, source, &pod, kit.now), 0);
    kit_pass(NS_PER_MS);
}

static void expect_role(size_t index, const char *event, const char *role)
{
    json_t *line = kit_parse(index);

    cr_expect_str_eq(kit_string(line, event, "process", "role"), role);
    json_decref(line);
}

Test(sandbox, is_known_once_a_younger_container_is_in_the_status)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/pause"));
    kit_tell_pod(UID_A, "web-1", NULL);
    make(CG_C, POD_A "/" ID_C);
    kit_feed(make_exec(&kit.record, A2, INIT, CG_C, kit.now, "/nginx"));
    cr_expect_eq(kit.line_count, 0);
    tell(POD_SOURCE_KUBELET, ID_C, NULL);
    cr_assert_eq(kit.line_count, 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *line = kit_parse(i);
        bool pause = !strcmp(kit_string(line, "process_exec", "process", "binary"), "/pause");

        kit_expect_state(i, "process_exec", "complete", "web-1");
        expect_role(i, "process_exec", pause ? "sandbox" : "workload");
        cr_expect_str_eq(
            kit_string(kit_at(line, "process_exec", "process", "pod"), "container", "name", NULL),
            pause ? "" : "main");
        json_decref(line);
    }
}

/* As at the enricher's start: the Pod is known first, then the snapshot tells the cgroups in any order. */
Test(sandbox, is_known_in_whatever_order_it_is_learned)
{
    make(CG_C, POD_A "/" ID_C);
    tell(POD_SOURCE_APISERVER, ID_C, NULL);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/pause"));
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "sandbox");
    kit_expect_state(0, "process_exec", "complete", "web-1");

    kit_stop();
    kit_start();
    tell(POD_SOURCE_APISERVER, ID_C, NULL);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/pause"));
    cr_assert_eq(kit.line_count, 0);
    make(CG_C, POD_A "/" ID_C);
    kit_pass(NS_PER_MS);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "sandbox");
}

Test(sandbox, is_not_a_container_that_has_just_started_again)
{
    make(CG_C, POD_A "/" ID_C);
    tell(POD_SOURCE_KUBELET, ID_A, ID_C);
    make(CG_D, POD_A "/" ID_D); /* main again, or side: no status says so yet */
    kit_feed(make_exec(&kit.record, A1, INIT, CG_D, kit.now, "/app"));
    kit_pass(4 * SEC);
    cr_expect_eq(kit.line_count, 0, "it waits for its status");
    tell(POD_SOURCE_KUBELET, ID_D, ID_C);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "workload");
    kit_expect_state(0, "process_exec", "complete", "web-1");
}

Test(sandbox, is_not_the_first_container_before_any_status)
{
    make(CG_C, POD_A "/" ID_C);
    tell(POD_SOURCE_KUBELET, NULL, NULL);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/pause"));
    kit_pass(5 * SEC + 2 * NS_PER_MS);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "workload");
    kit_expect_state(0, "process_exec", "pod_only", "web-1");
}

Test(sandbox, is_not_decided_by_the_log_directory_which_tells_one_after_the_other)
{
    make(CG_C, POD_A "/" ID_C);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/app"));
    tell(POD_SOURCE_KUBELET, NULL, NULL);
    tell(POD_SOURCE_LOGDIR, NULL, ID_C);
    cr_expect_eq(kit.line_count, 0);
    tell(POD_SOURCE_LOGDIR, ID_A, ID_C);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "workload");
}

Test(sandbox, is_not_an_earlier_run_that_no_status_names_any_more)
{
    make(CG_C, POD_A "/" ID_C); /* the sandbox is CG_A */
    kit_feed(make_exec(&kit.record, A1, INIT, CG_C, kit.now, "/app"));
    tell(POD_SOURCE_KUBELET, NULL, NULL);
    make(CG_D, POD_A "/" ID_D);
    tell(POD_SOURCE_KUBELET, ID_D, NULL);
    cr_expect_eq(kit.line_count, 0, "the oldest that is there is another");
    removed(CG_C, POD_A "/" ID_C);
    removed(CG_A, POD_A "/" ID_A);
    tell(POD_SOURCE_KUBELET, ID_D, ID_B);
    cr_expect_eq(kit.line_count, 0, "it is not there any more");
    kit_pass(6 * SEC);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "workload");
}

Test(sandbox, is_not_told_by_what_a_workload_makes_below_its_own_cgroup)
{
    make(CG_C, POD_A "/" ID_C "/" ID_B); /* its own was not seen */
    tell(POD_SOURCE_KUBELET, NULL, ID_C);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/app"));
    kit_pass(SEC);
    cr_expect_eq(kit.line_count, 0);
}

Test(sandbox, stays_one_when_its_containers_are_gone_until_a_status_names_it)
{
    make(CG_C, POD_A "/" ID_C);
    tell(POD_SOURCE_KUBELET, ID_C, NULL);
    removed(CG_C, POD_A "/" ID_C);
    kit_pass(400 * SEC);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/pause"));
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "sandbox");
    tell(POD_SOURCE_KUBELET, ID_C, ID_A);
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    cr_assert_eq(kit.line_count, 2);
    expect_role(1, "process_fork", "workload");
}

/* What runs for the node is no sandbox, whatever cgroup it is in: runc on its way. */
Test(sandbox, plumbing_of_the_runtime_keeps_its_role)
{
    const struct record_header *exec;

    make(CG_C, POD_A "/" ID_C);
    tell(POD_SOURCE_KUBELET, ID_C, NULL);
    exec = make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/runc");
    ((struct record_process *)(void *)&kit.record)->flags |= RECORD_PROCESS_BINARY_HOST_MNT;
    kit_feed(exec);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "runtime");
}

#define CRIO "/kubepods.slice/kubepods-pod11111111_1111_4111_8111_111111111111.slice/crio-"

Test(sandbox, that_the_path_tells_waits_for_the_pod_only)
{
    make(CG_C, CRIO ID_C);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_C, kit.now, "/pause"));
    cr_expect_eq(kit.line_count, 0);
    tell(POD_SOURCE_KUBELET, NULL, NULL);
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "sandbox");
    kit_expect_state(0, "process_exec", "complete", "web-1");
}

Test(sandbox, has_a_monitor_that_does_not_wait_for_a_name_either)
{
    make(CG_C, CRIO "conmon-" ID_D ".scope");
    make(CG_D, CRIO ID_D ".scope");
    make(CG_D + 1, CRIO ID_B ".scope");
    tell(POD_SOURCE_KUBELET, ID_B, NULL);
    removed(CG_A, POD_A "/" ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_C, kit.now, "/usr/bin/conmon"));
    cr_assert_eq(kit.line_count, 1);
    expect_role(0, "process_exec", "monitor");
    kit_expect_state(0, "process_exec", "complete", "web-1");
}
