/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks on functions of the kernel: one table of arguments, by trampolines and by kprobes; LSM hooks; what is overridden. Skipped where the kernel has neither. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/assume/hook_kit.h"

static struct policy_value own_pid;
static struct policy_match own_process = {
    .kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&own_pid, 1}};
static char file_name[64], folder_name[64];

#define ARG(type_, index_, name_)                                                                            \
    {                                                                                                        \
        .type = (type_), .index = (index_), .size_arg_index = -1, .type_name = HOOK_WORD(name_)              \
    }

static struct policy_hook function_hook(struct policy_string *name, const char *text)
{
    own_pid = HOOK_NUMBER(getpid());
    *name = (struct policy_string){.data = HOOK_WORD(text), .size = strlen(text)};
    return (struct policy_hook){
        .kind = RECORD_HOOK_KPROBE,
        .functions = name,
        .function_count = 1,
        .selectors = {{.matches = &own_process, .match_count = 1}},
        .selector_count = 1,
    };
}

/* ---- what is called, and what is to be seen ------------------------------------------------------------------------- */

static void open_file(void)
{
    int fd = open(file_name, O_RDONLY | O_CLOEXEC);

    (void)close(fd);
}

static void truncate_file(void)
{
    cr_assert_eq(truncate(file_name, 3), 0);
}

static void make_and_remove_folder(void)
{
    (void)mkdir(folder_name, 0700);
    (void)rmdir(folder_name);
}

static void connect_somewhere(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)connect(fd, (struct sockaddr *)&to, sizeof(to));
    (void)close(fd);
}

static void leave_groups(void)
{
    cr_assert_eq(setgroups(0, NULL), 0);
}

static void write_to_pipe(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "through the pipe", 16) < 0)
        return;
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* By number: a test gets its parameters from another process. */
enum call { OPEN, TRUNCATE, FOLDER, CONNECT, GROUPS, PIPE };
static void (*const calls[])(void) = {
    open_file, truncate_file, make_and_remove_folder, connect_somewhere, leave_groups, write_to_pipe};

struct function_case {
    char name[48];
    char function[48];
    bool is_syscall, has_return;
    enum record_arg_type type;
    char type_name[16];
    uint32_t index;
    char expected[80]; /* "FILE", "FOLDER": the test's; a number; text; ip:port */
    int64_t returns;
    enum call call;
};

ParameterizedTestParameters(hook_function, shows_its_arguments)
{
    static struct function_case cases[] = {
        {"file", "security_file_open", false, false, RECORD_ARG_FILE, "file", 0, "FILE", 0, OPEN},
        {"file by its own type", "security_file_open", false, false, RECORD_ARG_NONE, "auto", 0, "FILE", 0,
            OPEN},
        {"filename", "do_filp_open", false, false, RECORD_ARG_STRING, "filename", 1, "FILE", 0, OPEN},
        {"path", "vfs_truncate", false, false, RECORD_ARG_PATH, "path", 0, "FILE", 0, TRUNCATE},
        {"number and result", "vfs_truncate", false, true, RECORD_ARG_LONG, "int64", 1, "3", 0, TRUNCATE},
        {"dentry", "security_inode_rmdir", false, false, RECORD_ARG_PATH, "dentry", 1, "FOLDER", 0, FOLDER},
        {"socket", "tcp_v4_connect", false, false, RECORD_ARG_SOCK, "sock", 0, "SOCK", 0, CONNECT},
        {"sockaddr", "security_socket_connect", false, false, RECORD_ARG_SOCKADDR, "sockaddr", 1,
            "127.0.0.1:9", 0, CONNECT},
        {"struct socket", "security_socket_connect", false, false, RECORD_ARG_SOCK, "sock", 0, "SOCK", 0,
            CONNECT},
        {"cred", "commit_creds", false, false, RECORD_ARG_CRED, "cred", 0, "CRED", 0, GROUPS},
        {"iov_iter", "pipe_write", false, false, RECORD_ARG_BYTES, "char_iovec", 1, "through the pipe", 0,
            PIPE},
        {"system call", "sys_truncate", true, false, RECORD_ARG_STRING, "string", 0, "FILE", 0, TRUNCATE},
        {"system call's second argument and result", "sys_rmdir", true, true, RECORD_ARG_STRING, "string", 0,
            "FOLDER", 0, FOLDER},
        {"result that is an error", "sys_connect", true, true, RECORD_ARG_SOCKADDR, "sockaddr", 1,
            "127.0.0.1:9", -ECONNREFUSED, CONNECT},
    };

    return cr_make_param_array(struct function_case, cases, sizeof(cases) / sizeof(cases[0]));
}

