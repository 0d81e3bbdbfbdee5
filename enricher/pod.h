/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Building, copying and comparing what a source tells of one Pod (the fields of struct pod above its blank
 * line). Used by the sources, the parser and the table. Everything here is bounded: what exceeds a limit is
 * left out, so that no source can make a Pod, or a line of output, without end.
 *
 * Functions that return int: 0 or -ENOMEM, and then the Pod is as before or short of what was to be added;
 * pod_clear() is always right.
 */
#include "enricher/pod_table.h"

#define POD_MAX_CONTAINERS       256 /* of all kinds */
#define POD_MAX_OLD_IDS          16  /* a container */
#define POD_MAX_LABELS           128
#define POD_MAX_ANNOTATIONS      64
#define POD_MAX_KEY              317  /* a DNS subdomain, a slash, a name */
#define POD_MAX_LABEL_VALUE      256  /* Kubernetes allows 63 */
#define POD_MAX_ANNOTATION_VALUE 1024 /* longer ones are documents, not marks */
#define POD_MAX_NAME             253
#define POD_MAX_IMAGE            1024

void pod_clear(struct pod *pod); /* frees what was told and zeroes it; the rest of the struct is left alone */
int pod_copy(struct pod *ret, const struct pod *pod);     /* *ret is overwritten, untouched on failure */
bool pod_equal(const struct pod *a, const struct pod *b); /* what was told is the same */
size_t pod_bytes(const struct pod *pod); /* heap, about; with the cost of its index entries */

/* *field becomes a copy of value; NULL, empty or longer than max: it stays NULL. */
int pod_set_string(char **field, const char *value, size_t max);
int pod_add_label(struct pod *pod, const char *key, const char *value);
int pod_add_annotation(struct pod *pod, const char *key, const char *value);
/* The container of that name, added when missing. NULL: no memory, no name, or too many. Valid until the next
 * add. */
struct pod_container *pod_add_container(struct pod *pod, const char *name);
struct pod_container *pod_find_container_by_name(const struct pod *pod, const char *name);
bool pod_container_has_id(const struct pod_container *container, const char *id);
/* At the end (the oldest); one that is known already, or beyond the bound, is left out. */
int pod_container_add_old_id(struct pod_container *container, const char *id);
void pod_container_clear_old_ids(struct pod_container *container);

/* 1 to 63 characters that can be one path component and one line of output. */
bool pod_uid_valid(const char *uid);
/* 8-4-4-4-12 hex digits, as the API server makes them. */
bool pod_uid_is_uuid(const char *uid);
/* 1 to 64 lower-case hex digits. */
bool pod_container_id_valid(const char *id);
