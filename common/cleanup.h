/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Cleanup attributes for owning locals; each has a legal empty value (NULL, -1). */
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

static inline void cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static inline void cleanup_closedir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

#define CLEANUP_FREE  CLEANUP(cleanup_free_pointer)
#define CLEANUP_CLOSE CLEANUP(cleanup_close_fd)
#define CLEANUP_FILE  CLEANUP(cleanup_fclose)
#define CLEANUP_DIR   CLEANUP(cleanup_closedir)

/* Hands ownership out of a cleanup local. */
#define TAKE_POINTER(pointer)                                                                                \
    ({                                                                                                       \
        __typeof__(pointer) taken_ = (pointer);                                                              \
        (pointer) = NULL;                                                                                    \
        taken_;                                                                                              \
    })

static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
