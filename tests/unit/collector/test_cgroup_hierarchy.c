/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of `auto`, on ordinary folders that stand for the mounts of a node. */
#include "collector/cgroup_hierarchy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define UID_PATH "kubepods/burstable/pod1b1445ea-2fd4-404e-9029-cbe1cd2d430d"

static char dir[64], mountinfo[96], cgroups[96];

static void write_text(const char *path, const char *text)
{
    CLEANUP_FILE FILE *file = fopen(path, "we");

    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
}

static void make_node(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/podkin-hierarchy-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(mountinfo, sizeof(mountinfo), "%s/mountinfo", dir);
    (void)snprintf(cgroups, sizeof(cgroups), "%s/cgroups", dir);
    write_text(cgroups, "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t4\t37\t1\n"
                        "pids\t8\t1\t1\nnet_cls\t0\t19\t1\n");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_node(void)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* `what` is a word of each hierarchy that is mounted. */
static void mount_all(const char *what)
{
    static const char *const names[] = {"v2", "memory", "pids", "cpu", "net_cls"};
    char text[2048] = "", path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strstr(what, names[i]))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        cr_assert_eq(mkdir(path, 0755), 0);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
            i ? "32 31 0:29 / %s rw - cgroup cgroup rw,%s\n" : "41 31 0:38 / %s rw - cgroup2 cgroup2 rw\n",
            path, names[i]);
    }
    write_text(mountinfo, text);
}

static void make_cgroup(const char *path, bool populated)
{
    char whole[512], *at;

    (void)snprintf(whole, sizeof(whole), "%s/%s/", dir, path);
    for (at = whole + strlen(dir) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        cr_assert(mkdir(whole, 0755) == 0 || errno == EEXIST);
        *at = '/';
    }
    (void)snprintf(whole, sizeof(whole), "%s/%s/cgroup.procs", dir, path);
    write_text(whole, populated ? "17\n" : "");
}

static void check(int wanted, const char *expected, uint32_t id)
{
    const struct cgroup_hierarchy_options options = {
        .wanted = wanted, .mountinfo = mountinfo, .cgroups = cgroups};
    struct cgroup_hierarchy found;
    char error[CGROUP_HIERARCHY_ERROR_MAX] = "", root[128];
    int r = cgroup_hierarchy_find(&found, &options, error);

    if (expected) {
        cr_assert_eq(r, 0, "%s", error);
        cr_expect_str_eq(found.name, expected);
        cr_expect_eq(found.id, id);
        (void)snprintf(root, sizeof(root), "%s/%s", dir, expected);
        cr_expect_str_eq(found.root, root);
        cr_expect_not_null(found.reason);
    } else {
        cr_expect_lt(r, 0);
        cr_expect(strncmp(error, "--cgroup-", 9) == 0, "%s", error);
        cr_expect_null(strchr(error, '\n'));
    }
    cgroup_hierarchy_deinit(&found);
    cr_expect_null(found.root);
}

TestSuite(cgroup_hierarchy, .init = make_node, .fini = remove_node);

Test(cgroup_hierarchy, is_v2_where_it_is_alone)
{
    mount_all("v2");
    check(CGROUP_HIERARCHY_AUTO, "v2", 0);
}

