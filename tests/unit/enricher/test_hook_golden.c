/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of each kind of hook and argument against tests/golden/hooks.jsonl, which the viewer's tests read: PODKIN_UPDATE_GOLDEN=1 writes it anew, to be read before
 * it is committed.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "common/record_check.h"
#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(hook_golden, .init = kit_setup, .fini = kit_teardown);

enum { FILES = 1, SOCKETS, NAMES, TRACE, LSM, UPROBE };

static void feed_hook(struct record_hook *hook)
{
    cr_assert_eq(record_check(&hook->header, hook->header.size), 0);
    kit_feed(&hook->header);
}

static struct record_hook *next_hook(uint32_t id)
{
    kit.now += NS_PER_SEC / 2;
    return make_hook(&kit.record, A1, CG_A, kit.now, id);
}

static void tell_policies(void)
{
    static const struct make_policy policies[] = {
        {.hook_id = FILES,
            .kind = RECORD_HOOK_KPROBE,
            .name = "files",
            .function = "security_file_permission",
            .message = "Sensitive file",
            .tags = "observability.filesystem\0critical",
            .tags_size = 33,
            .labels = {"file", "mask", [RECORD_HOOK_RETURN] = "verdict"}},
        {.hook_id = SOCKETS, .kind = RECORD_HOOK_KPROBE, .name = "net", .function = "tcp_connect"},
        {.hook_id = NAMES, .kind = RECORD_HOOK_KPROBE, .name = "names", .function = "__x64_sys_prctl"},
        {.hook_id = TRACE,
            .kind = RECORD_HOOK_TRACEPOINT,
            .name = "trace",
            .subsystem = "raw_syscalls",
            .function = "sys_enter"},
        {.hook_id = LSM, .kind = RECORD_HOOK_LSM, .name = "exec", .function = "bprm_check_security"},
        {.hook_id = UPROBE,
            .kind = RECORD_HOOK_UPROBE,
            .name = "tls",
            .subsystem = "/usr/lib/libssl.so.3",
            .function = "SSL_write"},
    };

    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
        kit_feed(make_policy(&kit.record, &policies[i], kit.now));
}

static void feed_files(void)
{
    struct record_hook *hook = next_hook(FILES);

    make_arg_path(&kit.record, 0, RECORD_ARG_FILE, "/etc/shadow", S_IFREG | 0640, 02, -1);
    make_arg_number(&kit.record, 1, RECORD_ARG_INT, 4);
    make_arg_number(&kit.record, RECORD_HOOK_RETURN, RECORD_ARG_INT, (uint64_t)-1);
    hook->action = RECORD_HOOK_OVERRIDE;
    hook->action_value = -1;
    feed_hook(hook);
    hook = next_hook(FILES);
    make_arg_path(&kit.record, 0, RECORD_ARG_FD, "/tmp/\x1b[2J", S_IFREG | 0600, 01, 7);
    hook->args[0].flags = RECORD_ARG_TRUNCATED;
    hook->suppressed = 41;
    feed_hook(hook);
    hook = next_hook(FILES);
    make_arg_path(&kit.record, 0, RECORD_ARG_PATH, "/gone", 0, 0, -1);
    hook->args[0].flags = RECORD_ARG_UNREACHABLE;
    hook->args[1] = (struct record_arg){.type = RECORD_ARG_INT, .flags = RECORD_ARG_ERROR};
    feed_hook(hook);
}

static void feed_sockets(void)
{
    static const struct record_arg_sock v4 = {.cookie = UINT64_C(9007199254740993),
        .family = 2,
        .type = 1,
        .protocol = 6,
        .state = 2,
        .sport = 40112,
        .dport = 443,
        .saddr = {10, 244, 0, 7},
        .daddr = {104, 198, 14, 52}};
    static const struct record_arg_sock v6 = {.family = 10,
        .type = 2,
        .protocol = 17,
        .sport = 53,
        .dport = 33333,
        .mark = 17,
        .priority = 6,
        .length = 120,
        .saddr = {0x26, 0x06, 0x47, [15] = 1},
        .daddr = {0xfd, [15] = 7}};
    static const uint64_t frames[] = {UINT64_C(0xffffffff81a2b3c4), UINT64_C(0xffffffff81000000)};
    struct record_hook *hook = next_hook(SOCKETS);

    make_arg(&kit.record, 0, RECORD_ARG_SOCK, &v4, sizeof(v4), NULL, 0);
    make_stack(&kit.record, frames, 2);
    hook->action = RECORD_HOOK_SIGKILL;
    hook->action_failed = 1;
    feed_hook(hook);
    hook = next_hook(SOCKETS);
    make_arg(&kit.record, 0, RECORD_ARG_SKB, &v6, sizeof(v6), NULL, 0);
    make_arg(&kit.record, 1, RECORD_ARG_SOCKADDR, &v6, sizeof(v6), NULL, 0);
    hook->action = RECORD_HOOK_SIGNAL;
    hook->action_value = 10;
    feed_hook(hook);
}

