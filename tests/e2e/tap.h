/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The frame of an end-to-end test: a program is a list of cases, run one after the other, reported as TAP. A case calls tap_expect() as often as it likes; it fails
 * when one of them did. What the machine cannot do is a visible skip, never a silent pass.
 */
#include <stdbool.h>
#include <stddef.h>

struct tap_case {
    const char *name; /* a post-condition */
    void (*fn)(void);
};

/* Runs the cases (those whose name contains argv[1], when given). Returns the exit status. */
int tap_main(const struct tap_case *cases, size_t count, int argc, char **argv);

/* For a table whose rows are cases: the plan once, then each row behind what was expected of it. tap_status(): the exit status. */
void tap_plan(size_t count);
void tap_report(const char *name);
int tap_status(void);

/* Reason for which the whole program cannot run here (root, BPF, cgroup2), NULL when it can. Given by node.c. */
const char *tap_missing(void);

/* The case under way has failed already. */
bool tap_failed(void);

bool tap_expect_at(bool condition, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void tap_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what was found when it is not as it should be; evaluates to the condition. */
#define tap_expect(condition, ...) tap_expect_at((condition), __FILE__, __LINE__, __VA_ARGS__)
#define tap_expect_equal(found, wanted, what)                                                                \
    ({                                                                                                       \
        long long found_ = (long long)(found), wanted_ = (long long)(wanted);                                \
        tap_expect(found_ == wanted_, "%s: %lld, expected %lld", (what), found_, wanted_);                   \
    })
