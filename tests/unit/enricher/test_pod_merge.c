/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "enricher/pod_merge.h"

#define UID  "145f0c66-b877-40bc-80af-66a16a25ff1a"
#define ID_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define ID_2 "2222222222222222222222222222222222222222222222222222222222222222"

static struct pod make(const char *name, const char *container, const char *id)
{
    struct pod pod = {0};

    cr_assert_eq(pod_set_string(&pod.uid, UID, POD_UID_MAX), 0);
    cr_assert_eq(pod_set_string(&pod.namespace_, name ? "default" : NULL, POD_MAX_NAME), 0);
    cr_assert_eq(pod_set_string(&pod.name, name, POD_MAX_NAME), 0);
    if (container)
        cr_assert_eq(pod_set_string(&pod_add_container(&pod, container)->id, id, CONTAINER_ID_MAX), 0);
    return pod;
}

Test(pod_merge, a_field_comes_from_the_best_source_that_has_it)
{
    struct pod api = make("web", "app", NULL), kubelet = make("web", "app", ID_2), view;
    struct pod logdir = make("web", "app", ID_1);
    const struct pod *messages[POD_SOURCE_COUNT] = {
        [POD_SOURCE_APISERVER] = &api, [POD_SOURCE_KUBELET] = &kubelet, [POD_SOURCE_LOGDIR] = &logdir};

    cr_assert_eq(pod_set_string(&kubelet.node_name, "node1", POD_MAX_NAME), 0);
    cr_assert_eq(pod_set_string(&logdir.node_name, "other", POD_MAX_NAME), 0);
    cr_assert_eq(pod_merge_view(&view, messages), 0);
    cr_assert_str_eq(view.node_name, "node1");
    cr_assert_eq(view.container_count, 1);
    cr_assert_str_eq(view.containers[0].id, ID_2);
    cr_assert_str_eq(view.containers[0].old_ids[0], ID_1);
    cr_assert_eq(view.best_source, POD_SOURCE_APISERVER);
    cr_assert(view.complete);
    pod_clear(&api);
    pod_clear(&kubelet);
    pod_clear(&logdir);
    pod_clear(&view);
}

Test(pod_merge, a_removed_label_does_not_come_back_from_a_slower_source)
{
    struct pod api = make("web", "app", NULL), kubelet = make("web", "app", NULL), view;
    const struct pod *messages[POD_SOURCE_COUNT] = {
        [POD_SOURCE_APISERVER] = &api, [POD_SOURCE_KUBELET] = &kubelet};

    cr_assert_eq(pod_add_label(&kubelet, "canary", "yes"), 0);
    cr_assert_eq(pod_merge_view(&view, messages), 0);
    cr_assert_eq(view.label_count, 0);
    pod_clear(&view);
    messages[POD_SOURCE_APISERVER] = NULL;
    cr_assert_eq(pod_merge_view(&view, messages), 0);
    cr_assert_eq(view.label_count, 1);
    pod_clear(&view);
    pod_clear(&api);
    pod_clear(&kubelet);
}

Test(pod_merge, the_log_directory_alone_is_never_complete)
{
    struct pod logdir = make("web", "app", ID_1), bare = make("web", NULL, NULL), view;
    const struct pod *messages[POD_SOURCE_COUNT] = {[POD_SOURCE_LOGDIR] = &logdir};

    cr_assert_eq(pod_merge_view(&view, messages), 0);
    cr_assert_not(view.complete);
    cr_assert_str_eq(view.name, "web");
    pod_clear(&view);
    /* Nor with a message that has no containers. */
    messages[POD_SOURCE_FILE] = &bare;
    cr_assert_eq(pod_merge_view(&view, messages), 0);
    cr_assert_not(view.complete);
    pod_clear(&view);
    pod_clear(&logdir);
    pod_clear(&bare);
}

Test(pod_merge, a_message_keeps_the_ids_of_the_one_before)
{
    struct pod before = make("web", "app", ID_1), told = make("web", "app", ID_2), message;
    struct pod empty = make("web", NULL, NULL);

    cr_assert_eq(pod_merge_message(&message, &before, &told), 0);
    cr_assert_str_eq(message.containers[0].id, ID_2);
    cr_assert_str_eq(message.containers[0].old_ids[0], ID_1);
    pod_clear(&told);
    told = message;
    cr_assert_eq(pod_merge_message(&message, &told, &empty), 0);
    cr_assert_eq(message.container_count, 1);
    cr_assert_str_eq(message.containers[0].id, ID_2);
    cr_assert_not_null(pod_find_container(&message, ID_1));
    pod_clear(&message);
    pod_clear(&before);
    pod_clear(&told);
    pod_clear(&empty);
}

