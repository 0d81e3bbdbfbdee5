/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Kubernetes JSON → struct pod. A stream: bytes are pushed as they come, each Pod of `items` is cut out by a
 * scan and parsed alone with jansson, so that memory is that of the largest Pod and not of the list. Takes v1
 * PodList, v1 List of Pods, a single Pod. Everything in it is untrusted: depth, size of one Pod (2 MiB) and
 * strings are bounded.
 */
#include <stddef.h>
#include "enricher/pod_table.h"

#define POD_JSON_MAX_VERSION 64

struct pod_json;
typedef void pod_json_fn(void *arg, const struct pod *pod); /* borrowed for the call */

int pod_json_new(struct pod_json **ret, pod_json_fn *fn, void *arg);
struct pod_json *pod_json_free(struct pod_json *parser);
/* 0, or -EINVAL: not what it should be; pod_json_error() says what and at which byte. After an error only
 * free is allowed. */
int pod_json_push(struct pod_json *parser, const char *data, size_t size);
/* The document must be whole. */
int pod_json_finish(struct pod_json *parser);
const char *pod_json_error(const struct pod_json *parser);
/* Of a list that is finished: metadata.resourceVersion, from where a watch goes on, and metadata.continue, which
 * says that it is only a part; "" where there is none, or one that is longer than any real one. */
const char *pod_json_version(const struct pod_json *parser);
bool pod_json_is_partial(const struct pod_json *parser);
size_t pod_json_skipped(
    const struct pod_json *parser); /* items without a UID or of another kind: counted, not fatal */
