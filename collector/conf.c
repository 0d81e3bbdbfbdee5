/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/conf.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/probe.h"
#include "common/cleanup.h"
#include "common/handoff_message.h"
#include "common/queue_layout.h"
#include "common/unix_socket.h"

#define QUEUE_BYTES_DEFAULT (UINT64_C(64) << 20)
#define RING_BYTES_DEFAULT  (UINT64_C(16) << 20)
#define RECORD_MAX_DEFAULT  (UINT64_C(1) << 30)
#define RECORD_MAX_MIN      (UINT64_C(1) << 20)
#define RING_BYTES_MIN      (UINT64_C(256) << 10)
#define RING_BYTES_MAX      (UINT64_C(1) << 30)
#define CGROUP_TOP_INO      1 /* kernfs numbers from the root on */
#define POLICY_DIR_DEFAULT  "/etc/podkin/policies.d"
#define CONFIG_DEFAULT      "/etc/podkin/collector.conf"

static const char *const policy_reloads[] = {[POLICY_RELOAD_AUTO] = "auto", [POLICY_RELOAD_ON] = "on", NULL};
static const char *const hook_kinds[] = {
    [PROBE_KIND_AUTO] = "auto", [PROBE_KIND_TP_BTF] = "tp_btf", [PROBE_KIND_RAW_TP] = "raw_tp", NULL};

#define SPEC_COUNT 18

static void make_specs(struct option_spec specs[SPEC_COUNT], struct conf *conf)
{
    const struct option_spec all[SPEC_COUNT] = {
        {"socket", OPTION_STRING, &conf->socket_path, "PATH",
            "where the enricher attaches (" HANDOFF_SOCKET_DEFAULT ")", NULL, 0, 0},
        {"peer-user", OPTION_STRING, &conf->peer_user, "USER",
            "the one user, by name or number, who may attach (podkin)", NULL, 0, 0},
        {"cgroup-hierarchy", OPTION_CHOICE, &conf->cgroup_hierarchy, "NAME",
            "which cgroups tell containers apart: auto, v2 or a v1 controller (auto)",
            cgroup_hierarchy_choices, 0, 0},
        {"cgroup-root", OPTION_STRING, &conf->cgroup_root, "DIR",
            "where that hierarchy is mounted (found in /proc/self/mountinfo)", NULL, 0, 0},
        {"queue-size", OPTION_SIZE, &conf->queue_bytes, "BYTES",
            "queue to the enricher, rounded up to a power of two (64M)", NULL, QUEUE_DATA_BYTES_MIN,
            QUEUE_DATA_BYTES_MAX},
        {"ring-size", OPTION_SIZE, &conf->ring_bytes, "BYTES",
            "ring buffer in the kernel, rounded up to a power of two (16M)", NULL, RING_BYTES_MIN,
            RING_BYTES_MAX},
        {"policy-dir", OPTION_STRING, &conf->policy_dir, "DIR",
            "policies for more hooks, *.yaml (" POLICY_DIR_DEFAULT ", if it is there)", NULL, 0, 0},
        {"policy", OPTION_STRINGS, &conf->policies, "FILE", "one policy file more; repeatable", NULL, 0, 0},
        {"policy-reload", OPTION_CHOICE, &conf->policy_reload, "auto|on",
            "keep what loads policies, for SIGHUP: when there was one at the start, or always (auto)",
            policy_reloads, 0, 0},
        {"allow-enforcement", OPTION_BOOL, &conf->allow_enforcement, "on|off",
            "policies may kill, signal and override; else such are refused (off)", NULL, 0, 0},
        {"hook-kind", OPTION_CHOICE, &conf->hook_kind, "KIND",
            "how process life is hooked: auto, tp_btf or raw_tp (auto)", hook_kinds, 0, 0},
        {"record", OPTION_STRING, &conf->record_path, "FILE",
            "write the records into FILE as well, for podkin-load (not)", NULL, 0, 0},
        {"record-max-bytes", OPTION_SIZE, &conf->record_max_bytes, "BYTES", "where that ends (1G)", NULL,
            RECORD_MAX_MIN, 0},
        {"sandbox", OPTION_BOOL, &conf->sandbox, "on|off",
            "give up capabilities and system calls that are not needed any more (on)", NULL, 0, 0},
        {"config", OPTION_STRING, &conf->config, "FILE",
            "configuration file (" CONFIG_DEFAULT ", which may be missing)", NULL, 0, 0},
        {"check", OPTION_FLAG, &conf->check, NULL, "read and check everything, then stop", NULL, 0, 0},
        {"version", OPTION_FLAG, &conf->version, NULL, "print the version", NULL, 0, 0},
        {"help", OPTION_FLAG, &conf->help, NULL, "print this", NULL, 0, 0},
    };

    memcpy(specs, all, sizeof(all));
}

void conf_print_help(void)
{
    struct option_spec specs[SPEC_COUNT];
    struct conf none = {0};

    make_specs(specs, &none);
    options_print_help(specs, SPEC_COUNT);
}

