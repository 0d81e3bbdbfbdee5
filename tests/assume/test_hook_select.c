/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors: each operator with what is told and what must not be; order and rate; sets of processes through fork and exec. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/assume/hook_kit.h"

static struct policy_value own_pid;

static struct policy_match own_process(void)
{
    own_pid = HOOK_NUMBER(getpid());
    return (struct policy_match){.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&own_pid, 1}};
}

static struct policy_hook tracepoint(const char *subsystem, const char *event)
{
    return (struct policy_hook){
        .kind = RECORD_HOOK_TRACEPOINT,
        .subsystem = {.data = HOOK_WORD(subsystem), .size = strlen(subsystem)},
        .event = {.data = HOOK_WORD(event), .size = strlen(event)},
    };
}

/* ---- operators on numbers and text ---------------------------------------------------------------------------------- */

#define NUMBERS_MAX 12

struct operator_case {
    const char *name;
    enum policy_operator op;
    bool is_text;
    struct policy_value values[NUMBERS_MAX];
    size_t count;
    const char *told; /* of the calls below, by letter */
};

/* What is called: lseek(-1, offset) or openat(path), in this order. */
static const long offsets[] = {-2, 0, 5, 7, 1000};
static const char *const paths[] = {"/etc/p-a", "/etc/p-a/b", "/usr/x.so", "p-a", "/"};

#define TEXT(text_)                                                                                          \
    {                                                                                                        \
        .text = {.data = (char *)(text_), .size = sizeof(text_) - 1 }                                        \
    }
#define NUMBER(number_)                                                                                      \
    {                                                                                                        \
        .low = (uint64_t)(number_), .high = (uint64_t)(number_)                                              \
    }
#define RANGE(low_, high_)                                                                                   \
    {                                                                                                        \
        .low = (uint64_t)(low_), .high = (uint64_t)(high_)                                                   \
    }

static struct operator_case operator_cases[] = {
    {"Equal", POLICY_EQUAL, false, {NUMBER(-2), NUMBER(7)}, 2, "ad"},
    {"NotEqual", POLICY_NOT_EQUAL, false, {NUMBER(-2), NUMBER(7)}, 2, "bce"},
    {"a list that is a table", POLICY_EQUAL, false,
        {NUMBER(1), NUMBER(2), NUMBER(3), NUMBER(4), NUMBER(5), NUMBER(6), NUMBER(8), NUMBER(9), NUMBER(-2)},
        9, "ac"},
    {"GT", POLICY_GREATER, false, {NUMBER(0)}, 1, "cde"},
    {"GT of a negative", POLICY_GREATER, false, {NUMBER(-3)}, 1, "abcde"},
    {"LT", POLICY_LESS, false, {NUMBER(5)}, 1, "ab"},
    {"InRange", POLICY_IN_RANGE, false, {RANGE(-2, 0), RANGE(7, 7)}, 2, "abd"},
    {"NotInRange", POLICY_NOT_IN_RANGE, false, {RANGE(-2, 6)}, 1, "de"},
    {"Mask", POLICY_MASK, false, {NUMBER(2), NUMBER(8)}, 2, "ade"},
    {"Equal, text", POLICY_EQUAL, true, {TEXT("/etc/p-a"), TEXT("/")}, 2, "ae"},
    {"NotEqual, text", POLICY_NOT_EQUAL, true, {TEXT("/etc/p-a"), TEXT("/")}, 2, "bcd"},
    {"Prefix", POLICY_PREFIX, true, {TEXT("/etc/"), TEXT("/usr/x.so")}, 2, "abc"},
    {"NotPrefix", POLICY_NOT_PREFIX, true, {TEXT("/")}, 1, "d"},
    {"Postfix", POLICY_POSTFIX, true, {TEXT(".so"), TEXT("p-a")}, 2, "acd"},
    {"NotPostfix", POLICY_NOT_POSTFIX, true, {TEXT("b"), TEXT("/")}, 2, "acd"},
};

