/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/collector/policy_kit.h"

#define GOOD                                                                                                 \
    "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: %s}\nspec: {kprobes: [{call: "    \
    "sys_dup%s}]}\n"
#define KILL ", selectors: [{matchActions: [{action: Sigkill}]}]"

static char folder[] = "/tmp/policy-set-XXXXXX";

static void put(const char *name, const char *policy, const char *more)
{
    char path[128];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_gt(fprintf(file, GOOD, policy, more), 0);
}

static int read_set(struct policy_list *list, bool allow, struct text *faults)
{
    const struct policy_set_options options = {.folder = folder, .allow_enforcement = allow};

    *faults = (struct text){0};
    return policy_set_read(list, &options, kit_add_fault, faults);
}

static void remove_all(const char *const *names)
{
    char path[128];

    for (; *names; names++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, *names);
        cr_assert_eq(unlink(path), 0);
    }
    cr_assert_eq(rmdir(folder), 0);
}

Test(policy_set, folder_is_read_by_name_and_a_bad_file_left_out)
{
    struct policy_list list;
    struct text faults;

    cr_assert_not_null(mkdtemp(folder));
    put("b.yaml", "b", "");
    put("a.yml", "a", "");
    put("c.yaml", "c", ", calls: x");
    put("d.yaml", "a", "");
    put("e.txt", "e", "");
    put(".f.yaml", "f", "");
    cr_assert_eq(read_set(&list, false, &faults), -EINVAL);
    cr_assert_eq(list.count, 2);
    cr_assert_str_eq(list.items[0].name.data, "a");
    cr_assert_str_eq(list.items[1].name.data, "b");
    cr_assert_not_null(strstr(text_terminate(&faults), "/c.yaml:4:34: spec.kprobes[0].calls: unknown key"),
        "%s", faults.data);
    cr_assert_not_null(
        strstr(faults.data, "/d.yaml:3:18: metadata.name: \"a\" is also the name of the policy in "));
    cr_assert_not_null(strstr(faults.data, "/a.yml:3:18"), "both places");
    text_deinit(&faults);
    policy_list_deinit(&list);
    remove_all((const char *const[]){"a.yml", "b.yaml", "c.yaml", "d.yaml", "e.txt", ".f.yaml", NULL});
}

Test(policy_set, enforcement_needs_leave)
{
    struct policy_list list;
    struct text faults;

    cr_assert_not_null(mkdtemp(folder));
    put("a.yaml", "a", KILL);
    put("b.yaml", "b", "");
    cr_assert_eq(read_set(&list, false, &faults), -EINVAL);
    cr_assert_eq(list.count, 1);
    cr_assert_not_null(strstr(text_terminate(&faults), "action Sigkill needs --allow-enforcement"));
    text_deinit(&faults);
    policy_list_deinit(&list);
    cr_assert_eq(read_set(&list, true, &faults), 0);
    cr_assert_eq(list.count, 2);
    policy_list_deinit(&list);
    remove_all((const char *const[]){"a.yaml", "b.yaml", NULL});
}

Test(policy_set, folder_that_is_not_there_has_no_policies)
{
    const struct policy_set_options options = {.folder = "/nonexistent/policies.d"};
    struct text faults = {0};
    struct policy_list list;

    cr_assert_eq(policy_set_read(&list, &options, kit_add_fault, &faults), 0);
    cr_assert_eq(list.count, 0);
}

Test(policy_set, shipped_policies_are_fine_and_only_watch)
{
    struct policy_set_options options = {0};
    struct text faults = {0};
    struct policy_list list;
    char path[512];

    cr_assert_not_null(getenv("PODKIN_SOURCE_ROOT"));
    (void)snprintf(path, sizeof(path), "%s/systemd/policies", getenv("PODKIN_SOURCE_ROOT"));
    options.folder = path;
    cr_assert_eq(policy_set_read(&list, &options, kit_add_fault, &faults), 0, "%s", text_terminate(&faults));
    cr_assert_eq(list.count, 7);
    policy_list_deinit(&list);
}
