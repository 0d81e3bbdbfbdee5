/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An API server's Pods of one node as a function of time: N Pods of M containers, of which so many a second change, one after
 * the other. Answers list and watch of them through tests/support/http_server.h, with sendInitialEvents and bookmarks. Holds
 * no state but its counters, so any number of connections may ask.
 */
#include <stdatomic.h>
#include <stdint.h>
#include "tests/support/http_server.h"

struct apiserver_model {
    unsigned pods, containers, changes_per_sec;
    unsigned pod_bytes;  /* of JSON, about; managedFields fill what is missing */
    const char *token;   /* NULL: anybody may ask */
    uint64_t started_ns; /* boot clock */
    /* what was served */
    _Atomic uint64_t lists, watches, refused, initial_ends, changes, bytes;
};

bool apiserver_model_serve(void *model, struct http_server_connection *connection, const char *head);
