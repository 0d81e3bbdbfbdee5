/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "enricher/pod.h"

#define UID_A "145f0c66-b877-40bc-80af-66a16a25ff1a"
#define UID_B "b3039330-e87a-4ed3-bf43-762af1856874"
#define HASH  "73dc8baf43a0413eaac25eb0868f6c1a"
#define ID_1  "1111111111111111111111111111111111111111111111111111111111111111"
#define ID_2  "2222222222222222222222222222222222222222222222222222222222222222"
#define ID_3  "3333333333333333333333333333333333333333333333333333333333333333"

static struct pod_table *table;
static unsigned change_count;
static struct pod *last_changed;

static void on_changed(void *arg, struct pod *pod)
{
    cr_assert_eq(arg, &change_count);
    change_count++;
    last_changed = pod;
    /* The table is consistent by now. */
    cr_assert_eq(pod_table_find(table, pod->uid), pod);
}

static void open_table(size_t max_pods, size_t max_bytes)
{
    struct pod_table_limits limits = {.max_pods = max_pods, .max_bytes = max_bytes, .grace_ns = 1000};

    change_count = 0;
    cr_assert_eq(pod_table_new(&table, &limits, on_changed, &change_count), 0);
}

static void setup(void)
{
    open_table(0, 0);
}

static void teardown(void)
{
    table = pod_table_free(table);
}

TestSuite(pod_table, .init = setup, .fini = teardown);

/* A Pod with one container "app"; id may be NULL. Freed by the caller with pod_clear(). */
static struct pod make(const char *uid, const char *name, const char *id)
{
    struct pod pod = {0};
    struct pod_container *container;

    cr_assert_eq(pod_set_string(&pod.uid, uid, POD_UID_MAX), 0);
    cr_assert_eq(pod_set_string(&pod.namespace_, "default", POD_MAX_NAME), 0);
    cr_assert_eq(pod_set_string(&pod.name, name, POD_MAX_NAME), 0);
    cr_assert_eq(pod_add_label(&pod, "app", name), 0);
    container = pod_add_container(&pod, "app");
    cr_assert_eq(pod_set_string(&container->id, id, CONTAINER_ID_MAX), 0);
    return pod;
}

static int tell(enum pod_source source, struct pod pod, uint64_t now_ns)
{
    int r = pod_table_merge(table, source, &pod, now_ns);

    pod_clear(&pod);
    return r;
}

static struct pod make_hashed(const char *uid, const char *hash, const char *name, const char *id)
{
    struct pod pod = make(uid, name, id);

    cr_assert_eq(pod_set_string(&pod.config_hash, hash, POD_UID_MAX), 0);
    return pod;
}

static struct pod_table_stats stats(void)
{
    struct pod_table_stats ret;

    pod_table_get_stats(table, &ret);
    return ret;
}

Test(pod_table, finds_by_uid_and_by_container)
{
    struct pod *pod;

    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 1), 0);
    pod = pod_table_find(table, UID_A);
    cr_assert_not_null(pod);
    cr_assert_eq(pod_table_find_by_container(table, ID_1), pod);
    cr_assert_null(pod_table_find(table, UID_B));
    cr_assert_null(pod_table_find_by_container(table, ID_2));
    cr_assert_str_eq(pod_find_container(pod, ID_1)->name, "app");
    cr_assert(pod->complete);
    cr_assert_eq(pod->best_source, POD_SOURCE_KUBELET);
    cr_assert_eq(pod_table_count(table), 1);
}

Test(pod_table, refuses_a_pod_without_a_uid)
{
    struct pod pod = {.name = (char *)"x"};
    struct pod slash = {.uid = (char *)"a/b"};

    cr_assert_eq(pod_table_merge(table, POD_SOURCE_FILE, &pod, 1), -EINVAL);
    cr_assert_eq(pod_table_merge(table, POD_SOURCE_FILE, &slash, 1), -EINVAL);
    cr_assert_eq(pod_table_count(table), 0);
}

Test(pod_table, calls_changed_once_a_visible_change)
{
    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(UID_A, "web", NULL), 1), 0);
    cr_assert_eq(change_count, 1);
    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(UID_A, "web", NULL), 2), 0);
    cr_assert_eq(change_count, 1, "the same again is not news");
    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 3), 0);
    cr_assert_eq(change_count, 2);
    cr_assert_eq(last_changed->version, 2);
    /* A worse source that knows nothing more. */
    cr_assert_eq(tell(POD_SOURCE_FILE, make(UID_A, "web", ID_1), 4), 0);
    cr_assert_eq(change_count, 2);
}

