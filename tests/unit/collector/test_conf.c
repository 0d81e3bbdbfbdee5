/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/conf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/probe.h"
#include "common/cleanup.h"
#include "tests/unit/shipped_conf.h"

Test(conf, users_are_found_by_name_and_number)
{
    uid_t uid = 1;
    gid_t gid = 1;

    cr_assert_eq(conf_find_user("root", &uid, &gid), 0);
    cr_assert_eq(uid, 0);
    cr_assert_eq(gid, 0);
    cr_assert_eq(conf_find_user("0", &uid, &gid), 0);
    cr_assert_eq(conf_find_user("3999999999", &uid, &gid), 0, "a number needs no entry");
    cr_assert_eq(uid, 3999999999);
    cr_assert_eq(gid, 3999999999);
    cr_assert_eq(conf_find_user("no-such-user-here", &uid, &gid), -ENOENT);
    cr_assert_eq(conf_find_user("12x", &uid, &gid), -ENOENT);
    cr_assert_eq(conf_find_user("4294967295", &uid, &gid), -ENOENT, "-1 is nobody");
    cr_assert_eq(conf_find_user("99999999999999999999", &uid, &gid), -ENOENT);
    cr_assert_eq(conf_find_user("", &uid, &gid), -ENOENT);
}

static int read_conf(struct conf *conf, const char *a, const char *b, char error[OPTIONS_ERROR_MAX])
{
    char *argv[] = {(char *)"podkin-collector", (char *)"--peer-user=root", (char *)"--config=/dev/null",
        (char *)a, (char *)b, NULL};

    return conf_read(conf, b ? 5 : a ? 4 : 3, argv, error);
}

Test(conf, sizes_are_rounded_up_to_powers_of_two)
{
    char error[OPTIONS_ERROR_MAX];
    struct conf conf;

    cr_assert_eq(read_conf(&conf, "--queue-size=65M", "--ring-size=300k", error), 0, "%s", error);
    cr_assert_eq(conf.queue_bytes, UINT64_C(128) << 20);
    cr_assert_eq(conf.ring_bytes, UINT64_C(512) << 10);
    cr_assert_eq(conf.hook_kind, PROBE_KIND_AUTO);
    cr_assert_not_null(conf.hierarchy.root);
    conf_deinit(&conf);
}

#define LONG_NAME                                                                                            \
    "a-name-that-is-longer-than-the-108-bytes-that-the-address-of-a-unix-socket-has-room-for-however-short-" \
    "its-folder-is"

Test(conf, each_mistake_is_one_line_that_names_the_option)
{
    const char *const bad[][2] = {{"--queue-size=1k", "--queue-size"}, {"--queue-size=1T", "--queue-size"},
        {"--ring-size=lots", "--ring-size"}, {"--peer-user=no-such-user-here", "--peer-user"},
        {"--cgroup-hierarchy=systemd", "--cgroup-hierarchy"}, {"--cgroup-root=/proc", "--cgroup-root"},
        {"--cgroup-root=/nonexistent", "--cgroup-root"}, {"--policy-dir=/nonexistent", "--policy-dir"},
        {"--hook-kind=magic", "--hook-kind"}, {"surplus", "surplus"},
        {"--socket=/tmp/" LONG_NAME, "--socket"}, {"--config=/nonexistent/file", "/nonexistent/file"}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char error[OPTIONS_ERROR_MAX] = "";
        struct conf conf;

        cr_assert_lt(read_conf(&conf, bad[i][0], NULL, error), 0, "%s", bad[i][0]);
        cr_assert_not_null(strstr(error, bad[i][1]), "%s: %s", bad[i][0], error);
        cr_assert_null(strchr(error, '\n'));
        conf_deinit(&conf);
    }
}

Test(conf, shipped_file_shows_the_defaults)
{
    static const char *const examples[] = {"record", "cgroup-root", "policy-dir", "peer-user", NULL};
    char file[] = "/tmp/podkin-conf-XXXXXX", option[64], error[OPTIONS_ERROR_MAX];
    struct conf shipped, none;

    (void)close(mkstemp(file));
    (void)snprintf(option, sizeof(option), "--config=%s", file);
    cr_expect_eq(shipped_defaults("collector.conf", examples, file), 9, "as many keys as there are");
    cr_assert_eq(read_conf(&shipped, option, NULL, error), 0, "%s", error);
    cr_assert_eq(read_conf(&none, NULL, NULL, error), 0, "%s", error);
    cr_expect_str_eq(shipped.socket_path, none.socket_path);
    cr_expect_eq(shipped.policy_reload, none.policy_reload);
    cr_expect_eq(shipped.allow_enforcement, none.allow_enforcement);
    cr_expect_eq(shipped.queue_bytes, none.queue_bytes);
    cr_expect_eq(shipped.ring_bytes, none.ring_bytes);
    cr_expect_eq(shipped.hook_kind, none.hook_kind);
    cr_expect_eq(shipped.cgroup_hierarchy, none.cgroup_hierarchy);
    cr_expect_eq(shipped.record_max_bytes, none.record_max_bytes);
    cr_expect_eq(shipped.sandbox, none.sandbox);
    conf_deinit(&shipped);
    conf_deinit(&none);
    (void)unlink(file);
}
