/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/cgroup_path.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define UUID1 "11111111-1111-4111-8111-111111111111"
#define UUID2 "22222222-2222-4222-8222-222222222222"
#define ID_A  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HASH  "0123456789abcdef0123456789abcdef"

static void check_sized(
    const char *path, size_t size, const char *uid, const char *id, const char *role, const char *note)
{
    /* An exact heap copy: a read behind the end is seen by the address sanitizer. */
    CLEANUP_FREE char *copy = malloc(size ? size : 1);
    struct cgroup_identity got;

    memcpy(copy, path, size);
    memset(&got, 0xa5, sizeof(got));
    cgroup_path_parse(copy, size, &got);
    cr_expect_str_eq(got.pod_uid, uid, "pod_uid of %.300s (%s)", path, note);
    cr_expect_str_eq(got.container_id, id, "container_id of %.300s (%s)", path, note);
    cr_expect_str_eq(cgroup_role_name(got.role), role, "role of %.300s (%s)", path, note);
}

static void check(const char *path, const char *uid, const char *id, const char *role)
{
    check_sized(path, strlen(path), uid, id, role, "");
}

Test(cgroup_path, every_shared_vector_holds)
{
    const char *root = getenv("PODKIN_SOURCE_ROOT");
    char path[4096], line[8192];
    CLEANUP_FILE FILE *file = NULL;
    unsigned rows = 0;

    (void)snprintf(path, sizeof(path), "%s/tests/unit/enricher/cgroup-paths.tsv", root ? root : ".");
    file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    cr_assert_not_null(fgets(line, sizeof(line), file)); /* the names of the columns */
    while (fgets(line, sizeof(line), file)) {
        char *rest = line, *column[5];

        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < 5; i++) {
            column[i] = strsep(&rest, "\t");
            cr_assert_not_null(column[i], "row %u has %zu columns", rows + 2, i);
        }
        check_sized(column[0], strlen(column[0]), column[1], column[2], column[3], column[4]);
        rows++;
    }
    cr_assert_geq(rows, 97);
}

Test(cgroup_path, host_names_that_look_like_pods_are_host)
{
    check("", "", "", "none");
    check("/", "", "", "none");
    check("//", "", "", "none");
    check("/..", "", "", "none");
    check("/system.slice/podman.service", "", "", "none");
    check("/system.slice/podkin-collector.service", "", "", "none");
    check("/pod", "", "", "none");
    check("/podman", "", "", "none");
    check("/podman/" ID_A, "", "", "none");
    check("/machine.slice/machine-libpod_pod_" ID_A ".slice", "", "", "none");
    check("/kubepods", "", "", "none");
    check("/kubepods/pod", "", "", "none");
    check("/kubepods/burstable", "", "", "none");
    check("/kubepods.slice/kubepods-pod.slice", "", "", "none");
    check("/notkubepods.slice/notkubepods-pod" UUID1 ".slice", "", "", "none");
    check("/system.slice/system-pod" UUID1 ".slice", "", "", "none");
    check("/system.slice/pod" UUID1, "", "", "none");
    check("/user.slice/user-1000.slice/user@1000.service/pod" UUID1 "/" ID_A, "", "", "none");
    check("/docker/" ID_A, "", "", "none");
    check("/system.slice/docker-" ID_A ".service", "", "", "none");
    check("/system.slice/xdocker-" ID_A ".scope", "", "", "none");
    check("/system.slice/-" ID_A ".scope", "", "", "none");
    check("/system.slice/conmonx-" ID_A ".scope", "", "", "none");
}

Test(cgroup_path, uid_keeps_its_form_unless_it_is_a_uuid)
{
    check("/kubepods/podmy_static-pod.v1", "my_static-pod.v1", "", "pod");
    check("/kubepods.slice/kubepods-podmy_static.slice", "my_static", "", "pod");
    check("/kubepods/pod" HASH, HASH, "", "pod");
    check("/kubepods/pod11111111_1111-4111_8111-111111111111", UUID1, "", "pod");
    check(
        "/kubepods/pod11111111_1111_4111_8111_11111111111", "11111111_1111_4111_8111_11111111111", "", "pod");
    check("/kubepods/pod1111111g_1111_4111_8111_111111111111", "1111111g_1111_4111_8111_111111111111", "",
        "pod");
    check("/pod" HASH "/" ID_A, HASH, ID_A, "container");
    check("/a_b.slice/a_b-kubepods.slice/a_b-kubepods-pod" UUID1 ".slice", UUID1, "", "pod");
    check("/kubepods.slice/kubepods-kubepods.slice/kubepods-kubepods-burstable-pod" UUID1 ".slice", UUID1, "",
        "pod");
}

Test(cgroup_path, uid_of_63_is_taken_and_64_is_not)
{
    char path[200], uid[80];

    memset(uid, 'u', sizeof(uid));
    uid[63] = '\0';
    (void)snprintf(path, sizeof(path), "/kubepods/pod%s", uid);
    check(path, uid, "", "pod");
    (void)snprintf(path, sizeof(path), "/kubepods/podu%s", uid);
    check(path, "", "", "none");
    (void)snprintf(path, sizeof(path), "/kubepods/podu%s/%s", uid, ID_A);
    check(path, "", ID_A, "container");
}

