/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where Pod metadata comes from. Each source_*.c fills the pod table by itself on the loop; nothing blocks.
 *
 * KIND:WHERE on the command line: file:PATH  logdir:/var/log  kubelet:https://127.0.0.1:10250 (or
 * http://…:10255)  apiserver:KUBECONFIG (or in-cluster)
 */
#include <stdbool.h>
#include <stdint.h>
#include "enricher/pod_table.h"

struct loop;
struct http;

/* What the operator reads in `podkin status`. */
struct source_state {
    enum pod_source kind;
    const char *where;        /* as configured; borrowed */
    bool ready;               /* has answered at least once (or can't, see last_error) */
    uint64_t last_request_ns; /* when it was asked or looked at last; 0: never */
    uint64_t last_success_ns; /* when it last told anything, or said that all is as it was; 0: never */
    uint64_t requests, failures, pods_seen;
    uint64_t ignored;     /* names or items that were not what they should be */
    char last_error[160]; /* "" when the last attempt went well; says what to do about it */
};

struct source;
struct source_ops {
    /* Something is unresolved: look soon. Coalesced and rate-limited by the source. May be NULL: it is pushed. */
    void (*ask)(struct source *source);
    void (*get_state)(const struct source *source, struct source_state *ret);
    struct source *(*free)(struct source *source); /* returns NULL */
};
struct source {
    const struct source_ops *ops;
};

struct source_tls {
    const char *token_file, *ca_file, *client_cert, *client_key; /* NULL: none. Re-read when they change */
    bool insecure;                                               /* --insecure-skip-tls-verify */
};

/* KIND:WHERE taken apart. *ret_where points into `spec`, or to the kind's default. 0; -EINVAL: no such kind,
 * or WHERE is missing. */
int source_parse(const char *spec, enum pod_source *ret_kind, const char **ret_where);

/* Each: 0 or negative errno, `where` copied. `table` and `loop` outlive the source. */
int source_file_new(struct source **ret, struct loop *loop, struct pod_table *table, const char *path);
int source_logdir_new(struct source **ret, struct loop *loop, struct pod_table *table, const char *root);
int source_kubelet_new(struct source **ret, struct loop *loop, struct http *http, struct pod_table *table,
    const char *url, const struct source_tls *tls);
/* The Pods of node_name. kubeconfig: a file, or "in-cluster"; read at each request, so it may come later and change.
 * insecure_allowed: its insecure-skip-tls-verify counts, else it is refused. */
int source_apiserver_new(struct source **ret, struct loop *loop, struct http *http, struct pod_table *table,
    const char *kubeconfig, const char *node_name, bool insecure_allowed);
