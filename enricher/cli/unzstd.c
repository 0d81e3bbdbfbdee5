// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/unzstd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool unzstd_recognise(const char *data, size_t size)
{
    static const char magic[] = {0x28, (char)0xb5, 0x2f, (char)0xfd};

    return size >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0;
}

#ifdef HAVE_ZSTD

#include <zstd.h>

#define WINDOW_LOG  23
#define CHUNK_BYTES ((size_t)256 * 1024)

struct unzstd {
    ZSTD_DCtx *context;
    size_t at, size; /* of `data`: taken, read */
    bool within;     /* a frame has begun and not ended */
    bool pending;    /* the last call gave all that was asked for: there may be more without reading */
    char data[CHUNK_BYTES * 2]; /* what has been read before comes first */
};

int unzstd_new(struct unzstd **ret, const char *data, size_t size)
{
    struct unzstd *unzstd = size <= sizeof(unzstd->data) ? malloc(sizeof(*unzstd)) : NULL;

    if (!unzstd)
        return -ENOMEM;
    unzstd->context = ZSTD_createDCtx();
    if (!unzstd->context ||
        ZSTD_isError(ZSTD_DCtx_setParameter(unzstd->context, ZSTD_d_windowLogMax, WINDOW_LOG))) {
        unzstd_free(unzstd);
        return -ENOMEM;
    }
    unzstd->at = 0;
    unzstd->size = size;
    unzstd->within = unzstd->pending = false;
    memcpy(unzstd->data, data, size);
    *ret = unzstd;
    return 0;
}

struct unzstd *unzstd_free(struct unzstd *unzstd)
{
    if (unzstd)
        (void)ZSTD_freeDCtx(unzstd->context);
    free(unzstd);
    return NULL;
}

ssize_t unzstd_read(struct unzstd *unzstd, int fd, char *to, size_t size)
{
    ZSTD_outBuffer out = {to, size, 0};

    while (out.pos == 0) {
        ZSTD_inBuffer in = {unzstd->data, unzstd->size, unzstd->at};
        size_t left;

        if (unzstd->at == unzstd->size && !unzstd->pending) {
            ssize_t got = read(fd, unzstd->data, CHUNK_BYTES);

            if (got < 0)
                return -1;
            if (got == 0 && unzstd->within) {
                errno = EILSEQ;
                return -1;
            }
            if (got == 0)
                return 0;
            unzstd->at = 0;
            unzstd->size = (size_t)got;
            continue;
        }
        left = ZSTD_decompressStream(unzstd->context, &out, &in);
        if (ZSTD_isError(left)) {
            errno = EILSEQ;
            return -1;
        }
        unzstd->at = in.pos;
        unzstd->within = left > 0;
        unzstd->pending = out.pos == out.size;
    }
    return (ssize_t)out.pos;
}

#else

int unzstd_new(struct unzstd **ret, const char *data, size_t size)
{
    (void)ret;
    (void)data;
    (void)size;
    return -EOPNOTSUPP;
}

struct unzstd *unzstd_free(struct unzstd *unzstd)
{
    (void)unzstd;
    return NULL;
}

ssize_t unzstd_read(struct unzstd *unzstd, int fd, char *to, size_t size)
{
    (void)unzstd;
    (void)fd;
    (void)to;
    (void)size;
    errno = EOPNOTSUPP;
    return -1;
}

#endif
