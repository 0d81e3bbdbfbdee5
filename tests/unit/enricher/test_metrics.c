/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/metrics.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/enricher/enricher_kit.h"

static char *page;

static void take_page(void)
{
    struct text out = {0};
    size_t size;

    free(page);
    metrics_write(&enricher, &out);
    cr_assert_not(out.failed);
    page = text_take(&out, &size);
    cr_assert_eq(strlen(page), size);
}

static void begin(void)
{
    enricher_kit_start(NULL, NULL);
}

static void end(void)
{
    free(page);
    page = NULL;
    enricher_kit_stop();
}

TestSuite(metrics, .init = begin, .fini = end);

/* Value of the sample that begins with `sample`, its labels included. */
static double value_of(const char *sample)
{
    size_t size = strlen(sample);

    for (const char *line = page; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, size) == 0 && line[size] == ' ')
            return strtod(line + size, NULL);
    }
    cr_assert_fail("there is no %s", sample);
    return -1;
}

/* https://prometheus.io/docs/instrumenting/exposition_formats/ */
Test(metrics, every_line_is_a_comment_or_a_sample_of_a_declared_metric)
{
    const char *const pattern =
        "^podkin_[a-z_]+(\\{([a-z]+=\"([^\"\\\\]|\\\\[\\\\\"n])*\",?)*\\})? [0-9]+(\\.[0-9]+)?$";
    unsigned samples = 0;
    char *rest, *line;
    regex_t regex;

    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    take_page();
    for (line = strtok_r(page, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP podkin_", 14) == 0 || strncmp(line, "# TYPE podkin_", 14) == 0)
            continue;
        cr_expect_eq(regexec(&regex, line, 0, NULL, 0), 0, "%s", line);
        samples++;
    }
    cr_expect_gt(samples, 80);
    regfree(&regex);
}

Test(metrics, every_counter_of_the_list_is_there)
{
    take_page();
#define X(name, unit, help) cr_expect_eq(value_of("podkin_" #name "_total"), 0);
    ENRICHER_COUNTERS(X)
#undef X
}

Test(metrics, the_books_balance)
{
    feed(make_exec(&record, A1, INIT, CG_A, 1, "/a"));
    feed(make_exec(&record, A2, INIT, CG_HOST, 1, "/b"));
    take_page();
    cr_expect_eq(value_of("podkin_records_received_total{type=\"exec\"}"), 2);
    cr_expect_eq(value_of("podkin_events_emitted_total{type=\"exec\"}"), 1);
    cr_expect_eq(value_of("podkin_events_held"), 1);
    tell_pod("web-1", ID_A);
    take_page();
    cr_expect_eq(value_of("podkin_events_emitted_total{type=\"exec\"}"), 2);
    cr_expect_eq(value_of("podkin_events_held"), 0);
    cr_expect_eq(value_of("podkin_release_latency_seconds_count"), 1);
    cr_expect_eq(value_of("podkin_release_latency_seconds_bucket{le=\"+Inf\"}"), 1);
    cr_expect_gt(value_of("podkin_release_latency_seconds_sum"), 0);
}
