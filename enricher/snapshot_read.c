/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/snapshot_read.h"

#include <errno.h>

void snapshot_read_init(struct snapshot_reader *reader, const void *data, size_t bytes)
{
    *reader = (struct snapshot_reader){.data = data, .bytes = bytes};
}

static int check_end(const struct snapshot_reader *reader, const struct record_header *record)
{
    const struct record_snapshot_end *end = (const struct record_snapshot_end *)record;

    if (record->size != reader->bytes - reader->position)
        return -EBADMSG; /* something behind the end */
    if (end->process_count != reader->process_count || end->cgroup_count != reader->cgroup_count)
        return -ENODATA;
    return 0;
}

int snapshot_read_next(struct snapshot_reader *reader, const struct record_header **ret)
{
    const struct record_header *record;

    if (reader->position == reader->bytes)
        return -ENODATA;
    record = (const void *)(reader->data + reader->position);
    if (record_check(record, reader->bytes - reader->position) < 0)
        return -EBADMSG;
    switch (record->type) {
    case RECORD_SNAPSHOT_PROCESS:
        reader->process_count++;
        break;
    case RECORD_SNAPSHOT_CGROUP:
        reader->cgroup_count++;
        break;
    case RECORD_POLICY:
        reader->policy_count++;
        break;
    case RECORD_SNAPSHOT_END:
        return check_end(reader, record);
    default:
        return -EBADMSG;
    }
    reader->position += record->size;
    *ret = record;
    return 1;
}