static struct policy_hook operator_hook(const struct operator_case *c, struct policy_match matches[2])
{
    struct policy_hook hook = tracepoint("syscalls", c->is_text ? "sys_enter_openat" : "sys_enter_lseek");

    matches[0] = own_process();
    matches[1] = (struct policy_match){.kind = POLICY_MATCH_ARG,
        .op = c->op,
        .arg = 0,
        .values = {(struct policy_value *)c->values, c->count}};
    hook.args[0] = (struct policy_arg){
        .type = c->is_text ? RECORD_ARG_STRING : RECORD_ARG_LONG, .index = 6, .size_arg_index = -1};
    hook.arg_count = 1;
    hook.selectors[0] = (struct policy_selector){.matches = matches, .match_count = 2};
    hook.selector_count = 1;
    return hook;
}

static char letter_of(const struct operator_case *c, const struct record_hook *record)
{
    for (size_t i = 0; i < 5; i++) {
        if (c->is_text ? strcmp(hook_arg_text(record, 0), paths[i]) == 0
                       : (int64_t)hook_arg_number(record, 0) == offsets[i])
            return (char)('a' + i);
    }
    return '?';
}

Test(hook_select, each_operator_tells_what_it_says_and_nothing_else)
{
    struct hook_test *t = hook_test_begin(false);
    size_t seen = 0;

    for (size_t i = 0; i < sizeof(operator_cases) / sizeof(operator_cases[0]); i++) {
        const struct operator_case *c = &operator_cases[i];
        struct policy_match matches[2];
        struct policy_hook hook = operator_hook(c, matches);
        char told[16] = "";
        size_t count = 0;

        hook_test_load(t, &hook, i + 1);
        for (size_t j = 0; j < 5; j++) {
            if (c->is_text)
                (void)syscall(SYS_openat, -1, paths[j], O_RDONLY | O_DIRECTORY | O_EXCL, 0);
            else
                (void)syscall(SYS_lseek, -1, offsets[j], 99);
        }
        hook_test_drain(t);
        cr_assert(hooks_unload(t->hooks, i + 1));
        for (const struct record_hook *record; count < 15 && (record = hook_test_find(t, 0, seen)); seen++)
            told[count++] = letter_of(c, record);
        cr_expect_str_eq(told, c->told, "%s: %s, not %s", c->name, told, c->told);
    }
    hook_test_end(t);
}

/* ---- sockets -------------------------------------------------------------------------------------------------------- */

struct socket_case {
    const char *name;
    enum policy_operator op;
    struct policy_value value;
    const char *told;
};

/* 127.0.0.1:80, 10.1.2.3:443, [2001:db8::1]:80, [::ffff:10.9.9.9]:8080 */
static void call_connects(void)
{
    static const struct {
        const char *address;
        uint16_t port;
    } to[] = {{"127.0.0.1", 80}, {"10.1.2.3", 443}, {"2001:db8::1", 80}, {"::ffff:10.9.9.9", 8080}};

    for (size_t i = 0; i < 4; i++) {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(to[i].port)};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(to[i].port)};

        if (inet_pton(AF_INET, to[i].address, &in4.sin_addr) == 1)
            (void)connect(-1, (struct sockaddr *)&in4, sizeof(in4));
        else if (inet_pton(AF_INET6, to[i].address, &in6.sin6_addr) == 1)
            (void)connect(-1, (struct sockaddr *)&in6, sizeof(in6));
    }
}

static char letter_of_port(const struct record_arg_sock *sock)
{
    if (sock->dport == 443)
        return 'b';
    if (sock->dport == 8080)
        return 'd';
    return sock->family == AF_INET ? 'a' : 'c';
}

#define NET4(a, b, c, d, bits)                                                                               \
    {                                                                                                        \
        .family = AF_INET, .address = {a, b, c, d}, .prefix_bits = (bits)                                    \
    }

