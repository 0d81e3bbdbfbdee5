/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Going on where an earlier collector ended, however it ended: what the service manager kept for us (common/fd_store.h), and what it is to keep for the next.
 *
 *   state              checkpoint.h                          queue-N, cursor-N   the queue's memfds (common/queue.h)
 *   ring, cpu-states   } the BPF maps that the programs      hold                the consumers' hold store
 *   process-states     } write to                            policies-N          RECORD_POLICY of the hooks that may still be heard of
 *   shared             }                                     links-N, hook-N-H   the attachments: they keep the programs at work
 *
 * N is the boot clock at the start of the collector, or at the change; the greatest counts. The old programs record while nobody reads. The new collector takes the maps, attaches its own
 * programs muted, has them kept, opens the gate, and only then lets go of the old ones: there is one way, for a restart as for another version.
 *
 * What does not fit (another version of records, queue, maps or state, another cgroup hierarchy) is one line; then everything begins anew, and what can be read or counted of the old is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/checkpoint.h"
#include "collector/hooks.h"
#include "collector/intake.h"
#include "collector/probe.h"
#include "common/fd_store.h"
#include "common/queue.h"

#define RESUME_LINE_MAX 320

struct resume {
    struct fd_store store;
    struct checkpoint *checkpoint;
    bool continues; /* the maps, the queue and the checkpoint are an earlier collector's */
    struct probe_kept kept;
    uint64_t stamp_ns;               /* of this collector */
    uint64_t cursor_ns, policies_ns; /* of what the manager keeps; 0: nothing */
    bool hold_is_kept;
    int left_queue, left_cursor,
        left_ring;         /* an earlier collector's that cannot be gone on with, owned; -1: none */
    bool left_is_readable; /* its records are of our version and hierarchy */
};

#define RESUME_EMPTY ((struct resume){.left_queue = -1, .left_cursor = -1, .left_ring = -1})

/* Takes what was kept. */
void resume_begin(struct resume *resume, const struct notify *notify, uint64_t stamp_ns);
void resume_deinit(struct resume *resume);

/* The queue and the checkpoint: an earlier collector's, else new ones. *line is not empty when there is something to say about the former. 0 or negative errno. */
int resume_open(struct resume *resume, struct queue_producer **ret_queue,
    const struct checkpoint_identity *identity, size_t queue_bytes, char line[RESUME_LINE_MAX]);

/* Maps for probe_new(); NULL: new ones. */
const struct probe_kept *resume_maps(const struct resume *resume);
/* The hold memfd of before, the caller's; -1: none that can be used. */
int resume_hold(struct resume *resume);
/* The hooks that an earlier collector had: told until they are not heard of any more. How many. */
size_t resume_inherit(struct resume *resume, struct hooks *hooks);

/* To be kept: everything that a next collector needs but the hooks, which come by resume_keeper(). */
void resume_keep(
    struct resume *resume, const struct probe *probe, const struct queue_producer *queue, int hold_fd);
void resume_keep_cursor(struct resume *resume, const struct queue_producer *queue);
void resume_keep_policies(struct resume *resume, struct hooks *hooks);
struct hooks_keeper resume_keeper(struct resume *resume);

/* The gate is open: the earlier programs end, and when this returns they have. What they left in a ring that is not ours goes into the queue as far as it can be read. */
void resume_finish(struct resume *resume, struct intake *intake);

/* A consumer comes: what an earlier queue still has, nobody will read. */
void resume_give_up(struct resume *resume, struct intake *intake);
