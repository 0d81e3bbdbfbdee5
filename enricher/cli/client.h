/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The enricher's socket: one request line out, then its answer. The enricher is trusted as far as an unprivileged daemon is: its answers are
 * bounded, waited for a bounded time, and neutralised where they are shown. */
#include <stddef.h>

#define CLIENT_SOCKET_DEFAULT "/run/podkin/events.sock"

/* Connects and sends `request` (with its newline). A blocking socket, owned by the caller, or negative errno. */
int client_open(const char *path, const char *request);
/* The whole answer until the other side closes, at most 4 MiB and 5 s; *ret is owned, NUL-terminated. 0, -EMSGSIZE, -ETIMEDOUT or negative errno. */
int client_ask(const char *path, const char *request, char **ret, size_t *ret_size);