static int fail(char error[OPTIONS_ERROR_MAX], int r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(char error[OPTIONS_ERROR_MAX], int r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(error, OPTIONS_ERROR_MAX, format, args);
    va_end(args);
    return r;
}

static uint64_t round_up(uint64_t bytes)
{
    uint64_t power = 1;

    while (power < bytes)
        power <<= 1;
    return power;
}

int conf_find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    CLEANUP_FREE char *buffer = malloc(1 << 16);
    struct passwd entry, *found = NULL;
    unsigned long number;
    char *end;
    int r;

    if (!buffer)
        return -ENOMEM;
    r = getpwnam_r(name, &entry, buffer, 1 << 16, &found);
    if (!found && *name >= '0' && *name <= '9') {
        errno = 0;
        number = strtoul(name, &end, 10);
        if (errno != 0 || *end || number >= (uid_t)-1)
            return -ENOENT;
        r = getpwuid_r((uid_t)number, &entry, buffer, 1 << 16, &found);
        if (!found) { /* a number needs no entry: its group is the same number */
            *ret_uid = (uid_t)number;
            *ret_gid = (gid_t)number;
            return 0;
        }
    }
    if (!found)
        return r == 0 || r == ENOENT || r == ESRCH ? -ENOENT : -r;
    *ret_uid = found->pw_uid;
    *ret_gid = found->pw_gid;
    return 0;
}

static int complete_cgroup_hierarchy(struct conf *conf, char error[OPTIONS_ERROR_MAX])
{
    const struct cgroup_hierarchy_options options = {.wanted = conf->cgroup_hierarchy,
        .root = conf->cgroup_root,
        .mountinfo = "/proc/self/mountinfo",
        .cgroups = "/proc/cgroups"};
    struct stat root;
    int r = cgroup_hierarchy_find(&conf->hierarchy, &options, error);

    if (r < 0)
        return r;
    if (stat(conf->hierarchy.root, &root) < 0)
        return fail(error, -errno, "--cgroup-root: %s: %s", conf->hierarchy.root, strerror(errno));
    conf->cgroup_root_is_top = root.st_ino == CGROUP_TOP_INO;
    return 0;
}

/* The one by default need not be there. */
static int check_policy_dir(struct conf *conf, char error[OPTIONS_ERROR_MAX])
{
    CLEANUP_DIR DIR *dir = opendir(conf->policy_dir ? conf->policy_dir : POLICY_DIR_DEFAULT);

    if (!dir && conf->policy_dir)
        return fail(error, -errno, "--policy-dir: %s: %s", conf->policy_dir, strerror(errno));
    if (!dir || conf->policy_dir)
        return 0;
    conf->policy_dir = strdup(POLICY_DIR_DEFAULT);
    return conf->policy_dir ? 0 : fail(error, -ENOMEM, "%s", strerror(ENOMEM));
}

static int set_defaults(struct conf *conf)
{
    *conf = (struct conf){.queue_bytes = QUEUE_BYTES_DEFAULT,
        .ring_bytes = RING_BYTES_DEFAULT,
        .sandbox = true,
        .record_max_bytes = RECORD_MAX_DEFAULT};
    conf->socket_path = strdup(HANDOFF_SOCKET_DEFAULT);
    conf->peer_user = strdup("podkin");
    conf->config = strdup(CONFIG_DEFAULT);
    return conf->socket_path && conf->peer_user && conf->config ? 0 : -ENOMEM;
}

int conf_read(struct conf *ret, int argc, char **argv, char error[OPTIONS_ERROR_MAX])
{
    struct option_spec specs[SPEC_COUNT];
    int rest = 0, r;

    r = set_defaults(ret);
    if (r < 0)
        return fail(error, r, "%s", strerror(-r));
    make_specs(specs, ret);
    r = options_parse(specs, SPEC_COUNT, argc, argv, &rest, error);
    if (r < 0 || ret->help || ret->version)
        return r;
    if (rest > 0)
        return fail(error, -EINVAL, "%.100s: expected options only", argv[1]);
    r = unix_check_path(ret->socket_path);
    if (r < 0)
        return fail(error, r, "--socket: %.120s: %s", ret->socket_path, strerror(-r));
    ret->queue_bytes = round_up(ret->queue_bytes);
    ret->ring_bytes = round_up(ret->ring_bytes);
    r = conf_find_user(ret->peer_user, &ret->peer_uid, &ret->peer_gid);
    if (r == -ENOENT)
        return fail(error, r, "--peer-user: no user '%.64s': expected a name or a number", ret->peer_user);
    if (r < 0)
        return fail(error, r, "--peer-user: '%.64s': %s", ret->peer_user, strerror(-r));
    r = complete_cgroup_hierarchy(ret, error);
    if (r == 0)
        r = check_policy_dir(ret, error);
    return r;
}

void conf_deinit(struct conf *conf)
{
    free(conf->socket_path);
    free(conf->peer_user);
    free(conf->cgroup_root);
    cgroup_hierarchy_deinit(&conf->hierarchy);
    free(conf->policy_dir);
    free(conf->record_path);
    option_list_deinit(&conf->policies);
    free(conf->config);
    *conf = (struct conf){0};
}
