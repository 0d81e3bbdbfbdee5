/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an event is called on screen: a picture and a short word. */
#include "enricher/cli/line.h"
#include "enricher/cli/row.h"

struct verb {
    const char *icon; /* two columns wide, or one and a space */
    const char *word; /* at most VERB_WIDTH columns */
    enum row_style style;
};

#define VERB_WIDTH 7

struct verb verb_of(const struct line *line);
