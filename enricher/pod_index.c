/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_index.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct pod_index_entry {
    struct pod_index_entry *next;
    uint64_t hash;
    void *value;
    char key[];
};

#define FIRST_BUCKETS 64

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t pod_index_siphash(const uint64_t key[2], const void *data, size_t size)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    const uint8_t *bytes = data;

    for (size_t at = 0;; at += 8) {
        size_t left = size - at, take = left < 8 ? left : 8;
        uint64_t word = 0;

        for (size_t i = 0; i < take; i++)
            word |= (uint64_t)bytes[at + i] << (8 * i);
        if (left < 8)
            word |= (uint64_t)size << 56;
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
        if (left < 8)
            break;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
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