Test(pod_merge, old_ids_are_bounded_and_the_newest_stay)
{
    struct pod message = {0};
    char id[CONTAINER_ID_MAX + 1];

    for (unsigned i = 0; i < 40; i++) {
        struct pod told, next;

        memset(id, '0', sizeof(id) - 1);
        id[64] = '\0';
        id[0] = "0123456789abcdef"[i / 16];
        id[1] = "0123456789abcdef"[i % 16];
        told = make("web", "app", id);
        cr_assert_eq(pod_merge_message(&next, i ? &message : NULL, &told), 0);
        pod_clear(&told);
        pod_clear(&message);
        message = next;
    }
    cr_assert_eq(message.containers[0].old_id_count, POD_MAX_OLD_IDS);
    cr_assert_eq(strncmp(message.containers[0].id, "27", 2), 0);
    cr_assert_eq(strncmp(message.containers[0].old_ids[0], "26", 2), 0);
    pod_clear(&message);
}

/* ---- P1 through the table: whatever the order, the same Pod */

static unsigned random_state = 1;

static unsigned pick(unsigned below)
{
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 16) % below;
}

static struct pod random_message(enum pod_source source)
{
    static const char *const names[] = {"app", "init", "side", "debug"};
    static const char *const ids[] = {NULL, ID_1, ID_2, "abc", "def"};
    struct pod pod = make(source == POD_SOURCE_LOGDIR || pick(4) ? "web" : NULL, NULL, NULL);

    for (unsigned i = 0; i < 4; i++) {
        struct pod_container *container = pick(2) ? pod_add_container(&pod, names[i]) : NULL;

        if (!container)
            continue;
        cr_assert_eq(pod_set_string(&container->id, ids[pick(5)], CONTAINER_ID_MAX), 0);
        cr_assert_eq(pod_set_string(&container->image, pick(2) ? pod_source_name(source) : NULL, 64), 0);
        cr_assert_eq(pod_set_string(&container->runtime, pick(2) ? "containerd" : NULL, 64), 0);
        container->kind = (enum pod_container_kind)pick(3);
        container->started_unix_ns = pick(3);
        container->privileged = pick(2);
    }
    if (source > POD_SOURCE_LOGDIR && pick(2))
        cr_assert_eq(pod_add_label(&pod, "from", pod_source_name(source)), 0);
    cr_assert_eq(pod_set_string(&pod.node_name, pick(2) ? pod_source_name(source) : NULL, 64), 0);
    cr_assert_eq(pod_set_string(&pod.workload, pick(2) ? pod_source_name(source) : NULL, 64), 0);
    return pod;
}

static void check_orders(const struct pod *told)
{
    static const enum pod_source orders[24][4] = {{1, 2, 3, 4}, {1, 2, 4, 3}, {1, 3, 2, 4}, {1, 3, 4, 2},
        {1, 4, 2, 3}, {1, 4, 3, 2}, {2, 1, 3, 4}, {2, 1, 4, 3}, {2, 3, 1, 4}, {2, 3, 4, 1}, {2, 4, 1, 3},
        {2, 4, 3, 1}, {3, 1, 2, 4}, {3, 1, 4, 2}, {3, 2, 1, 4}, {3, 2, 4, 1}, {3, 4, 1, 2}, {3, 4, 2, 1},
        {4, 1, 2, 3}, {4, 1, 3, 2}, {4, 2, 1, 3}, {4, 2, 3, 1}, {4, 3, 1, 2}, {4, 3, 2, 1}};
    struct pod_table *first = NULL;

    for (unsigned order = 0; order < 24; order++) {
        struct pod_table *table;
        struct pod *expected, *pod;

        cr_assert_eq(pod_table_new(&table, NULL, NULL, NULL), 0);
        for (unsigned i = 0; i < 4; i++)
            cr_assert_eq(pod_table_merge(table, orders[order][i], &told[orders[order][i]], 1), 0);
        pod = pod_table_find(table, UID);
        if (!first) {
            first = table;
            continue;
        }
        expected = pod_table_find(first, UID);
        cr_assert(pod_equal(pod, expected), "order %u", order);
        cr_assert_eq(pod->complete, expected->complete);
        cr_assert_eq(pod->best_source, expected->best_source);
        pod_table_free(table);
    }
    pod_table_free(first);
}

Test(pod_merge, every_order_of_arrival_gives_the_same_pod)
{
    for (unsigned round = 0; round < 300; round++) {
        struct pod told[POD_SOURCE_COUNT] = {0};

        for (enum pod_source source = POD_SOURCE_LOGDIR; source < POD_SOURCE_COUNT; source++)
            told[source] = random_message(source);
        check_orders(told);
        for (int source = 0; source < POD_SOURCE_COUNT; source++)
            pod_clear(&told[source]);
    }
}
