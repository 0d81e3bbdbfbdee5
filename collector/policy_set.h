/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * All the policies that are to be in force: files that were named, then those of a folder (*.yaml and *.yml, by name; hidden ones are left out).
 * A file with a fault is left out as a whole, the others count. Of two policies with one name the second is left out.
 */
#include <stdbool.h>

#include "collector/policy_file.h"
#include "common/options.h"

struct policy_set_options {
    const struct option_list *paths; /* files and folders; NULL: none */
    const char *folder;              /* NULL: none; one that does not exist has no policies */
    bool allow_enforcement;          /* else policies that do more than tell are left out, which is told */
};

/* Whether the folder has any file that would be read. */
bool policy_set_has_files(const char *folder);

/* Each thing that was left out is told. 0, or -EINVAL when there was one; *ret has the rest either way. */
int policy_set_read(
    struct policy_list *ret, const struct policy_set_options *options, policy_fault_fn on_fault, void *arg);
