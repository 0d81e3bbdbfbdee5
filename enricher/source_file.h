/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A PodList in a file: for tests, air-gapped nodes and the demonstration. The constructor is in source.h.
 *
 * The folder is watched (inotify), so that a file replaced by rename(2) is noticed like one written in place,
 * and one that comes later. The file is read in pieces, one a turn of the loop; only a document that is whole
 * and valid is merged, so what was known stays until then.
 */
#include "enricher/source.h"

#define SOURCE_FILE_MAX_BYTES   (UINT64_C(64) << 20) /* of the file */
#define SOURCE_FILE_DEBOUNCE_NS (50 * NS_PER_MS)     /* from the first sign of a change */
#define SOURCE_FILE_LOOK_NS     (1 * NS_PER_SEC)     /* asked: at most so often; retry without a folder */
