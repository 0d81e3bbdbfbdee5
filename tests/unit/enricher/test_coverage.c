/* SPDX-License-Identifier: Apache-2.0 */
/* Each event is counted where it leaves, in its container's tally, and stays counted when that goes. */
#include "enricher/coverage.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(coverage, .init = kit_setup, .fini = kit_teardown);

static uint64_t counted(uint64_t cgroup_id, uint8_t type, enum coverage_outcome outcome)
{
    const struct cgroup *cgroup = container_table_find(&kit.pipeline.containers, cgroup_id);
    struct coverage_tally tally = {0};

    cr_assert_not_null(cgroup);
    coverage_add_container(&tally, cgroup->container);
    return tally.count[type - RECORD_FORK][outcome];
}

static uint64_t corrected(uint64_t cgroup_id, uint8_t type)
{
    const struct cgroup *cgroup = container_table_find(&kit.pipeline.containers, cgroup_id);

    return cgroup->container->tally ? cgroup->container->tally->corrected[type - RECORD_FORK] : 0;
}

Test(coverage, event_of_a_known_pod_is_counted_at_once_by_type)
{
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_feed(make_fork(&kit.record, A3, A1, CG_A, kit.now));
    kit_feed(make_exit(&kit.record, A3, CG_A, kit.now, 0));
    kit_feed(make_exec(&kit.record, B1, INIT, CG_HOST, kit.now, "/b"));
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_AT_ONCE), 1);
    cr_expect_eq(counted(CG_A, RECORD_FORK, COVERAGE_AT_ONCE), 2);
    cr_expect_eq(counted(CG_A, RECORD_EXIT, COVERAGE_AT_ONCE), 1);
    cr_expect_eq(counted(CG_HOST, RECORD_EXEC, COVERAGE_AT_ONCE), 1);
    kit_expect_balanced();
}

Test(coverage, wait_that_ended_well_is_counted_with_its_length)
{
    struct coverage_tally sum;

    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(2 * SEC);
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_pass(1 * SEC);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_WAITED), 1);
    cr_expect_eq(counted(CG_A, RECORD_FORK, COVERAGE_WAITED), 1);
    kit_sum_coverage(&sum);
    cr_expect_eq(sum.wait_max_ms, 3000);
    cr_expect_geq(coverage_wait_ms(&sum, 50), 1000);
    cr_expect_leq(coverage_wait_ms(&sum, 50), 1250);
    cr_expect_eq(coverage_wait_ms(&sum, 99), 3000);
}

Test(coverage, each_reason_is_told_from_the_others)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exec(&kit.record, B1, INIT, 777, kit.now, "/b"));
    kit_pass(31 * SEC);
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_NOT_KNOWN), 1);
    cr_expect_eq(counted(CG_A, RECORD_FORK, COVERAGE_GIVEN_UP), 1);
    cr_expect_eq(counted(777, RECORD_EXEC, COVERAGE_NO_CGROUP), 1);
    kit_tell_pod(UID_A, "web-1", "cc");
    kit_feed(make_fork(&kit.record, A3, A1, CG_A, kit.now));
    kit_pass(6 * SEC);
    cr_expect_eq(counted(CG_A, RECORD_FORK, COVERAGE_NO_CONTAINER), 1);
    kit_expect_balanced();
    kit_stop();
    kit.options.hold_timeout_ns = 0;
    kit_start();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_NO_WAIT), 1);
}

Test(coverage, pod_of_the_log_directory_alone_lacks_its_labels)
{
    struct pod_container container = {.name = STR("main"), .id = STR(ID_A)};
    struct pod pod = {.uid = STR(UID_A),
        .namespace_ = STR("shop"),
        .name = STR("web-1"),
        .containers = &container,
        .container_count = 1};

    cr_assert_eq(pod_table_merge(kit.pods, POD_SOURCE_LOGDIR, &pod, kit.now), 0);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_pass(6 * SEC);
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_NO_LABELS), 1);
}

Test(coverage, evicted_events_are_told_from_expired_ones)
{
    kit_stop();
    kit.limits.max_events = 3;
    kit_start();
    for (uint32_t i = 0; i < 4; i++)
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, CG_A, kit.now, "/a"));
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_EVICTED), 3);
    kit_expect_balanced();
}

