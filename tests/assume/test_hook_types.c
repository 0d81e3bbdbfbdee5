/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of each type that the running kernel can show without functions: tracepoints' fields, raw tracepoints' objects, uprobes' registers. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/assume/hook_kit.h"

static struct policy_value own_pid;
static struct policy_match own_process = {
    .kind = POLICY_MATCH_PIDS, .op = POLICY_IN, .values = {&own_pid, 1}};

#define ARG(type_, index_)                                                                                   \
    {                                                                                                        \
        .type = (type_), .index = (index_), .size_arg_index = -1                                             \
    }
#define SIZED(type_, index_, size_)                                                                          \
    {                                                                                                        \
        .type = (type_), .index = (index_), .size_arg_index = (size_)                                        \
    }
#define NAMED(type_, index_, name_)                                                                          \
    {                                                                                                        \
        .type = (type_), .index = (index_), .size_arg_index = -1, .type_name = HOOK_WORD(name_)              \
    }

/* A tracepoint's hook for this process alone. */
static struct policy_hook tracepoint(const char *subsystem, const char *event, bool is_raw)
{
    own_pid = HOOK_NUMBER(getpid());
    return (struct policy_hook){
        .kind = RECORD_HOOK_TRACEPOINT,
        .subsystem = {.data = HOOK_WORD(subsystem), .size = strlen(subsystem)},
        .event = {.data = HOOK_WORD(event), .size = strlen(event)},
        .is_raw = is_raw,
        .selectors = {{.matches = &own_process, .match_count = 1}},
        .selector_count = 1,
    };
}

static const struct record_hook *first(struct hook_test *t)
{
    const struct record_hook *hook;

    hook_test_drain(t);
    hook = hook_test_find(t, 0, 0);
    cr_assert(hook, "nothing was reported");
    return hook;
}

/* ---- fields of system calls ----------------------------------------------------------------------------------------- */

Test(hook_types, a_string_and_numbers_of_a_system_call)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_openat", false);
    const struct record_hook *record;

    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_INT, 5);
    hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_STRING, 6);
    hook.args[2] = (struct policy_arg)ARG(RECORD_ARG_UINT, 7);
    hook.arg_count = 3;
    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_openat, AT_FDCWD, "/no/such/file", O_WRONLY, 0);
    record = first(t);
    cr_expect_eq((int64_t)hook_arg_number(record, 0), AT_FDCWD);
    cr_expect_str_eq(hook_arg_text(record, 1), "/no/such/file");
    cr_expect_eq(hook_arg_number(record, 2), O_WRONLY);
    hook_test_end(t);
}

Test(hook_types, a_string_that_is_not_there_is_an_error_and_the_event_is_told)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_openat", false);
    const struct record_hook *record;

    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_STRING, 6);
    hook.arg_count = 1;
    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_openat, AT_FDCWD, 16, O_WRONLY, 0);
    record = first(t);
    cr_expect_eq(record->args[0].flags, RECORD_ARG_ERROR);
    cr_expect_eq(record->args[0].value.size, 0);
    hook_test_end(t);
}

Test(hook_types, an_address_of_the_kernel_handed_in_by_a_process_is_not_followed)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_write", false);
    const struct record_hook *record;

    hook.args[0] = (struct policy_arg)SIZED(RECORD_ARG_BYTES, 6, 7);
    hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_SIZE, 7);
    hook.arg_count = 2;
    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_write, -1, 0xffffffff81000000UL, 16);
    record = first(t);
    cr_expect_eq(record->args[0].flags, RECORD_ARG_ERROR);
    hook_test_end(t);
}

Test(hook_types, bytes_are_as_many_as_the_size_says_and_cut_where_the_policy_says)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_write", false);
    const struct record_hook *record;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    hook.args[0] = (struct policy_arg)SIZED(RECORD_ARG_BYTES, 6, 7);
    hook.args[0].max_bytes = 8;
    hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_SIZE, 7);
    hook.arg_count = 2;
    hook_test_load(t, &hook, 1);
    (void)syscall(SYS_write, null, "ab\0d", 4);
    (void)syscall(SYS_write, null, "0123456789", 10);
    record = first(t);
    cr_expect_str_eq(hook_arg_text(record, 0), "ab|d");
    cr_expect_eq(record->args[0].flags, 0);
    cr_expect_eq(hook_arg_number(record, 1), 4);
    record = hook_test_find(t, 0, 1);
    cr_expect_str_eq(hook_arg_text(record, 0), "01234567");
    cr_expect_eq(record->args[0].flags, RECORD_ARG_TRUNCATED);
    cr_expect_eq(hook_arg_original_size(record, 0), 10);
    (void)close(null);
    hook_test_end(t);
}

