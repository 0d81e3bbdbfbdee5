/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/cgroup_hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "collector/cgroup_mounts.h"
#include "collector/cgroup_walk.h"
#include "common/cleanup.h"

#define NODE_MOUNT "/sys/fs/cgroup" /* where kubelet and runtimes look for v2 */
#define VISITS_MAX 65536

const char *const cgroup_hierarchy_choices[] = {"auto", "v2", "memory", "pids", "cpu", "cpuacct", "cpuset",
    "devices", "freezer", "blkio", "net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc", NULL};

#define V2 NULL /* where a controller's name stands */

/* What speaks for a hierarchy; the order of the members is that of their weight. */
struct evidence {
    enum { KIND_NOTHING, KIND_CONTAINERS, KIND_PODS } kind;
    unsigned level; /* of the outermost such folder */
    bool populated;
};

__attribute__((format(printf, 3, 4))) static int fail(
    char error[CGROUP_HIERARCHY_ERROR_MAX], int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, CGROUP_HIERARCHY_ERROR_MAX, format, arguments);
    va_end(arguments);
    return r;
}

/* ---- evidence -------------------------------------------------------------------------------------------------- */

static bool name_is(const char *name, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(name, text, size) == 0;
}

static bool name_ends(const char *name, size_t size, const char *text)
{
    size_t end = strlen(text);

    return size >= end && memcmp(name + size - end, text, end) == 0;
}

static int kind_of(const char *name, size_t size)
{
    static const char *const engines[] = {
        "docker", "libpod", "machine.slice", "nerdctl", "crio-", "cri-containerd-"};

    if (name_is(name, size, "kubepods") || name_is(name, size, "kubepods.slice") ||
        name_ends(name, size, "-kubepods.slice"))
        return KIND_PODS;
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        /* the service of an engine is no container */
        if (strncmp(name, engines[i], strlen(engines[i])) == 0 && !name_ends(name, size, ".service"))
            return KIND_CONTAINERS;
    }
    return KIND_NOTHING;
}

/* What a path says: the outermost folder of Pods, else of containers. */
static struct evidence evidence_of_path(const char *path)
{
    struct evidence found = {0};
    unsigned level = 0;

    while (*path) {
        size_t size = strcspn(path, "/");
        int kind = size ? kind_of(path, size) : KIND_NOTHING;

        level += size > 0;
        if (kind == KIND_PODS || (kind == KIND_CONTAINERS && found.kind == KIND_NOTHING)) {
            found.kind = kind;
            found.level = level;
            if (kind == KIND_PODS)
                break;
        }
        path += size;
        path += *path == '/';
    }
    return found;
}

static bool is_better(const struct evidence *a, const struct evidence *b)
{
    if (a->kind != b->kind)
        return a->kind > b->kind;
    if (a->level != b->level)
        return a->level < b->level;
    return a->populated && !b->populated;
}

static bool has_processes(const char *root, const char *path)
{
    char name[PATH_MAX], byte;
    int n = snprintf(name, sizeof(name), "%s%s/cgroup.procs", root, path);
    CLEANUP_CLOSE int fd = n < (int)sizeof(name) ? open(name, O_RDONLY | O_CLOEXEC) : -1;

    return fd >= 0 && read(fd, &byte, 1) == 1;
}

/* Nothing, when the folder cannot be read. */
static struct evidence look_at(const char *root)
{
    struct evidence best = {0};
    struct cgroup_walk *walk = NULL;
    struct cgroup_walk_entry entry;

    if (cgroup_walk_open(&walk, root) < 0)
        return best;
    for (unsigned visits = 0; visits < VISITS_MAX && cgroup_walk_next(walk, &entry) == 1; visits++) {
        struct evidence found = evidence_of_path(entry.path);

        if (found.kind == KIND_NOTHING || is_better(&best, &found))
            continue;
        found.populated = has_processes(root, entry.path);
        if (is_better(&found, &best))
            best = found;
    }
    cgroup_walk_close(walk);
    return best;
}

/* ---- the choice ------------------------------------------------------------------------------------------------ */

