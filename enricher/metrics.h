/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The state for machines: Prometheus' text format, by HTTP on an address of its own.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * metrics_write() composes; metrics_server is the least that a scraper needs: GET of one path, an answer, the end of the connection. Whoever
 * connects is hostile: slow, silent, many, with headers without end.
 *
 * M1  a request is at most METRICS_REQUEST_MAX bytes, and it and its answer take METRICS_TIMEOUT_NS each at most
 * M2  at most METRICS_CLIENTS_MAX are served at a time; one more is closed at once
 */
#include <stdint.h>

#include "common/clock.h"

#define METRICS_REQUEST_MAX 8192
#define METRICS_CLIENTS_MAX 16
#define METRICS_TIMEOUT_NS  (5 * NS_PER_SEC)

struct enricher;
struct loop;
struct metrics_server;
struct text;

/* Appends the whole of it. Names: podkin_*; the list is in docs/events.md. */
void metrics_write(struct enricher *enricher, struct text *out);

typedef void metrics_fn(void *arg, struct text *out);

/* address: "127.0.0.1:9464", "[::1]:9464", ":9464" (all addresses), numbers only. 0; -EINVAL: it is none of these; or what listening gave. `fn` composes the
 * answer when it is asked for. */
int metrics_server_new(
    struct metrics_server **ret, struct loop *loop, const char *address, metrics_fn *fn, void *arg);
struct metrics_server *metrics_server_free(struct metrics_server *server);
/* The port that it listens on: what the kernel chose when the address said 0. */
unsigned metrics_server_port(const struct metrics_server *server);
/* 0 or -EINVAL. */
int metrics_check_address(const char *address);
