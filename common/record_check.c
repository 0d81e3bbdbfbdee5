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
    [RECORD_HOOK] = {"hook", sizeof(struct record_hook)},
    [RECORD_CGROUP_MKDIR] = {"cgroup_mkdir", sizeof(struct record_cgroup)},
    [RECORD_CGROUP_RMDIR] = {"cgroup_rmdir", sizeof(struct record_cgroup)},
    [RECORD_CGROUP_ATTACH] = {"cgroup_attach", sizeof(struct record_cgroup)},
    [RECORD_SNAPSHOT_PROCESS] = {"snapshot_process", sizeof(struct record_process)},
    [RECORD_SNAPSHOT_CGROUP] = {"snapshot_cgroup", sizeof(struct record_cgroup)},
    [RECORD_SNAPSHOT_END] = {"snapshot_end", sizeof(struct record_snapshot_end)},
    [RECORD_LOST] = {"lost", sizeof(struct record_lost)},
    [RECORD_POLICY] = {"policy", sizeof(struct record_policy)},
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

/* The least that a value of each type has; absent values are always allowed. */
static const __u8 arg_bytes_min[RECORD_ARG_TYPE_COUNT] = {
    [RECORD_ARG_INT] = 8,
    [RECORD_ARG_UINT] = 8,
    [RECORD_ARG_LONG] = 8,
    [RECORD_ARG_ULONG] = 8,
    [RECORD_ARG_SIZE] = 8,
    [RECORD_ARG_STRING] = sizeof(struct record_arg_bytes),
    [RECORD_ARG_BYTES] = sizeof(struct record_arg_bytes),
    [RECORD_ARG_FILE] = sizeof(struct record_arg_path),
    [RECORD_ARG_PATH] = sizeof(struct record_arg_path),
    [RECORD_ARG_FD] = sizeof(struct record_arg_path),
    [RECORD_ARG_BINPRM] = sizeof(struct record_arg_path),
    [RECORD_ARG_SOCK] = sizeof(struct record_arg_sock),
    [RECORD_ARG_SKB] = sizeof(struct record_arg_sock),
    [RECORD_ARG_SOCKADDR] = sizeof(struct record_arg_sock),
    [RECORD_ARG_CRED] = sizeof(struct record_arg_cred),
    [RECORD_ARG_CAPABILITY] = 8,
    [RECORD_ARG_SYSCALL] = 8,
};

static enum record_fault find_arg_fault(const struct record_arg *arg, size_t fixed, size_t size)
{
    if (arg->type >= RECORD_ARG_TYPE_COUNT)
        return RECORD_FAULT_ENUM;
    if (!ref_is_sane(arg->value, fixed, size, RECORD_SIZE_MAX))
        return RECORD_FAULT_REF;
    if (arg->value.size && (arg->value.size < arg_bytes_min[arg->type] || arg->value.offset % RECORD_ALIGN))
        return RECORD_FAULT_REF;
    return RECORD_FAULT_NONE;
}

static enum record_fault find_hook_fault(const struct record_hook *hook, size_t fixed, size_t size)
{
    if (hook->action >= RECORD_HOOK_ACTION_COUNT || hook->stack_count > RECORD_HOOK_STACK_MAX)
        return RECORD_FAULT_ENUM;
    for (size_t i = 0; i <= RECORD_HOOK_RETURN; i++) {
        enum record_fault fault = find_arg_fault(&hook->args[i], fixed, size);

        if (fault != RECORD_FAULT_NONE)
            return fault;
    }
    if (!ref_is_sane(hook->stack, fixed, size, RECORD_SIZE_MAX) || hook->stack.offset % RECORD_ALIGN ||
        hook->stack.size != hook->stack_count * sizeof(__u64))
        return RECORD_FAULT_REF;
    return RECORD_FAULT_NONE;
}

static enum record_fault find_policy_fault(const struct record_policy *policy, size_t fixed, size_t size)
{
    const struct record_ref refs[] = {policy->name, policy->name_space, policy->function, policy->subsystem,
        policy->message, policy->tags, policy->selector};

    if (policy->kind == 0 || policy->kind >= RECORD_HOOK_KIND_COUNT)
        return RECORD_FAULT_ENUM;
    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        if (!ref_is_sane(refs[i], fixed, size, RECORD_SIZE_MAX))
            return RECORD_FAULT_REF;
    }
    for (size_t i = 0; i <= RECORD_HOOK_RETURN; i++) {
        if (!ref_is_sane(policy->labels[i], fixed, size, RECORD_SIZE_MAX))
            return RECORD_FAULT_REF;
    }
    return RECORD_FAULT_NONE;
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
    case RECORD_HOOK:
        return find_hook_fault((const struct record_hook *)record, fixed, size);
    case RECORD_POLICY:
        return find_policy_fault((const struct record_policy *)record, fixed, size);
    default:
        break;
    }
    return RECORD_FAULT_NONE;
}
