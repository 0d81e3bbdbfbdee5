/* SPDX-License-Identifier: Apache-2.0 */
#include "common/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* From a later interface than the headers of our baseline: linux/landlock.h */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14) /* version 3 */
#endif
#define ACCESS_FS_IOCTL_DEV    (UINT64_C(1) << 15) /* version 5 */
#define SCOPE_ABSTRACT_SOCKETS (UINT64_C(1) << 0)  /* version 6 */
#define SCOPE_SIGNALS          (UINT64_C(1) << 1)

/* Of version 6: struct landlock_ruleset_attr grows at its end, and older kernels take what they know when the rest is not passed. */
struct ruleset {
    uint64_t files, ports, scopes;
};

/* ---- privileges --------------------------------------------------------------------------------------------------- */

int sandbox_begin(void)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    return 0;
}

/* Both need CAP_SETPCAP. Without it nothing can be gained either: there are no new privileges. */
static int close_bounds(uint64_t keep)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    for (unsigned long cap = 0; cap < 64; cap++) {
        if (keep & UINT64_C(1) << cap || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) <= 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EPERM ? 0 : -errno;
    }
    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 && errno != EPERM ? -errno : 0;
}

static int get_capabilities(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static bool has_none(const struct __user_cap_data_struct data[2])
{
    return (data[0].permitted | data[1].permitted | data[0].inheritable | data[1].inheritable) == 0;
}

uint64_t sandbox_get_capabilities(void)
{
    struct __user_cap_data_struct data[2] = {{0}};

    return get_capabilities(data) < 0 ? 0 : data[0].effective | (uint64_t)data[1].effective << 32;
}

int sandbox_keep_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    int r = close_bounds(keep);

    if (r < 0)
        return r;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    r = get_capabilities(data);
    if (r < 0)
        return r;
    if (has_none(data)) /* a unit's filter of system calls may forbid capset(2): there is nothing to set */
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(keep >> 32 * i);
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

#define FILE_READ  LANDLOCK_ACCESS_FS_READ_FILE
#define FILE_WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define FOLDER_WRITE                                                                                         \
    (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_SOCK)

/* What each version of the interface can forbid; all of it is forbidden unless a path allows it. */
static void fill_ruleset(struct ruleset *ruleset, size_t *ret_size, int version)
{
    *ruleset = (struct ruleset){.files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    *ret_size = sizeof(ruleset->files);
    if (version >= 2)
        ruleset->files |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        ruleset->files |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (version >= 5)
        ruleset->files |= ACCESS_FS_IOCTL_DEV;
    if (version >= 6) {
        ruleset->scopes = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
        *ret_size = sizeof(*ruleset);
    }
}

static int allow_path(int ruleset_fd, uint64_t handled, const struct sandbox_path *path)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = FILE_READ};
    CLEANUP_CLOSE int fd = open(path->path, O_PATH | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (path->access == SANDBOX_WRITE)
        rule.allowed_access |= FILE_WRITE;
    if (S_ISDIR(st.st_mode)) {
        rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
        if (path->access == SANDBOX_WRITE)
            rule.allowed_access |= FOLDER_WRITE;
    }
    rule.allowed_access &= handled;
    rule.parent_fd = fd;
    return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int sandbox_allow_paths(const struct sandbox_path *paths, size_t count, int *ret_version)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    CLEANUP_CLOSE int fd = -1;
    struct ruleset ruleset;
    size_t size;
    int r = 0;

    if (version < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
    *ret_version = (int)version;
    fill_ruleset(&ruleset, &size, (int)version);
    fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    if (fd < 0)
        return -errno;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = allow_path(fd, ruleset.files, &paths[i]);
    if (r == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        r = -errno;
    return r;
}

/* ---- system calls ------------------------------------------------------------------------------------------------- */

/* What no daemon of ours has a reason to try. */
static const char *const deadly[] = {"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv",
    "process_vm_writev", "init_module", "finit_module", "kexec_load", "mount", "pivot_root", "setns",
    "unshare", "userfaultfd", "add_key", "keyctl"};

static int add_call(scmp_filter_ctx filter, const struct sandbox_call *call)
{
    int number = seccomp_syscall_resolve_name(call->name);
    struct scmp_arg_cmp comparison = {.arg = call->argument, .datum_a = call->value};

    if (number == __NR_SCMP_ERROR)
        return -ENOSYS;
    switch (call->compare) {
    case SANDBOX_ANY:
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 0, NULL);
    case SANDBOX_EQUAL:
        comparison.op = SCMP_CMP_EQ;
        break;
    case SANDBOX_NOT_EQUAL:
        comparison.op = SCMP_CMP_NE;
        break;
    case SANDBOX_ALL_BITS:
        comparison.op = SCMP_CMP_MASKED_EQ;
        comparison.datum_b = call->value;
        break;
    case SANDBOX_NO_BITS:
        comparison.op = SCMP_CMP_MASKED_EQ;
        comparison.datum_b = 0;
        break;
    }
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &comparison);
}

static int fill_filter(
    scmp_filter_ctx filter, const struct sandbox_call *const *lists, const size_t *counts, size_t list_count)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

    for (size_t i = 0; r == 0 && i < list_count; i++) {
        for (size_t k = 0; r == 0 && k < counts[i]; k++)
            r = add_call(filter, &lists[i][k]);
    }
    for (size_t i = 0; r == 0 && i < sizeof(deadly) / sizeof(deadly[0]); i++)
        r = seccomp_rule_add_array(
            filter, SCMP_ACT_KILL_PROCESS, seccomp_syscall_resolve_name(deadly[i]), 0, NULL);
    /* Its arguments are in memory: not to be judged. The library falls back on clone(2). */
    if (r == 0)
        r = seccomp_rule_add_array(
            filter, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name("clone3"), 0, NULL);
    return r;
}

/* A sanitizer's library makes calls of its own, at the end even those of a debugger. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

bool sandbox_filters_calls(void)
{
    return !SANITIZED;
}

int sandbox_allow_calls(const struct sandbox_call *const *lists, const size_t *counts, size_t list_count)
{
    scmp_filter_ctx filter;
    int r;

    if (!sandbox_filters_calls())
        return -EOPNOTSUPP;
    filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    r = fill_filter(filter, lists, counts, list_count);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r == -ECANCELED || r == -EINVAL ? -EOPNOTSUPP : r;
}
