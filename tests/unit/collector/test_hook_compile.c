/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_compile.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define WORD(text)    ((char *)(uintptr_t)(text))
#define NUMBER(value) ((struct policy_value){.low = (uint64_t)(value), .high = (uint64_t)(value)})
#define TEXT(value)   ((struct policy_value){.text = {.data = WORD(value), .size = sizeof(value) - 1}})

static const struct hook_host host = {.namespaces = {[POLICY_NS_NET] = 4026531840u}};

/* A function with an int, a text and a socket. */
static struct hook_target target(void)
{
    return (struct hook_target){
        .attach = HOOK_ATTACH_FENTRY,
        .name = "some_function",
        .args = {{.word = 0, .is_known = true, .width = 4, .is_signed = true}, {.word = 1},
            {.word = 2, .is_known = true, .is_pointer = true, .pointee = "sock"}},
        .result = {.word = HOOK_WORD_RETURN},
    };
}

static struct policy_hook hook(struct policy_match *matches, size_t count)
{
    struct policy_hook hook = {.kind = RECORD_HOOK_KPROBE, .arg_count = 3, .selector_count = count ? 1 : 0};

    hook.args[0] =
        (struct policy_arg){.type = RECORD_ARG_INT, .size_arg_index = -1, .type_name = WORD("int")};
    hook.args[1] =
        (struct policy_arg){.type = RECORD_ARG_STRING, .size_arg_index = -1, .type_name = WORD("string")};
    hook.args[2] =
        (struct policy_arg){.type = RECORD_ARG_SOCK, .size_arg_index = -1, .type_name = WORD("sock")};
    hook.selectors[0] = (struct policy_selector){.matches = matches, .match_count = count};
    return hook;
}

static struct policy_match on_arg(
    uint8_t arg, enum policy_operator op, struct policy_value *values, size_t count)
{
    return (struct policy_match){
        .kind = POLICY_MATCH_ARG, .op = op, .arg = arg, .values = {values, count}, .place = {12, 5}};
}

/* Compiles a hook with one match. */
static int compile_one(struct hook_compiled *ret, struct policy_match match, struct hook_error *error)
{
    const struct hook_target to = target();
    struct policy_hook one = hook(&match, 1);

    return hook_compile(ret, &one, &to, &host, error);
}

Test(hook_compile, without_selectors_everything_matches_and_is_posted)
{
    const struct hook_target to = target();
    const struct policy_hook none = hook(NULL, 0);
    struct hook_compiled compiled;
    struct hook_error error;

    cr_assert_eq(hook_compile(&compiled, &none, &to, &host, &error), 0);
    cr_expect_eq(compiled.config.match_count, 1);
    cr_expect_eq(compiled.config.matches[0].op, HOOK_MATCH_ALWAYS);
    cr_expect_eq(compiled.config.matches[0].last, 1);
    cr_expect_eq(compiled.config.actions[0].flags, HOOK_ACTION_POST);
    cr_expect_not(compiled.acts);
    cr_expect_eq(compiled.config.args[0].read, HOOK_READ_INTEGER);
    cr_expect_eq(compiled.config.args[0].width, 4);
    cr_expect_eq(compiled.config.args[1].read, HOOK_READ_STRING);
    cr_expect_eq(compiled.config.args[2].read, HOOK_READ_SOCK);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, matches_stand_in_the_order_of_their_cost_and_fail_to_the_next_selector)
{
    struct policy_value text = TEXT("/etc"), number = NUMBER(3), port = NUMBER(80), pid = NUMBER(7);
    struct policy_match matches[] = {on_arg(1, POLICY_PREFIX, &text, 1), on_arg(2, POLICY_DPORT, &port, 1),
        on_arg(0, POLICY_EQUAL, &number, 1),
        {.kind = POLICY_MATCH_PIDS, .op = POLICY_NOT_IN, .values = {&pid, 1}}};
    const struct hook_target to = target();
    struct policy_hook two = hook(matches, 4);
    struct hook_compiled compiled;
    struct hook_error error;
    const uint8_t order[] = {
        HOOK_MATCH_PID, HOOK_MATCH_NUMBER, HOOK_MATCH_DPORT, HOOK_MATCH_PREFIX, HOOK_MATCH_ALWAYS};

    two.selector_count = 2;
    cr_assert_eq(hook_compile(&compiled, &two, &to, &host, &error), 0);
    cr_assert_eq(compiled.config.match_count, 5);
    for (size_t i = 0; i < 5; i++) {
        cr_expect_eq(compiled.config.matches[i].op, order[i]);
        cr_expect_eq(compiled.config.matches[i].fail, i < 4 ? 4 : 5);
        cr_expect_eq(compiled.config.matches[i].last, i >= 3);
        cr_expect_eq(compiled.config.matches[i].selector, i < 4 ? 0 : 1);
    }
    cr_expect_eq(compiled.config.matches[0].negate, 1);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, greater_and_less_end_where_the_type_ends)
{
    struct policy_value five = NUMBER(5), most = NUMBER(INT64_MAX);
    struct hook_compiled compiled;
    struct hook_error error;

    cr_assert_eq(compile_one(&compiled, on_arg(0, POLICY_GREATER, &five, 1), &error), 0);
    cr_expect_eq(compiled.config.ranges[0].low, 6);
    cr_expect_eq(compiled.config.ranges[0].high, INT64_MAX);
    cr_assert_eq(compile_one(&compiled, on_arg(0, POLICY_LESS, &five, 1), &error), 0);
    cr_expect_eq(compiled.config.ranges[0].low, (uint64_t)INT64_MIN);
    cr_expect_eq(compiled.config.ranges[0].high, 4);
    cr_assert_eq(compile_one(&compiled, on_arg(0, POLICY_GREATER, &most, 1), &error), 0);
    cr_expect_eq(compiled.config.matches[0].range_count, 0, "nothing is greater");
}

