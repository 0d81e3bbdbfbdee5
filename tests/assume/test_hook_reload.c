/* SPDX-License-Identifier: Apache-2.0 */
/* Policies that come and go while events flow: nothing of theirs stays, nothing of others is lost; what one takes in the kernel. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/assume/hook_kit.h"

#define POLICIES 50
#define ROUNDS   200

/* ---- policies ------------------------------------------------------------------------------------------------------- */

static struct policy_value own_pid, numbers[12], paths[3];
static struct policy_match matches[] = {
    {.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&own_pid, 1}},
    {.kind = POLICY_MATCH_ARG, .op = POLICY_EQUAL, .arg = 0, .values = {numbers, 1}},
};

/* raw_syscalls/sys_enter of this process with this number; `count` numbers. */
static struct policy_hook enter_hook(long call, size_t count)
{
    own_pid = HOOK_NUMBER(getpid());
    for (size_t i = 0; i < count; i++)
        numbers[i] = HOOK_NUMBER(call + (long)i);
    matches[1].values.count = count;
    return (struct policy_hook){
        .kind = RECORD_HOOK_TRACEPOINT,
        .subsystem = HOOK_TEXT("raw_syscalls"),
        .event = HOOK_TEXT("sys_enter"),
        .is_raw = true,
        .args = {{.type = RECORD_ARG_LONG, .index = 1, .size_arg_index = -1}},
        .arg_count = 1,
        .selectors = {{.matches = matches, .match_count = 2}},
        .selector_count = 1,
    };
}

/* Text in the tables, and a set of binaries. */
static struct policy_hook exec_hook(void)
{
    static struct policy_match of_text[] = {
        {.kind = POLICY_MATCH_BINARIES, .op = POLICY_PREFIX, .values = {paths, 3}},
        {.kind = POLICY_MATCH_ARG, .op = POLICY_POSTFIX, .arg = 0, .values = {paths, 3}},
    };

    paths[0].text = HOOK_TEXT("/opt/a");
    paths[1].text = HOOK_TEXT("/opt/a/b");
    paths[2].text = HOOK_TEXT("/srv");
    return (struct policy_hook){
        .kind = RECORD_HOOK_TRACEPOINT,
        .subsystem = HOOK_TEXT("sched"),
        .event = HOOK_TEXT("sched_process_exec"),
        .is_raw = true,
        .args = {{.type = RECORD_ARG_BINPRM, .index = 2, .size_arg_index = -1}},
        .arg_count = 1,
        .selectors = {{.matches = of_text, .match_count = 2}},
        .selector_count = 1,
    };
}

static void refused(const struct policy *policy, const struct hook_error *error, void *arg)
{
    (void)policy;
    (void)arg;
    cr_assert(false, "%s", error->text);
}

/* `kept` first, then POLICIES others with digests from `first` on, every tenth with text and binaries. */
static void apply(struct hook_test *t, const struct policy_hook *kept, uint64_t first, size_t count)
{
    struct policy_list list = {.items = calloc(count + 1, sizeof(struct policy)), .count = count + 1};
    const struct policy_hook exec = exec_hook();
    struct hooks_change change;

    hook_test_policy(&list.items[0], kept, 1);
    for (size_t i = 0; i < count; i++) {
        struct policy_hook enter =
            enter_hook(400 + (long)i, i % 2 ? 12 : 1); /* no such calls: nothing is told */

        hook_test_policy(&list.items[i + 1], i % 10 ? &enter : &exec, first + i);
    }
    change = hooks_apply(t->hooks, &list, refused, NULL, NULL);
    cr_assert_eq(change.refused, 0);
    cr_assert_eq(hooks_policy_count(t->hooks), count + 1);
    policy_list_deinit(&list);
}

/* ---- what a process has --------------------------------------------------------------------------------------------- */

static size_t count_fds(void)
{
    CLEANUP_DIR DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    while (dir && readdir(dir))
        count++;
    return count;
}

/* What its maps and programs take in the kernel, as the kernel says. */
static uint64_t kernel_bytes(void)
{
    CLEANUP_DIR DIR *dir = opendir("/proc/self/fdinfo");
    uint64_t sum = 0;

    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[300], line[128];
        CLEANUP_FILE FILE *file = NULL;
        unsigned long long bytes;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file)) {
            if (sscanf(line, "memlock: %llu", &bytes) == 1)
                sum += bytes;
        }
    }
    return sum;
}