Test(pod_table, keeps_old_ids_over_a_restart_and_a_list_without_status)
{
    const struct pod_container *container;

    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 1);
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_2), 2);
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", NULL), 3);
    container = &pod_table_find(table, UID_A)->containers[0];
    cr_assert_str_eq(container->id, ID_2);
    cr_assert_eq(container->old_id_count, 1);
    cr_assert_str_eq(container->old_ids[0], ID_1);
    cr_assert_eq(pod_table_find_by_container(table, ID_1), pod_table_find_by_container(table, ID_2));
    /* Late news of the first incarnation: known already. */
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 4);
    cr_assert_not_null(pod_table_find_by_container(table, ID_2));
}

Test(pod_table, the_hash_finds_a_mirror_pod)
{
    tell(POD_SOURCE_APISERVER, make_hashed(UID_A, HASH, "etcd-node1", ID_1), 1);
    cr_assert_not_null(pod_table_find(table, HASH));
    cr_assert_eq(pod_table_find(table, HASH), pod_table_find(table, UID_A));
}

Test(pod_table, a_static_pod_and_its_mirror_are_one_in_either_order)
{
    for (int order = 0; order < 2; order++) {
        const struct pod *pod;

        teardown();
        setup();
        if (order == 0)
            tell(POD_SOURCE_APISERVER, make_hashed(UID_A, HASH, "etcd-node1", NULL), 1);
        tell(POD_SOURCE_KUBELET, make_hashed(HASH, HASH, "etcd-node1", ID_1), 1);
        tell(POD_SOURCE_LOGDIR, make(HASH, "etcd-node1", NULL), 1);
        if (order == 1)
            tell(POD_SOURCE_APISERVER, make_hashed(UID_A, HASH, "etcd-node1", NULL), 1);
        cr_assert_eq(pod_table_count(table), 1);
        pod = pod_table_find(table, HASH);
        cr_assert_eq(pod, pod_table_find(table, UID_A));
        cr_assert_str_eq(pod->uid, UID_A, "the API server's name for it");
        cr_assert_str_eq(pod->containers[0].id, ID_1);
    }
}

Test(pod_table, a_mirror_pod_made_anew_replaces_the_old_one)
{
    tell(POD_SOURCE_APISERVER, make_hashed(UID_A, HASH, "etcd-node1", ID_1), 1);
    tell(POD_SOURCE_APISERVER, make_hashed(UID_B, HASH, "etcd-node1", ID_1), 2);
    pod_table_remove(table, POD_SOURCE_APISERVER, UID_A, 3);
    cr_assert_eq(pod_table_count(table), 1);
    cr_assert_str_eq(pod_table_find(table, HASH)->uid, UID_B);
    cr_assert_eq(pod_table_find(table, HASH)->deleted_ns, 0);
}

Test(pod_table, nobody_borrows_another_pods_identity_through_the_hash)
{
    struct pod *victim;

    /* An ordinary Pod's UID claimed as a hash. */
    tell(POD_SOURCE_APISERVER, make_hashed(UID_B, UID_A, "evil", ID_2), 1);
    tell(POD_SOURCE_APISERVER, make(UID_A, "web", ID_1), 2);
    cr_assert_str_eq(pod_table_find(table, UID_A)->name, "web");
    cr_assert_eq(pod_table_count(table), 2);
    /* A static Pod's hash claimed under another name, after and before. */
    tell(POD_SOURCE_KUBELET, make_hashed(HASH, HASH, "etcd-node1", ID_3), 3);
    victim = pod_table_find(table, HASH);
    tell(POD_SOURCE_APISERVER, make_hashed("0686b9c0-0000-4000-8000-000000000001", HASH, "evil2", NULL), 4);
    cr_assert_eq(pod_table_find(table, HASH), victim);
    cr_assert_str_eq(victim->name, "etcd-node1");
    cr_assert_gt(stats().hash_conflicts, 0);
    teardown();
    setup();
    tell(POD_SOURCE_APISERVER, make_hashed(UID_B, HASH, "evil", NULL), 1);
    tell(POD_SOURCE_KUBELET, make_hashed(HASH, HASH, "etcd-node1", ID_3), 2);
    cr_assert_str_eq(pod_table_find(table, HASH)->name, "etcd-node1");
}

Test(pod_table, a_container_id_stays_with_its_first_living_owner)
{
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 1);
    tell(POD_SOURCE_KUBELET, make(UID_B, "evil", ID_1), 2);
    cr_assert_str_eq(pod_table_find_by_container(table, ID_1)->name, "web");
    cr_assert_eq(stats().id_conflicts, 1);
    /* Also after the owner's next message. */
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_2), 3);
    cr_assert_str_eq(pod_table_find_by_container(table, ID_1)->name, "web");
    pod_table_remove(table, POD_SOURCE_KUBELET, UID_A, 4);
    tell(POD_SOURCE_KUBELET, make(UID_B, "evil", ID_1), 5);
    cr_assert_str_eq(pod_table_find_by_container(table, ID_1)->name, "evil");
    cr_assert_eq(stats().id_conflicts, 2, "counted all the same");
}

