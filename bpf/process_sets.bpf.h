/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * The sets of the policies' selectors that a process is in (hook_process.bpf.h), in task storage of its thread-group leader. A map of its own: which bit means
 * which set is one collector's word, and the next begins anew.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/hook_config.h"

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct hook_process_bits);
} process_sets SEC(".maps");
