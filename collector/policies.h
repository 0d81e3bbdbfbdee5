/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From the files of policies to hooks in force: what is read, what of it counts, and what is said of it in the log. Between policy_set.h and hooks.h. */
#include "collector/conf.h"
#include "collector/hooks.h"
#include "collector/intake.h"

/* Whether there are any now, or may come to be while the collector runs (--policy-reload on): what loads them is opened, and kept. */
bool policies_are_used(const struct conf *conf);

/* Reads the files and brings `hooks` to what they say: those that are new, changed or gone; the others are not touched. A file with a fault, and a policy that this kernel
 * cannot do, are said and left out; what such a file had in force stays. The records of it go through `intake`. */
void policies_read(const struct conf *conf, struct hooks *hooks, struct intake *intake);
