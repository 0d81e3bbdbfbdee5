/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The merge rules, pure (docs/metadata.md). Each source's newest message is kept; the view is computed from
 * all of them, best source first. So the order in which sources report cannot matter (P1).
 */
#include "enricher/pod.h"

/* A source's next message. *ret is overwritten with `told` and with every container id that `before` (NULL:
 * none) had (P2). 0 or -ENOMEM, then *ret is untouched. */
int pod_merge_message(struct pod *ret, const struct pod *before, const struct pod *told);

/* messages[source], NULL where a source has told nothing. *ret: the view, with best_source and complete.
 * Likewise. */
int pod_merge_view(struct pod *ret, const struct pod *const messages[POD_SOURCE_COUNT]);
