/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * SipHash-2-4, for tables whose keys others choose (Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012; the result of 128 bits as in the authors' reference, of 2014). In steps: a message is
 * what was absorbed, word by word; who cuts it into words sees to it that different messages stay different.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct siphash {
    uint64_t v[4];
};

static inline uint64_t siphash_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void siphash_rounds(struct siphash *hash, int count)
{
    uint64_t v0 = hash->v[0], v1 = hash->v[1], v2 = hash->v[2], v3 = hash->v[3];

    for (; count > 0; count--) {
        v0 += v1;
        v1 = siphash_rotate(v1, 13) ^ v0;
        v0 = siphash_rotate(v0, 32);
        v2 += v3;
        v3 = siphash_rotate(v3, 16) ^ v2;
        v0 += v3;
        v3 = siphash_rotate(v3, 21) ^ v0;
        v2 += v1;
        v1 = siphash_rotate(v1, 17) ^ v2;
        v2 = siphash_rotate(v2, 32);
    }
    *hash = (struct siphash){{v0, v1, v2, v3}};
}

/* `wide`: for 128 bits. */
static inline struct siphash siphash_begin(const uint64_t key[2], bool wide)
{
    return (struct siphash){
        {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d) ^ (wide ? 0xee : 0),
            key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)}};
}

static inline void siphash_absorb(struct siphash *hash, uint64_t word)
{
    hash->v[3] ^= word;
    siphash_rounds(hash, 2);
    hash->v[0] ^= word;
}

/* The whole words of it; returns the rest, fewer than 8 bytes, in the low end of a word. */
static inline uint64_t siphash_absorb_words(struct siphash *hash, const void *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    uint64_t word, rest = 0;

    for (; size >= 8; size -= 8, bytes += 8) {
        memcpy(&word, bytes, 8); /* little endian, as all of podkin */
        siphash_absorb(hash, word);
    }
    if (size)
        memcpy(&rest, bytes, size);
    return rest;
}

static inline uint64_t siphash_end(struct siphash *hash, bool wide)
{
    hash->v[2] ^= wide ? 0xee : 0xff;
    siphash_rounds(hash, 4);
    return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}

/* The upper half, behind siphash_end(). */
static inline uint64_t siphash_end_wide(struct siphash *hash)
{
    hash->v[1] ^= 0xdd;
    siphash_rounds(hash, 4);
    return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}
