/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Is this a record? The one place where the bytes of a record are judged; whoever reads one (enricher, podkin) asks first and may then use
 * every field, and every record_ref through record_get_bytes(), without looking at sizes again.
 *
 * The bytes are hostile: they may come from a snapshot, an inherited hold store, a stand-in for the collector. What is checked is the
 * structure (R1, R2 of record.h, version, type, enums). Not checked: what strings contain (no UTF-8, no NUL rule for args, no "/"
 * rule for paths) and flags not known here.
 *
 * `record` must be aligned to RECORD_ALIGN, with at least `available` bytes behind it. No state, no allocation, a few compares: it is called
 * once a record.
 */
#include <stddef.h>
#include <errno.h>
#include "common/record.h"

enum record_fault {
    RECORD_FAULT_NONE,
    RECORD_FAULT_SHORT,   /* less than a header available */
    RECORD_FAULT_SIZE,    /* R1: too small for its type, unaligned, too large, or more than available */
    RECORD_FAULT_VERSION, /* not RECORD_VERSION */
    RECORD_FAULT_TYPE,    /* not a type, or RECORD_PAD */
    RECORD_FAULT_REF,     /* R2, or longer than the field may be */
    RECORD_FAULT_ENUM,    /* a value that its enum does not have */
    RECORD_FAULT_COUNT,
};

enum record_fault record_find_fault(const struct record_header *record, size_t available);
const char *record_fault_name(enum record_fault fault); /* "size", "version" … for counters and messages */

/* 0 or -EBADMSG. */
static inline int record_check(const struct record_header *record, size_t available)
{
    return record_find_fault(record, available) == RECORD_FAULT_NONE ? 0 : -EBADMSG;
}

/* Size of the fixed part (header and body) of a type, 0 for what is no type. */
size_t record_fixed_bytes(unsigned type);
/* "fork", "exec" … "?" for what is no type. */
const char *record_type_name(unsigned type);

/* A string of a checked record, borrowed; {NULL, 0} when it is absent. Not NUL-terminated. */
struct record_bytes {
    const char *data;
    size_t size;
};
static inline struct record_bytes record_get_bytes(const struct record_header *record, struct record_ref ref)
{
    if (ref.size == 0)
        return (struct record_bytes){NULL, 0};
    return (struct record_bytes){(const char *)record + ref.offset, ref.size};
}

/* Names of at most RECORD_COMM_MAX bytes, NUL-terminated when shorter. */
static inline struct record_bytes record_get_comm(const __u8 comm[RECORD_COMM_MAX])
{
    size_t size = 0;

    while (size < RECORD_COMM_MAX && comm[size])
        size++;
    return (struct record_bytes){(const char *)comm, size};
}