Test(hook_types, pieces_of_a_buffer_are_put_together)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_writev", false);
    struct iovec pieces[] = {{HOOK_WORD("one,"), 4}, {HOOK_WORD(""), 0}, {HOOK_WORD("two"), 3}};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    hook.args[0] = (struct policy_arg)SIZED(RECORD_ARG_BYTES, 6, 7);
    hook.args[0].type_name = HOOK_WORD("char_iovec");
    hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_SIZE, 7);
    hook.arg_count = 2;
    hook_test_load(t, &hook, 1);
    cr_assert_eq(writev(null, pieces, 3), 7);
    cr_expect_str_eq(hook_arg_text(first(t), 0), "one,two");
    (void)close(null);
    hook_test_end(t);
}

Test(hook_types, an_fd_is_the_path_of_its_file)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_fchmod", false);
    const struct record_hook *record;
    const struct record_arg_path *path;
    char name[64];
    int fd;

    (void)snprintf(name, sizeof(name), "/tmp/podkin-hook-%d", (int)getpid());
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_FD, 5);
    hook.arg_count = 1;
    hook_test_load(t, &hook, 1);
    cr_assert_eq(fchmod(fd, 0640), 0);
    (void)fchmod(12345, 0);
    record = first(t);
    cr_expect_str_eq(hook_arg_text(record, 0), name);
    path = hook_arg_path(record, 0);
    cr_expect_eq(path->fd, fd);
    cr_expect_eq(path->mode, S_IFREG | 0600);
    cr_expect_eq(path->flags & O_ACCMODE, O_RDWR);
    record = hook_test_find(t, 0, 1);
    cr_expect_eq(record->args[0].flags, RECORD_ARG_ERROR);
    (void)close(fd);
    (void)unlink(name);
    hook_test_end(t);
}

Test(hook_types, an_address_of_a_socket_of_each_family)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("syscalls", "sys_enter_connect", false);
    struct sockaddr_in to4 = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 to6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(10), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct record_arg_sock *sock;

    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_SOCKADDR, 6);
    hook.arg_count = 1;
    hook_test_load(t, &hook, 1);
    (void)connect(-1, (struct sockaddr *)&to4, sizeof(to4));
    (void)connect(-1, (struct sockaddr *)&to6, sizeof(to6));
    sock = hook_arg_sock(first(t), 0);
    cr_expect_eq(sock->family, AF_INET);
    cr_expect_eq(sock->dport, 9);
    cr_expect_arr_eq(sock->daddr, &to4.sin_addr, 4);
    sock = hook_arg_sock(hook_test_find(t, 0, 1), 0);
    cr_expect_eq(sock->family, AF_INET6);
    cr_expect_eq(sock->dport, 10);
    cr_expect_arr_eq(sock->daddr, &to6.sin6_addr, 16);
    hook_test_end(t);
}

Test(hook_types, a_system_call_s_result_and_number)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook exit_hook = tracepoint("syscalls", "sys_exit_fchmod", false);
    struct policy_hook enter_hook = tracepoint("raw_syscalls", "sys_enter", false);
    struct policy_value fchmod_number = HOOK_NUMBER(SYS_fchmod);
    struct policy_match matches[] = {
        own_process, {.kind = POLICY_MATCH_ARG, .op = POLICY_EQUAL, .arg = 0, .values = {&fchmod_number, 1}}};

    exit_hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_LONG, 5);
    exit_hook.arg_count = 1;
    enter_hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_SYSCALL, 4);
    enter_hook.arg_count = 1;
    enter_hook.selectors[0] = (struct policy_selector){.matches = matches, .match_count = 2};
    hook_test_load(t, &exit_hook, 1);
    hook_test_load(t, &enter_hook, 2);
    (void)fchmod(12345, 0);
    cr_expect_eq(hook_arg_number(first(t), 0), SYS_fchmod);
    cr_expect_eq((int64_t)hook_arg_number(hook_test_find(t, 0, 1), 0), -EBADF);
    hook_test_end(t);
}

