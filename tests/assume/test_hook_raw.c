/* SPDX-License-Identifier: Apache-2.0 */
/* Policy hooks on raw tracepoints: words, numbers, selectors; load and unload. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/assume/hook_kit.h"

/* raw_syscalls/sys_enter(struct pt_regs *regs, long id), of this process and these calls only. */
static struct policy_value own_pid, wanted_calls[2];
static struct policy_match enter_matches[] = {
    {.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&own_pid, 1}},
    {.kind = POLICY_MATCH_ARG, .op = POLICY_EQUAL, .arg = 0, .values = {wanted_calls, 2}},
};

static struct policy_hook enter_hook(void)
{
    own_pid = HOOK_NUMBER(getpid());
    wanted_calls[0] = HOOK_NUMBER(SYS_getppid);
    wanted_calls[1] = HOOK_NUMBER(SYS_getpgid);
    return (struct policy_hook){
        .kind = RECORD_HOOK_TRACEPOINT,
        .subsystem = HOOK_TEXT("raw_syscalls"),
        .event = HOOK_TEXT("sys_enter"),
        .is_raw = true,
        .args = {{.type = RECORD_ARG_LONG, .index = 1, .size_arg_index = -1, .label = HOOK_WORD("call")}},
        .arg_count = 1,
        .selectors = {{.matches = enter_matches, .match_count = 2}},
        .selector_count = 1,
    };
}

Test(hook_raw, reports_the_calls_that_match_with_their_numbers)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = enter_hook();
    const struct record_hook *record;

    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_getppid);
    (void)syscall(SYS_getuid);
    (void)syscall(SYS_getpgid, 0);
    hook_test_drain(t);
    cr_assert_eq(hook_test_count(t, 0), 2);
    record = hook_test_find(t, getpid(), 0);
    cr_assert(record);
    cr_expect_eq(hook_arg_number(record, 0), SYS_getppid);
    cr_expect_eq(record->args[0].type, RECORD_ARG_LONG);
    cr_expect_eq(record->args[1].type, RECORD_ARG_NONE);
    cr_expect_eq(record->action, RECORD_HOOK_POST);
    cr_expect_eq(record->header.tid, (uint32_t)gettid());
    record = hook_test_find(t, getpid(), 1);
    cr_expect_eq(hook_arg_number(record, 0), SYS_getpgid);
    hook_test_end(t);
}

Test(hook_raw, a_policy_is_told_before_its_first_event_and_after_its_last)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = enter_hook();
    const struct record_policy *told, *gone;
    const struct record_hook *record;

    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_getppid);
    hook_test_drain(t);
    told = observe_find(t->observer, RECORD_POLICY, 0, 0);
    record = hook_test_find(t, getpid(), 0);
    cr_assert(told && record);
    cr_expect_eq(told->hook_id, record->hook_id);
    cr_expect_eq(told->flags, 0);
    cr_expect_str_eq(observe_text(told, told->name), "test");
    cr_expect_str_eq(observe_text(told, told->function), "sys_enter");
    cr_expect_str_eq(observe_text(told, told->subsystem), "raw_syscalls");
    cr_expect_str_eq(observe_text(told, told->labels[0]), "call");
    cr_assert(hooks_unload(t->hooks, 1));
    (void)syscall(SYS_getppid);
    hook_test_drain(t);
    cr_expect_eq(hook_test_count(t, 0), 1);
    gone = observe_find(t->observer, RECORD_POLICY, 0, 1);
    cr_assert(gone);
    cr_expect_eq(gone->flags, RECORD_POLICY_GONE);
    cr_expect_eq(gone->hook_id, record->hook_id);
    hook_test_end(t);
}

Test(hook_raw, what_the_kernel_does_not_have_is_refused_by_name)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = enter_hook();
    struct hook_error error = {0};

    hook.event = HOOK_TEXT("no_such_event");
    hook.event.place = (struct policy_place){7, 3};
    cr_assert_lt(hook_test_try(t, &hook, 1, &error), 0);
    cr_expect_str_eq(error.text, "this kernel has no raw tracepoint no_such_event");
    cr_expect_eq(error.place.line, 7);
    cr_expect_eq(hooks_policy_count(t->hooks), 0);
    hook_test_drain(t);
    cr_expect_eq(observe_count(t->observer, RECORD_POLICY, 0), 0);
    hook_test_end(t);
}

Test(hook_raw, a_snapshot_begins_with_the_policies_in_force)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = enter_hook();
    const struct snapshot_options options = {
        .hooks = t->hooks, .probe = t->observer->probe, .cgroup_root = observe_cgroup_root(), .seq = &t->seq};
    struct snapshot *snapshot = NULL;
    char error[PROBE_ERROR_MAX] = "";
    struct record_policy policy;

    hook_test_load(t, &hook, 1);
    cr_assert_eq(snapshot_start(&snapshot, &options, error), 0, "%s", error);
    while (snapshot_step(snapshot) == SNAPSHOT_MORE)
        ;
    cr_assert_eq(pread(snapshot_fd(snapshot), &policy, sizeof(policy), 0), (ssize_t)sizeof(policy));
    cr_expect_eq(policy.header.type, RECORD_POLICY);
    cr_expect_eq(policy.flags, 0);
    cr_expect_gt(policy.hook_id, 0);
    snapshot_free(snapshot);
    hook_test_end(t);
}
