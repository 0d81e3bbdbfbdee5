/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reads policy files: YAML, one or more documents of kind TracingPolicy or TracingPolicyNamespaced. docs/policies.md says what they may hold.
 *
 * F1  a file is taken whole or refused: with one fault in it none of its policies is there
 * F2  every fault is told, with its place and the path to it, in the order of the file
 * F3  nothing is passed over: a key that is unknown is a fault, and one that podkin cannot honour too, unless it asks for nothing (false, 0,
 *     null, an empty list: what an API server writes). Only metadata is Kubernetes's own: its name and namespace count.
 */
#include <stddef.h>

#include "collector/policy.h"

#define POLICY_FILE_BYTES_MAX ((size_t)1 << 20)

/* All borrowed. Text of the file in it is as the file has it: to be neutralised where it is shown. */
struct policy_fault {
    const char *file;
    struct policy_place place; /* 0: the file as a whole */
    const char *path;          /* "spec.kprobes[0].call"; "": none */
    const char *message;
};

typedef void (*policy_fault_fn)(const struct policy_fault *fault, void *arg);

struct text;
/* "FILE:LINE:COLUMN: PATH: MESSAGE", safe to show. */
void policy_fault_append(const struct policy_fault *fault, struct text *text);

/* Appends the file's policies to *list. 0; -EINVAL when it has faults; negative errno when it cannot be read, which is told as a fault too. */
int policy_read_file(struct policy_list *list, const char *path, policy_fault_fn on_fault, void *arg);
/* The same of text; `file` is its name. */
int policy_read_text(struct policy_list *list, const char *file, const char *text, size_t size,
    policy_fault_fn on_fault, void *arg);
