/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a policy hook saw, in a few characters: function(args) = return. Every kind of argument is shown; one that is not known by its name is
 * shown by its fields. */
#include "enricher/cli/line.h"
#include "enricher/cli/row.h"

/* raw: the array of the event; each element an object with one *_arg member and perhaps a label. */
void hook_args_show(struct row *row, struct slice raw);
/* raw: one such object. */
void hook_arg_show(struct row *row, struct slice raw);
/* One word as a shell would need it: in quotes when anything in it is special. */
void hook_word_show(struct row *row, enum row_style style, struct slice raw);
/* Such words for an array of strings; other elements are skipped. */
void hook_argv_show(struct row *row, struct slice raw);