Test(hook_types, system_calls_without_perf_have_the_same_fields)
{
    struct hook_test *t = hook_test_begin_without_perf();
    struct policy_hook enter_hook = tracepoint("syscalls", "sys_enter_openat", false);
    struct policy_hook exit_hook = tracepoint("syscalls", "sys_exit_openat", false);
    const struct record_hook *record;

    enter_hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_INT, 5);
    enter_hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_STRING, 6);
    enter_hook.args[2] = (struct policy_arg)ARG(RECORD_ARG_INT, 4);
    enter_hook.arg_count = 3;
    exit_hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_LONG, 5);
    exit_hook.arg_count = 1;
    hook_test_load(t, &enter_hook, 1);
    hook_test_load(t, &exit_hook, 2);
    hook_test_drain(t);
    observe_forget(t->observer); /* loading opens files */
    (void)syscall(SYS_openat, AT_FDCWD, "/no/such/file", O_RDONLY, 0);
    (void)syscall(SYS_getppid);
    record = first(t);
    cr_expect_eq((int64_t)hook_arg_number(record, 0), AT_FDCWD);
    cr_expect_str_eq(hook_arg_text(record, 1), "/no/such/file");
    cr_expect_eq(hook_arg_number(record, 2), SYS_openat);
    record = hook_test_find(t, 0, 1);
    cr_assert(record);
    cr_expect_eq((int64_t)hook_arg_number(record, 0), -ENOENT);
    cr_expect_eq(hook_test_count(t, 0), 2);
    hook_test_end(t);
}

/* ---- fields that are text ------------------------------------------------------------------------------------------- */

Test(hook_types, text_within_a_record_and_text_behind_it)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook rename_hook = tracepoint("task", "task_rename", false);
    struct policy_hook exec_hook = tracepoint("sched", "sched_process_exec", false);
    char *argv[] = {HOOK_WORD("/bin/true"), NULL};
    const struct record_hook *record;
    int status;
    pid_t child;

    rename_hook.args[0] =
        (struct policy_arg){.type_name = HOOK_WORD("auto"), .index = 6, .size_arg_index = -1};
    rename_hook.arg_count = 1;
    exec_hook.selector_count = 0;
    exec_hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_STRING, 4);
    exec_hook.args[1] = (struct policy_arg){.type_name = HOOK_WORD("auto"), .index = 5, .size_arg_index = -1};
    exec_hook.arg_count = 2;
    hook_test_load(t, &rename_hook, 1);
    hook_test_load(t, &exec_hook, 2);
    cr_assert_eq(prctl(PR_SET_NAME, "new name"), 0);
    child = observe_child(observe_exec, argv, &status);
    hook_test_drain(t);
    record = hook_test_find(t, getpid(), 0);
    cr_assert(record);
    cr_expect_eq(record->args[0].type, RECORD_ARG_STRING);
    cr_expect_str_eq(hook_arg_text(record, 0), "new name");
    record = hook_test_find(t, child, 0);
    cr_assert(record);
    cr_expect_str_eq(hook_arg_text(record, 0), "/bin/true");
    cr_expect_eq(hook_arg_number(record, 1), (uint64_t)child);
    hook_test_end(t);
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

Test(hook_types, a_binary_that_is_executed)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("sched", "sched_process_exec", true);
    char *argv[] = {HOOK_WORD("/bin/true"), NULL}, path[PATH_MAX];
    const struct record_hook *record;
    int status;
    pid_t child;

    hook.selector_count = 0;
    hook.args[0] = (struct policy_arg){.type_name = HOOK_WORD("auto"), .index = 2, .size_arg_index = -1};
    hook.arg_count = 1;
    hook_test_load(t, &hook, 1);
    child = observe_child(observe_exec, argv, &status);
    hook_test_drain(t);
    record = hook_test_find(t, child, 0);
    cr_assert(record && realpath("/bin/true", path));
    cr_expect_eq(record->args[0].type, RECORD_ARG_BINPRM);
    cr_expect_str_eq(hook_arg_text(record, 0), path);
    hook_test_end(t);
}

static int listen_on_loopback(struct sockaddr_in *ret)
{
    socklen_t size = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(fd, (struct sockaddr *)ret, size), 0);
    cr_assert_eq(listen(fd, 4), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)ret, &size), 0);
    return fd;
}

Test(hook_types, a_socket_and_its_states)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("sock", "inet_sock_set_state", true);
    struct sockaddr_in to;
    int listener = listen_on_loopback(&to), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct record_hook *record;
    const struct record_arg_sock *sock;

    hook.args[0] = (struct policy_arg){.type_name = HOOK_WORD("auto"), .index = 0, .size_arg_index = -1};
    hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_INT, 2);
    hook.arg_count = 2;
    hook_test_load(t, &hook, 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    record = first(t);
    sock = hook_arg_sock(record, 0);
    cr_expect_eq(record->args[0].type, RECORD_ARG_SOCK);
    cr_expect_eq(sock->family, AF_INET);
    cr_expect_eq(sock->type, SOCK_STREAM);
    cr_expect_eq(sock->protocol, IPPROTO_TCP);
    cr_expect_arr_eq(sock->daddr, &to.sin_addr, 4);
    cr_expect_eq(sock->dport, ntohs(to.sin_port));
    cr_expect_eq(hook_arg_number(record, 1), 2, "SYN_SENT");
    (void)close(fd);
    (void)close(listener);
    hook_test_end(t);
}

