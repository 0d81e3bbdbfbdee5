/* SPDX-License-Identifier: Apache-2.0 */
#include "common/record_check.h"

#include <stdbool.h>

static const struct {
    const char *name;
    __u16 fixed_bytes;
} types[RECORD_TYPE_COUNT] = {
    [RECORD_FORK] = {"fork", sizeof(struct record_fork)},
    [RECORD_EXEC] = {"exec", sizeof(struct record_process)},
    [RECORD_EXIT] = {"exit", sizeof(struct record_exit)},
    [RECORD_HOOK] = {"hook", sizeof(struct record_header)},
    [RECORD_CGROUP_MKDIR] = {"cgroup_mkdir", sizeof(struct record_cgroup)},
    [RECORD_CGROUP_RMDIR] = {"cgroup_rmdir", sizeof(struct record_cgroup)},
    [RECORD_CGROUP_ATTACH] = {"cgroup_attach", sizeof(struct record_cgroup)},
    [RECORD_SNAPSHOT_PROCESS] = {"snapshot_process", sizeof(struct record_process)},
    [RECORD_SNAPSHOT_CGROUP] = {"snapshot_cgroup", sizeof(struct record_cgroup)},
    [RECORD_SNAPSHOT_END] = {"snapshot_end", sizeof(struct record_snapshot_end)},
    [RECORD_LOST] = {"lost", sizeof(struct record_lost)},
    [RECORD_POLICY] = {"policy", sizeof(struct record_header)},
};

size_t record_fixed_bytes(unsigned type)
{
    return type < RECORD_TYPE_COUNT ? types[type].fixed_bytes : 0;
}

const char *record_type_name(unsigned type)
{
    return type < RECORD_TYPE_COUNT && types[type].name ? types[type].name : "?";
}

const char *record_fault_name(enum record_fault fault)
{
    static const char *const names[RECORD_FAULT_COUNT] = {
        [RECORD_FAULT_NONE] = "none",
        [RECORD_FAULT_SHORT] = "short",
        [RECORD_FAULT_SIZE] = "size",
        [RECORD_FAULT_VERSION] = "version",
        [RECORD_FAULT_TYPE] = "type",
        [RECORD_FAULT_REF] = "reference",
        [RECORD_FAULT_ENUM] = "value",
    };

    return (unsigned)fault < RECORD_FAULT_COUNT ? names[fault] : "?";
}

/* R2. offset and size are 16 bit each: the sum cannot wrap. */
static bool ref_is_sane(struct record_ref ref, size_t fixed, size_t size, size_t most)
{
    if (ref.size == 0)
        return ref.offset == 0 || (ref.offset >= fixed && ref.offset <= size);
    return ref.offset >= fixed && (size_t)ref.offset + ref.size <= size && ref.size <= most;
}

enum record_fault record_find_fault(const struct record_header *record, size_t available)
{
    size_t size, fixed;

    if (available < sizeof(*record))
        return RECORD_FAULT_SHORT;
    size = record->size;
    if (size < sizeof(*record) || size > available || size > RECORD_SIZE_MAX || size % RECORD_ALIGN != 0)
        return RECORD_FAULT_SIZE;
    if (record->version != RECORD_VERSION)
        return RECORD_FAULT_VERSION;
    fixed = record_fixed_bytes(record->type);
    if (fixed == 0)
        return RECORD_FAULT_TYPE;
    if (size < fixed)
        return RECORD_FAULT_SIZE;

    switch (record->type) {
    case RECORD_EXEC:
    case RECORD_SNAPSHOT_PROCESS: {
        const struct record_process *process = (const struct record_process *)record;

        if (!ref_is_sane(process->filename, fixed, size, RECORD_PATH_MAX) ||
            !ref_is_sane(process->args, fixed, size, RECORD_ARGS_MAX) ||
            !ref_is_sane(process->cwd, fixed, size, RECORD_PATH_MAX))
            return RECORD_FAULT_REF;
        break;
    }
    case RECORD_CGROUP_MKDIR:
    case RECORD_CGROUP_RMDIR:
    case RECORD_CGROUP_ATTACH:
    case RECORD_SNAPSHOT_CGROUP:
        if (!ref_is_sane(((const struct record_cgroup *)record)->path, fixed, size, RECORD_PATH_MAX))
            return RECORD_FAULT_REF;
        break;
    case RECORD_LOST: {
        __u32 where = ((const struct record_lost *)record)->where;

        if (where != RECORD_LOST_BPF_RING && where != RECORD_LOST_QUEUE)
            return RECORD_FAULT_ENUM;
        break;
    }
    default:
        break;
    }
    return RECORD_FAULT_NONE;
}
