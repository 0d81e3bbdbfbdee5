/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every path, on paths made at random of what real ones are made of; the seed is fixed, or PODKIN_SEED. */
#include "enricher/cgroup_path.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define PATHS          150000
#define COMPONENT_MAX  4096
#define COMPONENTS_MAX 9

struct path {
    char data[COMPONENTS_MAX * (COMPONENT_MAX + 1)];
    size_t size;
};

static uint64_t state;

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t below(size_t end)
{
    return (size_t)(next_random() % end);
}

static void put(struct path *path, const char *text, size_t size)
{
    if (size > sizeof(path->data) - path->size)
        size = sizeof(path->data) - path->size;
    memcpy(path->data + path->size, text, size);
    path->size += size;
}

static void put_text(struct path *path, const char *text)
{
    put(path, text, strlen(text));
}

/* Most often as long as it should be, and of the right digits. */
static void put_hex(struct path *path, size_t digits)
{
    static const char all[] = "0123456789abcdefABCDEFg-_.";
    size_t kinds = below(8) ? 16 : sizeof(all) - 1;

    if (below(8) == 0)
        digits += below(4) - 2;
    for (size_t i = 0; i < digits && i < 100; i++)
        put(path, &all[below(kinds)], 1);
}

static void put_uid(struct path *path)
{
    static const size_t groups[] = {8, 4, 4, 4, 12};

    if (below(4) == 0) {
        put_hex(path, 32);
        return;
    }
    for (size_t i = 0; i < 5; i++) {
        if (i)
            put_text(path, below(2) ? "-" : "_");
        put_hex(path, groups[i]);
    }
}

static void put_noise(struct path *path)
{
    static const char *const words[] = {"", ".", "..", "\xc3\xa9\xe2\x82\xac", "\xff\xfe", "system.slice",
        "docker.service", "init.scope", "x", "pod", "kubepods-pod", ":", "::", "kubepods:x:", "container",
        "\\x2d", "-", "user@1000.service"};
    char byte;

    switch (below(8)) {
    case 0: /* one as long as a name or a path can be */
        for (size_t i = below(2) ? 255 : COMPONENT_MAX; i > 0; i--)
            put(path, "kpod-a0:.\xe2"[below(10)] ? "k" : "p", 1);
        break;
    case 1:
        for (size_t i = below(40); i > 0; i--) {
            byte = (char)next_random();
            put(path, &byte, 1);
        }
        break;
    default:
        put_text(path, words[below(sizeof(words) / sizeof(words[0]))]);
    }
}

static void put_component(struct path *path)
{
    static const char *const kubepods[] = {
        "kubepods", "kubepods.slice", "burstable", "kubepods-besteffort.slice", "kubelet-kubepods.slice"};
    static const char *const prefixes[] = {
        "", "cri-containerd-", "crio-", "docker-", "crio-conmon-", "libpod-", "new-"};
    static const char *const slices[] = {
        "kubepods-pod", "kubepods-burstable-pod", "a-b-kubepods-besteffort-pod"};

    put_text(path, "/");
    switch (below(6)) {
    case 0:
        put_text(path, kubepods[below(5)]);
        break;
    case 1:
        put_text(path, "pod");
        put_uid(path);
        break;
    case 2:
        put_text(path, slices[below(3)]);
        put_uid(path);
        put_text(path, below(4) ? ".slice" : ".slice:cri-containerd:");
        if (below(2))
            put_hex(path, 64);
        break;
    case 3:
        put_text(path, prefixes[below(7)]);
        put_hex(path, 64);
        put_text(path, below(2) ? ".scope" : "");
        break;
    default:
        put_noise(path);
    }
}

/* An exact heap copy: a read behind the end is seen by the address sanitizer. */
static void parse(const struct path *path, struct cgroup_identity *ret)
{
    CLEANUP_FREE char *copy = malloc(path->size ? path->size : 1);

    cr_assert_not_null(copy);
    memcpy(copy, path->data, path->size);
    memset(ret, 0xa5, sizeof(*ret));
    cgroup_path_parse(copy, path->size, ret);
}

/* The UID stands behind "pod", with the underscores that a slice has in place of dashes. */
static bool has_uid(const struct path *path, const char *uid)
{
    size_t size = strlen(uid);

    for (size_t at = 3; at + size <= path->size; at++) {
        bool same = memcmp(path->data + at - 3, "pod", 3) == 0;

        for (size_t i = 0; i < size && same; i++)
            same = path->data[at + i] == uid[i] || (uid[i] == '-' && path->data[at + i] == '_');
        if (same)
            return true;
    }
    return false;
}

