/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a run came to: as text, as JSON, and as one page with curves that opens offline. */
#include <stdio.h>

#include "tests/load/load_run.h"

void load_report_text(const struct load_run *run, FILE *to);
/* 0 or negative errno. */
int load_report_json(const struct load_run *run, const char *path);
int load_report_html(const struct load_run *run, const char *path);
/* The JSON of both; `flags`: jansson's. */
int load_report_write(const struct load_run *run, FILE *to, size_t flags);
/* How many of the thresholds were passed; each is said, a line on `to`. */
unsigned load_report_judge(const struct load_run *run, FILE *to);