static pid_t start_life(void)
{
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    while (pid == 0) { /* until it is killed */
        pid_t child = fork();

        if (child == 0)
            _exit(0);
        (void)waitpid(child, NULL, 0);
        (void)usleep(500);
    }
    return pid;
}

Test(hook_reload, two_hundred_times_fifty_policies_lose_nothing_of_others_and_leave_nothing)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook kept = enter_hook(SYS_getppid, 1);
    unsigned rounds = observe_rounds(ROUNDS);
    /* Before 6.10 each hook on a raw tracepoint is a load of its own, which takes emulated machines long. */
    size_t policies = rounds < ROUNDS ? 4 : POLICIES;
    size_t fds_before, told = 0;
    uint64_t bytes_before, refused_by_type[RECORD_TYPE_SLOTS];
    pid_t life = start_life();

    rounds = rounds < ROUNDS ? (rounds + 3) / 4 : rounds;
    apply(t, &kept, 1000, policies); /* the programs are loaded */
    kept = enter_hook(SYS_getppid, 1);
    apply(t, &kept, 2000, 0);
    hook_test_drain(t);
    fds_before = count_fds();
    bytes_before = kernel_bytes();
    for (unsigned round = 0; round < rounds; round++) {
        kept = enter_hook(SYS_getppid, 1);
        apply(t, &kept, 10000 + (uint64_t)round * POLICIES, policies);
        (void)syscall(SYS_getppid);
        hook_test_drain(t);
        told += hook_test_count(t, getpid());
        observe_forget(t->observer);
    }
    kept = enter_hook(SYS_getppid, 1);
    apply(t, &kept, 3000, 0);
    (void)kill(life, SIGKILL);
    (void)waitpid(life, NULL, 0);
    hook_test_drain(t);
    cr_expect_eq(told, rounds, "the policy that stays told %zu of %u", told, rounds);
    cr_expect_eq(count_fds(), fds_before);
    cr_expect_leq(kernel_bytes(), bytes_before + 4096);
    probe_get_refused(t->observer->probe, refused_by_type);
    cr_expect_eq(
        refused_by_type[RECORD_FORK] + refused_by_type[RECORD_EXIT] + refused_by_type[RECORD_HOOK], 0);
    hook_test_end(t);
}

Test(hook_reload, a_policy_takes_less_than_a_hundred_kilobytes)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook enter = enter_hook(400, 12), exec = exec_hook();
    uint64_t before;

    hook_test_load(t, &enter, 1);
    hook_test_load(t, &exec, 2); /* what all share is there now */
    before = kernel_bytes();
    exec = exec_hook();
    hook_test_load(t, &exec, 3);
    cr_expect_lt(kernel_bytes() - before, 100 * 1024, "%lu", (unsigned long)(kernel_bytes() - before));
    cr_log_info("a policy with text and binaries: %lu bytes", (unsigned long)(kernel_bytes() - before));
    hook_test_end(t);
}

Test(hook_reload, a_policy_on_a_function_takes_less_than_a_hundred_kilobytes)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_string name = HOOK_TEXT("security_file_open");
    struct policy_hook hook = {.kind = RECORD_HOOK_KPROBE, .functions = &name, .function_count = 1};
    struct policy_match nobody = {.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&own_pid, 1}};
    struct hook_error error = {0};
    uint64_t before;

    own_pid = HOOK_NUMBER(0);
    hook.args[0] = (struct policy_arg){.type = RECORD_ARG_FILE, .size_arg_index = -1};
    hook.arg_count = 1;
    hook.selectors[0] = (struct policy_selector){.matches = &nobody, .match_count = 1};
    hook.selector_count = 1;
    if (hook_test_try(t, &hook, 1, &error) < 0)
        cr_skip_test("%s", error.text);
    before = kernel_bytes();
    hook_test_load(t, &hook, 2);
    cr_expect_lt(kernel_bytes() - before, 100 * 1024, "%lu", (unsigned long)(kernel_bytes() - before));
    cr_log_info("a policy on a function: %lu bytes", (unsigned long)(kernel_bytes() - before));
    hook_test_end(t);
}