Test(hook_compile, a_long_list_of_numbers_becomes_a_table_and_too_many_ranges_are_refused)
{
    struct policy_value values[70];
    struct hook_compiled compiled;
    struct hook_error error = {0};

    for (int i = 0; i < 70; i++)
        values[i] = NUMBER(i);
    cr_assert_eq(compile_one(&compiled, on_arg(0, POLICY_EQUAL, values, 70), &error), 0);
    cr_expect_eq(compiled.config.matches[0].op, HOOK_MATCH_NUMBER_SET);
    cr_expect_eq(compiled.entry_count, 70);
    cr_expect_eq(compiled.set_count, 1);
    hook_compiled_deinit(&compiled);
    values[0].high = 9;
    cr_expect_eq(compile_one(&compiled, on_arg(0, POLICY_IN_RANGE, values, 70), &error), -E2BIG);
    cr_expect_str_eq(error.text, "more than 64 ranges and numbers in one hook");
    cr_expect_eq(error.place.line, 12);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, a_postfix_is_kept_back_to_front)
{
    struct policy_value text = TEXT(".so");
    struct hook_compiled compiled;
    struct hook_error error;

    cr_assert_eq(compile_one(&compiled, on_arg(1, POLICY_NOT_POSTFIX, &text, 1), &error), 0);
    cr_expect_eq(compiled.config.matches[0].op, HOOK_MATCH_POSTFIX);
    cr_expect_eq(compiled.config.matches[0].negate, 1);
    cr_assert_eq(compiled.entry_count, 1);
    cr_expect_eq(compiled.entries[0].table, HOOK_TABLE_POSTFIXES);
    cr_expect_eq(compiled.entries[0].key.prefix.bits, 32 + 24);
    cr_expect_arr_eq(compiled.entries[0].key.prefix.data, "os.", 3);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, a_network_has_its_bits_behind_set_and_family)
{
    struct policy_value network = {.family = AF_INET, .address = {10}, .prefix_bits = 8};
    struct hook_compiled compiled;
    struct hook_error error;

    cr_assert_eq(compile_one(&compiled, on_arg(2, POLICY_DADDR, &network, 1), &error), 0);
    cr_assert_eq(compiled.entry_count, 1);
    cr_expect_eq(compiled.entries[0].key.network.bits, 64 + 8);
    cr_expect_eq(compiled.entries[0].key.network.family, 4);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, an_operator_that_the_type_does_not_have_is_refused_with_its_place)
{
    struct policy_value port = NUMBER(80), text = TEXT("x");
    struct hook_compiled compiled;
    struct hook_error error = {0};

    cr_expect_eq(compile_one(&compiled, on_arg(0, POLICY_DPORT, &port, 1), &error), -EINVAL);
    cr_expect_str_eq(error.text, "operator DPort: the argument is no socket");
    hook_compiled_deinit(&compiled);
    cr_expect_eq(compile_one(&compiled, on_arg(0, POLICY_PREFIX, &text, 1), &error), -EINVAL);
    cr_expect_str_eq(error.text, "operator Prefix does not go with the argument's type");
    cr_expect_eq(error.place.column, 5);
    hook_compiled_deinit(&compiled);
    cr_expect_eq(compile_one(&compiled, on_arg(RECORD_HOOK_RETURN, POLICY_EQUAL, &port, 1), &error), -EINVAL);
    cr_expect_str_eq(error.text, "matchReturnArgs: the hook has no such argument");
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, a_set_of_processes_names_the_match_that_gets_its_bit)
{
    struct policy_value text = TEXT("/bin/sh"), number = NUMBER(1);
    struct policy_match matches[] = {on_arg(0, POLICY_EQUAL, &number, 1),
        {.kind = POLICY_MATCH_BINARIES, .op = POLICY_NOT_PREFIX, .values = {&text, 1}, .follow = true}};
    const struct hook_target to = target();
    struct policy_hook one = hook(matches, 2);
    struct hook_compiled compiled;
    struct hook_error error;

    cr_assert_eq(hook_compile(&compiled, &one, &to, &host, &error), 0);
    cr_assert_eq(compiled.process_set_count, 1);
    cr_expect_eq(compiled.process_sets[0].op, POLICY_PREFIX);
    cr_expect(compiled.process_sets[0].follow);
    cr_expect_eq(compiled.config.matches[compiled.process_sets[0].match].op, HOOK_MATCH_PROCESS);
    cr_expect_eq(compiled.config.matches[compiled.process_sets[0].match].negate, 1);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, the_host_s_namespace_is_a_number_or_the_policy_is_refused)
{
    struct policy_match match = {
        .kind = POLICY_MATCH_NAMESPACE, .op = POLICY_IN, .name_space = POLICY_NS_NET, .host_namespace = true};
    struct hook_compiled compiled;
    struct hook_error error;

    cr_assert_eq(compile_one(&compiled, match, &error), 0);
    cr_expect_eq(compiled.config.ranges[0].low, 4026531840u);
    cr_expect_eq(compiled.config.matches[0].range_count, 1);
    match.name_space = POLICY_NS_MNT;
    cr_expect_eq(compile_one(&compiled, match, &error), -EINVAL);
}

