/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a process runs: binary, arguments, working folder, rendered once as a JSON fragment and shared, by reference count, by
 * all processes that were forked from the one that called exec.
 *
 * The fragment is `"cwd":…,"binary":…,` then `"arguments":…,"args":[…],`: its first short_size bytes stand for the whole where a line
 * would grow too long. Strings that would be longer than their budget are cut and marked (IMAGE_CUT).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_process;

#define IMAGE_PATH_BUDGET 4096  /* rendered bytes of cwd and of binary, each */
#define IMAGE_ARGS_BUDGET 16384 /* rendered bytes of arguments and of args, each */

struct image {
    uint32_t refs;
    uint32_t flags; /* enum record_process_flag of the exec or snapshot */
    uint32_t auid;
    uint32_t size, short_size; /* of the fragment */
    bool cut;                  /* a budget was exceeded */
    bool root_cwd;             /* working folder is "/" */
    uint64_t definition;       /* emit_normalised.h */
    uint64_t identity[2];      /* image_table.h: what it was rendered from */
    struct image *next;        /* in the same bucket */
    char fragment[];
};

struct image_options {
    bool own_fields;   /* "args" */
    bool credentials;  /* "process_credentials" */
    bool namespaces;   /* "ns" */
    bool capabilities; /* "cap" */
};

/* `record`: checked (record_check). NULL when memory is short. One reference. */
struct image *image_new(const struct record_process *record, const struct image_options *options);
struct image *image_ref(struct image *image); /* NULL stays NULL */
void image_unref(struct image *image);
