/* SPDX-License-Identifier: Apache-2.0 */
/* On an ordinary folder: the walk knows nothing of cgroups but that folders are what counts. */
#include "collector/cgroup_walk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

static char root[64];

static void make_root(void)
{
    (void)snprintf(root, sizeof(root), "/tmp/podkin-walk-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_root(void)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_folder(const char *path)
{
    char whole[512];

    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    cr_assert_eq(mkdir(whole, 0755), 0);
}

static uint64_t inode_of(const char *path)
{
    char whole[512];
    struct stat status;

    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    cr_assert_eq(stat(whole, &status), 0);
    return status.st_ino;
}

TestSuite(cgroup_walk, .init = make_root, .fini = remove_root);

Test(cgroup_walk, visits_each_folder_once_parents_first)
{
    static const char *const folders[] = {"/a", "/a/b", "/a/b/c", "/a/d", "/e"};
    enum { COUNT = sizeof(folders) / sizeof(folders[0]) };
    struct cgroup_walk *walk = NULL;
    struct cgroup_walk_entry entry;
    bool seen[COUNT] = {false};
    size_t visits = 0;

    for (size_t i = 0; i < COUNT; i++)
        make_folder(folders[i]);
    cr_assert_eq(cgroup_walk_open(&walk, root), 0);
    while (cgroup_walk_next(walk, &entry) == 1) {
        if (visits++ == 0) {
            cr_expect_str_eq(entry.path, "/");
            cr_expect_eq(entry.level, 0);
            cr_expect_eq(entry.id, inode_of(""));
            continue;
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (strcmp(folders[i], entry.path) != 0)
                continue;
            cr_expect_not(seen[i]);
            seen[i] = true;
            cr_expect_eq(entry.id, inode_of(folders[i]));
            cr_expect(strncmp(entry.path, "/a/", 3) != 0 || seen[0], "the parent comes first");
            cr_expect_eq(entry.level, i == 0 || i == 4 ? 1 : i == 2 ? 3 : 2);
        }
    }
    cr_expect_eq(visits, COUNT + 1);
    cr_expect_eq(cgroup_walk_next(walk, &entry), 0, "the end stays the end");
    cr_expect_null(cgroup_walk_close(walk));
}

Test(cgroup_walk, passes_over_files_links_and_what_vanishes)
{
    char path[128];
    struct cgroup_walk *walk = NULL;
    struct cgroup_walk_entry entry;
    size_t visits = 0;

    make_folder("/stays");
    make_folder("/goes");
    (void)snprintf(path, sizeof(path), "%s/file", root);
    cr_assert_geq(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    (void)snprintf(path, sizeof(path), "%s/link", root);
    cr_assert_eq(symlink("/", path), 0);
    cr_assert_eq(cgroup_walk_open(&walk, root), 0);
    cr_assert_eq(cgroup_walk_next(walk, &entry), 1); /* the root: its children are known by name now */
    (void)snprintf(path, sizeof(path), "%s/goes", root);
    cr_assert_eq(rmdir(path), 0);
    while (cgroup_walk_next(walk, &entry) == 1) {
        cr_expect_str_eq(entry.path, "/stays");
        visits++;
    }
    cr_expect_eq(visits, 1);
    cgroup_walk_close(walk);
}

Test(cgroup_walk, open_of_nothing_fails_and_leaves_the_output)
{
    struct cgroup_walk *walk = NULL;

    cr_expect_eq(cgroup_walk_open(&walk, "/does/not/exist"), -ENOENT);
    cr_expect_null(walk);
    cr_expect_null(cgroup_walk_close(NULL));
}
