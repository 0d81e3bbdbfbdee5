/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_action.h"

#include <signal.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/unit/collector/policy_kit.h"

Test(policy_action, actions_at_fault_are_refused_with_their_place)
{
    static const struct kit_refusal bad[] = {
        {KPROBE ACTION("{action: FollowFD, argFd: 0, argName: 1}"),
            "p:9:31: spec.kprobes[0].selectors[0].matchActions[0].action: \"FollowFD\" is not supported: "
            "files are named by the kernel's own path\n"
            "p:9:51: spec.kprobes[0].selectors[0].matchActions[0].argName: not supported: files are named by "
            "the kernel's own path"},
        {KPROBE ACTION("{action: GetUrl, argUrl: http://x}"),
            "p:9:31: spec.kprobes[0].selectors[0].matchActions[0].action: \"GetUrl\" is not supported: the "
            "privileged side has no network\n"
            "p:9:39: spec.kprobes[0].selectors[0].matchActions[0].argUrl: not supported: the privileged side "
            "has no network"},
        {KPROBE ACTION("{action: DnsLookup, argFqdn: x}"),
            "p:9:31: spec.kprobes[0].selectors[0].matchActions[0].action: \"DnsLookup\" is not supported: "
            "the privileged side has no network\n"
            "p:9:42: spec.kprobes[0].selectors[0].matchActions[0].argFqdn: not supported: the privileged "
            "side has no network"},
        {KPROBE ACTION("{action: NotifyEnforcer}"),
            "p:9:31: spec.kprobes[0].selectors[0].matchActions[0].action: \"NotifyEnforcer\" is not "
            "supported: use Override or Sigkill"},
        {KPROBE ACTION("{action: Alarm}"), "p:9:31: spec.kprobes[0].selectors[0].matchActions[0].action: "
                                           "\"Alarm\" is none of Post, NoPost, Sigkill, Signal, Override"},
        {KPROBE ACTION("{}"),
            "p:9:22: spec.kprobes[0].selectors[0].matchActions[0].action: missing: it is required"},
        {KPROBE ACTION("{action: Signal}"),
            "p:9:22: spec.kprobes[0].selectors[0].matchActions[0].argSig: missing: which signal"},
        {KPROBE ACTION("{action: Signal, argSig: 65}"),
            "p:9:47: spec.kprobes[0].selectors[0].matchActions[0].argSig: \"65\": expected a signal, from 1 "
            "to 64 or by name"},
        {KPROBE ACTION("{action: Post, argSig: 9}"),
            "p:9:37: spec.kprobes[0].selectors[0].matchActions[0].argSig: is for action Signal only"},
        {KPROBE ACTION("{action: Override}"),
            "p:9:22: spec.kprobes[0].selectors[0].matchActions[0].argError: missing: what is returned "
            "instead"},
        {KPROBE ACTION("{action: Override, argError: 1}"),
            "p:9:51: spec.kprobes[0].selectors[0].matchActions[0].argError: \"1\": expected what is "
            "returned, from -4095 to 0, or a name such as -EPERM"},
        {KPROBE ACTION("{action: Override, argError: -4096}"),
            "p:9:51: spec.kprobes[0].selectors[0].matchActions[0].argError: \"-4096\": expected what is "
            "returned, from -4095 to 0, or a name such as -EPERM"},
        {KPROBE ACTION("{action: Override, argError: -EFOO}"),
            "p:9:51: spec.kprobes[0].selectors[0].matchActions[0].argError: \"-EFOO\": expected what is "
            "returned, from -4095 to 0, or a name such as -EPERM"},
        {KPROBE ACTION("{action: Sigkill, argError: -1}"),
            "p:9:40: spec.kprobes[0].selectors[0].matchActions[0].argError: is for action Override only"},
        {KPROBE ACTION("{action: Post, rateLimit: 5x}"),
            "p:9:48: spec.kprobes[0].selectors[0].matchActions[0].rateLimit: \"5x\": expected a period up to "
            "a day, such as 500ms, 5s or 1m"},
        {KPROBE ACTION("{action: Post, rateLimit: 0}"),
            "p:9:48: spec.kprobes[0].selectors[0].matchActions[0].rateLimit: \"0\": expected a period up to "
            "a day, such as 500ms, 5s or 1m"},
        {KPROBE ACTION("{action: Post, rateLimit: 25h}"),
            "p:9:48: spec.kprobes[0].selectors[0].matchActions[0].rateLimit: \"25h\": expected a period up "
            "to a day, such as 500ms, 5s or 1m"},
        {KPROBE ACTION("{action: Post, rateLimitScope: process}"),
            "p:9:37: spec.kprobes[0].selectors[0].matchActions[0].rateLimitScope: needs rateLimit"},
        {KPROBE ACTION("{action: Post, rateLimit: 1m, rateLimitScope: node}"),
            "p:9:68: spec.kprobes[0].selectors[0].matchActions[0].rateLimitScope: \"node\" is none of "
            "thread, process, global"},
        {KPROBE ACTION("{action: Sigkill, rateLimit: 1m}"),
            "p:9:40: spec.kprobes[0].selectors[0].matchActions[0].rateLimit: is for action Post only"},
        {KPROBE ACTION("{action: NoPost, kernelStackTrace: true}"),
            "p:9:39: spec.kprobes[0].selectors[0].matchActions[0].kernelStackTrace: is for action Post only"},
        {KPROBE ACTION("{action: Post, userStackTrace: true}"),
            "p:9:37: spec.kprobes[0].selectors[0].matchActions[0].userStackTrace: not supported: stacks of "
            "user space are not taken"},
        {KPROBE ACTION("{action: Post, imaHash: true}"),
            "p:9:37: spec.kprobes[0].selectors[0].matchActions[0].imaHash: not supported: hashes of files "
            "are not taken"},
        {KPROBE ACTION("{action: Post}, {action: Post}, {action: Post}, {action: Post}, {action: Post}"),
            "p:9:21: spec.kprobes[0].selectors[0].matchActions: 5 items: expected at most 4"},
        {KPROBE SELECT("matchReturnActions: [{action: Post}]"),
            "p:9:7: spec.kprobes[0].selectors[0].matchReturnActions: needs a kprobe with return: true and "
            "returnArg"},
        {RETURN SELECT("matchReturnActions: [{action: Override, argError: -1}]"),
            "p:11:37: spec.kprobes[0].selectors[0].matchReturnActions[0].action: \"Override\" comes too late "
            "in matchReturnActions: the function has run"},
        {TRACEPOINT ACTION("{action: Override, argError: -1}"),
            "p:9:31: spec.tracepoints[0].selectors[0].matchActions[0].action: \"Override\" is for kprobes "
            "and lsmhooks only"},
        {UPROBE ACTION("{action: Override, argError: -1}"),
            "p:9:31: spec.uprobes[0].selectors[0].matchActions[0].action: \"Override\" is for kprobes and "
            "lsmhooks only"},
    };

    KIT_ASSERT_REFUSED(bad);
}

