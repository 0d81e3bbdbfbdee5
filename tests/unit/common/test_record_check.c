/* SPDX-License-Identifier: Apache-2.0 */
#include "common/record_check.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

static union {
    struct record_header header;
    struct record_process process;
    struct record_cgroup cgroup;
    struct record_lost lost;
    struct record_hook hook;
    struct record_policy policy;
    __u8 bytes[2 * RECORD_SIZE_MAX];
} record;

static void make(enum record_type type, size_t size)
{
    memset(&record, 0, sizeof(record));
    record.header =
        (struct record_header){.size = (__u32)size, .type = (__u8)type, .version = RECORD_VERSION};
    if (type == RECORD_LOST)
        record.lost.where = RECORD_LOST_QUEUE;
    if (type == RECORD_POLICY)
        record.policy.kind = RECORD_HOOK_KPROBE;
}

static enum record_fault fault(void)
{
    return record_find_fault(&record.header, record.header.size);
}

Test(record_check, every_type_needs_its_fixed_part)
{
    for (unsigned type = 1; type < RECORD_TYPE_COUNT; type++) {
        size_t fixed = record_fixed_bytes(type);

        cr_assert_geq(fixed, sizeof(struct record_header), "type %u", type);
        make(type, fixed);
        cr_assert_eq(fault(), RECORD_FAULT_NONE, "type %u", type);
        cr_assert_eq(record_check(&record.header, fixed), 0);
        cr_assert_eq(record_check(&record.header, fixed + 8), 0, "more may follow");
        cr_assert_eq(record_check(&record.header, fixed - 1), -EBADMSG);
        make(type, fixed - 8);
        cr_assert_eq(record_find_fault(&record.header, sizeof(record)), RECORD_FAULT_SIZE, "type %u", type);
    }
}

Test(record_check, what_is_no_type_is_refused)
{
    for (unsigned type = 0; type < 256; type++) {
        if (type >= RECORD_FORK && type < RECORD_TYPE_COUNT)
            continue;
        make(type, 4096);
        cr_assert_eq(fault(), RECORD_FAULT_TYPE, "type %u", type);
        cr_assert_eq(record_fixed_bytes(type), 0);
        cr_assert_str_eq(record_type_name(type), "?");
    }
}

Test(record_check, sizes_outside_r1_are_refused)
{
    const __u32 bad[] = {0, 8, 40, 47, 49, 252, RECORD_SIZE_MAX + 8, UINT32_MAX, UINT32_MAX - 7};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        make(RECORD_HOOK, bad[i]);
        cr_assert_eq(record_find_fault(&record.header, sizeof(record)), RECORD_FAULT_SIZE, "size %u", bad[i]);
    }
    make(RECORD_HOOK, RECORD_SIZE_MAX);
    cr_assert_eq(fault(), RECORD_FAULT_NONE);
    for (size_t available = 0; available < sizeof(struct record_header); available++)
        cr_assert_eq(record_find_fault(&record.header, available), RECORD_FAULT_SHORT);
}

Test(record_check, other_versions_are_refused)
{
    make(RECORD_EXIT, 128);
    record.header.version = RECORD_VERSION + 1;
    cr_assert_eq(fault(), RECORD_FAULT_VERSION);
    record.header.version = 0;
    cr_assert_eq(fault(), RECORD_FAULT_VERSION);
}

static void check_ref(enum record_type type, struct record_ref *ref, __u16 most)
{
    const __u16 fixed = (__u16)record_fixed_bytes(type);
    const __u16 size = 16384;
    const struct {
        struct record_ref ref;
        enum record_fault fault;
    } cases[] = {
        {{0, 0}, RECORD_FAULT_NONE},
        {{fixed, 1}, RECORD_FAULT_NONE},
        {{fixed, most}, RECORD_FAULT_NONE},
        {{(__u16)(size - 1), 1}, RECORD_FAULT_NONE},
        {{size, 0}, RECORD_FAULT_NONE},
        {{0, 1}, RECORD_FAULT_REF},
        {{(__u16)(fixed - 1), 1}, RECORD_FAULT_REF},
        {{fixed, (__u16)(most + 1)}, RECORD_FAULT_REF},
        {{size, 1}, RECORD_FAULT_REF},
        {{(__u16)(size + 1), 0}, RECORD_FAULT_REF},
        {{8, 0}, RECORD_FAULT_REF},
        {{(__u16)(size - 1), 2}, RECORD_FAULT_REF},
        {{65535, 65535}, RECORD_FAULT_REF},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make(type, size);
        *ref = cases[i].ref;
        cr_assert_eq(fault(), cases[i].fault, "type %d case %zu", (int)type, i);
    }
}

Test(record_check, references_outside_the_tail_are_refused)
{
    check_ref(RECORD_EXEC, &record.process.filename, RECORD_PATH_MAX);
    check_ref(RECORD_EXEC, &record.process.args, RECORD_ARGS_MAX);
    check_ref(RECORD_EXEC, &record.process.cwd, RECORD_PATH_MAX);
    check_ref(RECORD_SNAPSHOT_PROCESS, &record.process.args, RECORD_ARGS_MAX);
    check_ref(RECORD_CGROUP_MKDIR, &record.cgroup.path, RECORD_PATH_MAX);
    check_ref(RECORD_CGROUP_RMDIR, &record.cgroup.path, RECORD_PATH_MAX);
    check_ref(RECORD_CGROUP_ATTACH, &record.cgroup.path, RECORD_PATH_MAX);
    check_ref(RECORD_SNAPSHOT_CGROUP, &record.cgroup.path, RECORD_PATH_MAX);
}