Test(pod_table, a_deleted_pod_stays_for_the_grace_time)
{
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 1);
    pod_table_remove(table, POD_SOURCE_KUBELET, UID_A, 100);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 100);
    pod_table_expire(table, 1099);
    cr_assert_not_null(pod_table_find_by_container(table, ID_1));
    pod_table_expire(table, 1100);
    cr_assert_null(pod_table_find(table, UID_A));
    cr_assert_null(pod_table_find_by_container(table, ID_1));
    cr_assert_eq(stats().bytes, 0);
}

Test(pod_table, a_referenced_pod_outlives_its_grace_time)
{
    struct pod *pod;

    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 1);
    pod = pod_table_find(table, UID_A);
    pod_ref(pod);
    pod_table_remove(table, POD_SOURCE_KUBELET, UID_A, 100);
    pod_table_expire(table, 100000);
    cr_assert_eq(pod_table_find(table, UID_A), pod);
    pod_unref(pod);
    pod_table_expire(table, 100000);
    cr_assert_null(pod_table_find(table, UID_A));
}

Test(pod_table, the_best_source_decides_on_life)
{
    tell(POD_SOURCE_APISERVER, make(UID_A, "web", NULL), 1);
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 2);
    pod_table_remove(table, POD_SOURCE_KUBELET, UID_A, 3);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 0);
    pod_table_remove(table, POD_SOURCE_APISERVER, UID_A, 4);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 4);
    /* The kubelet lists it a little longer. */
    tell(POD_SOURCE_KUBELET, make(UID_A, "web", ID_1), 5);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 4);
    tell(POD_SOURCE_APISERVER, make(UID_A, "web", NULL), 6);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 0);
}

Test(pod_table, a_pod_recreated_under_its_name_is_another)
{
    tell(POD_SOURCE_APISERVER, make(UID_A, "web-0", ID_1), 1);
    pod_table_remove(table, POD_SOURCE_APISERVER, UID_A, 2);
    tell(POD_SOURCE_APISERVER, make(UID_B, "web-0", ID_2), 3);
    cr_assert_neq(pod_table_find_by_container(table, ID_1), pod_table_find_by_container(table, ID_2));
    cr_assert_neq(pod_table_find(table, UID_A)->deleted_ns, 0);
    cr_assert_eq(pod_table_find(table, UID_B)->deleted_ns, 0);
}

Test(pod_table, a_list_removes_what_it_lacks_of_its_own_source_only)
{
    tell(POD_SOURCE_KUBELET, make(UID_A, "a", NULL), 1);
    tell(POD_SOURCE_KUBELET, make(UID_B, "b", NULL), 1);
    tell(POD_SOURCE_FILE, make(HASH, "c", NULL), 1);
    pod_table_list_begin(table, POD_SOURCE_KUBELET);
    tell(POD_SOURCE_KUBELET, make(UID_B, "b", NULL), 2);
    pod_table_list_end(table, POD_SOURCE_KUBELET, 3);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 3);
    cr_assert_eq(pod_table_find(table, UID_B)->deleted_ns, 0);
    cr_assert_eq(pod_table_find(table, HASH)->deleted_ns, 0);
}

Test(pod_table, an_aborted_list_removes_nothing)
{
    tell(POD_SOURCE_KUBELET, make(UID_A, "a", NULL), 1);
    pod_table_list_begin(table, POD_SOURCE_KUBELET);
    pod_table_list_abort(table, POD_SOURCE_KUBELET);
    pod_table_list_end(table, POD_SOURCE_KUBELET, 3);
    cr_assert_eq(pod_table_find(table, UID_A)->deleted_ns, 0);
}

static void tell_numbered(unsigned number, uint64_t now_ns, int expected)
{
    char uid[POD_UID_MAX + 1];

    (void)snprintf(uid, sizeof(uid), "00000000-0000-4000-8000-%012u", number);
    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(uid, "web", NULL), now_ns), expected, "Pod %u", number);
}

Test(pod_table, a_full_table_drops_the_deleted_first_then_refuses)
{
    teardown();
    open_table(3, 0);
    for (unsigned i = 0; i < 3; i++)
        tell_numbered(i, i + 1, 0);
    tell_numbered(3, 4, -ENOSPC);
    cr_assert_eq(stats().refused, 1);
    pod_table_remove(table, POD_SOURCE_KUBELET, "00000000-0000-4000-8000-000000000001", 5);
    tell_numbered(3, 6, 0);
    cr_assert_null(pod_table_find(table, "00000000-0000-4000-8000-000000000001"));
    cr_assert_eq(stats().evicted, 1);
    cr_assert_eq(pod_table_count(table), 3);
}

