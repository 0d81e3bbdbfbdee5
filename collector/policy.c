/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy.h"

#include <stdlib.h>

static const char *const operator_names[POLICY_OPERATOR_COUNT] = {
    [POLICY_IN] = "In",
    [POLICY_NOT_IN] = "NotIn",
    [POLICY_EQUAL] = "Equal",
    [POLICY_NOT_EQUAL] = "NotEqual",
    [POLICY_PREFIX] = "Prefix",
    [POLICY_NOT_PREFIX] = "NotPrefix",
    [POLICY_POSTFIX] = "Postfix",
    [POLICY_NOT_POSTFIX] = "NotPostfix",
    [POLICY_GREATER] = "GT",
    [POLICY_LESS] = "LT",
    [POLICY_IN_RANGE] = "InRange",
    [POLICY_NOT_IN_RANGE] = "NotInRange",
    [POLICY_MASK] = "Mask",
    [POLICY_SADDR] = "SAddr",
    [POLICY_NOT_SADDR] = "NotSAddr",
    [POLICY_DADDR] = "DAddr",
    [POLICY_NOT_DADDR] = "NotDAddr",
    [POLICY_SPORT] = "SPort",
    [POLICY_NOT_SPORT] = "NotSPort",
    [POLICY_DPORT] = "DPort",
    [POLICY_NOT_DPORT] = "NotDPort",
    [POLICY_PROTOCOL] = "Protocol",
    [POLICY_FAMILY] = "Family",
    [POLICY_STATE] = "State",
};

const char *policy_operator_name(enum policy_operator op)
{
    return op < POLICY_OPERATOR_COUNT ? operator_names[op] : "?";
}

bool policy_operator_is_negative(enum policy_operator op)
{
    switch (op) {
    case POLICY_NOT_IN:
    case POLICY_NOT_EQUAL:
    case POLICY_NOT_PREFIX:
    case POLICY_NOT_POSTFIX:
    case POLICY_NOT_IN_RANGE:
    case POLICY_NOT_SADDR:
    case POLICY_NOT_DADDR:
    case POLICY_NOT_SPORT:
    case POLICY_NOT_DPORT:
        return true;
    default:
        return false;
    }
}

const char *policy_action_name(enum policy_action_kind kind)
{
    switch (kind) {
    case POLICY_ACTION_POST:
        return "Post";
    case POLICY_ACTION_NO_POST:
        return "NoPost";
    case POLICY_ACTION_SIGKILL:
        return "Sigkill";
    case POLICY_ACTION_SIGNAL:
        return "Signal";
    case POLICY_ACTION_OVERRIDE:
        return "Override";
    }
    return "?";
}

const char *policy_hook_kind_name(enum record_hook_kind kind)
{
    switch (kind) {
    case RECORD_HOOK_KPROBE:
        return "kprobe";
    case RECORD_HOOK_TRACEPOINT:
        return "tracepoint";
    case RECORD_HOOK_LSM:
        return "lsm";
    case RECORD_HOOK_UPROBE:
        return "uprobe";
    case RECORD_HOOK_KIND_COUNT:
        break;
    }
    return "?";
}

static const struct policy_action *selector_enforces(const struct policy_selector *selector)
{
    for (size_t i = 0; i < selector->action_count; i++) {
        if (selector->actions[i].kind != POLICY_ACTION_POST &&
            selector->actions[i].kind != POLICY_ACTION_NO_POST)
            return &selector->actions[i];
    }
    return NULL;
}

const struct policy_action *policy_enforces(const struct policy *policy)
{
    for (size_t i = 0; i < policy->hook_count; i++) {
        for (size_t j = 0; j < policy->hooks[i].selector_count; j++) {
            const struct policy_action *action = selector_enforces(&policy->hooks[i].selectors[j]);

            if (action)
                return action;
        }
    }
    return NULL;
}

static void string_deinit(struct policy_string *string)
{
    free(string->data);
    *string = (struct policy_string){0};
}

void policy_match_deinit(struct policy_match *match)
{
    for (size_t i = 0; i < match->values.count; i++)
        string_deinit(&match->values.items[i].text);
    free(match->values.items);
    *match = (struct policy_match){0};
}

void policy_selector_deinit(struct policy_selector *selector)
{
    for (size_t i = 0; i < selector->match_count; i++)
        policy_match_deinit(&selector->matches[i]);
    free(selector->matches);
    *selector = (struct policy_selector){0};
}

static void arg_deinit(struct policy_arg *arg)
{
    free(arg->type_name);
    free(arg->label);
    *arg = (struct policy_arg){0};
}

void policy_hook_deinit(struct policy_hook *hook)
{
    for (size_t i = 0; i < hook->function_count; i++)
        string_deinit(&hook->functions[i]);
    free(hook->functions);
    string_deinit(&hook->subsystem);
    string_deinit(&hook->event);
    string_deinit(&hook->path);
    free(hook->offsets);
    for (size_t i = 0; i < hook->arg_count; i++)
        arg_deinit(&hook->args[i]);
    arg_deinit(&hook->return_arg);
    for (size_t i = 0; i < hook->selector_count; i++)
        policy_selector_deinit(&hook->selectors[i]);
    free(hook->message);
    for (size_t i = 0; i < hook->tag_count; i++)
        free(hook->tags[i]);
    *hook = (struct policy_hook){0};
}

void policy_deinit(struct policy *policy)
{
    free(policy->file);
    string_deinit(&policy->name);
    free(policy->name_space);
    free(policy->pod_selector);
    for (size_t i = 0; i < policy->hook_count; i++)
        policy_hook_deinit(&policy->hooks[i]);
    free(policy->hooks);
    *policy = (struct policy){0};
}

void policy_list_deinit(struct policy_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        policy_deinit(&list->items[i]);
    free(list->items);
    *list = (struct policy_list){0};
}