Test(hook_types, a_packet_has_its_addresses_and_length)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("net", "net_dev_queue", true);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(40009), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct record_arg_sock *sock;

    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_SKB, 0);
    hook.arg_count = 1;
    hook_test_load(t, &hook, 1);
    cr_assert_eq(sendto(fd, "12345", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
    sock = hook_arg_sock(first(t), 0);
    cr_expect_eq(sock->family, AF_INET);
    cr_expect_eq(sock->protocol, IPPROTO_UDP);
    cr_expect_eq(sock->dport, 40009);
    cr_expect_arr_eq(sock->saddr, &to.sin_addr, 4);
    cr_expect_arr_eq(sock->daddr, &to.sin_addr, 4);
    cr_expect_eq(sock->length, 14 + 20 + 8 + 5);
    (void)close(fd);
    hook_test_end(t);
}

Test(hook_types, a_type_that_the_kernel_contradicts_is_refused)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_hook hook = tracepoint("sock", "inet_sock_set_state", true);
    struct hook_error error = {0};

    hook.args[0] = (struct policy_arg)NAMED(RECORD_ARG_FILE, 0, "file");
    hook.args[0].place = (struct policy_place){4, 9};
    hook.arg_count = 1;
    cr_assert_lt(hook_test_try(t, &hook, 1, &error), 0);
    cr_expect_str_eq(error.text, "type file: this argument of inet_sock_set_state is a struct sock");
    cr_expect_eq(error.place.line, 4);
    hook.args[0] = (struct policy_arg)NAMED(RECORD_ARG_INT, 9, "int");
    cr_assert_lt(hook_test_try(t, &hook, 1, &error), 0);
    cr_expect_str_eq(error.text, "raw tracepoint inet_sock_set_state has no such argument");
    hook_test_end(t);
}

/* ---- uprobes -------------------------------------------------------------------------------------------------------- */

__attribute__((noinline)) int hook_types_probed(int number, const char *text, long size);
__attribute__((noinline)) int hook_types_probed(int number, const char *text, long size)
{
    __asm__ volatile("" ::"r"(text), "r"(size));
    return number + 1;
}

static struct policy_hook uprobe(struct policy_string *symbol)
{
    static char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

    cr_assert_gt(size, 0);
    own_pid = HOOK_NUMBER(getpid());
    *symbol = HOOK_TEXT("hook_types_probed");
    return (struct policy_hook){
        .kind = RECORD_HOOK_UPROBE,
        .functions = symbol,
        .function_count = 1,
        .path = {.data = self, .size = (size_t)size},
        .selectors = {{.matches = &own_process, .match_count = 1}},
        .selector_count = 1,
    };
}

Test(hook_types, registers_of_a_program_s_function)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_string symbol;
    struct policy_hook hook = uprobe(&symbol);
    const struct record_hook *record;

    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_INT, 0);
    hook.args[1] = (struct policy_arg)ARG(RECORD_ARG_STRING, 1);
    hook.args[2] = (struct policy_arg)SIZED(RECORD_ARG_BYTES, 1, 2);
    hook.arg_count = 3;
    hook_test_load(t, &hook, 1);
    (void)hook_types_probed(-7, "hello there", 5);
    record = first(t);
    cr_expect_eq((int64_t)hook_arg_number(record, 0), -7);
    cr_expect_str_eq(hook_arg_text(record, 1), "hello there");
    cr_expect_str_eq(hook_arg_text(record, 2), "hello");
    hook_test_end(t);
}

Test(hook_types, what_a_program_s_function_returns_with_its_arguments)
{
    struct hook_test *t = hook_test_begin(false);
    struct policy_string symbol;
    struct policy_hook hook = uprobe(&symbol);
    const struct record_hook *record;

    hook.args[0] = (struct policy_arg)ARG(RECORD_ARG_INT, 0);
    hook.arg_count = 1;
    hook.has_return = true;
    hook.return_arg = (struct policy_arg)ARG(RECORD_ARG_INT, 0);
    hook.return_arg.from = POLICY_FROM_RETURN;
    hook_test_load(t, &hook, 1);
    (void)hook_types_probed(-7, "x", 1);
    record = first(t);
    cr_expect_eq((int64_t)hook_arg_number(record, 0), -7);
    cr_expect_eq((int64_t)hook_arg_number(record, RECORD_HOOK_RETURN), -6);
    cr_expect_eq(hook_test_count(t, 0), 1);
    hook_test_end(t);
}
