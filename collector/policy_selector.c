/* SPDX-License-Identifier: Apache-2.0 */
/* selectors of a hook (policy_hook.h): matchPIDs, matchBinaries, matchArgs, matchReturnArgs, matchNamespaces, matchCapabilities. */
#include <string.h>

#include "collector/policy_action.h"
#include "collector/policy_hook.h"
#include "collector/policy_type.h"
#include "collector/policy_values.h"
#include "common/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One requirement while it is read. */
struct match_out {
    const struct policy_hook *hook;
    struct policy_match *match;
    const struct policy_type *type;          /* ARG: NULL when it is not known, which has been told */
    const struct policy_operator_word *word; /* ARG: NULL when there is none that fits */
    bool has_operator, has_arg;
};

static void read_operator_of(const struct policy_at *at, struct match_out *out, const char *const *names,
    const enum policy_operator *operators)
{
    size_t number;

    if (!policy_read_choice(at, names, &number))
        return;
    out->match->op = operators[number];
    out->has_operator = true;
}

static void read_in_or_not(const struct policy_at *at, void *out)
{
    static const char *const names[] = {"In", "NotIn", NULL};
    static const enum policy_operator operators[] = {POLICY_IN, POLICY_NOT_IN};

    read_operator_of(at, out, names, operators);
}

/* A requirement of `kind` behind those that the selector has. */
static bool add_match(const struct policy_at *at, struct policy_selector_out *out,
    enum policy_match_kind kind, struct match_out *ret)
{
    struct policy_selector *selector = out->selector;

    if (selector->match_count == POLICY_MATCHES_MAX) {
        policy_fail(at, "more than %d requirements in one selector", POLICY_MATCHES_MAX);
        return false;
    }
    ret->match = policy_grow(at, &selector->matches, &selector->match_count, sizeof(*selector->matches));
    if (!ret->match)
        return false;
    ret->hook = out->hook;
    ret->match->kind = kind;
    ret->match->place = at->node->place;
    return true;
}

/* ---- matchPIDs --------------------------------------------------------------------------------------------------- */

static void read_follow(const struct policy_at *at, void *out)
{
    (void)policy_read_bool(at, &((struct match_out *)out)->match->follow);
}

static void read_is_namespace_pid(const struct policy_at *at, void *out)
{
    (void)policy_read_bool(at, &((struct match_out *)out)->match->namespace_pid);
}

static void read_pids(const struct policy_at *at, void *out)
{
    policy_read_pid_values(at, ((struct match_out *)out)->match);
}

static void read_match_pids(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "operator", .read = read_in_or_not, .is_required = true},
        {.name = "values", .read = read_pids, .is_required = true},
        {.name = "isNamespacePID", .read = read_is_namespace_pid},
        {.name = "followForks", .read = read_follow},
    };
    struct match_out match = {0};

    if (add_match(at, out, POLICY_MATCH_PIDS, &match))
        policy_read_map(at, fields, COUNT(fields), &match);
}

/* ---- matchBinaries ----------------------------------------------------------------------------------------------- */

static void read_binary_operator(const struct policy_at *at, void *out)
{
    static const char *const names[] = {"In", "NotIn", "Prefix", "NotPrefix", "Postfix", "NotPostfix", NULL};
    static const enum policy_operator operators[] = {
        POLICY_IN, POLICY_NOT_IN, POLICY_PREFIX, POLICY_NOT_PREFIX, POLICY_POSTFIX, POLICY_NOT_POSTFIX};

    read_operator_of(at, out, names, operators);
}

static void read_binaries(const struct policy_at *at, void *out)
{
    policy_read_binary_values(at, ((struct match_out *)out)->match);
}

static void read_match_binaries(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "operator", .read = read_binary_operator, .is_required = true},
        {.name = "values", .read = read_binaries, .is_required = true},
        {.name = "followChildren", .read = read_follow},
    };
    struct match_out match = {0};

    if (add_match(at, out, POLICY_MATCH_BINARIES, &match))
        policy_read_map(at, fields, COUNT(fields), &match);
}

