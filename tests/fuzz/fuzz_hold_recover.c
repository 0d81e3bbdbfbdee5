/* SPDX-License-Identifier: Apache-2.0 */
/* A memfd that a predecessor left, in any state. */
#include "enricher/hold.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/record.h"
#include "tests/fuzz/fuzz.h"

struct state {
    struct hold *hold;
    struct hold_queue queue;
    uint64_t last_sequence, appended;
    bool any;
};

static void take(void *arg, const struct hold_entry *entry)
{
    const struct record_header *record = hold_entry_record(entry);
    struct state *state = arg;
    uint64_t sum = 0;

    FUZZ_CHECK(record->size >= sizeof(*record) && record->size <= RECORD_SIZE_MAX &&
               record->size % RECORD_ALIGN == 0);
    FUZZ_CHECK(!entry->subject && !entry->context);
    FUZZ_CHECK(!state->any || entry->sequence > state->last_sequence);
    state->any = true;
    state->last_sequence = entry->sequence;
    for (size_t i = 0; i < record->size; i++)
        sum += ((const uint8_t *)record)[i];
    __asm__ volatile("" : : "r"(sum)); /* the reads are the point */
    state->appended += hold_append(state->hold, &state->queue, record, entry) == 0;
}

static void count(void *arg, const struct hold_entry *entry)
{
    (void)entry;
    ++*(int64_t *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct hold_limits limits = {.max_events = 10000, .max_bytes = 1 << 20};
    CLEANUP_CLOSE int fd = memfd_create("hold", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct state state = {0};
    int64_t given, again = 0;

    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(hold_new(&state.hold, fd, &limits) == 0);
    given = hold_recover(state.hold, take, &state);
    FUZZ_CHECK(given >= 0 && hold_count(state.hold) == state.appended);
    (void)hold_free(state.hold);
    /* What was held again is there for the next one. */
    FUZZ_CHECK(hold_new(&state.hold, fd, &limits) == 0);
    given = hold_recover(state.hold, count, &again);
    FUZZ_CHECK(given == again && (uint64_t)given <= state.appended);
    (void)hold_free(state.hold);
    return 0;
}
