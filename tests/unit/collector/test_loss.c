/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/loss.h"

#include <criterion/criterion.h>

/* What bpf/output.bpf.h does on a refusal, step by step. */
static void refuse_first(struct cpu_state *state, uint64_t seq)
{
    if (!state->refused_first)
        state->refused_first = seq;
}

static void refuse(struct cpu_state *state, enum record_type type, uint64_t seq)
{
    refuse_first(state, seq);
    state->refused_last = seq;
    state->refused[type]++;
}

Test(loss, nothing_refused_reports_nothing)
{
    struct cpu_state state = {.made = 7};
    struct loss_seen seen = {0};
    struct record_lost lost = {.first_seq = 42};

    cr_expect_not(loss_collect(&state, &seen, 0, 1, &lost));
    cr_expect_eq(lost.first_seq, 42, "the output is untouched");
}

Test(loss, counts_by_type_with_the_exact_range)
{
    struct cpu_state state = {0};
    struct loss_seen seen = {0};
    struct record_lost lost;

    refuse(&state, RECORD_FORK, 100);
    refuse(&state, RECORD_EXIT, 103);
    refuse(&state, RECORD_FORK, 107);
    cr_assert(loss_collect(&state, &seen, 3, 55, &lost));
    cr_expect_eq(lost.header.type, RECORD_LOST);
    cr_expect_eq(lost.header.size, sizeof(lost));
    cr_expect_eq(lost.header.cpu, 3);
    cr_expect_eq(lost.header.time_ns, 55);
    cr_expect_eq(lost.where, RECORD_LOST_BPF_RING);
    cr_expect_eq(lost.first_seq, 100);
    cr_expect_eq(lost.last_seq, 107);
    cr_expect_eq(lost.count[RECORD_FORK], 2);
    cr_expect_eq(lost.count[RECORD_EXIT], 1);
    cr_expect_eq(lost.count[RECORD_EXEC], 0);
    cr_expect_not(loss_collect(&state, &seen, 3, 56, &lost), "none is reported twice");
}

Test(loss, a_later_report_begins_where_its_own_refusals_do)
{
    struct cpu_state state = {0};
    struct loss_seen seen = {0};
    struct record_lost lost;

    refuse(&state, RECORD_FORK, 100);
    cr_assert(loss_collect(&state, &seen, 0, 1, &lost));
    refuse(&state, RECORD_FORK, 200);
    refuse(&state, RECORD_FORK, 201);
    cr_assert(loss_collect(&state, &seen, 0, 2, &lost));
    cr_expect_eq(lost.first_seq, 200);
    cr_expect_eq(lost.last_seq, 201);
    cr_expect_eq(lost.count[RECORD_FORK], 2);
}

Test(loss, a_refusal_caught_before_its_count_is_reported_with_its_own_first)
{
    struct cpu_state state = {0};
    struct loss_seen seen = {0};
    struct record_lost lost;

    refuse_first(&state, 300);
    cr_expect_not(loss_collect(&state, &seen, 0, 1, &lost));
    cr_expect_eq(state.refused_first, 0, "taken");
    state.refused_last = 300;
    state.refused[RECORD_EXEC]++;
    refuse(&state, RECORD_EXEC, 301);
    cr_assert(loss_collect(&state, &seen, 0, 2, &lost));
    cr_expect_eq(lost.first_seq, 300);
    cr_expect_eq(lost.last_seq, 301);
    cr_expect_eq(lost.count[RECORD_EXEC], 2);
}

Test(loss, a_count_that_comes_late_keeps_a_range_that_is_one)
{
    struct cpu_state state = {0};
    struct loss_seen seen = {0};
    struct record_lost lost;

    refuse(&state, RECORD_FORK, 400);
    state.refused_last = 401; /* a second refusal has got as far as this */
    cr_assert(loss_collect(&state, &seen, 0, 1, &lost));
    cr_expect_eq(lost.count[RECORD_FORK], 1);
    state.refused[RECORD_FORK]++;
    cr_assert(loss_collect(&state, &seen, 0, 2, &lost));
    cr_expect_eq(lost.count[RECORD_FORK], 1, "counts are exact whatever the moment");
    cr_expect_leq(lost.first_seq, lost.last_seq);
    cr_expect_eq(lost.last_seq, 401);
}