/* ---- matchArgs, matchReturnArgs ---------------------------------------------------------------------------------- */

/* What is at place `number` of the hook's arguments is compared. */
static void take_arg(const struct policy_at *at, struct match_out *out, size_t number)
{
    const struct policy_arg *arg = &out->hook->args[number];

    out->has_arg = true;
    out->match->arg = (uint8_t)number;
    if (!arg->type_name) /* told where it is */
        return;
    out->type = policy_type_find(arg->type_name);
    if (out->type && out->type->type_class == POLICY_CLASS_NONE) {
        if (strcmp(arg->type_name, "auto") == 0)
            policy_fail(at, "the argument has no type: give it one in args, for its values to be compared");
        else
            policy_fail(at, "an argument of type %s has nothing to compare", arg->type_name);
        out->type = NULL;
    }
}

/* By the number that the argument has in the function. */
static void read_arg_index(const struct policy_at *at, void *out)
{
    struct match_out *match = out;
    int64_t index = 0;

    if (!policy_read_integer(at, 0, UINT32_MAX, &index))
        return;
    if (policy_node_find(at->up->node, "args")) {
        policy_fail_key(at, "index and args: expected one of them");
        return;
    }
    for (size_t i = 0; i < match->hook->arg_count; i++) {
        if (match->hook->args[i].index == index) {
            take_arg(at, match, i);
            return;
        }
    }
    policy_fail(at, "no argument with index %lld in args", (long long)index);
}

/* By its place in the hook's args. */
static void read_arg_place(const struct policy_at *at, void *out)
{
    struct match_out *match = out;
    int64_t place = 0;

    if (!policy_read_integer(at, 0, UINT32_MAX, &place))
        return;
    if ((size_t)place >= match->hook->arg_count)
        policy_fail(at, "%lld: args has %zu items, counted from 0", (long long)place, match->hook->arg_count);
    else
        take_arg(at, match, (size_t)place);
}

static void read_arg_places(const struct policy_at *at, void *out)
{
    if (at->node->kind == POLICY_NODE_LIST && at->node->count != 1)
        policy_fail(at, "%zu items: expected one", at->node->count);
    else
        policy_read_list(at, 1, read_arg_place, out);
}

static void fail_operator(
    const struct policy_at *at, const struct policy_type *type, const char *word, bool is_known)
{
    const struct policy_operator_word *fitting;
    struct text known = {0};

    for (unsigned i = 0; (fitting = policy_operator_at(i)); i++) {
        if (fitting->refused || (type && !(fitting->classes & type->type_class)))
            continue;
        text_append_string(&known, known.size > 0 ? ", " : "");
        text_append_string(&known, fitting->name);
    }
    if (is_known)
        policy_fail(at, "\"%.60s\" does not fit type %s: expected one of %s", word, type->name,
            text_terminate(&known));
    else
        policy_fail(at, "\"%.60s\" is none of %s", word, text_terminate(&known));
    text_deinit(&known);
}

/* A sockaddr has one address, which is written as if it were the destination: whichever the policy names, it means that one. */
static enum policy_operator of_one_address(enum policy_operator op)
{
    switch (op) {
    case POLICY_SADDR:
        return POLICY_DADDR;
    case POLICY_NOT_SADDR:
        return POLICY_NOT_DADDR;
    case POLICY_SPORT:
        return POLICY_DPORT;
    case POLICY_NOT_SPORT:
        return POLICY_NOT_DPORT;
    default:
        return op;
    }
}

static void read_arg_operator(const struct policy_at *at, void *out)
{
    struct match_out *match = out;
    const struct policy_operator_word *word;
    const char *name;

    if (!policy_read_word(at, POLICY_WORD_MAX, &name))
        return;
    word = policy_operator_find(name);
    if (!word)
        fail_operator(at, match->type, name, false);
    else if (word->refused)
        policy_fail(at, "\"%s\" is not supported: %s", name, word->refused);
    else if (match->type && !(word->classes & match->type->type_class))
        fail_operator(at, match->type, name, true);
    else
        match->word = word;
    if (match->word)
        match->match->op = match->type && match->type->type_class == POLICY_CLASS_SOCKET_ADDRESS
                               ? of_one_address(match->word->op)
                               : match->word->op;
}