Test(hook_select, networks_ports_and_families)
{
    const struct socket_case cases[] = {
        {"DAddr of one", POLICY_DADDR, NET4(127, 0, 0, 1, 32), "a"},
        {"DAddr of a network, IPv4 in IPv6 too", POLICY_DADDR, NET4(10, 0, 0, 0, 8), "bd"},
        {"NotDAddr", POLICY_NOT_DADDR, NET4(10, 0, 0, 0, 8), "ac"},
        {"DAddr of IPv6", POLICY_DADDR,
            {.family = AF_INET6, .address = {0x20, 0x01, 0x0d, 0xb8}, .prefix_bits = 32}, "c"},
        {"every IPv4", POLICY_DADDR, NET4(0, 0, 0, 0, 0), "abd"},
        {"DPort", POLICY_DPORT, RANGE(80, 443), "abc"},
        {"NotDPort", POLICY_NOT_DPORT, NUMBER(80), "bd"},
        {"Family", POLICY_FAMILY, NUMBER(AF_INET6), "cd"},
    };
    struct hook_test *t = hook_test_begin(false);
    size_t seen = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct policy_value value = cases[i].value;
        struct policy_match matches[] = {
            own_process(), {.kind = POLICY_MATCH_ARG, .op = cases[i].op, .arg = 0, .values = {&value, 1}}};
        struct policy_hook hook = tracepoint("syscalls", "sys_enter_connect");
        char told[8] = "";
        size_t count = 0;

        hook.args[0] = (struct policy_arg){.type = RECORD_ARG_SOCKADDR, .index = 6, .size_arg_index = -1};
        hook.arg_count = 1;
        hook.selectors[0] = (struct policy_selector){.matches = matches, .match_count = 2};
        hook.selector_count = 1;
        hook_test_load(t, &hook, i + 1);
        call_connects();
        hook_test_drain(t);
        cr_assert(hooks_unload(t->hooks, i + 1));
        for (const struct record_hook *record; count < 7 && (record = hook_test_find(t, 0, seen)); seen++)
            told[count++] = letter_of_port(hook_arg_sock(record, 0));
        cr_expect_str_eq(told, cases[i].told, "%s: %s, not %s", cases[i].name, told, cases[i].told);
    }
    hook_test_end(t);
}

/* ---- selectors, capabilities, namespaces ---------------------------------------------------------------------------- */

static struct policy_hook getppid_hook(struct policy_selector *selectors, size_t count)
{
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_getppid");

    for (size_t i = 0; i < count; i++)
        hook.selectors[i] = selectors[i];
    hook.selector_count = count;
    return hook;
}

Test(hook_select, the_first_selector_that_holds_decides)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_value other = NUMBER(1);
    struct policy_match not_us = {.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&other, 1}},
                        us = own_process();
    struct policy_selector selectors[] = {{.matches = &not_us, .match_count = 1},
        {.matches = &us, .match_count = 1}, {.matches = &us, .match_count = 1}};
    struct policy_hook hook = getppid_hook(selectors, 3);

    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_getppid);
    hook_test_drain(t);
    cr_assert_eq(hook_test_count(t, 0), 1);
    cr_expect_eq(hook_test_find(t, getpid(), 0)->selector, 1);
    hook_test_end(t);
}

Test(hook_select, capabilities_and_namespaces_of_the_process)
{
    struct hook_test *t = hook_test_begin(false);
    struct stat status;
    struct policy_value own_net;
    struct policy_match matches[] = {own_process(),
        {.kind = POLICY_MATCH_CAPABILITIES, .op = POLICY_IN, .capabilities = UINT64_C(1) << CAP_SYS_ADMIN},
        {.kind = POLICY_MATCH_NAMESPACE,
            .op = POLICY_IN,
            .name_space = POLICY_NS_NET,
            .values = {&own_net, 1}}};
    struct policy_selector selector = {.matches = matches, .match_count = 3};
    struct policy_hook hook;

    cr_assert_eq(stat("/proc/self/ns/net", &status), 0);
    own_net = HOOK_NUMBER(status.st_ino);
    hook = getppid_hook(&selector, 1);
    hook_test_load(t, &hook, 1);
    matches[1].op = POLICY_NOT_IN;
    hook = getppid_hook(&selector, 1);
    hook_test_load(t, &hook, 2);
    matches[1].op = POLICY_IN;
    matches[2].op = POLICY_NOT_IN;
    matches[2].host_namespace = true;
    hook = getppid_hook(&selector, 1);
    hook_test_load(t, &hook, 3);
    (void)syscall(SYS_getppid);
    hook_test_drain(t);
    cr_expect_eq(hook_test_count(t, 0), 1);
    hook_test_end(t);
}

