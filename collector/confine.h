/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The collector's staircase: everything that needs privileges has been opened, and they go.
 *
 *   no new privileges, no core ─► capabilities: none, or CAP_BPF and CAP_PERFMON where there are policies, which may be read anew ─► system calls of the steady state
 *
 * Policies are read anew by SIGHUP, in the process that runs: a restart would leave a gap in which nothing is hooked. What that costs is two capabilities and the calls that load
 * programs, and only where policies are used at all. In the steady state there is no socket(2): peers come by accept4(2) from the one listener.
 */
#include <stdbool.h>

/* 0 or negative errno, with one line logged about what failed or what this kernel lacks. */
int confine_collector(bool has_policies);
