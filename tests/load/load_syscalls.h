/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The system calls of a process, all of its threads, as the kernel's tracepoint raw_syscalls/sys_enter counts them (perf_event_open(2)). Needs the right to; what cannot
 * be counted is said by the absence of a count. */
#include <stdint.h>
#include <sys/types.h>

/* From now on, with the threads and processes that it makes later. fd or negative errno. */
int load_syscalls_open(pid_t pid);
/* Since then. 0 or negative errno. */
int load_syscalls_read(int fd, uint64_t *ret);
