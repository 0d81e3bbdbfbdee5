/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_hook.h"

#include <stdio.h>

#include "collector/policy_type.h"
#include "tests/unit/collector/policy_kit.h"

/* ---- calls ------------------------------------------------------------------------------------------------------- */

Test(policy_hook, calls_at_fault_are_refused_with_their_place)
{
    static const struct kit_refusal bad[] = {
        {HEAD "  kprobes:\n  - syscall: true\n", "p:6:5: spec.kprobes[0].call: missing: it is required"},
        {HEAD "  kprobes:\n  - call: fd_install\n",
            "p:6:11: spec.kprobes[0].call: \"fd_install\" has no sys_ before it, and syscall is not given, "
            "which means true: say syscall: false for a function of the kernel"},
        {HEAD "  kprobes: [{call: \"fd install\", syscall: false}]\n",
            "p:5:20: spec.kprobes[0].call: \"fd install\": expected the name of a kernel function or system "
            "call, or list:NAME"},
        {HEAD "  kprobes: [{call: \"\", syscall: false}]\n",
            "p:5:20: spec.kprobes[0].call: expected text that is not empty"},
        {HEAD "  kprobes: {call: sys_dup}\n", "p:5:12: spec.kprobes: expected a list, not keys and values"},
        {HEAD "  kprobes:\n  - sys_dup\n",
            "p:6:5: spec.kprobes[0]: expected keys and values, not a single value"},
        {HEAD "  kprobes:\n  -\n", "p:6:4: spec.kprobes[0]: there is nothing: expected an item of the list"},
        {HEAD "  kprobes: [{call: sys_dup, syscall: yes}]\n",
            "p:5:38: spec.kprobes[0].syscall: \"yes\": expected true or false"},
        {HEAD "  kprobes: [{call: sys_dup, syscall: \"true\"}]\n",
            "p:5:38: spec.kprobes[0].syscall: \"true\": expected true or false without quotes"},
        {HEAD
            "  kprobes:\n  - call: __x64_sys_setns\n    syscall: false\n    args: [{index: 0, type: int}]\n",
            "p:6:11: spec.kprobes[0].call: \"__x64_sys_setns\" is the entry of a system call: its arguments "
            "are those of the call with syscall: true only"},
        {HEAD "  kprobes: [{call: \"list:dups\"}]\n",
            "p:5:20: spec.kprobes[0].call: there is no list \"dups\" in spec.lists"},
        {HEAD "  lists: [{name: l, type: syscalls, values: [sys_dup]}]\n  kprobes: [{call: \"list:l\", "
              "syscall: false}]\n",
            "p:6:20: spec.kprobes[0].call: list \"l\" is of system calls, and syscall is false"},
        {HEAD "  lists: [{name: l, values: []}]\n  kprobes: [{call: \"list:l\", syscall: false}]\n",
            "p:6:20: spec.kprobes[0].call: list \"l\" is empty"},
        {HEAD "  lists: [{name: l, values: [fd_install]}]\n  kprobes: [{call: \"list:l\"}]\n",
            "p:5:30: spec.kprobes[0].call: \"fd_install\" has no sys_ before it, and syscall is not given, "
            "which means true: say syscall: false for a function of the kernel"},
        {HEAD "  lists: [{name: l, type: generated_syscalls, values: []}]\n  kprobes: [{call: sys_dup}]\n",
            "p:5:27: spec.lists[0].type: \"generated_syscalls\" is not supported: name the calls in values"},
        {HEAD "  lists: [{name: l, type: generated_ftrace, pattern: \"x*\", values: []}]\n  kprobes: [{call: "
              "sys_dup}]\n",
            "p:5:27: spec.lists[0].type: \"generated_ftrace\" is not supported: name the calls in values\n"
            "p:5:45: spec.lists[0].pattern: not supported: name the calls in values"},
        {HEAD "  lists: [{name: l, type: syscalls, values: [i386/sys_dup]}]\n  kprobes: [{call: sys_dup}]\n",
            "p:5:46: spec.lists[0].values[0]: \"i386/sys_dup\" is not supported: system calls of the 32-bit "
            "ABI are not told apart"},
        {HEAD "  lists:\n  - {name: l, values: [a]}\n  - {name: l, values: [b]}\n  kprobes: [{call: "
              "sys_dup}]\n",
            "p:7:5: spec.lists[1]: there is already a list \"l\""},
        {KPROBE "    ignore: {callNotFound: true}\n",
            "p:8:5: spec.kprobes[0].ignore: not supported: what the kernel does not have is told, and that "
            "policy alone is not loaded"},
        {KPROBE "    data: [{index: 0, type: int}]\n",
            "p:8:5: spec.kprobes[0].data: not supported: only a function's own arguments are read"},
        {KPROBE "    returnArgAction: TrackSock\n", "p:8:22: spec.kprobes[0].returnArgAction: \"TrackSock\" "
                                                    "is not supported: sockets are not followed"},
        {KPROBE "    message: [a]\n", "p:8:14: spec.kprobes[0].message: expected text, not a list"},
        {KPROBE "    tags: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]\n",
            "p:8:11: spec.kprobes[0].tags: 17 items: expected at most 16"},
    };

    KIT_ASSERT_REFUSED(bad);
}