static const char *reason_of(const struct evidence *evidence)
{
    if (evidence->kind == KIND_NOTHING)
        return "no containers yet, and kubelet and runtimes use v1 where it is mounted";
    if (evidence->kind == KIND_PODS)
        return evidence->populated ? "there are Pods in it" : "there are Pods' folders in it";
    return "there are containers in it";
}

struct choice {
    const struct cgroup_mount *mount; /* NULL: none */
    const char *controller;           /* or V2 */
    struct evidence evidence;
};

static struct choice choose_v1(const struct cgroup_mounts *mounts)
{
    struct choice best = {0};

    for (size_t i = CGROUP_HIERARCHY_FIRST_CONTROLLER; cgroup_hierarchy_choices[i]; i++) {
        struct choice choice = {
            cgroup_mounts_find(mounts, cgroup_hierarchy_choices[i]), cgroup_hierarchy_choices[i], {0}};

        if (!choice.mount)
            continue;
        choice.evidence = look_at(choice.mount->point);
        if (!best.mount || is_better(&choice.evidence, &best.evidence))
            best = choice;
    }
    return best;
}

static struct choice choose(const struct cgroup_mounts *mounts, const char **ret_reason)
{
    const struct cgroup_mount *node = cgroup_mounts_at(mounts, NODE_MOUNT);
    struct choice v2 = {cgroup_mounts_find(mounts, V2), V2, {0}}, v1;

    *ret_reason = "v2 is mounted on " NODE_MOUNT;
    if (v2.mount && node && !node->controllers)
        return v2;
    v1 = choose_v1(mounts);
    *ret_reason = "no v1 controller is mounted";
    if (!v1.mount)
        return v2;
    if (v2.mount)
        v2.evidence = look_at(v2.mount->point);
    if (is_better(&v2.evidence, &v1.evidence) ||
        (v2.evidence.populated && !is_better(&v1.evidence, &v2.evidence)))
        v1 = v2;
    *ret_reason = reason_of(&v1.evidence);
    return v1;
}

/* The kernel's number of a v1 controller's hierarchy: "#subsys_name hierarchy num_cgroups enabled". */
static int find_id(const char *path, const char *controller, uint32_t *ret)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    char line[256], name[64];
    unsigned id;

    if (!file)
        return -errno;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%63s %u", name, &id) == 2 &&
            strcmp(name, controller) == 0) { /* NOLINT(cert-err34-c) */
            *ret = id;
            return id ? 0 : -ENOENT; /* 0: it is on the v2 hierarchy, or off */
        }
    }
    return -ENOENT;
}

/* The v1 mount that shows this folder; NULL: none. */
static const struct cgroup_mount *mount_of(const struct cgroup_mounts *mounts, const char *root)
{
    const struct cgroup_mount *best = NULL;
    size_t best_size = 0;

    for (size_t i = 0; i < mounts->count; i++) {
        const struct cgroup_mount *mount = &mounts->list[i];
        size_t size = strlen(mount->point);

        if (size >= best_size && strncmp(root, mount->point, size) == 0 &&
            (!root[size] || root[size] == '/')) {
            best = mount;
            best_size = size;
        }
    }
    return best && best->controllers ? best : NULL;
}

/* The controller that is wanted, when it is one of that mount's; else the first of them. NULL: it has none. */
static const char *controller_at(const struct cgroup_mounts *mounts, const char *root, int wanted)
{
    const struct cgroup_mount *mount = mount_of(mounts, root);

    if (mount && wanted >= CGROUP_HIERARCHY_FIRST_CONTROLLER &&
        cgroup_mount_has(mount, cgroup_hierarchy_choices[wanted]))
        return cgroup_hierarchy_choices[wanted];
    for (size_t i = CGROUP_HIERARCHY_FIRST_CONTROLLER; mount && cgroup_hierarchy_choices[i]; i++) {
        if (cgroup_mount_has(mount, cgroup_hierarchy_choices[i]))
            return cgroup_hierarchy_choices[i];
    }
    return NULL;
}

