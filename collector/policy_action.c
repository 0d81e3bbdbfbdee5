/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_action.h"

#include <signal.h>
#include <string.h>

#include "collector/policy_number.h"

#define ERRNO_MAX    4095 /* the greatest that a pointer can carry in the kernel */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct action_out {
    const struct policy_hook *hook;
    struct policy_action *action;
    bool is_known;
};

static const struct {
    const char *name, *reason;
} refused[] = {
    {"FollowFD", "files are named by the kernel's own path"},
    {"UnfollowFD", "files are named by the kernel's own path"},
    {"CopyFD", "files are named by the kernel's own path"},
    {"GetUrl", "the privileged side has no network"},
    {"DnsLookup", "the privileged side has no network"},
    {"TrackSock", "sockets are not followed"},
    {"UntrackSock", "sockets are not followed"},
    {"NotifyEnforcer", "use Override or Sigkill"},
    {"CleanupEnforcerNotification", "use Override or Sigkill"},
    {"NotifyKiller", "use Override or Sigkill"},
    {"Set", "memory of a process is never written"},
};

/* Where it would do nothing, or cannot be done. */
static void check_kind(const struct policy_at *at, const struct action_out *out)
{
    if (out->action->kind != POLICY_ACTION_OVERRIDE)
        return;
    if (out->action->on_return)
        policy_fail(at, "\"Override\" comes too late in matchReturnActions: the function has run");
    else if (out->hook->kind != RECORD_HOOK_KPROBE && out->hook->kind != RECORD_HOOK_LSM)
        policy_fail(at, "\"Override\" is for kprobes and lsmhooks only");
}

static void read_kind(const struct policy_at *at, void *out)
{
    static const char *const names[] = {[POLICY_ACTION_POST] = "Post",
        [POLICY_ACTION_NO_POST] = "NoPost",
        [POLICY_ACTION_SIGKILL] = "Sigkill",
        [POLICY_ACTION_SIGNAL] = "Signal",
        [POLICY_ACTION_OVERRIDE] = "Override",
        NULL};
    struct action_out *action = out;
    const char *word;
    size_t number;

    if (!policy_read_word(at, POLICY_WORD_MAX, &word))
        return;
    for (size_t i = 0; i < COUNT(refused); i++) {
        if (strcmp(refused[i].name, word) == 0) {
            policy_fail(at, "\"%s\" is not supported: %s", word, refused[i].reason);
            return;
        }
    }
    if (!policy_read_choice(at, names, &number))
        return;
    action->action->kind = (enum policy_action_kind)number;
    action->is_known = true;
    check_kind(at, action);
}

/* False, and told, when the key is given to an action that has no use for it. */
static bool is_for(const struct policy_at *at, const struct action_out *out, enum policy_action_kind kind)
{
    if (out->is_known && out->action->kind != kind)
        policy_fail_key(at, "is for action %s only", policy_action_name(kind));
    return out->is_known && out->action->kind == kind;
}

static void read_error(const struct policy_at *at, void *out)
{
    struct action_out *action = out;
    int32_t number = 0;
    const char *word;
    uint64_t value = 0;

    if (!policy_read_word(at, POLICY_WORD_MAX, &word))
        return;
    if (strcmp(word, "0") == 0 && action->is_known && action->action->kind != POLICY_ACTION_OVERRIDE)
        return; /* an API server writes it everywhere */
    if (!is_for(at, action, POLICY_ACTION_OVERRIDE))
        return;
    if (word[0] == '-' && policy_errno_number(word + 1, &number))
        value = (uint64_t) - (int64_t)number;
    else if (policy_parse_number(word, strlen(word), true, 32, &value) != POLICY_NUMBER_FINE)
        value = 1;
    if ((int64_t)value > 0 || (int64_t)value < -ERRNO_MAX)
        policy_fail(at, "\"%.60s\": expected what is returned, from -%d to 0, or a name such as -EPERM", word,
            ERRNO_MAX);
    else
        action->action->value = (int32_t)(int64_t)value;
}

static void read_signal(const struct policy_at *at, void *out)
{
    struct action_out *action = out;
    uint64_t value = 0;
    const char *word;

    if (!policy_read_word(at, POLICY_WORD_MAX, &word))
        return;
    if (strcmp(word, "0") == 0 && action->is_known && action->action->kind != POLICY_ACTION_SIGNAL)
        return;
    if (!is_for(at, action, POLICY_ACTION_SIGNAL) || policy_signal_number(word, &action->action->value))
        return;
    if (policy_parse_number(word, strlen(word), false, 32, &value) != POLICY_NUMBER_FINE || value == 0 ||
        value > (uint64_t)SIGRTMAX)
        policy_fail(at, "\"%.60s\": expected a signal, from 1 to %d or by name", word, SIGRTMAX);
    else
        action->action->value = (int32_t)value;
}

