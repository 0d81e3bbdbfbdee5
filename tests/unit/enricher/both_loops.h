/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tests that run on both back-ends: BOTH(name) { ... } gives SUITE/name_epoll and SUITE/name_uring; SUITE
 * is defined before. */
#include <criterion/criterion.h>
#include <signal.h>
#include "enricher/loop.h"

/* `kind` is what the body of a test runs on. */
#define BOTH(name)                                                                                           \
    static void name(enum loop_kind kind);                                                                   \
    Test(SUITE, name##_epoll)                                                                                \
    {                                                                                                        \
        name(LOOP_EPOLL);                                                                                    \
    }                                                                                                        \
    Test(SUITE, name##_uring)                                                                                \
    {                                                                                                        \
        if (!has_uring())                                                                                    \
            cr_skip_test("io_uring is refused here");                                                        \
        name(LOOP_URING);                                                                                    \
    }                                                                                                        \
    static void name(enum loop_kind kind)

static inline bool has_uring(void)
{
    struct loop *loop = NULL;
    int r = loop_new(&loop, LOOP_URING, NULL);

    loop_free(loop);
    return r == 0;
}

static inline struct loop *new_loop(enum loop_kind kind, const struct clock *clock)
{
    struct loop *loop = NULL;

    cr_assert_eq(loop_new(&loop, kind, clock), 0);
    (void)signal(SIGPIPE, SIG_IGN);
    return loop;
}

/* Turns until *value reached what is wanted, at most two seconds. */
static inline void run_until(struct loop *loop, const unsigned *value, unsigned wanted)
{
    uint64_t end_ns = clock_boot_ns() + 2 * NS_PER_SEC;

    while (*value < wanted && clock_boot_ns() < end_ns)
        cr_assert_eq(loop_run_once(loop, end_ns), 0);
    cr_assert_geq(*value, wanted);
}

static inline void settle(struct loop *loop)
{
    for (int i = 0; i < 5; i++)
        cr_assert_eq(loop_run_once(loop, clock_boot_ns() + NS_PER_MS), 0);
}
