/* SPDX-License-Identifier: Apache-2.0 */
/* Each type of argument with each of its flags, as it stands in the line; and that nothing makes a line too long. */
#include "enricher/render_hook.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/record_check.h"
#include "enricher/policy_table.h"
#include "enricher/render_arg.h"
#include "tests/unit/enricher/pipeline_kit.h"

#define HOOK 7

static struct make_record policy_record;
static struct record_hook *hook;
static char text[2 * OUTPUT_LINE_MAX];
static bool own_fields;

static void setup(void)
{
    kit_setup();
    own_fields = true;
    hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
}

TestSuite(render_hook, .init = setup, .fini = kit_teardown);

static struct policy_entry *tell(const struct make_policy *policy)
{
    const struct record_header *record = make_policy(&policy_record, policy, kit.now);

    cr_assert_eq(record_check(record, record->size), 0);
    kit_feed(record);
    return policy_table_get(&kit.pipeline.policies, policy->hook_id, kit.now);
}

static struct policy_entry *tell_plain(void)
{
    return tell(
        &(struct make_policy){.hook_id = HOOK, .kind = RECORD_HOOK_KPROBE, .name = "p", .function = "f"});
}

/* The middle of an event, as text; checked for its bound, and as JSON. */
static const char *render_in(const struct policy_entry *policy, size_t room, bool *cut)
{
    const struct render_hook context = {.record = hook, .policy = policy, .own_fields = own_fields};
    size_t bound = render_hook_bound(&context), size;
    json_t *object;

    cr_assert_eq(record_check(&hook->header, hook->header.size), 0);
    if (room > bound)
        room = bound;
    memset(text, '#', sizeof(text));
    size = (size_t)(render_hook(text + 1, room, &context, cut) - (text + 1));
    cr_assert_leq(size, room);
    cr_assert_eq(text[1 + size], '#');
    text[0] = '{';
    text[1] = ' '; /* for the comma */
    text[1 + size] = '}';
    text[2 + size] = '\0';
    object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(object, "no JSON: %s", text);
    json_decref(object);
    text[1 + size] = '\0';
    text[1] = ',';
    return text + 1;
}

static const char *render(const struct policy_entry *policy)
{
    bool cut = false;
    const char *middle = render_in(policy, SIZE_MAX, &cut);

    cr_expect_not(cut);
    return middle;
}

