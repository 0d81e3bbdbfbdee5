/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a collector keeps what loads policies. */
#include "collector/policies.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/podkin-policies-XXXXXX";

static void make(const char *name)
{
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

static void gone(const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    (void)unlink(path);
}

Test(policies, an_empty_folder_asks_for_none)
{
    struct conf conf = {.policy_dir = folder};

    cr_assert_not_null(mkdtemp(folder));
    cr_expect_not(policies_are_used(&conf));
    make("README");
    make(".hidden.yaml");
    cr_expect_not(policies_are_used(&conf));
    conf.policy_reload = POLICY_RELOAD_ON;
    cr_expect(policies_are_used(&conf), "there may be one later");
    conf.policy_reload = POLICY_RELOAD_AUTO;
    make("one.yaml");
    cr_expect(policies_are_used(&conf));
    gone("one.yaml");
    gone(".hidden.yaml");
    gone("README");
    (void)rmdir(folder);
}

Test(policies, no_folder_asks_for_none_and_a_named_file_for_some)
{
    char *files[] = {(char *)"/etc/one.yaml"};
    struct conf conf = {.policy_dir = NULL, .policy_reload = POLICY_RELOAD_ON};

    cr_expect_not(policies_are_used(&conf));
    conf.policies = (struct option_list){files, 1};
    cr_expect(policies_are_used(&conf));
}