static void feed_names(void)
{
    static const struct record_arg_cred cred = {
        .cap_effective = UINT64_C(1) << 21 | 2, .uid = 1000, .gid = 1000, .user_ns = 4026531837};
    struct record_hook *hook = next_hook(NAMES);

    make_arg_bytes(&kit.record, 0, RECORD_ARG_STRING, "new \"name\"\n", 11, 400);
    hook->args[0].flags = RECORD_ARG_TRUNCATED;
    make_arg_bytes(&kit.record, 1, RECORD_ARG_BYTES, "hello\n\x1b[31m", 11, 4096);
    make_arg_bytes(&kit.record, 2, RECORD_ARG_BYTES, "hi", 2, 2);
    make_arg_number(&kit.record, 3, RECORD_ARG_CAPABILITY, 21);
    make_arg(&kit.record, 4, RECORD_ARG_CRED, &cred, sizeof(cred), NULL, 0);
    make_arg_number(&kit.record, 5, RECORD_ARG_SIZE, UINT64_MAX);
    make_arg_number(&kit.record, RECORD_HOOK_RETURN, RECORD_ARG_LONG, (uint64_t)INT64_MIN);
    feed_hook(hook);
}

static void feed_others(void)
{
    struct record_hook *hook = next_hook(TRACE);

    make_arg_number(&kit.record, 0, RECORD_ARG_SYSCALL, 257);
    make_arg_number(&kit.record, 1, RECORD_ARG_UINT, 4294967196);
    feed_hook(hook);
    hook = next_hook(LSM);
    make_arg_path(&kit.record, 0, RECORD_ARG_BINPRM, "/usr/bin/nc", S_IFREG | 0755, 0, -1);
    feed_hook(hook);
    hook = next_hook(UPROBE);
    make_arg_number(&kit.record, 0, RECORD_ARG_ULONG, 3);
    feed_hook(hook);
    feed_hook(next_hook(99)); /* nobody told what it is */
}

static char *golden_path(void)
{
    static char path[4096];
    const char *root = getenv("PODKIN_SOURCE_ROOT");

    (void)snprintf(path, sizeof(path), "%s/tests/golden/hooks.jsonl", root ? root : ".");
    return path;
}

static void write_golden(void)
{
    FILE *file = fopen(golden_path(), "we");

    cr_assert_not_null(file);
    for (size_t i = 1; i < kit.line_count; i++)
        (void)fprintf(file, "%s\n", kit.lines[i]);
    cr_assert_eq(fclose(file), 0);
}

/* Rules of every argument: one value and what is said about it; 64 bits as strings. */
static void expect_form(json_t *arg)
{
    const char *key;
    json_t *value;
    unsigned values = 0;

    json_object_foreach(arg, key, value)
    {
        size_t size = strlen(key);

        if (!strcmp(key, "label") || !strcmp(key, "truncated"))
            continue;
        cr_expect((size > 4 && !strcmp(key + size - 4, "_arg")) || !strcmp(key, "syscall_id"), "%s", key);
        if (!strcmp(key, "size_arg") || !strcmp(key, "long_arg"))
            cr_expect(json_is_string(value));
        values++;
    }
    cr_expect_eq(values, 1);
}

static void expect_forms(json_t *line)
{
    json_t *event = json_object_iter_value(json_object_iter(line)), *arg, *frame;
    size_t i;

    json_array_foreach(json_object_get(event, "args"), i, arg)
    {
        expect_form(arg);
    }
    if (json_object_get(event, "return"))
        expect_form(json_object_get(event, "return"));
    json_array_foreach(json_object_get(event, "kernel_stack_trace"), i, frame)
    {
        cr_expect(json_is_string(json_object_get(frame, "address")));
    }
    cr_expect_eq(strncmp(kit_string(event, "action", NULL, NULL), "KPROBE_ACTION_", 14), 0);
}

Test(hook_golden, lines_are_as_agreed)
{
    char expected[65536];
    FILE *file;

    kit.emit.render.wall_offset_ns = INT64_C(1795500000000000000);
    kit_tell_pod(UID_A, "web-1", ID_A);
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/usr/sbin/nginx"));
    tell_policies();
    feed_files();
    feed_sockets();
    feed_names();
    feed_others();
    if (getenv("PODKIN_UPDATE_GOLDEN"))
        write_golden();
    file = fopen(golden_path(), "re");
    cr_assert_not_null(file, "%s", golden_path());
    for (size_t i = 1; i < kit.line_count; i++) {
        json_t *line = kit_parse(i);

        cr_assert_not_null(fgets(expected, sizeof(expected), file));
        expected[strcspn(expected, "\n")] = '\0';
        cr_expect_str_eq(kit.lines[i], expected);
        expect_forms(line);
        json_decref(line);
    }
    cr_expect_null(fgets(expected, sizeof(expected), file));
    (void)fclose(file);
}
