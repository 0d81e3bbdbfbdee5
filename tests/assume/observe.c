/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/assume/observe.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/cgroup_hierarchy.h"
#include "common/cleanup.h"
#include "common/clock.h"

static enum probe_kind wanted_kind(void)
{
    const char *kind = getenv("PODKIN_PROBE_KIND");

    if (kind && strcmp(kind, "tp_btf") == 0)
        return PROBE_KIND_TP_BTF;
    return kind && strcmp(kind, "raw_tp") == 0 ? PROBE_KIND_RAW_TP : PROBE_KIND_AUTO;
}

unsigned observe_rounds(unsigned rounds)
{
    const char *text = getenv("PODKIN_TEST_SLOWNESS");
    unsigned slowness = text ? (unsigned)strtoul(text, NULL, 10) : 1;

    return slowness > 1 && slowness < rounds ? rounds / slowness : rounds;
}

static struct observer *begin(const struct probe_options *options)
{
    struct observer *observer = calloc(1, sizeof(*observer));
    char error[PROBE_ERROR_MAX] = "";
    int r;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    r = probe_new(&observer->probe, options, error);
    /* Not EACCES: the verifier refuses a program, and that is what is to be found here. */
    if (r == -EPERM || r == -ENOENT)
        cr_skip_test("needs BPF: %s", error);
    cr_assert_eq(r, 0, "%s", error);
    cr_assert_eq(probe_attach(observer->probe, error), 0, "%s", error);
    return observer;
}

struct observer *observe_begin_small(size_t ring_bytes)
{
    const struct probe_options options = {
        .ring_bytes = ring_bytes, .epoch_ns = clock_boot_ns(), .kind = wanted_kind()};

    return begin(&options);
}

struct observer *observe_begin_v1(const char *controller, char **ret_root, uint32_t *ret_id)
{
    struct cgroup_hierarchy_options wanted = {.wanted = CGROUP_HIERARCHY_FIRST_CONTROLLER,
        .mountinfo = "/proc/self/mountinfo",
        .cgroups = "/proc/cgroups"};
    struct probe_options options = {
        .epoch_ns = clock_boot_ns(), .kind = wanted_kind(), .cgroup_controller = controller};
    char error[CGROUP_HIERARCHY_ERROR_MAX] = "";
    struct cgroup_hierarchy hierarchy;

    while (strcmp(cgroup_hierarchy_choices[wanted.wanted], controller) != 0)
        wanted.wanted++;
    if (cgroup_hierarchy_find(&hierarchy, &wanted, error) < 0)
        cr_skip_test("%s", error);
    *ret_root = hierarchy.root;
    *ret_id = options.cgroup_hierarchy_id = hierarchy.id;
    return begin(&options);
}

struct observer *observe_begin(void)
{
    return observe_begin_small(0);
}

void observe_end(struct observer *observer)
{
    probe_free(observer->probe);
    for (size_t i = 0; i < observer->count; i++)
        free(observer->records[i]);
    free(observer->records);
    free(observer->losts);
    free(observer);
}

void observe_forget(struct observer *observer)
{
    for (size_t i = 0; i < observer->count; i++)
        free(observer->records[i]);
    observer->count = 0;
}

void observe_add(struct observer *observer, const struct record_header *record, size_t size)
{
    cr_assert_eq(record_find_fault(record, size), RECORD_FAULT_NONE, "a %s record of %zu bytes is broken: %s",
        record_type_name(record->type), size, record_fault_name(record_find_fault(record, size)));
    if (observer->count == observer->capacity) {
        observer->capacity = observer->capacity ? observer->capacity * 2 : 256;
        observer->records = reallocarray(observer->records, observer->capacity, sizeof(*observer->records));
    }
    observer->records[observer->count] = malloc(size);
    memcpy(observer->records[observer->count++], record, size);
}

static int on_record(const struct record_header *record, size_t size, void *arg)
{
    observe_add(arg, record, size);
    return 0;
}

static void on_lost(const struct record_lost *lost, void *arg)
{
    struct observer *observer = arg;

    cr_assert_eq(record_check(&lost->header, sizeof(*lost)), 0);
    observer->losts = reallocarray(observer->losts, observer->lost_count + 1, sizeof(*lost));
    observer->losts[observer->lost_count++] = *lost;
}

void observe_drain(struct observer *observer)
{
    cr_assert_geq(probe_drain(observer->probe, on_record, observer, 0), 0);
    (void)probe_read_losses(observer->probe, on_lost, observer);
}

const void *observe_find(const struct observer *observer, enum record_type type, pid_t tgid, size_t nth)
{
    for (size_t i = 0; i < observer->count; i++) {
        const struct record_header *record = observer->records[i];

        if (record->type == type && (tgid == 0 || record->tgid == (uint32_t)tgid) && nth-- == 0)
            return record;
    }
    return NULL;
}

size_t observe_count(const struct observer *observer, enum record_type type, pid_t tgid)
{
    size_t count = 0;

    while (observe_find(observer, type, tgid, count))
        count++;
    return count;
}

const char *observe_text(const void *record, struct record_ref ref)
{
    static char buffers[4][RECORD_ARGS_MAX + 1];
    static unsigned int next;
    char *buffer = buffers[next++ % 4];
    struct record_bytes bytes = record_get_bytes(record, ref);

    if (bytes.size)
        memcpy(buffer, bytes.data, bytes.size);
    for (size_t i = 0; i < bytes.size; i++)
        if (!buffer[i])
            buffer[i] = '|';
    buffer[bytes.size] = '\0';
    return buffer;
}

pid_t observe_child(int (*fn)(void *arg), void *arg, int *ret_status)
{
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(fn(arg));
    cr_assert_eq(waitpid(pid, ret_status, 0), pid);
    return pid;
}

int observe_exec(void *argv)
{
    char *const *words = argv;

    (void)execv(words[0], words);
    return 127;
}

const char *observe_cgroup_root(void)
{
    static char root[256];
    CLEANUP_FILE FILE *mounts = setmntent("/proc/self/mounts", "re");
    const struct mntent *entry;

    while (mounts && (entry = getmntent(mounts)))
        if (strcmp(entry->mnt_type, "cgroup2") == 0) {
            (void)snprintf(root, sizeof(root), "%s", entry->mnt_dir);
            return root;
        }
    cr_skip_test("needs a cgroup2 mount");
    return NULL;
}

uint64_t observe_make_cgroup(char path[256], const char *name)
{
    struct stat status;

    (void)snprintf(path, 256, "%s/podkin-assume-%d-%s", observe_cgroup_root(), (int)getpid(), name);
    cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(stat(path, &status), 0);
    return status.st_ino;
}

void observe_write(const char *folder, const char *file, const char *text)
{
    char path[512];
    CLEANUP_CLOSE int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text), "%s: %s", path, strerror(errno));
}

uint32_t observe_inode(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0, "%s: %s", path, strerror(errno));
    return (uint32_t)status.st_ino;
}