Test(cgroup_hierarchy, is_v2_where_it_is_the_nodes_whatever_else_is_mounted)
{
    char error[CGROUP_HIERARCHY_ERROR_MAX];
    const struct cgroup_hierarchy_options options = {.mountinfo = mountinfo, .cgroups = cgroups};
    struct cgroup_hierarchy found;

    write_text(mountinfo, "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                          "31 23 0:27 / /mnt/net_cls rw - cgroup cgroup rw,net_cls\n");
    cr_assert_eq(cgroup_hierarchy_find(&found, &options, error), 0);
    cr_expect_str_eq(found.name, "v2");
    cr_expect_str_eq(found.root, "/sys/fs/cgroup");
    cgroup_hierarchy_deinit(&found);
}

Test(cgroup_hierarchy, is_v1_where_v2_is_not_mounted)
{
    mount_all("pids cpu");
    check(CGROUP_HIERARCHY_AUTO, "pids", 8);
    make_cgroup("cpu/" UID_PATH, true);
    check(CGROUP_HIERARCHY_AUTO, "cpu", 1);
}

Test(cgroup_hierarchy, of_a_hybrid_node_is_v1_while_there_is_nothing)
{
    mount_all("v2 memory pids cpu");
    check(CGROUP_HIERARCHY_AUTO, "memory", 4);
    make_cgroup("v2/system.slice/docker.service", true);
    make_cgroup("v2/user.slice", true);
    check(CGROUP_HIERARCHY_AUTO, "memory", 4);
}

Test(cgroup_hierarchy, of_a_hybrid_node_is_v1_when_only_v1_has_pods)
{
    mount_all("v2 memory pids cpu");
    make_cgroup("pids/" UID_PATH, false);
    check(CGROUP_HIERARCHY_AUTO, "pids", 8);
    make_cgroup("cpu/" UID_PATH, true);
    check(CGROUP_HIERARCHY_AUTO, "cpu", 1);
}

Test(cgroup_hierarchy, of_a_hybrid_node_is_v2_when_pods_run_in_it)
{
    mount_all("v2 memory pids cpu");
    make_cgroup("v2/" UID_PATH "/x", true);
    make_cgroup("memory/" UID_PATH "/x", true);
    check(CGROUP_HIERARCHY_AUTO, "v2", 0);
}

Test(cgroup_hierarchy, of_a_hybrid_node_is_v1_when_v2_has_only_the_kubelets_empty_folders)
{
    mount_all("v2 memory pids cpu");
    make_cgroup("v2/" UID_PATH, false);
    make_cgroup("memory/" UID_PATH, false);
    check(CGROUP_HIERARCHY_AUTO, "memory", 4);
    make_cgroup("memory/" UID_PATH, true);
    check(CGROUP_HIERARCHY_AUTO, "memory", 4);
}

Test(cgroup_hierarchy, pods_weigh_more_than_other_containers)
{
    mount_all("v2 memory");
    make_cgroup("v2/docker/0123", true);
    check(CGROUP_HIERARCHY_AUTO, "v2", 0);
    make_cgroup("memory/kubepods.slice", false);
    check(CGROUP_HIERARCHY_AUTO, "memory", 4);
}

Test(cgroup_hierarchy, what_a_container_makes_in_its_own_cgroup_does_not_decide)
{
    mount_all("v2 memory");
    make_cgroup("memory/" UID_PATH, false);
    make_cgroup("v2/docker/0123/kubepods/podx", true);
    check(CGROUP_HIERARCHY_AUTO, "memory", 4);
}

Test(cgroup_hierarchy, pods_of_a_nested_node_are_found)
{
    mount_all("v2 memory");
    make_cgroup("v2/docker/0123/kubelet.slice/kubelet-kubepods.slice", true);
    check(CGROUP_HIERARCHY_AUTO, "v2", 0);
}

Test(cgroup_hierarchy, that_is_asked_for_is_taken_or_refused)
{
    mount_all("v2 pids net_cls");
    make_cgroup("v2/" UID_PATH, true);
    check(CGROUP_HIERARCHY_FIRST_CONTROLLER, NULL, 0); /* memory: not mounted */
    check(CGROUP_HIERARCHY_FIRST_CONTROLLER + 1, "pids", 8);
    for (int i = 0; cgroup_hierarchy_choices[i]; i++) {
        if (strcmp(cgroup_hierarchy_choices[i], "net_cls") == 0)
            check(i, NULL, 0); /* mounted by this file only: the kernel has it nowhere */
    }
    check(CGROUP_HIERARCHY_V2, "v2", 0);
}

Test(cgroup_hierarchy, is_missed_where_none_is_mounted)
{
    mount_all("");
    check(CGROUP_HIERARCHY_AUTO, NULL, 0);
    check(CGROUP_HIERARCHY_V2, NULL, 0);
}
