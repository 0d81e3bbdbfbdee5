/* SPDX-License-Identifier: Apache-2.0 */
/* A recording that somebody else wrote, replayed: what comes out are records, and times do not run away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/record_check.h"
#include "tests/fuzz/fuzz.h"
#include "tests/load/load_replay.h"

#define BASE_NS UINT64_C(1000000000)

static int check(const struct record_header *record, size_t size, void *arg)
{
    uint64_t *count = arg;

    FUZZ_CHECK(record->size == size && record_check(record, size) == 0);
    ++*count;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[RECORDING_ERROR_MAX] = "", *pods = NULL;
    const struct record_header *record;
    uint64_t count = 0, since_ns, snapshot = 0;
    struct load_replay *replay;
    size_t pods_size;
    FILE *file;
    void *copy = malloc(size ? size : 1); /* aligned */

    FUZZ_CHECK(copy);
    if (size)
        memcpy(copy, data, size);
    if (load_replay_new(&replay, copy, size, size % 2 ? 1 : 10, BASE_NS, 1, error) < 0) {
        FUZZ_CHECK(*error);
        free(copy);
        return 0;
    }
    (void)load_replay_snapshot(replay, check, &snapshot);
    FUZZ_CHECK(snapshot > 0);
    while (load_replay_peek(replay, &since_ns)) {
        record = load_replay_take(replay, BASE_NS + since_ns);
        FUZZ_CHECK(record);
        (void)check(record, record->size, &count);
    }
    FUZZ_CHECK(count == load_replay_record_count(replay));
    file = open_memstream(&pods, &pods_size);
    FUZZ_CHECK(file && load_replay_write_pods(replay, file) == 0 && fclose(file) == 0 && pods_size > 0);
    free(pods);
    load_replay_free(replay);
    free(copy);
    return 0;
}
