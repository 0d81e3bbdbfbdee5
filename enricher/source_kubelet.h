/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The kubelet's list of its Pods: GET {url}/pods (https://NODE:10250 with a token or a client certificate; http://NODE:10255, read-only, with nothing).
 * The account needs `get` on nodes/proxy or, on newer kubelets, on nodes/pods alone.
 *
 * Asked once at the start, every refresh_ns, and whenever something is unresolved (ops->ask). The answer is merged Pod by Pod while it streams in, so that what
 * waits for a Pod goes out before the list's last byte.
 *
 * K1  at most one request is under way; asks during it cause exactly one more after it
 * K2  two requests begin at least min_interval_ns apart, and ten times as far as the last answer took to digest: asking costs at most a tenth of a core
 * K3  after a failure the next try waits for its back-off (and Retry-After), whoever asks
 * K4  a list that breaks off, or is not one, removes no Pod; what it had brought by then stays
 */
#include <stddef.h>
#include "enricher/retry.h"
#include "enricher/source.h"

struct source_kubelet_params {
    uint64_t min_interval_ns;    /* default 200 ms */
    uint64_t refresh_ns;         /* default 30 s */
    struct retry_policy retry;   /* default 250 ms … 10 s */
    uint64_t retry_after_max_ns; /* what we believe of a Retry-After; default 60 s */
    uint64_t connect_timeout_ns, overall_timeout_ns, idle_timeout_ns; /* 3 s, 20 s, 8 s */
    uint64_t max_bytes;                                               /* default 64 MiB */
};

void source_kubelet_default_params(struct source_kubelet_params *ret);
/* source_kubelet_new() of source.h with other times and limits. -EINVAL: the URL. */
int source_kubelet_new_with(struct source **ret, struct loop *loop, struct http *http,
    struct pod_table *table, const char *url, const struct source_tls *tls,
    const struct source_kubelet_params *params);
