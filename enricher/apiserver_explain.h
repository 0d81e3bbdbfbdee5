/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside source_apiserver.c: what went wrong, in words that say what to do about it. */
#include <stddef.h>
#include "enricher/http.h"
#include "enricher/kubeconfig.h"

/* Of a request that was not answered well. `ret` is printable and terminated. */
void apiserver_explain(
    char *ret, size_t size, const struct http_result *result, const struct kubeconfig *config);
