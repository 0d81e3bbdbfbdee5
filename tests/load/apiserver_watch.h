/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An API server's list and watch of Pods that come, change and go (standin_changes.h), with what is asked for gone wrong (standin_fault.h). */
#include <pthread.h>
#include <stdbool.h>

#include "tests/load/standin_changes.h"
#include "tests/load/standin_fault.h"
#include "tests/support/http_server.h"

struct apiserver_watch {
    const char *token; /* NULL: anybody may ask */
    struct standin_changes *changes;
    struct standin_faults faults;
    uint64_t started_ns;
    pthread_mutex_t mutex; /* over changes and faults: each connection has its thread */
};

/* An http_server_fn; `arg`: a struct apiserver_watch. */
bool apiserver_watch_serve(void *arg, struct http_server_connection *connection, const char *head);
