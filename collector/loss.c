/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/loss.h"

static uint64_t load_counter(const __u64 *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* The programs set refused_first, refused_last, count, in this order; the look goes first, counts, last.
 * So a count that is seen has its `first` taken before or left from earlier, and its `last` is read. */
bool loss_collect(
    struct cpu_state *state, struct loss_seen *seen, uint16_t cpu, uint64_t now_ns, struct record_lost *ret)
{
    struct record_lost lost = {
        .header = {.size = sizeof(lost),
            .type = RECORD_LOST,
            .version = RECORD_VERSION,
            .cpu = cpu,
            .time_ns = now_ns},
        .where = RECORD_LOST_BPF_RING,
    };
    uint64_t fresh = 0, after = seen->last + 1;

    if (load_counter(&state->refused_first)) {
        uint64_t first = __atomic_exchange_n(&state->refused_first, 0, __ATOMIC_ACQ_REL);

        if (!seen->pending_first)
            seen->pending_first = first;
    }
    for (unsigned int type = 0; type < RECORD_TYPE_SLOTS; type++) {
        uint64_t count = load_counter(&state->refused[type]);

        lost.count[type] = count - seen->refused[type];
        fresh += lost.count[type];
        seen->refused[type] = count;
    }
    if (!fresh)
        return false;
    lost.last_seq = load_counter(&state->refused_last);
    lost.first_seq = seen->pending_first > after ? seen->pending_first : after;
    if (!seen->last && !seen->pending_first)
        lost.first_seq = lost.last_seq;
    if (lost.first_seq > lost.last_seq)
        lost.first_seq = lost.last_seq;
    seen->pending_first = 0;
    seen->last = lost.last_seq;
    *ret = lost;
    return true;
}
