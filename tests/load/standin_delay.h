/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How late a Pod is told, by a distribution: 2s or constant:2s, uniform:100ms..5s, exponential:2s (its mean), log-normal:2s,0.8 (its median, and the
 * standard deviation of its logarithm). A Pod's own delay follows from the seed and its UID alone, so that it does not depend on when or how often it is asked
 * for. Nothing is later than STANDIN_DELAY_MAX_NS.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define STANDIN_DELAY_MAX_NS   (3600 * NS_PER_SEC)
#define STANDIN_DELAY_EXPECTED "2s, uniform:1s..5s, exponential:2s or log-normal:2s,0.8"

enum standin_delay_kind {
    STANDIN_DELAY_CONSTANT,
    STANDIN_DELAY_UNIFORM,
    STANDIN_DELAY_EXPONENTIAL,
    STANDIN_DELAY_LOG_NORMAL,
};

struct standin_delay { /* empty: none */
    enum standin_delay_kind kind;
    uint64_t ns;     /* the constant, the least, the mean, the median */
    uint64_t max_ns; /* uniform */
    double sigma;    /* log-normal */
};

/* 0 or -EINVAL: *ret is untouched. */
int standin_delay_parse(const char *text, struct standin_delay *ret);
uint64_t standin_delay_of(const struct standin_delay *delay, uint64_t seed, const char *uid);

/* A duration of `size` bytes, not terminated. 0 or -EINVAL. */
int standin_parse_duration(const char *text, size_t size, uint64_t *ret);
/* splitmix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", 2014): the next number of a sequence. */
uint64_t standin_random(uint64_t *state);