static void read_rate_limit(const struct policy_at *at, void *out)
{
    struct action_out *action = out;
    const char *word;

    if (!policy_read_word(at, POLICY_WORD_MAX, &word) || !is_for(at, action, POLICY_ACTION_POST))
        return;
    if (!policy_parse_period(word, &action->action->rate_limit_ns))
        policy_fail(at, "\"%.60s\": expected a period up to a day, such as 500ms, 5s or 1m", word);
}

static void read_rate_scope(const struct policy_at *at, void *out)
{
    static const char *const names[] = {[POLICY_RATE_THREAD] = "thread",
        [POLICY_RATE_PROCESS] = "process",
        [POLICY_RATE_GLOBAL] = "global",
        NULL};
    struct action_out *action = out;
    size_t number;

    if (!is_for(at, action, POLICY_ACTION_POST) || !policy_read_choice(at, names, &number))
        return;
    action->action->rate_scope = (enum policy_rate_scope)number;
    if (!policy_node_find(at->up->node, "rateLimit"))
        policy_fail_key(at, "needs rateLimit");
}

static void read_kernel_stack(const struct policy_at *at, void *out)
{
    struct action_out *action = out;
    bool is_wanted = false;

    if (policy_read_bool(at, &is_wanted) && is_wanted && is_for(at, action, POLICY_ACTION_POST))
        action->action->kernel_stack = true;
}

static const struct policy_field fields[] = {
    {.name = "action", .read = read_kind, .is_required = true},
    {.name = "argError", .read = read_error},
    {.name = "argSig", .read = read_signal},
    {.name = "rateLimit", .read = read_rate_limit},
    {.name = "rateLimitScope", .read = read_rate_scope},
    {.name = "kernelStackTrace", .read = read_kernel_stack},
    {.name = "userStackTrace", .reason = "stacks of user space are not taken"},
    {.name = "imaHash", .reason = "hashes of files are not taken"},
    {.name = "argFd", .reason = "files are named by the kernel's own path"},
    {.name = "argName", .reason = "files are named by the kernel's own path"},
    {.name = "argUrl", .reason = "the privileged side has no network"},
    {.name = "argFqdn", .reason = "the privileged side has no network"},
    {.name = "argSock", .reason = "sockets are not followed"},
    {.name = "argIndex", .reason = "memory of a process is never written"},
    {.name = "argValue", .reason = "memory of a process is never written"},
    {.name = "argRegs", .reason = "registers of a process are never written"},
};

/* What an action must have with it. */
static void check_action(const struct policy_at *at, const struct action_out *out)
{
    if (!out->is_known)
        return;
    if (out->action->kind == POLICY_ACTION_SIGNAL && !policy_node_find(at->node, "argSig"))
        policy_fail_missing(at, "argSig", "which signal");
    if (out->action->kind == POLICY_ACTION_OVERRIDE && !policy_node_find(at->node, "argError"))
        policy_fail_missing(at, "argError", "what is returned instead");
}

static void read_action(const struct policy_at *at, struct policy_selector_out *out, bool on_return)
{
    struct policy_selector *selector = out->selector;
    struct action_out action = {.hook = out->hook};

    if (selector->action_count == POLICY_ACTIONS_MAX) {
        policy_fail(at, "more than %d actions in one selector", POLICY_ACTIONS_MAX);
        return;
    }
    action.action = &selector->actions[selector->action_count++];
    action.action->place = at->node->place;
    action.action->on_return = on_return;
    policy_read_map(at, fields, COUNT(fields), &action);
    if (at->node->kind == POLICY_NODE_MAP)
        check_action(at, &action);
}

static void read_entry_action(const struct policy_at *at, void *out)
{
    read_action(at, out, false);
}

static void read_return_action(const struct policy_at *at, void *out)
{
    read_action(at, out, true);
}

void policy_read_actions(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_ACTIONS_MAX, read_entry_action, out);
}

void policy_read_return_actions(const struct policy_at *at, void *out)
{
    const struct policy_selector_out *selector = out;

    if (at->node->kind == POLICY_NODE_LIST && at->node->count > 0 && !selector->hook->has_return)
        policy_fail_key(at, "needs a kprobe with return: true and returnArg");
    else
        policy_read_list(at, POLICY_ACTIONS_MAX, read_return_action, out);
}
