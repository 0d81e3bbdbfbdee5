/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the sources tell one lane's Pod table, copied to those of the other lanes: each has a table of its own, so that looking up takes no lock. Sources and their memory stay
 * in the leader's thread.
 */
struct crew;
struct pod_table;

/* From now on. Both outlive each other's last call: the table is asked nothing more before the crew goes. */
void pod_feed_start(struct pod_table *leader, struct crew *crew);
