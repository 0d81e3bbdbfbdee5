/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Records as the kernel side writes them, for tests and benchmarks. Each returns its argument buffer, filled; numbers are taken from a counter. */
#include <stdint.h>
#include <string.h>

#include "common/record.h"

struct make_record {
    _Alignas(8) uint8_t bytes[RECORD_SIZE_MAX];
};

struct make_key {
    uint32_t tgid;
    uint64_t start_ns;
};

static uint64_t make_seq_;

static inline struct record_header *make_header(struct make_record *buffer, uint8_t type, size_t size,
    struct make_key key, uint64_t cgroup_id, uint64_t time_ns)
{
    struct record_header *header = (struct record_header *)(void *)buffer->bytes;

    memset(buffer->bytes, 0, size);
    *header = (struct record_header){.size = (uint32_t)size,
        .type = type,
        .version = RECORD_VERSION,
        .cpu = 1,
        .seq = ++make_seq_,
        .time_ns = time_ns,
        .cgroup_id = cgroup_id,
        .start_ns = key.start_ns,
        .tgid = key.tgid,
        .tid = key.tgid};
    return header;
}

static inline const struct record_header *make_fork(struct make_record *buffer, struct make_key child,
    struct make_key parent, uint64_t cgroup_id, uint64_t time_ns)
{
    struct record_fork *record =
        (struct record_fork *)make_header(buffer, RECORD_FORK, sizeof(*record), child, cgroup_id, time_ns);

    record->parent_start_ns = parent.start_ns;
    record->parent_tgid = parent.tgid;
    record->parent_tid = parent.tgid;
    record->real_parent_tgid = parent.tgid;
    record->parent_cgroup_id = cgroup_id;
    record->ns_pid = child.tgid % 1000;
    return &record->header;
}

static inline struct record_ref make_tail(
    struct make_record *buffer, size_t *used, const void *data, size_t size)
{
    struct record_ref ref = {(uint16_t)*used, (uint16_t)size};

    memcpy(buffer->bytes + *used, data, size);
    *used += size;
    return size ? ref : (struct record_ref){0, 0};
}

/* args: argv with NULs between, args_size without the last one. */
static inline const struct record_header *make_process(struct make_record *buffer, uint8_t type,
    struct make_key key, struct make_key parent, uint64_t cgroup_id, uint64_t time_ns, const char *filename,
    const void *args, size_t args_size)
{
    struct record_process *record =
        (struct record_process *)make_header(buffer, type, sizeof(*record), key, cgroup_id, time_ns);
    size_t used = sizeof(*record);

    record->image_start_ns = time_ns;
    record->parent_start_ns = parent.start_ns;
    record->parent_tgid = parent.tgid;
    record->ns_pid = key.tgid % 1000;
    record->auid = UINT32_MAX;
    record->filename = make_tail(buffer, &used, filename, strlen(filename));
    record->args = make_tail(buffer, &used, args, args_size);
    record->cwd = make_tail(buffer, &used, "/srv", 4);
    memset(buffer->bytes + used, 0, 8);
    record->header.size = (uint32_t)((used + 7) & ~(size_t)7);
    return &record->header;
}

static inline const struct record_header *make_exec(struct make_record *buffer, struct make_key key,
    struct make_key parent, uint64_t cgroup_id, uint64_t time_ns, const char *filename)
{
    return make_process(
        buffer, RECORD_EXEC, key, parent, cgroup_id, time_ns, filename, "prog\0-x\0two words", 17);
}

static inline const struct record_header *make_exit(struct make_record *buffer, struct make_key key,
    uint64_t cgroup_id, uint64_t time_ns, uint32_t wait_status)
{
    struct record_exit *record =
        (struct record_exit *)make_header(buffer, RECORD_EXIT, sizeof(*record), key, cgroup_id, time_ns);

    record->wait_status = wait_status;
    record->ns_pid = key.tgid % 1000;
    return &record->header;
}

static inline const struct record_header *make_cgroup(struct make_record *buffer, uint8_t type,
    uint64_t cgroup_id, struct make_key key, uint64_t time_ns, const char *path)
{
    struct record_cgroup *record =
        (struct record_cgroup *)make_header(buffer, type, sizeof(*record), key, cgroup_id, time_ns);
    size_t used = sizeof(*record);

    record->path = make_tail(buffer, &used, path, strlen(path));
    memset(buffer->bytes + used, 0, 8);
    record->header.size = (uint32_t)((used + 7) & ~(size_t)7);
    return &record->header;
}

/* ---- policies and their hooks ---- */

