/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The API server's view of this node's Pods: GET {server}/api/v1/pods?fieldSelector=spec.nodeName=NODE,
 * first all of them, then what changes (watch=1). The account needs `list` and `watch` on pods; the
 * kubelet's own will do, for its own node. https://kubernetes.io/docs/reference/using-api/api-concepts/
 *
 * All of them come as the watch's first events where the server offers that (sendInitialEvents, Kubernetes
 * 1.32 and newer), else as a list. One request at a time, each over a connection of its own: what the
 * kubeconfig and the files it names say counts from the next request on, at most 10 minutes later.
 *
 * A1  what breaks off removes no Pod: only a whole list, or a DELETED, does
 * A2  a watch that ends, breaks or goes silent is resumed where it was; it begins anew with a list when the
 *     server says that it is too late for that (410 as a status, as an event of code 410 or of reason
 *     Expired or Gone), when it went silent without a word, and after three failures in a row
 * A3  a list is never older than what we have seen, except when the server itself has lost that (504: its
 *     store was restored)
 * A4  after a failure the next request waits for its back-off and Retry-After; the back-off begins anew
 *     only when a watch works
 * A5  no error text holds a secret
 */
#include "enricher/retry.h"
#include "enricher/source.h"

struct source_apiserver_params {
    uint64_t min_interval_ns;    /* from the begin of a watch that ended well to the next; default 1 s */
    struct retry_policy retry;   /* default 250 ms … 10 s */
    uint64_t retry_after_max_ns; /* what we believe of a Retry-After; default 60 s */
    uint64_t connect_timeout_ns; /* default 5 s */
    uint64_t list_timeout_ns, list_idle_ns; /* default 60 s, 15 s */
    uint64_t max_list_bytes;                /* decoded; default 256 MiB */
    uint64_t initial_timeout_ns; /* no end of the initial events for so long: not offered; default 30 s */
    unsigned watch_sec;      /* the server is asked to end a watch after one to two times this; default 300 */
    uint64_t silence_ns;     /* bookmarks come about every minute; default 90 s */
    uint64_t ask_silence_ns; /* the same when something is unresolved: default 20 s */
    bool no_initial_events;  /* list always */
    const char *service_account; /* folder of in-cluster's token and ca.crt; borrowed */
};

void source_apiserver_default_params(struct source_apiserver_params *ret);
/* source_apiserver_new() of source.h with other times and limits. */
int source_apiserver_new_with(struct source **ret, struct loop *loop, struct http *http,
    struct pod_table *table, const char *where, const char *node_name, bool insecure_allowed,
    const struct source_apiserver_params *params);
