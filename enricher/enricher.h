/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The unprivileged daemon: one state struct that embeds or owns every module; one thread with one loop, and one more of each for every further lane (crew.h).
 *
 * Start: options → loop → output → Pod table and sources → control socket → collector (tried again until it answers). The snapshot is applied first, then what a predecessor held, then the
 * queue from where it released. Stop: on SIGTERM or SIGINT what is composed is written out; held events stay in the hold store, which the collector keeps for the next enricher. If the
 * collector ended in order before, nobody comes for them: they go out as they are, behind what its queue still had (finish.c).
 */
#include <stdbool.h>

#include "common/notify.h"
#include "enricher/attach.h"
#include "enricher/conf.h"
#include "enricher/crew.h"
#include "enricher/lane.h"
#include "enricher/ledger.h"
#include "enricher/source.h"

struct control;
struct http;
struct metrics_server;

#define ENRICHER_SOURCES_MAX CONF_SOURCES_MAX

/* Of books.c. */
struct books {
    uint64_t tail;                      /* of the queue when it was last looked at */
    uint64_t said_ns, suppressed_count; /* of the lines about what is unexplained */
};

struct enricher {
    struct conf *conf;
    struct lane lane;                           /* this thread's */
    struct crew *crew;                          /* the other lanes; NULL: there are none */
    struct hold_heritage *heritage;             /* that the lanes are taking over; NULL: none */
    struct hold *other_holds[HOLD_REGIONS_MAX]; /* of it: regions without a lane */
    uint32_t other_hold_count;
    bool stores_due;
    struct http *http;
    struct control *control;
    struct metrics_server *metrics;
    struct source *sources[ENRICHER_SOURCES_MAX];
    size_t source_count;
    struct attachment attachment;
    struct ledger ledger;
    struct books books;
    uint64_t
        hold_epoch_ns; /* of the collector whose hold store is in use until it is empty; 0: nobody's but ours */
    struct loop_poll attachment_poll, signal_poll;
    struct loop_timer attach_timer, look_timer, housekeeping_timer;
    int signal_fd;
    int asked_fd; /* connected, the answer is not here; -1: not asked */
    unsigned attach_failures;
    char attach_error[ATTACH_ERROR_MAX]; /* said once, until it changes */
    uint64_t started_ns, attached_ns, attach_count;
    uint64_t attach_timeout_ns, resync_delay_ns, resync_interval_ns; /* consumer.c; tests shorten them */
    uint64_t epoch_ns; /* of the collector whose snapshot was applied last, 0: none */
    bool attach_due;
    bool collector_gone; /* its queue is being finished */
    bool queue_broken;   /* framing that cannot be true, in any lane */
    bool resync;         /* a new snapshot is wanted: reading pauses until all that was read is durable */
    struct notify notify;
    bool ready_told, attached_told;
    bool collector_absent; /* nobody listened when we last asked */
    int control_error;     /* of the events socket, said last; 0: fine */
    int result;            /* of enricher_run() */
    bool stop;
};

/* `conf` is borrowed. 0, or negative errno with one line logged. */
int enricher_init(struct enricher *enricher, struct conf *conf);
/* Gives up what is not needed any more (confine.h), in all threads. 0 or negative errno, with a line logged. */
int enricher_confine(struct enricher *enricher);
/* Until a signal ends it. 0 or negative errno. */
int enricher_run(struct enricher *enricher);
void enricher_deinit(struct enricher *enricher);

/* finish.c: before enricher_deinit(), when the collector ended first. Waits at most so long for the output. */
void enricher_finish(struct enricher *enricher, uint64_t patience_ns);

/* consumer.c: our side of the collector. */
void consumer_init(struct enricher *enricher);
/* What is due: attaching, ending, changing stores. Called each turn, outside of the loop's callbacks. true: there is something to read or to do at
 * once. */
bool consumer_turn(struct enricher *enricher);
void consumer_detach(struct enricher *enricher);

/* books.c: the sequence numbers, held against what the collector reports lost. 0 or -ENOMEM. */
int books_init(struct enricher *enricher);
void books_deinit(struct enricher *enricher);
/* The hold store is another: what an enricher before left in it is still there, and is not when what it held has been taken over. */
void books_inherit(struct enricher *enricher);
/* Attached, the hold store changed, nothing read yet. */
void books_attach(struct enricher *enricher);
/* Called once a second. */
void books_look(struct enricher *enricher, uint64_t now_ns);

/* Once a second. */
void consumer_look(struct enricher *enricher);

/* stores.c: where the lanes hold events. As soon as nothing is held in the store before, that of the collector that we are attached to. */
void stores_change(struct enricher *enricher);
/* Each turn. */
void stores_turn(struct enricher *enricher);
void stores_free(struct enricher *enricher);

/* All lanes, the first being this thread's; others only while the crew rests (crew.h). */
size_t enricher_lane_count(const struct enricher *enricher);
struct lane *enricher_lane(struct enricher *enricher, size_t index);

/* status.c, coverage_write.c, explain.c: one JSON object, one line; of all lanes, while they rest. */
struct text;
void status_write(struct enricher *enricher, struct text *reply);
void coverage_write(struct enricher *enricher, struct text *reply);
void explain_write(struct enricher *enricher, const char *argument, struct text *reply);