Test(cgroup_path, nothing_below_a_pod_or_a_cri_container_renames_it)
{
    check("/kubepods/pod" UUID1 "/pod" UUID2 "/" ID_A, UUID1, ID_A, "container");
    check("/kubepods/pod" UUID1 "/kubepods/pod" UUID2, UUID1, "", "pod");
    check("/kubepods/pod***/kubepods/pod" UUID2 "/" ID_A, "", ID_A, "container");
    check("/kubepods.slice/kubepods-pod*.slice/kubepods-pod" UUID2 ".slice", "", "", "none");
    check("/system.slice/cri-containerd-" ID_A ".scope/kubepods/pod" UUID2 "/" ID_B, "", ID_A, "container");
    check("/system.slice/crio-" ID_A ".scope/kubepods.slice/kubepods-pod" UUID2 ".slice", "", ID_A,
        "container");
    check("/kubepods/pod" UUID1 "/crio-conmon-" ID_A "/" ID_B, UUID1, ID_A, "monitor");
    check("/kubepods/pod" UUID1 "/x:y:" ID_A "/" ID_B, UUID1, ID_A, "container");
    check(
        "/kubepods/pod" UUID1 "/kubepods-pod" UUID2 ".slice:cri-containerd:" ID_A, UUID1, ID_A, "container");
}

Test(cgroup_path, a_node_in_an_engine_container_gives_way_to_its_pods)
{
    check("/system.slice/docker-" ID_A ".scope/system.slice/docker-" ID_B ".scope", "", ID_A, "container");
    check(
        "/machine.slice/libpod-" ID_A ".scope/kubelet/kubepods/pod" UUID1 "/" ID_B, UUID1, ID_B, "container");
    check("/machine.slice/libpod-" ID_A ".scope/kubelet/kubepods/pod" UUID1, UUID1, "", "pod");
    check("/system.slice/x.service/libpod-payload-" ID_A, "", ID_A, "container");
}

Test(cgroup_path, container_names_need_exactly_an_id)
{
    check("/kubepods/pod" UUID1 "/" ID_A "a", UUID1, "", "pod");
    check("/kubepods/pod" UUID1 "/A" ID_A, UUID1, "", "pod");
    check("/kubepods/pod" UUID1 "/-" ID_A, UUID1, "", "pod");
    check("/kubepods/pod" UUID1 "/newruntime-" ID_A ".scope", UUID1, ID_A, "container");
    check("/kubepods/pod" UUID1 "/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", UUID1,
        "", "pod");
    check("/kubepods/pod" UUID1 "/a:b", UUID1, "", "pod");
    check("/kubepods/pod" UUID1 "/a:b:" ID_A "x", UUID1, "", "pod");
    check("/kubepods/pod" UUID1 "/:", UUID1, "", "pod");
    check("/kubepods/pod" UUID1 "/::" ID_A, UUID1, ID_A, "container");
    check("/kubepods/pod" UUID1 "//" ID_A "/", UUID1, ID_A, "container");
    check("/../x/" ID_A, "", "", "none");
    check("/../../" ID_A ".scope", "", ID_A, "container");
    check("/x/../" ID_A, "", "", "none");
}

Test(cgroup_path, crio_without_scope_in_a_slice_is_the_sandbox)
{
    check("/kubepods.slice/kubepods-pod" UUID1 ".slice/crio-" ID_A, UUID1, ID_A, "sandbox");
    check("/kubepods.slice/kubepods-pod" UUID1 ".slice/crio-" ID_A ".scope", UUID1, ID_A, "container");
}

Test(cgroup_path, bytes_that_no_name_has_are_no_names)
{
    static const char nul[] = "/kubepods/pod12\0"
                              "34/" ID_A;

    check_sized(nul, sizeof(nul) - 1, "", ID_A, "container", "embedded NUL");
    check("/kubepods/pod\xc3\xa9\xff/x", "", "", "none");
    check("/kubepods/pod1 2", "", "", "none");
    check("/kubepods.slice/kubepods-pod11111111\\x2d1111.slice", "", "", "none");
}

Test(cgroup_path, very_long_paths_are_read_to_their_end)
{
    const size_t depth = 100000;
    CLEANUP_FREE char *path = malloc(depth * 2 + 200);
    size_t size = 0;

    for (size_t i = 0; i < depth; i++) {
        path[size++] = '/';
        path[size++] = 'x';
    }
    check_sized(path, size, "", "", "none", "deep");
    size += (size_t)snprintf(path + size, 200, "/kubepods/pod%s/%s", UUID1, ID_A);
    check_sized(path, size, UUID1, ID_A, "container", "deep");
    memset(path, 'k', depth * 2);
    check_sized(path, depth * 2, "", "", "none", "one long name");
}
