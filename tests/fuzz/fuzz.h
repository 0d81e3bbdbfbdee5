/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A fuzz target is one function, named as libFuzzer wants it. Linked with replay.c it is an ordinary test that runs every file of its
 * corpus; linked with libFuzzer (tests/fuzz/run) it looks for more.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for any bytes. */
#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
