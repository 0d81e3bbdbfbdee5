/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include "enricher/pod_index.h"

/* From the paper's appendix A: key 00..0f, message 00..0e. */
Test(pod_index, siphash_has_the_papers_answer)
{
    static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t message[15];

    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    cr_assert_eq(pod_index_siphash(key, message, sizeof(message)), UINT64_C(0xa129ca6149be45e5));
}

Test(pod_index, finds_what_was_set_and_not_what_was_removed)
{
    struct pod_index index;
    int values[2];
    char key[16];

    cr_assert_eq(pod_index_init(&index), 0);
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        cr_assert_eq(pod_index_set(&index, key, &values[i % 2]), 0);
    }
    for (unsigned i = 0; i < 5000; i += 3) {
        (void)snprintf(key, sizeof(key), "%u", i);
        pod_index_remove(&index, key, &values[(i + 1) % 2]);
        cr_assert_eq(pod_index_find(&index, key), &values[i % 2], "another's entry is not removed");
        pod_index_remove(&index, key, &values[i % 2]);
    }
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        cr_assert_eq(pod_index_find(&index, key), i % 3 ? (void *)&values[i % 2] : NULL);
    }
    pod_index_deinit(&index);
}
