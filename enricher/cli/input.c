// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/input.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <limits.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "enricher/cli/line.h"
#include "enricher/cli/unzstd.h"

#define READ_BYTES       ((size_t)256 * 1024)
#define ROTATED_MAX      100 /* FILE.1 … FILE.100 are looked at */
#define ROTATION_RETRIES 5

void input_init(struct input *input, int fd)
{
    *input = (struct input){.fd = fd};
}

void input_deinit(struct input *input)
{
    if (input->fd >= 0)
        (void)close(input->fd);
    free(input->buffer);
    (void)unzstd_free(input->unzstd);
    *input = (struct input){.fd = -1};
}

void input_replace(struct input *input, int fd, bool keep_partial)
{
    if (input->fd >= 0)
        (void)close(input->fd);
    input->fd = fd;
    input->looked = false;
    input->unzstd = unzstd_free(input->unzstd);
    if (!keep_partial) {
        input->start = input->end = input->scanned = 0;
        input->skipping = false;
    }
}

static int make_room(struct input *input)
{
    size_t used = input->end - input->start;
    size_t capacity = input->capacity ? input->capacity : READ_BYTES * 2;
    char *buffer;

    if (input->start) {
        memmove(input->buffer, input->buffer + input->start, used);
        input->scanned -= input->start;
        input->start = 0;
        input->end = used;
    }
    while (capacity - used < READ_BYTES)
        capacity *= 2;
    if (capacity == input->capacity)
        return 0;
    buffer = realloc(input->buffer, capacity);
    if (!buffer)
        return -ENOMEM;
    input->buffer = buffer;
    input->capacity = capacity;
    return 0;
}

const char *input_error(ssize_t r)
{
    switch (r) {
    case -EILSEQ:
        return "its zstd compression is damaged, or ends too early";
    case -EOPNOTSUPP:
        return "it is compressed with zstd, without which this podkin was built";
    default:
        return strerror((int)-r);
    }
}

/* As read(2). */
static ssize_t read_some(struct input *input, char *to)
{
    ssize_t got = input->unzstd ? unzstd_read(input->unzstd, input->fd, to, READ_BYTES)
                                : read(input->fd, to, READ_BYTES);
    int r;

    if (got <= 0 || input->looked)
        return got;
    input->looked = true;
    if (!unzstd_recognise(to, (size_t)got))
        return got;
    r = unzstd_new(&input->unzstd, to, (size_t)got);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    return unzstd_read(input->unzstd, input->fd, to, READ_BYTES);
}

ssize_t input_fill(struct input *input)
{
    ssize_t got;
    int r;

    if (input->skipping || input->end - input->start > LINE_SIZE_MAX) {
        input->skipping = true; /* of a line that is too long nothing is kept but that it goes on */
        input->start = input->end = input->scanned = 0;
    }
    r = make_room(input);
    if (r)
        return r;
    do {
        got = read_some(input, input->buffer + input->end);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    input->end += (size_t)got;
    return got;
}

bool input_next(struct input *input, struct slice *ret)
{
    while (input->scanned < input->end) {
        char *from = input->buffer + input->scanned;
        char *newline = memchr(from, '\n', input->end - input->scanned);
        struct slice line;

        if (!newline) {
            input->scanned = input->end;
            return false;
        }
        line =
            (struct slice){input->buffer + input->start, (size_t)(newline - (input->buffer + input->start))};
        input->start = input->scanned = (size_t)(newline + 1 - input->buffer);
        if (input->skipping || line.size > LINE_SIZE_MAX) {
            input->skipping = false;
            input->too_long++;
            continue;
        }
        if (line.size && line.data[line.size - 1] == '\r')
            line.size--;
        *ret = line;
        return true;
    }
    return false;
}

bool input_last(struct input *input, struct slice *ret)
{
    bool skipping = input->skipping;

    *ret = (struct slice){input->buffer + input->start, input->end - input->start};
    input->start = input->scanned = input->end;
    input->skipping = false;
    input->too_long += skipping;
    return ret->size && !skipping;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int rotated_name(char name[PATH_MAX], const char *path, int number)
{
    int size =
        number ? snprintf(name, PATH_MAX, "%s.%d", path, number) : snprintf(name, PATH_MAX, "%s", path);

    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Which of FILE, FILE.1 … is `here` now: its number, or -ENOENT. */
static int find_number(const char *path, const struct stat *here)
{
    char name[PATH_MAX];
    struct stat there;

    for (int number = 0; number <= ROTATED_MAX; number++) {
        if (rotated_name(name, path, number))
            return -ENAMETOOLONG;
        if (stat(name, &there) == 0) {
            if (same_file(here, &there))
                return number;
        } else if (number > 0) {
            break;
        }
    }
    return -ENOENT;
}

int follow_check(const char *path, int fd, int *ret_fd)
{
    char name[PATH_MAX];
    struct stat here;

    if (fstat(fd, &here))
        return -errno;
    for (int attempt = 0; attempt < ROTATION_RETRIES; attempt++) {
        int number = find_number(path, &here);
        CLEANUP_CLOSE int next = -1;

        if (number == 0) {
            if (lseek(fd, 0, SEEK_CUR) <= here.st_size)
                return FOLLOW_SAME;
            return lseek(fd, 0, SEEK_SET) < 0 ? -errno : FOLLOW_RESTART;
        }
        if (rotated_name(name, path, number > 0 ? number - 1 : 0))
            return -ENAMETOOLONG;
        next = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (next < 0 && errno != ENOENT)
            return -errno;
        if (next < 0 && attempt + 1 == ROTATION_RETRIES)
            return FOLLOW_SAME; /* moved away, and its successor is not there yet */
        /* A rotation between looking and opening would have given us the wrong one. */
        if (next < 0 || find_number(path, &here) != number)
            continue;
        *ret_fd = take_fd(&next);
        return number > 0 ? FOLLOW_NEXT : FOLLOW_SKIPPED;
    }
    return FOLLOW_SAME;
}
