/* SPDX-License-Identifier: Apache-2.0 */
#include "common/recording.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/record_check.h"

static int fail(char error[RECORDING_ERROR_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int fail(char error[RECORDING_ERROR_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(error, RECORDING_ERROR_MAX, format, args);
    va_end(args);
    return -EBADMSG;
}

static int check_header(const struct recording *r, char error[RECORDING_ERROR_MAX])
{
    const struct recording_header *h = &r->header;

    if (memcmp(h->magic, RECORDING_MAGIC, sizeof(h->magic)) != 0)
        return fail(error, "no recording: it does not begin with " RECORDING_MAGIC);
    if (h->version != RECORDING_VERSION || h->record_version != RECORD_VERSION)
        return fail(error, "version %u, records of version %u: expected %u and %u", h->version,
            h->record_version, RECORDING_VERSION, RECORD_VERSION);
    if (h->snapshot_bytes > r->size - sizeof(*h) || h->snapshot_bytes % RECORD_ALIGN != 0)
        return fail(error, "the snapshot of %llu bytes is not whole", (unsigned long long)h->snapshot_bytes);
    return 0;
}

/* It ends where the stream begins, and with its end. */
static int check_snapshot(const struct recording *r, char error[RECORDING_ERROR_MAX])
{
    size_t at = recording_snapshot_begin(r), end = recording_stream_begin(r);
    const struct record_header *record = NULL;

    while (at < end) {
        if (recording_next(r, &at, &record) != RECORDING_RECORD || at > end)
            return fail(error, "byte %zu: no record of a snapshot", at);
    }
    if (!record || record->type != RECORD_SNAPSHOT_END)
        return fail(error, "the snapshot has no end");
    return 0;
}

int recording_parse(struct recording *ret, const void *data, size_t size, char error[RECORDING_ERROR_MAX])
{
    struct recording recording = {.data = data, .size = size};
    struct recording_header *h = &recording.header;
    int r;

    if (size < sizeof(*h))
        return fail(error, "no recording: %zu bytes", size);
    memcpy(h, data, sizeof(*h));
    h->boot_id[sizeof(h->boot_id) - 1] = '\0';
    h->hook_kind[sizeof(h->hook_kind) - 1] = '\0';
    h->cgroup_hierarchy[sizeof(h->cgroup_hierarchy) - 1] = '\0';
    r = check_header(&recording, error);
    if (r == 0)
        r = check_snapshot(&recording, error);
    if (r == 0)
        *ret = recording;
    return r;
}

size_t recording_snapshot_begin(const struct recording *recording)
{
    (void)recording;
    return sizeof(struct recording_header);
}

size_t recording_stream_begin(const struct recording *recording)
{
    return sizeof(struct recording_header) + (size_t)recording->header.snapshot_bytes;
}

enum recording_next recording_next(
    const struct recording *recording, size_t *position, const struct record_header **ret)
{
    size_t left = recording->size - *position;
    const struct record_header *record = (const void *)(recording->data + *position);

    if (left == 0)
        return RECORDING_END;
    if (left < sizeof(*record))
        return RECORDING_TORN;
    if (record->size > left && record->size <= RECORD_SIZE_MAX && record->size % RECORD_ALIGN == 0)
        return RECORDING_TORN;
    if (record_check(record, left) < 0)
        return RECORDING_BAD;
    *position += record->size;
    *ret = record;
    return RECORDING_RECORD;
}
