/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An enricher that somebody has taken over: a process with its user, with what enricher_init() opens, confined as it confines itself, and attached to a running
 * collector, so that it holds what that collector hands over. Each attempt has a process of its own, as some end it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/handoff_message.h"
#include "tests/e2e/node.h"

struct io_uring;

struct intruder {
    const struct node *node;
    int connection;            /* -1 when detached */
    int fds[HANDOFF_FD_COUNT]; /* enum handoff_fd; -1 when detached */
    struct io_uring *ring;     /* the loop's, NULL: it runs on epoll */
    unsigned turn;             /* which process of this attempt it is, from 0 */
};

/* As a system call: negative and errno on failure. */
typedef long attempt_fn(struct intruder *intruder);

enum intruder_kind {
    INTRUDER_BARE,     /* its user and its fds, without the sandbox (--sandbox off) */
    INTRUDER_CONFINED, /* as it runs */
    INTRUDER_LANE,     /* the same in the thread of another lane, which confines itself */
};

#define INTRUDER_KILLED  (-1000) /* the kernel ended it: SIGSYS */
#define INTRUDER_BROKEN  (-1001) /* it did not come as far as to try, or crashed; said in a note */
#define INTRUDER_DID_IT  EUCLEAN /* an attempt that no call refused had an effect where it must not have one */
#define INTRUDER_TIME_MS 20000

/* 0: it may; errno; one of the above. */
int intruder_try(const struct node *node, enum intruder_kind kind, attempt_fn *fn);
/* In two steps. */
pid_t intruder_start(const struct node *node, enum intruder_kind kind, attempt_fn *fn, unsigned turn);
int intruder_wait(pid_t pid);

/* Within an attempt. Attaches anew, the former connection and fds being closed; 0 or negative errno. */
int intruder_attach(struct intruder *intruder);
void intruder_detach(struct intruder *intruder);
/* Connects and says nothing. fd, or -1 and errno. */
int intruder_connect(const struct intruder *intruder);

/* Both kinds can be run here; NULL, or why system calls are not filtered, or files not limited. */
const char *intruder_no_filter(void);
const char *intruder_no_landlock(void);

/* A row of a table: `fn`, or a call with its arguments as they stand. */
struct attempt_row {
    const char *what, *stopped_by;
    attempt_fn *fn;
    long call[7];
    int expected;
    bool needs_landlock;
};

/* Tries all of one kind and reports each row: "GROUP: WHAT; stopped by …". INTRUDER_LANE: those that Landlock stops, as it counts by thread. */
void intruder_try_rows(const struct node *node, enum intruder_kind kind, const char *group,
    const struct attempt_row *rows, size_t count);
/* How many rows that is. */
size_t intruder_count_rows(enum intruder_kind kind, const struct attempt_row *rows, size_t count);

/* The tables: intruder_memory.c, intruder_escape.c. */
extern const struct attempt_row
    intruder_bare_rows[]; /* the same, without the sandbox: seals and users alone */
extern const size_t intruder_bare_count;
extern const struct attempt_row intruder_memory_rows[];
extern const size_t intruder_memory_count;
extern const struct attempt_row intruder_escape_rows[];
extern const size_t intruder_escape_count;

/* What goes on against the collector while it works: intruder_hostile.c. */
struct hostile_row {
    const char *what, *stopped_by;
    attempt_fn *fn;
    unsigned processes; /* one after the other */
};
extern const struct hostile_row intruder_hostile_rows[];
extern const size_t intruder_hostile_count;
