/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How a process comes to its Pod, step by step. */
#include <stddef.h>
#include <sys/types.h>

struct text;

/* The enricher's answer to "explain PID": {"steps":[{"step","value","source","missing"}…]}. 0, -EBADMSG; -ESRCH: it carries "error". */
int explain_show_answer(const char *answer, size_t size, struct text *out);

/* What can be told without an enricher, from PROC/PID/cgroup. 0, or negative errno: no such process. */
int explain_show_locally(const char *proc, pid_t pid, struct text *out);

/* "pod_uid TAB container_id TAB role" and a newline; empty where there is none. */
void explain_cgroup_path(const char *path, size_t size, struct text *out);
