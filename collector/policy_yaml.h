/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A policy file's text as trees of values, one a document, each value and key with its place. libyaml finds the events; what is built of them is
 * bounded here, so that no file, however its aliases multiply, becomes large.
 *
 * What is no UTF-8 or has control characters, keys given twice, keys that are no scalars, tags other than YAML's own, and aliases of what is
 * unknown or not yet complete are faults.
 */
#include <stdbool.h>
#include <stddef.h>

#include "collector/policy.h"
#include "collector/policy_report.h"

#define POLICY_YAML_DEPTH_MAX   32
#define POLICY_YAML_NODES_MAX   100000 /* of a file, what aliases stand for included */
#define POLICY_YAML_KEYS_MAX    512    /* of a map */
#define POLICY_YAML_ANCHORS_MAX 256    /* of a document */

enum policy_node_kind { POLICY_NODE_NULL, POLICY_NODE_SCALAR, POLICY_NODE_LIST, POLICY_NODE_MAP };

struct policy_entry;

struct policy_node {
    enum policy_node_kind kind;
    bool is_quoted; /* scalar: text whatever it looks like */
    struct policy_place place;
    char *text; /* scalar: owned, NUL-terminated, may hold NULs before */
    size_t size;
    struct policy_entry *entries; /* list, map */
    size_t count;
};

struct policy_entry {
    char *key; /* NULL in a list */
    struct policy_place key_place;
    struct policy_node *value;
};

struct policy_documents {
    struct policy_node **roots; /* empty documents are left out */
    size_t count;
};

/* Reads up to the first fault that ends the reading (bad YAML, a bound); the documents before it are there. What is wrong is in the report. */
void policy_yaml_read(
    struct policy_documents *ret, const char *text, size_t size, struct policy_report *report);
void policy_documents_deinit(struct policy_documents *documents);

/* NULL: it has no such key, or null under it. */
const struct policy_entry *policy_node_find(const struct policy_node *map, const char *key);

/* Of what the tree says. */
uint64_t policy_node_digest(const struct policy_node *node);
