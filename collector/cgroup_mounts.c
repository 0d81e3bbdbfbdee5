/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/cgroup_mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* \040 and the like, in place (proc(5)). */
static void decode_octal(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
            from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static int add(struct cgroup_mounts *mounts, const char *point, const char *controllers, bool whole)
{
    struct cgroup_mount *list = reallocarray(mounts->list, mounts->count + 1, sizeof(*list));
    struct cgroup_mount *mount;

    if (!list)
        return -ENOMEM;
    mounts->list = list;
    mount = &list[mounts->count++];
    *mount = (struct cgroup_mount){.point = strdup(point), .whole = whole};
    if (controllers)
        mount->controllers = strdup(controllers);
    return mount->point && (mount->controllers || !controllers) ? 0 : -ENOMEM;
}

/* "36 35 98:0 ROOT POINT OPTIONS [FIELDS…] - TYPE SOURCE SUPER_OPTIONS" */
static int read_line(struct cgroup_mounts *mounts, char *line)
{
    char *separator = strstr(line, " - "), *rest = line, *fields[6], *type, *super;

    if (!separator)
        return 0;
    *separator = '\0';
    super = separator + 3;
    type = strsep(&super, " ");
    if (!super || (strcmp(type, "cgroup") != 0 && strcmp(type, "cgroup2") != 0))
        return 0;
    (void)strsep(&super, " "); /* the source is any word */
    for (size_t i = 0; i < 6; i++) {
        fields[i] = strsep(&rest, " ");
        if (!fields[i])
            return 0;
    }
    decode_octal(fields[4]);
    if (strcmp(type, "cgroup2") == 0)
        return add(mounts, fields[4], NULL, strcmp(fields[3], "/") == 0);
    if (!super)
        return 0;
    super[strcspn(super, "\n")] = '\0';
    return add(mounts, fields[4], super, strcmp(fields[3], "/") == 0);
}

int cgroup_mounts_read(struct cgroup_mounts *ret, FILE *mountinfo)
{
    CLEANUP_FREE char *line = NULL;
    size_t capacity = 0;
    int r = 0;

    *ret = (struct cgroup_mounts){0};
    while (r == 0 && getline(&line, &capacity, mountinfo) > 0)
        r = read_line(ret, line);
    if (r < 0)
        cgroup_mounts_deinit(ret);
    return r;
}

void cgroup_mounts_deinit(struct cgroup_mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++) {
        free(mounts->list[i].point);
        free(mounts->list[i].controllers);
    }
    free(mounts->list);
    *mounts = (struct cgroup_mounts){0};
}

bool cgroup_mount_has(const struct cgroup_mount *mount, const char *controller)
{
    const char *at = mount->controllers;
    size_t size = controller ? strlen(controller) : 0;

    if (!at || !controller)
        return !at && !controller;
    while (*at) {
        size_t word = strcspn(at, ",");

        if (word == size && memcmp(at, controller, size) == 0)
            return true;
        at += word;
        at += *at == ',';
    }
    return false;
}

const struct cgroup_mount *cgroup_mounts_find(const struct cgroup_mounts *mounts, const char *controller)
{
    const struct cgroup_mount *best = NULL;

    for (size_t i = 0; i < mounts->count; i++) {
        const struct cgroup_mount *mount = &mounts->list[i];

        if (!cgroup_mount_has(mount, controller))
            continue;
        if (mount->whole)
            return mount;
        if (!best)
            best = mount;
    }
    return best;
}

const struct cgroup_mount *cgroup_mounts_at(const struct cgroup_mounts *mounts, const char *point)
{
    const struct cgroup_mount *found = NULL;

    for (size_t i = 0; i < mounts->count; i++) {
        if (strcmp(mounts->list[i].point, point) == 0)
            found = &mounts->list[i];
    }
    return found;
}
