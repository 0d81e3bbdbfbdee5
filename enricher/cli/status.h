/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The enricher's status (one JSON object) as a table for people. */
#include <stddef.h>
#include <jansson.h>

struct text;

/* 0, or -EBADMSG: no JSON object. */
int status_show(const char *answer, size_t size, struct text *out);

/* ---- between its files ---- */

/* status_balance.c: "books balance: …" with the numbers, or a line with an exclamation mark for each that does not; nothing when the enricher does not
 * tell. */
void status_append_balance(struct text *out, const json_t *status);
/* 12345678 → 12,345,678, at the right of `width`. */
void status_append_grouped(struct text *out, long long value, int width);