static void make_file(void)
{
    int fd;

    (void)snprintf(file_name, sizeof(file_name), "/tmp/podkin-hook-%d", (int)getpid());
    (void)snprintf(folder_name, sizeof(folder_name), "/tmp/podkin-hook-%d-d", (int)getpid());
    fd = open(file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

static void check_value(const struct function_case *c, const struct record_hook *record)
{
    char text[INET6_ADDRSTRLEN + 8];
    const struct record_arg_sock *sock;

    switch (record->args[0].type) {
    case RECORD_ARG_LONG:
        (void)snprintf(text, sizeof(text), "%lld", (long long)hook_arg_number(record, 0));
        cr_expect_str_eq(text, c->expected);
        break;
    case RECORD_ARG_SOCK:
        sock = hook_arg_sock(record, 0);
        cr_expect_eq(sock->family, AF_INET);
        cr_expect_eq(sock->type, SOCK_STREAM);
        cr_expect_eq(sock->protocol, IPPROTO_TCP);
        break;
    case RECORD_ARG_SOCKADDR:
        sock = hook_arg_sock(record, 0);
        (void)snprintf(text, sizeof(text), "%s:%d",
            inet_ntoa(*(const struct in_addr *)(const void *)sock->daddr), sock->dport);
        cr_expect_str_eq(text, c->expected);
        break;
    case RECORD_ARG_CRED:
        cr_expect_eq(record->args[0].value.size, sizeof(struct record_arg_cred));
        cr_expect_eq(record->args[0].flags, 0);
        break;
    default:
        cr_expect_str_eq(hook_arg_text(record, 0), strcmp(c->expected, "FILE") == 0     ? file_name
                                                   : strcmp(c->expected, "FOLDER") == 0 ? folder_name
                                                                                        : c->expected);
    }
}

static void run_case(const struct function_case *c, struct hook_test *t, const char *way)
{
    struct policy_string name;
    struct policy_hook hook = function_hook(&name, c->function);
    struct hook_error error = {0};
    const struct record_hook *record;
    int r;

    make_file();
    hook.is_syscall = c->is_syscall;
    hook.args[0] = (struct policy_arg)ARG(c->type, c->index, c->type_name);
    hook.arg_count = 1;
    if (c->has_return) {
        hook.has_return = true;
        hook.return_arg = (struct policy_arg)ARG(RECORD_ARG_INT, 0, "int");
        hook.return_arg.from = POLICY_FROM_RETURN;
    }
    r = hook_test_try(t, &hook, 1, &error);
    if (r == -EOPNOTSUPP)
        cr_skip_test("%s", error.text);
    cr_assert_eq(r, 0, "%s by %s: %s", c->name, way, error.text);
    calls[c->call]();
    hook_test_drain(t);
    record = hook_test_find(t, getpid(), 0);
    cr_assert(record, "%s by %s: nothing was reported", c->name, way);
    check_value(c, record);
    if (c->has_return)
        cr_expect_eq((int64_t)hook_arg_number(record, RECORD_HOOK_RETURN), c->returns);
    (void)unlink(file_name);
    hook_test_end(t);
}

ParameterizedTest(struct function_case *c, hook_function, shows_its_arguments)
{
    run_case(c, hook_test_begin(false), "trampoline");
    run_case(c, hook_test_begin_kprobes(false), "kprobe");
}

/* ---- LSM, override -------------------------------------------------------------------------------------------------- */

static struct policy_value file_value;
static struct policy_match file_matches[2];

/* Matches this process and the test's file as argument 0. */
static void select_file(struct policy_hook *hook)
{
    file_value = (struct policy_value){.text = {.data = file_name, .size = strlen(file_name)}};
    file_matches[0] = own_process;
    file_matches[1] = (struct policy_match){
        .kind = POLICY_MATCH_ARG, .op = POLICY_EQUAL, .arg = 0, .values = {&file_value, 1}};
    hook->selectors[0] = (struct policy_selector){.matches = file_matches, .match_count = 2};
    hook->selector_count = 1;
}

static void load_or_skip(struct hook_test *t, const struct policy_hook *hook)
{
    struct hook_error error = {0};
    int r = hook_test_try(t, hook, 1, &error);

    if (r == -EOPNOTSUPP)
        cr_skip_test("%s", error.text);
    cr_assert_eq(r, 0, "%s", error.text);
}

Test(hook_function, an_lsm_hook_watches)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_string name;
    struct policy_hook hook = function_hook(&name, "file_open");

    make_file();
    hook.kind = RECORD_HOOK_LSM;
    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_FILE, 0, "file");
    hook.arg_count = 1;
    select_file(&hook);
    load_or_skip(t, &hook);
    open_file();
    hook_test_drain(t);
    cr_assert_eq(hook_test_count(t, 0), 1);
    cr_expect_str_eq(hook_arg_text(hook_test_find(t, getpid(), 0), 0), file_name);
    (void)unlink(file_name);
    hook_test_end(t);
}