static void read_arg_values(const struct policy_at *at, void *out)
{
    struct match_out *match = out;

    if (match->word && match->word->is_privileged)
        policy_fail_key(at, "%s has no values: it is a port below 1024", match->word->name);
    else if (match->word && match->type)
        policy_read_arg_values(at, match->type, match->match);
}

static void finish_arg_match(const struct policy_at *at, struct match_out *match)
{
    struct policy_value *value;

    if (at->node->kind != POLICY_NODE_MAP || !match->word)
        return;
    if (!match->word->is_privileged && !policy_node_find(at->node, "values"))
        policy_fail_missing(at, "values", "it is required");
    if (!match->word->is_privileged || match->match->values.count > 0)
        return;
    value = policy_grow(at, &match->match->values.items, &match->match->values.count, sizeof(*value));
    if (!value)
        return;
    value->high = 1023;
    value->text.data = strdup("0:1023");
    if (!value->text.data)
        policy_fail_memory(at);
    value->text.size = strlen("0:1023");
    value->text.place = at->node->place;
}

static void read_match_arg(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "index", .read = read_arg_index},
        {.name = "args", .read = read_arg_places},
        {.name = "operator", .read = read_arg_operator, .is_required = true},
        {.name = "values", .read = read_arg_values},
    };
    struct match_out match = {0};

    if (!add_match(at, out, POLICY_MATCH_ARG, &match))
        return;
    policy_read_map(at, fields, COUNT(fields), &match);
    if (at->node->kind == POLICY_NODE_MAP && !policy_node_find(at->node, "index") &&
        !policy_node_find(at->node, "args"))
        policy_fail_missing(at, "index", "which argument is compared");
    finish_arg_match(at, &match);
}

static void read_zero(const struct policy_at *at, void *out)
{
    int64_t index;

    (void)out;
    (void)policy_read_integer(at, 0, 0, &index);
}

static void read_zeroes(const struct policy_at *at, void *out)
{
    policy_read_list(at, 1, read_zero, out);
}

static void read_match_return_arg(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "index", .read = read_zero},
        {.name = "args", .read = read_zeroes},
        {.name = "operator", .read = read_arg_operator, .is_required = true},
        {.name = "values", .read = read_arg_values},
    };
    struct match_out match = {0};

    if (!add_match(at, out, POLICY_MATCH_ARG, &match))
        return;
    match.match->arg = RECORD_HOOK_RETURN;
    if (match.hook->return_arg.type_name)
        match.type = policy_type_find(match.hook->return_arg.type_name);
    policy_read_map(at, fields, COUNT(fields), &match);
    finish_arg_match(at, &match);
}

/* ---- matchNamespaces, matchCapabilities -------------------------------------------------------------------------- */

static void read_namespace_name(const struct policy_at *at, void *out)
{
    static const char *const names[POLICY_NS_COUNT + 1] = {[POLICY_NS_UTS] = "Uts",
        [POLICY_NS_IPC] = "Ipc",
        [POLICY_NS_MNT] = "Mnt",
        [POLICY_NS_PID] = "Pid",
        [POLICY_NS_PID_FOR_CHILDREN] = "PidForChildren",
        [POLICY_NS_NET] = "Net",
        [POLICY_NS_TIME] = "Time",
        [POLICY_NS_TIME_FOR_CHILDREN] = "TimeForChildren",
        [POLICY_NS_CGROUP] = "Cgroup",
        [POLICY_NS_USER] = "User"};
    struct match_out *match = out;
    size_t number;

    if (policy_read_choice(at, names, &number))
        match->match->name_space = (enum policy_namespace)number;
}

static void read_namespaces(const struct policy_at *at, void *out)
{
    policy_read_namespace_values(at, ((struct match_out *)out)->match);
}