Test(coverage, correction_is_counted_when_it_is_whole)
{
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_fork(&kit.record, A2, A1, CG_A, kit.now));
    kit_feed(make_exit(&kit.record, A2, CG_A, kit.now, 0));
    kit_pass(31 * SEC);
    kit_tell_pod(UID_A, "web-1", NULL);
    cr_expect_eq(corrected(CG_A, RECORD_EXEC), 0);
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(corrected(CG_A, RECORD_EXEC), 1);
    cr_expect_eq(corrected(CG_A, RECORD_FORK), 1);
    cr_expect_eq(corrected(CG_A, RECORD_EXIT), 1);
}

/* What left while its cgroup had no path is its container's once the path is known. */
Test(coverage, stand_in_gives_its_counts_to_the_container)
{
    kit_feed(make_exec(&kit.record, A1, INIT, 555, kit.now, "/a"));
    kit_pass(31 * SEC);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 555, NONE, kit.now, PATH_A));
    kit_pass(0);
    cr_expect_eq(counted(CG_A, RECORD_EXEC, COVERAGE_NO_CGROUP), 1);
    cr_expect_eq(corrected(CG_A, RECORD_EXEC), 1);
    kit_expect_balanced();
}

static void let_container_go(uint64_t cgroup_id, const char *path)
{
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_RMDIR, cgroup_id, NONE, kit.now, path));
    kit_pass(6 * SEC);
    kit_pass(400 * SEC);
    cr_assert_null(container_table_find(&kit.pipeline.containers, cgroup_id));
}

Test(coverage, container_that_went_is_its_pods)
{
    const struct coverage_pod *pod;

    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    kit_feed(make_exit(&kit.record, A1, CG_A, kit.now, 0));
    let_container_go(CG_A, PATH_A);
    pod = kit.pipeline.coverage.pods;
    cr_assert_not_null(pod);
    cr_expect_null(pod->next);
    cr_expect_str_eq(pod->uid, UID_A);
    cr_expect_str_eq(pod->namespace_, "shop");
    cr_expect_str_eq(pod->name, "web-1");
    cr_expect_eq(coverage_events(&pod->tally), 2);
    kit_expect_balanced();
}

/* V3, V1: a node that makes Pods without end. */
Test(coverage, rows_of_what_has_gone_are_bounded_and_lose_nothing)
{
    const struct coverage_book *book = &kit.pipeline.coverage;
    unsigned pods = COVERAGE_PODS_MAX + 20;

    kit_stop();
    kit.options.hold_timeout_ns = 0;
    kit_start();
    for (uint32_t i = 0; i < pods; i++) {
        char path[160], uid[40];

        (void)snprintf(uid, sizeof(uid), "44444444-4444-4444-8444-%012u", i);
        (void)snprintf(path, sizeof(path), "/kubepods/pod%s/%064x", uid, i + 1);
        kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, 5000 + i, NONE, kit.now, path));
        kit_feed(make_exec(&kit.record, KEY(3000 + i, 1), INIT, 5000 + i, kit.now, "/a"));
        kit_feed(make_exit(&kit.record, KEY(3000 + i, 1), 5000 + i, kit.now, 0));
        let_container_go(5000 + i, path);
    }
    cr_expect_eq(book->pod_count, COVERAGE_PODS_MAX);
    cr_assert_not_null(book->namespaces);
    cr_expect_eq(book->namespace_count, 1);
    cr_expect_null(book->namespaces->name); /* nobody ever named them */
    cr_expect_eq(coverage_events(&book->namespaces->tally), 40);
    kit_expect_balanced();
}

Test(coverage, percentiles_are_never_too_short_and_a_quarter_too_long_at_most)
{
    struct container container = {.state = CONTAINER_COMPLETE};
    struct coverage_book book;

    coverage_init(&book);
    for (uint64_t ms = 0; ms < 3000000; ms = ms * 9 / 8 + 1) {
        uint64_t p50;

        coverage_count(&book, &container, RECORD_EXEC, COVERAGE_WAITED, ms * NS_PER_MS);
        container.tally->wait_max_ms = UINT64_MAX; /* so that the bucket alone counts */
        p50 = coverage_wait_ms(container.tally, 50);
        cr_expect_geq(p50, ms);
        cr_expect_leq(p50, ms + ms / 4);
        memset(container.tally, 0, sizeof(*container.tally));
    }
    cr_expect_eq(coverage_wait_ms(container.tally, 99), 0);
    coverage_count(&book, &container, RECORD_EXEC, COVERAGE_WAITED, UINT64_C(1) << 62);
    cr_expect_eq(coverage_wait_ms(container.tally, 99), (UINT64_C(1) << 62) / NS_PER_MS);
    free(container.tally);
    coverage_deinit(&book);
}
