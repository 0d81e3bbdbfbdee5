/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The name under which people know what a Pod belongs to; the rule is in docs/metadata.md. Pure. */

#define WORKLOAD_NAME_MAX 253
#define WORKLOAD_KIND_MAX 63

/* All borrowed; NULL or "": not there. */
struct workload_facts {
    const char *pod_name;
    const char *owner_kind, *owner_name; /* the controller's reference */
    const char *template_hash;           /* label pod-template-hash */
    const char *rollout_hash;            /* label rollouts-pod-template-hash */
};

struct workload {
    char name[WORKLOAD_NAME_MAX + 1], kind[WORKLOAD_KIND_MAX + 1]; /* "" when nothing is known */
};

void workload_find(const struct workload_facts *facts, struct workload *ret);
