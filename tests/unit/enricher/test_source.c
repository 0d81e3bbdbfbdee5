/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include "enricher/source.h"

static void check(const char *spec, enum pod_source expected_kind, const char *expected_where)
{
    enum pod_source kind;
    const char *where;

    cr_assert_eq(source_parse(spec, &kind, &where), 0, "%s", spec);
    cr_assert_eq(kind, expected_kind);
    cr_assert_str_eq(where, expected_where);
}

Test(source, kind_and_where_are_taken_apart)
{
    check("file:/etc/pods.json", POD_SOURCE_FILE, "/etc/pods.json");
    check("file:a:b", POD_SOURCE_FILE, "a:b");
    check("kubelet:https://127.0.0.1:10250", POD_SOURCE_KUBELET, "https://127.0.0.1:10250");
    check("apiserver:/etc/kubernetes/kubelet.conf", POD_SOURCE_APISERVER, "/etc/kubernetes/kubelet.conf");
    check("apiserver:in-cluster", POD_SOURCE_APISERVER, "in-cluster");
    check("logdir:/host/log", POD_SOURCE_LOGDIR, "/host/log");
    check("logdir", POD_SOURCE_LOGDIR, "/var/log");
    check("logdir:", POD_SOURCE_LOGDIR, "/var/log");
}

Test(source, what_is_neither_is_refused)
{
    static const char *const bad[] = {
        "", ":", "file", "file:", "kubelet", "apiserver", "apiserver:", "files:/x", "fil:/x", "/x"};
    enum pod_source kind;
    const char *where;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(source_parse(bad[i], &kind, &where), -EINVAL, "%s", bad[i]);
}
