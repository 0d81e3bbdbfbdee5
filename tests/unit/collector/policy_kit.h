/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the tests of policy files share: beginnings of documents, and reading text with its faults. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "collector/policy_file.h"
#include "common/text.h"

/* Each ends in the line that its name says; HEAD has four lines, KPROBE, TRACEPOINT, LSM and UPROBE go on to the seventh, sixth … */
#define HEAD                                                                                                 \
    "apiVersion: cilium.io/v1alpha1\n"                                                                       \
    "kind: TracingPolicy\n"                                                                                  \
    "metadata: {name: p}\n"                                                                                  \
    "spec:\n"
#define KPROBE            HEAD "  kprobes:\n  - call: f\n    syscall: false\n"
#define RETURN            KPROBE "    return: true\n    returnArg: {type: int}\n"
#define TRACEPOINT        HEAD "  tracepoints:\n  - subsystem: sched\n    event: sched_process_exec\n"
#define LSM               HEAD "  lsmhooks:\n  - hook: file_open\n"
#define UPROBE            HEAD "  uprobes:\n  - path: /bin/bash\n    symbols: [readline]\n"
#define ARG(type)         "    args: [{index: 0, type: " type "}]\n"
#define SELECT(s)         "    selectors:\n    - " s "\n"
#define MATCH(op, values) SELECT("matchArgs: [{index: 0, operator: " op ", values: [" values "]}]")
#define ACTION(a)         SELECT("matchActions: [" a "]")

/* What faults list. */
#define NUMBER_TYPES "int, int32, sint32, uint, uint32, int64, sint64, long, uint64, ulong, size_t"
#define TYPES                                                                                                \
    "auto, nop, " NUMBER_TYPES ", char_buf, char_iovec, string, filename, fd, file, path, dentry, "          \
    "linux_binprm, sock, skb, sockaddr, cred, capability, syscall64"
#define NUMBER_OPERATORS                                                                                     \
    "Equal, NotEqual, In, NotIn, InMap, NotInMap, GreaterThan, GT, LessThan, LT, InRange, NotInRange, Mask"
#define ADDRESS_OPERATORS                                                                                    \
    "SAddr, NotSAddr, DAddr, NotDAddr, SPort, NotSPort, SPortPriv, NotSPortPriv, DPort, NotDPort, "          \
    "DPortPriv, NotDPortPriv"
#define DOCUMENT_KEYS "apiVersion, kind, metadata, spec, status"
#define KPROBE_KEYS   "syscall, call, return, args, returnArg, returnArgAction, message, tags, selectors"
#define SELECTOR_KEYS                                                                                        \
    "matchPIDs, matchBinaries, matchArgs, matchReturnArgs, matchNamespaces, matchCapabilities, "             \
    "matchActions, matchReturnActions"
#define NOT_FOR_PODS                                                                                         \
    " is not supported together with podSelector, containerSelector or a namespace: they are applied after " \
    "the event, to what is shown"

static inline void kit_add_fault(const struct policy_fault *fault, void *arg)
{
    struct text *text = arg;

    if (text->size > 0)
        text_append_char(text, '\n');
    policy_fault_append(fault, text);
}

/* Reads text as file "p"; its faults, a line each, in *ret_faults. */
static inline int kit_read(struct policy_list *list, const char *text, size_t size, struct text *ret_faults)
{
    int r;

    *ret_faults = (struct text){0};
    r = policy_read_text(list, "p", text, size, kit_add_fault, ret_faults);
    cr_assert_eq(r == 0, ret_faults->size == 0, "faults are told when there are some, and only then");
    return r;
}

/* The one policy of a text that is fine. */
static inline void kit_read_one(struct policy *ret, const char *text)
{
    struct policy_list list = {0};
    struct text faults;

    cr_assert_eq(kit_read(&list, text, strlen(text), &faults), 0, "%s%s", text, text_terminate(&faults));
    cr_assert_eq(list.count, 1, "%s", text);
    *ret = list.items[0];
    free(list.items);
    text_deinit(&faults);
}

struct kit_refusal {
    const char *text, *faults;
};

static inline void kit_assert_refused(const struct kit_refusal *refusal)
{
    struct policy_list list = {0};
    struct text faults;

    cr_assert_eq(
        kit_read(&list, refusal->text, strlen(refusal->text), &faults), -EINVAL, "%s", refusal->text);
    cr_assert_str_eq(text_terminate(&faults), refusal->faults, "%s\n%s\nis not\n%s", refusal->text,
        text_terminate(&faults), refusal->faults);
    cr_assert_eq(list.count, 0, "F1: %s", refusal->text);
    text_deinit(&faults);
}

#define KIT_ASSERT_REFUSED(table)                                                                            \
    for (size_t i = 0; i < sizeof(table) / sizeof((table)[0]); i++)                                          \
    kit_assert_refused(&(table)[i])

/* Each is taken, as one policy. */
#define KIT_ASSERT_TAKEN(table)                                                                              \
    for (size_t i = 0; i < sizeof(table) / sizeof((table)[0]); i++) {                                        \
        struct policy taken;                                                                                 \
                                                                                                             \
        kit_read_one(&taken, (table)[i]);                                                                    \
        cr_assert_str_eq(taken.name.data, "p");                                                              \
        cr_assert_gt(taken.hook_count, 0);                                                                   \
        policy_deinit(&taken);                                                                               \
    }
