/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include "enricher/workload.h"

static void check(const char *kind, const char *name, const char *hash, const char *expected_kind,
    const char *expected_name)
{
    struct workload_facts facts = {
        .pod_name = "the-pod", .owner_kind = kind, .owner_name = name, .template_hash = hash};
    struct workload workload;

    workload_find(&facts, &workload);
    cr_assert_str_eq(workload.kind, expected_kind);
    cr_assert_str_eq(workload.name, expected_name);
}

Test(workload, a_replica_set_with_the_pods_hash_is_a_deployment)
{
    check("ReplicaSet", "web-7c59747c75", "7c59747c75", "Deployment", "web");
    check("ReplicaSet", "a-b-c-7c59747c75", "7c59747c75", "Deployment", "a-b-c");
}

Test(workload, a_replica_set_of_its_own_stays_one)
{
    check("ReplicaSet", "web-7c59747c75", NULL, "ReplicaSet", "web-7c59747c75");
    check("ReplicaSet", "web-7c59747c75", "", "ReplicaSet", "web-7c59747c75");
    check("ReplicaSet", "web-7c59747c75", "59747c75", "ReplicaSet", "web-7c59747c75");
    check("ReplicaSet", "-7c59747c75", "7c59747c75", "ReplicaSet", "-7c59747c75");
}

Test(workload, a_replica_set_of_a_rollout_is_the_rollout)
{
    struct workload_facts facts = {
        .pod_name = "p", .owner_kind = "ReplicaSet", .owner_name = "web-5d4", .rollout_hash = "5d4"};
    struct workload workload;

    workload_find(&facts, &workload);
    cr_assert_str_eq(workload.kind, "Rollout");
    cr_assert_str_eq(workload.name, "web");
}

Test(workload, a_job_named_by_the_time_is_a_cron_job)
{
    check("Job", "backup-29395440", NULL, "CronJob", "backup");
    check("Job", "backup-1606176000", NULL, "CronJob", "backup");
    check("Job", "backup-7", NULL, "Job", "backup-7");
    check("Job", "backup-29395440x", NULL, "Job", "backup-29395440x");
    check("Job", "29395440", NULL, "Job", "29395440");
    check("Job", "-29395440", NULL, "Job", "-29395440");
}

Test(workload, others_are_as_they_are)
{
    check("DaemonSet", "ds", NULL, "DaemonSet", "ds");
    check("StatefulSet", "db-12345678", NULL, "StatefulSet", "db-12345678");
}

Test(workload, without_an_owner_it_is_the_pod)
{
    check(NULL, NULL, NULL, "Pod", "the-pod");
    check("", "", NULL, "Pod", "the-pod");
    check("Node", "node1", NULL, "Pod", "the-pod");
}

Test(workload, names_that_are_too_long_are_cut)
{
    char name[1000];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (size_t i = 0; i < 2; i++) {
        struct workload_facts facts = {.pod_name = name, .owner_kind = i ? name : NULL, .owner_name = name};
        struct workload workload;

        workload_find(&facts, &workload);
        cr_assert_eq(strlen(workload.name), WORKLOAD_NAME_MAX);
    }
}
