/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/http_gzip.h"

#include <errno.h>
#include <limits.h>

#define WINDOW_BITS 15
#define GZIP_FORMAT 16 /* zlib.h: added to the window's bits */

int http_gzip_begin(struct http_gzip *gzip)
{
    *gzip = (struct http_gzip){0};
    if (inflateInit2(&gzip->stream, WINDOW_BITS + GZIP_FORMAT) != Z_OK)
        return -ENOMEM;
    gzip->begun = true;
    return 0;
}

void http_gzip_deinit(struct http_gzip *gzip)
{
    if (gzip->begun)
        (void)inflateEnd(&gzip->stream);
    *gzip = (struct http_gzip){0};
}

long http_gzip_decode(struct http_gzip *gzip, const char **data, size_t *size, char *out, unsigned room)
{
    unsigned given = *size < UINT_MAX ? (unsigned)*size : UINT_MAX;
    z_stream *stream = &gzip->stream;
    int result;

    gzip->more = false;
    if (gzip->ended)
        return given ? -EINVAL : 0;
    stream->next_in = (const unsigned char *)*data;
    stream->avail_in = given;
    stream->next_out = (unsigned char *)out;
    stream->avail_out = room;
    result = inflate(stream, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR)
        return -ENOMEM;
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) /* the last: nothing to do */
        return -EINVAL;
    *data += given - stream->avail_in;
    *size -= given - stream->avail_in;
    gzip->ended = result == Z_STREAM_END;
    gzip->more = !gzip->ended && stream->avail_out == 0;
    return (long)(room - stream->avail_out);
}
