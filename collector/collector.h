/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The collector: its state, the order in which it starts and stops, and its loop. Everything that it decides to say is said here.
 *
 *   start   what was kept ─► queue ─► programs loaded ─► hooks attached ─► policies ─► all kept ─► gate ─► snapshot (the ring drained in between) ─► socket ─► privileges dropped ─► ready
 *   turn    wait for an fd or the drain timer ─► drain ─► a step of a snapshot, if one is asked for ─► handoff
 *   stop    last drain ─► socket removed ─► hooks detached, or left to the service manager
 *
 * C1  hooks are attached before the snapshot starts: what is in neither does not exist
 * C2  the ring is drained every millisecond while records flow, less often when few or none do (nap.h), at once when it fills
 * C3  while nobody consumes, the queue fills and what comes then is counted
 * C4  a consumer gets a snapshot of its own; the first one the one from the start, if nothing was refused since
 * C5  the next consumer goes on at the last head that was accepted, on a page and with a bell that its predecessor does not have
 * C6  a kill at any moment, and the next collector goes on (resume.h): where a service manager keeps what is open
 * C7  a peer that comes again and again costs at most eight accepts a millisecond, and a snapshot every 100 ms
 */
#include <stdbool.h>
#include <stdint.h>

#include "collector/conf.h"
#include "collector/handoff.h"
#include "collector/hooks.h"
#include "collector/intake.h"
#include "collector/probe.h"
#include "collector/recorder.h"
#include "collector/resume.h"
#include "collector/snapshot.h"
#include "common/notify.h"

/* Lines about peers are as many as a peer likes: a few at once, then one a second, and the number of those not said. */
struct quota {
    uint64_t filled_ns;
    unsigned left;
    uint64_t suppressed_count;
};

struct collector {
    struct conf conf;
    uint64_t start_ns; /* boot clock: names this process */
    uint64_t
        epoch_ns; /* the same of the first collector of those that went on: sequence numbers begin there */
    uint64_t seq; /* of the records that the collector makes */
    struct probe *probe;
    struct hooks *hooks; /* of the policies, ours and an earlier collector's; NULL: none */
    bool has_policies;   /* what loads them is kept */
    struct queue_producer *queue;
    struct intake intake;
    struct recorder recorder;
    struct handoff handoff;
    int signal_fd;
    struct notify notify;
    struct resume resume;
    int hold_fd; /* the consumers' own; never mapped here */

    struct snapshot *snapshot; /* the one from the start until it is given away, or one in the making */
    bool snapshot_done;
    uint64_t refused_before_snapshot;

    uint64_t attach_count;
    uint64_t snapshot_ns; /* until then none is begun for a consumer */
    uint64_t listen_ns;   /* until then the listener is not looked at */
    bool cursor_used;     /* the cursor page was given away and not renewed since */
    uint64_t nap_ns;      /* the last wait for records */
    uint64_t made_ns;     /* when the programs' own count was last looked at */
    uint64_t malformed_said;
    bool stop;
    struct quota quota;
};

#define COLLECTOR_EMPTY                                                                                      \
    ((struct collector){.handoff = HANDOFF_EMPTY,                                                            \
        .signal_fd = -1,                                                                                     \
        .hold_fd = -1,                                                                                       \
        .recorder = RECORDER_EMPTY,                                                                          \
        .notify = NOTIFY_EMPTY,                                                                              \
        .resume = RESUME_EMPTY})

/* Takes `conf` over. Each failure has been said in one line. 0 or negative errno. */
int collector_start(struct collector *collector, struct conf *conf);

/* Until SIGTERM or SIGINT. 0 or negative errno. */
int collector_run(struct collector *collector);

/* Idempotent. */
void collector_stop(struct collector *collector);
