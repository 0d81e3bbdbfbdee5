/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Normalised lines (docs/normalised.md): what many events have in common is written once, as a definition with a number, and named by the number from then
 * on: images, containers, processes and hooks. `podkin expand` makes of them the bytes that emit.c would have written.
 *
 * Numbers are good for a section: a run of lines that is readable by itself. The output says when one is due (a new file, a viewer that has just come); it is
 * begun by a line of its own. Each of those that are defined remembers section and number (the stamp), so that "is it defined here, as it is now?" is a compare
 * or two, and nothing has to be told when something goes.
 *
 * N1  a line names only what an earlier line of its section defines
 * N2  what a definition says does not change: something that changes loses its stamp (render.c, policy_table.c), or no longer compares equal
 * N3  a section has at most NORMALISED_DEFINITIONS_MAX definitions of NORMALISED_BYTES_MAX bytes together, and a few: who reads needs no more memory than that
 * N4  what is rare is written out in the event's line: a process of which a full line has not all, or that has no text for lack of memory
 */
#include <stdint.h>

#include "enricher/emit.h"

#define NORMALISED_FORMAT          1
#define NORMALISED_DEFINITIONS_MAX 524288
#define NORMALISED_BYTES_MAX       (UINT64_C(128) << 20)

struct normaliser *normaliser_new(void); /* NULL when memory is short */
struct normaliser *normaliser_free(struct normaliser *normaliser);

/* Before each line: begins a section when one is due. 0 or -EAGAIN. */
int emit_normalised_begin(struct emit *emit, uint64_t now_ns);
/* As emit_event(). */
int emit_normalised_event(struct emit *emit, const struct event *event, uint64_t now_ns);
