/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/container_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define POD                                                                                                  \
    "/kubepods.slice/kubepods-burstable.slice/"                                                              \
    "kubepods-burstable-pod11111111_1111_4111_8111_111111111111.slice"
#define CRI POD "/cri-containerd-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.scope"
#define OTHER                                                                                                \
    "/kubepods/pod22222222-2222-4222-8222-222222222222/"                                                     \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

static struct container_table table;
static unsigned gone_count;

static void gone(void *arg, struct container *container)
{
    (void)arg;
    (void)container;
    gone_count++;
}

static void setup(void)
{
    gone_count = 0;
    cr_assert_eq(container_table_init(&table, 100, gone, NULL), 0);
}

static void teardown(void)
{
    container_table_deinit(&table);
}

TestSuite(container_table, .init = setup, .fini = teardown);

static struct cgroup *add(uint64_t id, const char *path)
{
    struct container *stand_in;
    struct cgroup *cgroup = container_table_add(&table, id, path, strlen(path), &stand_in);

    cr_assert_null(stand_in);
    return cgroup;
}

Test(container_table, nested_cgroups_share_their_container)
{
    const struct cgroup *outer = add(10, CRI), *inner = add(11, CRI "/container"),
                        *hostile = add(12, CRI OTHER);

    cr_expect_eq(outer->container, inner->container);
    cr_expect_eq(outer->container, hostile->container);
    cr_expect_str_eq(outer->container->identity.pod_uid, "11111111-1111-4111-8111-111111111111");
}

Test(container_table, everything_outside_pods_is_the_one_host_container)
{
    cr_expect_eq(add(1, "/")->container, table.host);
    cr_expect_eq(add(2, "/system.slice/ssh.service")->container, table.host);
    cr_expect_eq(table.host->state, CONTAINER_HOST);
}

Test(container_table, path_that_comes_late_hands_out_the_stand_in)
{
    struct cgroup *cgroup = container_table_add_unknown(&table, 10);
    struct container *stand_in, *before = cgroup->container;

    cr_expect(before->path_unknown);
    cr_expect_eq(container_table_add(&table, 10, CRI, strlen(CRI), &stand_in), cgroup);
    cr_expect_eq(stand_in, before);
    cr_expect_not(cgroup->container->path_unknown);
    container_unref(stand_in);
    cr_expect_eq(gone_count, 1);
}

Test(container_table, same_cgroup_told_twice_stays_as_it_is)
{
    struct cgroup *cgroup = add(10, CRI);

    cr_expect_eq(add(10, CRI), cgroup);
    cr_expect_eq(add(10, "/else"), cgroup);
    container_table_forget_other(&table, 10, CRI, strlen(CRI));
    cr_expect_eq(container_table_find(&table, 10), cgroup);
    cr_expect_eq(table.cgroup_count, 1);
}

/* As apply.c does when a cgroup is made. */
static struct cgroup *make(uint64_t id, const char *path)
{
    container_table_forget_other(&table, id, path, strlen(path));
    return add(id, path);
}

Test(container_table, id_that_is_made_with_another_path_is_another_cgroup)
{
    struct container *before = container_ref(add(10, CRI)->container), *after;

    after = make(10, OTHER)->container;
    cr_assert_not_null(after);
    cr_expect_neq(after, before);
    cr_expect_str_eq(after->identity.pod_uid, "22222222-2222-4222-8222-222222222222");
    cr_expect_eq(after->cgroup_count, 1);
    cr_expect_eq(before->cgroup_count, 0);
    cr_expect_eq(before->refs, 1, "only ours is left");
    container_unref(before);
    cr_expect_eq(table.cgroup_count, 1);
}

Test(container_table, id_of_a_removed_cgroup_that_is_used_again_is_not_the_old_one)
{
    add(9, "/a");
    container_table_mark_removed(&table, container_table_find(&table, 9), 400);
    container_table_mark_removed(&table, add(10, CRI), 500);
    add(11, "/b");
    container_table_mark_removed(&table, container_table_find(&table, 11), 600);
    cr_expect_str_eq(make(10, OTHER)->container->identity.pod_uid, "22222222-2222-4222-8222-222222222222");
    cr_expect_eq(container_table_find(&table, 10)->removed_ns, 0);
    cr_expect_eq(container_table_expire(&table, 1000, 10), 2, "the two that were removed");
    cr_expect_not_null(container_table_find(&table, 10));
    container_table_mark_removed(&table, container_table_find(&table, 10), 1500);
    cr_expect_eq(container_table_expire(&table, 2000, 10), 1);
    cr_expect_eq(table.cgroup_count, 0);
}

