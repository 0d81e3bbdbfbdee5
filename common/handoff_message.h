/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one socket between the two sides: unix, SOCK_SEQPACKET, the collector listens.
 *
 *   enricher  → HANDOFF_HELLO           exactly sizeof(struct handoff_hello), no fds
 *   collector → HANDOFF_ATTACH          exactly sizeof(struct handoff_attach) with the fds below, in this order
 *             or HANDOFF_REFUSE         exactly sizeof(struct handoff_refuse), then it closes
 *
 * After that nothing is said: the connection is a sign of life in both directions. Any further message, any other length,
 * any fd sent to the collector: the connection is closed with one line in the log.
 */
#include <stdint.h>

#define HANDOFF_MAGIC   0x6e6b6470u /* "pdkn" */
#define HANDOFF_VERSION 2

#define HANDOFF_SOCKET_DEFAULT "/run/podkin/collector.sock"

enum handoff_type { HANDOFF_HELLO = 1, HANDOFF_ATTACH, HANDOFF_REFUSE };

struct handoff_hello {
    uint32_t magic, version, type, record_version;
};

enum handoff_fd {
    HANDOFF_FD_RING,     /* sealed, map read-only */
    HANDOFF_FD_CURSOR,   /* map read-write */
    HANDOFF_FD_DOORBELL, /* unix stream socket: readable when rung (queue.h) */
    HANDOFF_FD_HOLD, /* memfd that the collector never maps: what the consumer holds back lives there and outlives it */
    HANDOFF_FD_SNAPSHOT, /* sealed memfd of records: SNAPSHOT_PROCESS, SNAPSHOT_CGROUP, last SNAPSHOT_END */
    HANDOFF_FD_COUNT,
};

struct handoff_attach {
    uint32_t magic, version, type, record_version;
    uint64_t epoch_ns;       /* boot clock at the collector's start: names this collector instance */
    uint64_t attach_count;   /* 1 for the first consumer of this queue */
    uint64_t snapshot_bytes; /* length of the snapshot memfd */
    char hook_kind[16];      /* how process life is hooked: "tp_btf", "raw_tp", "replay" … NUL-terminated */
    char
        cgroup_hierarchy[16]; /* whose ids and paths the records have (R5): "v2", "memory" … NUL-terminated */
};

enum handoff_refusal {
    HANDOFF_REFUSED_BUSY = 1, /* there is a consumer already */
    HANDOFF_REFUSED_PEER,     /* wrong uid */
    HANDOFF_REFUSED_VERSION,
    HANDOFF_REFUSED_MESSAGE, /* length, magic, type, or fds attached */
};

struct handoff_refuse {
    uint32_t magic, version, type, reason; /* enum handoff_refusal */
};
