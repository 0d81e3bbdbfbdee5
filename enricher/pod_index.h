/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Short strings → a pointer. The strings come from outside (UIDs, container ids), so the hash is keyed
 * (SipHash-2-4, Aumasson & Bernstein 2012): nobody can choose strings that fall into one bucket. Keys are
 * copied, values borrowed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pod_index_entry;
struct pod_index {
    struct pod_index_entry **buckets;
    size_t bucket_count, count;
    uint64_t key[2];
};

int pod_index_init(struct pod_index *index); /* 0 or negative errno */
void pod_index_deinit(struct pod_index *index);
void *pod_index_find(const struct pod_index *index, const char *key);     /* NULL: not there */
int pod_index_set(struct pod_index *index, const char *key, void *value); /* replaces; 0 or -ENOMEM */
void pod_index_remove(
    struct pod_index *index, const char *key, const void *value); /* only if it leads to value */

/* For the known-answer test. */
uint64_t pod_index_siphash(const uint64_t key[2], const void *data, size_t size);
