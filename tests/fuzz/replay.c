/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a target over every file of the folders named, one TAP line each. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* An exact copy on the heap, so that a sanitizer sees the first byte too much. */
static int replay_file(const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    CLEANUP_FREE uint8_t *data = NULL;
    long size;

    if (!file || fseek(file, 0, SEEK_END) < 0)
        return -errno;
    size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) < 0)
        return -errno;
    data = malloc((size_t)size ? (size_t)size : 1);
    if (!data)
        return -ENOMEM;
    if (fread(data, 1, (size_t)size, file) != (size_t)size)
        return -EIO;
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    return 0;
}

static int replay_folder(const char *folder, unsigned *number)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, visible, alphasort), failures = 0;

    if (count < 0) {
        printf("not ok %u - %s: %s\n", ++*number, folder, strerror(errno));
        return 1;
    }
    for (int i = 0; i < count; i++) {
        CLEANUP_FREE char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
            abort();
        r = replay_file(path);
        printf("%sok %u - %s\n", r < 0 ? "not " : "", ++*number, entries[i]->d_name);
        (void)fflush(stdout); /* a crash in the next names this one as the last that was well */
        failures += r < 0;
        free(entries[i]);
    }
    free(entries);
    return failures;
}

int main(int argc, char **argv)
{
    unsigned number = 0;
    int failures = 0;

    for (int i = 1; i < argc; i++)
        failures += replay_folder(argv[i], &number);
    printf("1..%u\n", number);
    return failures > 0 || number == 0;
}