/* --cgroup-root says which hierarchy, --cgroup-hierarchy must agree. */
static int use_root(struct cgroup_hierarchy *ret, const struct cgroup_mounts *mounts,
    const struct cgroup_hierarchy_options *options, char error[CGROUP_HIERARCHY_ERROR_MAX])
{
    const char *wanted = cgroup_hierarchy_choices[options->wanted], *name = "v2";
    struct statfs status;

    if (statfs(options->root, &status) < 0)
        return fail(error, -errno, "--cgroup-root: %.128s: %s", options->root, strerror(errno));
    if (status.f_type == CGROUP_SUPER_MAGIC)
        name = controller_at(mounts, options->root, options->wanted);
    if ((status.f_type != CGROUP2_SUPER_MAGIC && status.f_type != CGROUP_SUPER_MAGIC) || !name)
        return fail(error, -EINVAL,
            "--cgroup-root: %.128s: expected a folder of a cgroup2 mount, or of a v1 controller's",
            options->root);
    if (options->wanted != CGROUP_HIERARCHY_AUTO && strcmp(name, wanted) != 0)
        return fail(error, -EINVAL, "--cgroup-root: %.128s: is of %s, but --cgroup-hierarchy is %s",
            options->root, name, wanted);
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->root = strdup(options->root);
    ret->reason = "--cgroup-root is of it";
    return ret->root ? 0 : fail(error, -ENOMEM, "out of memory");
}

static int use_mounts(struct cgroup_hierarchy *ret, const struct cgroup_mounts *mounts,
    const struct cgroup_hierarchy_options *options, char error[CGROUP_HIERARCHY_ERROR_MAX])
{
    const char *wanted = cgroup_hierarchy_choices[options->wanted];
    struct choice choice = {.controller = options->wanted == CGROUP_HIERARCHY_V2 ? V2 : wanted};

    ret->reason = "by --cgroup-hierarchy";
    if (options->wanted == CGROUP_HIERARCHY_AUTO)
        choice = choose(mounts, &ret->reason);
    else
        choice.mount = cgroup_mounts_find(mounts, choice.controller);
    if (!choice.mount && options->wanted == CGROUP_HIERARCHY_AUTO)
        return fail(
            error, -ENOENT, "--cgroup-root: no cgroup hierarchy is mounted; expected one, or where it is");
    if (!choice.mount)
        return fail(error, -ENOENT, "--cgroup-hierarchy: %s is not mounted%s", wanted,
            choice.controller ? " as a v1 hierarchy" : "");
    (void)snprintf(ret->name, sizeof(ret->name), "%s", choice.controller ? choice.controller : "v2");
    ret->root = strdup(choice.mount->point);
    return ret->root ? 0 : fail(error, -ENOMEM, "out of memory");
}

int cgroup_hierarchy_find(struct cgroup_hierarchy *ret, const struct cgroup_hierarchy_options *options,
    char error[CGROUP_HIERARCHY_ERROR_MAX])
{
    CLEANUP_FILE FILE *mountinfo = fopen(options->mountinfo, "re");
    CLEANUP(cgroup_mounts_deinit) struct cgroup_mounts mounts = {0};
    int r;

    *ret = (struct cgroup_hierarchy){0};
    if (!mountinfo)
        return fail(error, -errno, "%s: %s", options->mountinfo, strerror(errno));
    if (cgroup_mounts_read(&mounts, mountinfo) < 0)
        return fail(error, -ENOMEM, "out of memory");
    r = options->root ? use_root(ret, &mounts, options, error) : use_mounts(ret, &mounts, options, error);
    if (r < 0 || strcmp(ret->name, "v2") == 0)
        return r;
    r = find_id(options->cgroups, ret->name, &ret->id);
    if (r < 0)
        return fail(error, r, "--cgroup-hierarchy: %s: %s", ret->name,
            r == -ENOENT ? "is no v1 controller of this kernel" : strerror(-r));
    return 0;
}

void cgroup_hierarchy_deinit(struct cgroup_hierarchy *hierarchy)
{
    free(hierarchy->root);
    *hierarchy = (struct cgroup_hierarchy){0};
}