static void read_match_namespaces(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "namespace", .read = read_namespace_name, .is_required = true},
        {.name = "operator", .read = read_in_or_not, .is_required = true},
        {.name = "values", .read = read_namespaces, .is_required = true},
    };
    struct match_out match = {0};

    if (add_match(at, out, POLICY_MATCH_NAMESPACE, &match))
        policy_read_map(at, fields, COUNT(fields), &match);
}

static void read_capability_set(const struct policy_at *at, void *out)
{
    static const char *const names[] = {[POLICY_CAP_EFFECTIVE] = "Effective",
        [POLICY_CAP_INHERITABLE] = "Inheritable",
        [POLICY_CAP_PERMITTED] = "Permitted",
        NULL};
    struct match_out *match = out;
    size_t number;

    if (policy_read_choice(at, names, &number))
        match->match->capability_set = (enum policy_capability_set)number;
}

static void read_capabilities(const struct policy_at *at, void *out)
{
    policy_read_capability_values(at, ((struct match_out *)out)->match);
}

static void read_is_namespace_capability(const struct policy_at *at, void *out)
{
    (void)policy_read_bool(at, &((struct match_out *)out)->match->namespace_capability);
}

static void read_match_capabilities(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "type", .read = read_capability_set}, /* Effective when it is not given */
        {.name = "operator", .read = read_in_or_not, .is_required = true},
        {.name = "values", .read = read_capabilities, .is_required = true},
        {.name = "isNamespaceCapability", .read = read_is_namespace_capability},
    };
    struct match_out match = {0};

    if (add_match(at, out, POLICY_MATCH_CAPABILITIES, &match))
        policy_read_map(at, fields, COUNT(fields), &match);
}

/* ---- selectors --------------------------------------------------------------------------------------------------- */

#define LIST_OF(name, item)                                                                                  \
    static void name(const struct policy_at *at, void *out)                                                  \
    {                                                                                                        \
        policy_read_list(at, POLICY_MATCHES_MAX, item, out);                                                 \
    }

LIST_OF(read_list_of_pids, read_match_pids)
LIST_OF(read_list_of_binaries, read_match_binaries)
LIST_OF(read_list_of_args, read_match_arg)
LIST_OF(read_list_of_namespaces, read_match_namespaces)
LIST_OF(read_list_of_capabilities, read_match_capabilities)

static void read_list_of_return_args(const struct policy_at *at, void *out)
{
    const struct policy_selector_out *selector = out;

    if (at->node->kind == POLICY_NODE_LIST && at->node->count > 0 && !selector->hook->has_return)
        policy_fail_key(at, "needs a kprobe with return: true and returnArg");
    else
        policy_read_list(at, POLICY_MATCHES_MAX, read_match_return_arg, out);
}

static void read_selector(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "matchPIDs", .read = read_list_of_pids},
        {.name = "matchBinaries", .read = read_list_of_binaries},
        {.name = "matchArgs", .read = read_list_of_args},
        {.name = "matchReturnArgs", .read = read_list_of_return_args},
        {.name = "matchNamespaces", .read = read_list_of_namespaces},
        {.name = "matchCapabilities", .read = read_list_of_capabilities},
        {.name = "matchActions", .read = policy_read_actions},
        {.name = "matchReturnActions", .read = policy_read_return_actions},
        {.name = "matchParentBinaries", .reason = "only the process's own binary is compared"},
        {.name = "matchNamespaceChanges", .reason = "a process's earlier namespaces are not kept"},
        {.name = "matchCapabilityChanges", .reason = "a process's earlier capabilities are not kept"},
        {.name = "matchCurrentCred", .reason = "use matchCapabilities"},
        {.name = "matchData", .reason = "only a function's own arguments are read"},
        {.name = "macros", .reason = "selectors are written out"},
    };
    struct policy_hook *hook = out;
    struct policy_selector_out selector = {hook, &hook->selectors[hook->selector_count++]};

    selector.selector->place = at->node->place;
    policy_read_map(at, fields, COUNT(fields), &selector);
}

void policy_read_selectors(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_SELECTORS_MAX, read_selector, out);
}