static void assert_function(const char *text, const char *function, bool is_syscall)
{
    struct policy policy;

    kit_read_one(&policy, text);
    cr_assert_eq(policy.hooks[0].kind, RECORD_HOOK_KPROBE);
    cr_assert_eq(policy.hooks[0].function_count, 1);
    cr_assert_str_eq(policy.hooks[0].functions[0].data, function);
    cr_assert_eq(policy.hooks[0].functions[0].size, strlen(function));
    cr_assert_eq(policy.hooks[0].is_syscall, is_syscall);
    policy_deinit(&policy);
}

Test(policy_hook, system_calls_are_named_alike_however_they_are_written)
{
    assert_function(HEAD "  kprobes: [{call: sys_openat, syscall: true}]\n", "sys_openat", true);
    assert_function(HEAD "  kprobes: [{call: openat, syscall: true}]\n", "sys_openat", true);
    assert_function(HEAD "  kprobes: [{call: __x64_sys_openat, syscall: true}]\n", "sys_openat", true);
    assert_function(HEAD "  kprobes: [{call: __arm64_sys_openat, syscall: true}]\n", "sys_openat", true);
    assert_function(HEAD "  kprobes: [{call: sys_openat}]\n", "sys_openat", true);
    assert_function(HEAD "  kprobes: [{call: sys_openat, syscall: false}]\n", "sys_openat", false);
    assert_function(HEAD "  kprobes: [{call: __x64_sys_setns, syscall: false}]\n", "__x64_sys_setns", false);
    assert_function(HEAD "  kprobes: [{call: fd_install, syscall: false}]\n", "fd_install", false);
    assert_function(
        HEAD "  kprobes: [{call: tcp_v4_rcv.isra.0, syscall: false}]\n", "tcp_v4_rcv.isra.0", false);
}

Test(policy_hook, list_stands_for_its_calls)
{
    struct policy policy;

    kit_read_one(&policy, HEAD "  lists:\n"
                               "  - {name: dups, type: syscalls, values: [sys_dup, __x64_sys_dup2, dup3]}\n"
                               "  - {name: functions, values: [fd_install, close_fd]}\n"
                               "  kprobes:\n"
                               "  - call: \"list:dups\"\n"
                               "  - {call: \"list:functions\", syscall: false}\n");
    cr_assert_eq(policy.hook_count, 2);
    cr_assert_eq(policy.hooks[0].function_count, 3);
    cr_assert(policy.hooks[0].is_syscall);
    cr_assert_str_eq(policy.hooks[0].functions[1].data, "sys_dup2");
    cr_assert_str_eq(policy.hooks[0].functions[2].data, "sys_dup3");
    cr_assert_eq(policy.hooks[0].functions[2].place.line, 6, "M2");
    cr_assert_eq(policy.hooks[0].functions[2].place.column, 68, "M2");
    cr_assert_eq(policy.hooks[1].function_count, 2);
    cr_assert_str_eq(policy.hooks[1].functions[1].data, "close_fd");
    policy_deinit(&policy);
}

/* ---- each kind of hook ------------------------------------------------------------------------------------------- */

