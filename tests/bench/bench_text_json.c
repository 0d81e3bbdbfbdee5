/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping for JSON, and the time stamp. */
#include "common/text.h"

#include <string.h>

#include "tests/bench/bench.h"

#define CALLS 500000

static char input[1024];

static void run(const char *what, size_t size)
{
    double rounds[BENCH_ROUNDS];
    struct text text = {0};

    for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
        uint64_t start = bench_cpu_ns();

        for (unsigned n = 0; n < CALLS; n++) {
            text_clear(&text);
            (void)text_append_json(&text, input, size, SIZE_MAX);
            BENCH_KEEP(text.data);
        }
        rounds[round] = (double)(bench_cpu_ns() - start) / CALLS;
    }
    bench_print(what, rounds);
    text_deinit(&text);
}

static void run_time(void)
{
    double rounds[BENCH_ROUNDS];
    struct text text = {0};

    for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
        uint64_t start = bench_cpu_ns();

        for (unsigned n = 0; n < CALLS; n++) {
            text_clear(&text);
            text_append_time(&text, UINT64_C(1795467300123456789) + n);
            BENCH_KEEP(text.data);
        }
        rounds[round] = (double)(bench_cpu_ns() - start) / CALLS;
    }
    bench_print("time stamp, RFC 3339", rounds);
    text_deinit(&text);
}

int main(void)
{
    memset(input, 'a', sizeof(input));
    run("JSON, 64 clean bytes", 64);
    run("JSON, 1024 clean bytes", 1024);
    for (size_t i = 0; i < sizeof(input); i += 2)
        input[i] = (char)0xc3, input[i + 1] = (char)0xa9;
    run("JSON, 1024 bytes of two-byte characters", 1024);
    for (size_t i = 0; i < sizeof(input); i += 32)
        input[i] = '"', input[i + 1] = '\\';
    run("JSON, 1024 bytes, such with escapes", 1024);
    run_time();
    return 0;
}
