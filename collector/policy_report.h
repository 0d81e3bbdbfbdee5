/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is wrong with a file, gathered while it is read and told in the order of the file. Bounded; the rest is counted. */
#include <stdbool.h>
#include <stddef.h>

#include "collector/policy.h"
#include "collector/policy_file.h"

#define POLICY_FAULTS_MAX 200 /* of a file */

struct policy_report_item {
    struct policy_place place;
    size_t number; /* as they were found */
    char *path, *message;
};

struct policy_report {
    struct policy_report_item *items;
    size_t count, left_out;
    bool out_of_memory;
};

/* `path` may be NULL. */
void policy_report_add(struct policy_report *report, struct policy_place place, const char *path,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
static inline bool policy_report_is_empty(const struct policy_report *report)
{
    return report->count == 0 && !report->out_of_memory;
}
/* Sorted by place. */
void policy_report_tell(struct policy_report *report, const char *file, policy_fault_fn on_fault, void *arg);
void policy_report_deinit(struct policy_report *report);
