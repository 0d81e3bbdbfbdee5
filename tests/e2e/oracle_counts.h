/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause OR Apache-2.0 */
#pragma once
/* The value of the oracle's map, on both sides. */
#include <linux/types.h>

struct oracle_counts {
    __u64 forks, execs, exits;
};
