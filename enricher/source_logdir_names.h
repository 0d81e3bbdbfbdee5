/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The names that the kubelet gives in the log directory (pkg/kubelet/kuberuntime/logs, legacy.go):
 *
 *     pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log
 *     containers/POD_NAMESPACE_CONTAINER-ID.log  →  …/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log
 *
 * Names are checked as strictly as the API server does (RFC 1123 labels and subdomains), so that nothing else
 * in the folder is taken for a Pod. Pure.
 */
#include <stdbool.h>
#include "enricher/pod_table.h"

#define LOGDIR_NAMESPACE_MAX 63
#define LOGDIR_POD_MAX       253
#define LOGDIR_CONTAINER_MAX 63

struct logdir_pod_name {
    char namespace_[LOGDIR_NAMESPACE_MAX + 1], pod[LOGDIR_POD_MAX + 1], uid[POD_UID_MAX + 1];
};

struct logdir_link {
    struct logdir_pod_name pod; /* from the target; the name agrees with it */
    char container[LOGDIR_CONTAINER_MAX + 1], id[CONTAINER_ID_MAX + 1];
    unsigned restarts; /* from the target; 0 when it does not tell */
};

/* false: not such a name; *ret is undefined then. */
bool logdir_parse_pod(const char *name, struct logdir_pod_name *ret);
bool logdir_parse_link(const char *name, const char *target, struct logdir_link *ret);
bool logdir_is_container(const char *name);
