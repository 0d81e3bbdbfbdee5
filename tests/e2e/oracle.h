/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An independent count by the kernel of what happens in a cgroup: what the pipeline's output is compared with. */
#include <stdint.h>
#include "tests/e2e/events.h"
#include "tests/e2e/oracle_counts.h"
#include "tests/e2e/pod.h"

/* Counts from now on. 0 or negative errno. */
int oracle_watch(const struct test_container *container);
struct oracle_counts oracle_read(const struct test_container *container);
uint64_t oracle_total(const struct test_container *container);
void oracle_end(void);

/* Waits until the output has as many events of the container as the kernel counted, then until nothing more comes for a moment; expects equal numbers by type. */
bool oracle_expect_equal(struct events *events, const struct test_container *container, unsigned timeout_ms);
