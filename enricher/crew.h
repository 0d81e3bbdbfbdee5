/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The lanes but the first, each with a thread of its own. The first lane's thread leads: it makes and ends the others, tells them what concerns all, and looks into them
 * when they rest. None of this is on the path of an event: there a lane only looks whether it is called, once a turn.
 *
 * K1  a lane is touched by its own thread alone, except between crew_rest() and crew_go(), when it is the leader's
 * K2  a lane answers at the end of a turn: calls wait for that, and for nothing that the network or a disk may delay
 * K3  what the leader posts to a lane is opened in that order, before a rest and before a job that come later
 *
 * Everything but what members call is the leader's to call. A crew that is NULL has no members: all calls are allowed and do nothing.
 */
#include <stdbool.h>
#include <stddef.h>

#include "enricher/lane.h"

struct crew;

/* In the leader's thread, out of its loop. */
struct crew_hooks {
    void (*ask)(void *arg); /* a lane wants to know more of Pods */
    void (*lines)(void *arg, const char *data,
        size_t size);                 /* that have left a lane, for the viewers; NULL: some are missing */
    void (*room)(void *arg);          /* a lane may have released room of the queue */
    void (*failed)(void *arg, int r); /* a lane cannot go on */
    void *arg;
};

/* Members 1 to `count` - 1 of so many lanes, running, in the state that lane_init() gives. 0 or negative errno, with a line logged. */
int crew_new(struct crew **ret, const struct conf *conf, uint32_t count, struct loop *leader,
    const struct crew_hooks *hooks);
/* Ends threads and lanes. */
struct crew *crew_free(struct crew *crew);
/* Ends the threads alone, before the process ends: what the lanes hold stays in their stores. */
void crew_abandon(struct crew *crew);

size_t crew_size(const struct crew *crew);                /* members */
struct lane *crew_lane(struct crew *crew, size_t member); /* K1 */
/* Written when a member has something for the leader. */
int crew_kick_fd(const struct crew *crew);

void crew_rest(struct crew *crew);
void crew_go(struct crew *crew);
/* In each member's thread and, for the leader's own lane, here, all at the same time; returns when all are done. */
typedef void crew_job_fn(void *arg, struct lane *lane);
void crew_run(struct crew *crew, struct lane *own, crew_job_fn *fn, void *arg);

/* The opener frees it. */
struct crew_letter {
    struct crew_letter *next;
    void (*open)(struct lane *lane, struct crew_letter *letter);
};
void crew_post(struct crew *crew, size_t member, struct crew_letter *letter);

/* Whether anybody wants to see lines. */
void crew_set_viewers(struct crew *crew, bool wanted);
