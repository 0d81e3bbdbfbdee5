/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kubelet stand-in, serving the node's Pod file. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "tests/e2e/node.h"

struct standin {
    pid_t pid;
    char log[128];
    char source[128]; /* for --source: kubelet:URL */
};

/* Further options end with NULL; it picks a free port. */
bool standin_start(struct standin *standin, const struct node *node, ...);
void standin_stop(struct standin *standin);
/* Boot time at which a Pod was in an answer for the first time; 0: none was yet. */
uint64_t standin_visible_ns(const struct standin *standin);
