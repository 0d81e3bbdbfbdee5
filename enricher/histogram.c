/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/histogram.h"

#define STEPS (1u << HISTOGRAM_STEP_BITS)

void histogram_add_all(struct histogram *sum, const struct histogram *add)
{
    sum->count += add->count;
    sum->sum += add->sum;
    if (add->max > sum->max)
        sum->max = add->max;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        sum->buckets[bucket] += add->buckets[bucket];
}

uint64_t histogram_bucket_max(unsigned bucket)
{
    unsigned shift;
    uint64_t next_low;

    if (bucket < STEPS)
        return bucket;
    shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    next_low = (uint64_t)(STEPS + (bucket & (STEPS - 1)) + 1) << shift; /* wraps to 0 behind the last one */
    return next_low - 1;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned of_million)
{
    uint64_t seen = 0, wanted;

    if (histogram->count == 0)
        return 0;
    /* Rounded up, in two parts: the product may be more than 64 bits have. */
    wanted = histogram->count / 1000000 * of_million +
             (histogram->count % 1000000 * of_million + 999999) / 1000000;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen >= wanted && seen > 0) {
            uint64_t value = histogram_bucket_max(bucket);

            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}

uint64_t histogram_count_up_to(const struct histogram *histogram, uint64_t value)
{
    uint64_t count = 0;

    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS && histogram_bucket_max(bucket) <= value; bucket++)
        count += histogram->buckets[bucket];
    return count;
}
