/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/image_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/record.h"
#include "enricher/image.h"
#include "enricher/siphash.h"

#define FIRST_BUCKETS 1024
#define LOOK_AT       4 /* buckets an addition */

int image_table_init(struct image_table *table)
{
    *table = (struct image_table){.mask = FIRST_BUCKETS - 1};
    if (getrandom(table->key, sizeof(table->key), 0) != (ssize_t)sizeof(table->key))
        return -EIO;
    table->buckets = calloc(FIRST_BUCKETS, sizeof(struct image *));
    return table->buckets ? 0 : -ENOMEM;
}

void image_table_deinit(struct image_table *table)
{
    for (size_t i = 0; table->buckets && i <= table->mask; i++) {
        for (struct image *image = table->buckets[i], *next; image; image = next) {
            next = image->next;
            image_unref(image);
        }
    }
    free(table->buckets);
    *table = (struct image_table){0};
}

static void absorb_string(
    struct siphash *hash, const struct record_process *record, const struct record_ref *ref)
{
    siphash_absorb(hash, siphash_absorb_words(hash, (const uint8_t *)record + ref->offset, ref->size));
}

static void absorb_pair(struct siphash *hash, uint32_t a, uint32_t b)
{
    siphash_absorb(hash, (uint64_t)a << 32 | b);
}

/* All that image.c renders from. The sizes come first, and each string ends with a word of its own: no two are absorbed as the same words. */
static void identify(const struct image_table *table, const struct record_process *record,
    const struct image_options *options, uint64_t ret_identity[2])
{
    struct siphash hash = siphash_begin(table->key, true);

    absorb_pair(&hash, record->flags, record->auid);
    absorb_pair(&hash, (uint32_t)record->filename.size << 16 | record->args.size, record->cwd.size);
    absorb_string(&hash, record, &record->filename);
    absorb_string(&hash, record, &record->args);
    absorb_string(&hash, record, &record->cwd);
    if (record->filename.size == 0)
        (void)siphash_absorb_words(&hash, record->comm, sizeof(record->comm));
    if (options->credentials) {
        absorb_pair(&hash, record->uid, record->gid);
        absorb_pair(&hash, record->euid, record->egid);
        absorb_pair(&hash, record->suid, record->sgid);
        absorb_pair(&hash, record->fsuid, record->fsgid);
    }
    if (options->namespaces)
        (void)siphash_absorb_words(&hash, &record->ns, sizeof(record->ns));
    if (options->capabilities) {
        siphash_absorb(&hash, record->cap_permitted);
        siphash_absorb(&hash, record->cap_effective);
        siphash_absorb(&hash, record->cap_inheritable);
    }
    ret_identity[0] = siphash_end(&hash, true);
    ret_identity[1] = siphash_end_wide(&hash);
}

_Static_assert(sizeof(struct record_namespaces) % 8 == 0 && RECORD_COMM_MAX % 8 == 0, "whole words");

/* Twice as many buckets; without memory it stays as it is, with longer chains. */
static void grow(struct image_table *table)
{
    size_t mask = table->mask * 2 + 1;
    struct image **buckets = calloc(mask + 1, sizeof(struct image *));

    if (!buckets)
        return;
    for (size_t i = 0; i <= table->mask; i++) {
        for (struct image *image = table->buckets[i], *next; image; image = next) {
            next = image->next;
            image->next = buckets[image->identity[0] & mask];
            buckets[image->identity[0] & mask] = image;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->mask = mask;
}

/* M1 */
static void drop_unused(struct image_table *table)
{
    for (int i = 0; i < LOOK_AT; i++) {
        struct image **link = &table->buckets[table->hand++ & table->mask];

        while (*link) {
            struct image *image = *link;

            if (image->refs > 1) {
                link = &image->next;
                continue;
            }
            *link = image->next;
            table->count--;
            image_unref(image);
        }
    }
}

struct image *image_table_get(
    struct image_table *table, const struct record_process *record, const struct image_options *options)
{
    uint64_t identity[2];
    struct image *image;

    identify(table, record, options, identity);
    for (image = table->buckets[identity[0] & table->mask]; image; image = image->next) {
        if (image->identity[0] == identity[0] && image->identity[1] == identity[1])
            return image_ref(image);
    }
    drop_unused(table);
    if (table->count > table->mask)
        grow(table);
    image = image_new(record, options);
    if (!image)
        return NULL;
    image->identity[0] = identity[0];
    image->identity[1] = identity[1];
    image->next = table->buckets[identity[0] & table->mask];
    table->buckets[identity[0] & table->mask] = image_ref(image);
    table->count++;
    return image;
}