Test(hook_compile, actions_say_what_is_done_and_what_is_told)
{
    const struct hook_target to = target();
    struct policy_hook acting = hook(NULL, 0);
    struct hook_compiled compiled;
    struct hook_error error;

    acting.selector_count = 2;
    acting.selectors[0] = (struct policy_selector){
        .actions = {{.kind = POLICY_ACTION_SIGKILL}, {.kind = POLICY_ACTION_NO_POST}}, .action_count = 2};
    acting.selectors[1] = (struct policy_selector){
        .actions = {{.kind = POLICY_ACTION_OVERRIDE, .value = -EPERM}}, .action_count = 1};
    cr_assert_eq(hook_compile(&compiled, &acting, &to, &host, &error), 0);
    cr_expect(compiled.acts);
    cr_expect_eq(compiled.config.actions[0].signal, SIGKILL);
    cr_expect_eq(compiled.config.actions[0].flags, 0);
    cr_expect_eq(compiled.config.actions[1].flags, HOOK_ACTION_POST | HOOK_ACTION_OVERRIDE);
    cr_expect_eq(compiled.config.actions[1].override, -EPERM);
    cr_expect_eq(compiled.config.actions[1].reported, RECORD_HOOK_OVERRIDE);
    hook_compiled_deinit(&compiled);
}

Test(hook_compile, auto_takes_the_kernel_s_type_and_is_refused_where_that_is_unknown)
{
    struct hook_target to = target();
    struct policy_hook one = hook(NULL, 0);
    struct hook_compiled compiled;
    struct hook_error error = {0};

    one.args[2] = (struct policy_arg){.size_arg_index = -1, .type_name = WORD("auto")};
    cr_assert_eq(hook_compile(&compiled, &one, &to, &host, &error), 0);
    cr_expect_eq(compiled.config.args[2].type, RECORD_ARG_SOCK);
    to.args[2].is_known = false;
    cr_expect_eq(hook_compile(&compiled, &one, &to, &host, &error), -EINVAL);
    cr_expect(strstr(error.text, "expected a type by name"));
}

Test(hook_compile, what_a_process_chose_is_marked_so_and_a_tracepoint_s_own_text_is_not)
{
    struct hook_target to = target();
    struct policy_hook one = hook(NULL, 0);
    struct hook_compiled compiled;
    struct hook_error error;

    to.from_process = true;
    to.args[0] = (struct hook_source){.word = 0, .field = HOOK_FIELD_VALUE, .field_width = 8};
    to.args[1] =
        (struct hook_source){.word = 1, .field = HOOK_FIELD_DATA_LOC, .field_width = 4, .is_known = true};
    cr_assert_eq(hook_compile(&compiled, &one, &to, &host, &error), 0);
    cr_expect(compiled.config.args[0].flags & HOOK_ARG_USER);
    cr_expect_not(compiled.config.args[1].flags & HOOK_ARG_USER);
}
