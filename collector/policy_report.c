/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"

static bool is_said(
    const struct policy_report *report, struct policy_place place, const char *path, const char *message)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct policy_report_item *item = &report->items[i];

        if (item->place.line == place.line && item->place.column == place.column &&
            strcmp(item->path, path) == 0 && strcmp(item->message, message) == 0)
            return true;
    }
    return false;
}

void policy_report_add(
    struct policy_report *report, struct policy_place place, const char *path, const char *format, ...)
{
    CLEANUP_FREE char *message = NULL, *path_copy = NULL;
    struct policy_report_item *items;
    va_list args;
    int size;

    if (report->count == POLICY_FAULTS_MAX) {
        report->left_out++;
        return;
    }
    va_start(args, format);
    size = vasprintf(&message, format, args);
    va_end(args);
    if (size < 0)
        message = NULL;
    path_copy = strdup(path ? path : "");
    items = reallocarray(report->items, report->count + 1, sizeof(*items));
    if (items)
        report->items = items;
    if (!message || !path_copy || !items) {
        report->out_of_memory = true;
        return;
    }
    if (is_said(report, place, path_copy, message)) /* what an alias repeats */
        return;
    items[report->count] = (struct policy_report_item){
        .place = place, .number = report->count, .path = path_copy, .message = message};
    path_copy = message = NULL;
    report->count++;
}

static int by_place(const void *a, const void *b)
{
    const struct policy_report_item *x = a, *y = b;

    if (x->place.line != y->place.line)
        return x->place.line < y->place.line ? -1 : 1;
    if (x->place.column != y->place.column)
        return x->place.column < y->place.column ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

void policy_report_tell(struct policy_report *report, const char *file, policy_fault_fn on_fault, void *arg)
{
    char rest[64];

    if (report->count > 0)
        qsort(report->items, report->count, sizeof(*report->items), by_place);
    for (size_t i = 0; i < report->count; i++) {
        const struct policy_report_item *item = &report->items[i];

        on_fault(&(struct policy_fault){file, item->place, item->path, item->message}, arg);
    }
    if (report->left_out > 0) {
        (void)snprintf(rest, sizeof(rest), "%zu more faults", report->left_out);
        on_fault(&(struct policy_fault){file, {0, 0}, "", rest}, arg);
    }
    if (report->out_of_memory)
        on_fault(&(struct policy_fault){file, {0, 0}, "", "out of memory"}, arg);
}

void policy_report_deinit(struct policy_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->items[i].path);
        free(report->items[i].message);
    }
    free(report->items);
    *report = (struct policy_report){0};
}

void policy_fault_append(const struct policy_fault *fault, struct text *text)
{
    text_append_neutral(text, fault->file, strlen(fault->file));
    if (fault->place.line > 0)
        text_append_format(text, ":%u:%u", fault->place.line, fault->place.column);
    text_append_string(text, ": ");
    if (fault->path[0]) {
        text_append_neutral(text, fault->path, strlen(fault->path));
        text_append_string(text, ": ");
    }
    text_append_neutral(text, fault->message, strlen(fault->message));
}
