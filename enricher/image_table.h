/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Equal images are one: the hundredth process that calls exec with the same binary, arguments and working folder shares what was rendered for the first.
 *
 * Images are told apart by a keyed hash of 128 bits of all that they are rendered from; the key is this table's own and random, so that nobody can make two that collide. So nothing is rendered,
 * compared or allocated for one that is there.
 *
 * M1  the table keeps what it has rendered for a while after the last process is gone: as many as a quarter of its buckets and of what is in use; each addition looks at the next few buckets
 *     for such
 */
#include <stddef.h>
#include <stdint.h>

struct image;
struct image_options;
struct record_process;

struct image_table {
    struct image **buckets;
    size_t mask, count;
    size_t hand; /* the bucket that is looked at next */
    uint64_t key[2];
};

/* 0 or negative errno. */
int image_table_init(struct image_table *table);
void image_table_deinit(struct image_table *table);
/* As image_new(); the options are the same in every call. */
struct image *image_table_get(
    struct image_table *table, const struct record_process *record, const struct image_options *options);
