/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Kubernetes watch of Pods in JSON: one object after the other, {"type":"ADDED","object":{…}}, for as
 * long as the connection lasts. Bytes are pushed as they come; each event is cut out by its brackets and
 * parsed alone. Everything in it is untrusted.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 *
 * J1  memory: one event of at most POD_JSON_MAX_POD + 4 KiB and what the parser makes of it; a larger one
 *     is told as WATCH_UNREADABLE
 * J2  the events do not depend on where the pieces are cut
 * J3  bytes that cannot be a watch end it: -EINVAL, and watch_json_error() says at which byte
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "enricher/pod_table.h"

enum watch_type {
    WATCH_ADDED,
    WATCH_MODIFIED,
    WATCH_DELETED, /* with the Pod's last state */
    WATCH_BOOKMARK,
    WATCH_ERROR,      /* the watch is over */
    WATCH_UNREADABLE, /* too large, of a type that we do not know, not a Pod with a UID: passed over */
};

/* All borrowed for the call. */
struct watch_event {
    enum watch_type type;
    const struct pod *pod; /* ADDED, MODIFIED, DELETED */
    const char *version;   /* metadata.resourceVersion: from where to go on; NULL: none */
    bool initial_end;      /* WATCH_BOOKMARK: all that there was when the watch began has been told */
    int code;              /* WATCH_ERROR, with the Status's own words; "" where it has none */
    const char *reason, *message;
};

struct watch_json;
typedef int watch_json_fn(void *arg, const struct watch_event *event); /* nonzero: give it up */

/* 0 or -ENOMEM. */
int watch_json_new(struct watch_json **ret, watch_json_fn *fn, void *arg);
struct watch_json *watch_json_free(struct watch_json *parser);
/* 0; -EINVAL (J3), -ENOMEM, -ECANCELED: fn gave it up. After an error only free is allowed. */
int watch_json_push(struct watch_json *parser, const char *data, size_t size);
bool watch_json_is_between(const struct watch_json *parser); /* no event has begun and not ended */
const char *watch_json_error(const struct watch_json *parser);