static void read_action(const char *text, struct policy_action *ret)
{
    struct policy policy;

    kit_read_one(&policy, text);
    cr_assert_eq(policy.hooks[0].selectors[0].action_count, 1);
    *ret = policy.hooks[0].selectors[0].actions[0];
    policy_deinit(&policy);
}

static void assert_action(const char *text, enum policy_action_kind kind, int32_t value)
{
    struct policy_action action;

    read_action(text, &action);
    cr_assert_eq(action.kind, kind, "%s is %s", text, policy_action_name(action.kind));
    cr_assert_eq(action.value, value, "%s", text);
    cr_assert_not(action.on_return);
}

Test(policy_action, each_action_has_what_it_needs)
{
    assert_action(KPROBE ACTION("{action: Post}"), POLICY_ACTION_POST, 0);
    assert_action(KPROBE ACTION("{action: NoPost}"), POLICY_ACTION_NO_POST, 0);
    assert_action(KPROBE ACTION("{action: Sigkill}"), POLICY_ACTION_SIGKILL, 0);
    assert_action(KPROBE ACTION("{action: Signal, argSig: 15}"), POLICY_ACTION_SIGNAL, SIGTERM);
    assert_action(KPROBE ACTION("{action: Signal, argSig: SIGSTOP}"), POLICY_ACTION_SIGNAL, SIGSTOP);
    assert_action(KPROBE ACTION("{action: Signal, argSig: 64}"), POLICY_ACTION_SIGNAL, 64);
    assert_action(KPROBE ACTION("{action: Override, argError: -1}"), POLICY_ACTION_OVERRIDE, -EPERM);
    assert_action(KPROBE ACTION("{action: Override, argError: -EACCES}"), POLICY_ACTION_OVERRIDE, -EACCES);
    assert_action(KPROBE ACTION("{argError: 0, action: Override}"), POLICY_ACTION_OVERRIDE, 0);
    assert_action(LSM ACTION("{action: Override, argError: -4095}"), POLICY_ACTION_OVERRIDE, -4095);
    assert_action(TRACEPOINT ACTION("{action: Sigkill}"), POLICY_ACTION_SIGKILL, 0);
}

