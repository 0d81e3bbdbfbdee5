/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/write_pace.h"

#include <criterion/criterion.h>

#define MS NS_PER_MS

Test(write_pace, fast_writes_stay_the_loops)
{
    struct write_pace pace = {0};

    for (uint64_t now = 0; now < 100 * MS; now += MS) {
        cr_assert(write_pace_is_ours(&pace, now));
        write_pace_took(&pace, now, now + PACE_SLOW_NS - 1, true);
    }
}

Test(write_pace, a_slow_write_sends_the_next_ones_away_for_a_while)
{
    struct write_pace pace = {0};

    write_pace_took(&pace, 0, PACE_SLOW_NS, true);
    cr_assert_not(write_pace_is_ours(&pace, PACE_SLOW_NS));
    cr_assert_not(write_pace_is_ours(&pace, PACE_SLOW_NS + PACE_AWAY_FIRST_NS - 1));
    cr_assert(write_pace_is_ours(&pace, PACE_SLOW_NS + PACE_AWAY_FIRST_NS));
}

Test(write_pace, being_put_aside_by_the_scheduler_is_not_slow)
{
    struct write_pace pace = {0};

    write_pace_took(&pace, 0, 100 * PACE_SLOW_NS, false);
    cr_assert(write_pace_is_ours(&pace, 100 * PACE_SLOW_NS));
}

Test(write_pace, attempts_that_stay_slow_come_less_and_less_often_down_to_a_limit)
{
    struct write_pace pace = {0};
    uint64_t now = 0, away = 0;

    for (int i = 0; i < 20; i++) {
        uint64_t before = away;

        write_pace_took(&pace, now, now + PACE_SLOW_NS, true);
        now += PACE_SLOW_NS;
        away = pace.away_until_ns - now;
        cr_assert_eq(away, before == 0                     ? PACE_AWAY_FIRST_NS
                           : before * 2 < PACE_AWAY_MAX_NS ? before * 2
                                                           : PACE_AWAY_MAX_NS);
        now = pace.away_until_ns;
    }
    write_pace_took(&pace, now, now + 1, true);
    write_pace_took(&pace, now + 2, now + 2 + PACE_SLOW_NS, true);
    cr_assert_eq(
        pace.away_until_ns, now + 2 + PACE_SLOW_NS + PACE_AWAY_FIRST_NS, "a fast one starts it anew");
}
