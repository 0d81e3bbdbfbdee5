/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The collector's one socket (common/handoff_message.h): who may connect, one at a time, what he is given.
 *
 *   IDLE ─ accept, uid ─► GREETING ─ HELLO ─► PREPARING ─ handoff_send_attach() ─► ATTACHED
 *     ▲                      │ 1 s, wrong, gone    │ gone                              │ gone, or says anything
 *     └──────────────────────┴─────────────────────┴───────────────────────────────────┘
 *
 * The peer is hostile: nothing it does waits (H1), no fd of its enters this process (H2), it is asked nothing but one message of an exact
 * length (H3), and whoever comes while it is served is refused at once (H4). Its uid is the kernel's word (SO_PEERCRED), taken before a byte is read.
 *
 * A connection is its maker's: the process that connected is watched by its pid fd (H5). It is refused if that has ended already, and it ends with it,
 * though another process may have been left or given the descriptor: nobody reads the queue, or keeps a successor from it, in the name of the dead. Where a kernel
 * gives no pid fd (before 5.3) the connection alone is watched, and handoff_peer_words() says so.
 *
 * Nothing is logged here: each call returns what happened, handoff_line() says it in words. Level-triggered: call the function of an fd that
 * polls readable, again as long as it does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/handoff_message.h"

enum handoff_state { HANDOFF_IDLE, HANDOFF_GREETING, HANDOFF_PREPARING, HANDOFF_ATTACHED };

enum handoff_event {
    HANDOFF_NOTHING,
    HANDOFF_REFUSED, /* somebody was turned away; the consumer there may be is untouched */
    HANDOFF_WANTED,  /* a good HELLO: prepare, then handoff_send_attach() or handoff_close_connection() */
    HANDOFF_GONE,    /* a consumer that was PREPARING or ATTACHED is gone: the state is IDLE */
};

struct handoff {
    char *path;
    uid_t peer_uid;
    uint64_t hello_timeout_ns;
    int listener, connection; /* -1: none; to be polled for input */
    int peer;                 /* the process that connected, a pid fd; -1: none; likewise */
    bool peer_exact;          /* its pid fd is of the kernel's own knowledge */
    enum handoff_state state;
    uint64_t deadline_ns; /* of GREETING */
    char line[160];
};

#define HANDOFF_EMPTY            ((struct handoff){.listener = -1, .connection = -1, .peer = -1})
#define HANDOFF_HELLO_TIMEOUT_NS (UINT64_C(1000000000))

/* Listens. Makes the folder of `path` when it is missing and directly under /run. 0 or negative errno (unix_listen()). */
int handoff_open(struct handoff *handoff, const char *path, uid_t peer_uid, gid_t peer_gid);
/* Closes and removes the socket; idempotent, HANDOFF_EMPTY is fine. */
void handoff_close(struct handoff *handoff);

enum handoff_event handoff_on_listener(struct handoff *handoff, uint64_t now_ns);
enum handoff_event handoff_on_connection(struct handoff *handoff);
enum handoff_event handoff_on_peer(struct handoff *handoff);
/* How the process behind the connection is watched: "watched by its pid fd" … */
const char *handoff_peer_words(const struct handoff *handoff);
/* Looks at deadlines; to be called every now and then. */
enum handoff_event handoff_on_time(struct handoff *handoff, uint64_t now_ns);

/* What the last event was, one line. */
const char *handoff_line(const struct handoff *handoff);

/* Only when PREPARING. 0: ATTACHED; negative errno: the connection is closed, IDLE. The fds stay the caller's. */
int handoff_send_attach(
    struct handoff *handoff, const struct handoff_attach *attach, const int fds[HANDOFF_FD_COUNT]);

/* Ends what there is with a connection: IDLE. */
void handoff_close_connection(struct handoff *handoff);
