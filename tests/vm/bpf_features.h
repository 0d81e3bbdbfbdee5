/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause OR Apache-2.0 */
#pragma once
/* What the programs of bpf_features.bpf.c tell bpf_features.c. */
#include <linux/types.h>

#define FEATURE_PATH_MAX 256

struct feature_state {
    __u64 hits;
    __s64 value;                 /* what the helper under test returned */
    char path[FEATURE_PATH_MAX]; /* d_path */
};