static void assert_rate(const char *limit, uint64_t ns)
{
    struct policy_action action;
    char text[512];

    (void)snprintf(
        text, sizeof(text), KPROBE ACTION("{action: Post, rateLimit: %s, rateLimitScope: global}"), limit);
    read_action(text, &action);
    cr_assert_eq(action.rate_limit_ns, ns, "%s", limit);
    cr_assert_eq(action.rate_scope, POLICY_RATE_GLOBAL);
}

Test(policy_action, rate_limits_are_periods)
{
    struct policy_action action;

    assert_rate("500ms", 500 * NS_PER_MS);
    assert_rate("5", 5 * NS_PER_SEC);
    assert_rate("5s", 5 * NS_PER_SEC);
    assert_rate("\"1m\"", 60 * NS_PER_SEC);
    assert_rate("24h", 24 * 3600 * NS_PER_SEC);
    read_action(KPROBE ACTION("{action: Post, rateLimit: 1s}"), &action);
    cr_assert_eq(action.rate_scope, POLICY_RATE_THREAD);
    read_action(
        KPROBE ACTION("{action: Post, rateLimit: 1s, rateLimitScope: process, kernelStackTrace: true}"),
        &action);
    cr_assert_eq(action.rate_scope, POLICY_RATE_PROCESS);
    cr_assert(action.kernel_stack);
}

Test(policy_action, actions_at_the_return_are_marked)
{
    struct policy policy;
    const struct policy_selector *selector;

    kit_read_one(&policy,
        RETURN SELECT(
            "{matchActions: [{action: NoPost}], matchReturnActions: [{action: Post}, {action: Sigkill}]}"));
    selector = &policy.hooks[0].selectors[0];
    cr_assert_eq(selector->action_count, 3);
    cr_assert_not(selector->actions[0].on_return);
    cr_assert(selector->actions[1].on_return);
    cr_assert(selector->actions[2].on_return);
    cr_assert_eq(policy_enforces(&policy), &selector->actions[2]);
    policy_deinit(&policy);
}

Test(policy_action, watching_is_no_enforcement)
{
    struct policy policy;

    kit_read_one(&policy, KPROBE ACTION("{action: Post}, {action: NoPost}"));
    cr_assert_null(policy_enforces(&policy));
    policy_deinit(&policy);
    kit_read_one(&policy, HEAD
        "  podSelector: {matchLabels: {a: b}}\n  kprobes:\n  - call: sys_dup\n" ACTION("{action: NoPost}"));
    cr_assert_null(policy_enforces(&policy));
    policy_deinit(&policy);
}

Test(policy_action, each_action_has_its_name)
{
    cr_assert_str_eq(policy_action_name(POLICY_ACTION_POST), "Post");
    cr_assert_str_eq(policy_action_name(POLICY_ACTION_NO_POST), "NoPost");
    cr_assert_str_eq(policy_action_name(POLICY_ACTION_SIGKILL), "Sigkill");
    cr_assert_str_eq(policy_action_name(POLICY_ACTION_SIGNAL), "Signal");
    cr_assert_str_eq(policy_action_name(POLICY_ACTION_OVERRIDE), "Override");
}
