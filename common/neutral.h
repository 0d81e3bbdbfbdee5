/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which characters must not reach a terminal, a log or a configuration as they are; text_append_neutral()
 * (text.h) shows them. */
#include <stdbool.h>
#include <stdint.h>

/* Controls (C0, DEL, C1), line and paragraph separators, bidi controls, invisible formatting characters,
 * tags, noncharacters. Such as would move the cursor, reorder the line or hide part of it. */
bool neutral_is_unsafe(uint32_t code);