static void deny(struct policy_hook *hook)
{
    hook->selectors[0].actions[0] = (struct policy_action){.kind = POLICY_ACTION_OVERRIDE, .value = -EXDEV};
    hook->selectors[0].action_count = 1;
}

Test(hook_function, an_lsm_hook_denies_what_matches_and_nothing_else)
{
    struct hook_test *t = hook_test_begin(true);
    struct policy_string name;
    struct policy_hook hook = function_hook(&name, "file_open");
    const struct record_hook *record;
    int fd;

    make_file();
    hook.kind = RECORD_HOOK_LSM;
    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_FILE, 0, "file");
    hook.arg_count = 1;
    select_file(&hook);
    deny(&hook);
    load_or_skip(t, &hook);
    fd = open(file_name, O_RDONLY | O_CLOEXEC);
    cr_expect(fd == -1 && errno == EXDEV);
    fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    cr_expect_geq(fd, 0);
    (void)close(fd);
    hook_test_drain(t);
    record = hook_test_find(t, getpid(), 0);
    cr_assert(record);
    cr_expect_eq(record->action, RECORD_HOOK_OVERRIDE);
    cr_expect_eq(record->action_value, -EXDEV);
    cr_assert(hooks_unload(t->hooks, 1));
    fd = open(file_name, O_RDONLY | O_CLOEXEC);
    cr_expect_geq(fd, 0, "once the policy is gone it is open to all");
    (void)close(fd);
    (void)unlink(file_name);
    hook_test_end(t);
}

Test(hook_function, a_security_function_is_overridden)
{
    struct hook_test *t = hook_test_begin(true);
    struct policy_string name;
    struct policy_hook hook = function_hook(&name, "security_file_open");
    int fd;

    make_file();
    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_FILE, 0, "file");
    hook.arg_count = 1;
    select_file(&hook);
    deny(&hook);
    load_or_skip(t, &hook);
    fd = open(file_name, O_RDONLY | O_CLOEXEC);
    cr_expect(fd == -1 && errno == EXDEV);
    hook_test_drain(t);
    cr_assert_eq(hook_test_count(t, getpid()), 1);
    cr_expect_eq(hook_test_find(t, getpid(), 0)->action, RECORD_HOOK_OVERRIDE);
    (void)unlink(file_name);
    hook_test_end(t);
}

Test(hook_function, a_function_that_cannot_be_overridden_is_refused)
{
    struct hook_test *t = hook_test_begin(true);
    struct policy_string name;
    struct policy_hook hook = function_hook(&name, "do_filp_open");
    struct hook_error error = {0};

    deny(&hook);
    cr_expect_eq(hook_test_try(t, &hook, 1, &error), -EOPNOTSUPP);
    cr_expect_str_eq(error.text, "Override: do_filp_open cannot be overridden; expected an LSM hook, a "
                                 "system call or a security_… function");
    hook_test_end(t);
}
