/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/cgroup_mounts.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/cleanup.h"

static struct cgroup_mounts read_text(const char *text)
{
    CLEANUP_FILE FILE *file = fmemopen((void *)text, strlen(text), "r");
    struct cgroup_mounts mounts;

    cr_assert_eq(cgroup_mounts_read(&mounts, file), 0);
    return mounts;
}

static void check_point(const char *text, const char *controller, const char *expected)
{
    struct cgroup_mounts mounts = read_text(text);
    const struct cgroup_mount *found = cgroup_mounts_find(&mounts, controller);

    if (expected) {
        cr_assert_not_null(found);
        cr_assert_str_eq(found->point, expected);
    } else {
        cr_assert_null(found);
    }
    cgroup_mounts_deinit(&mounts);
}

#define HYBRID                                                                                               \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                             \
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:4 master:1 - cgroup cgroup rw,cpu,cpuacct\n"          \
    "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"                         \
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

Test(cgroup_mounts, v2_is_found_wherever_it_is_mounted)
{
    check_point("24 1 0:22 / /proc rw,nosuid - proc proc rw\n"
                "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
        NULL, "/sys/fs/cgroup");
    check_point(HYBRID, NULL, "/sys/fs/cgroup/unified");
    check_point("41 31 0:38 / /mnt/a\\040b\\134 rw - cgroup2 none rw\n", NULL, "/mnt/a b\\");
}

Test(cgroup_mounts, a_v1_controller_is_found_alone_or_beside_others)
{
    check_point(HYBRID, "cpu", "/sys/fs/cgroup/cpu,cpuacct");
    check_point(HYBRID, "cpuacct", "/sys/fs/cgroup/cpu,cpuacct");
    check_point(HYBRID, "cpua", NULL);
    check_point(HYBRID, "memory", NULL);
}

Test(cgroup_mounts, mount_of_the_whole_hierarchy_wins_over_a_part_of_it)
{
    check_point("50 1 0:26 /kubepods /part rw - cgroup2 cgroup2 rw\n"
                "51 1 0:26 / /whole rw - cgroup2 cgroup2 rw\n"
                "52 1 0:26 / /later rw - cgroup2 cgroup2 rw\n",
        NULL, "/whole");
    check_point("50 1 0:26 /kubepods /part rw - cgroup cgroup rw,pids\n", "pids", "/part");
}

Test(cgroup_mounts, what_is_no_cgroup_mount_is_passed_over)
{
    check_point("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", NULL, NULL);
    check_point("cgroup2 - cgroup2\n - cgroup2 \n41 31 0:38 - cgroup2 x\n - cgroup x rw,cpu\n", NULL, NULL);
    check_point("cgroup2 - cgroup2\n - cgroup2 \n - cgroup x rw,cpu\n", "cpu", NULL);
    check_point("", "cpu", NULL);
}

Test(cgroup_mounts, the_upper_of_two_mounts_on_one_folder_counts)
{
    struct cgroup_mounts mounts = read_text("1 0 0:1 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu\n"
                                            "2 0 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");

    cr_assert_not_null(cgroup_mounts_at(&mounts, "/sys/fs/cgroup"));
    cr_expect_null(cgroup_mounts_at(&mounts, "/sys/fs/cgroup")->controllers);
    cr_expect_null(cgroup_mounts_at(&mounts, "/sys/fs"));
    cgroup_mounts_deinit(&mounts);
}
