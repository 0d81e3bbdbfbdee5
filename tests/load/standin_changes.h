/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What an API server remembers of its Pods: each has the version of its last change, and the changes since then are kept for who watches, as many as there is
 * room for. The Pods are those of standin_pods.h; they are looked at when standin_changes_look() is called, never in between.
 *
 * V1  versions grow by one with each change, and begin above 1000
 * V2  who has read up to a version, and then everything that standin_changes_read() gives, has the Pods that standin_changes_list() gives
 */
#include <stddef.h>
#include <stdint.h>

#include "tests/load/standin_pods.h"

struct standin_changes;

enum standin_change { STANDIN_ADDED, STANDIN_MODIFIED, STANDIN_DELETED };

/* `text`: the Pod as JSON, with its version; borrowed during the call. */
typedef void standin_change_fn(void *arg, enum standin_change change, uint64_t version, const char *text);

/* Keeps `history` changes. 0 or negative errno. */
int standin_changes_new(
    struct standin_changes **ret, const struct standin_pods_options *pods, size_t history);
struct standin_changes *standin_changes_free(struct standin_changes *changes);

/* The version that is reached now. */
uint64_t standin_changes_look(struct standin_changes *changes);
/* All Pods that there are, each as ADDED with its own version. */
void standin_changes_list(const struct standin_changes *changes, standin_change_fn *fn, void *arg);
/* What came after `version`. 0, or -ESTALE: it is not kept any more (HTTP's 410). */
int standin_changes_read(
    const struct standin_changes *changes, uint64_t version, standin_change_fn *fn, void *arg);
