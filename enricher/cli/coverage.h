/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The enricher's coverage (one JSON object) as tables for people: the worst first. */
#include <stdbool.h>
#include <stddef.h>

struct text;

#define COVERAGE_NAMES_MAX 32

struct coverage_options {
    const char *namespaces[COVERAGE_NAMES_MAX], *pods[COVERAGE_NAMES_MAX]; /* a Pod's name may end with '*' */
    size_t namespace_count, pod_count;                                     /* 0: all */
    bool json;
};

/* What was selected. */
struct coverage_result {
    size_t rows;    /* Pods with events */
    double percent; /* complete ones, of the worst of them; 100 when there is none */
};

/* 0, or -EBADMSG: not what the enricher would say. */
int coverage_show(const char *answer, size_t size, const struct coverage_options *options, struct text *out,
    struct coverage_result *ret);
