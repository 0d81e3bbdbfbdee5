/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Processes for the end-to-end tests: started in a container's cgroup, and what every one of their events must show. */
#include <stdbool.h>
#include "tests/e2e/events.h"
#include "tests/e2e/pod.h"

typedef void workload_fn(void *arg);

/* A process that is born in the container (clone3 CLONE_INTO_CGROUP), runs fn and leaves with status 0. pid or negative errno. */
pid_t workload_start(const struct test_container *container, workload_fn *fn, void *arg);
/* The same and waits for it. The wait status. */
int workload_run(const struct test_container *container, workload_fn *fn, void *arg);

/* fork + exec of the shortest program there is; count times, one after the other. */
void workload_exec_true(unsigned count);
/* The same with vfork, which is faster. */
void workload_vfork_true(unsigned count);
/* posix_spawn, which is vfork + exec. The wait status. */
int workload_spawn(const char *const argv[]);
const char *workload_true(void);

/* Expects that each event of the container is complete and names this Pod and container, with labels and workload, the parents inside of the container too. */
void workload_expect_complete(
    const struct events *events, const struct test_pod *pod, const struct test_container *container);
/* Expects that ids are there and distinct, no line was bad and nothing was reported lost. */
void workload_expect_clean(const struct events *events, const struct test_container *container);
