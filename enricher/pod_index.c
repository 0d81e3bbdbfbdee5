/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_index.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "enricher/siphash.h"

struct pod_index_entry {
    struct pod_index_entry *next;
    uint64_t hash;
    void *value;
    char key[];
};

#define FIRST_BUCKETS 64

uint64_t pod_index_siphash(const uint64_t key[2], const void *data, size_t size)
{
    struct siphash hash = siphash_begin(key, false);

    siphash_absorb(&hash, siphash_absorb_words(&hash, data, size) | (uint64_t)size << 56);
    return siphash_end(&hash, false);
}

int pod_index_init(struct pod_index *index)
{
    *index = (struct pod_index){0};
    if (getrandom(index->key, sizeof(index->key), 0) != (ssize_t)sizeof(index->key))
        return -EIO;
    index->buckets = calloc(FIRST_BUCKETS, sizeof(*index->buckets));
    if (!index->buckets)
        return -ENOMEM;
    index->bucket_count = FIRST_BUCKETS;
    return 0;
}

void pod_index_deinit(struct pod_index *index)
{
    for (size_t i = 0; i < index->bucket_count; i++)
        for (struct pod_index_entry *entry = index->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free(entry);
        }
    free(index->buckets);
    *index = (struct pod_index){0};
}

/* Where the link to the entry is, or where it would go. */
static struct pod_index_entry **locate(const struct pod_index *index, const char *key, uint64_t hash)
{
    struct pod_index_entry **link = &index->buckets[hash & (index->bucket_count - 1)];

    while (*link && ((*link)->hash != hash || strcmp((*link)->key, key) != 0))
        link = &(*link)->next;
    return link;
}

void *pod_index_find(const struct pod_index *index, const char *key)
{
    uint64_t hash = pod_index_siphash(index->key, key, strlen(key));
    struct pod_index_entry *entry = *locate(index, key, hash);

    return entry ? entry->value : NULL;
}

/* Without memory for more buckets the chains just get longer. */
static void grow(struct pod_index *index)
{
    size_t count = index->bucket_count * 2;
    struct pod_index_entry **buckets = calloc(count, sizeof(struct pod_index_entry *));

    if (!buckets)
        return;
    for (size_t i = 0; i < index->bucket_count; i++)
        for (struct pod_index_entry *entry = index->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    free(index->buckets);
    index->buckets = buckets;
    index->bucket_count = count;
}

int pod_index_set(struct pod_index *index, const char *key, void *value)
{
    size_t size = strlen(key);
    uint64_t hash = pod_index_siphash(index->key, key, size);
    struct pod_index_entry **link = locate(index, key, hash), *entry = *link;

    if (!entry) {
        entry = malloc(sizeof(*entry) + size + 1);
        if (!entry)
            return -ENOMEM;
        entry->hash = hash;
        entry->next = NULL;
        memcpy(entry->key, key, size + 1);
        *link = entry;
        index->count++;
    }
    entry->value = value;
    if (index->count > index->bucket_count)
        grow(index);
    return 0;
}

void pod_index_remove(struct pod_index *index, const char *key, const void *value)
{
    uint64_t hash = pod_index_siphash(index->key, key, strlen(key));
    struct pod_index_entry **link = locate(index, key, hash), *entry = *link;

    if (!entry || entry->value != value)
        return;
    *link = entry->next;
    index->count--;
    free(entry);
}
