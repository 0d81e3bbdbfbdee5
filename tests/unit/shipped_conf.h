/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The configuration files that are shipped show each key with its default behind a '#': made a file in which they are set. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

/* "#key = value": the key is one of those, which end with NULL. */
static inline bool shipped_is_one_of(const char *line, const char *const *keys)
{
    size_t size = strcspn(line, " ");

    for (; *keys; keys++) {
        if (strlen(*keys) == size && strncmp(line, *keys, size) == 0)
            return true;
    }
    return false;
}

/* Writes to `to` the keys of systemd/NAME that stand behind a '#', but for `without`: those that have no default, but an example. Returns how many. */
static inline size_t shipped_defaults(const char *name, const char *const *without, const char *to)
{
    const char *root = getenv("PODKIN_SOURCE_ROOT");
    FILE *in, *out = fopen(to, "we");
    char path[512], line[512];
    size_t count = 0;

    (void)snprintf(path, sizeof(path), "%s/systemd/%s", root ? root : ".", name);
    in = fopen(path, "re");
    cr_assert(in && out, "%s", path);
    while (fgets(line, sizeof(line), in)) {
        if (line[0] != '#' || line[1] < 'a' || line[1] > 'z' || !strstr(line, " = ") ||
            shipped_is_one_of(line + 1, without))
            continue;
        cr_assert_geq(fputs(line + 1, out), 0);
        count++;
    }
    (void)fclose(in);
    cr_assert_eq(fclose(out), 0);
    return count;
}
