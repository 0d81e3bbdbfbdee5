/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the enricher gives up once everything is open: it reads what the network and containers say, so it may do no more than its work.
 *
 *   no new privileges, no core ─► capabilities: none ─► files: the folders of its sources and of its output ─► system calls of the steady state
 *
 * A source's file may be replaced at any time, so it is the folder that may be read. A kubeconfig that later names files in other folders is refused those until a restart: its
 * error says "Permission denied".
 */
struct conf;

/* 0 or negative errno, with a line logged about what failed or what this kernel lacks. System calls are limited for all threads, the rest for this one and those that it makes. */
int confine_enricher(const struct conf *conf);
/* All but the system calls, for a thread that is there already. Before the call above. 0 or negative errno; what this kernel lacks is not said again. */
int confine_thread(const struct conf *conf);
