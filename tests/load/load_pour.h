/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The inside of a run: records into the queue at their pace, what is shared by the parts of load_run.h. */
#include "tests/load/load_run.h"

/* `rate` 0: closed loop. A recording has its own pace, and ends by itself; duration_ns 0: then only. 0 or negative errno, said. */
int load_run_pour(struct load_run *run, uint64_t rate, uint64_t duration_ns);
/* Until everything that was published has been written, or it is clear that it will not be. */
int load_run_drain(struct load_run *run);

int load_run_write_pods(struct load_run *run, bool none); /* pods.json, at once */
void load_run_publish_numbers(struct load_run *run);      /* for the thread that looks */
/* One line on stderr; returns `r`. */
int load_run_fail(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void load_nap_until(uint64_t boot_ns);
