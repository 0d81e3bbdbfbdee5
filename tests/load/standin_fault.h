/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a stand-in does wrong and when: WHAT=WHEN.
 *
 *   WHAT   outage (connections are cut and none is accepted) · stall (no answer, and nothing more on a watch) · a status from 400 to 599
 *   WHEN   10s+5s      from ten seconds after the start, for five
 *          10s+5s/60s  the same every minute
 *          5%          of the requests, by chance (not for an outage)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STANDIN_FAULTS_MAX     32
#define STANDIN_FAULT_EXPECTED "outage, stall or a status, then =10s+5s, =10s+5s/60s or =5%"

enum standin_fault_kind {
    STANDIN_FAULT_NONE,
    STANDIN_FAULT_OUTAGE,
    STANDIN_FAULT_STALL,
    STANDIN_FAULT_STATUS
};

struct standin_fault {
    enum standin_fault_kind kind;
    unsigned status;
    uint64_t start_ns, length_ns, every_ns; /* every_ns 0: once */
    unsigned of_million;                    /* above 0: by chance, at any time */
};

struct standin_faults {
    struct standin_fault list[STANDIN_FAULTS_MAX];
    size_t count;
    uint64_t random; /* the seed */
};

/* 0, -EINVAL, or -E2BIG: there are too many. On failure nothing is added. */
int standin_faults_add(struct standin_faults *faults, const char *text);

/* What stops the whole stand-in, or its watches, `since_ns` after its start: an outage, a stall, or NONE. Without chance. */
enum standin_fault_kind standin_faults_in_force(const struct standin_faults *faults, uint64_t since_ns);
/* What becomes of one request: the first fault that applies. `status` of a STATUS goes to *ret_status. */
enum standin_fault_kind standin_faults_of_request(
    struct standin_faults *faults, uint64_t since_ns, unsigned *ret_status);