Test(record_check, unknown_place_of_loss_is_refused)
{
    make(RECORD_LOST, sizeof(struct record_lost));
    for (__u32 where = 0; where < 8; where++) {
        record.lost.where = where;
        cr_assert_eq(
            fault() == RECORD_FAULT_NONE, where == RECORD_LOST_BPF_RING || where == RECORD_LOST_QUEUE);
    }
}

Test(record_check, bytes_and_comm_are_given_without_terminator)
{
    struct record_bytes bytes;
    const __u8 full[RECORD_COMM_MAX + 1] = "0123456789abcdef";

    make(RECORD_EXEC, sizeof(struct record_process) + 8);
    memcpy(record.bytes + sizeof(struct record_process), "/bin/sh", 7);
    record.process.filename = (struct record_ref){sizeof(struct record_process), 7};
    bytes = record_get_bytes(&record.header, record.process.filename);
    cr_assert_eq(bytes.size, 7);
    cr_assert_eq(memcmp(bytes.data, "/bin/sh", 7), 0);
    bytes = record_get_bytes(&record.header, record.process.cwd);
    cr_assert_null(bytes.data);
    cr_assert_eq(bytes.size, 0);
    cr_assert_eq(record_get_comm(full).size, RECORD_COMM_MAX);
    cr_assert_eq(record_get_comm((const __u8[RECORD_COMM_MAX]){'s', 'h'}).size, 2);
}

Test(record_check, names_are_never_null)
{
    for (unsigned i = 0; i < 300; i++) {
        cr_assert_not_null(record_type_name(i));
        cr_assert_not_null(record_fault_name((enum record_fault)i));
    }
}

Test(record_check, a_hook_argument_has_room_for_its_type)
{
    const struct {
        __u8 type;
        __u16 size;
    } least[] = {{RECORD_ARG_INT, 8}, {RECORD_ARG_STRING, sizeof(struct record_arg_bytes)},
        {RECORD_ARG_FD, sizeof(struct record_arg_path)}, {RECORD_ARG_SOCK, sizeof(struct record_arg_sock)},
        {RECORD_ARG_CRED, sizeof(struct record_arg_cred)}};

    for (size_t i = 0; i < sizeof(least) / sizeof(least[0]); i++) {
        for (size_t at = 0; at <= RECORD_HOOK_RETURN; at++) {
            struct record_arg *arg = &record.hook.args[at];

            make(RECORD_HOOK, sizeof(struct record_hook) + 128);
            *arg = (struct record_arg){
                .type = least[i].type, .value = {sizeof(struct record_hook), least[i].size}};
            cr_assert_eq(fault(), RECORD_FAULT_NONE);
            arg->value.size--;
            cr_assert_eq(fault(), RECORD_FAULT_REF, "type %u", arg->type);
            arg->value = (struct record_ref){sizeof(struct record_hook) + 4, least[i].size};
            cr_assert_eq(fault(), RECORD_FAULT_REF, "unaligned");
            arg->value = (struct record_ref){0};
            cr_assert_eq(fault(), RECORD_FAULT_NONE, "absent");
            arg->type = RECORD_ARG_TYPE_COUNT;
            cr_assert_eq(fault(), RECORD_FAULT_ENUM);
        }
    }
}

Test(record_check, a_hooks_stack_is_as_long_as_it_says)
{
    make(RECORD_HOOK, sizeof(struct record_hook) + 64);
    record.hook.stack = (struct record_ref){sizeof(struct record_hook), 16};
    record.hook.stack_count = 2;
    cr_assert_eq(fault(), RECORD_FAULT_NONE);
    record.hook.stack_count = 3;
    cr_assert_eq(fault(), RECORD_FAULT_REF);
    record.hook.stack_count = RECORD_HOOK_STACK_MAX + 1;
    cr_assert_eq(fault(), RECORD_FAULT_ENUM);
    make(RECORD_HOOK, sizeof(struct record_hook));
    record.hook.action = RECORD_HOOK_ACTION_COUNT;
    cr_assert_eq(fault(), RECORD_FAULT_ENUM);
}

Test(record_check, every_reference_of_a_policy_is_checked)
{
    struct record_ref *const refs[] = {&record.policy.name, &record.policy.name_space,
        &record.policy.function, &record.policy.subsystem, &record.policy.message, &record.policy.tags,
        &record.policy.selector, &record.policy.labels[0], &record.policy.labels[RECORD_HOOK_RETURN]};

    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        make(RECORD_POLICY, sizeof(struct record_policy) + 16);
        *refs[i] = (struct record_ref){sizeof(struct record_policy), 16};
        cr_assert_eq(fault(), RECORD_FAULT_NONE);
        refs[i]->size = 17;
        cr_assert_eq(fault(), RECORD_FAULT_REF, "reference %zu", i);
    }
    make(RECORD_POLICY, sizeof(struct record_policy));
    record.policy.kind = RECORD_HOOK_KIND_COUNT;
    cr_assert_eq(fault(), RECORD_FAULT_ENUM);
}
