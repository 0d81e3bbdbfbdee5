/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The collector's configuration: command line and file (common/options.h), checked and completed. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "collector/cgroup_hierarchy.h"
#include "common/options.h"

/* When SIGHUP reads the policies anew: the collector keeps for it what loads them. */
enum policy_reload {
    POLICY_RELOAD_AUTO, /* when there was one at the start */
    POLICY_RELOAD_ON,   /* always */
};

struct conf {
    char *socket_path, *peer_user, *cgroup_root, *policy_dir, *config;
    struct option_list policies; /* files; with those of policy_dir: policy_set.h */
    int policy_reload;           /* enum policy_reload */
    bool allow_enforcement;      /* policies may do more than tell */
    uint64_t queue_bytes;        /* a power of two */
    uint64_t ring_bytes;         /* a power of two */
    int hook_kind;               /* enum probe_kind */
    int cgroup_hierarchy;        /* index into cgroup_hierarchy_choices */
    char *record_path;           /* NULL: no recording */
    uint64_t record_max_bytes;
    bool check, version, help;
    bool sandbox; /* what is not needed goes after the start (confine.h) */

    /* found, not given */
    uid_t peer_uid;
    gid_t peer_gid;
    struct cgroup_hierarchy hierarchy;
    bool cgroup_root_is_top; /* else it is a cgroup further down, such as the root of a cgroup namespace */
};

/* Fills *ret; on failure a line in `error`, *ret may be deinit'ed all the same. 0 or -EINVAL and the like. With --help or --version
 * nothing more than the command line is looked at. */
int conf_read(struct conf *ret, int argc, char **argv, char error[OPTIONS_ERROR_MAX]);
void conf_deinit(struct conf *conf);
void conf_print_help(void);

/* A user's name, or a number. 0, -ENOENT: no such user; other negative errno. */
int conf_find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid);