static bool is_id(const char *id)
{
    return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}

static void check_identity(const struct path *path, const struct cgroup_identity *got)
{
    const char *shown = path->size < 400 ? path->data : "(long)";
    int size = path->size < 400 ? (int)path->size : 6;

    cr_assert(memchr(got->pod_uid, 0, sizeof(got->pod_uid)) &&
                  memchr(got->container_id, 0, sizeof(got->container_id)),
        "%.*s", size, shown);
    cr_assert(got->role >= CGROUP_ROLE_NONE && got->role <= CGROUP_ROLE_MONITOR, "%.*s", size, shown);
    cr_assert(
        !got->pod_uid[0] || has_uid(path, got->pod_uid), "%s is not in %.*s", got->pod_uid, size, shown);
    cr_assert(!got->container_id[0] || is_id(got->container_id), "%.*s", size, shown);
    cr_assert(!got->container_id[0] || memmem(path->data, path->size, got->container_id, 64),
        "%s is not in %.*s", got->container_id, size, shown);
    switch (got->role) {
    case CGROUP_ROLE_NONE:
        cr_assert(!got->pod_uid[0] && !got->container_id[0], "%.*s", size, shown);
        break;
    case CGROUP_ROLE_POD:
        cr_assert(got->pod_uid[0] && !got->container_id[0], "%.*s", size, shown);
        break;
    default:
        cr_assert(got->container_id[0], "%.*s", size, shown);
    }
}

static void begin(void)
{
    const char *seed = getenv("PODKIN_SEED");

    state = seed ? strtoull(seed, NULL, 0) : 20261123;
}

TestSuite(cgroup_path_random, .init = begin);

Test(cgroup_path_random, what_is_found_stands_in_the_path)
{
    static struct path path;
    size_t containers = 0, pods = 0;

    for (size_t i = 0; i < PATHS; i++) {
        struct cgroup_identity got;

        path.size = 0;
        for (size_t n = below(COMPONENTS_MAX); n > 0; n--)
            put_component(&path);
        parse(&path, &got);
        check_identity(&path, &got);
        pods += got.pod_uid[0] != 0;
        containers += got.pod_uid[0] && got.container_id[0];
    }
    cr_expect_gt(pods, PATHS / 10, "the generator makes too few Pods: %zu", pods);
    cr_expect_gt(containers, PATHS / 20, "the generator makes too few containers: %zu", containers);
}

/* What a workload makes below its own cgroup changes nothing. */
Test(cgroup_path_random, what_is_below_a_pods_container_says_nothing)
{
    static struct path path;

    for (size_t i = 0; i < PATHS; i++) {
        struct cgroup_identity above, got;

        path.size = 0;
        put_text(&path, below(2) ? "/kubepods" : "/system.slice/docker-");
        if (path.size > 10) {
            for (size_t n = 0; n < 64; n++)
                put_text(&path, "a");
            put_text(&path, ".scope/kubelet/kubepods");
        }
        put_text(&path, "/pod");
        put_uid(&path);
        put_text(&path, "/");
        for (size_t n = 0; n < 64; n++)
            put(&path, &"0123456789abcdef"[below(16)], 1);
        parse(&path, &above);
        cr_assert_eq(above.role, CGROUP_ROLE_CONTAINER, "%.*s", (int)path.size, path.data);
        for (size_t n = below(4) + 1; n > 0; n--)
            put_component(&path);
        parse(&path, &got);
        cr_assert_eq(got.role, above.role);
        cr_assert_str_eq(got.pod_uid, above.pod_uid);
        cr_assert_str_eq(got.container_id, above.container_id);
    }
}

/* What is below a Pod's own cgroup may name a container, never another Pod. */
Test(cgroup_path_random, what_is_below_a_pod_is_of_that_pod)
{
    static struct path path;

    for (size_t i = 0; i < PATHS; i++) {
        struct cgroup_identity above, got;

        path.size = 0;
        put_text(&path, "/kubepods.slice/kubepods-pod");
        put_uid(&path);
        put_text(&path, ".slice");
        parse(&path, &above);
        for (size_t n = below(4) + 1; n > 0; n--)
            put_component(&path);
        parse(&path, &got);
        cr_assert_str_eq(
            got.pod_uid, above.pod_uid, "%.*s", (int)(path.size < 400 ? path.size : 400), path.data);
    }
}
