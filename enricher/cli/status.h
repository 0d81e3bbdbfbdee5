/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The enricher's status (one JSON object) as a table for people. */
#include <stddef.h>

struct text;

/* 0, or -EBADMSG: no JSON object. */
int status_show(const char *answer, size_t size, struct text *out);