/* ---- actions -------------------------------------------------------------------------------------------------------- */

Test(hook_select, a_rate_limit_lets_one_of_the_same_out_and_counts_the_others)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_match us = own_process();
    struct policy_selector selector = {.matches = &us,
        .match_count = 1,
        .actions = {{.kind = POLICY_ACTION_POST,
            .rate_limit_ns = 300 * NS_PER_MS,
            .rate_scope = POLICY_RATE_PROCESS}},
        .action_count = 1};
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_lseek");
    uint64_t begin;

    hook.selectors[0] = selector;
    hook.selector_count = 1;
    hook.args[0] = (struct policy_arg){.type = RECORD_ARG_LONG, .index = 6, .size_arg_index = -1};
    hook.arg_count = 1;
    hook_test_load(t, &hook, 1);
    begin = clock_boot_ns();
    for (int i = 0; i < 4; i++)
        (void)syscall(SYS_lseek, -1, 5, 0);
    (void)syscall(SYS_lseek, -1, 6, 0);
    hook_test_drain(t);
    if (clock_boot_ns() - begin < 250 * NS_PER_MS)
        cr_expect_eq(hook_test_count(t, 0), 2, "one of each: %zu", hook_test_count(t, 0));
    while (clock_boot_ns() - begin < 400 * NS_PER_MS)
        (void)usleep(20000);
    (void)syscall(SYS_lseek, -1, 5, 0);
    hook_test_drain(t);
    cr_assert_geq(hook_test_count(t, 0), 3);
    cr_expect_eq(hook_test_find(t, 0, 0)->suppressed + hook_test_find(t, 0, 1)->suppressed +
                     hook_test_find(t, 0, 2)->suppressed,
        3);
    hook_test_end(t);
}

Test(hook_select, no_post_is_silent_and_a_stack_has_frames)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_match us = own_process();
    struct policy_selector silent = {
        .matches = &us, .match_count = 1, .actions = {{.kind = POLICY_ACTION_NO_POST}}, .action_count = 1};
    struct policy_selector loud = {.matches = &us,
        .match_count = 1,
        .actions = {{.kind = POLICY_ACTION_POST, .kernel_stack = true}},
        .action_count = 1};
    struct policy_hook hook = getppid_hook(&silent, 1);
    const struct record_hook *record;

    hook_test_load(t, &hook, 1);
    hook = getppid_hook(&loud, 1);
    hook_test_load(t, &hook, 2);
    (void)syscall(SYS_getppid);
    hook_test_drain(t);
    cr_assert_eq(hook_test_count(t, 0), 1);
    record = hook_test_find(t, 0, 0);
    cr_expect_geq(record->stack_count, 1, "%u frames, %u bytes", record->stack_count, record->stack.size);
    hook_test_end(t);
}

static int call_getppid(void *arg)
{
    (void)arg;
    (void)syscall(SYS_getppid);
    (void)syscall(SYS_getppid);
    return 0;
}

static int call_getppid_with_usr1(void *arg)
{
    (void)signal(SIGUSR1, SIG_IGN);
    return call_getppid(arg);
}