/* What a RECORD_POLICY says; NULL and 0: absent. */
struct make_policy {
    uint32_t hook_id;
    uint8_t kind, flags;
    const char *name, *name_space, *function, *subsystem, *message;
    const char *tags, *selector; /* with NULs between their words */
    size_t tags_size, selector_size;
    const char *labels[RECORD_HOOK_ARGS_MAX + 1];
};

static inline struct record_ref make_string(struct make_record *buffer, size_t *used, const char *string)
{
    return make_tail(buffer, used, string ? string : "", string ? strlen(string) : 0);
}

static inline const struct record_header *make_policy(
    struct make_record *buffer, const struct make_policy *policy, uint64_t time_ns)
{
    struct record_policy *record = (struct record_policy *)make_header(
        buffer, RECORD_POLICY, sizeof(*record), (struct make_key){0, 0}, 0, time_ns);
    size_t used = sizeof(*record);

    record->header.cpu = RECORD_CPU_COLLECTOR;
    record->hook_id = policy->hook_id;
    record->kind = policy->kind;
    record->flags = policy->flags;
    record->name = make_string(buffer, &used, policy->name);
    record->name_space = make_string(buffer, &used, policy->name_space);
    record->function = make_string(buffer, &used, policy->function);
    record->subsystem = make_string(buffer, &used, policy->subsystem);
    record->message = make_string(buffer, &used, policy->message);
    record->tags = make_tail(buffer, &used, policy->tags ? policy->tags : "", policy->tags_size);
    record->selector =
        make_tail(buffer, &used, policy->selector ? policy->selector : "", policy->selector_size);
    for (size_t i = 0; i <= RECORD_HOOK_RETURN; i++)
        record->labels[i] = make_string(buffer, &used, policy->labels[i]);
    memset(buffer->bytes + used, 0, 8);
    record->header.size = (uint32_t)((used + 7) & ~(size_t)7);
    return &record->header;
}

/* Without arguments: make_arg() adds them. */
static inline struct record_hook *make_hook(
    struct make_record *buffer, struct make_key key, uint64_t cgroup_id, uint64_t time_ns, uint32_t hook_id)
{
    struct record_hook *record =
        (struct record_hook *)make_header(buffer, RECORD_HOOK, sizeof(*record), key, cgroup_id, time_ns);

    record->hook_id = hook_id;
    return record;
}

/* The value is `fixed` and what follows it, `more`. */
static inline void make_arg(struct make_record *buffer, unsigned index, enum record_arg_type type,
    const void *fixed, size_t fixed_size, const void *more, size_t more_size)
{
    struct record_hook *record = (struct record_hook *)(void *)buffer->bytes;
    size_t used = record->header.size, size = fixed_size + more_size, whole = (size + 7) & ~(size_t)7;

    memset(buffer->bytes + used, 0, whole);
    memcpy(buffer->bytes + used, fixed, fixed_size);
    if (more_size)
        memcpy(buffer->bytes + used + fixed_size, more, more_size);
    record->args[index].type = (uint8_t)type;
    record->args[index].value = (struct record_ref){(uint16_t)used, (uint16_t)size};
    record->header.size += (uint32_t)whole;
}

static inline void make_arg_number(
    struct make_record *buffer, unsigned index, enum record_arg_type type, uint64_t value)
{
    make_arg(buffer, index, type, &value, sizeof(value), NULL, 0);
}

static inline void make_arg_bytes(struct make_record *buffer, unsigned index, enum record_arg_type type,
    const void *data, size_t size, uint64_t original_size)
{
    const struct record_arg_bytes fixed = {original_size};

    make_arg(buffer, index, type, &fixed, sizeof(fixed), data, size);
}

static inline void make_arg_path(struct make_record *buffer, unsigned index, enum record_arg_type type,
    const char *path, uint32_t mode, uint32_t flags, int fd)
{
    const struct record_arg_path fixed = {.mode = mode, .flags = flags, .fd = fd};

    make_arg(buffer, index, type, &fixed, sizeof(fixed), path, strlen(path));
}

static inline void make_stack(struct make_record *buffer, const uint64_t *frames, unsigned count)
{
    struct record_hook *record = (struct record_hook *)(void *)buffer->bytes;

    memcpy(buffer->bytes + record->header.size, frames, count * sizeof(*frames));
    record->stack_count = (uint8_t)count;
    record->stack = (struct record_ref){(uint16_t)record->header.size, (uint16_t)(count * sizeof(*frames))};
    record->header.size += (uint32_t)(count * sizeof(*frames));
}