Test(container_table, ids_of_another_hierarchy_are_forgotten_and_their_containers_stay)
{
    struct container *container = container_ref(add(10, CRI)->container);
    const struct cgroup *unknown = container_table_add_unknown(&table, 11);
    struct container *stand_in = container_ref(unknown->container);

    container_table_mark_removed(&table, add(12, "/x"), 5);
    container_table_use_hierarchy(&table, 0);
    cr_expect_not_null(container_table_find(&table, 10), "nothing has changed");
    container_table_use_hierarchy(&table, 8);
    cr_expect_null(container_table_find(&table, 10));
    cr_expect_null(container_table_find(&table, 11));
    cr_expect_eq(table.cgroup_count, 0);
    cr_expect_eq(table.unknown_count, 0);
    cr_expect_eq(container_table_expire(&table, UINT64_MAX, 10), 0);
    cr_expect_not(stand_in->path_unknown, "nobody will ever tell its path");
    cr_expect_eq(container->first_cgroup_id, 0);
    cr_expect_eq(add(10, OTHER)->container->cgroup_count, 1);
    cr_expect_eq(add(20, CRI)->container, container);
    container_unref(container);
    container_unref(stand_in);
}

Test(container_table, the_containers_own_cgroup_is_told_from_those_below)
{
    struct container *container = add(12, CRI "/container")->container;

    cr_expect_eq(container->first_cgroup_id, 0);
    add(11, CRI);
    cr_expect_eq(container->first_cgroup_id, 11);
    add(10, CRI "/docker/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    cr_expect_eq(container->first_cgroup_id, 11);
}

Test(container_table, removed_cgroup_is_findable_until_its_grace_time_is_over)
{
    struct cgroup *cgroup = add(10, CRI);

    container_table_mark_removed(&table, cgroup, 500);
    cr_expect_eq(container_table_expire(&table, 500, 10), 0);
    cr_expect_eq(container_table_find(&table, 10), cgroup);
    cr_expect_eq(container_table_expire(&table, 501, 10), 1);
    cr_expect_null(container_table_find(&table, 10));
    cr_expect_eq(gone_count, 1);
}

Test(container_table, full_table_lets_the_removed_go_first_then_refuses)
{
    char path[64];

    for (uint64_t i = 1; i <= 100; i++) {
        (void)snprintf(path, sizeof(path), "/x/%llu", (unsigned long long)i);
        cr_assert_not_null(add(i, path));
    }
    cr_expect_null(add(200, "/y"));
    cr_expect_eq(table.refused, 1);
    container_table_mark_removed(&table, container_table_find(&table, 5), 9);
    cr_expect_not_null(add(201, "/z"));
    cr_expect_null(container_table_find(&table, 5));
}

static void collect(void *arg, struct container *container)
{
    struct container **list = arg;

    while (*list)
        list++;
    *list = container;
}

Test(container_table, pod_finds_its_containers_by_uid_config_hash_and_ids)
{
    struct container *by_uid = add(10, CRI)->container, *found[8] = {0};
    struct container *by_hash = add(11, "/kubepods/burstable/pod09a70ae9ccc491e651e5c773579b3490/"
                                        "b0e6aa50e847c3d3b1880e307ec7996040275c8063832cffc9274defce2cb655")
                                    ->container;
    struct container *by_id = add(12,
        "/user.slice/cri-containerd-6938564e754ad86269a536ed19172af0eff5f7ff0a41eefc5b433a76f1f38f16.scope")
                                  ->container;
    struct pod_container containers[] = {
        {.name = STR("c"), .id = STR("6938564e754ad86269a536ed19172af0eff5f7ff0a41eefc5b433a76f1f38f16")}};
    struct pod pod = {.uid = STR("11111111-1111-4111-8111-111111111111"),
        .config_hash = STR("09a70ae9ccc491e651e5c773579b3490"),
        .containers = containers,
        .container_count = 1};

    container_table_for_pod(&table, &pod, collect, found);
    cr_expect_eq(found[0], by_uid);
    cr_expect_eq(found[1], by_hash);
    cr_expect_eq(found[2], by_id);
    cr_expect_null(found[3]);
}