Test(hook_select, a_signal_is_sent_and_told_and_only_where_enforcement_is_allowed)
{
    struct hook_test *t = hook_test_begin(true), *careful = hook_test_begin(false);
    struct policy_value any = RANGE(1, INT32_MAX);
    struct policy_value us = NUMBER(getpid());
    struct policy_match matches[] = {
        {.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&us, 1}, .follow = true},
        {.kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&any, 1}}};
    struct policy_selector selector = {.matches = matches,
        .match_count = 2,
        .actions = {{.kind = POLICY_ACTION_SIGNAL, .value = SIGUSR1, .place = {9, 2}}},
        .action_count = 1};
    struct policy_hook hook = getppid_hook(&selector, 1);
    struct hook_error error = {0};
    pid_t child;
    int status;

    cr_expect_eq(hook_test_try(careful, &hook, 1, &error), -EPERM);
    cr_expect_str_eq(error.text, "Signal needs --allow-enforcement");
    cr_expect_eq(error.place.line, 9);
    hook_test_load(t, &hook, 1);
    child = observe_child(call_getppid_with_usr1, NULL, &status);
    cr_expect_eq(status, 0);
    hook_test_drain(t);
    cr_assert_geq(hook_test_count(t, child), 1);
    cr_expect_eq(hook_test_find(t, child, 0)->action, RECORD_HOOK_SIGNAL);
    cr_expect_eq(hook_test_find(t, child, 0)->action_value, SIGUSR1);
    cr_expect_eq(hook_test_find(t, child, 0)->action_failed, 0);
    cr_assert(hooks_unload(t->hooks, 1));
    selector.actions[0] = (struct policy_action){.kind = POLICY_ACTION_SIGKILL};
    hook = getppid_hook(&selector, 1);
    hook.selectors[0].matches[1].values.items = &any;
    us = (struct policy_value)NUMBER(getpid());
    hook_test_load(t, &hook, 2);
    child = observe_child(call_getppid, NULL, &status);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    hook_test_drain(t);
    cr_expect_eq(hook_test_find(t, child, 0)->action, RECORD_HOOK_SIGKILL);
    hook_test_end(careful);
    hook_test_end(t);
}

/* ---- sets of processes ---------------------------------------------------------------------------------------------- */

/* A hook on getcwd of those in a set of binaries. */
static struct policy_hook binaries_hook(struct policy_match *match, struct policy_value *value,
    const char *path, enum policy_operator op, bool follow)
{
    static struct policy_selector selector;
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_getcwd");

    *value = (struct policy_value){.text = {.data = HOOK_WORD(path), .size = strlen(path)}};
    *match = (struct policy_match){
        .kind = POLICY_MATCH_BINARIES, .op = op, .values = {value, 1}, .follow = follow};
    selector = (struct policy_selector){.matches = match, .match_count = 1};
    hook.selectors[0] = selector;
    hook.selector_count = 1;
    return hook;
}

static char shell[PATH_MAX], env_path[PATH_MAX];

static pid_t run_script(const char *script)
{
    char *argv[] = {shell, HOOK_WORD("-c"), HOOK_WORD(script), NULL};
    int status;

    return observe_child(observe_exec, argv, &status);
}

static void find_binaries(void)
{
    cr_assert(realpath("/bin/sh", shell) && realpath("/bin/pwd", env_path));
}

static size_t count_others(const struct hook_test *t, pid_t pid)
{
    return hook_test_count(t, 0) - hook_test_count(t, pid);
}

/* umask is called by the shell itself, by its fork, and by what it runs. */
#define SCRIPT                                                                                               \
    "umask >/dev/null; (umask >/dev/null; :); /bin/mkdir -m 700 /tmp/podkin-hook-$$; rmdir "                 \
    "/tmp/podkin-hook-$$; :"

static size_t count_execs_of(const struct hook_test *t, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < hook_test_count(t, 0); i++) {
        const struct record_hook *record = hook_test_find(t, 0, i);
        const struct record_process *exec =
            observe_find(t->observer, RECORD_EXEC, (pid_t)record->header.tgid, 0);

        count += exec && strstr(observe_text(exec, exec->filename), name);
    }
    return count;
}

