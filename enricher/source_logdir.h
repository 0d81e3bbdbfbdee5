/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The node's log directory as a source: namespace, Pod, UID and containers by name from ROOT/pods, container
 * ids from the links in ROOT/containers; no credential, no network, and earlier than anything else. Never
 * labels. The constructor is in source.h.
 *
 * Everything is watched by inotify; a folder is watched first and read second. After a queue overflow all is
 * read again. Where the kernel grants no more watches, the state says so and the folders are read again when
 * asked, and every SOURCE_LOGDIR_SLOW_NS. Only names are read, never a log.
 */
#include "enricher/source.h"

#define SOURCE_LOGDIR_LOOK_NS   (1 * NS_PER_SEC)  /* asked: at most so often */
#define SOURCE_LOGDIR_SLOW_NS   (30 * NS_PER_SEC) /* without watches, or without the folder */
#define SOURCE_LOGDIR_MAX_PODS  4096
#define SOURCE_LOGDIR_MAX_NAMES 65536 /* looked at in one folder */

/* For tests: like source_logdir_new(), but with at most so many watches, as if the kernel's limit were
 * reached. */
int source_logdir_new_limited(
    struct source **ret, struct loop *loop, struct pod_table *table, const char *root, unsigned max_watches);