Test(policy_hook, each_kind_of_hook_is_read)
{
    struct policy policy;

    kit_read_one(&policy,
        HEAD "  uprobes:\n"
             "  - {path: /bin/bash, symbols: [readline, main], message: m, tags: [a, b]}\n"
             "  - {path: /bin/sh, symbol: \"a::b<c>\"}\n"
             "  - {path: /bin/sh, offsets: [16, 0x20, \"48\"]}\n"
             "  lsmhooks: [{hook: file_open, message: m}]\n"
             "  tracepoints:\n"
             "  - {subsystem: syscalls, event: sys_enter_openat, args: [{index: 6, type: string}]}\n"
             "  - {subsystem: sched, event: sched_process_exec, raw: true, args: [{index: 2, type: "
             "linux_binprm}]}\n"
             "  kprobes: [{call: sys_dup, message: m, tags: [t]}]\n");
    cr_assert_eq(policy.hook_count, 7);
    cr_assert_eq(policy.hooks[0].kind, RECORD_HOOK_KPROBE);
    cr_assert_str_eq(policy.hooks[0].message, "m");
    cr_assert_str_eq(policy.hooks[0].tags[0], "t");
    cr_assert_eq(policy.hooks[0].place.line, 13);
    cr_assert_eq(policy.hooks[1].kind, RECORD_HOOK_TRACEPOINT);
    cr_assert_str_eq(policy.hooks[1].subsystem.data, "syscalls");
    cr_assert_str_eq(policy.hooks[1].event.data, "sys_enter_openat");
    cr_assert_not(policy.hooks[1].is_raw);
    cr_assert_not(policy.hooks[1].args[0].is_kernel_text, "what the process gave");
    cr_assert(policy.hooks[2].is_raw);
    cr_assert_eq(policy.hooks[3].kind, RECORD_HOOK_LSM);
    cr_assert_str_eq(policy.hooks[3].functions[0].data, "file_open");
    cr_assert_eq(policy.hooks[4].kind, RECORD_HOOK_UPROBE);
    cr_assert_str_eq(policy.hooks[4].path.data, "/bin/bash");
    cr_assert_str_eq(policy.hooks[4].functions[1].data, "main");
    cr_assert_eq(policy.hooks[4].tag_count, 2);
    cr_assert_str_eq(policy.hooks[5].functions[0].data, "a::b<c>");
    cr_assert_eq(policy.hooks[6].offset_count, 3);
    cr_assert_eq(policy.hooks[6].offsets[1], 0x20);
    cr_assert_eq(policy.hooks[6].offsets[2], 48);
    policy_deinit(&policy);
}