static void run_with_children(bool follow, size_t ret_counts[3])
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_match match;
    struct policy_value value;
    struct policy_hook hook;
    pid_t pid;

    find_binaries();
    hook = binaries_hook(&match, &value, shell, POLICY_IN, follow);
    hook.event = HOOK_TEXT("sys_enter_umask");
    hook_test_load(t, &hook, 1);
    pid = run_script(SCRIPT);
    hook_test_drain(t);
    ret_counts[0] = hook_test_count(t, pid);
    ret_counts[1] = count_others(t, pid) - count_execs_of(t, "mkdir");
    ret_counts[2] = count_execs_of(t, "mkdir");
    hook_test_end(t);
}

Test(hook_select, a_binary_means_its_process_and_what_that_forks_and_not_what_that_runs)
{
    size_t counts[3];

    run_with_children(false, counts);
    cr_expect_geq(counts[0], 1, "the shell itself");
    cr_expect_geq(counts[1], 1, "its fork");
    cr_expect_eq(counts[2], 0, "what it runs");
}

Test(hook_select, a_binary_with_children_means_what_they_run_too)
{
    size_t counts[3];

    run_with_children(true, counts);
    cr_expect_geq(counts[0], 1, "the shell itself");
    cr_expect_geq(counts[1], 1, "its fork");
    cr_expect_geq(counts[2], 1, "what it runs");
}

Test(hook_select, beginnings_ends_and_what_is_not_a_binary)
{
    static const struct {
        const char *text;
        enum policy_operator op;
        bool is_told;
    } cases[] = {{"/usr/bin/", POLICY_PREFIX, true}, {"/no/", POLICY_PREFIX, false},
        {"/no/", POLICY_NOT_PREFIX, true}, {"/pwd", POLICY_POSTFIX, true}, {"/pwe", POLICY_POSTFIX, false},
        {"/pwd", POLICY_NOT_POSTFIX, false}, {"/usr/bin/pwd", POLICY_NOT_IN, false},
        {"/usr/bin/pwd", POLICY_IN, true}, {"/bin/pwd", POLICY_IN, false}};
    struct hook_test *t = hook_test_begin(false);
    char *argv[] = {env_path, NULL};
    int out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    find_binaries();
    if (strcmp(env_path, "/usr/bin/pwd") != 0)
        cr_skip_test("needs /usr/bin/pwd");
    (void)dup2(null, STDOUT_FILENO);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct policy_match match;
        struct policy_value value;
        struct policy_hook hook = binaries_hook(&match, &value, cases[i].text, cases[i].op, false);
        int status;
        pid_t pid;

        hook_test_load(t, &hook, i + 1);
        pid = observe_child(observe_exec, argv, &status);
        hook_test_drain(t);
        cr_assert(hooks_unload(t->hooks, i + 1));
        cr_expect_eq(hook_test_count(t, pid) > 0, cases[i].is_told, "case %zu: %s", i, cases[i].text);
    }
    (void)dup2(out, STDOUT_FILENO);
    (void)close(out);
    (void)close(null);
    hook_test_end(t);
}

static void *exec_in_thread(void *argv)
{
    (void)observe_exec(argv);
    return NULL;
}

/* Runs in a process that is in the set already; a thread of it execs. */
static int exec_by_thread(void *argv)
{
    pthread_t thread;

    (void)pthread_create(&thread, NULL, exec_in_thread, argv);
    (void)pthread_join(thread, NULL);
    return 1;
}

Test(hook_select, what_ran_before_the_policy_counts_and_so_does_an_exec_by_a_thread)
{
    struct hook_test *t = hook_test_begin(false);
    char *argv[] = {env_path, NULL}, self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    struct policy_match match;
    struct policy_value value;
    struct policy_hook hook;
    int status, out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid;

    find_binaries();
    cr_assert_gt(size, 0);
    self[size] = '\0';
    hook = binaries_hook(&match, &value, self, POLICY_IN, true);
    hook_test_load(t, &hook, 1);
    (void)dup2(null, STDOUT_FILENO);
    pid = observe_child(exec_by_thread, argv, &status);
    (void)dup2(out, STDOUT_FILENO);
    cr_expect_eq(status, 0);
    hook_test_drain(t);
    cr_expect_geq(hook_test_count(t, pid), 1);
    (void)close(out);
    (void)close(null);
    hook_test_end(t);
}
