/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "enricher/compressor.h"

#define FIRST_COMPRESSED 2
#define COMPRESSED       ".zst"
#define PART             ".zst.part"
#define NAME_SUFFIX_MAX  sizeof(".4294967295" PART)

static const char *const suffixes[] = {"", COMPRESSED};

static const char *name_of(const struct aside *aside, char *name, unsigned number, const char *suffix)
{
    (void)snprintf(name, strlen(aside->path) + NAME_SUFFIX_MAX, "%s.%u%s", aside->path, number, suffix);
    return name;
}

static const char *part_of(const struct aside *aside, char *name)
{
    (void)snprintf(name, strlen(aside->path) + NAME_SUFFIX_MAX, "%s%s", aside->path, PART);
    return name;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static int move_on(struct aside *aside, unsigned number)
{
    for (size_t i = 0; i < 2; i++) {
        if (rename(name_of(aside, aside->name, number, suffixes[i]),
                name_of(aside, aside->other, number + 1, suffixes[i])) < 0 &&
            errno != ENOENT)
            return -errno;
    }
    return 0;
}

int aside_put(struct aside *aside)
{
    if (aside->keep == 0)
        return unlink(aside->path) < 0 ? -errno : 0;
    /* Not left to rename(): ext4 takes one that replaces a file for a way of saving it, and writes the whole to the disk on the spot. */
    for (size_t i = 0; i < 2; i++) {
        if (unlink(name_of(aside, aside->name, aside->keep, suffixes[i])) < 0 && errno != ENOENT)
            return -errno;
    }
    for (unsigned i = aside->keep - 1; i > 0; i--) {
        int r = move_on(aside, i);

        if (r < 0)
            return r;
    }
    return rename(aside->path, name_of(aside, aside->name, 1, "")) < 0 ? -errno : 0;
}

/* ---- compression ---------------------------------------------------------------------------------------------------- */

static bool is_there(const char *name, struct stat *ret)
{
    return lstat(name, ret) == 0 && S_ISREG(ret->st_mode);
}

static void start(struct aside *aside, const struct stat *st)
{
    CLEANUP_CLOSE int from = open(aside->name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    CLEANUP_CLOSE int to = open(part_of(aside, aside->other),
        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, aside->mode);

    aside->device = st->st_dev;
    aside->inode = st->st_ino;
    if (from < 0 || to < 0 || compressor_start(aside->compressor, take_fd(&from), take_fd(&to)) < 0) {
        aside->failures++;
        (void)unlink(aside->other);
    }
}

void aside_compress(struct aside *aside)
{
    if (!aside->compressor || compressor_is_busy(aside->compressor))
        return;
    for (unsigned i = FIRST_COMPRESSED; i <= aside->keep; i++) {
        struct stat plain, compressed;

        if (!is_there(name_of(aside, aside->name, i, ""), &plain))
            continue;
        if (is_there(name_of(aside, aside->other, i, COMPRESSED), &compressed)) {
            (void)unlink(aside->name); /* stopped between the two (A2) */
            continue;
        }
        start(aside, &plain);
        return;
    }
}

/* The file that was compressed may have moved on meanwhile, or be gone. */
static int finish(struct aside *aside)
{
    for (unsigned i = FIRST_COMPRESSED; i <= aside->keep; i++) {
        CLEANUP_FREE char *part = malloc(strlen(aside->path) + NAME_SUFFIX_MAX);
        struct stat st;

        if (!part)
            return -ENOMEM;
        if (!is_there(name_of(aside, aside->name, i, ""), &st) || st.st_ino != aside->inode ||
            st.st_dev != aside->device)
            continue;
        if (rename(part_of(aside, part), name_of(aside, aside->other, i, COMPRESSED)) < 0)
            return -errno;
        aside->compressed++;
        return unlink(aside->name) < 0 ? -errno : 0;
    }
    (void)unlink(part_of(aside, aside->name));
    return 0;
}

static void on_compressed(void *arg, int result)
{
    struct aside *aside = arg;
    int r = result == 0 ? finish(aside) : result;

    if (r == 0) {
        aside_compress(aside);
        return;
    }
    aside->failures++; /* tried again when the next file is put aside */
    (void)unlink(part_of(aside, aside->name));
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int aside_init(
    struct aside *aside, struct loop *loop, const char *path, unsigned keep, unsigned mode, bool compress)
{
    size_t room = strlen(path) + NAME_SUFFIX_MAX;

    *aside = (struct aside){
        .path = strdup(path), .name = malloc(room), .other = malloc(room), .keep = keep, .mode = mode};
    if (!aside->path || !aside->name || !aside->other)
        return -ENOMEM;
    if (!compress)
        return 0;
    (void)unlink(part_of(aside, aside->name));
    return compressor_new(&aside->compressor, loop, on_compressed, aside);
}

void aside_deinit(struct aside *aside)
{
    bool busy = aside->compressor && compressor_is_busy(aside->compressor);

    aside->compressor = compressor_free(aside->compressor);
    if (busy)
        (void)unlink(part_of(aside, aside->name));
    free(aside->path);
    free(aside->name);
    free(aside->other);
    *aside = (struct aside){0};
}
