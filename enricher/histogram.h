/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How values are spread, in a fixed memory: sixteen equal steps in each power of two, so that a value is known within 1/16 (6.25 %), from 0 to 2^64 - 1. The
 * layout is HdrHistogram's (http://hdrhistogram.org), with four bits of precision. Adding costs a few instructions and no allocation.
 */
#include <stdint.h>

#define HISTOGRAM_STEP_BITS 4
#define HISTOGRAM_BUCKETS   ((64 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

struct histogram {
    uint64_t count, sum, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value)
{
    unsigned exponent;

    if (value < UINT64_C(1) << HISTOGRAM_STEP_BITS)
        return (unsigned)value;
    exponent = 63 - (unsigned)__builtin_clzll(value);
    return ((exponent - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS) +
           ((value >> (exponent - HISTOGRAM_STEP_BITS)) & ((1u << HISTOGRAM_STEP_BITS) - 1));
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->buckets[histogram_bucket(value)]++;
}

void histogram_add_all(struct histogram *sum, const struct histogram *add);

/* The largest value that falls into a bucket. */
uint64_t histogram_bucket_max(unsigned bucket);

/* The value that `of_million` of a million values do not exceed (500000: the median), rounded up to its bucket's edge, never above the largest seen. 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned of_million);

/* How many values were at most `value`, rounded down to a bucket's edge. */
uint64_t histogram_count_up_to(const struct histogram *histogram, uint64_t value);
