/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The events socket: a unix stream socket on which local people ask for the stream or for the state. A
 * client sends one line and gets its answer:
 *
 *   events         every line that goes out from now on (the connection becomes a viewer of output.h)
 *   status         one line of JSON
 *   coverage       one line of JSON
 *   explain PID    one line of JSON
 *
 * Anything else gets {"error":"…"} and the end. Who may ask is decided by the mode of the socket file. A
 * client is hostile: it may be slow, silent, or one of very many; what it costs is bounded.
 *
 * C1  a request is at most CONTROL_REQUEST_MAX bytes and must be there within CONTROL_TIMEOUT_NS; its
 *     answer must be taken within the same time
 * C2  at most max_clients are being served at a time; one more is told so and closed
 * C3  a socket file is only replaced when nobody listens on it, and only removed when it is still ours
 */
#include <stdint.h>
#include "common/clock.h"

struct control;
struct loop;
struct output;
struct text;

#define CONTROL_REQUEST_MAX 256 /* with the newline */
#define CONTROL_TIMEOUT_NS  (5 * NS_PER_SEC)

/* Appends the answer, JSON without the newline. argument: "" for status and coverage, a decimal pid for explain. */
typedef void control_answer_fn(void *arg, const char *verb, const char *argument, struct text *reply);

struct control_options {
    const char *path;
    unsigned mode;         /* of the socket file; 0: 0660 */
    unsigned max_clients;  /* 0: 16 */
    const char *no_events; /* why there are none; NULL: "no events here" */
    control_answer_fn *answer;
    void *arg;
};

/* output may be NULL: then `events` is refused with no_events. -EADDRINUSE: somebody listens there, or the path is no
 * socket. -ENAMETOOLONG. */
int control_new(
    struct control **ret, struct loop *loop, struct output *output, const struct control_options *options);
/* errno of the connection that could not be taken last, 0: none since one was. */
int control_error(const struct control *control);
struct control *control_free(struct control *control);