Test(pod_table, bytes_are_bounded)
{
    unsigned told = 0;

    teardown();
    open_table(0, 200000);
    for (unsigned i = 0; i < 1000; i++) {
        char uid[POD_UID_MAX + 1];

        (void)snprintf(uid, sizeof(uid), "00000000-0000-4000-8000-%012u", i);
        told += tell(POD_SOURCE_KUBELET, make(uid, "web", NULL), 1) == 0;
        cr_assert_leq(stats().bytes, 200000);
    }
    cr_assert_eq(told, pod_table_count(table));
    cr_assert_eq(told + stats().refused, 1000);
    cr_assert_gt(told, 20);
}

Test(pod_table, ten_thousand_pods_are_found_again)
{
    teardown();
    open_table(10000, 1 << 30);
    for (unsigned i = 0; i < 10000; i++)
        tell_numbered(i, 1, 0);
    cr_assert_not_null(pod_table_find(table, "00000000-0000-4000-8000-000000000000"));
    cr_assert_not_null(pod_table_find(table, "00000000-0000-4000-8000-000000009999"));
    pod_table_list_begin(table, POD_SOURCE_KUBELET);
    pod_table_list_end(table, POD_SOURCE_KUBELET, 5);
    pod_table_expire(table, 5000);
    cr_assert_eq(pod_table_count(table), 0);
    cr_assert_eq(stats().bytes, 0);
}

/* ---- since when ---------------------------------------------------------------------------------------------- */

Test(pod_table, source_has_told_a_field_since_it_first_did_without_a_break)
{
    struct pod_told told;
    struct pod pod;

    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(UID_A, "web", NULL), 10), 0);
    cr_assert(pod_get_told(pod_table_find(table, UID_A), POD_SOURCE_KUBELET, ID_1, &told));
    cr_expect_eq(told.since_ns[POD_FIELD_NAME], 10);
    cr_expect_eq(told.since_ns[POD_FIELD_LABELS], 10);
    cr_expect_not(told.has[POD_FIELD_WORKLOAD]);
    cr_expect_not(told.has[POD_FIELD_CONTAINER]);
    pod = make(UID_A, "web", ID_1);
    cr_assert_eq(pod_set_string(&pod.workload, "web", POD_MAX_NAME), 0);
    cr_assert_eq(tell(POD_SOURCE_KUBELET, pod, 20), 0);
    cr_assert_eq(tell(POD_SOURCE_KUBELET, make(UID_A, "web", NULL), 30), 0);
    cr_assert(pod_get_told(pod_table_find(table, UID_A), POD_SOURCE_KUBELET, ID_1, &told));
    cr_expect_eq(told.first_ns, 10);
    cr_expect_eq(told.last_ns, 30);
    cr_expect_eq(told.since_ns[POD_FIELD_NAME], 10);
    cr_expect_eq(told.since_ns[POD_FIELD_CONTAINER], 20, "an id is not unlearned");
    cr_expect_not(told.has[POD_FIELD_WORKLOAD]);
    cr_expect_eq(told.since_ns[POD_FIELD_WORKLOAD], 0);
    cr_expect_not(pod_get_told(pod_table_find(table, UID_A), POD_SOURCE_FILE, ID_1, &told));
}

Test(pod_table, id_of_an_earlier_run_is_told_without_a_time)
{
    struct pod_told told;

    cr_assert_eq(tell(POD_SOURCE_LOGDIR, make(UID_A, "web", ID_1), 10), 0);
    cr_assert_eq(tell(POD_SOURCE_LOGDIR, make(UID_A, "web", ID_2), 20), 0);
    cr_assert(pod_get_told(pod_table_find(table, UID_A), POD_SOURCE_LOGDIR, ID_1, &told));
    cr_expect(told.has[POD_FIELD_CONTAINER]);
    cr_expect_eq(told.since_ns[POD_FIELD_CONTAINER], 0);
    cr_expect_not(told.has[POD_FIELD_LABELS]);
    cr_assert(pod_get_told(pod_table_find(table, UID_A), POD_SOURCE_LOGDIR, ID_2, &told));
    cr_expect_eq(told.since_ns[POD_FIELD_CONTAINER], 20);
    pod_table_remove(table, POD_SOURCE_LOGDIR, UID_A, 30);
    cr_assert(pod_get_told(pod_table_find(table, UID_A), POD_SOURCE_LOGDIR, NULL, &told));
    cr_expect(told.gone);
    cr_expect_not(told.has[POD_FIELD_CONTAINER]);
}
