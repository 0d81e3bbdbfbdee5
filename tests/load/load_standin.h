/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who tells the enricher of the Pods, when it is not a file: a kubelet or an API server that does not exist, as a process of its own that looks at the PodList of
 * the run (FOLDER/pods.json) and tells each Pod as late as the profile says, with the profile's faults. What it says goes to FOLDER/standin.log.
 */
#include <sys/types.h>

#include "tests/load/load_conf.h"

struct load_standin {
    pid_t pid;        /* 0: none */
    char source[256]; /* the enricher's option */
};

/* Waits until it listens. 0 or negative errno; -ENOENT: its program is not beside this one. With LOAD_STANDIN_NONE the source is the file. */
int load_standin_start(struct load_standin *standin, const struct load_conf *conf, const char *folder);
void load_standin_stop(struct load_standin *standin);