Test(policy_hook, each_kind_has_its_name)
{
    cr_assert_str_eq(policy_hook_kind_name(RECORD_HOOK_KPROBE), "kprobe");
    cr_assert_str_eq(policy_hook_kind_name(RECORD_HOOK_TRACEPOINT), "tracepoint");
    cr_assert_str_eq(policy_hook_kind_name(RECORD_HOOK_LSM), "lsm");
    cr_assert_str_eq(policy_hook_kind_name(RECORD_HOOK_UPROBE), "uprobe");
    cr_assert_str_eq(policy_hook_kind_name(RECORD_HOOK_KIND_COUNT), "?");
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

Test(policy_hook, arguments_at_fault_are_refused_with_their_place)
{
    static const struct kit_refusal bad[] = {
        {KPROBE "    args: [{type: int}]\n",
            "p:8:12: spec.kprobes[0].args[0].index: missing: it is required"},
        {KPROBE "    args: [{index: 6, type: int}]\n",
            "p:8:20: spec.kprobes[0].args[0].index: \"6\": expected a whole number from 0 to 5"},
        {KPROBE "    args: [{index: -1, type: int}]\n",
            "p:8:20: spec.kprobes[0].args[0].index: \"-1\": expected a whole number from 0 to 5"},
        {KPROBE "    args: [{index: \"0\", type: int}]\n",
            "p:8:20: spec.kprobes[0].args[0].index: \"0\": expected a whole number from 0 to 5, without "
            "quotes"},
        {KPROBE "    args: [{index: 0, type: bpf_attr}]\n",
            "p:8:29: spec.kprobes[0].args[0].type: \"bpf_attr\" is none of " TYPES},
        {KPROBE "    args: [{index: 0, type: int, sizeArgIndex: 2}]\n",
            "p:8:34: spec.kprobes[0].args[0].sizeArgIndex: not for type int: only char_buf and char_iovec "
            "have their size elsewhere"},
        {KPROBE "    args: [{index: 0, type: int, maxData: true}]\n",
            "p:8:34: spec.kprobes[0].args[0].maxData: not for type int: only char_buf and char_iovec have "
            "more"},
        {KPROBE "    args: [{index: 0, type: int, returnCopy: true}]\n",
            "p:8:34: spec.kprobes[0].args[0].returnCopy: needs return: true"},
        {KPROBE "    args: [{index: 1, type: char_buf}]\n",
            "p:8:12: spec.kprobes[0].args[0].sizeArgIndex: missing: a char_buf needs the number, from 1, of "
            "the argument that has its size, or returnCopy"},
        {KPROBE "    args: [{index: 1, type: char_buf, sizeArgIndex: 7}]\n",
            "p:8:53: spec.kprobes[0].args[0].sizeArgIndex: \"7\": expected a whole number from 0 to 6"},
        {KPROBE "    args: [{index: 1, type: char_iovec, sizeArgIndex: 0}]\n",
            "p:8:55: spec.kprobes[0].args[0].sizeArgIndex: 0 is none: char_iovec has its size in another "
            "argument"},
        {KPROBE "    args: [{index: 0, type: file, resolve: f_path.dentry}]\n",
            "p:8:35: spec.kprobes[0].args[0].resolve: not supported: members of an argument are not read, "
            "only the argument"},
        {KPROBE "    args: [{index: 0, type: int}, {index: 1, type: int}, {index: 2, type: int}, {index: 3, "
                "type: int}, {index: 4, type: int}, {index: 5, type: int}, {index: 5, type: int}]\n",
            "p:8:11: spec.kprobes[0].args: 7 items: expected at most 6"},
        {KPROBE "    return: true\n", "p:6:5: spec.kprobes[0].returnArg: missing: return: true needs it, "
                                      "with the type of what is returned"},
        {KPROBE "    returnArg: {type: int}\n",
            "p:6:5: spec.kprobes[0].return: missing: returnArg needs return: true"},
        {KPROBE "    return: true\n    returnArg: {type: file}\n",
            "p:9:23: spec.kprobes[0].returnArg.type: \"file\" is none of " NUMBER_TYPES},
        {KPROBE "    return: true\n    returnArg: {index: 1, type: int}\n",
            "p:9:24: spec.kprobes[0].returnArg.index: \"1\": expected a whole number from 0 to 0"},
        {TRACEPOINT "    args: [{index: 2, type: string, returnCopy: true}]\n",
            "p:8:37: spec.tracepoints[0].args[0].returnCopy: only a kprobe sees its function return"},
        {TRACEPOINT "    args: [{index: 64, type: string}]\n",
            "p:8:20: spec.tracepoints[0].args[0].index: \"64\": expected a whole number from 0 to 63"},
        {TRACEPOINT "    raw: true\n    args: [{index: 12, type: string}]\n",
            "p:9:20: spec.tracepoints[0].args[0].index: \"12\": expected a whole number from 0 to 11"},
        {TRACEPOINT "    return: true\n", "p:8:5: spec.tracepoints[0].return: unknown key: expected one of "
                                          "subsystem, event, raw, args, message, tags, selectors"},
        {HEAD "  tracepoints: [{subsystem: sched}]\n",
            "p:5:17: spec.tracepoints[0].event: missing: it is required"},
        {HEAD "  tracepoints: [{subsystem: sched, event: \"a/b\"}]\n",
            "p:5:43: spec.tracepoints[0].event: \"a/b\": expected the name of a tracepoint"},
        {HEAD "  lsmhooks: [{args: []}]\n", "p:5:14: spec.lsmhooks[0].hook: missing: it is required"},
        {HEAD "  uprobes: [{path: bash, symbols: [readline]}]\n",
            "p:5:20: spec.uprobes[0].path: \"bash\": expected a path that begins with /"},
        {HEAD "  uprobes: [{path: /bin/bash}]\n",
            "p:5:13: spec.uprobes[0].symbols: missing: symbols or offsets say where in the file"},
        {HEAD "  uprobes: [{path: /bin/bash, symbols: [], offsets: }]\n",
            "p:5:13: spec.uprobes[0].symbols: missing: symbols or offsets say where in the file"},
        {HEAD "  uprobes: [{path: /bin/bash, symbols: [readline], offsets: [16]}]\n",
            "p:5:13: spec.uprobes[0]: symbols and offsets: expected one of them"},
        {HEAD "  uprobes: [{path: /bin/bash, offsets: [x]}]\n",
            "p:5:41: spec.uprobes[0].offsets[0]: \"x\": expected an offset in the file, such as 0x1f40"},
        {UPROBE "    refCtrOffsets: [1]\n", "p:8:5: spec.uprobes[0].refCtrOffsets: not supported: reference "
                                            "counters of user-space probes are not kept"},
        {UPROBE "    return: true\n",
            "p:8:5: spec.uprobes[0].return: not supported: a user-space function's return is not hooked"},
    };

    KIT_ASSERT_REFUSED(bad);
}

Test(policy_hook, each_type_is_what_its_record_says)
{
    const struct policy_type *type;

    for (unsigned i = 0; (type = policy_type_at(i)); i++) {
        char text[512];
        struct policy policy;

        (void)snprintf(text, sizeof(text), KPROBE "    args: [{index: 3, type: %s%s, label: l}]\n",
            type->name, type->type == RECORD_ARG_BYTES ? ", sizeArgIndex: 3" : "");
        kit_read_one(&policy, text);
        cr_assert_str_eq(policy.hooks[0].args[0].type_name, type->name);
        cr_assert_eq(policy.hooks[0].args[0].type, type->type);
        cr_assert_eq(policy.hooks[0].args[0].index, 3);
        cr_assert_eq(policy.hooks[0].args[0].size_arg_index, type->type == RECORD_ARG_BYTES ? 2 : -1);
        cr_assert_str_eq(policy.hooks[0].args[0].label, "l");
        cr_assert_eq(policy.hooks[0].args[0].is_kernel_text, strcmp(type->name, "string") == 0);
        policy_deinit(&policy);
    }
}

Test(policy_hook, argument_without_a_type_has_the_kernels)
{
    struct policy policy;

    kit_read_one(&policy, LSM "    args: [{index: 0, type: ~}]\n");
    cr_assert_str_eq(policy.hooks[0].args[0].type_name, "auto", "null is nothing");
    policy_deinit(&policy);
    kit_read_one(&policy, LSM "    args: [{index: 0}]\n");
    cr_assert_str_eq(policy.hooks[0].args[0].type_name, "auto");
    cr_assert_eq(policy.hooks[0].args[0].type, RECORD_ARG_NONE);
    policy_deinit(&policy);
}

Test(policy_hook, copy_at_the_return_has_the_size_that_is_returned)
{
    struct policy policy;

    kit_read_one(&policy,
        HEAD "  kprobes:\n"
             "  - call: sys_read\n"
             "    return: true\n"
             "    args:\n"
             "    - {index: 0, type: fd}\n"
             "    - {index: 1, type: char_buf, returnCopy: true, sizeArgIndex: 3, maxData: true}\n"
             "    - {index: 2, type: size_t, sizeArgIndex: 0}\n"
             "    returnArg: {index: 0, type: size_t, label: n}\n");
    cr_assert(policy.hooks[0].has_return);
    cr_assert_eq(policy.hooks[0].args[0].max_bytes, 0);
    cr_assert(policy.hooks[0].args[1].return_copy);
    cr_assert_eq(policy.hooks[0].args[1].size_arg_index, RECORD_HOOK_RETURN);
    cr_assert_eq(policy.hooks[0].args[1].max_bytes, UINT32_MAX);
    cr_assert_eq(policy.hooks[0].args[2].size_arg_index, -1);
    cr_assert_eq(policy.hooks[0].return_arg.type, RECORD_ARG_SIZE);
    cr_assert_eq(policy.hooks[0].return_arg.from, POLICY_FROM_RETURN);
    cr_assert_str_eq(policy.hooks[0].return_arg.label, "n");
    policy_deinit(&policy);
}

Test(policy_hook, strings_of_system_calls_and_user_space_are_the_processs)
{
    struct policy policy;

    kit_read_one(&policy,
        HEAD "  kprobes: [{call: sys_mount, args: [{index: 0, type: string}]}]\n"
             "  uprobes: [{path: /bin/sh, symbols: [main], args: [{index: 0, type: string}]}]\n"
             "  lsmhooks: [{hook: kernel_module_request, args: [{index: 0, type: string}]}]\n");
    cr_assert_not(policy.hooks[0].args[0].is_kernel_text);
    cr_assert(policy.hooks[1].args[0].is_kernel_text);
    cr_assert_not(policy.hooks[2].args[0].is_kernel_text);
    policy_deinit(&policy);
}
