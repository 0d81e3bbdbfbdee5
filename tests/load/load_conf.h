/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* podkin-load's options. A profile is a file of the same keys (common/options.h), so that a run can be repeated from one file and one seed. */
#include <stdbool.h>
#include <stdint.h>

#include "common/options.h"

#define LOAD_LIMIT_ROUNDS_MAX 9

enum load_standin_kind { LOAD_STANDIN_NONE, LOAD_STANDIN_KUBELET, LOAD_STANDIN_APISERVER };

struct load_conf {
    char *profile;                       /* the file */
    char *enricher;                      /* the program; NULL: podkin-enricher beside this one */
    struct option_list enricher_options; /* handed on */
    char *folder;                        /* where it works; NULL: a new one under /tmp, removed at the end */
    char *replay;                        /* a recording in place of made-up records; NULL: none */
    char *replay_speed_text;
    double replay_speed;        /* 2: twice as fast; 0: as fast as they are taken */
    char *json, *html;          /* reports; NULL: none */
    uint64_t rate;              /* events a second; 0: closed loop, as many as are taken */
    uint64_t duration_ns, seed; /* duration 0: until the recording ends */
    uint64_t pods, containers,
        processes;                     /* containers a Pod; processes a container, alive at the beginning */
    uint64_t metadata_delay_ns;        /* of all Pods, from the beginning */
    int standin;                       /* enum load_standin_kind: who tells of the Pods; NONE: a file */
    char *standin_delay;               /* a distribution (standin_delay.h) of each Pod's own; NULL: none */
    struct option_list standin_faults; /* standin_fault.h */
    uint64_t churn_ns;                 /* a Pod goes and another comes; 0: never */
    uint64_t burst_ns, pause_ns;       /* the rate for burst, then nothing for pause; 0: steady */
    uint64_t weight_spawn;             /* fork, exec, exit of a short life */
    uint64_t weight_worker;            /* fork of a worker, exit of an older one: a pre-forking server */
    uint64_t weight_deep;              /* fork, exec in a growing chain, then the exits from its end */
    uint64_t weight_hook;              /* a policy's hook in a process that lives */
    uint64_t queue_bytes;
    bool find_limit;
    uint64_t limit_rounds; /* of it */
    uint64_t of_limit;     /* percent of the limit, which is found first, in place of a rate; 0: no */
    bool rate_given;
    uint64_t fail_rss_growth; /* percent, from the first third of the run to its end */
    uint64_t fail_lost, fail_p99_ns, fail_without_pod, fail_rss_bytes; /* thresholds; UINT64_MAX: none */
    bool version, help;
};

/* 0 or -EINVAL (or what opening the profile gave), with one line in `error`. */
int load_conf_read(struct load_conf *ret, int argc, char **argv, char error[OPTIONS_ERROR_MAX]);
void load_conf_print_help(void);
void load_conf_deinit(struct load_conf *conf);