/* The only argument of a plain hook. */
static void expect_arg(const char *expected)
{
    char whole[4096];

    (void)snprintf(whole, sizeof(whole),
        ",\"function_name\":\"f\",\"args\":[%s],\"action\":\"KPROBE_ACTION_POST\",\"policy_name\":\"p\"",
        expected);
    cr_expect_str_eq(render(tell_plain()), whole);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

Test(render_hook, numbers_have_the_form_of_their_type)
{
    static const struct {
        enum record_arg_type type;
        uint64_t value;
        const char *expected;
    } cases[] = {
        {RECORD_ARG_INT, 0, "{\"int_arg\":0}"},
        {RECORD_ARG_INT, (uint64_t)-1, "{\"int_arg\":-1}"},
        {RECORD_ARG_INT, 0x1ffffffff, "{\"int_arg\":-1}"},
        {RECORD_ARG_UINT, UINT32_MAX, "{\"uint_arg\":4294967295}"},
        {RECORD_ARG_LONG, (uint64_t)INT64_MIN, "{\"long_arg\":\"-9223372036854775808\"}"},
        {RECORD_ARG_ULONG, UINT64_MAX, "{\"size_arg\":\"18446744073709551615\"}"},
        {RECORD_ARG_SIZE, 11, "{\"size_arg\":\"11\"}"},
        {RECORD_ARG_CAPABILITY, 21, "{\"capability_arg\":{\"value\":21,\"name\":\"CAP_SYS_ADMIN\"}}"},
        {RECORD_ARG_CAPABILITY, 1, "{\"capability_arg\":{\"value\":1,\"name\":\"CAP_DAC_OVERRIDE\"}}"},
        {RECORD_ARG_CAPABILITY, 40,
            "{\"capability_arg\":{\"value\":40,\"name\":\"CAP_CHECKPOINT_RESTORE\"}}"},
        {RECORD_ARG_CAPABILITY, 41, "{\"capability_arg\":{\"value\":41}}"},
        {RECORD_ARG_CAPABILITY, UINT64_MAX, "{\"capability_arg\":{\"value\":-1}}"},
#ifdef __x86_64__
        {RECORD_ARG_SYSCALL, 257, "{\"syscall_id\":{\"id\":257,\"abi\":\"x64\"}}"},
        {RECORD_ARG_SYSCALL, UINT64_C(1) << 63 | 5, "{\"syscall_id\":{\"id\":5,\"abi\":\"i386\"}}"},
#endif
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
        make_arg_number(&kit.record, 0, cases[i].type, cases[i].value);
        expect_arg(cases[i].expected);
    }
}

/* ---- strings, bytes ----------------------------------------------------------------------------------------- */

Test(render_hook, strings_are_escaped_and_say_that_they_were_cut)
{
    make_arg_bytes(&kit.record, 0, RECORD_ARG_STRING, "a\"b\\\x01\xff\x7fß", 9, 9);
    expect_arg("{\"string_arg\":\"a\\\"b\\\\\\u0001\\ufffd\\u007fß\"}");
    hook->args[0].flags = RECORD_ARG_TRUNCATED;
    expect_arg("{\"string_arg\":\"a\\\"b\\\\\\u0001\\ufffd\\u007fß\",\"truncated\":true}");
    own_fields = false;
    expect_arg("{\"string_arg\":\"a\\\"b\\\\\\u0001\\ufffd\\u007fß\"}");
}

Test(render_hook, empty_string_is_written)
{
    make_arg_bytes(&kit.record, 0, RECORD_ARG_STRING, "", 0, 0);
    expect_arg("{\"string_arg\":\"\"}");
}

Test(render_hook, bytes_are_base64_and_tell_their_whole_size)
{
    make_arg_bytes(&kit.record, 0, RECORD_ARG_BYTES, "hello\n\0\xff", 8, 8);
    expect_arg("{\"bytes_arg\":\"aGVsbG8KAP8=\"}");
    make_arg_bytes(&kit.record, 0, RECORD_ARG_BYTES, "hello", 5, 4096);
    expect_arg("{\"truncated_bytes_arg\":{\"bytes_arg\":\"aGVsbG8=\",\"orig_size\":\"4096\"}}");
    make_arg_bytes(&kit.record, 0, RECORD_ARG_BYTES, "", 0, 0);
    expect_arg("{\"bytes_arg\":\"\"}");
}

/* ---- paths --------------------------------------------------------------------------------------------------- */

Test(render_hook, paths_have_the_form_of_their_type)
{
    static const struct {
        enum record_arg_type type;
        const char *path;
        uint32_t mode, flags;
        int fd;
        uint8_t arg_flags;
        const char *expected;
    } cases[] = {
        {RECORD_ARG_FILE, "/etc/shadow", S_IFREG | 0640, O_RDWR | O_APPEND, -1, 0,
            "{\"file_arg\":{\"path\":\"/etc/"
            "shadow\",\"permission\":\"-rw-r-----\",\"open_flags\":\"O_RDWR|O_APPEND\"}}"},
        {RECORD_ARG_FILE, "/a\"", 0, 0, -1, RECORD_ARG_TRUNCATED,
            "{\"file_arg\":{\"path\":\"/a\\\"\",\"flags\":\"unresolvedPathComponents\"}}"},
        {RECORD_ARG_FILE, "/x", 0, 0, -1, RECORD_ARG_TRUNCATED | RECORD_ARG_UNREACHABLE,
            "{\"file_arg\":{\"path\":\"/x\",\"flags\":\"unresolvedPathComponents unreachable\"}}"},
        {RECORD_ARG_PATH, "/tmp", S_IFDIR | S_ISVTX | 0777, 0, -1, 0,
            "{\"path_arg\":{\"path\":\"/tmp\",\"permission\":\"drwxrwxrwt\"}}"},
        {RECORD_ARG_PATH, "/gone", 0, 0, -1, RECORD_ARG_UNREACHABLE,
            "{\"path_arg\":{\"path\":\"/gone\",\"flags\":\"unreachable\"}}"},
        {RECORD_ARG_FD, "/dev/null", S_IFCHR | 0666, O_WRONLY, 3, 0,
            "{\"file_arg\":{\"path\":\"/dev/"
            "null\",\"permission\":\"crw-rw-rw-\",\"open_flags\":\"O_WRONLY\",\"fd\":3}}"},
        {RECORD_ARG_FD, "", 0, 0, 9, 0, "{\"file_arg\":{\"fd\":9}}"},
        {RECORD_ARG_BINPRM, "/usr/bin/su", S_IFREG | S_ISUID | S_ISGID | 0745, O_RDWR, 4, 0,
            "{\"linux_binprm_arg\":{\"path\":\"/usr/bin/su\",\"permission\":\"-rwsr-Sr-x\"}}"},
        {RECORD_ARG_PATH, "", 0, 0, -1, 0, "{\"path_arg\":{}}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
        make_arg_path(
            &kit.record, 0, cases[i].type, cases[i].path, cases[i].mode, cases[i].flags, cases[i].fd);
        hook->args[0].flags = cases[i].arg_flags;
        expect_arg(cases[i].expected);
    }
}

/* ---- sockets -------------------------------------------------------------------------------------------------- */

static struct record_arg_sock socket_of(uint16_t family, const uint8_t saddr[16], const uint8_t daddr[16])
{
    struct record_arg_sock sock = {.cookie = UINT64_C(9007199254740993),
        .family = family,
        .type = SOCK_STREAM,
        .protocol = 6,
        .state = 2,
        .sport = 40112,
        .dport = 443,
        .mark = 17,
        .priority = 6,
        .length = 1500};

    memcpy(sock.saddr, saddr, 16);
    memcpy(sock.daddr, daddr, 16);
    return sock;
}

Test(render_hook, sockets_have_the_form_of_their_type)
{
    const uint8_t from[16] = {10, 244, 0, 7}, to[16] = {104, 198, 14, 52};
    const struct record_arg_sock sock = socket_of(AF_INET, from, to);

    make_arg(&kit.record, 0, RECORD_ARG_SOCK, &sock, sizeof(sock), NULL, 0);
    expect_arg(
        "{\"sock_arg\":{\"family\":\"AF_INET\",\"type\":\"SOCK_STREAM\",\"protocol\":\"IPPROTO_TCP\","
        "\"mark\":17,"
        "\"priority\":6,\"saddr\":\"10.244.0.7\",\"daddr\":\"104.198.14.52\",\"sport\":40112,\"dport\":443,"
        "\"cookie\":\"9007199254740993\",\"state\":\"TCP_SYN_SENT\"}}");
    hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
    make_arg(&kit.record, 0, RECORD_ARG_SKB, &sock, sizeof(sock), NULL, 0);
    expect_arg(
        "{\"skb_arg\":{\"len\":1500,\"priority\":6,\"mark\":17,\"saddr\":\"10.244.0.7\",\"daddr\":\"104.198."
        "14.52\","
        "\"sport\":40112,\"dport\":443,\"proto\":6,\"protocol\":\"IPPROTO_TCP\",\"family\":\"AF_INET\"}}");
    hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
    make_arg(&kit.record, 0, RECORD_ARG_SOCKADDR, &sock, sizeof(sock), NULL, 0);
    expect_arg("{\"sockaddr_arg\":{\"family\":\"AF_INET\",\"addr\":\"104.198.14.52\",\"port\":443}}");
}

Test(render_hook, socket_of_unknown_numbers_shows_the_numbers)
{
    const struct record_arg_sock sock = {
        .family = 999, .type = 99, .protocol = 65535, .state = 255, .saddr = {1}, .daddr = {2}};

    make_arg(&kit.record, 0, RECORD_ARG_SOCK, &sock, sizeof(sock), NULL, 0);
    expect_arg(
        "{\"sock_arg\":{\"family\":\"999\",\"type\":\"99\",\"protocol\":\"65535\",\"state\":\"255\"}}");
}

/* RFC 5952, with its own examples. */
Test(render_hook, ipv6_addresses_are_as_short_as_they_can_be)
{
    static const struct {
        uint8_t address[16];
        const char *expected;
    } cases[] = {
        {{0}, "::"},
        {{[15] = 1}, "::1"},
        {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, "2001:db8::1"},
        {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, "2001:db8:0:1:1:1:1:1"},
        {{0x20, 0x01, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, "2001:0:0:1::1"},
        {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1}, "2001:db8::1:0:0:1"},
        {{0xfe, 0x80}, "fe80::"},
        {{[10] = 0xff, 0xff, 192, 0, 2, 1}, "::ffff:192.0.2.1"},
        {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, "102:304:506:708:90a:b0c:d0e:f10"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct record_arg_sock sock = {.family = AF_INET6};
        char expected[256];

        memcpy(sock.daddr, cases[i].address, 16);
        hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
        make_arg(&kit.record, 0, RECORD_ARG_SOCKADDR, &sock, sizeof(sock), NULL, 0);
        (void)snprintf(expected, sizeof(expected),
            "{\"sockaddr_arg\":{\"family\":\"AF_INET6\",\"addr\":\"%s\"}}", cases[i].expected);
        expect_arg(expected);
    }
}

/* ---- credentials ----------------------------------------------------------------------------------------------- */

Test(render_hook, credentials_have_ids_and_named_sets)
{
    const struct record_arg_cred cred = {.cap_permitted = UINT64_C(1) << 21 | 3,
        .cap_effective = UINT64_C(1) << 63,
        .uid = 1000,
        .gid = 1001,
        .euid = UINT32_MAX,
        .user_ns = 4026531837};

    make_arg(&kit.record, 0, RECORD_ARG_CRED, &cred, sizeof(cred), NULL, 0);
    expect_arg(
        "{\"process_credentials_arg\":{\"uid\":1000,\"gid\":1001,\"euid\":4294967295,\"egid\":0,\"suid\":0,"
        "\"sgid\":0,\"fsuid\":0,\"fsgid\":0,\"caps\":{\"permitted\":[\"CAP_CHOWN\",\"DAC_OVERRIDE\","
        "\"CAP_SYS_ADMIN\"],\"effective\":[]},\"user_ns\":{\"ns\":{\"inum\":4026531837}}}}");
}

Test(render_hook, all_capabilities_stay_within_the_bound)
{
    const struct record_arg_cred cred = {.cap_permitted = UINT64_MAX,
        .cap_effective = UINT64_MAX,
        .cap_inheritable = UINT64_MAX,
        .uid = UINT32_MAX,
        .gid = UINT32_MAX,
        .euid = UINT32_MAX,
        .egid = UINT32_MAX,
        .suid = UINT32_MAX,
        .sgid = UINT32_MAX,
        .fsuid = UINT32_MAX,
        .fsgid = UINT32_MAX,
        .user_ns = UINT32_MAX};

    for (unsigned i = 0; i <= RECORD_HOOK_RETURN; i++)
        make_arg(&kit.record, i, RECORD_ARG_CRED, &cred, sizeof(cred), NULL, 0);
    cr_expect_not_null(strstr(render(tell_plain()), "CAP_CHECKPOINT_RESTORE"));
}

/* ---- what is around --------------------------------------------------------------------------------------------- */

Test(render_hook, unreadable_argument_says_so)
{
    hook->args[0] = (struct record_arg){.type = RECORD_ARG_STRING, .flags = RECORD_ARG_ERROR};
    expect_arg("{\"error_arg\":{\"message\":\"could not be read\"}}");
}

Test(render_hook, labels_message_tags_and_return_stand_where_they_belong)
{
    struct policy_entry *policy = tell(&(struct make_policy){.hook_id = HOOK,
        .kind = RECORD_HOOK_KPROBE,
        .name = "files",
        .function = "fd_install",
        .message = "Sensitive \"file\"",
        .tags = "a.b\0c\td",
        .tags_size = 7,
        .labels = {"fd", NULL, "third", [RECORD_HOOK_RETURN] = "result"}});

    make_arg_number(&kit.record, 0, RECORD_ARG_INT, 3);
    make_arg_number(&kit.record, 1, RECORD_ARG_INT, 4);
    make_arg_number(&kit.record, 2, RECORD_ARG_INT, 5);
    make_arg_number(&kit.record, RECORD_HOOK_RETURN, RECORD_ARG_INT, (uint64_t)-13);
    cr_expect_str_eq(render(policy),
        ",\"function_name\":\"fd_install\",\"args\":[{\"int_arg\":3,\"label\":\"fd\"},{\"int_arg\":4},"
        "{\"int_arg\":5,\"label\":\"third\"}],\"return\":{\"int_arg\":-13,\"label\":\"result\"},"
        "\"action\":\"KPROBE_ACTION_POST\",\"policy_name\":\"files\",\"message\":\"Sensitive \\\"file\\\"\","
        "\"tags\":[\"a.b\",\"c\\td\"]");
}

Test(render_hook, kinds_have_their_own_names)
{
    static const struct {
        uint8_t kind;
        const char *event, *begin;
    } cases[] = {
        {RECORD_HOOK_KPROBE, "process_kprobe", ",\"function_name\":\"f\","},
        {RECORD_HOOK_LSM, "process_lsm", ",\"function_name\":\"f\","},
        {RECORD_HOOK_TRACEPOINT, "process_tracepoint", ",\"subsys\":\"s\",\"event\":\"f\","},
        {RECORD_HOOK_UPROBE, "process_uprobe", ",\"path\":\"s\",\"symbol\":\"f\","},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct policy_entry *policy = tell(&(struct make_policy){
            .hook_id = HOOK, .kind = cases[i].kind, .name = "p", .function = "f", .subsystem = "s"});

        cr_expect_str_eq(render_hook_event_name(policy), cases[i].event);
        cr_expect_eq(strncmp(render(policy), cases[i].begin, strlen(cases[i].begin)), 0);
    }
}

Test(render_hook, actions_carry_their_name_and_value)
{
    static const struct {
        uint8_t action, failed;
        int32_t value;
        uint32_t suppressed;
        const char *expected;
    } cases[] = {
        {RECORD_HOOK_POST, 0, 5, 0, ",\"action\":\"KPROBE_ACTION_POST\",\"policy_name\":\"p\""},
        {RECORD_HOOK_POST, 0, 0, 41,
            ",\"action\":\"KPROBE_ACTION_POST\",\"policy_name\":\"p\",\"suppressed\":41"},
        {RECORD_HOOK_SIGKILL, 1, 9, 0,
            ",\"action\":\"KPROBE_ACTION_SIGKILL\",\"policy_name\":\"p\",\"action_failed\":true"},
        {RECORD_HOOK_SIGNAL, 0, 15, 0,
            ",\"action\":\"KPROBE_ACTION_SIGNAL\",\"policy_name\":\"p\",\"action_value\":15"},
        {RECORD_HOOK_OVERRIDE, 0, -1, 0,
            ",\"action\":\"KPROBE_ACTION_OVERRIDE\",\"policy_name\":\"p\",\"action_value\":-1"},
        {RECORD_HOOK_OVERRIDE, 0, INT32_MIN, 0,
            ",\"action\":\"KPROBE_ACTION_OVERRIDE\",\"policy_name\":\"p\",\"action_value\":-2147483648"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hook->action = cases[i].action;
        hook->action_failed = cases[i].failed;
        hook->action_value = cases[i].value;
        hook->suppressed = cases[i].suppressed;
        cr_expect_str_eq(render(tell_plain()) + strlen(",\"function_name\":\"f\""), cases[i].expected);
    }
}

Test(render_hook, kernel_stack_is_a_list_of_addresses)
{
    const uint64_t frames[2] = {UINT64_C(0xffffffff81000000), 1};

    make_stack(&kit.record, frames, 2);
    cr_expect_str_eq(render(tell_plain()), ",\"function_name\":\"f\",\"action\":\"KPROBE_ACTION_POST\","
                                           "\"kernel_stack_trace\":[{\"address\":\"18446744071578845184\"},{"
                                           "\"address\":\"1\"}],\"policy_name\":\"p\"");
}

Test(render_hook, unknown_policy_leaves_what_is_known)
{
    make_arg_number(&kit.record, 0, RECORD_ARG_INT, 3);
    cr_expect_str_eq(render(policy_table_get(&kit.pipeline.policies, HOOK, kit.now)),
        ",\"function_name\":\"unknown\",\"args\":[{\"int_arg\":3}],\"action\":\"KPROBE_ACTION_POST\","
        "\"unknown_hook_id\":7");
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void add_long(unsigned index, enum record_arg_type type, size_t size, char fill)
{
    char *data = malloc(size);

    memset(data, fill, size);
    make_arg_bytes(&kit.record, index, type, data, size, size);
    free(data);
}

Test(render_hook, long_arguments_share_the_room_and_say_that_they_were_cut)
{
    struct policy_entry *policy = tell_plain();
    json_t *object, *args;
    bool cut = false;

    make_arg_number(&kit.record, 0, RECORD_ARG_INT, 3);
    add_long(1, RECORD_ARG_STRING, 14000, '\x01'); /* six bytes each */
    add_long(2, RECORD_ARG_BYTES, 14000, 'b');
    (void)render_in(policy, RENDER_HOOK_MIN, &cut);
    cr_expect(cut);
    text[0] = '{';
    text[1] = ' ';
    text[strlen(text)] = '}'; /* over the '\0': more '#' behind */
    object = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    args = json_object_get(object, "args");
    cr_expect_eq(json_integer_value(kit_at(json_array_get(args, 0), "int_arg", NULL, NULL)), 3);
    cr_expect(json_is_true(json_object_get(json_array_get(args, 1), "truncated")));
    cr_expect_gt(json_string_length(json_object_get(json_array_get(args, 1), "string_arg")), 1000);
    cr_expect_str_eq(kit_string(json_array_get(args, 2), "truncated_bytes_arg", "orig_size", NULL), "14000");
    cr_expect_gt(strlen(kit_string(json_array_get(args, 2), "truncated_bytes_arg", "bytes_arg", NULL)), 5000);
    json_decref(object);
}

Test(render_hook, whatever_is_asked_for_fits_in_the_least_room)
{
    struct policy_entry *policy = tell_plain();
    const struct record_arg_cred cred = {.cap_permitted = UINT64_MAX, .cap_effective = UINT64_MAX};
    uint64_t frames[RECORD_HOOK_STACK_MAX];
    bool cut = false;

    memset(frames, 0xff, sizeof(frames));
    for (unsigned i = 0; i < 4; i++)
        add_long(i, i & 1 ? RECORD_ARG_STRING : RECORD_ARG_BYTES, 6000, i & 2 ? '"' : '\x7f');
    make_arg(&kit.record, 4, RECORD_ARG_CRED, &cred, sizeof(cred), NULL, 0);
    add_long(5, RECORD_ARG_STRING, 3000, '\x1b');
    make_arg(&kit.record, RECORD_HOOK_RETURN, RECORD_ARG_CRED, &cred, sizeof(cred), NULL, 0);
    make_stack(&kit.record, frames, RECORD_HOOK_STACK_MAX);
    (void)render_in(policy, RENDER_HOOK_MIN, &cut);
    cr_expect(cut);
}

/* A line holds a whole record of clean bytes beside two ordinary processes. */
Test(render_hook, line_of_the_largest_record_is_not_cut)
{
    json_t *line;

    (void)tell_plain();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/x"));
    hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
    add_long(0, RECORD_ARG_BYTES, 16000, 'x');
    add_long(1, RECORD_ARG_STRING, 16000, 'y');
    kit_feed(&hook->header);
    line = kit_parse(kit.line_count - 1);
    cr_expect_eq(kit.pipeline.counters.hooks_cut, 0);
    cr_expect_eq(json_string_length(json_object_get(
                     json_array_get(kit_at(line, "process_kprobe", "args", NULL), 1), "string_arg")),
        16000);
    json_decref(line);
}

static void feed_exec_of(struct make_key key, struct make_key parent, char fill)
{
    static char args[RECORD_ARGS_MAX];

    memset(args, fill, sizeof(args));
    kit_feed(make_process(&kit.record, RECORD_EXEC, key, parent, CG_HOST, kit.now, "/x", args, sizeof(args)));
}

/* Two processes whose arguments alone fill a line, and a record that does, too. */
Test(render_hook, line_keeps_its_limit_whatever_meets_in_it)
{
    json_t *line;

    (void)tell_plain();
    feed_exec_of(A1, INIT, '\x01');
    feed_exec_of(A2, A1, '"');
    hook = make_hook(&kit.record, A2, CG_HOST, kit.now, HOOK);
    add_long(0, RECORD_ARG_STRING, 30000, '\x01');
    kit_feed(&hook->header); /* the kit asserts the limit and the canary behind it */
    line = kit_parse(kit.line_count - 1);
    cr_expect_eq(kit.pipeline.counters.hooks_cut, 1);
    cr_expect(json_is_true(
        json_object_get(json_array_get(kit_at(line, "process_kprobe", "args", NULL), 0), "truncated")));
    json_decref(line);
}

Test(render_hook, thread_that_did_it_is_named)
{
    json_t *line;

    (void)tell_plain();
    kit_feed(make_exec(&kit.record, A1, INIT, CG_HOST, kit.now, "/x"));
    hook = make_hook(&kit.record, A1, CG_HOST, kit.now, HOOK);
    hook->header.tid = 4242424;
    kit_feed(&hook->header);
    line = kit_parse(kit.line_count - 1);
    cr_expect_eq(json_integer_value(kit_at(line, "process_kprobe", "process", "tid")), 4242424);
    cr_expect_eq(json_integer_value(kit_at(line, "process_kprobe", "process", "pid")), A1.tgid);
    cr_expect(json_is_false(kit_at(line, "process_kprobe", "process", "in_init_tree")));
    json_decref(line);
}
