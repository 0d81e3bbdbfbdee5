/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "collector/policy_number.h"
#include "collector/policy_type.h"
#include "tests/unit/collector/policy_kit.h"

/* ---- refused ----------------------------------------------------------------------------------------------------- */

Test(policy_selector, selectors_at_fault_are_refused_with_their_place)
{
    static const struct kit_refusal bad[] = {
        {KPROBE "    selectors: [{}, {}, {}, {}, {}, {}]\n",
            "p:8:16: spec.kprobes[0].selectors: 6 items: expected at most 5"},
        {KPROBE SELECT("matchNamespaceChanges: [{operator: In, values: [Mnt]}]"),
            "p:9:7: spec.kprobes[0].selectors[0].matchNamespaceChanges: not supported: a process's earlier "
            "namespaces are not kept"},
        {KPROBE SELECT("matchCapabilityChanges: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN]}]"),
            "p:9:7: spec.kprobes[0].selectors[0].matchCapabilityChanges: not supported: a process's earlier "
            "capabilities are not kept"},
        {KPROBE SELECT("matchParentBinaries: [{operator: In, values: [/bin/sh]}]"),
            "p:9:7: spec.kprobes[0].selectors[0].matchParentBinaries: not supported: only the process's own "
            "binary is compared"},
        {KPROBE SELECT("matchEverything: true"), "p:9:7: spec.kprobes[0].selectors[0].matchEverything: "
                                                 "unknown key: expected one of " SELECTOR_KEYS},
        {KPROBE ARG("int") SELECT("matchArgs: [{index: 1, operator: Equal, values: [1]}]"),
            "p:10:27: spec.kprobes[0].selectors[0].matchArgs[0].index: no argument with index 1 in args"},
        {KPROBE ARG("int") SELECT("matchArgs: [{args: [1], operator: Equal, values: [1]}]"),
            "p:10:27: spec.kprobes[0].selectors[0].matchArgs[0].args[0]: 1: args has 1 items, counted from "
            "0"},
        {KPROBE ARG("int") SELECT("matchArgs: [{args: [0, 0], operator: Equal, values: [1]}]"),
            "p:10:26: spec.kprobes[0].selectors[0].matchArgs[0].args: 2 items: expected one"},
        {KPROBE ARG("int") SELECT("matchArgs: [{index: 0, args: [0], operator: Equal, values: [1]}]"),
            "p:10:20: spec.kprobes[0].selectors[0].matchArgs[0].index: index and args: expected one of them"},
        {KPROBE ARG("int") SELECT("matchArgs: [{operator: Equal, values: [1]}]"),
            "p:10:19: spec.kprobes[0].selectors[0].matchArgs[0].index: missing: which argument is compared"},
        {KPROBE ARG("int") SELECT("matchArgs: [{index: 0, values: [1]}]"),
            "p:10:19: spec.kprobes[0].selectors[0].matchArgs[0].operator: missing: it is required"},
        {KPROBE ARG("int") SELECT("matchArgs: [{index: 0, operator: Equal}]"),
            "p:10:19: spec.kprobes[0].selectors[0].matchArgs[0].values: missing: it is required"},
        {KPROBE ARG("int") MATCH("Equal", ""),
            "p:10:55: spec.kprobes[0].selectors[0].matchArgs[0].values: expected at least one value"},
        {KPROBE ARG("int") MATCH("Foo", "1"), "p:10:40: spec.kprobes[0].selectors[0].matchArgs[0].operator: "
                                              "\"Foo\" is none of " NUMBER_OPERATORS},
        {KPROBE ARG("int") MATCH("SubString", "1"),
            "p:10:40: spec.kprobes[0].selectors[0].matchArgs[0].operator: \"SubString\" is not supported: "
            "strings are compared at their beginning or their end"},
        {KPROBE ARG("int") MATCH("Prefix", "1"),
            "p:10:40: spec.kprobes[0].selectors[0].matchArgs[0].operator: \"Prefix\" does not fit type int: "
            "expected one of " NUMBER_OPERATORS},
        {KPROBE ARG("file") MATCH("GT", "1"),
            "p:10:40: spec.kprobes[0].selectors[0].matchArgs[0].operator: \"GT\" does not fit type file: "
            "expected one of Equal, NotEqual, Prefix, NotPrefix, Postfix, NotPostfix"},
        {KPROBE ARG("sock") MATCH("Equal", "1"),
            "p:10:40: spec.kprobes[0].selectors[0].matchArgs[0].operator: \"Equal\" does not fit type sock: "
            "expected one of " ADDRESS_OPERATORS ", Protocol, Family, State"},
        {KPROBE ARG("sockaddr") MATCH("Protocol", "IPPROTO_TCP"),
            "p:10:40: spec.kprobes[0].selectors[0].matchArgs[0].operator: \"Protocol\" does not fit type "
            "sockaddr: expected one of " ADDRESS_OPERATORS ", Family"},
        {KPROBE ARG("cred") MATCH("Equal", "1"), "p:10:27: spec.kprobes[0].selectors[0].matchArgs[0].index: "
                                                 "an argument of type cred has nothing to compare"},
        {KPROBE ARG("nop") MATCH("Equal", "1"), "p:10:27: spec.kprobes[0].selectors[0].matchArgs[0].index: "
                                                "an argument of type nop has nothing to compare"},
        {KPROBE ARG("auto") MATCH("Equal", "1"),
            "p:10:27: spec.kprobes[0].selectors[0].matchArgs[0].index: the argument has no type: give it one "
            "in args, for its values to be compared"},
        {KPROBE ARG("int") MATCH("Equal", "x"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"x\": expected a number, such as "
            "17, -1 or 0x1f"},
        {KPROBE ARG("int") MATCH("Equal", "2147483648"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"2147483648\" is out of range "
            "for type int: 32 bits, signed"},
        {KPROBE ARG("uint32") MATCH("Equal", "-1"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"-1\" is out of range for type "
            "uint32: 32 bits, unsigned"},
        {KPROBE ARG("uint64") MATCH("Equal", "18446744073709551616"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"18446744073709551616\" is out "
            "of range for type uint64: 64 bits, unsigned"},
        {KPROBE ARG("int") MATCH("Equal", "1:2"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"1:2\": expected a number, such "
            "as 17, -1 or 0x1f"},
        {KPROBE ARG("int") MATCH("Equal", "[1]"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: expected text, not a list"},
        {KPROBE ARG("int") MATCH("GT", "1, 2"),
            "p:10:52: spec.kprobes[0].selectors[0].matchArgs[0].values: 2 values: expected one"},
        {KPROBE ARG("int") MATCH("InRange", "2:1"),
            "p:10:58: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"2:1\": expected a number, or "
            "LOW:HIGH with LOW not above HIGH"},
        {KPROBE ARG("int") MATCH("Mask", "0"),
            "p:10:55: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"0\": expected a mask that is "
            "not 0"},
        {KPROBE ARG("int") MATCH("Equal", "08"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"08\": expected a number, such "
            "as 17, -1 or 0x1f"},
        {KPROBE ARG("string") MATCH("Equal", "\"\""),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: expected text that is not empty"},
        {KPROBE ARG("string") MATCH("Equal", "\"a\\0b\""),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: expected text without NUL"},
        {KPROBE ARG("capability") MATCH("Equal", "CAP_FLY"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"CAP_FLY\": expected a "
            "capability such as CAP_SYS_ADMIN, or its number"},
        {KPROBE ARG("syscall64") MATCH("Equal", "sys_fly"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"sys_fly\": expected a system "
            "call's name or number, or list:NAME"},
        {KPROBE ARG("syscall64") MATCH("Equal", "\"list:l\""),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: there is no list \"l\" in "
            "spec.lists"},
        {KPROBE ARG("sock") MATCH("DAddr", "10.0.0.256"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"10.0.0.256\": expected an IPv4 "
            "or IPv6 address, or a network such as 10.0.0.0/8"},
        {KPROBE ARG("sock") MATCH("DAddr", "10.0.0.0/33, \"::/129\", 10.0.0.0/"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"10.0.0.0/33\": expected an IPv4 "
            "or IPv6 address, or a network such as 10.0.0.0/8\n"
            "p:10:69: spec.kprobes[0].selectors[0].matchArgs[0].values[1]: \"::/129\": expected an IPv4 or "
            "IPv6 address, or a network such as 10.0.0.0/8\n"
            "p:10:79: spec.kprobes[0].selectors[0].matchArgs[0].values[2]: \"10.0.0.0/\": expected an IPv4 "
            "or IPv6 address, or a network such as 10.0.0.0/8"},
        {KPROBE ARG("sock") MATCH("DPort", "65536, \"20:10\""),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"65536\": expected a port from 0 "
            "to 65535, or LOW:HIGH\n"
            "p:10:63: spec.kprobes[0].selectors[0].matchArgs[0].values[1]: \"20:10\": expected a port from 0 "
            "to 65535, or LOW:HIGH"},
        {KPROBE ARG("sock") MATCH("SPortPriv", "1"),
            "p:10:51: spec.kprobes[0].selectors[0].matchArgs[0].values: SPortPriv has no values: it is a "
            "port below 1024"},
        {KPROBE ARG("sock") MATCH("Protocol", "IPPROTO_X"),
            "p:10:59: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"IPPROTO_X\": expected a "
            "protocol such as IPPROTO_TCP, or its number"},
        {KPROBE ARG("sock") MATCH("Family", "AF_X"),
            "p:10:57: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"AF_X\": expected an address "
            "family such as AF_INET, or its number"},
        {KPROBE ARG("sock") MATCH("State", "TCP_X, 256"),
            "p:10:56: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: \"TCP_X\": expected a state such "
            "as TCP_ESTABLISHED, or its number\n"
            "p:10:63: spec.kprobes[0].selectors[0].matchArgs[0].values[1]: \"256\": expected a state such as "
            "TCP_ESTABLISHED, or its number"},
        {KPROBE SELECT("matchReturnArgs: [{index: 0, operator: Equal, values: [1]}]"),
            "p:9:7: spec.kprobes[0].selectors[0].matchReturnArgs: needs a kprobe with return: true and "
            "returnArg"},
        {RETURN SELECT("matchReturnArgs: [{index: 1, operator: Equal, values: [1]}]"),
            "p:11:33: spec.kprobes[0].selectors[0].matchReturnArgs[0].index: \"1\": expected a whole number "
            "from 0 to 0"},
        {RETURN SELECT("matchReturnArgs: [{operator: Prefix, values: [a]}]"),
            "p:11:36: spec.kprobes[0].selectors[0].matchReturnArgs[0].operator: \"Prefix\" does not fit type "
            "int: expected one of " NUMBER_OPERATORS},
        {KPROBE SELECT("matchPIDs: [{operator: Equal, values: [1]}]"),
            "p:9:30: spec.kprobes[0].selectors[0].matchPIDs[0].operator: \"Equal\" is none of In, NotIn"},
        {KPROBE SELECT("matchPIDs: [{operator: In, values: [x, -1, 4194305]}]"),
            "p:9:43: spec.kprobes[0].selectors[0].matchPIDs[0].values[0]: \"x\": expected a pid, from 0 to "
            "4194304\n"
            "p:9:46: spec.kprobes[0].selectors[0].matchPIDs[0].values[1]: \"-1\": expected a pid, from 0 to "
            "4194304\n"
            "p:9:50: spec.kprobes[0].selectors[0].matchPIDs[0].values[2]: \"4194305\": expected a pid, from "
            "0 to 4194304"},
        {KPROBE SELECT("matchPIDs: [{operator: In}]"),
            "p:9:19: spec.kprobes[0].selectors[0].matchPIDs[0].values: missing: it is required"},
        {KPROBE SELECT("matchPIDs: [{operator: In, values: [1], followChildren: true}]"),
            "p:9:47: spec.kprobes[0].selectors[0].matchPIDs[0].followChildren: unknown key: expected one of "
            "operator, values, isNamespacePID, followForks"},
        {KPROBE SELECT("matchBinaries: [{operator: Equal, values: [/bin/sh]}]"),
            "p:9:34: spec.kprobes[0].selectors[0].matchBinaries[0].operator: \"Equal\" is none of In, NotIn, "
            "Prefix, NotPrefix, Postfix, NotPostfix"},
        {KPROBE SELECT("matchBinaries: [{operator: In, values: [\"\"]}]"),
            "p:9:47: spec.kprobes[0].selectors[0].matchBinaries[0].values[0]: expected text that is not "
            "empty"},
        {KPROBE SELECT("matchBinaries: [{operator: In, values: [/bin/sh], followForks: true}]"),
            "p:9:57: spec.kprobes[0].selectors[0].matchBinaries[0].followForks: unknown key: expected one of "
            "operator, values, followChildren"},
        {KPROBE SELECT("matchNamespaces: [{namespace: Foo, operator: In, values: [host_ns]}]"),
            "p:9:37: spec.kprobes[0].selectors[0].matchNamespaces[0].namespace: \"Foo\" is none of Uts, Ipc, "
            "Mnt, Pid, PidForChildren, Net, Time, TimeForChildren, Cgroup, User"},
        {KPROBE SELECT("matchNamespaces: [{namespace: Mnt, operator: In, values: [host]}]"),
            "p:9:65: spec.kprobes[0].selectors[0].matchNamespaces[0].values[0]: \"host\": expected host_ns, "
            "or a namespace's inode number"},
        {KPROBE SELECT("matchNamespaces: [{operator: In, values: [host_ns]}]"),
            "p:9:25: spec.kprobes[0].selectors[0].matchNamespaces[0].namespace: missing: it is required"},
        {KPROBE SELECT("matchCapabilities: [{type: All, operator: In, values: [CAP_SYS_ADMIN]}]"),
            "p:9:34: spec.kprobes[0].selectors[0].matchCapabilities[0].type: \"All\" is none of Effective, "
            "Inheritable, Permitted"},
        {KPROBE SELECT("matchCapabilities: [{type: Effective, operator: In, values: [CAP_FLY]}]"),
            "p:9:68: spec.kprobes[0].selectors[0].matchCapabilities[0].values[0]: \"CAP_FLY\": expected a "
            "capability such as CAP_SYS_ADMIN"},
    };

    KIT_ASSERT_REFUSED(bad);
}

/* Whatever operator meets whatever type: those that fit are taken, with a value that fits too; the others are refused at the operator. */
static const char *value_for(const struct policy_type *type, const struct policy_operator_word *word)
{
    switch (word->op) {
    case POLICY_SADDR:
    case POLICY_NOT_SADDR:
    case POLICY_DADDR:
    case POLICY_NOT_DADDR:
        return "10.0.0.0/8";
    case POLICY_FAMILY:
        return "AF_INET";
    case POLICY_PROTOCOL:
        return "IPPROTO_TCP";
    case POLICY_STATE:
        return "TCP_LISTEN";
    default:
        return type->type_class == POLICY_CLASS_TEXT ? "/etc/" : "1";
    }
}

Test(policy_selector, each_operator_fits_its_types_and_no_others)
{
    const struct policy_operator_word *word;
    const struct policy_type *type;
    unsigned taken = 0, refused = 0;

    for (unsigned i = 0; (type = policy_type_at(i)); i++) {
        for (unsigned j = 0; (word = policy_operator_at(j)); j++) {
            struct policy_list list = {0};
            struct text faults;
            char text[512];
            bool fits = word->classes & type->type_class;

            (void)snprintf(text, sizeof(text),
                KPROBE "    args: [{index: 0, type: %s, sizeArgIndex: %d}]\n"
                       "    selectors: [{matchArgs: [{index: 0, operator: %s%s%s%s}]}]\n",
                type->name, type->type == RECORD_ARG_BYTES ? 2 : 0, word->name,
                word->is_privileged ? "" : ", values: [", word->is_privileged ? "" : value_for(type, word),
                word->is_privileged ? "" : "]");
            cr_assert_eq(kit_read(&list, text, strlen(text), &faults), fits ? 0 : -EINVAL, "%s%s", text,
                text_terminate(&faults));
            if (fits)
                cr_assert_eq(list.items[0].hooks[0].selectors[0].matches[0].values.count, 1);
            else
                cr_assert_not_null(strstr(text_terminate(&faults), "p:9:"), "%s", faults.data);
            taken += fits;
            refused += !fits;
            text_deinit(&faults);
            policy_list_deinit(&list);
        }
    }
    cr_assert_eq(taken + refused, 28 * 37);
    cr_assert_gt(taken, 200);
}

/* ---- taken ------------------------------------------------------------------------------------------------------- */

/* The first requirement of the first selector. */
static const struct policy_match *first_match(const struct policy *policy)
{
    cr_assert_gt(policy->hooks[0].selector_count, 0);
    cr_assert_gt(policy->hooks[0].selectors[0].match_count, 0);
    return &policy->hooks[0].selectors[0].matches[0];
}

static void assert_range(const char *text, enum policy_operator op, uint64_t low, uint64_t high)
{
    struct policy policy;
    const struct policy_match *match;

    kit_read_one(&policy, text);
    match = first_match(&policy);
    cr_assert_eq(match->kind, POLICY_MATCH_ARG);
    cr_assert_eq(match->op, op, "%s is %s", text, policy_operator_name(match->op));
    cr_assert_eq(match->values.count, 1);
    cr_assert_eq(match->values.items[0].low, low, "%s", text);
    cr_assert_eq(match->values.items[0].high, high, "%s", text);
    policy_deinit(&policy);
}

Test(policy_selector, numbers_are_in_the_width_of_their_type)
{
    assert_range(KPROBE ARG("int") MATCH("Equal", "-1"), POLICY_EQUAL, UINT64_MAX, UINT64_MAX);
    assert_range(KPROBE ARG("int") MATCH("Equal", "\"0x7fffffff\""), POLICY_EQUAL, INT32_MAX, INT32_MAX);
    assert_range(KPROBE ARG("int") MATCH("NotEqual", "017"), POLICY_NOT_EQUAL, 15, 15);
    assert_range(KPROBE ARG("int") MATCH("InMap", "4"), POLICY_EQUAL, 4, 4);
    assert_range(KPROBE ARG("int") MATCH("NotIn", "0b101"), POLICY_NOT_EQUAL, 5, 5);
    assert_range(KPROBE ARG("int") MATCH("Mask", "0x80000000"), POLICY_MASK, 0x80000000, 0x80000000);
    assert_range(
        KPROBE ARG("uint32") MATCH("GreaterThan", "4294967295"), POLICY_GREATER, UINT32_MAX, UINT32_MAX);
    assert_range(KPROBE ARG("int64") MATCH("LT", "-9223372036854775808"), POLICY_LESS, (uint64_t)INT64_MIN,
        (uint64_t)INT64_MIN);
    assert_range(
        KPROBE ARG("uint64") MATCH("Equal", "0xffffffffffffffff"), POLICY_EQUAL, UINT64_MAX, UINT64_MAX);
    assert_range(KPROBE ARG("size_t") MATCH("InRange", "\"10:20\""), POLICY_IN_RANGE, 10, 20);
    assert_range(KPROBE ARG("int") MATCH("NotInRange", "\"-3:5\""), POLICY_NOT_IN_RANGE, (uint64_t)-3, 5);
    assert_range(KPROBE ARG("int") MATCH("InRange", "7"), POLICY_IN_RANGE, 7, 7);
    assert_range(KPROBE ARG("capability") MATCH("Equal", "CAP_SYS_ADMIN"), POLICY_EQUAL, 21, 21);
    assert_range(KPROBE ARG("capability") MATCH("Equal", "40"), POLICY_EQUAL, 40, 40);
}

Test(policy_selector, system_calls_are_numbers_names_and_lists)
{
    struct policy policy;
    const struct policy_match *match;
    uint64_t openat = 0, dup = 0;

    cr_assert(policy_syscall_number("openat", &openat));
    cr_assert(policy_syscall_number("sys_dup", &dup));
    kit_read_one(&policy, HEAD
        "  lists: [{name: l, type: syscalls, values: [sys_dup, sys_openat]}]\n"
        "  tracepoints:\n"
        "  - subsystem: raw_syscalls\n"
        "    event: sys_enter\n"
        "    args: [{index: 4, type: syscall64}]\n"
        "    selectors: [{matchArgs: [{index: 4, operator: InMap, values: [\"list:l\", 1, sys_openat]}]}]\n");
    match = first_match(&policy);
    cr_assert_eq(match->values.count, 4);
    cr_assert_eq(match->values.items[0].low, dup);
    cr_assert_eq(match->values.items[1].low, openat);
    cr_assert_eq(match->values.items[2].low, 1);
    cr_assert_eq(match->values.items[3].low, openat);
    policy_deinit(&policy);
}

Test(policy_selector, sockets_are_compared_by_their_parts)
{
    assert_range(KPROBE ARG("sock") MATCH("DPort", "443"), POLICY_DPORT, 443, 443);
    assert_range(KPROBE ARG("sock") MATCH("NotSPort", "\"1000:2000\""), POLICY_NOT_SPORT, 1000, 2000);
    assert_range(
        KPROBE ARG("sock") SELECT("matchArgs: [{index: 0, operator: SPortPriv}]"), POLICY_SPORT, 0, 1023);
    assert_range(KPROBE ARG("skb") SELECT("matchArgs: [{index: 0, operator: NotDPortPriv}]"),
        POLICY_NOT_DPORT, 0, 1023);
    assert_range(
        KPROBE ARG("sock") MATCH("Protocol", "IPPROTO_UDP"), POLICY_PROTOCOL, IPPROTO_UDP, IPPROTO_UDP);
    assert_range(KPROBE ARG("sock") MATCH("Protocol", "tcp"), POLICY_PROTOCOL, IPPROTO_TCP, IPPROTO_TCP);
    assert_range(KPROBE ARG("sock") MATCH("Family", "AF_INET6"), POLICY_FAMILY, AF_INET6, AF_INET6);
    assert_range(KPROBE ARG("sock") MATCH("State", "TCP_SYN_RECV"), POLICY_STATE, 3, 3);
    assert_range(KPROBE ARG("sock") MATCH("State", "\"10\""), POLICY_STATE, 10, 10);
    assert_range(KPROBE ARG("sockaddr") MATCH("SPort", "53"), POLICY_DPORT, 53, 53);
    assert_range(KPROBE ARG("sockaddr") MATCH("NotSPort", "53"), POLICY_NOT_DPORT, 53, 53);
}

Test(policy_selector, networks_have_their_host_bits_cleared)
{
    struct policy policy;
    const struct policy_value *values;
    const uint8_t six[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0x80};

    kit_read_one(&policy, KPROBE ARG("sock") MATCH("NotDAddr",
                              "127.0.0.1, 10.1.255.3/12, \"::1\", \"fd00::ffff:0:0:0/65\", 0.0.0.0/0"));
    values = first_match(&policy)->values.items;
    cr_assert_eq(first_match(&policy)->values.count, 5);
    cr_assert_eq(values[0].family, AF_INET);
    cr_assert_eq(values[0].prefix_bits, 32);
    cr_assert_eq(memcmp(values[0].address, (uint8_t[4]){127, 0, 0, 1}, 4), 0);
    cr_assert_eq(values[1].prefix_bits, 12);
    cr_assert_eq(memcmp(values[1].address, (uint8_t[4]){10, 0, 0, 0}, 4), 0);
    cr_assert_eq(values[2].family, AF_INET6);
    cr_assert_eq(values[2].prefix_bits, 128);
    cr_assert_eq(values[3].prefix_bits, 65);
    cr_assert_eq(memcmp(values[3].address, six, 16), 0);
    cr_assert_eq(values[4].prefix_bits, 0);
    cr_assert_str_eq(values[1].text.data, "10.1.255.3/12", "as written");
    policy_deinit(&policy);
}

Test(policy_selector, patterns_keep_their_bytes)
{
    struct policy policy;
    const struct policy_value *values;

    kit_read_one(&policy, KPROBE "    args: [{index: 0, type: char_buf, sizeArgIndex: 2}]\n" MATCH(
                              "Prefix", "\"a\\0b\", \" x \", on"));
    values = first_match(&policy)->values.items;
    cr_assert_eq(values[0].text.size, 3);
    cr_assert_eq(memcmp(values[0].text.data, "a\0b", 4), 0);
    cr_assert_str_eq(values[1].text.data, " x ");
    cr_assert_str_eq(values[2].text.data, "on");
    cr_assert_eq(values[2].text.place.line, 10);
    policy_deinit(&policy);
}

Test(policy_selector, pattern_has_its_longest)
{
    char text[1024], pattern[POLICY_PATTERN_MAX + 2];
    struct policy_list list = {0};
    struct text faults;

    for (size_t size = POLICY_PATTERN_MAX; size <= POLICY_PATTERN_MAX + 1; size++) {
        memset(pattern, 'a', size);
        pattern[size] = '\0';
        (void)snprintf(text, sizeof(text),
            KPROBE ARG(
                "file") "    selectors: [{matchArgs: [{index: 0, operator: Postfix, values: [%s]}]}]\n",
            pattern);
        cr_assert_eq(kit_read(&list, text, strlen(text), &faults), size > POLICY_PATTERN_MAX ? -EINVAL : 0);
        text_deinit(&faults);
    }
    policy_list_deinit(&list);
}

Test(policy_selector, argument_is_found_by_number_or_by_place)
{
    struct policy policy;
    const struct policy_selector *selector;

    kit_read_one(&policy, RETURN
        "    args: [{index: 3, type: int}, {index: 1, type: file}]\n"
        "    selectors:\n"
        "    - matchArgs: [{index: 1, operator: Equal, values: [/x]}, {args: [1], operator: Equal, values: "
        "[/x]},\n"
        "        {index: 3, operator: Equal, values: [1]}, {args: [0], operator: Equal, values: [1]}]\n"
        "      matchReturnArgs: [{index: 0, operator: NotEqual, values: [0]}]\n");
    selector = &policy.hooks[0].selectors[0];
    cr_assert_eq(selector->match_count, 5);
    cr_assert_eq(selector->matches[0].arg, 1);
    cr_assert_eq(selector->matches[1].arg, 1);
    cr_assert_eq(selector->matches[2].arg, 0);
    cr_assert_eq(selector->matches[3].arg, 0);
    cr_assert_eq(selector->matches[4].arg, RECORD_HOOK_RETURN);
    cr_assert_eq(selector->matches[4].op, POLICY_NOT_EQUAL);
    cr_assert_eq(selector->matches[2].place.line, 13, "M2");
    policy_deinit(&policy);
}

Test(policy_selector, processes_are_selected_by_pid_binary_namespace_and_capability)
{
    struct policy policy;
    const struct policy_match *matches;

    kit_read_one(&policy,
        KPROBE "    selectors:\n"
               "    - matchPIDs: [{operator: NotIn, values: [0, 1, 4194304], isNamespacePID: true, "
               "followForks: true}]\n"
               "      matchBinaries: [{operator: NotPostfix, values: [/sh, /bash], followChildren: true}]\n"
               "      matchNamespaces:\n"
               "      - {namespace: Pid, operator: NotIn, values: [host_ns]}\n"
               "      - {namespace: TimeForChildren, operator: In, values: [\"4026531836\", host_ns]}\n"
               "      matchCapabilities:\n"
               "      - {type: Permitted, operator: In, values: [CAP_SYS_ADMIN, CAP_BPF], "
               "isNamespaceCapability: true}\n"
               "      - {operator: NotIn, values: [CAP_CHOWN]}\n");
    cr_assert_eq(policy.hooks[0].selectors[0].match_count, 6);
    matches = policy.hooks[0].selectors[0].matches;
    cr_assert_eq(matches[0].kind, POLICY_MATCH_PIDS);
    cr_assert_eq(matches[0].op, POLICY_NOT_IN);
    cr_assert(matches[0].namespace_pid && matches[0].follow);
    cr_assert_eq(matches[0].values.items[2].low, 4194304);
    cr_assert_eq(matches[1].kind, POLICY_MATCH_BINARIES);
    cr_assert_eq(matches[1].op, POLICY_NOT_POSTFIX);
    cr_assert(matches[1].follow);
    cr_assert_eq(matches[2].kind, POLICY_MATCH_NAMESPACE);
    cr_assert_eq(matches[2].name_space, POLICY_NS_PID);
    cr_assert(matches[2].host_namespace);
    cr_assert_eq(matches[2].values.count, 0);
    cr_assert_eq(matches[3].name_space, POLICY_NS_TIME_FOR_CHILDREN);
    cr_assert_eq(matches[3].values.items[0].low, 4026531836);
    cr_assert(matches[3].host_namespace);
    cr_assert_eq(matches[4].kind, POLICY_MATCH_CAPABILITIES);
    cr_assert_eq(matches[4].capability_set, POLICY_CAP_PERMITTED);
    cr_assert_eq(matches[4].capabilities, UINT64_C(1) << 21 | UINT64_C(1) << 39);
    cr_assert(matches[4].namespace_capability);
    cr_assert_eq(matches[5].capability_set, POLICY_CAP_EFFECTIVE);
    policy_deinit(&policy);
}

Test(policy_selector, what_an_api_server_writes_for_nothing_asks_for_nothing)
{
    static const char *const good[] = {
        KPROBE "    data: []\n    ignore: {}\n    returnArgAction: Post\n",
        KPROBE "    args: [{index: 0, type: int, returnCopy: false, maxData: false, sizeArgIndex: 0, "
               "resolve: \"\"}]\n",
        KPROBE SELECT("{matchParentBinaries: [], matchNamespaceChanges: [], matchActions: []}"),
        KPROBE ACTION("{action: Post, argError: 0, argSig: 0, argFd: 0, argSock: 0, kernelStackTrace: false, "
                      "userStackTrace: false, imaHash: false}"),
        KPROBE "    selectors: [{}]\n",
    };

    KIT_ASSERT_TAKEN(good);
}

Test(policy_selector, operators_have_their_names)
{
    for (unsigned i = 0; i < POLICY_OPERATOR_COUNT; i++) {
        const char *name = policy_operator_name((enum policy_operator)i);

        cr_assert_not_null(name);
        cr_assert_eq(policy_operator_is_negative((enum policy_operator)i), strncmp(name, "Not", 3) == 0);
    }
    cr_assert_str_eq(policy_operator_name(POLICY_OPERATOR_COUNT), "?");
}
