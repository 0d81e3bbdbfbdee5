/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One v1 Pod, as jansson parsed it, → struct pod. Reads the fields that podkin uses and skips the rest; a
 * field of a wrong type counts as missing. A string with a NUL inside also: it could not be what Kubernetes
 * validated.
 */
#include <jansson.h>
#include "enricher/pod_table.h"

/* *ret is the caller's to pod_clear(). 0; -EINVAL: not an object with a usable metadata.uid; -ENOMEM. *ret is
 * untouched then. */
int pod_json_read(const json_t *object, struct pod *ret);
/* A string member without NUL, borrowed; NULL: none. */
const char *pod_json_string(const json_t *object, const char *key);
/* RFC 3339, as Kubernetes writes times. 0: not one, or before 1970. */
uint64_t pod_json_time(const char *string);
