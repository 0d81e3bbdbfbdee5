/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Cuts the elements out of the top-level array "items" of a JSON object that comes in pieces. Follows
 * strings, escapes and brackets only; whether the pieces are JSON is the parser's to say. The rest of the
 * document, with an empty array for its items, is kept as the head. All bytes are untrusted.
 *
 * S1  memory: at most POD_JSON_MAX_POD for the head and for one item each
 * S2  the result does not depend on where the pieces are cut
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/text.h"

#define POD_JSON_MAX_POD    (2u << 20) /* bytes; etcd takes no object above 1.5 MiB */
#define POD_JSON_MAX_DEPTH  64
#define POD_JSON_MAX_VALUES 100000 /* in one Pod, about: each costs the parser tens of bytes */

enum pod_json_part {
    POD_JSON_ITEMS,    /* the array begins; data is the head so far */
    POD_JSON_ITEM,     /* one element */
    POD_JSON_OVERSIZE, /* an element beyond a limit: no data */
};

/* data: borrowed. 0 or negative errno, which ends the scan; the callee has set the error then. */
typedef int pod_json_part_fn(void *arg, enum pod_json_part part, const struct text *data);

enum pod_json_expect { POD_JSON_KEY, POD_JSON_COLON, POD_JSON_VALUE };

struct pod_json_scan {
    pod_json_part_fn *fn;
    void *arg;
    struct text head, item;
    uint64_t offset;      /* of the byte that is looked at */
    uint64_t item_offset; /* where the item began */
    uint64_t elided_at;   /* place in the head from which on `elided` bytes are missing */
    uint64_t elided;
    size_t depth, values;
    uint64_t is_array;           /* a bit a level */
    enum pod_json_expect expect; /* at depth 1 */
    char key[8];                 /* the last one at depth 1, cut */
    size_t key_size;
    bool in_string, escaped, in_key;
    bool in_items, items_seen, item_begun, item_oversize, any_item;
    bool done;
    char error[160]; /* "byte N: …" */
};

void pod_json_scan_init(struct pod_json_scan *scan, pod_json_part_fn *fn, void *arg);
void pod_json_scan_deinit(struct pod_json_scan *scan);
/* 0, -EINVAL with the error set, -ENOMEM, or what fn returned. After an error only deinit is allowed. */
int pod_json_scan_push(struct pod_json_scan *scan, const char *data, size_t size);
int pod_json_scan_finish(struct pod_json_scan *scan); /* the document must be whole */
/* Sets the error; returns -EINVAL. */
int pod_json_scan_fail(struct pod_json_scan *scan, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A place in the head as a place in the document. */
uint64_t pod_json_scan_head_offset(const struct pod_json_scan *scan, uint64_t position);
